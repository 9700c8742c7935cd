//! Which addresses and ports a Service is reached at, and through which endpoint ports.

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::node::Node;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::{
    LoadBalancerAddress, LoadBalancerMode, ProxyOwner, Service, ServiceKind,
};
use podway_proxy_plan::plan::Origin;
use podway_proxy_plan::policy::{NodePortAddresses, Policy};

use crate::support::*;

/// Every frontend with its origin, in the order of the plan.
fn frontends(world: &World) -> Vec<String> {
    let ports = world.planner.plans().flat_map(|plan| &plan.ports);
    ports
        .flat_map(|port| &port.frontends)
        .map(|frontend| format!("{} {}", frontend.key, frontend.origin))
        .collect()
}

fn dual_stack(mut service: Service) -> Service {
    service.kind = ServiceKind::ClusterIp(vec![ip("10.96.0.10"), ip("fd00:96::10")]);
    service
}

fn with_service(policy: Policy, service: Service) -> World {
    World::new(policy, [Change::Service(service)])
}

#[test]
fn every_address_of_a_service_is_a_frontend_with_its_origin() {
    let world = with_service(policy(), web());
    assert_eq!(
        frontends(&world),
        [
            "10.96.0.10:80/tcp ClusterIP",
            "192.0.2.1:30080/tcp NodePort",
            "203.0.113.10:80/tcp ExternalIP",
            "203.0.113.20:80/tcp LoadBalancer",
        ]
    );
}

#[test]
fn family_without_cluster_ip_has_no_frontend() {
    let mut service = web();
    service.external.addresses.push(ip("2001:db8::10"));
    service
        .external
        .load_balancer
        .push(LoadBalancerAddress { address: ip("2001:db8::20"), mode: LoadBalancerMode::Vip });
    let policy =
        Policy { allow_external_ips: nets(&["203.0.113.0/24", "2001:db8::/64"]), ..policy() };

    let single = with_service(policy.clone(), service.clone());
    assert_eq!(frontends(&single).iter().filter(|frontend| frontend.contains('[')).count(), 0);

    let dual = with_service(policy, dual_stack(service));
    assert_eq!(
        frontends(&dual)[4..],
        [
            "[2001:db8::10]:80/tcp ExternalIP",
            "[2001:db8::20]:80/tcp LoadBalancer",
            "[2001:db8:1::1]:30080/tcp NodePort",
            "[fd00:96::10]:80/tcp ClusterIP",
        ]
    );
}

#[test]
fn family_without_cluster_ip_has_no_node_port() {
    let node_ports = NodePortAddresses::Cidrs(nets(&["0.0.0.0/0", "::/0"]));
    let world = with_service(Policy { node_ports, ..policy() }, web());
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "reject");
    assert_eq!(world.tcp("2001:db8::7", "[2001:db8:1::1]:30080"), "untouched");
}

#[test]
fn services_that_are_not_ours_have_no_frontend() {
    let mut rows = [
        ("another proxy's", web()),
        ("headless", web()),
        ("an alias", web()),
        ("without ports", web()),
    ];
    rows[0].1.proxy = ProxyOwner::Other;
    rows[1].1.kind = ServiceKind::Headless;
    rows[2].1.kind = ServiceKind::ExternalName("www.example.com".to_owned());
    rows[3].1.ports.clear();
    for (row, service) in rows {
        let world = World::web(service, vec![here("10.244.1.5")]);
        assert_eq!(world.planner.plans().count(), 0, "{row}");
    }
}

#[test]
fn service_handed_to_another_proxy_and_back_goes_and_comes() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    world.apply([Change::Service(Service { proxy: ProxyOwner::Other, ..web() })]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "untouched");
    world.apply([Change::Service(web())]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080");
}

#[test]
fn external_ips_are_ignored_unless_allowed() {
    let policy = Policy { allow_external_ips: nets(&["198.18.0.0/15"]), ..policy() };
    let mut service = web();
    service.external.addresses.push(ip("198.18.0.1"));
    let world = with_service(policy, service);
    assert_eq!(world.tcp(OUTSIDE, EXTERNAL_IP), "untouched");
    assert_eq!(world.tcp(OUTSIDE, "198.18.0.1:80"), "reject");

    let world =
        with_service(Policy { allow_external_ips: vec![], ..crate::support::policy() }, web());
    assert_eq!(world.tcp(OUTSIDE, EXTERNAL_IP), "untouched");
}

#[test]
fn load_balancer_that_delivers_by_itself_is_left_alone() {
    let mut service = web();
    service.external.load_balancer[0].mode = LoadBalancerMode::Proxy;
    let world = World::web(service, vec![here("10.244.1.5")]);
    assert_eq!(world.tcp(POD_HERE, LOAD_BALANCER), "untouched");
}

#[test]
fn address_named_by_two_fields_comes_once_and_source_ranges_stay_in_force() {
    let mut service = web();
    service.external.addresses = vec![ip("203.0.113.20"), ip("10.96.0.10")];
    let policy = Policy { allow_external_ips: nets(&["0.0.0.0/0"]), ..policy() };
    let world = with_service(policy, service);
    let origins: Vec<Origin> = world
        .planner
        .plans()
        .flat_map(|plan| &plan.ports)
        .flat_map(|port| &port.frontends)
        .map(|frontend| frontend.origin)
        .collect();
    assert_eq!(origins, [Origin::ClusterIp, Origin::NodePort, Origin::LoadBalancer]);
    assert_eq!(world.planner.conflicts().count(), 0);
}

