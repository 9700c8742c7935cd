//! DNS answered on the node: locally while the daemon lives, by other nodes when it does not.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Binaries, Builder, Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod_with};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// The Service that pods ask.
const DNS: &str = "kube-system/kube-dns";

/// A name that every daemon knows.
const NAME: &str = "kubernetes.default.svc.cluster.local.";

/// Queries a second.
const RATE: u32 = 1000;

/// Milliseconds that the kernel takes a server to live after it was last proved.
const LIFETIME_MS: u64 = 1000;

fn builder() -> Builder {
    let host = pod_with(
        "host-1",
        1,
        "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet, \
        containers: [{name: main}]",
    );
    Lab::builder().manifests(clients() + &host).podway_argument("--dns-node-local")
}

fn dns_at(cluster: &Cluster, family: Family) -> Result<SocketAddr> {
    cluster.at(DNS, family, 53)
}

/// The addresses that are local to node 1, as routes.
fn local(cluster: &Cluster) -> Result<String> {
    let script = "ip route show table local; ip -6 route show table local";
    cluster.exec(&Place::node(1), &["sh", "-c", script])?.checked()
}

/// Tracked flows of node `number` that clients sent to `address` by `protocol`.
///
/// The daemon proves its own server from the loopback address before the kernel is told anything, so
/// its first datagram may be tracked; it is nobody's query.
fn tracked(cluster: &Cluster, number: u8, address: IpAddr, protocol: &str) -> Result<Vec<String>> {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let at = address.to_string();
    let command = ["conntrack", "-L", "-f", family, "-p", protocol, "--orig-dst", &at];
    let text = cluster.exec(&Place::node(number), &command)?.checked()?;
    let is_proof = |line: &&str| line.contains(" src=127.0.0.1 ") || line.contains(" src=::1 ");
    Ok(text.lines().filter(|line| !is_proof(line)).map(str::to_owned).collect())
}

/// Queries that the daemon of node `number` has had at `address`.
fn asked_at(cluster: &Cluster, number: u8, address: SocketAddr) -> Result<u64> {
    let text = cluster.admin(number, "/metrics")?;
    let server = format!("server=\"dns://{address}\"");
    let lines = text.lines().filter(|line| {
        line.starts_with("coredns_dns_requests_total{")
            && line.contains(&server)
            && line.contains("type=\"A\"")
    });
    let counts =
        lines.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?));
    counts.sum()
}

#[test]
fn queries_are_answered_on_the_node_of_their_client_without_a_trace() {
    in_lab(builder(), |cluster| {
        NODES.iter().try_for_each(|number| cluster.answers_on_node(*number))?;
        let places = |number: u8| {
            let host = (number == 1).then(|| Place::pod("host-1"));
            [client(number), Place::node(number)].into_iter().chain(host)
        };
        for number in NODES {
            for family in FAMILIES {
                let at = dns_at(cluster, family)?;
                let before = NODES.map(|number| asked_at(cluster, number, at));
                for from in places(number) {
                    for option in ["+notcp", "+tcp"] {
                        // dig takes an answer from the address that it asked, and from no other.
                        let lookup = cluster.lookup(&from, &[NAME, "A", option]);
                        let response = lookup.ask_at(at.ip())?;
                        ensure!(response.data() == ["10.96.0.1".to_owned()].into());
                    }
                }
                for (other, before) in NODES.into_iter().zip(before) {
                    let (before, after) = (before?, asked_at(cluster, other, at)?);
                    let expected = if other == number { 2 * places(number).count() } else { 0 };
                    let expected = u64::try_from(expected)?;
                    ensure!(after - before == expected, "node {other}: {before} to {after}");
                }
                // Nothing of the datagrams was tracked, there and back.
                let flows = tracked(cluster, number, at.ip(), "udp")?;
                ensure!(flows.is_empty(), "{flows:#?}");
                // Connections are, and none was translated: the server that answers is the one asked.
                for flow in tracked(cluster, number, at.ip(), "tcp")? {
                    let back = format!("src={}", at.ip());
                    ensure!(flow.contains(&back), "translated: {flow}");
                }
            }
        }
        Ok(())
    });
}

