//! The lab without the daemon under test: what it promises to those who test with it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::Path;

use podway_tests_lab::{Family, Lab, Place, PodPhase};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

const ECHO: &str = "
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec: {containers: [{name: echo, ports: [{containerPort: 80}]}]}
---
kind: Service
metadata: {name: echo}
spec: {selector: {app: echo}, ports: [{name: web, port: 80}, {name: late, port: 8080}]}
---
kind: Pod
metadata: {name: host}
spec:
  nodeName: node-2
  hostNetwork: true
  containers: [{name: host, ports: [{containerPort: 8000}, {containerPort: 8000, protocol: UDP}]}]
---
kind: Pod
metadata: {name: client}
spec: {nodeName: node-1, containers: [{name: client}]}
";

/// A lab with `manifests` and without daemon.
fn lab(manifests: &str) -> Lab {
    Lab::builder().without_podway().manifests(manifests).start().unwrap()
}

fn client() -> Place {
    Place::pod("client")
}

fn url(address: IpAddr, port: u16) -> String {
    format!("http://{}/", std::net::SocketAddr::new(address, port))
}

/// Output of a command that must succeed.
fn run(lab: &Lab, place: &Place, command: &[&str]) -> String {
    lab.exec(place, command).unwrap().checked().unwrap()
}

#[test]
fn everybody_reaches_pods_on_every_node_in_both_families() {
    let lab = lab(ECHO);
    let own = lab.pod_addresses("client").unwrap();
    let pods = lab.pods("echo-").unwrap();
    let mut nodes: Vec<_> = pods.iter().map(|pod| pod.node.clone().unwrap()).collect();
    nodes.sort();
    assert_eq!(nodes, ["node-1", "node-2"]);
    for pod in pods {
        for family in FAMILIES {
            // The second port is declared by the Service only.
            for port in [80, 8080] {
                let url = url(pod.addresses.unwrap().of(family), port);
                let sources =
                    [(client(), own.of(family)), (Place::Outside, lab.outside_ip(family))];
                for (place, address) in sources {
                    let answer = lab.ask(&place, &url, 1).unwrap().0.remove(0);
                    assert_eq!(answer.pod, pod.name, "{url} from {place}");
                    assert_eq!(answer.client.ip(), address, "{url} from {place}");
                }
                lab.ask(&Place::node(2), &url, 1).unwrap();
            }
        }
    }
}

#[test]
fn a_host_network_pod_answers_at_its_nodes_address_over_tcp_and_udp() {
    let lab = lab(ECHO);
    for family in FAMILIES {
        let node = lab.node_ip(2, family);
        let answer = lab.ask(&client(), &url(node, 8000), 1).unwrap().0.remove(0);
        assert_eq!(answer.pod.name, "host");
        // bash needs no netcat for a datagram; an answer from another address would be lost.
        let script =
            format!("exec 3<>/dev/udp/{node}/8000; echo hello >&3; timeout 5 head -n 1 <&3");
        let text = run(&lab, &client(), &["bash", "-c", &script]);
        assert!(text.contains("pod=default/host node=node-2 server="), "{text}");
        assert!(text.contains("protocol=udp bytes=6"), "{text}");
    }
}

#[test]
fn pods_have_their_own_host_name_resolver_and_files() {
    let lab = lab(ECHO);
    assert_eq!(run(&lab, &client(), &["hostname"]).trim(), "client");
    let resolver = run(&lab, &client(), &["cat", "/etc/resolv.conf"]);
    assert_eq!(
        resolver,
        "search default.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver 10.96.0.10\noptions ndots:5\n"
    );
    let own = lab.pod_addresses("client").unwrap().v4.to_string();
    assert!(run(&lab, &client(), &["getent", "hosts", "client"]).contains("client"));
    assert!(run(&lab, &client(), &["cat", "/etc/hosts"]).contains(&own));
    run(&lab, &client(), &["touch", "/tmp/mine"]);
    let other = lab.pods("echo-").unwrap().remove(0).name.name;
    assert_eq!(run(&lab, &Place::pod(other), &["ls", "/tmp"]), "");
}

