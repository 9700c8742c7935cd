//! What the API server does to a Service: validation, defaults, addresses and node ports.
//!
//! Rules: the Kubernetes API reference of Service, and KEP-563 for dual stack.

mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::ClusterError;
use super::manifest::Manifest;
use super::spec::{self, Protocol, ServicePort, ServiceSpec};
use crate::address::{self, Family};
use crate::place::ObjectName;

/// Node ports that the API server gives out.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// First node port given out unasked; manifests tend to name lower ones.
const FIRST_FREE_NODE_PORT: u16 = 31000;

/// First Service address given out unasked; manifests and add-ons tend to name lower ones.
const FIRST_FREE_INDEX: u16 = 0x0101;

/// A Service as the API server keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: ObjectName,
    /// With the allocated node ports filled in.
    pub(crate) spec: ServiceSpec,
    pub(crate) kind: ServiceKind,
    pub(crate) families: Vec<Family>,
    /// Cluster addresses in the order of the families; none for headless and external names.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// Number of its load-balancer addresses.
    pub(crate) load_balancer: Option<u8>,
    health_check_node_port: Option<u16>,
    /// The manifest that it was made of.
    object: Value,
}

/// What a Service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    ClusterIp,
    Headless,
    NodePort,
    LoadBalancer,
    ExternalName,
}

impl ServiceKind {
    /// The value of `spec.type`.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::ClusterIp | Self::Headless => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        }
    }

    fn is_external(self) -> bool {
        matches!(self, Self::NodePort | Self::LoadBalancer)
    }

    fn has_cluster_ip(self) -> bool {
        matches!(self, Self::ClusterIp | Self::NodePort | Self::LoadBalancer)
    }
}

/// Makes a Service of `manifest`; what it had before is kept where the manifest leaves it open.
pub(crate) fn complete(
    manifest: &Manifest,
    services: &BTreeMap<ObjectName, Service>,
) -> Result<Service, ClusterError> {
    let refuse = |reason: String| ClusterError::invalid(manifest, reason);
    let spec: ServiceSpec =
        spec::read(&manifest.object, "spec").map_err(|error| refuse(format!("spec: {error}")))?;
    let kind = kind(&spec).map_err(refuse)?;
    check_ports(&spec.ports).map_err(refuse)?;
    let mut service = Service {
        name: manifest.name.clone(),
        families: families(&spec, kind).map_err(refuse)?,
        spec,
        kind,
        cluster_ips: Vec::new(),
        load_balancer: None,
        health_check_node_port: None,
        object: manifest.object.clone(),
    };
    let allocation = Allocation::new(&manifest.name, services);
    service.cluster_ips = allocation.cluster_ips(&service).map_err(refuse)?;
    allocation.node_ports(&mut service).map_err(refuse)?;
    if kind == ServiceKind::LoadBalancer {
        service.load_balancer = Some(allocation.load_balancer(&service).map_err(refuse)?);
    }
    Ok(service)
}

fn kind(spec: &ServiceSpec) -> Result<ServiceKind, String> {
    let headless = spec.cluster_ip.as_deref() == Some("None");
    match spec.kind.as_str() {
        "" | "ClusterIP" if headless => Ok(ServiceKind::Headless),
        "" | "ClusterIP" => Ok(ServiceKind::ClusterIp),
        _ if headless => Err("spec.clusterIP: None is only for type ClusterIP".to_owned()),
        "NodePort" => Ok(ServiceKind::NodePort),
        "LoadBalancer" => Ok(ServiceKind::LoadBalancer),
        "ExternalName" => Ok(ServiceKind::ExternalName),
        other => Err(format!("spec.type: {other:?} is no type of Service")),
    }
}

fn check_ports(ports: &[ServicePort]) -> Result<(), String> {
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        if port.port == 0 {
            return Err(format!("spec.ports[{index}].port: 0 is not in 1..=65535"));
        }
        if port.target() == spec::IntOrString::Int(0) {
            return Err(format!("spec.ports[{index}].targetPort: 0 is not in 1..=65535"));
        }
        if ports.len() > 1 && port.name.is_empty() {
            return Err(format!("spec.ports[{index}].name: required where there are several"));
        }
        if !names.insert(&port.name) {
            return Err(format!("spec.ports[{index}].name: {:?} stands twice", port.name));
        }
        if !numbers.insert((port.port, port.protocol)) {
            let (port, protocol) = (port.port, port.protocol.as_str());
            return Err(format!("spec.ports[{index}]: {port}/{protocol} stands twice"));
        }
    }
    Ok(())
}

