//! The node of the real kube-proxy.
//!
//! An API server is filled, and kube-proxy follows it until it has written everything. Then all of
//! them end: kube-proxy leaves its rules, and nothing but them is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Component, ComponentAction, Lab, Place};
use podway_tests_peers::Peer;
use podway_tests_synthetic::Cluster;

use super::node::{Node, Program, SERVICE, SERVICE_PORTS, used};
use crate::process::Process;
use crate::{fill, kube_proxy};

/// Tables that are on the node at the end: its own, and nobody else's.
const TABLES: [&str; 2] = ["table ip kube-proxy", "table ip6 kube-proxy"];

/// The program, as it was found.
pub(super) struct KubeProxy {
    program: PathBuf,
    /// What it says that it is: `Kubernetes v1.37.0`.
    pub(super) version: String,
}

impl KubeProxy {
    /// Finds it and what it needs; nothing is built for it.
    pub(super) fn find() -> Result<Self> {
        for peer in Peer::CONTROL_PLANE {
            peer.find()?;
        }
        let program = Peer::KubeProxy.find()?;
        let output = Command::new(&program).arg("--version").output();
        let output = output.with_context(|| program.display().to_string())?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { program, version })
    }

    /// A node with its rules for `cluster` and for the Service that is used.
    pub(super) fn node(&self, cluster: Cluster, program: &Program) -> Result<Node> {
        let node = Node::start(Lab::builder().api_server().nftables().without_podway(), program)?;
        // First, while nobody has its address.
        node.lab.apply(&used(node.server))?;
        fill::fill(&node.lab.api(), cluster, |_| false)?;
        write_rules(&self.program, &node.lab, cluster).context("kube-proxy")?;
        for component in
            [Component::ControllerManager, Component::Proxy, Component::ApiServer, Component::Etcd]
        {
            node.lab.control_plane(component, ComponentAction::Kill)?;
        }
        Ok(node)
    }
}

/// Runs kube-proxy until it has written the rules of `cluster` and of the Service that is used.
fn write_rules(program: &Path, lab: &Lab, cluster: Cluster) -> Result<()> {
    let command = kube_proxy::command(program, lab, 1);
    let log = lab.kubeconfig("kube-proxy").with_extension("log");
    let process = Process::start(lab, Place::node(1), &command, &log)?;
    process.wait_until(|| {
        let has_synced =
            process.ask(kube_proxy::METRICS)?.is_some_and(|text| kube_proxy::has_synced(&text));
        let tables = nft(lab, &["list", "tables"])?;
        // Each family is written by itself.
        let has_tables = TABLES.iter().all(|table| tables.contains(table));
        Ok(has_synced && has_tables && has_rules(lab, cluster)?)
    })?;
    process.stop()?;
    let tables = nft(lab, &["list", "tables"])?;
    ensure!(tables.lines().eq(TABLES), "other rules than kube-proxy's: {tables}");
    ensure!(has_rules(lab, cluster)?, "its rules went with it");
    Ok(())
}

/// Whether there are rules for the Service that is used, and for as many others.
fn has_rules(lab: &Lab, cluster: Cluster) -> Result<bool> {
    let [near, far] = SERVICE_PORTS;
    let ports = format!(
        "{{ {SERVICE} . tcp . {near}, {SERVICE} . udp . {near}, {SERVICE} . tcp . {far} }}"
    );
    let used = ["nft", "get", "element", "ip", "kube-proxy", "service-ips", &ports];
    if !lab.exec(&Place::node(1), &used)?.success() {
        return Ok(false);
    }
    let listed = nft(lab, &["list", "set", "ip", "kube-proxy", "cluster-ips"])?;
    let addresses = listed.matches("10.96.").count();
    Ok(addresses > usize::try_from(cluster.services)?)
}

fn nft(lab: &Lab, command: &[&str]) -> Result<String> {
    let command: Vec<_> = ["nft"].iter().chain(command).copied().collect();
    lab.exec(&Place::node(1), &command)?.checked()
}
