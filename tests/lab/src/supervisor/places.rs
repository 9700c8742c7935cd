//! Which places there are, for commands that want to run in one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::namespace::Namespace;
use super::network::Network;
use super::process::Group;
use crate::place::{ObjectName, Place, node_name};

/// The places of the lab; a cheap handle.
#[derive(Debug, Clone)]
pub(super) struct Places {
    network: Arc<Network>,
    pods: Arc<Mutex<HashMap<ObjectName, PodPlace>>>,
}

#[derive(Debug)]
struct PodPlace {
    namespace: Arc<Namespace>,
    /// Commands that were started in it by users.
    commands: Vec<Group>,
}

impl Places {
    pub(super) fn new(network: &Arc<Network>) -> Self {
        Self { network: Arc::clone(network), pods: Arc::default() }
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<ObjectName, PodPlace>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a pod for commands.
    pub(super) fn open(&self, pod: ObjectName, namespace: Arc<Namespace>) {
        self.pods().insert(pod, PodPlace { namespace, commands: Vec::new() });
    }

    /// Closes a pod and kills the commands in it.
    pub(super) fn close(&self, pod: &ObjectName) {
        if let Some(place) = self.pods().remove(pod) {
            for group in place.commands {
                group.signal(Signal::SIGKILL);
            }
        }
    }

    /// Calls `start` with the namespaces of `place`, and remembers the command that it starts.
    pub(super) fn run(
        &self,
        place: &Place,
        start: impl FnOnce(&Namespace) -> Result<Group>,
    ) -> Result<Group> {
        match place {
            Place::Outside => start(&self.network.outside),
            Place::ControlPlane => start(self.network.control_plane()?),
            Place::Node(name) => {
                let numbers = 1..=u8::try_from(self.network.nodes.len())?;
                let number = numbers.into_iter().find(|number| node_name(*number) == *name);
                start(self.network.node(number.with_context(|| format!("no node {name}"))?)?)
            }
            Place::Pod(name) => {
                let namespace = self.pods().get(name).map(|pod| Arc::clone(&pod.namespace));
                let namespace = namespace.with_context(|| format!("no pod {name} runs"))?;
                let group = start(&namespace)?;
                match self.pods().get_mut(name) {
                    Some(pod) => pod.commands.push(group),
                    // It was closed meanwhile.
                    None => group.signal(Signal::SIGKILL),
                }
                Ok(group)
            }
        }
    }
}
