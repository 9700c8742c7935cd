//! Node ports: from outside, from pods and from nodes, on every node.

use anyhow::{Result, ensure};
use podway_tests_lab::{Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, deployment, pod, service};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// One node port for TCP and UDP, in both families.
const WEB: &str = "type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [\
    {name: stream, port: 8080, targetPort: 80, nodePort: 30001}, \
    {name: datagrams, port: 8080, targetPort: 80, protocol: UDP, nodePort: 30001}]";

const PORT: u16 = 30001;

/// Calls `test` for each node, family and transport.
fn each(mut test: impl FnMut(u8, Family, Transport) -> Result<()>) -> Result<()> {
    for number in NODES {
        for family in FAMILIES {
            for transport in Transport::ALL {
                test(number, family, transport)?;
            }
        }
    }
    Ok(())
}

#[test]
fn node_port_of_every_node_reaches_every_pod() {
    let manifests = deployment("web", 3) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        each(|number, family, transport| {
            let to = cluster.node_port(number, family, PORT);
            for from in [Place::Outside, client(1), Place::node(1), Place::node(2)] {
                cluster.route(&from, transport, to).reaches(&pods)?;
            }
            Ok(())
        })
    });
}

#[test]
fn requests_from_outside_come_from_the_node_that_took_them() {
    let manifests = pod("web-1", 1, "") + &pod("web-2", 2, "") + &service("web", WEB);
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        each(|number, family, transport| {
            let to = cluster.node_port(number, family, PORT);
            let of_node = cluster.node_addresses(number)?;
            for answer in cluster.route(&Place::Outside, transport, to).reaches(&pods)? {
                let client = answer.client.ip();
                ensure!(
                    of_node.contains(&client),
                    "node {number}, {transport:?}: seen as {client}"
                );
            }
            Ok(())
        })
    });
}

#[test]
fn cluster_ip_of_a_node_port_service_works_beside_it() {
    let manifests = deployment("web", 2) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        each(|number, family, transport| {
            let to = cluster.at("web", family, 8080)?;
            cluster.route(&client(number), transport, to).reaches(&pods).map(drop)
        })
    });
}

/// Opens a connection to the node port from outside, says nothing, and closes it.
fn check_health(cluster: &Cluster, number: u8) -> Result<()> {
    let node = cluster.node_ip(number, Family::V4);
    let script = format!("exec 3<>/dev/tcp/{node}/{PORT} && exec 3>&-");
    cluster.exec(&Place::Outside, &["bash", "-c", &script])?.checked().map(drop)
}

#[test]
fn load_balancer_outside_may_connect_and_close_and_is_refused_without_pods() {
    let manifests = deployment("web", 2) + &service("web", WEB);
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        for number in NODES {
            for _ in 0..50 {
                check_health(cluster, number)?;
            }
            let to = cluster.node_port(number, Family::V4, PORT);
            cluster.route(&Place::Outside, Transport::Tcp, to).reaches(&pods)?;
        }
        cluster.lift_icmp_limits()?;
        cluster.scale("deployment/web", 0)?;
        each(|number, family, transport| {
            let to = cluster.node_port(number, family, PORT);
            cluster.route(&Place::Outside, transport, to).is_refused()
        })?;
        ensure!(check_health(cluster, 1).is_err(), "a check is told that nobody is there");
        Ok(())
    });
}

#[test]
fn only_the_primary_address_of_a_node_has_node_ports() {
    let manifests = deployment("web", 1) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        let primary = cluster.node_port(1, Family::V4, PORT);
        cluster.route(&client(1), Transport::Tcp, primary).reaches(&pods)?;
        // The node's address towards its pods.
        for other in ["10.244.1.1:30001", "[fd00:10:244:1::1]:30001"] {
            for transport in Transport::ALL {
                cluster.route(&client(1), transport, other.parse()?).is_refused()?;
            }
        }
        Ok(())
    });
}
