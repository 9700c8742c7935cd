//! Makes a pod: namespaces, network, server and probes.

use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::{fs, thread};

use anyhow::{Context as _, Result};

use super::engine::Happening;
use super::kubelet::Context;
use super::mounts::Files;
use super::namespace::Namespace;
use super::process::Group;
use super::{lab_command, names, network, probe};
use crate::address::Family;
use crate::cgroup;
use crate::cluster::{IGNORE_SIGTERM_ANNOTATION, Pod};
use crate::place::{ObjectName, node_name};

/// A pod whose server was started.
pub(super) struct Prepared {
    pub(super) name: ObjectName,
    pub(super) node: u8,
    pub(super) place: Arc<Namespace>,
    pub(super) files: Files,
    pub(super) cable: Option<String>,
    /// Where the lab's own server takes orders; none for the daemon under test.
    pub(super) orders: Option<ChildStdin>,
    pub(super) group: Group,
    /// Number of containers with probes.
    pub(super) probes: usize,
    /// Ends the probing when dropped.
    pub(super) probing: Option<Sender<()>>,
}

/// Makes `pod`, connected by a veth pair named `cable` unless it is on the node's network.
pub(super) fn prepare(context: &Context, pod: &Pod, cable: String) -> Result<Prepared> {
    let node = pod.node.context("pod without node")?;
    let addresses = pod.addresses.context("pod without address")?;
    let files = Files::create(&pod.uid)?;
    fs::write(files.ready(), "")?;
    let on_node = context.network.node(node)?;
    let own = [&pod.spec.hostname_override, &pod.spec.hostname];
    let host_name = own.into_iter().find(|name| !name.is_empty()).unwrap_or(&pod.name.name);
    let lay = || {
        files.lay_names(&resolv_conf(context, pod), &names::hosts(host_name, Some(addresses)))?;
        files.lay_pod()
    };
    let (place, cable) = if pod.spec.host_network {
        (on_node.beside(lay)?, None)
    } else {
        let place = Namespace::create(host_name, || {
            network::set_place_settings()?;
            lay()
        })?;
        let ends = (cable.as_str(), addresses);
        network::connect_pod(&context.processes, (node, on_node), &place, ends)?;
        (place, Some(cable))
    };
    let cgroup = context.settings.cgroups.as_deref().map(|lab| cgroup::of_node(lab, node));
    let place = Arc::new(place.in_cgroup(cgroup.as_deref())?);
    let (group, orders) = serve(context, pod, &place)?;
    let (probes, probing) = probe::start(context, pod, &place);
    let name = pod.name.clone();
    Ok(Prepared { name, node, place, files, cable, orders: Some(orders), group, probes, probing })
}

/// resolv.conf by the pod's DNS policy, with what its own configuration adds.
fn resolv_conf(context: &Context, pod: &Pod) -> String {
    let outer = || names::outer_resolver();
    let cluster = || names::cluster_resolver(&pod.name.namespace, &context.settings.cluster_domain);
    let resolver = match pod.spec.dns_policy.as_str() {
        "None" => names::Resolver::default(),
        "Default" => outer(),
        "ClusterFirstWithHostNet" => cluster(),
        _ if pod.spec.host_network => outer(),
        _ => cluster(),
    };
    resolver.with(&pod.spec.dns_config).to_string()
}

/// Runs the lab's own server in `place`.
fn serve(context: &Context, pod: &Pod, place: &Namespace) -> Result<(Group, ChildStdin)> {
    let mut command = lab_command("agent");
    command.arg(pod.name.to_string()).arg(pod.node.map(node_name).unwrap_or_default());
    for address in pod.addresses.iter().flat_map(|both| [both.of(Family::V4), both.of(Family::V6)])
    {
        command.arg(format!("--address={address}"));
    }
    if pod.annotations.contains_key(IGNORE_SIGTERM_ANNOTATION) {
        command.arg("--ignore-sigterm");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let (teller, uid) = (context.clone(), pod.uid.clone());
    let (group, mut child) = context.processes.spawn(place, command, move |exit| {
        teller.tell(&uid, Happening::ServerEnded(exit));
    })?;
    let orders = child.stdin.take().context("server without input")?;
    let output = child.stdout.take().context("server without output")?;
    let (teller, uid) = (context.clone(), pod.uid.clone());
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            teller.tell(&uid, Happening::ServerSaid(line));
        }
    });
    Ok((group, orders))
}
