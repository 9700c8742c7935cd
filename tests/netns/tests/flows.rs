//! Flows that the kernel tracks, when their endpoints go: a client that keeps its source port.
//!
//! Named after the cases of the upstream suite `Conntrack`, and the users' wishes beyond it.

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Failure, Family, Held, Lab, Outcome, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod, service};
use podway_tests_netns::{Cluster, FAMILIES, in_lab, names};

/// Node port of the Service `web`.
const WEB: u16 = 30001;

/// Node port of the Service `lone`.
const LONE: u16 = 30002;

/// A Service for TCP and UDP behind a ClusterIP and a node port, in both families.
fn dual_service(name: &str, node_port: u16) -> String {
    let port = |name: &str, protocol: &str| {
        format!(
            "{{name: {name}, port: 80, targetPort: 8080, protocol: {protocol}, \
             nodePort: {node_port}}}"
        )
    };
    let ports = [port("stream", "TCP"), port("datagrams", "UDP")].join(", ");
    let spec = format!("type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [{ports}]");
    service(name, &spec)
}

/// Opens a flow on every way to a Service; nothing was sent yet.
fn flows(
    cluster: &Cluster,
    transport: Transport,
    (service, node_port): (&str, u16),
) -> Result<Vec<(String, Held)>> {
    let mut flows = Vec::new();
    for family in FAMILIES {
        let cluster_ip = cluster.at(service, family, 80)?;
        let node_port = cluster.node_port(1, family, node_port);
        for (from, to) in [
            (client(1), cluster_ip),
            (client(2), cluster_ip),
            (Place::node(1), cluster_ip),
            (Place::Outside, node_port),
            (client(2), node_port),
        ] {
            flows.push((format!("{from} to {to}"), cluster.hold(&from, transport, to)?));
        }
    }
    Ok(flows)
}

/// Waits until every flow ends its request as `wanted` says.
fn all_become(
    cluster: &Cluster,
    flows: &mut [(String, Held)],
    what: &str,
    wanted: impl Fn(&Outcome) -> bool,
) -> Result<()> {
    for (way, flow) in flows {
        cluster.wait_until(&format!("{way}: {what}"), || {
            let outcome = flow.ask()?;
            ensure!(wanted(&outcome), "{outcome:?}");
            Ok(true)
        })?;
    }
    Ok(())
}

fn answered_by(pod: &str) -> impl Fn(&Outcome) -> bool {
    move |outcome| outcome.as_ref().is_ok_and(|answer| answer.pod.name == pod)
}

#[test]
fn udp_client_with_one_port_reaches_the_pod_that_replaces_its_own() {
    let manifests = pod("web-1", 1, "") + &dual_service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let mut flows = flows(cluster, Transport::Udp, ("web", WEB))?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))?;
        cluster.apply(&pod("web-2", 2, ""))?;
        cluster.wait_settled()?;
        cluster.delete_pod("web-1")?;
        all_become(cluster, &mut flows, "web-2", answered_by("web-2"))
    });
}

#[test]
fn udp_client_with_one_port_moves_from_a_pod_that_is_no_longer_ready() {
    let manifests =
        pod("web-1", 1, "") + &pod("web-2", 2, "") + &dual_service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.unready("web-2")?;
        cluster.wait_settled()?;
        let mut flows = flows(cluster, Transport::Udp, ("web", WEB))?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))?;
        cluster.ready("web-2")?;
        cluster.wait_settled()?;
        // One more pod moves nobody.
        for (way, flow) in &mut flows {
            let outcome = flow.ask()?;
            ensure!(answered_by("web-1")(&outcome), "{way}: {outcome:?}");
        }
        cluster.unready("web-1")?;
        all_become(cluster, &mut flows, "web-2", answered_by("web-2"))
    });
}

