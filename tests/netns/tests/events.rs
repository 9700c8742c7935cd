//! `podway events`: decisions about single sockets, told while somebody listens.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Binaries, Family, Lab, Place, Running, Transport};
use podway_tests_netns::manifests::{client, clients, pod, service};
use podway_tests_netns::{Cluster, FAMILIES, in_lab};
use serde_json::Value;

/// Where the daemon of node 1 has its pins.
const BPFFS: &str = "/run/podway-lab/bpf-1";

/// What the command says once decisions are told.
const LISTENING: &str = "is told";

fn manifests() -> String {
    let ports = "ipFamilyPolicy: PreferDualStack, ports: [\
        {name: stream, port: 80, targetPort: 8080}, \
        {name: datagrams, port: 80, targetPort: 8080, protocol: UDP}]";
    let empty = "ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]";
    pod("web-1", 1, "") + &service("web", ports) + &service("empty", empty) + &clients()
}

/// `podway events` on node 1.
struct Listener {
    _running: Running,
    process: String,
    lines: Receiver<String>,
    remarks: Receiver<String>,
}

/// The lines of `pipe`, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // The test is over when nobody reads.
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Listener {
    /// Starts it, with further arguments, and waits until it listens; what it said until then.
    fn start(cluster: &Cluster, more: &str) -> Result<(Self, Vec<String>)> {
        let program = Binaries::find()?.podway;
        let program = program.to_str().context("path")?;
        let script = format!("echo $$ >&2; exec {program} events --bpffs-root {BPFFS} {more}");
        let mut running = cluster.spawn(&Place::node(1), &["sh", "-c", &script])?;
        let remarks = lines(running.stderr.take().context("no pipe")?);
        let lines = lines(running.stdout.take().context("no pipe")?);
        let mut said: Vec<String> = Vec::new();
        while !said.last().is_some_and(|line| line.contains(LISTENING)) {
            said.push(remarks.recv().with_context(|| format!("it ended; it said {said:?}"))?);
        }
        let process = said.remove(0);
        Ok((Self { _running: running, process, lines, remarks }, said))
    }

    /// The next event.
    fn event(&self) -> Result<Value> {
        let line = self.lines.recv().context("the command ended")?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// Waits for its end; the lines that nobody has read.
    fn rest(self) -> (Vec<String>, Vec<String>) {
        (self.lines.iter().collect(), self.remarks.iter().collect())
    }
}

/// Asks for `url` at `place`, whether it is answered or not.
fn curl(cluster: &Cluster, place: &Place, address: &str) -> Result<()> {
    let url = format!("http://{address}/");
    cluster.exec(place, &["curl", "-gsS", "--max-time", "5", &url]).map(drop)
}

/// How many decisions were told since the last listener and read by nobody.
fn left_behind(cluster: &Cluster) -> Result<u64> {
    let (listener, said) = Listener::start(cluster, "--output json --count 1")?;
    curl(cluster, &client(1), &cluster.at("web", Family::V4, 80)?.to_string())?;
    listener.event()?;
    listener.rest();
    let thrown_away = said.iter().find(|line| line.contains("thrown away"));
    let number = thrown_away.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    Ok(number.unwrap_or(0))
}

/// Waits until the time that the last listener asked for is over.
fn lease_ends(cluster: &Cluster) -> Result<()> {
    let pin = format!("{BPFFS}/podway/maps-1/SAMPLING");
    cluster.wait_until("nobody to be told anything", || {
        let dump = ["bpftool", "--json", "map", "dump", "pinned", &pin];
        let dump = cluster.exec(&Place::node(1), &dump)?.checked()?;
        let dump: Value = serde_json::from_str(&dump)?;
        let octets =
            dump.pointer("/0/value").and_then(Value::as_array).context(dump.to_string())?;
        let octet =
            |one: &Value| u8::from_str_radix(one.as_str()?.trim_start_matches("0x"), 16).ok();
        let octets: Vec<u8> = octets.iter().filter_map(octet).collect();
        let field = octets.get(8..16).context("a short value")?;
        let until = u64::from_le_bytes(field.try_into()?);
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let seconds: f64 = uptime.split_whitespace().next().context("no time")?.parse()?;
        Ok(Duration::from_nanos(until) < Duration::from_secs_f64(seconds))
    })
}

#[test]
fn each_socket_is_told_with_its_pod_its_service_and_its_endpoint() {
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
        let (listener, _) = Listener::start(cluster, "--output json")?;
        for family in FAMILIES {
            let to = cluster.at("web", family, 80)?;
            let endpoint = (cluster.pod_addresses("web-1")?.of(family), 8080);
            let endpoint = std::net::SocketAddr::from(endpoint).to_string();
            for (place, pod) in [(client(1), Some("default/client-1")), (Place::node(1), None)] {
                curl(cluster, &place, &to.to_string())?;
                let event = listener.event()?;
                let is = |field: &str, value: &str| {
                    ensure!(event[field] == value, "{field} is not {value}: {event}");
                    Ok(())
                };
                ensure!(event.get("pod").and_then(Value::as_str) == pod, "{event}");
                is("network", if pod.is_some() { "pod" } else { "node" })?;
                is("command", "curl")?;
                is("hook", "connect")?;
                is("protocol", "tcp")?;
                is("frontend", &to.to_string())?;
                is("service", "default/web")?;
                is("port", "stream")?;
                is("outcome", "endpoint")?;
                is("endpoint", &endpoint)?;
                is("endpointPod", "default/web-1")?;
            }
            cluster.route(&client(1), Transport::Udp, to).answers(1)?;
            let event = listener.event()?;
            ensure!(event["protocol"] == "udp" && event["port"] == "datagrams", "{event}");
            let nowhere = cluster.at("empty", family, 80)?.to_string();
            curl(cluster, &client(1), &nowhere)?;
            let event = listener.event()?;
            ensure!(
                event["outcome"] == "refused" && event["service"] == "default/empty",
                "{event}"
            );
            ensure!(event.get("endpoint").is_none() && event["frontend"] == *nowhere, "{event}");
        }
        Ok(())
    });
}

