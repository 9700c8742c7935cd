//! Objects that change in ways that only a real API server shows.

use std::collections::BTreeSet;

use podway_tests_conformance::{in_api_lab, kubectl, path, web};
use podway_tests_lab::{Family, Place, Transport};
use podway_tests_netns::manifests::client;
use serde_json::json;

fn pods() -> BTreeSet<String> {
    ["web-1", "web-2"].map(str::to_owned).into()
}

#[test]
fn a_service_of_another_proxy_is_left_alone_and_taken_back() {
    in_api_lab(web(), |cluster| {
        cluster.lift_icmp_limits()?;
        let to = cluster.at("web", Family::V4, 80)?;
        let route = cluster.route(&client(1), Transport::Tcp, to);
        route.reaches(&pods())?;
        for _ in 0..2 {
            let label = "service.kubernetes.io/service-proxy-name=another";
            kubectl(cluster, &["label", "service", "web", label])?;
            cluster.wait_until("the Service to be left alone", || {
                Ok(!cluster.admin(1, "/debug/plan")?.contains("default/web"))
            })?;
            kubectl(
                cluster,
                &["label", "service", "web", "service.kubernetes.io/service-proxy-name-"],
            )?;
            route.reaches(&pods())?;
        }
        Ok(())
    });
}

#[test]
fn a_node_that_gets_another_address_serves_node_ports_there() {
    let more = podway_tests_netns::manifests::service(
        "node-port",
        "type: NodePort, ports: [{port: 80, targetPort: 8080, nodePort: 30001}]",
    )
    .replace("app: node-port", "app: web");
    in_api_lab(web().manifests(more), |cluster| {
        let node = Place::node(1);
        let before = cluster.node_port(1, Family::V4, 30001);
        cluster.route(&Place::Outside, Transport::Tcp, before).reaches(&pods())?;
        cluster
            .exec(&node, &["ip", "addr", "add", "192.168.77.111/24", "dev", "eth0"])?
            .checked()?;
        let status = json!({"status": {"addresses": [
            {"type": "InternalIP", "address": "192.168.77.111"},
            {"type": "InternalIP", "address": cluster.node_ip(1, Family::V6)},
            {"type": "Hostname", "address": "node-1"},
        ]}});
        cluster.api().merge("/api/v1/nodes/node-1/status", &status)?;
        let after = (std::net::Ipv4Addr::new(192, 168, 77, 111), 30001).into();
        cluster.route(&Place::Outside, Transport::Tcp, after).reaches(&pods()).map(drop)
    });
}

#[test]
fn a_bad_slice_stops_nothing_else() {
    in_api_lab(web(), |cluster| {
        // The API server takes it: the port has no number, which means all of them.
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "odd", "labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": ""}], "endpoints": [{"addresses": ["10.244.1.250"]}],
        });
        cluster
            .api()
            .create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice)?;
        cluster
            .api()
            .merge(&path("services", "web"), &json!({"metadata": {"labels": {"a": "b"}}}))?;
        cluster.unready("web-2")?;
        let to = cluster.at("web", Family::V4, 80)?;
        cluster.route(&client(1), Transport::Tcp, to).reaches_pod("web-1").map(drop)
    });
}
