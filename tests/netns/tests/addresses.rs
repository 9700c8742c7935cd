//! Addresses besides the ClusterIP: external ones, the load balancer's, those of nodes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;

use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{
    Seen, Traffic, at, node_port_service, programmed, service, way_outside,
};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// External addresses, of which `--allow-external-ips` shall let through the first two.
const ALLOWED: [&str; 2] = ["203.0.113.10", "2001:db8::10"];
const NOT_ALLOWED: [&str; 2] = ["198.51.100.10", "2001:db8:1::10"];
const ALLOW: &str = "--allow-external-ips=203.0.113.0/24,2001:db8::/64";

/// The load balancer's first address in each family.
const BALANCER: [&str; 2] = ["192.168.79.1", "fd79::1"];

/// Another address of the client outside.
const SECOND: [&str; 2] = ["192.168.77.201", "fd77::201"];

fn of(addresses: [&str; 2], family: Family) -> IpAddr {
    addresses[usize::from(family == Family::V6)].parse().unwrap()
}

/// A pod on each node behind `echo`.
fn echo(more: &str) -> String {
    [clients(), pod("echo-1", 1, ""), pod("echo-2", 2, ""), service("echo", "echo", more)].concat()
}

const ALL: [&str; 2] = ["echo-1", "echo-2"];

fn external_ips() -> String {
    let all: Vec<_> =
        ALLOWED.iter().chain(&NOT_ALLOWED).map(|address| format!("'{address}'")).collect();
    format!("externalIPs: [{}]", all.join(", "))
}

#[test]
fn external_ips_serve_where_they_are_allowed_and_no_others() {
    let builder = Lab::builder().podway_argument(ALLOW).manifests(echo(&external_ips()));
    in_lab(builder, |cluster| {
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let (open, closed) = (at(of(ALLOWED, family), 80), at(of(NOT_ALLOWED, family), 80));
            way_outside(cluster, open.ip(), 1)?;
            for number in NODES {
                for from in [client(number), Place::node(number)] {
                    traffic.reaches(&from, open, &ALL, Seen::Entered(number));
                    traffic.untouched(&from, closed);
                }
            }
            traffic.reaches(&Place::Outside, open, &ALL, Seen::Entered(1));
        }
        programmed(cluster)?;
        traffic.check()
    });
}

#[test]
fn external_ips_are_nobodys_unless_they_are_allowed() {
    in_lab(Lab::builder().manifests(echo(&external_ips())), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            for from in [client(1), Place::node(2)] {
                traffic.untouched(&from, at(of(ALLOWED, family), 80));
            }
            traffic.reaches(&client(1), cluster.at("echo", family, 80)?, &ALL, Seen::Client);
        }
        traffic.check()
    });
}

#[test]
fn addresses_of_a_family_without_cluster_ip_are_nobodys() {
    let more = format!("{}, type: NodePort, ipFamilies: [IPv4]", external_ips());
    let single = service("single", "echo", &more)
        .replace("RequireDualStack", "SingleStack")
        .replace("port: 80}", "port: 80, nodePort: 30100}");
    let builder = Lab::builder().podway_argument(ALLOW).manifests(echo("") + &single);
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        let (v4, v6) = (of(ALLOWED, Family::V4), of(ALLOWED, Family::V6));
        traffic.reaches(&client(1), at(v4, 80), &ALL, Seen::Entered(1));
        traffic.untouched(&client(1), at(v6, 80));
        traffic.check()?;
        let mut traffic = Traffic::over(cluster, podway_tests_lab::Transport::Tcp);
        let node_port = |family| cluster.node_port(1, family, 30_100);
        traffic.reaches(&Place::Outside, node_port(Family::V4), &ALL, Seen::Entered(1));
        // Nothing listens there.
        traffic.refused(&Place::Outside, node_port(Family::V6));
        traffic.check()
    });
}

