use std::sync::Arc;

use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::import::SliceOrigin;
use podway_cluster_model::name::{
    Hostname, LocalName, NodeName, ObjectName, PortName, ServiceName,
};
use podway_cluster_model::port::{Port, Protocol};

use super::*;

/// One behavior: what the fields of a slice become, and what of them is rejected.
struct Row {
    name: &'static str,
    fields: &'static str,
    /// Turns the slice without endpoints and ports into the expected one.
    expected: fn(&mut EndpointSlice),
    rejected: &'static [&'static str],
}

const ROW: Row = Row { name: "", fields: "addressType: IPv4", expected: |_| {}, rejected: &[] };

fn base() -> EndpointSlice {
    EndpointSlice {
        name: ObjectName::new("shop", "web-x7k2p").unwrap(),
        origin: None,
        service: Some(ServiceName::new("shop", "web").unwrap()),
        ports: Vec::new(),
        endpoints: Vec::new().into(),
    }
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        address: address.parse().unwrap(),
        condition: Condition::Ready { terminating: false },
        hostname: None,
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    }
}

fn yaml(fields: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-x7k2p\n  namespace: shop\n  labels:\n    kubernetes.io/service-name: web\n{fields}\n"
    )
}

fn check(rows: &[Row]) {
    for Row { name, fields, expected, rejected } in rows {
        let (change, rejections) = converted(&yaml(fields));
        let mut slice = base();
        expected(&mut slice);
        assert_eq!(change, Some(Change::Slice(slice)), "{name}");
        assert_eq!(rejections, *rejected, "{name}");
    }
}

#[test]
fn ports() {
    check(&[
        Row { name: "ports may be null", fields: "addressType: IPv4\nports: null", ..ROW },
        Row {
            name: "protocol is TCP and the name is empty unless they are given",
            fields: "addressType: IPv4\nports: [{port: 8080}, {name: dns, protocol: UDP, port: 53}]",
            expected: |slice| {
                slice.ports = vec![
                    EndpointPort {
                        name: PortName::new("").unwrap(),
                        protocol: Protocol::Tcp,
                        port: Port::new(8080).unwrap(),
                    },
                    EndpointPort {
                        name: PortName::new("dns").unwrap(),
                        protocol: Protocol::Udp,
                        port: Port::new(53).unwrap(),
                    },
                ];
            },
            ..ROW
        },
        Row {
            name: "a port without number is passed over",
            fields: "addressType: IPv4\nports: [{name: any, port: null}]",
            ..ROW
        },
        Row {
            name: "a wrong port costs that port",
            fields: "addressType: IPv4\nports: [{name: a, port: 0}, {name: b, port: 80, protocol: QUIC}]",
            rejected: &[
                "endpointslice shop/web-x7k2p: ports[0].port: 0 is not in 1..=65535",
                "endpointslice shop/web-x7k2p: ports[1].protocol: \"QUIC\" is not one of TCP, UDP, SCTP",
            ],
            ..ROW
        },
        Row {
            name: "the second port of a name is lost",
            fields: "addressType: IPv4\nports: [{port: 8080}, {port: 8081}]",
            expected: |slice| {
                slice.ports = vec![EndpointPort {
                    name: PortName::new("").unwrap(),
                    protocol: Protocol::Tcp,
                    port: Port::new(8080).unwrap(),
                }];
            },
            rejected: &[
                "endpointslice shop/web-x7k2p: ports: port name \"\" stands twice; the first is used",
            ],
        },
    ]);
}

