//! What holds whatever the cluster is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::Condition;
use podway_cluster_model::name::{ObjectName, ServiceName};
use podway_cluster_model::node::Node;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{ProxyOwner, Service, ServiceKind};
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};
use podway_proxy_plan::check::check;
use podway_proxy_plan::claims::Conflict;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::ServicePlan;
use podway_proxy_plan::planner::{Changes, Planner};
use podway_proxy_plan::policy::{NodePortAddresses, PodDetection, Policy, UnknownPorts};
use podway_proxy_plan::route::{Packet, Verdict, route};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestRng, TestRunner};

use crate::support::{SOURCES, ip, nets, node_name, port as number};

fn policies() -> impl Strategy<Value = Policy> {
    let node_ports = select(vec![
        NodePortAddresses::Primary,
        NodePortAddresses::Cidrs(nets(&["192.0.2.0/24", "2001:db8:1::/48"])),
        NodePortAddresses::Cidrs(nets(&["192.0.2.2/32"])),
        NodePortAddresses::PrimaryAnd(nets(&["192.0.2.2/32"])),
    ]);
    let cluster_cidrs = select(vec![nets(&["10.244.0.0/16", "fd00:244::/32"]), vec![]]);
    let allowed = select(vec![nets(&["203.0.113.0/25", "2001:db8::/64"]), vec![]]);
    let service_cidrs = select(vec![nets(&["10.96.0.0/12", "fd00:96::/32"]), vec![]]);
    let unknown_ports = select(vec![UnknownPorts::Reject, UnknownPorts::Ignore]);
    let pods = select(vec![
        PodDetection::ClusterCidrs,
        PodDetection::NodeCidrs,
        PodDetection::Interface(InterfaceName::beginning_with("veth").unwrap()),
    ]);
    (node_ports, cluster_cidrs, allowed, any::<bool>(), service_cidrs, unknown_ports, pods)
        .prop_map(
            |(
                node_ports,
                cluster_cidrs,
                allow_external_ips,
                masquerade_all,
                ranges,
                unknown,
                pods,
            )| Policy {
                pods,
                cluster_cidrs,
                masquerade_all,
                node_ports,
                allow_external_ips,
                service_cidrs: ranges,
                unknown_ports: unknown,
                ..Policy::default()
            },
        )
}

/// Objects of a cluster whose addresses and ports are few, so that Services meet there.
fn clusters() -> impl Strategy<Value = Vec<Change>> {
    arbitrary::cluster().prop_map(crowd)
}

/// A history that begins with a whole cluster, in steps.
fn histories() -> impl Strategy<Value = Vec<Vec<Change>>> {
    (clusters(), vec(arbitrary::changes(4).prop_map(crowd), 0..12)).prop_map(
        |(first, mut steps)| {
            steps.insert(0, first);
            steps
        },
    )
}

fn crowd(mut changes: Vec<Change>) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Service(service) = change {
            crowd_service(service);
        }
    }
    changes
}

/// Maps addresses, ports and ages to few.
fn crowd_service(service: &mut Service) {
    if let ServiceKind::ClusterIp(addresses) = &mut service.kind {
        for address in addresses {
            *address = match address {
                IpAddr::V4(address) => ip(&format!("10.96.0.{}", address.octets()[3] % 4 + 1)),
                IpAddr::V6(address) => ip(&format!("fd00:96::{}", address.octets()[15] % 4 + 1)),
            };
        }
    }
    for port in &mut service.ports {
        port.port = if port.port.number() % 2 == 0 { number(80) } else { number(443) };
        port.node_port = port.node_port.map(|found| number(30_000 + found.number() % 3));
    }
    service.created_unix_seconds = service.created_unix_seconds.map(|seconds| seconds % 3);
}

fn new_planner(policy: &Policy) -> Planner {
    Planner::new(policy.clone(), NodeView::bare(node_name("node-1")))
}

fn plan_everything(policy: &Policy, snapshot: &Snapshot) -> Planner {
    let mut planner = new_planner(policy);
    planner.update(snapshot, &Delta::everything(snapshot));
    planner
}

