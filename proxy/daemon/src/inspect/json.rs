//! The plan as JSON for programs.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::service::Affinity;
use podway_ebpf_backend::carry::{Site, carrier};
use podway_proxy_plan::plan::{Action, Backend, Frontend, Place, PortPlan, ServicePlan};
use podway_proxy_plan::planner::Planner;
use serde::Serialize;

/// The whole document.
#[derive(Serialize)]
struct Document {
    node: String,
    services: Vec<Service>,
    conflicts: Vec<String>,
}

#[derive(Serialize)]
struct Service {
    namespace: String,
    name: String,
    ports: Vec<Port>,
}

#[derive(Serialize)]
struct Port {
    family: &'static str,
    name: String,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    affinity_seconds: Option<u64>,
    frontends: Vec<FrontendEntry>,
    cluster: Vec<Endpoint>,
    local: Vec<Endpoint>,
}

#[derive(Serialize)]
struct FrontendEntry {
    address: IpAddr,
    port: u16,
    origin: String,
    #[serde(flatten)]
    action: ActionEntry,
    /// Who carries it; only where eBPF was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried_by: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum ActionEntry {
    Balance { pool: String, masquerade: String },
    PreserveSource,
    Reject,
    Drop,
}

#[derive(Serialize)]
struct Endpoint {
    address: SocketAddr,
    here: bool,
}

/// Writes the plans of `planner`; with `carriers`, who carries each frontend.
pub(super) fn write(
    out: &mut impl Write,
    planner: &Planner,
    carriers: Option<&Site>,
) -> io::Result<()> {
    let document = Document {
        node: planner.node().name.to_string(),
        services: planner.plans().map(|plan| Service::new(plan, carriers)).collect(),
        conflicts: planner.conflicts().map(|conflict| conflict.to_string()).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

impl Service {
    fn new(plan: &ServicePlan, carriers: Option<&Site>) -> Self {
        Self {
            namespace: plan.name.namespace.to_string(),
            name: plan.name.name.to_string(),
            ports: plan.ports.iter().map(|port| Port::new(plan, port, carriers)).collect(),
        }
    }
}

impl Port {
    fn new(plan: &ServicePlan, port: &PortPlan, carriers: Option<&Site>) -> Self {
        let endpoints = |backends: &[Backend]| backends.iter().map(Endpoint::from).collect();
        let entry = |frontend: &Frontend| FrontendEntry {
            carried_by: carriers.map(|site| carrier(&plan.name, port, frontend, site).to_string()),
            ..FrontendEntry::from(frontend)
        };
        Self {
            family: port.family.name(),
            name: port.name.to_string(),
            protocol: port.protocol.name(),
            affinity_seconds: match port.affinity {
                Affinity::None => None,
                Affinity::ClientIp { timeout } => Some(timeout.as_secs()),
            },
            frontends: port.frontends.iter().map(entry).collect(),
            cluster: endpoints(&port.cluster),
            local: endpoints(&port.local),
        }
    }
}

impl From<&Frontend> for FrontendEntry {
    fn from(frontend: &Frontend) -> Self {
        Self {
            address: frontend.key.address,
            port: frontend.key.port.number(),
            origin: frontend.origin.to_string(),
            action: match frontend.action {
                Action::Balance { pool, masquerade } => ActionEntry::Balance {
                    pool: pool.to_string(),
                    masquerade: masquerade.to_string(),
                },
                Action::PreserveSource => ActionEntry::PreserveSource,
                Action::Reject => ActionEntry::Reject,
                Action::Drop => ActionEntry::Drop,
            },
            carried_by: None,
        }
    }
}

impl From<&Backend> for Endpoint {
    fn from(backend: &Backend) -> Self {
        Self { address: backend.address, here: backend.place == Place::Here }
    }
}