#[test]
fn udp_client_that_began_before_there_was_an_endpoint_reaches_it() {
    let manifests = dual_service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let mut flows = flows(cluster, Transport::Udp, ("web", WEB))?;
        let refused = |outcome: &Outcome| *outcome == Err(Failure::Refused);
        all_become(cluster, &mut flows, "refused", refused)?;
        cluster.apply(&pod("web-1", 1, ""))?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))
    });
}

#[test]
fn udp_client_of_a_service_without_endpoints_or_of_a_deleted_one_is_not_answered_any_more() {
    let manifests = pod("web-1", 1, "") + &dual_service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let mut flows = flows(cluster, Transport::Udp, ("web", WEB))?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))?;
        cluster.unready("web-1")?;
        let refused = |outcome: &Outcome| *outcome == Err(Failure::Refused);
        all_become(cluster, &mut flows, "refused", refused)?;
        cluster.ready("web-1")?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))?;
        // The pod stays; only its Service goes.
        cluster.delete_object("service/web")?;
        all_become(cluster, &mut flows, "not answered", Outcome::is_err)
    });
}

/// Waits until new connections on every way to the Service `web` reach just `pods`.
fn all_reach(cluster: &Cluster, pods: &[&str]) -> Result<()> {
    let pods = names(pods);
    for family in FAMILIES {
        for from in [client(1), client(2), Place::node(1)] {
            let to = cluster.at("web", family, 80)?;
            cluster.route(&from, Transport::Tcp, to).reaches(&pods)?;
        }
        let to = cluster.node_port(1, family, WEB);
        cluster.route(&Place::Outside, Transport::Tcp, to).reaches(&pods)?;
    }
    Ok(())
}

#[test]
fn connection_outlives_the_readiness_of_its_pod() {
    let manifests = pod("web-1", 1, "") + &dual_service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        all_reach(cluster, &["web-1"])?;
        let mut flows = flows(cluster, Transport::Tcp, ("web", WEB))?;
        all_become(cluster, &mut flows, "web-1", answered_by("web-1"))?;
        cluster.apply(&pod("web-2", 2, ""))?;
        all_reach(cluster, &["web-1", "web-2"])?;
        cluster.unready("web-1")?;
        all_reach(cluster, &["web-2"])?;
        for (way, flow) in &mut flows {
            let outcome = flow.ask()?;
            ensure!(answered_by("web-1")(&outcome), "{way}: {outcome:?}");
        }
        Ok(())
    });
}

/// Takes a pod away as a node does that fails: nobody closes its connections.
fn vanish(cluster: &Cluster, pod: &str) -> Result<()> {
    let command = ["ip", "link", "set", "eth0", "down"];
    cluster.exec(&Place::pod(pod), &command)?.checked()?;
    cluster.delete_pod(pod)
}

#[test]
fn connection_to_a_pod_that_vanished_is_reset_where_that_is_asked_for() {
    let manifests = pod("web-1", 1, "")
        + &pod("lone-1", 2, "")
        + &dual_service("web", WEB)
        + &dual_service("lone", LONE)
        + &clients();
    let builder = Lab::builder().manifests(manifests).podway_argument("--reset-dead-tcp");
    in_lab(builder, |cluster| {
        all_reach(cluster, &["web-1"])?;
        let mut moved = flows(cluster, Transport::Tcp, ("web", WEB))?;
        all_become(cluster, &mut moved, "web-1", answered_by("web-1"))?;
        let mut lone = flows(cluster, Transport::Tcp, ("lone", LONE))?;
        all_become(cluster, &mut lone, "lone-1", answered_by("lone-1"))?;
        cluster.apply(&pod("web-2", 2, ""))?;
        all_reach(cluster, &["web-1", "web-2"])?;
        let mut other = flows(cluster, Transport::Tcp, ("web", WEB))?;
        other.retain_mut(|(_, flow)| flow.ask().is_ok_and(|one| answered_by("web-2")(&one)));

        vanish(cluster, "web-1")?;
        vanish(cluster, "lone-1")?;
        let reset = |outcome: &Outcome| {
            *outcome == Err(Failure::Reset)
                || cluster.is_on_ebpf() && *outcome == Err(Failure::Closed)
        };
        // One Service has another endpoint, the other has none. A socket that was translated is told
        // by its own kernel.
        all_become(cluster, &mut moved, "reset", reset)?;
        all_become(cluster, &mut lone, "reset", reset)?;
        for (way, flow) in &mut other {
            let outcome = flow.ask()?;
            ensure!(answered_by("web-2")(&outcome), "{way}: {outcome:?}");
        }
        Ok(())
    });
}

