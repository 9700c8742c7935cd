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

/// What the plugin `portmap` makes of the host ports of two pods, in nftables.
fn host_ports(cluster: &Cluster, family: Family) -> Result<()> {
    let (table, gateway) = match family {
        Family::V4 => ("ip", "10.244.1.1"),
        Family::V6 => ("ip6", "fd00:10:244:1::1"),
    };
    let node = cluster.node_ip(1, family);
    let pod = |name: &str| -> Result<String> {
        Ok(std::net::SocketAddr::new(cluster.pod_addresses(name)?.of(family), 80).to_string())
    };
    let (one, two) = (pod("web-1")?, pod("web-2")?);
    let chain = |point: &str| {
        format!(
            "add chain {table} hostports {point} {{ type nat hook {point} priority -100; }}\n\
             add rule {table} hostports {point} {table} daddr {node} tcp dport 8088 dnat to {one}\n\
             add rule {table} hostports {point} {table} daddr {node} udp dport 8088 dnat to {two}\n\
             add rule {table} hostports {point} {table} daddr {gateway} tcp dport 8088 dnat to {two}\n"
        )
    };
    let commands =
        format!("add table {table} hostports\n{}{}", chain("prerouting"), chain("output"));
    cluster.nft(1, &[&commands]).map(drop)
}

#[test]
fn host_ports_of_the_network_plugin_work_beside_ours() {
    let manifests = pod("web-1", 1, "") + &pod("web-2", 1, "") + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        FAMILIES.into_iter().try_for_each(|family| host_ports(cluster, family))?;
        let all_work = || {
            for family in FAMILIES {
                let host = cluster.node_port(1, family, 8088);
                let inner = match family {
                    Family::V4 => "10.244.1.1:8088".parse()?,
                    Family::V6 => "[fd00:10:244:1::1]:8088".parse()?,
                };
                let route = |from: &Place, transport, to| cluster.route(from, transport, to);
                route(&Place::Outside, Transport::Tcp, host).reaches_pod("web-1")?;
                route(&Place::Outside, Transport::Udp, host).reaches_pod("web-2")?;
                route(&client(2), Transport::Tcp, host).reaches_pod("web-1")?;
                route(&client(1), Transport::Tcp, inner).reaches_pod("web-2")?;
                for transport in Transport::ALL {
                    let to = cluster.node_port(1, family, PORT);
                    route(&Place::Outside, transport, to).reaches(&pods)?;
                    let to = cluster.at("web", family, 8080)?;
                    route(&client(1), transport, to).reaches(&pods)?;
                }
            }
            anyhow::Ok(())
        };
        all_work()?;
        // Ours come after theirs when they are written again.
        cluster.nft(1, &["delete", "table", "ip", "podway"])?;
        cluster.nft(1, &["delete", "table", "ip6", "podway"])?;
        all_work()
    });
}