#[test]
fn killed_daemon_costs_no_more_than_the_time_of_its_element() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        for (from, family) in [
            (client(1), Family::V4),
            (client(1), Family::V6),
            (Place::node(1), Family::V4),
            (Place::node(1), Family::V6),
        ] {
            let at = dns_at(cluster, family)?;
            let there = |cluster: &Cluster| asked_at(cluster, 2, cluster.node_port(2, family, 53));
            let before = there(cluster)?;
            let queries = cluster.queries(&from, at, NAME, RATE)?;
            let here = asked_at(cluster, 1, at)?;
            cluster.wait_until("queries to be answered here", || {
                Ok(asked_at(cluster, 1, at)? > here + 500)
            })?;
            cluster.kill_podway(1)?;
            cluster.wait_until("queries to be answered by the other node", || {
                Ok(there(cluster)? > before + 1000)
            })?;
            ensure!(!cluster.is_node_local(1, at.ip())?, "the element has expired");
            let report = queries.end()?;
            // What is lost was sent while the kernel still took the daemon to live.
            ensure!(report.lost_span_ms <= LIFETIME_MS, "{from}: {report:?}");
            let most = u64::from(RATE) * LIFETIME_MS / 1000;
            ensure!(u64::try_from(report.lost)? <= most + 1 && report.failed == 0, "{report:?}");
            cluster.start_podway(1)?;
            cluster.answers_on_node(1)?;
        }
        Ok(())
    });
}

#[test]
fn planned_stop_and_start_lose_nothing() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        for (from, family) in [(client(1), Family::V4), (Place::node(1), Family::V6)] {
            let at = dns_at(cluster, family)?;
            let there = |cluster: &Cluster| asked_at(cluster, 2, cluster.node_port(2, family, 53));
            for _ in 0..3 {
                let (before, here) = (there(cluster)?, asked_at(cluster, 1, at)?);
                let queries = cluster.queries(&from, at, NAME, RATE)?;
                cluster.wait_until("queries to be answered here", || {
                    Ok(asked_at(cluster, 1, at)? > here + 300)
                })?;
                cluster.stop_podway(1)?;
                ensure!(!local(cluster)?.contains(&at.ip().to_string()), "it is local no more");
                cluster.wait_until("queries to be answered by the other node", || {
                    Ok(there(cluster)? > before + 300)
                })?;
                cluster.start_podway(1)?;
                cluster.answers_on_node(1)?;
                cluster.wait_until("queries to be answered here again", || {
                    Ok(asked_at(cluster, 1, at)? > 300)
                })?;
                let report = queries.end()?;
                ensure!((report.lost, report.failed) == (0, 0), "{from}: {report:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn connection_that_began_elsewhere_goes_on_when_the_daemon_is_back() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        let at = dns_at(cluster, Family::V4)?;
        cluster.kill_podway(1)?;
        cluster.wait_until("the element to expire", || Ok(!cluster.is_node_local(1, at.ip())?))?;
        // Asks once over a connection for every line that it is given.
        let script = "import socket, struct, sys\n\
            s = socket.create_connection((sys.argv[1], 53), 5)\n\
            q = bytes.fromhex('000701000001000000000000') + \
            b'\\x0akubernetes\\x07default\\x03svc\\x07cluster\\x05local\\0' + b'\\0\\1\\0\\1'\n\
            for line in sys.stdin:\n\
            \x20   s.sendall(struct.pack('!H', len(q)) + q)\n\
            \x20   n = struct.unpack('!H', s.recv(2, socket.MSG_WAITALL))[0]\n\
            \x20   r = s.recv(n, socket.MSG_WAITALL)\n\
            \x20   print(r[3] & 15, flush=True)\n";
        let address = at.ip().to_string();
        let mut running = cluster.spawn(&client(1), &["python3", "-c", script, &address])?;
        let mut input = running.stdin.take().context("input")?;
        let mut output = std::io::BufReader::new(running.stdout.take().context("output")?);
        let mut ask = || -> Result<String> {
            use std::io::{BufRead as _, Write as _};
            input.write_all(b"ask\n")?;
            let mut line = String::new();
            output.read_line(&mut line)?;
            Ok(line.trim().to_owned())
        };
        ensure!(ask()? == "0", "the other node answers");
        cluster.start_podway(1)?;
        cluster.answers_on_node(1)?;
        ensure!(ask()? == "0", "and goes on to");
        Ok(())
    });
}

#[test]
fn stuck_daemon_loses_its_queries_to_the_other_node() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        let at = dns_at(cluster, Family::V4)?;
        let script = "for one in /proc/[0-9]*; do \
            tr '\\0' ' ' <$one/cmdline | grep -q '[p]odway run.*hostname-override node-1 ' \
            && echo ${one#/proc/}; done; true";
        let pid = cluster.exec(&Place::node(1), &["sh", "-c", script])?.checked()?;
        let pid = pid.trim().to_owned();
        ensure!(pid.parse::<u32>().is_ok(), "which is the daemon: {pid}");
        cluster.exec(&Place::node(1), &["kill", "-STOP", &pid])?.checked()?;
        cluster.wait_until("the element to expire", || Ok(!cluster.is_node_local(1, at.ip())?))?;
        let lookup = cluster.lookup(&client(1), &[NAME, "A"]);
        ensure!(lookup.ask()?.data() == ["10.96.0.1".to_owned()].into(), "the other node answers");
        cluster.exec(&Place::node(1), &["kill", "-CONT", &pid])?.checked()?;
        cluster.answers_on_node(1)
    });
}

