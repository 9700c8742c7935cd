//! Who has an address or a network namespace, as far as it can be known, and not for long.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use podway_cluster_model::port::Protocol;
use podway_ebpf_backend::events;
use serde::de::DeserializeOwned;

use crate::admin::{FrontendOwner, PodOwner};
use crate::asking::{Reply, ask};

/// How long a name is believed.
///
/// 5 s: an address that another Service got has its name soon, and the daemon is asked seldom.
const BELIEVED: Duration = Duration::from_secs(5);

/// Least time between two looks for what nobody knew.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the daemon may take to reply: less than decisions wait for being asked for further.
const PATIENCE: Duration = Duration::from_millis(500);

/// Most octets of a reply that are read: a Service port with 5,000 endpoints takes half a million.
const MAX_REPLY: u64 = 16 * 1024 * 1024;

/// Whose socket it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Client {
    /// A pod with a network of its own: namespace and name.
    Pod(String),
    /// A program of the node, or of a pod on the node's own network.
    Node,
    /// Somebody whose network namespace cannot be told.
    Unknown,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Names {
    daemon: Option<SocketAddr>,
    frontends: HashMap<(Protocol, SocketAddr), (Instant, Option<FrontendOwner>)>,
    /// Who is in a network namespace, which does not change while that lives.
    clients: HashMap<u64, Client>,
    /// When namespaces were last looked into.
    looked: Option<Instant>,
    own: Option<u64>,
    trouble: Option<String>,
    /// Trouble is told once until it is over.
    is_told: bool,
}

impl Names {
    /// Names that the daemon at `daemon` knows.
    pub(super) fn new(daemon: Option<SocketAddr>) -> Self {
        Self {
            daemon,
            frontends: HashMap::new(),
            clients: HashMap::new(),
            looked: None,
            own: events::own_namespace().ok(),
            trouble: None,
            is_told: false,
        }
    }

    /// Whose `frontend` is.
    pub(super) fn frontend(
        &mut self,
        protocol: Protocol,
        frontend: SocketAddr,
    ) -> Option<&FrontendOwner> {
        let key = (protocol, frontend);
        let is_believed = self.frontends.get(&key).is_some_and(|(since, owner)| {
            since.elapsed() < if owner.is_some() { BELIEVED } else { AGAIN }
        });
        if !is_believed {
            let (address, port) = (frontend.ip(), frontend.port());
            let owner = self.ask(&format!("/debug/frontend/{protocol}/{address}/{port}"));
            self.frontends.insert(key, (Instant::now(), owner));
        }
        self.frontends.get(&key)?.1.as_ref()
    }

    /// Who is in the network namespace with the cookie `netns`.
    pub(super) fn client(&mut self, netns: u64) -> Client {
        if self.own == Some(netns) {
            return Client::Node;
        }
        let is_late = self.looked.is_none_or(|looked| looked.elapsed() >= AGAIN);
        if !self.clients.contains_key(&netns) && is_late && self.daemon.is_some() {
            self.look();
        }
        self.clients.get(&netns).cloned().unwrap_or(Client::Unknown)
    }

    /// What went wrong with asking, once until it is right again.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let trouble = self.trouble.clone()?;
        (!std::mem::replace(&mut self.is_told, true)).then_some(trouble)
    }

    /// Looks into every network namespace for the addresses of pods.
    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let pods: Vec<PodOwner> = self.ask("/debug/pods").unwrap_or_default();
        let by_address: HashMap<IpAddr, &str> = pods
            .iter()
            .flat_map(|pod| pod.addresses.iter().map(|address| (*address, pod.pod.as_str())))
            .collect();
        for (cookie, addresses) in events::namespaces() {
            let pod = addresses.iter().find_map(|address| by_address.get(address));
            if let Some(pod) = pod {
                self.clients.insert(cookie, Client::Pod((*pod).to_owned()));
            }
        }
    }

    /// What the daemon says at `path`, if it says anything.
    fn ask<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        let daemon = self.daemon?;
        match inquire(daemon, path) {
            Ok(found) => {
                (self.trouble, self.is_told) = (None, false);
                found
            }
            Err(error) => {
                let trouble = format!("names are not known: http://{daemon}{path}: {error:#}");
                self.trouble = Some(trouble);
                None
            }
        }
    }
}

/// Asks the daemon; `None` where it knows nothing.
fn inquire<T: DeserializeOwned>(daemon: SocketAddr, path: &str) -> anyhow::Result<Option<T>> {
    let stream = TcpStream::connect_timeout(&daemon, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Reply { status, body } = ask(stream, path, MAX_REPLY)?;
    match status {
        200 => Ok(Some(serde_json::from_slice(&body).context("reply cannot be read")?)),
        404 => Ok(None),
        status => bail!("status {status}"),
    }
}