#[test]
fn event_is_a_line_for_people_and_the_command_ends_after_so_many() {
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
        let (listener, _) = Listener::start(cluster, "--count 2")?;
        let to = cluster.at("web", Family::V4, 80)?;
        // What is no Service's is nobody's to tell.
        let endpoint = format!("{}:8080", cluster.pod_addresses("web-1")?.of(Family::V4));
        curl(cluster, &client(1), &endpoint)?;
        for _ in 0..3 {
            curl(cluster, &client(1), &to.to_string())?;
        }
        let (lines, _) = listener.rest();
        ensure!(lines.len() == 2, "{lines:?}");
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let told = format!("connect tcp {to} default/web:stream -> {endpoint} default/web-1");
            ensure!(words.get(1) == Some(&"default/client-1") && line.ends_with(&told), "{line}");
        }
        Ok(())
    });
}

#[test]
fn nothing_is_told_when_nobody_listens_or_the_listener_was_killed() {
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
        let to = cluster.at("web", Family::V4, 80)?.to_string();
        let ask = || (0..3).try_for_each(|_| curl(cluster, &client(1), &to));
        ask()?;
        ensure!(left_behind(cluster)? == 0, "told before anybody listened");
        ask()?;
        ensure!(left_behind(cluster)? == 0, "told after the listener had ended");

        let (listener, _) = Listener::start(cluster, "--output json")?;
        let second = ["sh", "-c", "exec \"$0\" events --bpffs-root \"$1\""];
        let program = Binaries::find()?.podway;
        let words = [&second[..], &[program.to_str().context("path")?, BPFFS]].concat();
        let refused = cluster.exec(&Place::node(1), &words)?;
        ensure!(refused.stderr.contains("another podway events listens"), "{refused:?}");
        ask()?;
        listener.event()?;
        // One that has read what it wanted to and takes no more, and then is no more.
        cluster.exec(&Place::node(1), &["kill", "-STOP", &listener.process])?.checked()?;
        ask()?;
        cluster.exec(&Place::node(1), &["kill", "-KILL", &listener.process])?.checked()?;
        listener.rest();
        lease_ends(cluster)?;
        ask()?;
        let left = left_behind(cluster)?;
        ensure!(left <= 3, "{left} were told, though the listener was gone for a while");
        ask()?;
        ensure!(left_behind(cluster)? == 0);
        Ok(())
    });
}

#[test]
fn what_finds_no_room_is_counted_and_lost() {
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
        let (listener, _) = Listener::start(cluster, "--output json")?;
        let to = cluster.at("web", Family::V4, 80)?;
        // Far more than the ring holds, with a listener that does not read.
        let program = "import socket, sys\n\
            to = (sys.argv[1], int(sys.argv[2]))\n\
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            for _ in range(20000): s.sendto(b'x', to)\n";
        let (ip, port) = (to.ip().to_string(), to.port().to_string());
        cluster.exec(&Place::node(1), &["kill", "-STOP", &listener.process])?.checked()?;
        cluster.exec(&client(1), &["python3", "-c", program, &ip, &port])?.checked()?;
        cluster.exec(&Place::node(1), &["kill", "-CONT", &listener.process])?.checked()?;
        let mut told = 0_u64;
        let lost = loop {
            let line = listener.event()?;
            match line.get("lost").and_then(Value::as_u64) {
                Some(lost) => break lost,
                None => told += 1,
            }
        };
        ensure!(told > 1000 && lost > 1000 && told + lost <= 20_000, "{told} told, {lost} lost");
        Ok(())
    });
}

#[test]
fn without_programs_the_command_says_what_is_missing() {
    in_lab(Lab::builder().manifests(manifests()).nftables(), |cluster| {
        let program = Binaries::find()?.podway;
        let said = cluster.exec(
            &Place::node(1),
            &[program.to_str().context("path")?, "events", "--bpffs-root", "/proc"],
        )?;
        ensure!(said.code == 1, "{said:?}");
        let expected = "no eBPF programs of podway are pinned below /proc/podway";
        ensure!(said.stderr.contains(expected), "{said:?}");
        Ok(())
    });
}
