use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::import::{ImportKind, ServiceImport};
use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};

use super::*;

fn yaml(version: &str, spec: &str) -> String {
    format!(
        "apiVersion: multicluster.x-k8s.io/{version}\nkind: ServiceImport\n\
         metadata: {{name: web, namespace: shop, labels: {{team: dns}}}}\nspec: {spec}\n"
    )
}

fn port(name: &str, protocol: Protocol, number: u16) -> EndpointPort {
    EndpointPort { name: PortName::new(name).unwrap(), protocol, port: Port::new(number).unwrap() }
}

#[test]
fn imports_of_either_version_have_addresses_or_endpoints() {
    let base = |kind, ports| {
        let labels = [("team".into(), "dns".into())].into_iter().collect();
        let name = ServiceName::new("shop", "web").unwrap();
        Some(Change::Import(ServiceImport { name, kind, ports, labels }))
    };
    let addresses = |texts: &[&str]| {
        ImportKind::ClusterSetIp(texts.iter().map(|text| text.parse().unwrap()).collect())
    };
    let both = addresses(&["10.112.0.7", "fd00:112::7"]);
    let http = port("http", Protocol::Tcp, 80);
    for (name, spec, kind, ports, rejected) in [
        (
            "addresses of both families",
            "{type: ClusterSetIP, ips: [10.112.0.7, 'fd00:112::7'], \
             ports: [{name: http, port: 80}, {name: dns, protocol: UDP, port: 53}]}",
            both,
            vec![http.clone(), port("dns", Protocol::Udp, 53)],
            vec![],
        ),
        ("no address yet", "{type: ClusterSetIP, ports: []}", addresses(&[]), vec![], vec![]),
        (
            "a headless one",
            "{type: Headless, ports: [{name: http, port: 80, protocol: TCP}]}",
            ImportKind::Headless,
            vec![http.clone()],
            vec![],
        ),
        (
            "what is wrong is lost",
            "{type: ClusterSetIP, ips: [10.112.0.7, 10.112.0.8, x], \
             ports: [{name: http, port: 80}, {name: http, port: 81}, {name: big, port: 65536}]}",
            addresses(&["10.112.0.7"]),
            vec![http],
            vec!["spec.ips[1]", "spec.ips[2]", "spec.ports", "spec.ports[2].port"],
        ),
    ] {
        for version in ["v1beta1", "v1alpha1"] {
            let (change, mut rejections) = converted(&yaml(version, spec));
            assert_eq!(change, base(kind.clone(), ports.clone()), "{name}");
            rejections.sort_unstable();
            assert_eq!(rejections.len(), rejected.len(), "{name}: {rejections:?}");
            for (rejection, field) in rejections.iter().zip(&rejected) {
                let start = format!("serviceimport shop/web: {field}: ");
                assert!(rejection.starts_with(&start), "{name}: {rejection}");
            }
        }
    }
}

#[test]
fn import_of_another_type_is_rejected() {
    let (change, rejections) = converted(&yaml("v1beta1", "{type: Other, ports: []}"));
    assert_eq!(change, None);
    let expected =
        "serviceimport shop/web: spec.type: \"Other\" is not one of ClusterSetIP, Headless";
    assert_eq!(rejections, [expected]);
}
