//! Kubernetes objects as they stand in JSON or YAML, as far as we use them.
//!
//! One type serves every kind: a field that a kind does not have is absent.

use serde::de::{DeserializeOwned, MapAccess};

use crate::field::{Field, List, Mapping, Shape};
use crate::rejection::Found;

/// Any object; `I` is what the elements of `items` are decoded to.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound = "I: DeserializeOwned")]
pub(crate) struct Object<I> {
    pub(crate) api_version: Field<String>,
    pub(crate) kind: Field<String>,
    pub(crate) metadata: Field<Metadata>,
    pub(crate) spec: Field<Spec>,
    pub(crate) status: Field<Status>,
    pub(crate) address_type: Field<String>,
    pub(crate) endpoints: List<Endpoint>,
    pub(crate) ports: List<Port>,
    pub(crate) items: Field<Vec<I>>,
    // Status
    pub(crate) code: Field<i64>,
    pub(crate) reason: Field<String>,
    pub(crate) message: Field<String>,
}

impl<I> Default for Object<I> {
    fn default() -> Self {
        Self {
            api_version: Field::Absent,
            kind: Field::Absent,
            metadata: Field::Absent,
            spec: Field::Absent,
            status: Field::Absent,
            address_type: Field::Absent,
            endpoints: Field::Absent,
            ports: Field::Absent,
            items: Field::Absent,
            code: Field::Absent,
            reason: Field::Absent,
            message: Field::Absent,
        }
    }
}

/// Declares a mapping: every field is optional and absent unless the object has it.
macro_rules! mapping {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            $($(#[$attribute])* pub(crate) $field: $type,)*
        }

        impl Mapping for $name {}
    };
}

mapping! {
    /// `metadata`.
    Metadata {
        name: Field<String>,
        namespace: Field<String>,
        labels: Field<Labels>,
        annotations: Field<Annotations>,
        creation_timestamp: Field<String>,
        resource_version: Field<String>,
        r#continue: Field<String>,
        deletion_timestamp: Field<String>,
    }
}

/// Labels, in the order of the object: people select by any of them.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<(String, Field<String>)>);

impl Labels {
    /// The value of a label.
    pub(crate) fn take(&mut self, key: &str) -> Field<String> {
        let value = self.0.iter_mut().find(|(own, _)| own == key).map(|(_, value)| value);
        value.map(std::mem::take).unwrap_or_default()
    }

    /// Whether there is the label, with whatever value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(own, value)| own == key && value.is_present())
    }
}

impl IntoIterator for Labels {
    type Item = (String, Field<String>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Shape for Labels {
    const NAME: &'static str = "a mapping";

    fn from_mapping<'de, A: MapAccess<'de>>(
        mut mapping: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        let mut labels = Vec::new();
        while let Some(label) = mapping.next_entry()? {
            labels.push(label);
        }
        Ok(Ok(Self(labels)))
    }
}

mapping! {
    /// The annotations that mean something to us.
    Annotations {
        #[serde(rename = "podway.dev/weights")]
        weights: Field<String>,
        #[serde(rename = "podway.dev/hash")]
        hash: Field<String>,
        #[serde(rename = "podway.dev/sockets")]
        sockets: Field<String>,
        #[serde(rename = "sidecar.istio.io/status")]
        istio_sidecar: Field<String>,
        #[serde(rename = "ambient.istio.io/redirection")]
        istio_ambient: Field<String>,
        #[serde(rename = "linkerd.io/proxy-version")]
        linkerd_proxy: Field<String>,
        #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
        trigger_time: Field<String>,
        #[serde(rename = "k8s.io/initial-events-end")]
        initial_events_end: Field<String>,
    }
}
mapping! {
    /// `spec` of a Service, a Node, a Pod, a `ServiceCIDR` or a `ServiceImport`.
    Spec {
        // Service
        r#type: Field<String>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Field<String>,
        #[serde(rename = "clusterIPs")]
        cluster_ips: List<String>,
        ports: List<Port>,
        external_name: Field<String>,
        #[serde(rename = "externalIPs")]
        external_ips: List<String>,
        load_balancer_source_ranges: List<String>,
        internal_traffic_policy: Field<String>,
        external_traffic_policy: Field<String>,
        session_affinity: Field<String>,
        session_affinity_config: Field<SessionAffinityConfig>,
        health_check_node_port: Field<i64>,
        // Node
        #[serde(rename = "podCIDR")]
        pod_cidr: Field<String>,
        #[serde(rename = "podCIDRs")]
        pod_cidrs: List<String>,
        taints: List<Taint>,
        // Pod
        node_name: Field<String>,
        host_network: Field<bool>,
        // ServiceCIDR
        cidrs: List<String>,
        // ServiceImport
        ips: List<String>,
    }
}
mapping! {
    /// One port of a Service or of a slice.
    Port {
        name: Field<String>,
        protocol: Field<String>,
        port: Field<i64>,
        node_port: Field<i64>,
    }
}
mapping! {
    /// `spec.sessionAffinityConfig`.
    SessionAffinityConfig {
        #[serde(rename = "clientIP")]
        client_ip: Field<ClientIp>,
    }
}
mapping! {
    /// `spec.sessionAffinityConfig.clientIP`.
    ClientIp {
        timeout_seconds: Field<i64>,
    }
}
mapping! {
    /// One taint of a Node.
    Taint {
        key: Field<String>,
    }
}
mapping! {
    /// `status` of a Service, a Node or a Pod.
    Status {
        load_balancer: Field<LoadBalancer>,
        addresses: List<NodeAddress>,
        phase: Field<String>,
        #[serde(rename = "podIP")]
        pod_ip: Field<String>,
        #[serde(rename = "podIPs")]
        pod_ips: List<PodIp>,
    }
}
mapping! {
    /// `status.loadBalancer`.
    LoadBalancer {
        ingress: List<Ingress>,
    }
}
mapping! {
    /// One address of a load balancer; one that has only a host name means nothing to a node.
    Ingress {
        ip: Field<String>,
        ip_mode: Field<String>,
    }
}
mapping! {
    /// One address of a Node.
    NodeAddress {
        r#type: Field<String>,
        address: Field<String>,
    }
}
mapping! {
    /// One address of a Pod.
    PodIp {
        ip: Field<String>,
    }
}
mapping! {
    /// One endpoint of a slice.
    Endpoint {
        addresses: List<String>,
        conditions: Field<Conditions>,
        hostname: Field<String>,
        node_name: Field<String>,
        zone: Field<String>,
        target_ref: Field<TargetRef>,
        hints: Field<Hints>,
    }
}
mapping! {
    /// `conditions` of an endpoint.
    Conditions {
        ready: Field<bool>,
        serving: Field<bool>,
        terminating: Field<bool>,
    }
}
mapping! {
    /// `targetRef` of an endpoint.
    TargetRef {
        kind: Field<String>,
        name: Field<String>,
    }
}
mapping! {
    /// `hints` of an endpoint.
    Hints {
        for_zones: List<Named>,
        for_nodes: List<Named>,
    }
}
mapping! {
    /// A zone or node in a hint.
    Named {
        name: Field<String>,
    }
}