/// The same objects, told in another order, with everything inside them in another order that has
/// no meaning.
fn reorder(snapshot: &Snapshot, rng: &mut TestRng) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for entry in snapshot.services.values() {
        if let Some(service) = &entry.service {
            let mut service = Service::clone(service);
            shuffle(&mut service.ports, rng);
            shuffle(&mut service.external.addresses, rng);
            shuffle(&mut service.external.load_balancer, rng);
            changes.push(Change::Service(service));
        }
        let mut names: Vec<ObjectName> =
            entry.slices.values().map(|slice| slice.name.clone()).collect();
        shuffle(&mut names, rng);
        for (slice, name) in entry.slices.values().zip(names) {
            let mut slice = (**slice).clone();
            slice.name = name;
            shuffle(&mut slice.ports, rng);
            shuffle(&mut slice.endpoints, rng);
            changes.push(Change::Slice(slice));
        }
    }
    changes.extend(snapshot.nodes.values().map(|node| Change::Node(Node::clone(node))));
    shuffle(&mut changes, rng);
    changes
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut TestRng) {
    for end in (1..items.len()).rev() {
        let place = rng.next_u32() as usize % (end + 1);
        items.swap(end, place);
    }
}

/// A follower that knows of the plan only what updates say.
#[derive(Default)]
struct Mirror {
    plans: BTreeMap<ServiceName, ServicePlan>,
    conflicts: BTreeSet<Conflict>,
}

impl Mirror {
    fn follow(&mut self, changes: Changes) {
        for (name, plan) in changes.plans {
            let before = self.plans.get(&name);
            assert_ne!(before, plan.as_deref(), "{name} is named though nothing changed");
            match plan {
                Some(plan) => self.plans.insert(name, ServicePlan::clone(&plan)),
                None => self.plans.remove(&name),
            };
        }
        for conflict in changes.healed {
            assert!(self.conflicts.remove(&conflict), "was no conflict: {conflict}");
        }
        for conflict in changes.appeared {
            assert!(self.conflicts.insert(conflict.clone()), "was a conflict: {conflict}");
        }
    }

    fn assert_is(&self, planner: &Planner) {
        let plans: Vec<&ServicePlan> = planner.plans().map(AsRef::as_ref).collect();
        assert_eq!(self.plans.values().collect::<Vec<_>>(), plans);
        let conflicts: BTreeSet<Conflict> = planner.conflicts().collect();
        assert_eq!(self.conflicts, conflicts);
    }
}

/// Every address and port that an object of the cluster names, and some that none does.
fn destinations(snapshot: &Snapshot) -> BTreeSet<(IpAddr, Protocol, Port)> {
    let services = snapshot.services.values().filter_map(|entry| entry.service.as_ref());
    let mut destinations = BTreeSet::new();
    for service in services {
        let addresses = service
            .cluster_ips()
            .iter()
            .chain(&service.external.addresses)
            .copied()
            .chain(service.external.load_balancer.iter().map(|ingress| ingress.address))
            .chain(snapshot.nodes.values().flat_map(|node| node.addresses.clone()));
        for address in addresses {
            for port in &service.ports {
                destinations.insert((address, port.protocol, port.port));
                destinations.extend(port.node_port.map(|number| (address, port.protocol, number)));
            }
        }
    }
    destinations
}

/// Where an endpoint listens that may be used.
fn usable(entry: &ServiceEntry) -> BTreeSet<(Protocol, SocketAddr)> {
    let mut usable = BTreeSet::new();
    for slice in entry.slices.values() {
        for endpoint in &slice.endpoints {
            if endpoint.condition != Condition::NotReady {
                usable.extend(slice.ports.iter().map(|port| {
                    (port.protocol, SocketAddr::new(endpoint.address, port.port.number()))
                }));
            }
        }
    }
    usable
}

/// Sends a packet of each kind of source, and of every endpoint, to each destination.
fn verdicts(planner: &Planner, snapshot: &Snapshot) -> Vec<(Packet, Verdict)> {
    let sources: BTreeSet<IpAddr> = SOURCES
        .into_iter()
        .chain(["10.244.0.1", "fd00:244::1", "2001:db8:1::1", "2001:db8::99"])
        .map(ip)
        .chain(snapshot.services.values().flat_map(|entry| usable(entry)).map(|(_, at)| at.ip()))
        .collect();
    let mut verdicts = Vec::new();
    for (destination, protocol, port) in destinations(snapshot) {
        for source in sources.iter().copied() {
            if source.is_ipv4() == destination.is_ipv4() {
                let packet = Packet { source, destination, protocol, port, interface: None };
                verdicts.push((packet, route(planner, &packet)));
            }
        }
    }
    verdicts
}

