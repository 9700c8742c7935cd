//! What happens at each frontend of a Service: balance, refuse or drop, and whom to masquerade.
//!
//! The rules are those of kube-proxy: a Service without any usable endpoint refuses; one that a
//! policy keeps from its endpoints drops in silence; external traffic is masqueraded unless its
//! policy is `Local`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::service::{Service, TrafficPolicy};
use podway_cluster_model::snapshot::ServiceEntry;

use crate::claims::Claims;
use crate::frontends::Wanted;
use crate::node::NodeView;
use crate::plan::{
    Action, Backend, Family, Frontend, Masquerade, Origin, Pool, PortPlan, ServicePlan,
};
use crate::policy::Policy;
use crate::select::{self, PortQuery};

/// What decisions depend on besides the Service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    /// The operator's choices.
    pub(crate) policy: &'a Policy,
    /// This node.
    pub(crate) node: &'a NodeView,
    /// Who may use which frontend.
    pub(crate) claims: &'a Claims,
}

/// What this node does for `entry`, which asked for `wanted`; `None` when it has no frontend.
pub(crate) fn service_plan(
    entry: &ServiceEntry,
    wanted: &[Wanted],
    site: Site<'_>,
) -> Option<ServicePlan> {
    let service = entry.service.as_deref()?;
    let mut ports: Vec<PortPlan> = wanted
        .chunk_by(Wanted::same_port)
        .filter_map(|wanted| port_plan(entry, service, wanted, site))
        .collect();
    // Room for four is made, and nearly every Service has one port.
    ports.shrink_to_fit();
    (!ports.is_empty()).then(|| ServicePlan { name: service.name.clone(), ports })
}

/// The plan of the one port that `wanted` is for; `None` when other Services hold its frontends.
fn port_plan(
    entry: &ServiceEntry,
    service: &Service,
    wanted: &[Wanted],
    site: Site<'_>,
) -> Option<PortPlan> {
    let held: Vec<&Wanted> = wanted.iter().filter(|wanted| holds(service, wanted, site)).collect();
    let first = held.first()?;
    let (family, protocol) = (first.family(), first.key.protocol);

    let query = PortQuery { family, name: &first.port, protocol };
    let candidates = select::candidates(entry, query, site.node);
    let cluster = if site.policy.answers_on_the_node(&service.name, first.key.port) {
        select::cluster_pool(&select::elsewhere_first(&candidates), site.node)
    } else {
        select::cluster_pool(&candidates, site.node)
    };
    let pools = Pools { cluster, local: select::local_pool(&candidates, site.node) };

    let frontends: Vec<Frontend> = held
        .iter()
        .map(|wanted| Frontend {
            key: wanted.key,
            origin: wanted.origin,
            action: action(service, wanted, &pools, site.policy),
        })
        .collect();
    let uses = |pool| frontends.iter().any(|frontend| frontend.action.uses(pool));
    let (cluster, local) = (uses(Pool::Cluster), uses(Pool::Local));
    Some(PortPlan {
        family,
        name: first.port.clone(),
        protocol,
        affinity: service.affinity,
        choice: service.spread.choice,
        sources: allowed_sources(service, &frontends, family, site.node),
        frontends,
        cluster: if cluster { pools.cluster } else { [].into() },
        local: if local { pools.local } else { [].into() },
    })
}

/// The sources that may use the load balancer's addresses of `service`; `None` lets everybody.
///
/// Ranges of another family do not count. A node inside a range reaches an address that it has
/// itself with that address as source, so then the load balancer's own addresses are let in too.
fn allowed_sources(
    service: &Service,
    frontends: &[Frontend],
    family: Family,
    node: &NodeView,
) -> Option<Arc<[IpNet]>> {
    let addresses: BTreeSet<IpAddr> = frontends
        .iter()
        .filter(|frontend| frontend.origin == Origin::LoadBalancer)
        .map(|frontend| frontend.key.address)
        .collect();
    let ranges: Vec<IpNet> = service
        .external
        .source_ranges
        .iter()
        .map(IpNet::trunc)
        .filter(|range| Family::of(range.addr()) == family)
        .collect();
    if addresses.is_empty() || ranges.is_empty() {
        return None;
    }
    let node_is_inside = ranges
        .iter()
        .any(|range| node.primary(family).is_some_and(|address| range.contains(&address)));
    let own = addresses.into_iter().filter(|_| node_is_inside).map(IpNet::from);
    // The kernel refuses one range inside another.
    Some(IpNet::aggregate(&ranges.into_iter().chain(own).collect()).into())
}

/// Whether `wanted` is `service`'s to use.
fn holds(service: &Service, wanted: &Wanted, site: Site<'_>) -> bool {
    site.claims
        .winner(wanted.key)
        .is_some_and(|winner| winner.service == service.name && winner.port == wanted.port)
}

/// The endpoints of a port, before it is known which pool is used.
struct Pools {
    /// Empty only when there is no usable endpoint anywhere.
    cluster: Arc<[Backend]>,
    local: Arc<[Backend]>,
}

/// What happens to a new connection at `wanted`.
fn action(service: &Service, wanted: &Wanted, pools: &Pools, policy: &Policy) -> Action {
    if pools.cluster.is_empty() {
        return Action::Reject;
    }
    match wanted.origin {
        Origin::ClusterIp => {
            let masquerade = policy.cluster_ip_masquerade(wanted.family());
            match service.internal_policy {
                TrafficPolicy::Cluster => Action::Balance { pool: Pool::Cluster, masquerade },
                TrafficPolicy::Local if pools.local.is_empty() => Action::Drop,
                TrafficPolicy::Local => Action::Balance { pool: Pool::Local, masquerade },
            }
        }
        Origin::NodePort | Origin::ExternalIp | Origin::LoadBalancer => {
            match service.external.policy {
                TrafficPolicy::Cluster => {
                    Action::Balance { pool: Pool::Cluster, masquerade: Masquerade::Always }
                }
                TrafficPolicy::Local => Action::PreserveSource,
            }
        }
    }
}