#[test]
fn cluster_ip_that_changes_is_followed() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        let old = dns_at(cluster, Family::V4)?.ip();
        let service = |address: &str| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: kube-dns, namespace: kube-system}}, \
             spec: {{clusterIP: {address}, selector: {{k8s-app: kube-dns}}, ports: [\
             {{name: dns, port: 53, protocol: UDP}}, {{name: dns-tcp, port: 53}}]}}}}"
            )
        };
        cluster.delete_object("svc/kube-system/kube-dns")?;
        cluster.wait_until("the old addresses to go", || {
            Ok(!local(cluster)?.contains(&old.to_string()))
        })?;
        cluster.apply(&service("10.96.0.77"))?;
        let new: IpAddr = "10.96.0.77".parse()?;
        cluster.wait_until("the new address to be answered", || cluster.is_node_local(1, new))?;
        let lookup = cluster.lookup(&client(1), &[NAME, "A"]);
        ensure!(lookup.ask_at(new)?.data() == ["10.96.0.1".to_owned()].into());
        ensure!(!cluster.is_node_local(1, old)?);
        Ok(())
    });
}

#[test]
fn further_address_is_answered_and_cleanup_removes_what_a_killed_daemon_leaves() {
    let builder = Lab::builder()
        .manifests(clients())
        .podway_argument("--dns-node-local=kube-system/kube-dns,169.254.20.10");
    in_lab(builder, |cluster| {
        cluster.answers_on_node(1)?;
        let further: IpAddr = "169.254.20.10".parse()?;
        cluster.wait_until("the further address to be answered", || {
            cluster.is_node_local(1, further)
        })?;
        for option in ["+notcp", "+tcp"] {
            let response = cluster.lookup(&client(1), &[NAME, "A", option]).ask_at(further)?;
            ensure!(response.data() == ["10.96.0.1".to_owned()].into(), "{response:?}");
        }
        let flows = tracked(cluster, 1, further, "udp")?;
        ensure!(flows.is_empty(), "{flows:#?}");
        cluster.kill_podway(1)?;
        ensure!(local(cluster)?.contains("169.254.20.10"), "a killed daemon leaves its routes");
        cluster.exec(&Place::node(1), &["ip", "address", "add", "192.0.2.77/32", "dev", "lo"])?;
        let program = Binaries::find()?.podway;
        let cleanup = [program.to_str().context("path")?, "cleanup"];
        let said = cluster.exec(&Place::node(1), &cleanup)?.checked()?;
        for address in ["169.254.20.10", "10.96.0.10", "fd00:10:96::a"] {
            ensure!(said.contains(&format!("removed local route to {address}\n")), "{said}");
            ensure!(!local(cluster)?.contains(&format!("{address} ")), "{address} stays");
        }
        ensure!(local(cluster)?.contains("192.0.2.77 "), "what is somebody else's stays");
        cluster.start_podway(1)?;
        cluster.answers_on_node(1)
    });
}

#[test]
fn strangers_get_no_answer_wherever_they_ask() {
    in_lab(builder(), |cluster| {
        cluster.answers_on_node(1)?;
        let node = cluster.node_ip(1, Family::V4);
        let asked = |from: &Place, option: &str| {
            let lookup = cluster.lookup(from, &[NAME, "A", option, "+timeout=1"]);
            lookup.ask_at(node).is_ok()
        };
        ensure!(asked(&Place::Outside, "+notcp"), "a private address is answered");
        // The same client with an address that is nobody's in the cluster.
        let stranger = "203.0.113.9";
        let own = format!(
            "ip address add {stranger}/32 dev eth0; ip route replace {node}/32 \
            dev eth0 src {stranger}"
        );
        cluster.exec(&Place::Outside, &["sh", "-c", &own])?.checked()?;
        let back = ["ip", "route", "replace", "203.0.113.9/32", "dev", "eth0"];
        cluster.exec(&Place::node(1), &back)?.checked()?;
        for option in ["+notcp", "+tcp"] {
            ensure!(!asked(&Place::Outside, option), "a stranger was answered by {option}");
        }
        let dropped = cluster.metric(1, "podway_dns_strangers_total")?;
        ensure!(dropped >= 2.0, "{dropped} were counted");
        cluster.logged(1, &["in no network that is served", stranger])?;
        Ok(())
    });
}