/// The counters of TCP in `pod`: segments received, and resets sent.
fn tcp_counters(cluster: &Cluster, pod: &Place) -> Result<(u64, u64)> {
    let text = cluster.exec(pod, &["cat", "/proc/net/snmp"])?.checked()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names: Vec<_> = lines.next().context("no names")?.split(' ').collect();
    let numbers: Vec<_> = lines.next().context("no numbers")?.split(' ').collect();
    let counter = |name: &str| -> Result<u64> {
        let place = names.iter().position(|one| *one == name).context("no such counter")?;
        Ok(numbers.get(place).context("too few numbers")?.parse()?)
    };
    Ok((counter("InSegs")?, counter("OutRsts")?))
}

#[test]
fn segments_out_of_every_window_do_not_make_the_client_reset_its_connection() {
    let manifests = pod("web-1", 2, "") + &dual_service("web", WEB) + &clients();
    // Tracking that is not lenient leaves such segments untranslated on older kernels.
    let builder = Lab::builder().manifests(manifests).podway_argument("--set-sysctls");
    in_lab(builder, |cluster| {
        let server = Place::pod("web-1");
        for family in FAMILIES {
            let to = cluster.at("web", family, 80)?;
            let mut flow = cluster.route(&client(1), Transport::Tcp, to).hold()?;
            let answer = flow.goes_on()?;
            let (received, resets) = tcp_counters(cluster, &client(1))?;
            let injected = cluster.inject(&server, answer.server, answer.client)?;
            cluster.wait_until("the segments to arrive", || {
                let (now, _) = tcp_counters(cluster, &client(1))?;
                ensure!(now >= received + u64::from(injected), "{now} after {received}");
                Ok(true)
            })?;
            for _ in 0..3 {
                flow.goes_on()?;
            }
            let (_, now) = tcp_counters(cluster, &client(1))?;
            ensure!(now == resets, "the client sent {} resets", now - resets);
        }
        Ok(())
    });
}

#[test]
fn connection_that_the_server_has_closed_is_tracked_for_an_hour() {
    let manifests = pod("web-1", 2, "") + &dual_service("web", WEB) + &clients();
    let builder = Lab::builder().manifests(manifests).podway_argument("--set-sysctls");
    in_lab(builder, |cluster| {
        for family in FAMILIES {
            let address = cluster.cluster_ip("web", family)?.to_string();
            let tracked = if cluster.is_on_ebpf() {
                cluster.pod_addresses("web-1")?.of(family).to_string()
            } else {
                address.clone()
            };
            // Asks, sees the server close, and keeps its own end open.
            let script = format!(
                "exec 3<>/dev/tcp/{address}/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3; \
                 sleep infinity"
            );
            let held = cluster.spawn(&client(1), &["bash", "-c", &script])?;
            let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
            let command = ["conntrack", "--dump", "-f", word, "-p", "tcp", "--orig-dst", &tracked];
            cluster.wait_until("the entry", || {
                let listing = cluster.exec(&Place::node(1), &command)?.checked()?;
                let line = listing.lines().find(|line| line.contains(" CLOSE_WAIT "));
                let words: Vec<_> = line.context("no entry")?.split_whitespace().collect();
                let left: u64 = words.get(2).context("no time")?.parse()?;
                ensure!((3_540..=3_600).contains(&left), "{left} s are left");
                Ok(true)
            })?;
            drop(held);
        }
        Ok(())
    });
}