proptest! {
    #[test]
    fn plan_ignores_the_order_of_its_input(
        policy in policies(),
        (snapshot, reordered) in arbitrary_and_reordered(),
    ) {
        let (again, _) = Builder::new().apply(reordered);
        let one = plan_everything(&policy, &snapshot);
        let other = plan_everything(&policy, &again);
        prop_assert_eq!(one.plans().collect::<Vec<_>>(), other.plans().collect::<Vec<_>>());
        prop_assert_eq!(one.to_string(), other.to_string());
    }

    #[test]
    fn following_each_step_leads_to_the_plan_of_everything(
        policy in policies(),
        history in histories(),
    ) {
        let mut builder = Builder::new();
        let mut planner = new_planner(&policy);
        let mut mirror = Mirror::default();
        for step in history {
            let (snapshot, delta) = builder.apply(step);
            mirror.follow(planner.update(&snapshot, &delta));
            mirror.assert_is(&planner);
            let fresh = plan_everything(&policy, &snapshot);
            prop_assert_eq!(planner.to_string(), fresh.to_string());
            mirror.assert_is(&fresh);
            prop_assert_eq!(check(&planner, &snapshot), vec![]);
        }
    }

    #[test]
    fn packets_go_only_to_usable_endpoints(policy in policies(), cluster in clusters()) {
        let (snapshot, _) = Builder::new().apply(cluster);
        let planner = plan_everything(&policy, &snapshot);
        let usable: BTreeSet<_> =
            snapshot.services.values().flat_map(|entry| usable(entry)).collect();
        for (packet, verdict) in verdicts(&planner, &snapshot) {
            if let Verdict::Dnat(targets) = verdict {
                prop_assert!(!targets.is_empty(), "{packet:?}");
                for target in targets {
                    let key = (packet.protocol, target.backend.address);
                    prop_assert!(usable.contains(&key), "{packet:?} to {target:?}");
                }
            }
        }
    }

    #[test]
    fn no_cluster_ip_of_ours_is_left_untouched(policy in policies(), cluster in clusters()) {
        let (snapshot, _) = Builder::new().apply(cluster);
        let planner = plan_everything(&policy, &snapshot);
        for entry in snapshot.services.values() {
            let Some(service) = &entry.service else { continue };
            if service.proxy == ProxyOwner::Other {
                continue;
            }
            for (address, port) in service
                .cluster_ips()
                .iter()
                .flat_map(|address| service.ports.iter().map(move |port| (*address, port)))
            {
                let packet = Packet {
                    source: if address.is_ipv4() { ip("10.244.0.1") } else { ip("fd00:244::1") },
                    destination: address,
                    protocol: port.protocol,
                    port: port.port,
                    interface: None,
                };
                prop_assert_ne!(route(&planner, &packet), Verdict::Untouched, "{:?}", packet);
            }
        }
    }
}

/// A cluster, and the same told in another order.
fn arbitrary_and_reordered() -> impl Strategy<Value = (std::sync::Arc<Snapshot>, Vec<Change>)> {
    clusters().prop_perturb(|changes, mut rng| {
        let (snapshot, _) = Builder::new().apply(changes);
        let reordered = reorder(&snapshot, &mut rng);
        (snapshot, reordered)
    })
}

#[test]
fn generated_clusters_show_every_verdict_and_conflicts() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let cluster = clusters().new_tree(&mut runner).unwrap().current();
        let policy = policies().new_tree(&mut runner).unwrap().current();
        let (snapshot, _) = Builder::new().apply(cluster);
        let planner = plan_everything(&policy, &snapshot);
        if planner.conflicts().next().is_some() {
            seen.insert("conflict");
        }
        for (_, verdict) in verdicts(&planner, &snapshot) {
            match verdict {
                Verdict::Untouched => seen.insert("untouched"),
                Verdict::Reject => seen.insert("reject"),
                Verdict::Drop => seen.insert("drop"),
                Verdict::Dnat(targets) if targets.iter().all(|target| target.masquerade) => {
                    seen.insert("masqueraded")
                }
                Verdict::Dnat(targets) if targets.iter().any(|target| target.masquerade) => {
                    seen.insert("hairpin")
                }
                Verdict::Dnat(_) => seen.insert("kept"),
            };
        }
    }
    let all = ["conflict", "drop", "hairpin", "kept", "masqueraded", "reject", "untouched"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
