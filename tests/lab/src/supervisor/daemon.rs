//! Runs the daemon under test on a node, and asks it whether it is ready.

use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result};

use super::control_plane::Layout;
use super::engine::Happening;
use super::kubelet::Context;
use super::mounts::{self, Files};
use super::namespace::Namespace;
use super::pod_start::Prepared;
use super::probe;
use super::process::Group;
use crate::address::{self, CLUSTER_CIDRS, Family};
use crate::cgroup;
use crate::cluster::Pod;
use crate::place::node_name;
use crate::settings::Settings;
use crate::state_dir::StateDir;

/// Port of the daemon's health server.
const HEALTH_PORT: u16 = 10256;

/// Pause between questions while the daemon is not ready: short, a person waits.
const IMPATIENT: Duration = Duration::from_millis(20);

/// Pause between questions once it is ready.
const PATIENT: Duration = Duration::from_millis(250);

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Starts the daemon of the node that `pod` is on.
pub(super) fn prepare(context: &Context, pod: &Pod) -> Result<Prepared> {
    let node = pod.node.context("pod without node")?;
    let files = Files::create(&pod.uid)?;
    fs::write(files.ready(), "")?;
    let place = Arc::clone(context.network.node(node)?);
    let group = spawn(context, node, &pod.uid)?;
    let (stop, stopped) = mpsc::channel();
    let (asker, at, uid) = (context.clone(), Arc::clone(&place), pod.uid.clone());
    thread::spawn(move || ask(&asker, &at, &uid, &stopped));
    Ok(Prepared {
        name: pod.name.clone(),
        node,
        place,
        files,
        cable: None,
        orders: None,
        group,
        probes: 1,
        probing: Some(stop),
    })
}

/// Runs the daemon of node `number` for the pod `uid`.
pub(super) fn spawn(context: &Context, number: u8, uid: &str) -> Result<Group> {
    let program = context.settings.podway.as_deref().context("this lab has no daemon")?;
    let path = context.state.podway_log(&node_name(number));
    let log = File::options().create(true).append(true).open(&path)?;
    let mut command = command(program, number, &context.state, &context.settings);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let (teller, uid) = (context.clone(), uid.to_owned());
    let node = context.network.node(number)?;
    let (group, _child) = context.processes.spawn(node, command, move |exit| {
        teller.tell(&uid, Happening::ServerEnded(exit));
    })?;
    Ok(group)
}

/// The daemon's command line.
fn command(program: &Path, number: u8, state: &StateDir, settings: &Settings) -> Command {
    let socket = |address: IpAddr| std::net::SocketAddr::from((address, 53)).to_string();
    let mut command = Command::new(program);
    command.current_dir("/").arg("run");
    if settings.control_plane.is_some() {
        command.arg("--kubeconfig").arg(Layout::new(state).kubeconfig("podway"));
    } else {
        command.arg("--manifests").arg(state.manifests());
    }
    let own = format!("{}-state", node_name(number));
    command.arg("--state-dir").arg(state.manifests().with_file_name(own));
    command
        .args(["--hostname-override", &node_name(number)])
        .args(["--cluster-domain", &settings.cluster_domain])
        .args(["--cluster-cidr", &CLUSTER_CIDRS.join(",")])
        .args(["--healthz-bind-address", &format!("0.0.0.0:{HEALTH_PORT}")])
        .args(["--metrics-bind-address", "127.0.0.1:10249"]);
    // A Corefile says itself whom it asks.
    let has_corefile = settings.podway_arguments.iter().any(|one| one.starts_with("--corefile"));
    if !has_corefile {
        command.args(["--dns-upstream", &socket(address::outside().v4.into())]);
    }
    for family in [Family::V4, Family::V6] {
        command.args(["--dns-listen", &socket(address::node(number).of(family))]);
    }
    if let Some(cgroups) = &settings.cgroups {
        command
            .args(["--proxy-mode", "ebpf", "--cgroup-root"])
            .arg(cgroup::of_node(cgroups, number))
            .arg("--bpffs-root")
            .arg(mounts::pins(number));
    }
    command.args(&settings.podway_arguments);
    command
}

/// Asks the daemon in `place` for its readiness until told to stop, and tells every answer: a
/// daemon that was started again has to be heard even if it says the same as the one before.
fn ask(context: &Context, place: &Namespace, uid: &str, stopped: &Receiver<()>) {
    let mut before = false;
    loop {
        let answer = place.enter(|| probe::connect(HEALTH_PORT, Some("/readyz"), TIMEOUT));
        let ready = answer.is_ok();
        if ready || before {
            context.tell(uid, Happening::Probed { container: 0, passed: ready });
        }
        before = ready;
        let pause = if ready { PATIENT } else { IMPATIENT };
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_told_who_and_where_it_is() {
        let settings = Settings {
            name: "test".to_owned(),
            nodes: 2,
            cluster_domain: "magedu.local".to_owned(),
            podway: None,
            podway_arguments: vec!["--log-level=debug".to_owned()],
            manifests: Vec::new(),
            cgroups: Some("/cgroup/lab".into()),
            control_plane: None,
            owned: true,
        };
        let command =
            command(Path::new("podway"), 2, &StateDir::at(Path::new("/state")), &settings);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let text = words.join(" ");
        for part in [
            "run --manifests /state/manifests --state-dir /state/node-2-state --hostname-override node-2",
            "--cluster-domain magedu.local",
            "--cluster-cidr 10.244.0.0/16,fd00:10:244::/48",
            "--dns-listen 192.168.77.12:53 --dns-listen [fd77::12]:53",
            "--dns-upstream 192.168.77.200:53",
            "--proxy-mode ebpf --cgroup-root /cgroup/lab/node-2",
            "--log-level=debug",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
        let settings =
            Settings { podway_arguments: vec!["--corefile=/Corefile".to_owned()], ..settings };
        let command =
            self::command(Path::new("podway"), 2, &StateDir::at(Path::new("/state")), &settings);
        assert!(command.get_args().all(|word| word != "--dns-upstream"), "the Corefile says it");
    }
}
