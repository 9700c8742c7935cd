//! The Services of a cluster for people.

use std::net::IpAddr;

use serde_json::Value;

use super::Cluster;
use super::service::{Service, ServiceKind};
use crate::protocol::ServiceStatus;

impl Cluster {
    /// The Services in order.
    pub(crate) fn service_list(&self) -> Vec<ServiceStatus> {
        self.services.values().map(|service| self.service_status(service)).collect()
    }

    fn service_status(&self, service: &Service) -> ServiceStatus {
        let of_service = |slice: &&Value| {
            let metadata = &slice["metadata"];
            metadata["labels"]["kubernetes.io/service-name"] == service.name.name
                && metadata["namespace"] == service.name.namespace
        };
        let made = self.slices(service);
        let written = self.user_slices.values().filter(of_service);
        let cluster_ips = match service.kind {
            ServiceKind::Headless => vec!["None".to_owned()],
            ServiceKind::ClusterIp
            | ServiceKind::NodePort
            | ServiceKind::LoadBalancer
            | ServiceKind::ExternalName => {
                service.cluster_ips.iter().map(IpAddr::to_string).collect()
            }
        };
        ServiceStatus {
            name: service.name.clone(),
            kind: service.kind.type_name().to_owned(),
            cluster_ips,
            ports: service.port_list(),
            ready_endpoints: made.iter().chain(written).map(ready_endpoints).sum(),
        }
    }
}

fn ready_endpoints(slice: &Value) -> usize {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != false).count()
}
