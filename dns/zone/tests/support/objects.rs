//! Objects of a cluster as tests write them; also for the tests of crates that use this one.

use std::net::IpAddr;
use std::sync::Arc;

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::import::{ImportKind, ServiceImport, SliceOrigin};
use podway_cluster_model::label::Labels;
use podway_cluster_model::name::{
    Hostname, LocalName, Namespace, ObjectName, PortName, ServiceName,
};
use podway_cluster_model::node::Pod;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, External, ProxyOwner, Service, ServiceKind, ServicePort, TrafficPolicy,
};

/// A port as tests write it: name, protocol, number.
pub(crate) type PortSpec<'a> = (&'a str, Protocol, u16);

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

pub(crate) fn namespace(name: &str) -> Change {
    labeled_namespace(name, &[])
}

pub(crate) fn labeled_namespace(name: &str, labels: &[(&str, &str)]) -> Change {
    Change::Namespace(Namespace::new(name).unwrap(), self::labels(labels))
}

pub(crate) fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect()
}

/// A Service, an import or a Pod with labels.
pub(crate) fn labeled(labels: &[(&str, &str)], mut object: Change) -> Change {
    let labels = self::labels(labels);
    if let Change::Service(service) = &mut object {
        service.labels = labels;
    } else if let Change::Pod(pod) = &mut object {
        pod.labels = labels;
    } else if let Change::Import(import) = &mut object {
        import.labels = labels;
    } else {
        panic!("{object:?} has no labels");
    }
    object
}

pub(crate) fn service_name(namespace: &str, name: &str) -> ServiceName {
    ServiceName::new(namespace, name).unwrap()
}

pub(crate) fn service(name: ServiceName, kind: ServiceKind, ports: &[PortSpec<'_>]) -> Change {
    let ports = ports
        .iter()
        .map(|(name, protocol, number)| ServicePort {
            name: PortName::new(name).unwrap(),
            protocol: *protocol,
            port: port(*number),
            node_port: None,
        })
        .collect();
    Change::Service(Service {
        name,
        kind,
        ports,
        external: External::default(),
        internal_policy: TrafficPolicy::default(),
        affinity: Affinity::default(),
        spread: Default::default(),
        proxy: ProxyOwner::default(),
        labels: Labels::default(),
        created_unix_seconds: None,
    })
}

pub(crate) fn cluster_ip(
    (namespace, name): (&str, &str),
    addresses: &[&str],
    ports: &[PortSpec<'_>],
) -> Change {
    let addresses = addresses.iter().map(|text| address(text)).collect();
    service(service_name(namespace, name), ServiceKind::ClusterIp(addresses), ports)
}

pub(crate) fn headless((namespace, name): (&str, &str), ports: &[PortSpec<'_>]) -> Change {
    service(service_name(namespace, name), ServiceKind::Headless, ports)
}

pub(crate) fn external_name((namespace, name): (&str, &str), target: &str) -> Change {
    service(service_name(namespace, name), ServiceKind::ExternalName(target.to_owned()), &[])
}

/// A ready endpoint without host name and pod.
pub(crate) fn endpoint(text: &str) -> Endpoint {
    Endpoint {
        address: address(text),
        condition: Condition::Ready { terminating: false },
        hostname: None,
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    }
}

pub(crate) fn named(text: &str, hostname: &str) -> Endpoint {
    Endpoint { hostname: Some(Hostname::new(hostname).unwrap()), ..endpoint(text) }
}

pub(crate) fn of_pod(pod: &str, endpoint: Endpoint) -> Endpoint {
    Endpoint { pod: Some(LocalName::new(pod).unwrap()), ..endpoint }
}

pub(crate) fn unready(endpoint: Endpoint) -> Endpoint {
    Endpoint { condition: Condition::NotReady, ..endpoint }
}

/// A slice of a Service; its own name is the Service's with `suffix`.
pub(crate) fn slice(
    (namespace, service): (&str, &str),
    suffix: &str,
    ports: &[PortSpec<'_>],
    endpoints: Vec<Endpoint>,
) -> Change {
    let ports = endpoint_ports(ports);
    Change::Slice(EndpointSlice {
        name: ObjectName::new(namespace, &format!("{service}-{suffix}")).unwrap(),
        service: Some(service_name(namespace, service)),
        origin: None,
        ports,
        endpoints: endpoints.into(),
    })
}

/// A `ServiceImport` with these addresses; without any it is headless.
pub(crate) fn import(
    (namespace, name): (&str, &str),
    addresses: Option<&[&str]>,
    ports: &[PortSpec<'_>],
) -> Change {
    let kind = addresses.map_or(ImportKind::Headless, |addresses| {
        ImportKind::ClusterSetIp(addresses.iter().map(|text| address(text)).collect())
    });
    let name = service_name(namespace, name);
    Change::Import(ServiceImport {
        name,
        kind,
        ports: endpoint_ports(ports),
        labels: Labels::default(),
    })
}

/// A slice that was imported from a cluster and serves no Service of this one.
pub(crate) fn imported_slice(
    (namespace, service): (&str, &str),
    cluster: &str,
    ports: &[PortSpec<'_>],
    endpoints: Vec<Endpoint>,
) -> Change {
    let origin = SliceOrigin {
        service: service_name(namespace, service),
        cluster: Hostname::new(cluster).unwrap(),
    };
    Change::Slice(EndpointSlice {
        name: ObjectName::new(namespace, &format!("{service}-of-{cluster}")).unwrap(),
        service: None,
        origin: Some(Arc::new(origin)),
        ports: endpoint_ports(ports),
        endpoints: endpoints.into(),
    })
}

fn endpoint_ports(ports: &[PortSpec<'_>]) -> Vec<EndpointPort> {
    let port = |(name, protocol, number): &PortSpec<'_>| EndpointPort {
        name: PortName::new(name).unwrap(),
        protocol: *protocol,
        port: port(*number),
    };
    ports.iter().map(port).collect()
}

pub(crate) fn pod((namespace, name): (&str, &str), addresses: &[&str]) -> Change {
    Change::Pod(Pod {
        name: ObjectName::new(namespace, name).unwrap(),
        node: None,
        addresses: addresses.iter().map(|text| address(text)).collect(),
        host_network: false,
        sockets: Default::default(),
        labels: Labels::default(),
    })
}