#[test]
fn load_balancer_addresses_serve_by_mode_and_whatever_the_type() {
    let ingress = |mode: &str, last: &str| {
        format!(
            "{{ip: 192.168.79.{last}, ipMode: {mode}}}, {{ip: 'fd79::{last}', ipMode: {mode}}}, \
             {{hostname: balancer.example.com}}"
        )
    };
    let with_status = |name: &str, mode: &str, last: &str| {
        let status =
            format!("status: {{loadBalancer: {{ingress: [{}]}}}}}}\n", ingress(mode, last));
        let text = service(name, "echo", "");
        format!("{}, {status}", text.trim_end().strip_suffix('}').unwrap_or_default())
    };
    let manifests = [
        echo("type: LoadBalancer"),
        with_status("plain", "VIP", "50"),
        with_status("proxied", "Proxy", "60"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let address = |last: &str| match family {
                Family::V4 => at(format!("192.168.79.{last}").parse().unwrap(), 80),
                Family::V6 => at(format!("fd79::{last}").parse().unwrap(), 80),
            };
            for to in [at(of(BALANCER, family), 80), address("50")] {
                way_outside(cluster, to.ip(), 2)?;
                traffic.reaches(&Place::Outside, to, &ALL, Seen::Entered(2));
                traffic.reaches(&client(1), to, &ALL, Seen::Entered(1));
                traffic.reaches(&Place::node(1), to, &ALL, Seen::Entered(1));
            }
            // It is the balancer's to answer.
            traffic.untouched(&client(1), address("60"));
            traffic.untouched(&Place::node(1), address("60"));
            traffic.reaches(&client(1), cluster.at("proxied", family, 80)?, &ALL, Seen::Client);
        }
        traffic.check()
    });
}

/// Gives the client outside another address, which it uses towards the load balancer.
fn use_second_address(cluster: &Cluster) -> anyhow::Result<()> {
    for family in FAMILIES {
        let (option, bits) = if family == Family::V4 { ("-4", "24") } else { ("-6", "64") };
        let second = of(SECOND, family).to_string();
        let add = ["ip", option, "addr", "replace", &format!("{second}/{bits}"), "dev", "eth0"];
        let nodad: &[&str] = if family == Family::V6 { &["nodad"] } else { &[] };
        cluster.exec(&Place::Outside, &[&add, nodad].concat())?.checked()?;
        let (balancer, node) =
            (of(BALANCER, family).to_string(), cluster.node_ip(1, family).to_string());
        let command = ["ip", option, "route", "replace", &balancer, "via", &node, "src", &second];
        cluster.exec(&Place::Outside, &command)?.checked()?;
    }
    Ok(())
}

