//! The Helm chart gives what the plain manifests are, and what its values ask for.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::fs;

use anyhow::Result;
use podway_tests_conformance::{deploy, is_switched_off, objects, rendered};
use serde_json::{Value, json};

/// The objects of the plain manifests with these names.
fn plain(names: &[&str]) -> Result<Vec<Value>> {
    let texts: Vec<_> = names
        .iter()
        .map(|name| fs::read_to_string(deploy().join("manifests").join(name)))
        .collect::<Result<_, _>>()?;
    objects(&texts.join("\n---\n"))
}

/// The container of the DaemonSet among `objects`.
fn container(objects: &mut [Value]) -> &mut Value {
    let daemons = objects.iter_mut().find(|object| object["kind"] == "DaemonSet");
    &mut daemons.expect("a DaemonSet")["spec"]["template"]["spec"]["containers"][0]
}

fn flag(container: &mut Value, flag: &str) {
    container["args"].as_array_mut().expect("arguments").push(json!(flag));
}

#[test]
fn chart_gives_the_plain_manifests_and_what_values_ask_for() {
    if is_switched_off() {
        return;
    }
    // A row: values, the plain manifests they stand for, and what differs from those.
    type Row = (&'static str, Value, &'static [&'static str], fn(&mut [Value]));
    let rows: [Row; 6] = [
        ("nothing asked for", json!({}), &["podway.yaml"], |_| {}),
        (
            "a cluster without CoreDNS",
            json!({"kubeDNS": {"create": true}}),
            &["podway.yaml", "kube-dns.yaml"],
            |_| {},
        ),
        (
            "the Prometheus operator",
            json!({"podMonitor": {"enabled": true}}),
            &["podway.yaml", "podmonitor.yaml"],
            |objects| flag(container(objects), "--metrics-bind-address=$(NODE_IP):10249"),
        ),
        (
            "API servers by address",
            json!({"apiEndpoints": ["192.0.2.1:6443", "192.0.2.2:6443"]}),
            &["podway.yaml"],
            |objects| {
                flag(container(objects), "--api-endpoints=192.0.2.1:6443,192.0.2.2:6443");
            },
        ),
        (
            "an image, flags and nodes of one's own",
            json!({
                "image": {"repository": "registry.example/podway", "tag": "1.2.3"},
                "extraArgs": ["--log-level=debug"], "nodeSelector": {"podway.dev/trial": "true"},
            }),
            &["podway.yaml"],
            |objects| {
                let container = container(objects);
                container["image"] = json!("registry.example/podway:1.2.3");
                flag(container, "--log-level=debug");
                let daemons = objects.iter_mut().find(|object| object["kind"] == "DaemonSet");
                let spec = &mut daemons.expect("a DaemonSet")["spec"]["template"]["spec"];
                spec["nodeSelector"]["podway.dev/trial"] = json!("true");
            },
        ),
        ("eBPF", json!({"proxyMode": "ebpf"}), &["podway.yaml"], |objects| {
            let container = container(objects);
            flag(container, "--proxy-mode=ebpf");
            let capabilities = &mut container["securityContext"]["capabilities"]["add"];
            *capabilities = json!(["NET_ADMIN", "NET_BIND_SERVICE", "BPF", "PERFMON"]);
            let folders = [("bpf", "/sys/fs/bpf"), ("cgroup", "/sys/fs/cgroup")];
            let mounts = container["volumeMounts"].as_array_mut().expect("mounts");
            mounts.extend(folders.map(|(name, path)| json!({"name": name, "mountPath": path})));
            let daemons = objects.iter_mut().find(|object| object["kind"] == "DaemonSet");
            let spec = &mut daemons.expect("a DaemonSet")["spec"]["template"]["spec"];
            let volumes = spec["volumes"].as_array_mut().expect("volumes");
            volumes.extend(folders.map(|(name, path)| {
                json!({"name": name, "hostPath": {"path": path, "type": "Directory"}})
            }));
        }),
    ];
    for (name, values, manifests, differ) in rows {
        let mut expected = plain(manifests).expect("manifests are read");
        differ(&mut expected);
        let text = rendered(&values).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let found = objects(&text).expect("the chart gives YAML");
        assert_eq!(found.len(), expected.len(), "{name}: {text}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
    }
}
