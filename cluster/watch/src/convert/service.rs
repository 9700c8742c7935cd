//! Services.

use std::net::IpAddr;
use std::time::Duration;

use podway_cluster_model::name::{Hostname, LocalName, PortName, ServiceName};
use podway_cluster_model::port::Port;
use podway_cluster_model::service::{
    Affinity, External, ProxyOwner, Service, ServiceKind, ServicePort, TrafficPolicy,
};

use crate::field::{Field, List};
use crate::object::{self, Labels, Metadata, Object, SessionAffinityConfig, Spec};
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::address::{self, Use};
use super::external::external;
use super::slice::protocol;
use super::spread::spread;
use super::{Checker, labels, one_of_each_family};

/// Value of `clusterIP` for a headless Service.
const NO_CLUSTER_IP: &str = "None";

/// Session affinity timeout unless the object has one (API default).
const DEFAULT_AFFINITY_TIMEOUT: Duration = Duration::from_secs(10_800);

/// Labels of a Service that another proxy takes care of, or none.
const OTHER_PROXY_LABELS: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// Longest session affinity timeout (API validation): a day.
const MAX_AFFINITY_SECONDS: i64 = 86_400;

/// `spec.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceType {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// Converts a Service.
pub(super) fn convert<I>(object: Object<I>, checker: &mut Checker) -> Result<Service, Fault> {
    let (metadata_path, spec_path) = (Path::root("metadata"), Path::root("spec"));
    let mut metadata = object.metadata.required(metadata_path)?;
    let name = metadata.qualified(metadata_path, |namespace, name| {
        Ok(ServiceName { namespace, name: Hostname::new(name)? })
    })?;
    let mut spec = object.spec.required(spec_path)?;
    let service_type = service_type(std::mem::take(&mut spec.r#type))?;
    let kind = kind(&mut spec, service_type)?;
    let created_unix_seconds = checker.keep(created(&mut metadata)).flatten();
    let spread = spread(std::mem::take(&mut metadata.annotations), checker);
    let labels = checker.keep(metadata.labels.or_default(metadata_path.field("labels")));
    let labels = labels.unwrap_or_default();
    let proxy = proxy_owner(&labels);
    let labels = labels::convert(labels, checker);
    let ports = ports(std::mem::take(&mut spec.ports), &kind, checker);
    let affinity = affinity(&mut spec, checker);
    let internal = std::mem::take(&mut spec.internal_traffic_policy);
    let internal_policy = policy(internal, spec_path.field("internalTrafficPolicy"), checker);
    let external = match kind {
        ServiceKind::ClusterIp(_) => external(spec, object.status, service_type, checker),
        ServiceKind::Headless | ServiceKind::ExternalName(_) => External::default(),
    };
    Ok(Service {
        name,
        kind,
        ports,
        external,
        internal_policy,
        affinity,
        spread,
        proxy,
        labels,
        created_unix_seconds,
    })
}

fn service_type(field: Field<String>) -> Result<ServiceType, Fault> {
    let spec = Path::root("spec");
    let path = spec.field("type");
    match field.non_empty(path)?.as_deref() {
        None | Some("ClusterIP") => Ok(ServiceType::ClusterIp),
        Some("NodePort") => Ok(ServiceType::NodePort),
        Some("LoadBalancer") => Ok(ServiceType::LoadBalancer),
        Some("ExternalName") => Ok(ServiceType::ExternalName),
        Some(text) => {
            let accepted = "ClusterIP, NodePort, LoadBalancer, ExternalName";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    }
}

/// What stands for the Service. A fault here costs the whole object: without its addresses the rest
/// would mean something else.
fn kind(spec: &mut Spec, service_type: ServiceType) -> Result<ServiceKind, Fault> {
    let path = Path::root("spec");
    if service_type == ServiceType::ExternalName {
        return alias(std::mem::take(&mut spec.external_name), path.field("externalName"));
    }
    let list_path = path.field("clusterIPs");
    let mut texts = Vec::with_capacity(2);
    for (index, field) in
        std::mem::take(&mut spec.cluster_ips).or_default(list_path)?.into_iter().enumerate()
    {
        texts.push(field.required(list_path.index(index))?);
    }
    let single_path = path.field("clusterIP");
    let single = std::mem::take(&mut spec.cluster_ip).non_empty(single_path)?;
    let (texts, listed) = match (texts.first(), single) {
        (Some(first), Some(found)) if *first != found => {
            let (found, expected) = (quotable(&found), quotable(first));
            return Err(single_path.fault(Reason::Disagrees { found, expected }));
        }
        (Some(_), _) => (texts, true),
        (None, Some(single)) => (vec![single], false),
        (None, None) => return Err(single_path.fault(Reason::NotAllocated)),
    };
    if texts == [NO_CLUSTER_IP] {
        return Ok(ServiceKind::Headless);
    }
    let addresses: Result<Vec<IpAddr>, Fault> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let path = if listed { list_path.index(index) } else { single_path };
            address::address(text, Use::Frontend, path)
        })
        .collect();
    let mut second = None;
    let addresses = one_of_each_family(
        addresses?,
        |address| address,
        |index, address| {
            let value = address.to_string();
            second = Some(list_path.index(index).fault(Reason::SecondOfFamily { value }));
        },
    );
    second.map_or(Ok(ServiceKind::ClusterIp(addresses)), Err)
}

/// The name that the Service is an alias of, without its trailing dot.
fn alias(field: Field<String>, path: Path<'_>) -> Result<ServiceKind, Fault> {
    let text = field.required(path)?;
    let name = text.strip_suffix('.').unwrap_or(&text);
    if let Ok(address) = name.parse() {
        return Err(path.fault(Reason::AliasIsAddress { address }));
    }
    LocalName::new(name).map_err(|error| path.fault(error))?;
    Ok(ServiceKind::ExternalName(name.to_owned()))
}

fn created(metadata: &mut Metadata) -> Result<Option<i64>, Fault> {
    let parent = Path::root("metadata");
    let path = parent.field("creationTimestamp");
    let Some(text) = std::mem::take(&mut metadata.creation_timestamp).non_empty(path)? else {
        return Ok(None);
    };
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(Some(time.as_second())),
        Err(_) => Err(path.fault(Reason::NotATime { text: quotable(&text) })),
    }
}

