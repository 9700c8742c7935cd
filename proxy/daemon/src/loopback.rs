//! Node ports on loopback addresses, forwarded in user space since the kernel cannot.
//!
//! Which ports and endpoints is `proxy/plan`'s part. A port is listened at only while it has
//! endpoints; when it goes, its connections go too. Nothing of the client but its bytes reaches the
//! endpoint, which sees the node's address.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::Affinity;
use podway_cluster_watch::publish::{Subscription, View};
use podway_proxy_plan::loopback::{LoopbackPorts, Served};
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
type Endpoints = watch::Receiver<Served>;

/// All forwarders, kept in step with the cluster.
pub(crate) struct Forwarders {
    wanted: LoopbackPorts,
    open: HashMap<FrontendKey, Open>,
    /// Ports that could not be bound, which was logged and counted.
    refused: BTreeMap<FrontendKey, Served>,
    metrics: Metrics,
}

/// A forwarder, ended with its connections when dropped.
struct Open {
    endpoints: watch::Sender<Served>,
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
                    for (key, served) in self.refused.clone() {
                        self.open(key, served).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, view: &View) {
        for (key, served) in self.wanted.update(&view.snapshot, &view.delta) {
            if served.backends.is_empty() {
                self.refused.remove(&key);
                if self.open.remove(&key).is_some() {
                    self.metrics.listeners.get_or_create(&FamilyLabel::of(key)).dec();
                }
            } else if let Some(open) = self.open.get(&key) {
                open.endpoints.send_replace(served);
            } else {
                self.open(key, served).await;
            }
        }
    }

    async fn open(&mut self, key: FrontendKey, served: Served) {
        let sender = watch::Sender::new(served.clone());
        match start(key, sender.subscribe()).await {
            Ok(task) => {
                info!(%key, "node port is forwarded");
                self.refused.remove(&key);
                self.metrics.listeners.get_or_create(&FamilyLabel::of(key)).inc();
                self.open.insert(key, Open { endpoints: sender, task });
            }
            Err(error) => {
                if self.refused.insert(key, served).is_none() {
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

/// Chooses endpoints for the connections of one port.
#[derive(Debug, Default)]
struct Chooser {
    /// Who was chosen last, and when.
    last: Option<(SocketAddr, Instant)>,
}

impl Chooser {
    /// An endpoint for a connection that begins `now`; none when there is none.
    ///
    /// With affinity it is the one before, unless that one is gone or it was too long ago.
    fn choose(&mut self, served: &Served, now: Instant) -> Option<SocketAddr> {
        let kept = match (served.affinity, self.last) {
            (Affinity::ClientIp { timeout }, Some((endpoint, at))) => {
                let serves = || served.backends.iter().any(|backend| backend.address == endpoint);
                (now.saturating_duration_since(at) < timeout && serves()).then_some(endpoint)
            }
            (Affinity::ClientIp { .. }, None) | (Affinity::None, _) => None,
        };
        let chosen = kept.or_else(|| draw(&served.backends))?;
        self.last = Some((chosen, now));
        Some(chosen)
    }
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

#[cfg(test)]
mod tests {
    use podway_proxy_plan::plan::Place;

    use super::*;

    #[test]
    fn affinity_keeps_the_endpoint_until_it_goes_or_nobody_connects_for_the_timeout() {
        let backend = |number: u8| Backend {
            address: ([10, 244, 1, number], 8080).into(),
            place: Place::Elsewhere,
            weight: 1,
        };
        let backends: Vec<Backend> = (1..=50).map(backend).collect();
        let timeout = Duration::from_secs(10);
        let with = |backends: &[Backend]| Served {
            backends: backends.into(),
            affinity: Affinity::ClientIp { timeout },
        };
        let (mut chooser, start) = (Chooser::default(), Instant::now());
        let first = chooser.choose(&with(&backends), start).unwrap();
        for second in [9, 18, 27] {
            let now = start + Duration::from_secs(second);
            assert_eq!(chooser.choose(&with(&backends), now), Some(first), "each starts it anew");
        }
        let now = start + Duration::from_secs(28);
        let others: Vec<_> =
            backends.iter().copied().filter(|backend| backend.address != first).collect();
        let second = chooser.choose(&with(&others), now).unwrap();
        assert_ne!(second, first, "it is gone");
        let late = |number: u64| now + Duration::from_secs(10 * number);
        let chosen: Vec<_> =
            (1..=20).map(|number| chooser.choose(&with(&backends), late(number))).collect();
        // Twenty draws out of fifty are all the same once in 10^32.
        assert!(chosen.iter().any(|one| *one != chosen[0]), "{chosen:?}");
        assert_eq!(chooser.choose(&with(&[]), now), None);
    }
}