#[test]
fn endpoints() {
    check(&[
        Row {
            name: "the first address counts",
            fields: "addressType: IPv4\nendpoints: [{addresses: [10.244.1.1, 10.244.1.2]}]",
            expected: |slice| slice.endpoints = vec![endpoint("10.244.1.1")].into(),
            ..ROW
        },
        Row {
            name: "everything an endpoint can say",
            fields: "addressType: IPv6\nendpoints:\n- addresses: ['fd00:244::1']\n  hostname: web-0\n  nodeName: node-1\n  zone: zone-a\n  targetRef: {kind: Pod, name: web-0, namespace: shop}\n  hints: {forZones: [{name: zone-b}, {name: zone-a}], forNodes: [{name: node-1}]}",
            expected: |slice| {
                slice.endpoints = vec![Endpoint {
                    hostname: Some(Hostname::new("web-0").unwrap()),
                    node: Some(NodeName::new("node-1").unwrap()),
                    pod: Some(LocalName::new("web-0").unwrap()),
                    zone: Some(Arc::from("zone-a")),
                    hints: Hints::new(
                        [Arc::from("zone-a"), Arc::from("zone-b")].into(),
                        [NodeName::new("node-1").unwrap()].into(),
                    ),
                    ..endpoint("fd00:244::1")
                }]
                .into();
            },
            ..ROW
        },
        Row {
            name: "a target that is no pod means nothing",
            fields: "addressType: IPv4\nendpoints: [{addresses: [10.244.1.1], targetRef: {kind: Node, name: node-1}}]",
            expected: |slice| slice.endpoints = vec![endpoint("10.244.1.1")].into(),
            ..ROW
        },
        Row {
            name: "a wrong name costs what the name was for",
            fields: "addressType: IPv4\nendpoints: [{addresses: [10.244.1.1], hostname: web_0, nodeName: '-', hints: {forNodes: [{name: node-1}, {}]}}]",
            expected: |slice| {
                let nodes = [NodeName::new("node-1").unwrap()].into();
                let hints = Hints::new(Default::default(), nodes);
                slice.endpoints = vec![Endpoint { hints, ..endpoint("10.244.1.1") }].into();
            },
            rejected: &[
                "endpointslice shop/web-x7k2p: endpoints[0].hostname: \"web_0\" must be lower-case letters, digits and '-', starting and ending with a letter or digit",
                "endpointslice shop/web-x7k2p: endpoints[0].nodeName: \"-\" must be lower-case letters, digits and '-', starting and ending with a letter or digit",
                "endpointslice shop/web-x7k2p: endpoints[0].hints.forNodes[1].name: is missing",
            ],
        },
    ]);
}

#[test]
fn a_wrong_endpoint_costs_that_endpoint() {
    let rows = [
        (
            "leading zero",
            "{addresses: [10.244.01.1]}",
            "addresses[0]: \"10.244.01.1\" has an octet with a leading zero",
        ),
        ("no address", "{}", "addresses: is missing"),
        ("empty list", "{addresses: []}", "addresses[0]: is missing"),
        ("no IP", "{addresses: [web-0]}", "addresses[0]: \"web-0\" is not an IP address"),
        (
            "other family",
            "{addresses: ['fd00::1']}",
            "addresses[0]: fd00::1 is not of address type IPv4",
        ),
        (
            "mapped",
            "{addresses: ['::ffff:10.0.0.1']}",
            "addresses[0]: ::ffff:10.0.0.1 is an IPv4-mapped IPv6 address",
        ),
        (
            "loopback",
            "{addresses: [127.0.0.1]}",
            "addresses[0]: 127.0.0.1 is a loopback address and cannot be used here",
        ),
        (
            "unspecified",
            "{addresses: [0.0.0.0]}",
            "addresses[0]: 0.0.0.0 is the unspecified address and cannot be used here",
        ),
        (
            "multicast",
            "{addresses: [239.1.1.1]}",
            "addresses[0]: 239.1.1.1 is a multicast address and cannot be used here",
        ),
        (
            "link-local",
            "{addresses: [169.254.1.1]}",
            "addresses[0]: 169.254.1.1 is a link-local address and cannot be used here",
        ),
        (
            "broadcast",
            "{addresses: [255.255.255.255]}",
            "addresses[0]: 255.255.255.255 is the broadcast address and cannot be used here",
        ),
        (
            "unclear readiness",
            "{addresses: [10.244.1.2], conditions: {ready: 'no one knows'}}",
            "conditions.ready: \"no one knows\" is not true or false",
        ),
        (
            "conditions of another type",
            "{addresses: [10.244.1.2], conditions: [ready]}",
            "conditions: a list is not a mapping",
        ),
    ];
    for (name, wrong, expected) in rows {
        let fields =
            format!("addressType: IPv4\nendpoints:\n- {wrong}\n- {{addresses: [10.244.1.1]}}");
        let (change, rejections) = converted(&yaml(&fields));
        let slice = EndpointSlice { endpoints: vec![endpoint("10.244.1.1")].into(), ..base() };
        assert_eq!(change, Some(Change::Slice(slice)), "{name}");
        let expected = format!("endpointslice shop/web-x7k2p: endpoints[0].{expected}");
        assert_eq!(rejections, [expected], "{name}");
    }
}

