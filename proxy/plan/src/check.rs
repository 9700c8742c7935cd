//! What every plan must meet, whatever the snapshot.
//!
//! A back end relies on this without looking. Tests check it on every plan they make.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use podway_cluster_model::endpoint::Condition;
use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::snapshot::{ServiceEntry, Snapshot};
use thiserror::Error;

use crate::plan::{
    Action, Backend, Family, Frontend, FrontendKey, Place, Pool, PortPlan, ServicePlan,
};
use crate::planner::Planner;

/// An invariant that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("service {service}: {flaw}")]
pub struct Violation {
    /// The Service whose plan is wrong.
    pub service: ServiceName,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What can be wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The plan has no port.
    #[error("has no port")]
    NoPort,
    /// A port is out of order or comes twice.
    #[error("port {port:?} is out of order or comes twice")]
    PortOrder {
        /// The port.
        port: PortName,
    },
    /// A port has no frontend.
    #[error("port {port:?} has no frontend")]
    NoFrontend {
        /// The port.
        port: PortName,
    },
    /// A frontend is out of order or comes twice.
    #[error("frontend {key} is out of order or comes twice")]
    FrontendOrder {
        /// The frontend.
        key: FrontendKey,
    },
    /// A frontend has not the family or the protocol of its port.
    #[error("frontend {key} is not of its port's family and protocol")]
    ForeignFrontend {
        /// The frontend.
        key: FrontendKey,
    },
    /// A frontend sends connections to a pool that has no endpoint.
    #[error("frontend {key} balances over an empty pool")]
    EmptyPool {
        /// The frontend.
        key: FrontendKey,
    },
    /// A ClusterIP treats its clients as if they came from outside.
    #[error("frontend {key} is no external one but preserves the source")]
    InternalPreservesSource {
        /// The frontend.
        key: FrontendKey,
    },
    /// An endpoint is out of order or comes twice.
    #[error("endpoint {address} of pool {pool} is out of order or comes twice")]
    EndpointOrder {
        /// The pool it is in.
        pool: Pool,
        /// The endpoint.
        address: SocketAddr,
    },
    /// An endpoint does not belong into its pool: wrong family, or not of this node.
    #[error("endpoint {address} does not belong into pool {pool}")]
    ForeignEndpoint {
        /// The pool it is in.
        pool: Pool,
        /// The endpoint.
        address: SocketAddr,
    },
    /// A pool has endpoints that no frontend uses.
    #[error("pool {pool} of port {port:?} is used by no frontend")]
    UnusedPool {
        /// The pool.
        pool: Pool,
        /// The port.
        port: PortName,
    },
    /// Two frontends are the same.
    #[error("frontend {key} is also one of {other}")]
    SharedFrontend {
        /// The frontend.
        key: FrontendKey,
        /// The other Service.
        other: ServiceName,
    },
    /// An endpoint is not in the Service's slices, or may not be used.
    #[error("endpoint {address} is not a usable endpoint of the Service")]
    UnusableEndpoint {
        /// The endpoint.
        address: SocketAddr,
    },
}

/// Everything that is wrong with the plans of `planner`, which follows `snapshot`.
#[must_use]
pub fn check(planner: &Planner, snapshot: &Snapshot) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut owners: BTreeMap<FrontendKey, &ServiceName> = BTreeMap::new();
    for plan in planner.plans() {
        let mut flaws = check_plan(plan);
        for frontend in plan.ports.iter().flat_map(|port| &port.frontends) {
            if let Some(other) = owners.insert(frontend.key, &plan.name) {
                flaws.push(Flaw::SharedFrontend { key: frontend.key, other: other.clone() });
            }
        }
        let entry = snapshot.services.get(&plan.name);
        for port in &plan.ports {
            check_usable(port, entry.map(AsRef::as_ref), planner, &mut flaws);
        }
        violations
            .extend(flaws.into_iter().map(|flaw| Violation { service: plan.name.clone(), flaw }));
    }
    violations
}

