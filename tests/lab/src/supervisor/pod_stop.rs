//! Ends a pod: hook, SIGTERM, the rest of the grace period, SIGKILL, no trace.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::engine::Happening;
use super::kubelet::Context;
use super::namespace::Namespace;
use super::network;
use super::probe::{self, Outcome};
use super::process::Group;
use crate::cluster::Pod;
use crate::cluster::spec::Handler;

/// What it takes to end a pod.
pub(super) struct Ending {
    pub(super) context: Context,
    pub(super) pod: Pod,
    pub(super) node: u8,
    pub(super) place: Arc<Namespace>,
    pub(super) cable: Option<String>,
    /// The server, unless it has ended.
    pub(super) group: Option<Group>,
    /// Says that the server has ended.
    pub(super) gone: Receiver<()>,
}

impl Ending {
    /// Ends the pod; returns when nothing of it is left.
    pub(super) fn run(self) {
        let grace = Duration::from_secs(self.pod.spec.grace_seconds().into());
        let deadline = Instant::now() + grace;
        if let Some(group) = self.group {
            self.run_hooks(deadline);
            group.signal(Signal::SIGTERM);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.gone.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                group.signal(Signal::SIGKILL);
                // An error means that it is gone as well.
                self.gone.recv().unwrap_or_default();
            }
        }
        if let Some(cable) = &self.cable {
            let removed = self
                .context
                .network
                .node(self.node)
                .and_then(|node| network::disconnect_pod(&self.context.processes, node, cable));
            if let Err(error) = removed {
                eprintln!("pod {}: {error:#}", self.pod.name);
            }
        }
        self.context.tell(&self.pod.uid, Happening::Removed);
    }

    /// Runs the hooks of all containers, at most until `deadline`.
    fn run_hooks(&self, deadline: Instant) {
        let (context, pod) = (&self.context, (&self.pod, &*self.place));
        thread::scope(|scope| {
            for container in &self.pod.spec.containers {
                if let Some(hook) = &container.lifecycle.pre_stop {
                    scope.spawn(move || run_hook(context, pod, hook, deadline));
                }
            }
        });
    }
}

/// Runs one hook, at most until `deadline`.
fn run_hook(context: &Context, pod: (&Pod, &Namespace), hook: &Handler, deadline: Instant) {
    let left = || deadline.saturating_duration_since(Instant::now());
    if let Some(sleep) = &hook.sleep {
        thread::sleep(Duration::from_secs(sleep.seconds.into()).min(left()));
        return;
    }
    match probe::attempt(&context.processes, pod, hook, left()) {
        Outcome::Passed => {}
        Outcome::Failed(why) | Outcome::Impossible(why) => {
            eprintln!("pod {}: preStop: {why}", pod.0.name);
        }
    }
}