#[test]
fn conditions() {
    let ready = Condition::Ready { terminating: false };
    let rows = [
        ("null", ready),
        ("{}", ready),
        ("{ready: null, serving: null, terminating: null}", ready),
        ("{ready: true, serving: true, terminating: false}", ready),
        ("{ready: false, serving: false, terminating: false}", Condition::NotReady),
        ("{ready: false, serving: true, terminating: true}", Condition::ServingTerminating),
        ("{ready: false, terminating: true}", Condition::ServingTerminating),
        ("{ready: false, serving: false, terminating: true}", Condition::NotReady),
        ("{ready: true, serving: true, terminating: true}", Condition::Ready { terminating: true }),
    ];
    for (conditions, expected) in rows {
        let fields = format!(
            "addressType: IPv4\nendpoints: [{{addresses: [10.244.1.1], conditions: {conditions}}}]"
        );
        let condition = Endpoint { condition: expected, ..endpoint("10.244.1.1") };
        let slice = EndpointSlice { endpoints: vec![condition].into(), ..base() };
        assert_eq!(converted(&yaml(&fields)), (Some(Change::Slice(slice)), vec![]), "{conditions}");
    }
}

#[test]
fn slices_that_are_not_used_say_why() {
    let rejected = |yaml: &str| {
        let (change, rejections) = converted(yaml);
        assert_eq!(change, None, "{yaml}");
        rejections
    };
    let slice = "endpointslice shop/web-x7k2p";
    assert_eq!(
        rejected(&yaml("addressType: FQDN\nendpoints: [{addresses: [www.example.com]}]")),
        [format!("{slice}: addressType: slices of type FQDN are not used")]
    );
    assert_eq!(rejected(&yaml("endpoints: []")), [format!("{slice}: addressType: is missing")]);
    assert_eq!(
        rejected(&yaml("addressType: IP")),
        [format!("{slice}: addressType: \"IP\" is not one of IPv4, IPv6")]
    );
    assert_eq!(
        rejected(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-x7k2p, namespace: shop, labels: {app: web}}\naddressType: IPv4\n"
        ),
        [format!(
            "{slice}: metadata.labels[kubernetes.io/service-name]: is missing, so the slice belongs to no service"
        )]
    );
}

#[test]
fn an_imported_slice_says_its_import_and_its_cluster() {
    let labels = "  labels:\n    multicluster.kubernetes.io/service-name: shop-web\n    \
                  multicluster.kubernetes.io/source-cluster: east\n";
    let both = yaml("addressType: IPv4").replace("  labels:\n", labels);
    let origin = SliceOrigin {
        service: ServiceName::new("shop", "shop-web").unwrap(),
        cluster: Hostname::new("east").unwrap(),
    };
    let derived = EndpointSlice { origin: Some(Arc::new(origin)), ..base() };
    let bare = EndpointSlice { service: None, ..derived.clone() };
    assert_eq!(converted(&both), (Some(Change::Slice(derived)), vec![]));
    let own = "    kubernetes.io/service-name: web\n";
    assert_eq!(converted(&both.replace(own, "")), (Some(Change::Slice(bare)), vec![]));

    // Without its cluster it is of this one alone.
    let lost = both.replace("    multicluster.kubernetes.io/source-cluster: east\n", "");
    let fault = "endpointslice shop/web-x7k2p: \
                 metadata.labels[multicluster.kubernetes.io/source-cluster]: is missing";
    assert_eq!(converted(&lost), (Some(Change::Slice(base())), vec![fault.to_owned()]));
}

#[test]
fn the_headless_label_of_a_slice_means_nothing() {
    let yaml = yaml("addressType: IPv4")
        .replace("  labels:\n", "  labels:\n    service.kubernetes.io/headless: ''\n");
    assert_eq!(converted(&yaml), (Some(Change::Slice(base())), vec![]));
}