/// Everything that is wrong with `plan` alone.
#[must_use]
pub fn check_plan(plan: &ServicePlan) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if plan.ports.is_empty() {
        flaws.push(Flaw::NoPort);
    }
    let order = |port: &PortPlan| (port.family, port.name.clone(), port.protocol);
    let misplaced = plan.ports.windows(2).filter_map(|pair| match pair {
        [one, next] if order(one) >= order(next) => Some(next),
        _ => None,
    });
    flaws.extend(misplaced.map(|port| Flaw::PortOrder { port: port.name.clone() }));
    for port in &plan.ports {
        check_frontends(port, &mut flaws);
        for pool in [Pool::Cluster, Pool::Local] {
            check_pool(port, pool, &mut flaws);
        }
    }
    flaws
}

fn check_frontends(port: &PortPlan, flaws: &mut Vec<Flaw>) {
    if port.frontends.is_empty() {
        flaws.push(Flaw::NoFrontend { port: port.name.clone() });
    }
    let misplaced = port.frontends.windows(2).filter_map(|pair| match pair {
        [one, next] if one.key >= next.key => Some(next.key),
        _ => None,
    });
    flaws.extend(misplaced.map(|key| Flaw::FrontendOrder { key }));
    for Frontend { key, origin, action } in port.frontends.iter().copied() {
        if Family::of(key.address) != port.family || key.protocol != port.protocol {
            flaws.push(Flaw::ForeignFrontend { key });
        }
        let required = match action {
            Action::Balance { pool, .. } => Some(pool),
            Action::PreserveSource => Some(Pool::Cluster),
            Action::Reject | Action::Drop => None,
        };
        if required.is_some_and(|pool| port.pool(pool).is_empty()) {
            flaws.push(Flaw::EmptyPool { key });
        }
        if action == Action::PreserveSource && !origin.is_external() {
            flaws.push(Flaw::InternalPreservesSource { key });
        }
    }
}

fn check_pool(port: &PortPlan, pool: Pool, flaws: &mut Vec<Flaw>) {
    let backends = port.pool(pool);
    let misplaced = backends.windows(2).filter_map(|pair| match pair {
        [one, next] if one.address >= next.address => Some(next.address),
        _ => None,
    });
    flaws.extend(misplaced.map(|address| Flaw::EndpointOrder { pool, address }));
    let foreign = backends.iter().filter(|Backend { address, place, .. }| {
        let elsewhere = pool == Pool::Local && *place == Place::Elsewhere;
        elsewhere || Family::of(address.ip()) != port.family
    });
    flaws.extend(foreign.map(|backend| Flaw::ForeignEndpoint { pool, address: backend.address }));
    let used = port.frontends.iter().any(|frontend| frontend.action.uses(pool));
    if !backends.is_empty() && !used {
        flaws.push(Flaw::UnusedPool { pool, port: port.name.clone() });
    }
}

/// Compares the endpoints of `port` with the slices of its Service.
fn check_usable(
    port: &PortPlan,
    entry: Option<&ServiceEntry>,
    planner: &Planner,
    flaws: &mut Vec<Flaw>,
) {
    let usable = |backend: &Backend| {
        let slices = entry.into_iter().flat_map(|entry| entry.slices.values());
        slices
            .filter(|slice| {
                slice.ports.iter().any(|offered| {
                    offered.name == port.name
                        && offered.protocol == port.protocol
                        && offered.port.number() == backend.address.port()
                })
            })
            .flat_map(|slice| &slice.endpoints)
            .any(|endpoint| {
                let here = endpoint.node.as_ref() == Some(&planner.node().name);
                endpoint.address == backend.address.ip()
                    && endpoint.condition != Condition::NotReady
                    && here == (backend.place == Place::Here)
            })
    };
    let strange = port.cluster.iter().chain(port.local.iter()).filter(|backend| !usable(backend));
    flaws.extend(strange.map(|backend| Flaw::UnusableEndpoint { address: backend.address }));
}
