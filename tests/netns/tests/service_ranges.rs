//! Ranges that ClusterIPs are given out of: what no Service has of them is dropped, and not before
//! somebody says that they are such ranges.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::IpAddr;

use anyhow::Result;
use podway_tests_lab::{Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{Seen, Traffic, at, programmed, service};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab, undisturbed};

/// Addresses of the lower halves of the lab's Service ranges that it gives to nobody.
const FREE: [&str; 2] = ["10.96.100.77", "fd00:10:96::6477"];

/// Addresses of the upper halves, which only a later ServiceCIDR names.
const LATER: [&str; 2] = ["10.96.200.77", "fd00:10:96::c877"];

/// A port where nobody listens outside.
const CLOSED: u16 = 79;

/// The file of the ServiceCIDR `name`, or of none where `cidrs` is empty.
fn range(cluster: &Cluster, name: &str, cidrs: &str) -> Result<()> {
    let path = cluster.manifests_folder().join(format!("servicecidr_{name}.yaml"));
    if cidrs.is_empty() {
        return Ok(fs::remove_file(path)?);
    }
    let object = format!(
        "{{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {{name: {name}}}, \
         spec: {{cidrs: [{cidrs}]}}}}\n"
    );
    // Whole at once, as every writer of the folder does it.
    let draft = path.with_extension("draft");
    fs::write(&draft, object)?;
    Ok(fs::rename(draft, path)?)
}

const KUBERNETES: &str = "10.96.0.0/17, 'fd00:10:96::/113'";
const SECOND: &str = "10.96.128.0/17, 'fd00:10:96::8000/113'";

fn of(addresses: [&str; 2], family: Family) -> IpAddr {
    addresses[usize::from(family == Family::V6)].parse().unwrap()
}

/// Gives the client outside, where all routes end, the addresses: what is left to routing is refused
/// by its kernel, and what a node drops is not answered.
fn owned_by_the_outside(cluster: &Cluster, addresses: [&str; 2]) -> Result<()> {
    for address in addresses {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        let command = [&["ip", "addr", "add", address, "dev", "lo"], nodad].concat();
        cluster.exec(&Place::Outside, &command)?.checked()?;
    }
    cluster.lift_icmp_limit(&Place::Outside)
}

/// Whether each of these pairs of addresses is dropped on both nodes, or else left to routing.
fn are_dropped(cluster: &Cluster, rows: &[([&str; 2], bool)]) -> Result<()> {
    programmed(cluster)?;
    let mut traffic = Traffic::new(cluster);
    for family in FAMILIES {
        for (addresses, is_dropped) in rows {
            let to = at(of(*addresses, family), CLOSED);
            for from in NODES.into_iter().flat_map(|number| [client(number), Place::node(number)]) {
                if *is_dropped {
                    traffic.dropped(&from, to);
                } else {
                    traffic.refused(&from, to);
                }
            }
        }
        let to = cluster.at("echo", family, 80)?;
        traffic.reaches(&client(2), to, &["echo-1"], Seen::Client);
    }
    traffic.check()
}

/// The Service `later` with the addresses [`LATER`].
fn later() -> String {
    let text = service("later", "echo", "");
    let addresses = format!("clusterIP: {0}, clusterIPs: [{0}, '{1}'], ", LATER[0], LATER[1]);
    text.replacen("spec: {", &format!("spec: {{{addresses}"), 1)
}

#[test]
fn address_of_a_service_range_that_no_service_has_is_dropped_and_others_are_left_to_routing() {
    let manifests = [clients(), pod("echo-1", 1, ""), service("echo", "echo", "")].concat();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        for addresses in [FREE, LATER] {
            owned_by_the_outside(cluster, addresses)?;
        }
        are_dropped(cluster, &[(FREE, false), (LATER, false)])?;
        range(cluster, "kubernetes", KUBERNETES)?;
        are_dropped(cluster, &[(FREE, true), (LATER, false)])?;
        range(cluster, "second", SECOND)?;
        are_dropped(cluster, &[(FREE, true), (LATER, true)])?;

        // A Service takes an address of the range and gives it back.
        cluster.apply(&later())?;
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let to = at(of(LATER, family), 80);
            for number in NODES {
                traffic.reaches(&client(number), to, &["echo-1"], Seen::Client);
                traffic.reaches(&Place::node(number), to, &["echo-1"], Seen::Node(number));
                traffic.refused(&client(number), at(of(LATER, family), 81));
            }
        }
        traffic.check()?;
        cluster.delete_object("service/later")?;
        are_dropped(cluster, &[(FREE, true), (LATER, true)])?;

        range(cluster, "second", "")?;
        are_dropped(cluster, &[(FREE, true), (LATER, false)])
    });
}

#[test]
fn ranges_given_by_flag_are_dropped_too() {
    let manifests = [clients(), pod("echo-1", 1, ""), service("echo", "echo", "")].concat();
    let flag = "--service-cidrs=10.96.0.0/17,fd00:10:96::/113";
    in_lab(Lab::builder().podway_argument(flag).manifests(manifests), |cluster| {
        for addresses in [FREE, LATER] {
            owned_by_the_outside(cluster, addresses)?;
        }
        are_dropped(cluster, &[(FREE, true), (LATER, false)])
    });
}

#[test]
fn range_that_comes_and_goes_disturbs_no_service_that_has_an_address_of_it() {
    let manifests = [clients(), pod("echo-1", 1, ""), later()].concat();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        programmed(cluster)?;
        let routes: Vec<_> = FAMILIES
            .into_iter()
            .map(|family| cluster.route(&client(2), Transport::Tcp, at(of(LATER, family), 80)))
            .collect();
        undisturbed(&routes, || {
            for _ in 0..5 {
                range(cluster, "second", SECOND)?;
                programmed(cluster)?;
                range(cluster, "second", "")?;
                programmed(cluster)?;
            }
            Ok(())
        })
    });
}