/// The address families of a Service, primary first.
fn families(spec: &ServiceSpec, kind: ServiceKind) -> Result<Vec<Family>, String> {
    let mut families = Vec::new();
    for family in &spec.ip_families {
        families.push(match family.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            other => return Err(format!("spec.ipFamilies: {other:?} is no family")),
        });
    }
    if kind == ServiceKind::ExternalName {
        return Ok(families);
    }
    if families.is_empty() {
        let given = given_ips(spec)?;
        families.push(given.first().map_or(Family::V4, |address| Family::of(*address)));
        families.extend(given.get(1).map(|address| Family::of(*address)));
    }
    let selectorless_headless = kind == ServiceKind::Headless && spec.selector.is_empty();
    let dual = match spec.ip_family_policy.as_deref() {
        Some("PreferDualStack" | "RequireDualStack") => true,
        Some("SingleStack") if families.len() > 1 => {
            return Err("spec.ipFamilyPolicy: SingleStack with two families".to_owned());
        }
        Some("SingleStack") => false,
        None => selectorless_headless,
        Some(other) => return Err(format!("spec.ipFamilyPolicy: {other:?} is no policy")),
    };
    if dual && families.len() == 1 {
        families.push(if families[0] == Family::V4 { Family::V6 } else { Family::V4 });
    }
    Ok(families)
}

/// The cluster addresses that a manifest asks for.
fn given_ips(spec: &ServiceSpec) -> Result<Vec<IpAddr>, String> {
    let given: Vec<_> = match &spec.cluster_ip {
        _ if !spec.cluster_ips.is_empty() => spec.cluster_ips.iter().collect(),
        Some(address) => vec![address],
        None => Vec::new(),
    };
    given
        .into_iter()
        .filter(|text| !text.is_empty() && *text != "None")
        .map(|text| {
            let wrong = |_| format!("spec.clusterIPs: {text:?} is no IP address");
            text.parse().map_err(wrong)
        })
        .collect()
}

/// What is taken by other Services, and what this one had.
struct Allocation<'a> {
    previous: Option<&'a Service>,
    others: Vec<&'a Service>,
}

impl<'a> Allocation<'a> {
    fn new(name: &ObjectName, services: &'a BTreeMap<ObjectName, Service>) -> Self {
        let others = services.iter().filter(|(other, _)| *other != name);
        Self { previous: services.get(name), others: others.map(|(_, service)| service).collect() }
    }

    fn cluster_ips(&self, service: &Service) -> Result<Vec<IpAddr>, String> {
        if !service.kind.has_cluster_ip() {
            return Ok(Vec::new());
        }
        let given = given_ips(&service.spec)?;
        let mut addresses = Vec::new();
        for (index, family) in service.families.iter().enumerate() {
            addresses.push(match given.get(index) {
                Some(address) => self.check_cluster_ip(*address, *family)?,
                None => self.free_cluster_ip(*family)?,
            });
        }
        Ok(addresses)
    }

    fn check_cluster_ip(&self, address: IpAddr, family: Family) -> Result<IpAddr, String> {
        if Family::of(address) != family {
            return Err(format!("spec.clusterIPs: {address} is not {}", family.as_str()));
        }
        if address::service_index(address).is_none() {
            return Err(format!("spec.clusterIPs: {address} is not in the Service range"));
        }
        match self.others.iter().find(|other| other.cluster_ips.contains(&address)) {
            Some(other) => {
                Err(format!("spec.clusterIPs: {address} belongs to Service {}", other.name))
            }
            None => Ok(address),
        }
    }

    fn free_cluster_ip(&self, family: Family) -> Result<IpAddr, String> {
        let kept = self.previous.and_then(|previous| {
            previous.cluster_ips.iter().find(|address| Family::of(**address) == family)
        });
        let taken =
            |address: &IpAddr| self.others.iter().any(|other| other.cluster_ips.contains(address));
        let free = || {
            (FIRST_FREE_INDEX..u16::MAX)
                .map(|index| address::service(family, index))
                .find(|address| !taken(address))
        };
        kept.copied().or_else(free).ok_or_else(|| "no Service address is free".to_owned())
    }

