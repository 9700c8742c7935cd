use std::sync::Arc;
use std::time::Duration;

use podway_cluster_model::label::Labels;
use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::port::Port;
use podway_cluster_model::service::{
    Affinity, Choice, External, LoadBalancerAddress, LoadBalancerMode, ProxyOwner, Service,
    ServiceKind, ServicePort, Spread, TrafficPolicy,
};

use super::*;

mod outside;

/// One behavior: what `spec` (and `status`) of a Service becomes, and what of it is rejected.
struct Row {
    name: &'static str,
    spec: &'static str,
    status: &'static str,
    /// Turns the Service without ports at 10.96.0.1 into the expected one.
    expected: fn(&mut Service),
    rejected: &'static [&'static str],
}

const ROW: Row =
    Row { name: "", spec: "clusterIP: 10.96.0.1", status: "", expected: |_| {}, rejected: &[] };

fn base() -> Service {
    Service {
        name: ServiceName::new("shop", "web").unwrap(),
        kind: ServiceKind::ClusterIp(vec![ip("10.96.0.1")]),
        ports: Vec::new(),
        external: External::default(),
        internal_policy: TrafficPolicy::Cluster,
        affinity: Affinity::None,
        spread: Default::default(),
        proxy: ProxyOwner::Podway,
        labels: Labels::default(),
        created_unix_seconds: None,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(name: &str, protocol: &str, number: u16, node_port: Option<u16>) -> ServicePort {
    ServicePort {
        name: PortName::new(name).unwrap(),
        protocol: protocol.parse().unwrap(),
        port: Port::new(number).unwrap(),
        node_port: node_port.and_then(Port::new),
    }
}

fn vip(text: &str) -> LoadBalancerAddress {
    LoadBalancerAddress { address: ip(text), mode: LoadBalancerMode::Vip }
}

fn yaml(spec: &str, status: &str) -> String {
    let status =
        if status.is_empty() { String::new() } else { format!("status:\n{}", indented(status, 2)) };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\nspec:\n{}{status}",
        indented(spec, 2),
    )
}

fn check(rows: &[Row]) {
    for Row { name, spec, status, expected, rejected } in rows {
        let (change, rejections) = converted(&yaml(spec, status));
        let mut service = base();
        expected(&mut service);
        assert_eq!(change, Some(Change::Service(service)), "{name}");
        assert_eq!(rejections, *rejected, "{name}");
    }
}

/// The one rejection of a Service that is rejected as a whole.
fn rejection_of_whole(name: &str, spec: &str) -> String {
    let (change, mut rejections) = converted(&yaml(spec, ""));
    assert_eq!(change, None, "{name}");
    assert_eq!(rejections.len(), 1, "{name}: {rejections:?}");
    rejections.remove(0)
}

#[test]
fn addresses() {
    check(&[
        Row { name: "clusterIP alone", ..ROW },
        Row {
            name: "clusterIPs win over clusterIP and keep their order",
            spec: "clusterIP: fd00:96::1\nclusterIPs: ['fd00:96::1', 10.96.0.1]",
            expected: |service| {
                service.kind = ServiceKind::ClusterIp(vec![ip("fd00:96::1"), ip("10.96.0.1")]);
            },
            ..ROW
        },
        Row {
            name: "None is headless",
            spec: "clusterIP: None\nclusterIPs: [None]",
            expected: |service| service.kind = ServiceKind::Headless,
            ..ROW
        },
        Row {
            name: "headless has no node ports and no outside addresses",
            spec: "clusterIP: None\nexternalIPs: [203.0.113.1]\nports: [{port: 80, nodePort: 30001}]",
            expected: |service| {
                service.kind = ServiceKind::Headless;
                service.ports = vec![port("", "TCP", 80, None)];
            },
            ..ROW
        },
        Row {
            name: "alias loses its trailing dot and ignores addresses and ports",
            spec: "type: ExternalName\nexternalName: www.example.com.\nclusterIP: junk\nports: [{port: 0}]",
            expected: |service| {
                service.kind = ServiceKind::ExternalName("www.example.com".to_owned());
            },
            ..ROW
        },
    ]);
}

#[test]
fn a_wrong_address_rejects_the_whole_service() {
    let rows = [
        (
            "no address",
            "type: NodePort",
            "spec.clusterIP: is missing; only an API server allocates one",
        ),
        ("no IP", "clusterIP: 10.96.0.256", "spec.clusterIP: \"10.96.0.256\" is not an IP address"),
        (
            "leading zero",
            "clusterIP: 010.96.0.1",
            "spec.clusterIP: \"010.96.0.1\" has an octet with a leading zero",
        ),
        (
            "mapped",
            "clusterIP: '::ffff:10.96.0.1'",
            "spec.clusterIP: ::ffff:10.96.0.1 is an IPv4-mapped IPv6 address",
        ),
        (
            "loopback",
            "clusterIP: 127.0.0.1",
            "spec.clusterIP: 127.0.0.1 is a loopback address and cannot be used here",
        ),
        (
            "unspecified",
            "clusterIP: '::'",
            "spec.clusterIP: :: is the unspecified address and cannot be used here",
        ),
        ("a number", "clusterIP: 10", "spec.clusterIP: 10 is not a text"),
        (
            "second is wrong",
            "clusterIPs: [10.96.0.1, x]",
            "spec.clusterIPs[1]: \"x\" is not an IP address",
        ),
        (
            "None beside an address",
            "clusterIPs: [10.96.0.1, None]",
            "spec.clusterIPs[1]: \"None\" is not an IP address",
        ),
        (
            "two of one family",
            "clusterIPs: [10.96.0.1, 10.96.0.2]",
            "spec.clusterIPs[1]: 10.96.0.2 is the second of its family",
        ),
        (
            "the fields disagree",
            "clusterIP: 10.96.0.2\nclusterIPs: [10.96.0.1]",
            "spec.clusterIP: \"10.96.0.2\" is not \"10.96.0.1\", the first of clusterIPs",
        ),
        (
            "unknown type",
            "type: Virtual\nclusterIP: 10.96.0.1",
            "spec.type: \"Virtual\" is not one of ClusterIP, NodePort, LoadBalancer, ExternalName",
        ),
        ("alias without name", "type: ExternalName", "spec.externalName: is missing"),
        (
            "alias of an address",
            "type: ExternalName\nexternalName: 192.0.2.1",
            "spec.externalName: 192.0.2.1 is an address, not a name",
        ),
    ];
    for (name, spec, expected) in rows {
        assert_eq!(
            rejection_of_whole(name, spec),
            format!("service shop/web: {expected}"),
            "{name}"
        );
    }
}

#[test]
fn ports() {
    check(&[
        Row {
            name: "protocol is TCP and the name is empty unless they are given",
            spec: "clusterIP: 10.96.0.1\nports: [{port: 80}]",
            expected: |service| service.ports = vec![port("", "TCP", 80, None)],
            ..ROW
        },
        Row {
            name: "one number for two protocols, and a node port",
            spec: "clusterIP: 10.96.0.1\nports:\n- {name: dns, protocol: UDP, port: 53, nodePort: 30053}\n- {name: dns-tcp, port: 53, targetPort: dns}",
            expected: |service| {
                service.ports =
                    vec![port("dns", "UDP", 53, Some(30053)), port("dns-tcp", "TCP", 53, None)];
            },
            ..ROW
        },
        Row {
            name: "node port 0 is none",
            spec: "clusterIP: 10.96.0.1\nports: [{port: 80, nodePort: 0}]",
            expected: |service| service.ports = vec![port("", "TCP", 80, None)],
            ..ROW
        },
        Row {
            name: "a wrong port costs that port",
            spec: "clusterIP: 10.96.0.1\nports:\n- {name: a, port: 0}\n- {name: b, port: 65536}\n- {name: c, port: '80'}\n- {name: d}\n- {name: e, port: 80, protocol: tcp}\n- {name: F, port: 80}\n- 80\n- {name: http, port: 80}",
            expected: |service| service.ports = vec![port("http", "TCP", 80, None)],
            rejected: &[
                "service shop/web: spec.ports[0].port: 0 is not in 1..=65535",
                "service shop/web: spec.ports[1].port: 65536 is not in 1..=65535",
                "service shop/web: spec.ports[2].port: \"80\" is not an integer",
                "service shop/web: spec.ports[3].port: is missing",
                "service shop/web: spec.ports[4].protocol: \"tcp\" is not one of TCP, UDP, SCTP",
                "service shop/web: spec.ports[5].name: \"F\" must be lower-case letters, digits and '-', starting and ending with a letter or digit",
                "service shop/web: spec.ports[6]: 80 is not a mapping",
            ],
            ..ROW
        },
        Row {
            name: "a wrong node port costs only itself",
            spec: "clusterIP: 10.96.0.1\nports: [{port: 80, nodePort: 70000}]",
            expected: |service| service.ports = vec![port("", "TCP", 80, None)],
            rejected: &["service shop/web: spec.ports[0].nodePort: 70000 is not in 1..=65535"],
            ..ROW
        },
        Row {
            name: "the second of two ports with one name or number is lost",
            spec: "clusterIP: 10.96.0.1\nports:\n- {name: http, port: 80}\n- {name: http, port: 81}\n- {name: web, port: 80}",
            expected: |service| service.ports = vec![port("http", "TCP", 80, None)],
            rejected: &[
                "service shop/web: spec.ports[1]: port name \"http\" stands twice; the first is used",
                "service shop/web: spec.ports[2]: tcp port 80 stands twice; the first is used",
            ],
            ..ROW
        },
        Row {
            name: "ports that are no list are none",
            spec: "clusterIP: 10.96.0.1\nports: 80",
            rejected: &["service shop/web: spec.ports: 80 is not a list"],
            ..ROW
        },
    ]);
}

#[test]
fn policies_and_affinity() {
    check(&[
        Row {
            name: "both policies Local",
            spec: "clusterIP: 10.96.0.1\ninternalTrafficPolicy: Local\nexternalTrafficPolicy: Local",
            expected: |service| {
                service.internal_policy = TrafficPolicy::Local;
                service.external.policy = TrafficPolicy::Local;
            },
            ..ROW
        },
        Row {
            name: "an unknown policy is Cluster",
            spec: "clusterIP: 10.96.0.1\ninternalTrafficPolicy: Zone",
            rejected: &[
                "service shop/web: spec.internalTrafficPolicy: \"Zone\" is not one of Cluster, Local",
            ],
            ..ROW
        },
        Row {
            name: "affinity lasts three hours unless given",
            spec: "clusterIP: 10.96.0.1\nsessionAffinity: ClientIP",
            expected: |service| {
                service.affinity = Affinity::ClientIp { timeout: Duration::from_secs(10_800) };
            },
            ..ROW
        },
        Row {
            name: "affinity with a timeout",
            spec: "clusterIP: 10.96.0.1\nsessionAffinity: ClientIP\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}",
            expected: |service| {
                service.affinity = Affinity::ClientIp { timeout: Duration::from_secs(1) };
            },
            ..ROW
        },
        Row {
            name: "a timeout over a day is the default",
            spec: "clusterIP: 10.96.0.1\nsessionAffinity: ClientIP\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}",
            expected: |service| {
                service.affinity = Affinity::ClientIp { timeout: Duration::from_secs(10_800) };
            },
            rejected: &[
                "service shop/web: spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not in 1..=86400",
            ],
            ..ROW
        },
        Row {
            name: "a timeout without affinity means nothing",
            spec: "clusterIP: 10.96.0.1\nsessionAffinity: None\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}",
            ..ROW
        },
    ]);
}

#[test]
fn either_label_gives_the_service_to_another_proxy() {
    for (label, owner) in [
        ("service.kubernetes.io/service-proxy-name: mesh", ProxyOwner::Other),
        ("service.kubernetes.io/service-proxy-name: ''", ProxyOwner::Other),
        ("service.kubernetes.io/headless: ''", ProxyOwner::Other),
        ("app: web", ProxyOwner::Podway),
    ] {
        let yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\n  labels:\n    {label}\nspec: {{clusterIP: 10.96.0.1}}\n"
        );
        let (key, value) = label.split_once(": ").unwrap();
        let labels = [(key.into(), value.trim_matches('\'').into())].into_iter().collect();
        let expected = Service { proxy: owner, labels, ..base() };
        assert_eq!(converted(&yaml), (Some(Change::Service(expected)), vec![]), "{label}");
    }
}

