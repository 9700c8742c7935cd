//! Whose an address is: what `podway events` asks to name Services and pods.

use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::Snapshot;
use podway_proxy_plan::plan::{FrontendKey, PortPlan, ServicePlan};
use serde::{Deserialize, Serialize};

/// Body of `/debug/frontend/PROTOCOL/ADDRESS/PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FrontendOwner {
    /// Namespace and name of the Service.
    pub(crate) service: String,
    /// Name of the Service port; empty for one without.
    pub(crate) port: String,
    /// The endpoints of the Service port, with the pods behind them.
    pub(crate) endpoints: Vec<EndpointOwner>,
}

/// An endpoint and the pod behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointOwner {
    pub(crate) address: SocketAddr,
    /// Namespace and name.
    pub(crate) pod: String,
}

/// One entry of `/debug/pods`: the pods of this node that have a network of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodOwner {
    /// Namespace and name.
    pub(crate) pod: String,
    pub(crate) addresses: Vec<IpAddr>,
}

impl FrontendOwner {
    /// Whose `frontend` is, as planned and with what `snapshot` knows of endpoints.
    pub(super) fn find(
        plans: &[std::sync::Arc<ServicePlan>],
        snapshot: Option<&Snapshot>,
        frontend: FrontendKey,
    ) -> Option<Self> {
        let has_it = |port: &&PortPlan| port.frontends.iter().any(|one| one.key == frontend);
        let (service, port) =
            plans.iter().find_map(|plan| Some((&plan.name, plan.ports.iter().find(has_it)?)))?;
        Some(Self {
            service: service.to_string(),
            port: port.name.to_string(),
            endpoints: endpoints(snapshot, service, port),
        })
    }
}

/// The endpoints of `port` with a pod that is known by name.
fn endpoints(
    snapshot: Option<&Snapshot>,
    service: &ServiceName,
    port: &PortPlan,
) -> Vec<EndpointOwner> {
    let entry = snapshot.and_then(|snapshot| snapshot.services.get(service));
    let slices = entry.into_iter().flat_map(|entry| entry.slices.values());
    slices
        .flat_map(|slice| {
            let is_it = |one: &&_| {
                let podway_cluster_model::endpoint::EndpointPort { name, protocol, .. } = one;
                *name == port.name && *protocol == port.protocol
            };
            let numbers = slice.ports.iter().filter(is_it).map(|one| one.port.number());
            numbers.flat_map(move |number| {
                slice.endpoints.iter().filter_map(move |endpoint| {
                    let pod = endpoint.pod.as_ref()?;
                    Some(EndpointOwner {
                        address: (endpoint.address, number).into(),
                        pod: format!("{}/{pod}", service.namespace),
                    })
                })
            })
        })
        .collect()
}

/// The pods of `snapshot` that are told by their addresses.
pub(super) fn pods(snapshot: &Snapshot) -> Vec<PodOwner> {
    let pods = snapshot.pods.values().filter(|pod| !pod.host_network && !pod.addresses.is_empty());
    pods.map(|pod| PodOwner { pod: pod.name.to_string(), addresses: pod.addresses.clone() })
        .collect()
}
