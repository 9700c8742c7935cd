//! Whose an address is: what `podway events` asks to name Services and pods.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::Snapshot;
use podway_proxy_plan::plan::{FrontendKey, PortPlan, ServicePlan};
use serde::{Deserialize, Serialize};

/// Body of `/debug/frontend/PROTOCOL/ADDRESS/PORT`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FrontendOwner {
    /// Namespace and name of the Service.
    pub(crate) service: String,
    /// Name of the Service port; empty for one without.
    pub(crate) port: String,
    /// The endpoints of the Service port with the pods behind them, by namespace and name.
    pub(crate) endpoints: BTreeMap<SocketAddr, String>,
}

/// One entry of `/debug/pods`: the pods of this node that have a network of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodOwner {
    /// Namespace and name.
    pub(crate) pod: String,
    pub(crate) addresses: Vec<IpAddr>,
}

impl FrontendOwner {
    /// Whose `frontend` is, by the plan of the Service that has it and with what `snapshot` knows of
    /// endpoints.
    pub(super) fn of(
        plan: &ServicePlan,
        snapshot: Option<&Snapshot>,
        frontend: FrontendKey,
    ) -> Option<Self> {
        let has_it = |port: &&PortPlan| port.frontends.iter().any(|one| one.key == frontend);
        let port = plan.ports.iter().find(has_it)?;
        Some(Self {
            service: plan.name.to_string(),
            port: port.name.to_string(),
            endpoints: endpoints(snapshot, &plan.name, port),
        })
    }
}

/// The endpoints of `port` with a pod that is known by name.
fn endpoints(
    snapshot: Option<&Snapshot>,
    service: &ServiceName,
    port: &PortPlan,
) -> BTreeMap<SocketAddr, String> {
    let is_it = |one: &&EndpointPort| one.name == port.name && one.protocol == port.protocol;
    let mut pods = BTreeMap::new();
    let entry = snapshot.and_then(|snapshot| snapshot.services.get(service));
    for slice in entry.into_iter().flat_map(|entry| entry.slices.values()) {
        for number in slice.ports.iter().filter(is_it).map(|one| one.port.number()) {
            for endpoint in &slice.endpoints {
                if let Some(pod) = &endpoint.pod {
                    let address = (endpoint.address, number).into();
                    pods.insert(address, format!("{}/{pod}", service.namespace));
                }
            }
        }
    }
    pods
}

/// The pods of `snapshot` that are told by their addresses.
pub(super) fn pods(snapshot: &Snapshot) -> Vec<PodOwner> {
    let pods = snapshot.pods.values().filter(|pod| !pod.host_network && !pod.addresses.is_empty());
    pods.map(|pod| PodOwner { pod: pod.name.to_string(), addresses: pod.addresses.clone() })
        .collect()
}
