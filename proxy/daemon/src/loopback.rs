//! Node ports on loopback addresses, forwarded in user space since the kernel cannot.
//!
//! Which ports and endpoints is `proxy/plan`'s part. A port is listened at only while it has
//! endpoints; when it goes, its connections go too. Nothing of the client but its bytes reaches the
//! endpoint, which sees the node's address.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use podway_cluster_model::port::Protocol;
use podway_cluster_watch::publish::{Subscription, View};
use podway_proxy_plan::loopback::LoopbackPorts;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Backend, Family, FrontendKey};
use podway_proxy_sync::per_family::label;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labeled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{info, warn};

mod tcp;
mod udp;

/// Wait before a port is tried again that somebody else has.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// The endpoints of a port, as they are now.
type Endpoints = watch::Receiver<Arc<[Backend]>>;

/// All forwarders, kept in step with the cluster.
pub(crate) struct Forwarders {
    wanted: LoopbackPorts,
    open: HashMap<FrontendKey, Open>,
    /// Ports that could not be bound, which was logged and counted.
    refused: BTreeMap<FrontendKey, Arc<[Backend]>>,
    metrics: Metrics,
}

/// A forwarder, ended with its connections when dropped.
struct Open {
    endpoints: watch::Sender<Arc<[Backend]>>,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is counted, under kube-proxy's names; clones share the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    listeners: Labeled<FamilyLabel, Gauge>,
    failures: Labeled<FamilyLabel, Counter>,
}

/// An address family as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FamilyLabel {
    ip_family: &'static str,
}

impl FamilyLabel {
    fn of(key: FrontendKey) -> Self {
        Self { ip_family: label(Family::of(key.address)) }
    }
}

impl Metrics {
    /// Makes the metrics visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for family in Family::ALL {
            let label = FamilyLabel { ip_family: label(family) };
            drop(self.listeners.get_or_create(&label));
            drop(self.failures.get_or_create(&label));
        }
        registry.register(
            "kubeproxy_nftables_localhost_nodeport_listeners",
            "Node ports served at loopback addresses",
            self.listeners.clone(),
        );
        registry.register(
            "kubeproxy_nftables_localhost_nodeport_listener_creation_failures",
            "Node ports that could not be served at a loopback address at first",
            self.failures.clone(),
        );
    }
}

impl Forwarders {
    /// No forwarder yet, on `node`.
    pub(crate) fn new(node: NodeView, metrics: Metrics) -> Self {
        Self {
            wanted: LoopbackPorts::new(node),
            open: HashMap::new(),
            refused: BTreeMap::new(),
            metrics,
        }
    }

    /// Follows the cluster until its source is gone.
    pub(crate) async fn follow(mut self, mut cluster: Subscription) {
        loop {
            tokio::select! {
                view = cluster.next() => match view {
                    Some(view) => self.take(&view).await,
                    None => return,
                },
                () = tokio::time::sleep(BIND_RETRY), if !self.refused.is_empty() => {
                    for (key, endpoints) in self.refused.clone() {
                        self.open(key, endpoints).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, view: &View) {
        for (key, endpoints) in self.wanted.update(&view.snapshot, &view.delta) {
            if endpoints.is_empty() {
                self.refused.remove(&key);
                if self.open.remove(&key).is_some() {
                    self.metrics.listeners.get_or_create(&FamilyLabel::of(key)).dec();
                }
            } else if let Some(open) = self.open.get(&key) {
                open.endpoints.send_replace(endpoints);
            } else {
                self.open(key, endpoints).await;
            }
        }
    }

    async fn open(&mut self, key: FrontendKey, endpoints: Arc<[Backend]>) {
        let sender = watch::Sender::new(Arc::clone(&endpoints));
        match start(key, sender.subscribe()).await {
            Ok(task) => {
                info!(%key, "node port is forwarded");
                self.refused.remove(&key);
                self.metrics.listeners.get_or_create(&FamilyLabel::of(key)).inc();
                self.open.insert(key, Open { endpoints: sender, task });
            }
            Err(error) => {
                if self.refused.insert(key, endpoints).is_none() {
                    self.metrics.failures.get_or_create(&FamilyLabel::of(key)).inc();
                    warn!(%key, %error, "node port cannot be forwarded; it is tried again");
                }
            }
        }
    }
}

/// Opens the socket of `key` and forwards what comes in there.
async fn start(key: FrontendKey, endpoints: Endpoints) -> io::Result<AbortHandle> {
    let address = SocketAddr::new(key.address, key.port.number());
    let task = match key.protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(address).await?;
            tokio::spawn(tcp::forward(listener, endpoints))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(address).await?;
            tokio::spawn(udp::forward(socket, endpoints))
        }
        Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(task.abort_handle())
}

/// Draws an endpoint, each as likely as its weight; none when there is none.
fn draw(endpoints: &[Backend]) -> Option<SocketAddr> {
    let total: u32 = endpoints.iter().map(|backend| u32::from(backend.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = fastrand::u32(..total);
    endpoints
        .iter()
        .find(|backend| {
            let weight = u32::from(backend.weight);
            let is_it = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_it
        })
        .map(|backend| backend.address)
}