#[test]
fn nothing_of_the_lab_is_seen_on_the_machine() {
    let interfaces = || {
        let mut names: Vec<_> = std::fs::read_dir("/sys/class/net")
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = (interfaces(), mounts(), Path::new("/run/netns").exists());
    let lab = lab(ECHO);
    run(&lab, &Place::node(1), &["ip", "netns", "add", "inner"]);
    assert_eq!((interfaces(), mounts(), Path::new("/run/netns").exists()), before);
    let state = lab.manifests_folder();
    drop(lab);
    assert_eq!((interfaces(), mounts(), Path::new("/run/netns").exists()), before);
    assert!(!state.exists());
}

#[test]
fn exec_passes_streams_and_exit_codes_and_a_dropped_command_is_killed() {
    let lab = lab(ECHO);
    let output =
        lab.exec(&Place::node(1), &["sh", "-c", "echo out; echo err >&2; exit 7"]).unwrap();
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (7, "out\n", "err\n"));
    let output = lab.exec(&Place::Outside, &["sh", "-c", "kill -9 $$"]).unwrap();
    assert_eq!(output.code, 137);
    let missing = lab.exec(&client(), &["no-such-program"]).unwrap_err();
    assert!(format!("{missing:#}").contains("no-such-program"), "{missing:#}");
    let nowhere = lab.exec(&Place::pod("nobody"), &["true"]).unwrap_err();
    assert!(format!("{nowhere:#}").contains("default/nobody"), "{nowhere:#}");

    let mut running = lab.spawn(&client(), &["cat"]).unwrap();
    running.stdin.as_mut().unwrap().write_all(b"through\n").unwrap();
    let mut reader = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "through\n");
    // Held open by nobody but the command: its end is the end of the killed command.
    let stdin = running.stdin.take();
    drop(running);
    line.clear();
    assert_eq!(reader.read_line(&mut line).unwrap(), 0);
    drop(stdin);
}

/// Ready addresses of the Service `name` in the folder that daemons watch.
fn ready_addresses(lab: &Lab, name: &str) -> Vec<String> {
    let file = lab.manifests_folder().join(format!("endpointslices_default_{name}.json"));
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let endpoints = items.flat_map(|slice| slice["endpoints"].as_array().unwrap());
    let mut ready: Vec<_> = endpoints
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned())
        .collect();
    ready.sort();
    ready
}

#[test]
fn readiness_by_command_and_by_file_shows_in_the_slices() {
    let lab = lab(ECHO);
    let all = ready_addresses(&lab, "echo");
    assert_eq!(all.len(), 2);
    let pod = lab.pods("echo-").unwrap().remove(0);
    let own = pod.addresses.unwrap().v4.to_string();
    let name = &pod.name.name;
    let rest: Vec<_> = all.iter().filter(|it| **it != own).cloned().collect();

    lab.unready(name).unwrap();
    assert_eq!(ready_addresses(&lab, "echo"), rest, "published before the command returns");
    lab.ready(name).unwrap();
    assert_eq!(ready_addresses(&lab, "echo"), all);

    run(&lab, &Place::pod(name), &["rm", "/run/pod/ready"]);
    lab.wait_until("the slice to follow", || Ok(ready_addresses(&lab, "echo") == rest)).unwrap();
    run(&lab, &Place::pod(name), &["touch", "/run/pod/ready"]);
    lab.wait_until("the slice to follow", || Ok(ready_addresses(&lab, "echo") == all)).unwrap();
}

#[test]
fn probes_decide_and_a_command_that_is_not_there_is_taken_as_passed() {
    let lab = lab("
kind: Pod
metadata: {name: probed, labels: {app: probed}}
spec:
  containers:
  - name: a
    ports: [{containerPort: 80, name: http}]
    startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
    readinessProbe:
      exec: {command: [test, '!', -e, /tmp/failing]}
      periodSeconds: 1
      failureThreshold: 1
  - name: b
    readinessProbe: {exec: {command: [only-in-the-image]}}
---
kind: Service
metadata: {name: probed}
spec: {selector: {app: probed}, ports: [{port: 80}]}
");
    assert_eq!(ready_addresses(&lab, "probed").len(), 1);
    let notes = lab.pods("probed").unwrap().remove(0).notes.join(" ");
    assert!(notes.contains("only-in-the-image"), "{notes}");
    run(&lab, &Place::pod("probed"), &["touch", "/tmp/failing"]);
    let count = || ready_addresses(&lab, "probed").len();
    lab.wait_until("the probe to fail", || Ok(count() == 0)).unwrap();
    run(&lab, &Place::pod("probed"), &["rm", "/tmp/failing"]);
    lab.wait_until("the probe to pass", || Ok(count() == 1)).unwrap();
}

#[test]
fn a_stateful_set_pod_comes_back_elsewhere_and_the_old_address_is_unreachable() {
    let lab = lab("
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, ports: [{containerPort: 80}]}]}
---
kind: Pod
metadata: {name: client}
");
    let before = lab.pod_addresses("db-1").unwrap();
    lab.delete_pod("db-1").unwrap();
    lab.wait_until("db-1 to come back", || {
        let moved = lab.pod_addresses("db-1").is_ok_and(|after| after != before);
        Ok(moved && lab.status()?.settled)
    })
    .unwrap();
    let after = lab.pod_addresses("db-1").unwrap();
    let answer = lab.ask(&client(), &url(after.v4.into(), 80), 1).unwrap().0.remove(0);
    assert_eq!(answer.pod.name, "db-1");
    let old = lab.ask(&client(), &url(before.v4.into(), 80), 1).unwrap_err();
    // curl's exit code for a connection that cannot be made: the node says so, nothing times out.
    assert!(format!("{old:#}").contains("exit code 7"), "{old:#}");
}

