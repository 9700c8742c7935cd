//! Kubernetes objects as they stand in JSON or YAML, as far as we use them.
//!
//! One type serves every kind: a field that a kind does not have is absent. Decoding refuses
//! nothing but broken syntax; a value of the wrong type is kept as [`Field::Wrong`], so that
//! [`crate::convert`] can name the field and lose no more than it must.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde::de::{Error, Visitor};

use crate::path::{Fault, Path};
use crate::rejection::{Found, Reason};

/// One value of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Field<T> {
    /// The object does not have it, or has it as null, which means the same in the API.
    #[default]
    Absent,
    /// The value.
    Is(T),
    /// A value of another type.
    Wrong(Found),
}

/// A list whose elements are decoded one by one.
pub(crate) type List<T> = Field<Vec<Field<T>>>;

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
        creation_timestamp: Field<String>,
        deletion_timestamp: Field<String>,
    }
}
mapping! {
    /// The labels that mean something to us.
    Labels {
        #[serde(rename = "kubernetes.io/service-name")]
        service_name: Field<String>,
        #[serde(rename = "service.kubernetes.io/service-proxy-name")]
        service_proxy_name: Field<String>,
        #[serde(rename = "service.kubernetes.io/headless")]
        headless: Field<String>,
        #[serde(rename = "topology.kubernetes.io/zone")]
        zone: Field<String>,
    }
}
mapping! {
    /// `spec` of a Service, a Node or a Pod.
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

impl<T> Field<T> {
    /// The value, if there is one.
    ///
    /// # Errors
    /// The value is of another type; `path` says whose.
    pub(crate) fn optional(self, path: Path<'_>) -> Result<Option<T>, Fault>
    where
        T: Shape,
    {
        match self {
            Self::Absent => Ok(None),
            Self::Is(value) => Ok(Some(value)),
            Self::Wrong(found) => Err(path.fault(Reason::WrongType { expected: T::NAME, found })),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// There is none, or it is of another type; `path` says whose.
    pub(crate) fn required(self, path: Path<'_>) -> Result<T, Fault>
    where
        T: Shape,
    {
        self.optional(path)?.ok_or_else(|| path.fault(Reason::Missing))
    }

    /// The value or the default.
    ///
    /// # Errors
    /// The value is of another type; `path` says whose.
    pub(crate) fn or_default(self, path: Path<'_>) -> Result<T, Fault>
    where
        T: Shape + Default,
    {
        Ok(self.optional(path)?.unwrap_or_default())
    }

    /// Whether the object has the field, with whatever value.
    pub(crate) const fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl Field<String> {
    /// The text, unless it is empty, which in most fields of the API means that it is not set.
    ///
    /// # Errors
    /// The value is no text; `path` says whose.
    pub(crate) fn non_empty(self, path: Path<'_>) -> Result<Option<String>, Fault> {
        Ok(self.optional(path)?.filter(|text| !text.is_empty()))
    }
}

/// What a value may look like to be a `Self`.
pub(crate) trait Shape: Sized {
    /// What is expected, as it stands in a reason.
    const NAME: &'static str;

    /// A boolean as `Self`.
    fn from_boolean(value: bool) -> Result<Self, Found> {
        Err(Found::Boolean(value))
    }

    /// An integer as `Self`.
    fn from_integer(value: i64) -> Result<Self, Found> {
        Err(Found::Number(value.to_string()))
    }

    /// A text as `Self`.
    fn from_text(value: &str) -> Result<Self, Found> {
        Err(Found::text(value))
    }

    /// A sequence as `Self`; it must be read to its end.
    fn from_sequence<'de, A: SeqAccess<'de>>(
        mut sequence: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(Found::List))
    }

    /// A mapping as `Self`; it must be read to its end.
    fn from_mapping<'de, A: MapAccess<'de>>(
        mut mapping: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        while mapping.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(Found::Mapping))
    }
}

/// A struct of optional fields.
trait Mapping: DeserializeOwned {}

impl<T: Mapping> Shape for T {
    const NAME: &'static str = "a mapping";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Result<Self, Found>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(mapping)).map(Ok)
    }
}

impl Shape for bool {
    const NAME: &'static str = "true or false";

    fn from_boolean(value: bool) -> Result<Self, Found> {
        Ok(value)
    }
}

impl Shape for i64 {
    const NAME: &'static str = "an integer";

    fn from_integer(value: i64) -> Result<Self, Found> {
        Ok(value)
    }
}

impl Shape for String {
    const NAME: &'static str = "a text";

    fn from_text(value: &str) -> Result<Self, Found> {
        Ok(value.to_owned())
    }
}

impl<E: DeserializeOwned> Shape for Vec<E> {
    const NAME: &'static str = "a list";

    fn from_sequence<'de, A: SeqAccess<'de>>(
        mut sequence: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        let mut elements = Self::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Ok(elements))
    }
}

impl<'de, T: Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<T> From<Result<T, Found>> for Field<T> {
    fn from(value: Result<T, Found>) -> Self {
        match value {
            Ok(value) => Self::Is(value),
            Err(found) => Self::Wrong(found),
        }
    }
}

impl<'de, T: Shape> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Field::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_boolean(value).into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(T::from_integer(value).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let integer = i64::try_from(value).map_err(|_too_large| Found::Number(value.to_string()));
        Ok(integer.and_then(T::from_integer).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Number(value.to_string())))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        T::from_sequence(sequence).map(Into::into)
    }

    fn visit_map<A: MapAccess<'de>>(self, mapping: A) -> Result<Self::Value, A::Error> {
        T::from_mapping(mapping).map(Into::into)
    }
}