    fn node_ports(&self, service: &mut Service) -> Result<(), String> {
        let allocates = service.kind == ServiceKind::NodePort
            || service.kind == ServiceKind::LoadBalancer
                && service.spec.allocate_load_balancer_node_ports != Some(false);
        let mut own: BTreeSet<u16> = BTreeSet::new();
        let mut ports = std::mem::take(&mut service.spec.ports);
        for (index, port) in ports.iter_mut().enumerate() {
            match port.node_port.filter(|given| *given != 0) {
                Some(_) if !service.kind.is_external() => {
                    return Err(format!("spec.ports[{index}].nodePort: only for node ports"));
                }
                Some(given) => {
                    self.check_node_port(given)
                        .map_err(|why| format!("spec.ports[{index}].nodePort: {why}"))?;
                    own.insert(given);
                }
                None => port.node_port = None,
            }
        }
        for port in ports.iter_mut().filter(|port| allocates && port.node_port.is_none()) {
            let number = self.free_node_port(port, &own)?;
            own.insert(number);
            port.node_port = Some(number);
        }
        service.spec.ports = ports;
        let local = service.spec.external_traffic_policy.as_deref() == Some("Local");
        if service.kind == ServiceKind::LoadBalancer && local {
            let kept = self.previous.and_then(|previous| previous.health_check_node_port);
            let given = service.spec.health_check_node_port.filter(|port| *port != 0).or(kept);
            let number = match given {
                Some(number) => number,
                None => self.free_node_port(&ServicePort::default(), &own)?,
            };
            service.health_check_node_port = Some(number);
        }
        Ok(())
    }

    fn check_node_port(&self, port: u16) -> Result<(), String> {
        if !NODE_PORTS.contains(&port) {
            return Err(format!("{port} is not in 30000..=32767"));
        }
        match self.others.iter().find(|other| other.node_ports().any(|taken| taken == port)) {
            Some(other) => Err(format!("{port} belongs to Service {}", other.name)),
            None => Ok(()),
        }
    }

    fn free_node_port(&self, port: &ServicePort, own: &BTreeSet<u16>) -> Result<u16, String> {
        let same = |old: &&ServicePort| (old.port, old.protocol) == (port.port, port.protocol);
        let kept = self.previous.and_then(|previous| {
            previous.spec.ports.iter().find(same).and_then(|old| old.node_port)
        });
        let free = || {
            (FIRST_FREE_NODE_PORT..=*NODE_PORTS.end())
                .find(|number| !own.contains(number) && self.check_node_port(*number).is_ok())
        };
        kept.filter(|kept| !own.contains(kept))
            .or_else(free)
            .ok_or_else(|| "no node port is free".to_owned())
    }

    fn load_balancer(&self, service: &Service) -> Result<u8, String> {
        let taken: BTreeSet<u8> =
            self.others.iter().filter_map(|other| other.load_balancer).collect();
        if let Some(asked) = &service.spec.load_balancer_ip {
            let number = (1..=254).find(|number| {
                let address = |family| address::load_balancer(family, *number).to_string();
                [Family::V4, Family::V6].iter().any(|family| address(*family) == *asked)
            });
            return number
                .filter(|number| !taken.contains(number))
                .ok_or_else(|| format!("spec.loadBalancerIP: {asked} cannot be had"));
        }
        self.previous
            .and_then(|previous| previous.load_balancer)
            .or_else(|| (1..=254).find(|number| !taken.contains(number)))
            .ok_or_else(|| "no load-balancer address is free".to_owned())
    }
}

impl Service {
    /// Every node port that it owns.
    fn node_ports(&self) -> impl Iterator<Item = u16> + '_ {
        let ports = self.spec.ports.iter().filter_map(|port| port.node_port);
        ports.chain(self.health_check_node_port)
    }

    /// The ports as people write them: `80/TCP`, `80:30001/TCP`.
    pub(crate) fn port_list(&self) -> Vec<String> {
        let text = |port: &ServicePort| {
            let node_port = port.node_port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}{node_port}/{}", port.port, port.protocol.as_str())
        };
        self.spec.ports.iter().map(text).collect()
    }

    /// Target ports by number and protocol that pods behind it should listen on.
    pub(crate) fn numeric_targets(&self) -> impl Iterator<Item = (u16, Protocol)> + '_ {
        self.spec.ports.iter().filter_map(|port| match port.target() {
            spec::IntOrString::Int(number) => Some((number, port.protocol)),
            spec::IntOrString::String(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
