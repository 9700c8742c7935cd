//! SCTP: greetings on raw sockets reach pods as TCP and UDP do, and no module is loaded for it.
//!
//! No kernel here has to speak the protocol, nor does connection tracking need that: it knows the
//! protocol by itself.

use anyhow::{Result, ensure};
use podway_tests_lab::{Lab, Outcome, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{Seen, Traffic, programmed};
use podway_tests_netns::{FAMILIES, NODES, in_lab};

/// A Service of the pods with the label `app: APP` at port 80 over SCTP, in both families.
fn service(name: &str, app: &str, port: &str, more: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{\
         ipFamilyPolicy: RequireDualStack, selector: {{app: {app}}}, \
         ports: [{{port: 80, targetPort: 9, protocol: SCTP{port}}}], {more}}}}}\n"
    )
}

/// Whether the kernel has the module `sctp`.
fn is_loaded() -> Result<bool> {
    match std::fs::read_to_string("/proc/modules") {
        Ok(modules) => Ok(modules.lines().any(|line| line.starts_with("sctp "))),
        // A kernel that takes no modules has loaded none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[test]
fn greetings_reach_every_pod_from_everywhere_and_load_no_module() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        service("echo", "echo", ", nodePort: 30140", "type: NodePort"),
    ];
    let all = ["echo-1", "echo-2"];
    let was_loaded = is_loaded();
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::over(cluster, Transport::Sctp);
        for family in FAMILIES {
            let to = cluster.at("echo", family, 80)?;
            for number in NODES {
                traffic.reaches(&client(number), to, &all, Seen::Client);
                traffic.reaches(&Place::node(number), to, &all, Seen::Node(number));
                let node_port = cluster.node_port(number, family, 30_140);
                for from in [client(1), Place::Outside] {
                    traffic.reaches(&from, node_port, &all, Seen::Node(number));
                }
            }
        }
        traffic.check()?;
        ensure!(is_loaded()? == was_loaded?, "the module sctp was loaded");
        Ok(())
    });
}

#[test]
fn greetings_are_refused_without_endpoints_and_dropped_where_the_policy_says_so() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        service("nobody", "nobody", ", nodePort: 30141", "type: NodePort"),
        service("near", "echo", "", "internalTrafficPolicy: Local"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::over(cluster, Transport::Sctp);
        for family in FAMILIES {
            let nobody = cluster.at("nobody", family, 80)?;
            for from in [client(1), client(2), Place::node(1)] {
                traffic.refused(&from, nobody);
            }
            traffic.refused(&Place::Outside, cluster.node_port(1, family, 30_141));
            let near = cluster.at("near", family, 80)?;
            traffic.reaches(&client(1), near, &["echo-1"], Seen::Client);
            traffic.dropped(&client(2), near);
        }
        traffic.check()
    });
}

#[test]
fn client_with_one_port_reaches_the_pod_that_replaces_its_own() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        service("echo", "echo", ", nodePort: 30142", "type: NodePort"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut flows = Vec::new();
        for family in FAMILIES {
            let node_port = cluster.node_port(1, family, 30_142);
            for (from, to) in [
                (client(1), cluster.at("echo", family, 80)?),
                (client(2), cluster.at("echo", family, 80)?),
                (Place::Outside, node_port),
            ] {
                flows.push(cluster.hold(&from, Transport::Sctp, to)?);
            }
        }
        for (pod, next) in [("echo-1", Some("echo-2")), ("echo-2", None)] {
            let answered =
                |outcome: &Outcome| outcome.as_ref().is_ok_and(|one| one.pod.name == pod);
            for flow in &mut flows {
                cluster.wait_until(&format!("{pod} to answer"), || {
                    let outcome = flow.ask()?;
                    ensure!(answered(&outcome), "{outcome:?}");
                    Ok(true)
                })?;
            }
            if let Some(next) = next {
                cluster.apply(&podway_tests_netns::manifests::pod(next, 2, ""))?;
                cluster.wait_settled()?;
                cluster.delete_pod(pod)?;
            }
        }
        Ok(())
    });
}