#[test]
fn a_deleted_pod_serves_until_its_grace_period_ends_if_it_ignores_sigterm() {
    let lab = lab("
kind: Pod
metadata: {name: slow, annotations: {lab.podway.io/ignore-sigterm: ''}, labels: {app: slow}}
spec: {terminationGracePeriodSeconds: 2, containers: [{name: a, ports: [{containerPort: 80}]}]}
---
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: a
    ports: [{containerPort: 80}]
    lifecycle: {preStop: {exec: {command: [sh, -c, 'until test -e /tmp/go; do sleep 0.05; done']}}}
---
kind: Pod
metadata: {name: client}
");
    for pod in ["slow", "hooked"] {
        let address = lab.pod_addresses(pod).unwrap().v4;
        lab.delete_pod(pod).unwrap();
        assert_eq!(lab.pods(pod).unwrap()[0].phase, PodPhase::Terminating);
        lab.ask(&client(), &url(address.into(), 80), 1).unwrap();
        if pod == "hooked" {
            run(&lab, &Place::pod(pod), &["touch", "/tmp/go"]);
        }
        lab.wait_until("the pod to go", || Ok(lab.pods(pod)?.is_empty())).unwrap();
        assert!(lab.ask(&client(), &url(address.into(), 80), 1).is_err());
    }
}

#[test]
fn a_rolling_update_replaces_every_pod() {
    let lab = lab(ECHO);
    let before: Vec<_> = lab.pods("echo-").unwrap().into_iter().map(|pod| pod.name).collect();
    lab.apply(&ECHO.replace("containerPort: 80}", "containerPort: 80, name: web}")).unwrap();
    lab.wait_until("the update", || {
        let pods = lab.pods("echo-")?;
        let old = pods.iter().any(|pod| before.contains(&pod.name));
        Ok(!old && pods.len() == 2 && lab.status()?.settled)
    })
    .unwrap();
}

#[test]
fn bad_manifests_are_refused_by_name_and_lose_nothing_else() {
    let lab = lab(ECHO);
    let bad = "
kind: Service
metadata: {name: bad}
spec: {clusterIP: 10.97.0.1}
---
kind: Pod
metadata: {name: good}
";
    let error = lab.apply(bad).unwrap_err().to_string();
    assert!(error.contains("Service default/bad: spec.clusterIPs"), "{error}");
    lab.wait_settled().unwrap();
    assert_eq!(lab.pods("good").unwrap().len(), 1);
    assert!(lab.apply("a: [").is_err());
    let start = Lab::builder().without_podway().manifests(bad).start().unwrap_err();
    assert!(format!("{start:#}").contains("Service default/bad"), "{start:#}");
}

#[test]
fn names_outside_are_answered_and_logged() {
    let lab = lab(ECHO);
    let text = run(&lab, &Place::node(1), &["dig", "+short", "www.example.com", "A"]);
    assert_eq!(text, "192.168.77.200\n");
    let answers = lab.ask(&Place::node(1), "http://www.example.com/", 1).unwrap();
    assert_eq!(answers.0[0].pod.to_string(), "external/www");
    let queries = lab.upstream_queries().unwrap();
    assert!(queries.iter().any(|line| line == "www.example.com. A udp"), "{queries:?}");
}

#[test]
fn a_detached_lab_is_found_by_name_and_taken_down_even_after_a_crash() {
    let name = format!("detached-{}", std::process::id());
    let start = || Lab::builder().nodes(1).without_podway().start_detached(&name);
    drop(start().unwrap());
    assert!(format!("{:#}", start().unwrap_err()).contains("is up already"));
    let lab = Lab::attach(&name).unwrap();
    assert_eq!(lab.status().unwrap().nodes.len(), 1);
    assert!(Lab::down(&name).unwrap());
    assert!(!Lab::down(&name).unwrap());

    let lab = start().unwrap();
    let state = lab.manifests_folder();
    let launcher = std::fs::read_to_string(state.parent().unwrap().join("lock")).unwrap();
    let killed = std::process::Command::new("kill").args(["-9", launcher.trim()]).status().unwrap();
    assert!(killed.success());
    lab.wait_until("the lab to be gone", || Ok(Lab::attach(&name).is_err())).unwrap();
    assert!(Lab::down(&name).unwrap());
    assert!(!state.exists());
}
