//! Clusters of any size, made up.
//!
//! Service `bench/s7` has the ClusterIP 10.96.0.8, one port `http` 80/TCP and so many ready
//! endpoints on port 8080 in 11.0.0.0/8. The same cluster comes as changes of the model and as
//! manifests. Nothing here is random: two calls give the same cluster.

use std::net::{IpAddr, Ipv4Addr};

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{NameError, ObjectName, PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{Service, ServiceKind, ServicePort};
use serde_json::{Value, json};

/// Namespace of all Services.
pub const NAMESPACE: &str = "bench";

/// Pod addresses of the cluster.
pub const POD_CIDR: &str = "11.0.0.0/8";

/// Port of every Service.
pub const SERVICE_PORT: u16 = 80;

/// Port of every endpoint.
pub const TARGET_PORT: u16 = 8080;

/// First ClusterIP less one: 10.96.0.0.
const CLUSTER_IPS: u32 = 0x0a60_0000;

/// First endpoint address less one: 11.0.0.0.
const POD_IPS: u32 = 0x0b00_0000;

/// Most endpoints of one Service: each has a block of addresses.
pub const MAX_ENDPOINTS: u32 = 64;

/// A cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Number of Services, at most 65,536.
    pub services: u32,
    /// Endpoints of each, at most [`MAX_ENDPOINTS`].
    pub endpoints: u32,
}

/// The ClusterIP of Service `service`.
#[must_use]
pub fn cluster_ip(service: u32) -> IpAddr {
    Ipv4Addr::from(CLUSTER_IPS + service + 1).into()
}

/// The address of an endpoint; each of four `incarnation`s of it has another.
#[must_use]
pub fn pod_ip(service: u32, endpoint: u32, incarnation: u32) -> IpAddr {
    Ipv4Addr::from(POD_IPS + ((incarnation % 4) << 22) + service * MAX_ENDPOINTS + endpoint + 1)
        .into()
}

impl Cluster {
    /// All Services and slices.
    ///
    /// # Errors
    /// None in fact: every name made here is one.
    pub fn changes(self) -> Result<Vec<Change>, NameError> {
        let mut changes = Vec::new();
        for service in 0..self.services {
            changes.push(Change::Service(self.service(service)?));
            changes.push(Change::Slice(self.slice(service, 0)?));
        }
        Ok(changes)
    }

    /// One Service.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub fn service(self, service: u32) -> Result<Service, NameError> {
        Ok(Service {
            name: ServiceName::new(NAMESPACE, &format!("s{service}"))?,
            kind: ServiceKind::ClusterIp(vec![cluster_ip(service)]),
            ports: vec![ServicePort {
                name: PortName::new("http")?,
                protocol: Protocol::Tcp,
                port: Port::new(SERVICE_PORT).ok_or(NameError::Empty)?,
                node_port: None,
            }],
            external: Default::default(),
            internal_policy: Default::default(),
            affinity: Default::default(),
            spread: Default::default(),
            proxy: Default::default(),
            labels: Default::default(),
            created_unix_seconds: None,
        })
    }

    /// The slice of one Service; another `incarnation` moves its first endpoint.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub fn slice(self, service: u32, incarnation: u32) -> Result<EndpointSlice, NameError> {
        let endpoint = |endpoint| Endpoint {
            address: pod_ip(service, endpoint, if endpoint == 0 { incarnation } else { 0 }),
            condition: Condition::Ready { terminating: false },
            hostname: None,
            node: None,
            pod: None,
            zone: None,
            hints: Hints::default(),
        };
        Ok(EndpointSlice {
            name: ObjectName::new(NAMESPACE, &format!("s{service}-x"))?,
            service: Some(ServiceName::new(NAMESPACE, &format!("s{service}"))?),
            origin: None,
            ports: vec![EndpointPort {
                name: PortName::new("http")?,
                protocol: Protocol::Tcp,
                port: Port::new(TARGET_PORT).ok_or(NameError::Empty)?,
            }],
            endpoints: (0..self.endpoints).map(endpoint).collect(),
        })
    }

    /// The Service as a manifest.
    #[must_use]
    pub fn service_manifest(self, service: u32) -> Value {
        let address = cluster_ip(service);
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": NAMESPACE, "name": format!("s{service}")},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address,
                "clusterIPs": [address],
                "ports": [{"name": "http", "protocol": "TCP", "port": SERVICE_PORT}],
            },
        })
    }

    /// The slice as a manifest.
    #[must_use]
    pub fn slice_manifest(self, service: u32, incarnation: u32) -> Value {
        let endpoint = |endpoint| {
            let address = pod_ip(service, endpoint, if endpoint == 0 { incarnation } else { 0 });
            json!({"addresses": [address], "conditions": {"ready": true}})
        };
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": NAMESPACE,
                "name": format!("s{service}-x"),
                "labels": {"kubernetes.io/service-name": format!("s{service}")},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": TARGET_PORT}],
            "endpoints": (0..self.endpoints).map(endpoint).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_endpoints_share_an_address() {
        let cluster = Cluster { services: 3, endpoints: MAX_ENDPOINTS };
        let mut seen = std::collections::HashSet::new();
        for service in 0..cluster.services {
            for incarnation in 0..2 {
                let slice = cluster.slice(service, incarnation).unwrap();
                seen.extend(slice.endpoints.into_iter().map(|endpoint| endpoint.address));
            }
        }
        assert_eq!(seen.len(), 3 * 64 + 3);
    }
}