#[test]
fn source_ranges_guard_the_load_balancer_and_nothing_else() {
    let guarded = |ranges: &str, more: &str| {
        let external = format!("externalIPs: [{}, '{}'], ", ALLOWED[0], ALLOWED[1]);
        let spec =
            format!("type: LoadBalancer, {external}loadBalancerSourceRanges: [{ranges}]{more}");
        service("echo", "echo", &spec)
            .replace("port: 80}", "port: 80, nodePort: 30101}")
            .replace("port: 80, protocol: UDP}", "port: 80, protocol: UDP, nodePort: 30101}")
    };
    let first = "' 192.168.77.200/32 ', 'fd77::200/128'";
    let manifests = [echo(""), guarded(first, "")];
    let builder = Lab::builder().podway_argument(ALLOW).manifests(manifests.concat());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let balancer = at(of(BALANCER, family), 80);
            way_outside(cluster, balancer.ip(), 1)?;
            way_outside(cluster, of(ALLOWED, family), 1)?;
            traffic.reaches(&Place::Outside, balancer, &ALL, Seen::Entered(1));
            for from in [client(1), client(2), Place::node(1), Place::node(2)] {
                traffic.dropped(&from, balancer);
            }
            for from in [client(1), Place::Outside] {
                for to in [at(of(ALLOWED, family), 80), cluster.node_port(1, family, 30_101)] {
                    traffic.reaches(&from, to, &ALL, Seen::Entered(1));
                }
            }
            traffic.reaches(&client(1), cluster.at("echo", family, 80)?, &ALL, Seen::Client);
        }
        traffic.check()?;

        // Other clients, then a list for one family only, then none.
        let pods = "10.244.0.0/16, 'fd00:10:244::/48'";
        let rows = [
            (pods, [false, false], [true, true]),
            ("192.168.77.201/32, 'fd77::201/128'", [true, true], [false, false]),
            ("192.168.77.200/32", [false, true], [false, true]),
            ("", [true, true], [true, true]),
        ];
        use_second_address(cluster)?;
        for (ranges, outside, in_pods) in rows {
            cluster.apply(&guarded(ranges, ""))?;
            programmed(cluster)?;
            let mut traffic = Traffic::new(cluster);
            for (index, family) in FAMILIES.into_iter().enumerate() {
                let balancer = at(of(BALANCER, family), 80);
                for (from, is_let_in) in
                    [(Place::Outside, outside[index]), (client(1), in_pods[index])]
                {
                    if is_let_in {
                        // Ranges are compared with addresses, which only packets have.
                        let has_ranges = ranges.contains(['.', ':'][index]);
                        let seen = if has_ranges { Seen::Node } else { Seen::Entered };
                        traffic.reaches(&from, balancer, &ALL, seen(1));
                    } else {
                        traffic.dropped(&from, balancer);
                    }
                }
            }
            traffic.check().map_err(|error| error.context(format!("ranges {ranges:?}")))?;
        }

        // A node inside its range, which has the balancer's address itself, uses that as source.
        cluster.apply(&guarded("192.168.77.11/32, 'fd77::11/128'", ""))?;
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let balancer = at(of(BALANCER, family), 80);
            let bits = if family == Family::V4 { 32 } else { 128 };
            let address = format!("{}/{bits}", balancer.ip());
            let command = ["ip", "addr", "add", &address, "dev", "lo"];
            cluster.exec(&Place::node(1), &command)?.checked()?;
            traffic.reaches(&Place::node(1), balancer, &ALL, Seen::Entered(1));
            traffic.dropped(&Place::node(2), balancer);
            traffic.dropped(&client(1), balancer);
        }
        traffic.check()
    });
}

#[test]
fn node_ports_are_open_at_the_primary_addresses() {
    let manifests = [echo(""), node_port_service("ports", "echo", 30_102, "")];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let gateway = of(["10.244.1.1", "fd00:10:244:1::1"], family);
            let loopback = of(["127.0.0.1", "::1"], family);
            traffic.reaches(
                &client(1),
                cluster.node_port(1, family, 30_102),
                &ALL,
                Seen::Entered(1),
            );
            // Nothing listens there.
            traffic.refused(&client(1), at(gateway, 30_102));
            traffic.refused(&Place::node(1), at(loopback, 30_102));
        }
        traffic.check()
    });
}

#[test]
fn node_ports_are_open_at_the_addresses_asked_for_and_in_no_other_family() {
    let manifests = [echo(""), node_port_service("ports", "echo", 30_103, "")];
    let builder = Lab::builder()
        .podway_argument("--nodeport-addresses=10.244.0.0/16")
        .manifests(manifests.concat());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let gateway = |family| at(of(["10.244.1.1", "fd00:10:244:1::1"], family), 30_103);
        let mut traffic = Traffic::new(cluster);
        traffic.reaches(&client(1), gateway(Family::V4), &ALL, Seen::Entered(1));
        traffic.refused(&client(1), gateway(Family::V6));
        for family in FAMILIES {
            traffic.refused(&client(1), cluster.node_port(1, family, 30_103));
        }
        traffic.check()
    });
}