#[test]
fn node_ports_are_open_at_the_chosen_addresses() {
    let cidrs = |texts: &[&str]| NodePortAddresses::Cidrs(nets(texts));
    let rows: Vec<(&str, NodePortAddresses, &[&str])> = vec![
        ("primary of each family", NodePortAddresses::Primary, &["192.0.2.1", "2001:db8:1::1"]),
        ("inside a CIDR", cidrs(&["198.18.0.0/15"]), &["198.18.0.1"]),
        ("a family without CIDR has none", cidrs(&["192.0.2.0/24"]), &["192.0.2.1"]),
        (
            "all, but never loopback",
            cidrs(&["0.0.0.0/0", "::/0"]),
            &["192.0.2.1", "198.18.0.1", "2001:db8:1::1", "fd00::1"],
        ),
        (
            "primary and inside a CIDR",
            NodePortAddresses::PrimaryAnd(nets(&["198.18.0.0/15"])),
            &["192.0.2.1", "198.18.0.1", "2001:db8:1::1"],
        ),
        ("nothing inside", cidrs(&["198.51.100.0/24"]), &[]),
        ("loopback asked for is not given", cidrs(&["127.0.0.0/8", "::1/128"]), &[]),
    ];
    for (row, chosen, expected) in rows {
        let mut world = with_service(Policy { node_ports: chosen, ..policy() }, dual_stack(web()));
        let interfaces = ["127.0.0.1", "::1", "192.0.2.1", "198.18.0.1", "fd00::1"];
        world.planner.set_interfaces(interfaces.map(ip).to_vec());
        world.apply([]);
        let open: Vec<String> = world
            .planner
            .plans()
            .flat_map(|plan| &plan.ports)
            .flat_map(|port| &port.frontends)
            .filter(|frontend| frontend.origin == Origin::NodePort)
            .map(|frontend| frontend.key.address.to_string())
            .collect();
        assert_eq!(open, expected, "{row}");
    }
}

#[test]
fn interfaces_stand_in_for_a_missing_node_object() {
    let mut world = with_service(policy(), web());
    world.planner.set_interfaces(vec![ip("127.0.0.1"), ip("198.18.0.1")]);
    world.apply([]);
    assert_eq!(world.tcp(OUTSIDE, "198.18.0.1:30080"), "untouched");
    world.apply([Change::NodeGone(node_name("node-1"))]);
    assert_eq!(world.tcp(OUTSIDE, "198.18.0.1:30080"), "reject");
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "untouched");
}

#[test]
fn node_ports_move_with_the_nodes_address() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    world.apply([Change::Node(Node { addresses: vec![ip("192.0.2.77")], ..node() })]);
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "untouched");
    assert_eq!(world.tcp(OUTSIDE, "192.0.2.77:30080"), "10.244.1.5:8080!");
}

#[test]
fn one_number_may_be_two_ports_of_different_protocol() {
    let mut service = web();
    service.ports =
        vec![service_port("dns", Protocol::Udp, 53), service_port("dns-tcp", Protocol::Tcp, 53)];
    let mut slice = slice("default/web", "web-1", vec![there("10.244.2.5")]);
    slice.ports =
        vec![EndpointPort { name: port_name("dns"), protocol: Protocol::Udp, port: port(5353) }];
    let world = World::new(policy(), [Change::Service(service), Change::Slice(slice)]);
    assert_eq!(world.send(Protocol::Udp, POD_HERE, "10.96.0.10:53"), "10.244.2.5:5353");
    assert_eq!(world.send(Protocol::Tcp, POD_HERE, "10.96.0.10:53"), "reject");
}

#[test]
fn endpoint_ports_are_matched_by_name_and_protocol_not_by_number() {
    let mut service = web();
    service.ports =
        vec![service_port("http", Protocol::Tcp, 80), service_port("admin", Protocol::Tcp, 8080)];
    let world = World::web(service, vec![there("10.244.2.5")]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.5:8080");
    assert_eq!(world.tcp(POD_HERE, "10.96.0.10:8080"), "reject");
}

#[test]
fn slices_may_give_one_named_port_different_numbers() {
    let mut old = slice("default/web", "web-old", vec![there("10.244.2.5")]);
    old.ports[0].port = port(8080);
    let mut new = slice("default/web", "web-new", vec![there("10.244.2.6")]);
    new.ports[0].port = port(9090);
    let world =
        World::new(policy(), [Change::Service(web()), Change::Slice(old), Change::Slice(new)]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.5:8080 10.244.2.6:9090");
}

#[test]
fn unnamed_port_meets_unnamed_endpoint_port() {
    let mut service = web();
    service.ports[0].name = port_name("");
    let mut slice = slice("default/web", "web-1", vec![there("10.244.2.5")]);
    slice.ports[0].name = port_name("");
    let world = World::new(policy(), [Change::Service(service), Change::Slice(slice)]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.5:8080");
}

#[test]
fn each_family_has_its_own_endpoints() {
    let v6 = slice("default/web", "web-v6", vec![there("fd00:244::5")]);
    let mut world = World::new(
        policy(),
        [Change::Service(dual_stack(web())), web_slice(vec![there("10.244.2.5")])],
    );
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.5:8080");
    assert_eq!(world.tcp("fd00:244::9", "[fd00:96::10]:80"), "reject");
    world.apply([Change::Slice(v6)]);
    assert_eq!(world.tcp("fd00:244::9", "[fd00:96::10]:80"), "[fd00:244::5]:8080");
}