#[test]
fn annotations_say_how_clients_are_spread() {
    let of = |annotations: &str| {
        let (change, rejections) = converted(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop, annotations: {{{annotations}}}}}\nspec: {{clusterIP: 10.96.0.1}}\n"
        ));
        let Some(Change::Service(service)) = change else { panic!("no Service") };
        let rejections: Vec<String> = rejections.iter().map(ToString::to_string).collect();
        (service.spread, rejections)
    };
    let weights = |pairs: &[(&str, u8)]| {
        pairs.iter().map(|(endpoint, weight)| (Arc::from(*endpoint), *weight)).collect()
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(of("app: web"), (Spread::default(), none.clone()));
    assert_eq!(
        of("podway.dev/hash: client-ip"),
        (Spread { choice: Choice::ClientHash, ..Spread::default() }, none.clone())
    );
    assert_eq!(
        of("podway.dev/weights: 'web-0=3, 10.244.1.7 = 0, FD00::7=100'"),
        (
            Spread {
                weights: weights(&[("10.244.1.7", 0), ("fd00::7", 100), ("web-0", 3)]),
                ..Spread::default()
            },
            none
        )
    );
    let (spread, rejections) = of("podway.dev/weights: 'web-0=101,web-1,web-2=2,Web=1'");
    assert_eq!(spread.weights, weights(&[("web-2", 2)]), "what is right stays");
    assert_eq!(rejections.len(), 3, "{rejections:?}");
    assert!(rejections[0].contains("podway.dev/weights") && rejections[0].contains("0..=100"));
    let (spread, rejections) = of("podway.dev/hash: maglev");
    assert_eq!((spread, rejections.len()), (Spread::default(), 1));
}

#[test]
fn creation_time_is_in_seconds() {
    let of = |time: &str| {
        let (change, rejections) = converted(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop, creationTimestamp: {time}}}\nspec: {{clusterIP: 10.96.0.1}}\n"
        ));
        let Some(Change::Service(service)) = change else { panic!("{time} rejected the service") };
        (service.created_unix_seconds, rejections)
    };
    assert_eq!(of("'2026-01-31T12:00:00Z'"), (Some(1_769_860_800), vec![]));
    assert_eq!(of("null"), (None, vec![]));
    let text = "service shop/web: metadata.creationTimestamp: \"yesterday\" is not a time such as 2026-01-31T12:00:00Z";
    assert_eq!(of("yesterday"), (None, vec![text.to_owned()]));
}

#[test]
fn a_service_without_namespace_is_in_default() {
    let (change, _) = converted(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.1}\n",
    );
    let name = ServiceName::new("default", "web").unwrap();
    assert_eq!(change, Some(Change::Service(Service { name, ..base() })));
}
