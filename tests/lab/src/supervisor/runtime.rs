//! What runs for one pod, and whether that makes it ready.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use anyhow::{Context as _, Result};

use super::mounts::Files;
use super::namespace::Namespace;
use super::pod_start::Prepared;
use super::process::{Exit, Group};
use crate::cluster::spec::Protocol;
use crate::place::ObjectName;

/// A port and its protocol.
pub(super) type Port = (Protocol, u16);

/// What runs for a pod.
pub(super) struct Runtime {
    pub(super) name: ObjectName,
    pub(super) node: u8,
    pub(super) place: Arc<Namespace>,
    pub(super) files: Files,
    /// Name of its veth pair on the node; none on the node's own network.
    pub(super) cable: Option<String>,
    pub(super) server: Server,
    /// The server's processes, while they run.
    pub(super) group: Option<Group>,
    pub(super) started: bool,
    /// Per container with probes, whether they pass.
    probes: Vec<bool>,
    /// Ends the probing when dropped.
    probing: Option<Sender<()>>,
    /// Tells the one who ends the pod that its server is gone.
    pub(super) waiter: Option<Sender<()>>,
    pub(super) terminating: bool,
}

/// What serves in a pod.
pub(super) enum Server {
    /// The lab's own server, told on its standard input where to listen.
    Agent(Agent),
    /// The daemon under test.
    Daemon {
        /// How it ended.
        ended: Option<Exit>,
        /// Whether it was told to end.
        on_purpose: bool,
    },
}

/// The lab's own server as its kubelet sees it.
pub(super) struct Agent {
    orders: ChildStdin,
    /// Ports it was told to listen on.
    asked: BTreeSet<Port>,
    /// Those of them that it has not confirmed.
    waiting: BTreeSet<Port>,
}

impl Runtime {
    pub(super) fn new(prepared: Prepared) -> Self {
        let server = match prepared.orders {
            Some(orders) => {
                let (asked, waiting) = (BTreeSet::new(), BTreeSet::new());
                Server::Agent(Agent { orders, asked, waiting })
            }
            None => Server::Daemon { ended: None, on_purpose: false },
        };
        Self {
            // The daemon needs no orders to be up.
            started: matches!(server, Server::Daemon { .. }),
            name: prepared.name,
            node: prepared.node,
            place: prepared.place,
            files: prepared.files,
            cable: prepared.cable,
            server,
            group: Some(prepared.group),
            probes: vec![false; prepared.probes],
            probing: prepared.probing,
            waiter: None,
            terminating: false,
        }
    }

    /// Whether the pod is ready: its server runs, every probe passes, and its file is there.
    pub(super) fn is_ready(&self) -> bool {
        self.started
            && self.group.is_some()
            && self.probes.iter().all(|passed| *passed)
            && self.files.ready().exists()
    }

    /// Whether somebody took away its readiness file, or ended its daemon.
    pub(super) fn is_held(&self) -> bool {
        let ended = match &self.server {
            Server::Agent(_) => false,
            Server::Daemon { ended, on_purpose } => ended.is_some() && *on_purpose,
        };
        ended || !self.files.ready().exists()
    }

    /// Tells the server to listen on those of `ports` that it does not know; whether it has just
    /// turned out to be started.
    pub(super) fn listen(&mut self, ports: &BTreeSet<Port>) -> Result<bool> {
        let Server::Agent(agent) = &mut self.server else { return Ok(false) };
        for port in ports.difference(&agent.asked.clone()) {
            let (protocol, number) = port;
            writeln!(agent.orders, "{} {number}", protocol.as_str())
                .with_context(|| format!("pod {} takes no orders", self.name))?;
            agent.waiting.insert(*port);
            agent.asked.insert(*port);
        }
        let news = agent.waiting.is_empty() && !self.started;
        self.started |= news;
        Ok(news)
    }

    /// Whether the server has yet to confirm a port.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&self.server, Server::Agent(agent) if !agent.waiting.is_empty())
    }

    /// Takes a line of the server: `listening TCP 80` or `failed TCP 80 why`; a note for people.
    pub(super) fn said(&mut self, line: &str) -> Option<String> {
        let Server::Agent(agent) = &mut self.server else { return None };
        let mut words = line.split(' ');
        let (word, protocol, number) = (words.next()?, words.next()?, words.next()?);
        let protocol = match protocol {
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        agent.waiting.remove(&(protocol, number.parse().ok()?));
        (word != "listening").then(|| line.to_owned())
    }

    /// Takes the end of the server; a note for people unless it was told to end.
    pub(super) fn ended(&mut self, exit: Exit) -> Option<String> {
        self.group = None;
        if let Some(waiter) = self.waiter.take() {
            // The one who ends the pod may have given up waiting.
            waiter.send(()).unwrap_or_default();
        }
        let expected = match &mut self.server {
            Server::Agent(_) => self.terminating,
            Server::Daemon { ended, on_purpose } => {
                *ended = Some(exit);
                self.terminating || *on_purpose
            }
        };
        (!expected).then(|| format!("server ended: {exit}"))
    }

    /// Takes the outcome of the probes of one container.
    pub(super) fn probed(&mut self, container: usize, passed: bool) {
        if let Some(probe) = self.probes.get_mut(container) {
            *probe = passed;
        }
    }

    /// Ends the probing.
    pub(super) fn stop_probing(&mut self) {
        drop(self.probing.take());
    }
}
