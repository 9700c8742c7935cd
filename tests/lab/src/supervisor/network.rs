//! Builds the network of a lab from the texts of `topology`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::mounts::Files;
use super::namespace::Namespace;
use super::process::Processes;
use super::{names, topology};
use crate::address::DualStack;
use crate::cgroup;
use crate::place::node_name;

/// The namespaces that last as long as the lab.
#[derive(Debug)]
pub(super) struct Network {
    /// The client outside.
    pub(super) outside: Namespace,
    /// The nodes in order.
    pub(super) nodes: Vec<Arc<Namespace>>,
    /// Where the control plane runs, in a lab that has one.
    control_plane: Option<Namespace>,
}

impl Network {
    /// Builds the underlay, `nodes` nodes, the client outside and a place for the control plane.
    pub(super) fn build(
        processes: &Processes,
        nodes: u8,
        cgroups: Option<&Path>,
        with_control_plane: bool,
    ) -> Result<Self> {
        let root = Namespace::of_this_thread()?;
        let mut cables = topology::underlay();
        let mut made = Vec::new();
        for number in 1..=nodes {
            let name = node_name(number);
            let cgroup = cgroups.map(|lab| cgroup::of_node(lab, number));
            let place = place(&name, topology::NODE_SETTINGS)?.in_cgroup(cgroup.as_deref())?;
            cables.push_str(&topology::cable(&name, &place.network_path()));
            made.push(Arc::new(place));
        }
        let outside = place("outside", &[])?;
        cables.push_str(&topology::cable("outside", &outside.network_path()));
        let control_plane = with_control_plane.then(|| place("control-plane", &[])).transpose()?;
        if let Some(place) = &control_plane {
            cables.push_str(&topology::cable("control-plane", &place.network_path()));
        }
        ip(processes, &root, &cables)?;
        for (number, place) in (1..=nodes).zip(&made) {
            ip(processes, place, &topology::node(number, nodes))?;
        }
        ip(processes, &outside, &topology::outside(nodes))?;
        if let Some(place) = &control_plane {
            ip(processes, place, &topology::control_plane(nodes))?;
        }
        Ok(Self { outside, nodes: made, control_plane })
    }

    /// Where the control plane runs.
    pub(super) fn control_plane(&self) -> Result<&Namespace> {
        self.control_plane.as_ref().context("this lab has no API server")
    }

    /// Node `number`, counted from 1.
    pub(super) fn node(&self, number: u8) -> Result<&Arc<Namespace>> {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| self.nodes.get(index)).context("no such node")
    }
}

/// Makes a place that does not use the cluster's DNS.
fn place(name: &str, settings: &[(&str, &str)]) -> Result<Namespace> {
    let files = Files::create(name)?;
    Namespace::create(name, || {
        files.lay_names(&names::outer_resolver().to_string(), &names::hosts(name, None))?;
        set(topology::PLACE_SETTINGS)?;
        set(settings)
    })
    .with_context(|| name.to_owned())
}

/// Connects the pod in `place` to its node by a veth pair named `cable`.
pub(super) fn connect_pod(
    processes: &Processes,
    (number, node): (u8, &Namespace),
    place: &Namespace,
    (cable, addresses): (&str, DualStack),
) -> Result<()> {
    let text = topology::pod_on_node(cable, &place.network_path(), number, addresses);
    ip(processes, node, &text)?;
    ip(processes, place, &topology::pod(number, addresses))
}

/// Removes the pair `cable` of `node`.
pub(super) fn disconnect_pod(processes: &Processes, node: &Namespace, cable: &str) -> Result<()> {
    ip(processes, node, &format!("link del {cable}\n"))
}

/// Applies the kernel settings of every place to the calling thread's network.
pub(super) fn set_place_settings() -> Result<()> {
    set(topology::PLACE_SETTINGS)
}

/// Writes kernel settings of the calling thread's network.
fn set(settings: &[(&str, &str)]) -> Result<()> {
    for (name, value) in settings {
        let path = format!("/proc/sys/net/{name}");
        fs::write(&path, value).with_context(|| format!("{path} cannot be set to {value}"))?;
    }
    Ok(())
}

/// Runs a batch of `ip` in `place`.
fn ip(processes: &Processes, place: &Namespace, batch: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]);
    processes.run(place, command, batch)
}