/// Another proxy's Service carries one of two labels; their values have no meaning.
fn proxy_owner(labels: &Labels) -> ProxyOwner {
    if OTHER_PROXY_LABELS.into_iter().any(|label| labels.has(label)) {
        ProxyOwner::Other
    } else {
        ProxyOwner::Podway
    }
}

/// The ports without those that are wrong or repeat the name, or protocol and number, of another.
fn ports(list: List<object::Port>, kind: &ServiceKind, checker: &mut Checker) -> Vec<ServicePort> {
    if matches!(kind, ServiceKind::ExternalName(_)) {
        return Vec::new();
    }
    let spec = Path::root("spec");
    let mut kept: Vec<ServicePort> = Vec::new();
    let one = |checker: &mut Checker, entry: object::Port, path: Path<'_>| {
        let port = port(entry, kind, checker, path)?;
        let duplicate = |what: String| path.fault(Reason::Duplicate { what });
        if kept.iter().any(|other| other.name == port.name) {
            return Err(duplicate(format!("port name {:?}", port.name)));
        }
        if kept.iter().any(|other| (other.protocol, other.port) == (port.protocol, port.port)) {
            return Err(duplicate(format!("{} port {}", port.protocol, port.port)));
        }
        kept.push(port);
        Ok(())
    };
    checker.each(list, spec.field("ports"), one);
    kept
}

fn port(
    entry: object::Port,
    kind: &ServiceKind,
    checker: &mut Checker,
    path: Path<'_>,
) -> Result<ServicePort, Fault> {
    let name_path = path.field("name");
    let name = entry.name.or_default(name_path)?;
    let name = PortName::new(&name).map_err(|error| name_path.fault(error))?;
    let protocol = protocol(entry.protocol, path.field("protocol"))?;
    let number_path = path.field("port");
    let port = Port::try_from(entry.port.required(number_path)?)
        .map_err(|error| number_path.fault(error))?;
    let node_port = match kind {
        ServiceKind::ClusterIp(_) => optional_port(entry.node_port, path.field("nodePort")),
        ServiceKind::Headless | ServiceKind::ExternalName(_) => Ok(None),
    };
    Ok(ServicePort { name, protocol, port, node_port: checker.keep(node_port).flatten() })
}

/// A port; 0 means that there is none.
pub(super) fn optional_port(field: Field<i64>, path: Path<'_>) -> Result<Option<Port>, Fault> {
    match field.or_default(path)? {
        0 => Ok(None),
        number => Port::try_from(number).map(Some).map_err(|error| path.fault(error)),
    }
}

/// A traffic policy; Cluster where there is none or a wrong one.
pub(super) fn policy(field: Field<String>, path: Path<'_>, checker: &mut Checker) -> TrafficPolicy {
    let policy = field.non_empty(path).and_then(|text| match text.as_deref() {
        None | Some("Cluster") => Ok(TrafficPolicy::Cluster),
        Some("Local") => Ok(TrafficPolicy::Local),
        Some(text) => {
            let accepted = "Cluster, Local";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    });
    checker.keep(policy).unwrap_or_default()
}

fn affinity(spec: &mut Spec, checker: &mut Checker) -> Affinity {
    let parent = Path::root("spec");
    let path = parent.field("sessionAffinity");
    let field = std::mem::take(&mut spec.session_affinity).non_empty(path);
    let by_client = field.and_then(|text| match text.as_deref() {
        None | Some("None") => Ok(false),
        Some("ClientIP") => Ok(true),
        Some(text) => {
            let accepted = "None, ClientIP";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    });
    if !checker.keep(by_client).unwrap_or_default() {
        return Affinity::None;
    }
    let timeout = affinity_timeout(std::mem::take(&mut spec.session_affinity_config));
    Affinity::ClientIp {
        timeout: checker.keep(timeout).flatten().unwrap_or(DEFAULT_AFFINITY_TIMEOUT),
    }
}

fn affinity_timeout(config: Field<SessionAffinityConfig>) -> Result<Option<Duration>, Fault> {
    let spec = Path::root("spec");
    let path = spec.field("sessionAffinityConfig");
    let config = config.or_default(path)?;
    let path = path.field("clientIP");
    let client_ip = config.client_ip.or_default(path)?;
    let path = path.field("timeoutSeconds");
    let Some(number) = client_ip.timeout_seconds.optional(path)? else { return Ok(None) };
    let most = MAX_AFFINITY_SECONDS;
    let out_of_range = || path.fault(Reason::OutOfRange { number, least: 1, most });
    if !(1..=most).contains(&number) {
        return Err(out_of_range());
    }
    let seconds = u64::try_from(number).map_err(|_negative| out_of_range())?;
    Ok(Some(Duration::from_secs(seconds)))
}
