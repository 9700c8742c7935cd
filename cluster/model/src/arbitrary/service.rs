//! Strategies for Services.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::port::Port;
use crate::service::{
    Affinity, Choice, External, LoadBalancerAddress, LoadBalancerMode, MAX_WEIGHT, ProxyOwner,
    Service, ServiceKind, ServicePort, Spread, TrafficPolicy,
};

use super::{
    ALIASES, Family, LOCAL_NAMES, cluster_ip_v4, cluster_ip_v6, labels, outside_ip, pod_ip, port,
    port_name, protocol, service_name,
};

/// A Service of any kind.
pub fn service() -> impl Strategy<Value = Service> {
    prop_oneof![4 => cluster_ip_service(), 2 => headless_service(), 1 => external_name_service()]
}

/// A Service with one or two virtual addresses.
pub fn cluster_ip_service() -> impl Strategy<Value = Service> {
    let addresses = prop_oneof![
        cluster_ip_v4().prop_map(|v4| vec![v4]),
        (cluster_ip_v4(), cluster_ip_v6()).prop_map(|(v4, v6)| vec![v4, v6]),
        (cluster_ip_v4(), cluster_ip_v6()).prop_map(|(v4, v6)| vec![v6, v4]),
        cluster_ip_v6().prop_map(|v6| vec![v6]),
    ];
    (service_of(addresses.prop_map(ServiceKind::ClusterIp)), external())
        .prop_map(|(service, external)| Service { external, ..service })
}

/// A headless Service.
pub fn headless_service() -> impl Strategy<Value = Service> {
    service_of(Just(ServiceKind::Headless)).prop_map(without_node_ports)
}

/// A Service that is an alias.
pub fn external_name_service() -> impl Strategy<Value = Service> {
    let kind = select(ALIASES).prop_map(|alias| ServiceKind::ExternalName(alias.to_owned()));
    service_of(kind).prop_map(|service| Service { ports: Vec::new(), ..service })
}

fn without_node_ports(mut service: Service) -> Service {
    for port in &mut service.ports {
        port.node_port = None;
    }
    service
}

/// A Service of one kind, without addresses from outside the cluster.
fn service_of(kind: impl Strategy<Value = ServiceKind>) -> impl Strategy<Value = Service> {
    let proxy = prop_oneof![7 => Just(ProxyOwner::Podway), 1 => Just(ProxyOwner::Other)];
    let created = option::of(0..2_000_000_000_i64);
    let labels = labels();
    (service_name(), kind, service_ports(), policy(), affinity(), spread(), proxy, labels, created)
        .prop_map(
            |(
                name,
                kind,
                ports,
                internal_policy,
                affinity,
                spread,
                proxy,
                labels,
                created_unix_seconds,
            )| Service {
                name,
                kind,
                ports,
                external: External::default(),
                internal_policy,
                affinity,
                spread,
                proxy,
                labels,
                created_unix_seconds,
            },
        )
}

/// Weights of some of the addresses and Pods that endpoints have, and either way to choose.
fn spread() -> impl Strategy<Value = Spread> {
    let name = prop_oneof![
        select(LOCAL_NAMES).prop_map(Arc::<str>::from),
        pod_ip(Family::V4).prop_map(|address| address.to_string().into()),
    ];
    let weights = btree_map(name, 0..=MAX_WEIGHT, 0..4);
    (prop_oneof![3 => Just(Choice::Random), 1 => Just(Choice::ClientHash)], weights)
        .prop_map(|(choice, weights)| Spread { choice, weights })
}

/// Ports with distinct names and distinct pairs of protocol and number.
fn service_ports() -> impl Strategy<Value = Vec<ServicePort>> {
    let node_port =
        option::weighted(0.3, (30_000..=32_767_u16).prop_filter_map("not zero", Port::new));
    let one = (port_name(), protocol(), port(), node_port).prop_map(
        |(name, protocol, port, node_port)| ServicePort { name, protocol, port, node_port },
    );
    vec(one, 0..4).prop_map(|ports| {
        let mut distinct: Vec<ServicePort> = Vec::new();
        for port in ports {
            let clash = |other: &ServicePort| {
                other.name == port.name
                    || (other.protocol, other.port) == (port.protocol, port.port)
            };
            if !distinct.iter().any(clash) {
                distinct.push(port);
            }
        }
        distinct
    })
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    select(&[TrafficPolicy::Cluster, TrafficPolicy::Local][..])
}

fn affinity() -> impl Strategy<Value = Affinity> {
    prop_oneof![
        3 => Just(Affinity::None),
        1 => (1..=86_400_u64)
            .prop_map(|seconds| Affinity::ClientIp { timeout: Duration::from_secs(seconds) }),
    ]
}

fn external() -> impl Strategy<Value = External> {
    let mode = select(&[LoadBalancerMode::Vip, LoadBalancerMode::Proxy][..]);
    let balancer =
        (outside_ip(), mode).prop_map(|(address, mode)| LoadBalancerAddress { address, mode });
    let addresses = btree_set(outside_ip(), 0..3).prop_map(|set| set.into_iter().collect());
    let full = (
        addresses,
        vec(balancer, 0..3),
        vec(source_range(), 0..3),
        policy(),
        option::of((30_000..=32_767_u16).prop_filter_map("not zero", Port::new)),
    )
        .prop_map(|(addresses, load_balancer, source_ranges, policy, check)| External {
            addresses,
            // Only a load balancer with the policy Local asks.
            health_check_node_port: check
                .filter(|_| policy == TrafficPolicy::Local && !load_balancer.is_empty()),
            load_balancer,
            source_ranges,
            policy,
        });
    prop_oneof![2 => Just(External::default()), 1 => full]
}

/// A network of clients, of either family.
fn source_range() -> impl Strategy<Value = IpNet> {
    (outside_ip(), any::<Index>()).prop_map(|(address, length)| {
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let host = IpNet::from(address);
        // The index is below 129, so it always fits, and never exceeds the longest prefix.
        let length = u8::try_from(length.index(usize::from(longest) + 1)).unwrap_or(longest);
        IpNet::new(address, length).map_or(host, |range| range.trunc())
    })
}
