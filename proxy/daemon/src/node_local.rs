//! DNS answered on the node, with a dead-man switch.
//!
//! The addresses that pods ask become addresses of the node, and the server answers there. Packets
//! are kept from translation only while the kernel has been told so within the last second, and it
//! is told only after the server was asked, through the sockets that clients use, and answered. So
//! whatever becomes of the daemon, a second later its clients are sent to other nodes' servers.
//!
//! | module | owns |
//! |---|---|
//! | `addresses` | EDGE: makes addresses local |
//! | `probe` | EDGE: whether the server answers |
//! | `trust` | pure: what follows from the answers |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use podway_cluster_model::chain::Chain;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::service::ServiceKind;
use podway_cluster_model::snapshot::Snapshot;
use podway_cluster_watch::publish::Subscription;
use podway_dns_server::{Control, Listening};
use podway_proxy_plan::plan::FrontendKey;
use podway_proxy_plan::policy::DNS_PORT;
use podway_proxy_sync::beacon::{Beacon, Taken, frontends};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use self::addresses::Addresses;
pub(crate) use self::metrics::Metrics;
use self::probe::Prober;
pub(crate) use self::probe::Question;
use self::trust::{Trust, Turn};
use crate::environment::interface_addresses;

pub(crate) mod addresses;
mod metrics;
mod probe;
mod trust;

/// Time between two proofs: several fit in the second that one holds for.
const PERIOD: Duration = Duration::from_millis(200);

/// How long after nothing is sent here any more the last packets may still be on their way.
const IN_FLIGHT: Duration = Duration::from_millis(50);

/// What is answered on the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NodeLocalConfig {
    /// The Service whose ClusterIPs are, as they are at the time.
    pub(crate) service: Option<ServiceName>,
    /// Addresses beside those.
    pub(crate) addresses: Vec<IpAddr>,
}

impl NodeLocalConfig {
    /// The addresses, as far as `snapshot` says what the Service has.
    pub(crate) fn addresses_in(&self, snapshot: &Snapshot) -> Vec<IpAddr> {
        let entry = self.service.as_ref().and_then(|name| snapshot.services.get(name));
        let kind = entry.and_then(|entry| entry.service.as_ref()).map(|service| &service.kind);
        let of_service = match kind {
            Some(ServiceKind::ClusterIp(addresses)) => addresses.as_slice(),
            Some(ServiceKind::Headless | ServiceKind::ExternalName(_)) | None => &[],
        };
        of_service.iter().chain(&self.addresses).copied().collect()
    }
}

/// Keeps the addresses answered.
pub(crate) struct Keeper {
    config: NodeLocalConfig,
    control: Control,
    beacon: Arc<Beacon>,
    addresses: Addresses,
    question: Question,
    metrics: Metrics,
    sites: BTreeMap<IpAddr, Site>,
    /// Whether the kernel has no table to be told in, which was said.
    without_table: bool,
}

/// What a keeper works with.
pub(crate) struct Parts {
    pub(crate) config: NodeLocalConfig,
    pub(crate) control: Control,
    pub(crate) beacon: Beacon,
    pub(crate) question: Question,
    pub(crate) metrics: Metrics,
}

/// One address that is answered at.
struct Site {
    listening: Listening,
    prober: Prober,
    trust: Trust,
}

/// Addresses that no query is sent to any more, with the sockets that the last ones may be in.
pub(crate) struct Leaving {
    sites: BTreeMap<IpAddr, Site>,
    /// Where they are given up; `None` leaves them to a successor that answers there already.
    addresses: Option<Addresses>,
}

impl Keeper {
    /// Makes a keeper; addresses of an earlier run are taken over or removed when it is known which
    /// are wanted.
    pub(crate) fn new(parts: Parts) -> std::io::Result<Self> {
        let Parts { config, control, beacon, question, metrics } = parts;
        Ok(Self {
            config,
            control,
            beacon: Arc::new(beacon),
            addresses: Addresses::open()?,
            question,
            metrics,
            sites: BTreeMap::new(),
            without_table: false,
        })
    }

    /// Follows the Service and tells the kernel, until `stop` says so; nothing is sent here any more
    /// then.
    pub(crate) async fn run(
        mut self,
        mut views: Subscription,
        mut stop: watch::Receiver<bool>,
    ) -> Leaving {
        let mut beats = interval(PERIOD);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut source_gone = false;
        loop {
            tokio::select! {
                () = ordered(&mut stop) => break,
                view = views.next(), if !source_gone => match view {
                    Some(view) => self.follow(&view.snapshot).await,
                    None => source_gone = true,
                },
                _ = beats.tick() => self.beat().await,
            }
        }
        let keys: Vec<_> = self.sites.keys().copied().flat_map(frontends).collect();
        let addresses = match self.take_back(keys).await {
            Some(Taken::NotOurTurn) => None,
            Some(Taken::Yes | Taken::NoTable) | None => Some(self.addresses),
        };
        Leaving { sites: self.sites, addresses }
    }

    /// Takes over which addresses are wanted.
    async fn follow(&mut self, snapshot: &Snapshot) {
        let wanted = self.config.addresses_in(snapshot);
        let gone: Vec<_> =
            self.sites.keys().copied().filter(|address| !wanted.contains(address)).collect();
        for address in gone {
            self.leave(address).await;
        }
        for address in &wanted {
            if !self.sites.contains_key(address) {
                self.enter(*address).await;
            }
        }
        match self.addresses.ours() {
            Ok(ours) => {
                for stale in ours.into_iter().filter(|address| !wanted.contains(address)) {
                    remove(&self.addresses, stale);
                }
            }
            Err(error) => warn!(%error, "addresses of an earlier run cannot be looked for"),
        }
    }

    /// Begins to answer at `address`.
    async fn enter(&mut self, address: IpAddr) {
        let at = SocketAddr::new(address, DNS_PORT);
        let listening = match self.control.listen(at).await {
            Ok(listening) => listening,
            Err(error) => {
                error!(%address, error = %Chain(&error), "not answered on this node");
                return;
            }
        };
        // Only now: packets that are for the node would be refused before anybody listens.
        if let Err(error) = self.addresses.add(address, source(address)) {
            error!(%address, %error, "not answered on this node: it cannot be made local");
            return;
        }
        info!(%address, "the address is local, and the DNS server answers there");
        let prober = Prober::new(at, self.question.clone());
        self.sites.insert(address, Site { listening, prober, trust: Trust::default() });
    }

    /// Answers at `address` no more.
    async fn leave(&mut self, address: IpAddr) {
        self.take_back(frontends(address).collect()).await;
        if let Some(site) = self.sites.remove(&address) {
            self.metrics.set(address, false);
            info!(%address, "the address is no longer asked");
            site.close(address, Some(&self.addresses)).await;
        }
    }

    /// Asks the server at every address, and tells the kernel where it answers.
    async fn beat(&mut self) {
        let (mut keys, now) = (Vec::new(), Instant::now());
        let failed: Vec<_> = self
            .sites
            .iter_mut()
            .filter_map(|(address, site)| site.listening.has_failed().then_some(*address))
            .collect();
        for address in failed {
            error!(%address, "a socket broke down; the address is given up");
            self.leave(address).await;
        }
        for (address, site) in &mut self.sites {
            let proof = site.prober.ask().await;
            match site.trust.judge(proof.is_ok()) {
                Turn::Unchanged => {}
                Turn::Gained => {
                    info!(%address, "queries are answered on this node");
                    self.metrics.set(*address, true);
                }
                Turn::Lost => {
                    let error = proof.err().unwrap_or_default();
                    warn!(%address, %error,
                        "the DNS server does not answer; queries are left to other nodes");
                    self.metrics.set(*address, false);
                }
            }
            if !site.trust.holds() {
                // The kernel drops the route with the node's address that it names as the source.
                if let Err(error) = self.addresses.add(*address, source(*address)) {
                    warn!(%address, %error, "the address cannot be made local");
                }
            }
            if site.trust.holds() {
                keys.extend(frontends(*address));
            }
        }
        if !keys.is_empty() {
            self.say(keys, now).await;
        }
    }

    /// Tells the kernel that `keys` are answered, as was proved from `since` on.
    async fn say(&mut self, keys: Vec<FrontendKey>, since: Instant) {
        if since.elapsed() >= podway_proxy_sync::beacon::LIFETIME {
            return;
        }
        let beacon = Arc::clone(&self.beacon);
        let said = spawn_blocking(move || beacon.say(&keys)).await;
        match said {
            Ok(Ok(Taken::Yes)) => self.without_table = false,
            // Whoever's turn it is says it.
            Ok(Ok(Taken::NotOurTurn)) => {}
            Ok(Ok(Taken::NoTable)) => {
                if !std::mem::replace(&mut self.without_table, true) {
                    info!("the kernel has no table yet; queries are left to other nodes");
                }
            }
            Ok(Err(error)) => warn!(error = %Chain(&error), "queries are left to other nodes"),
            Err(error) => warn!(%error, "queries are left to other nodes"),
        }
    }

    /// Has the kernel send nothing more that is for `keys` here.
    async fn take_back(&self, keys: Vec<FrontendKey>) -> Option<Taken> {
        let beacon = Arc::clone(&self.beacon);
        match spawn_blocking(move || beacon.take_back(&keys)).await {
            Ok(Ok(taken)) => return Some(taken),
            Ok(Err(error)) => warn!(error = %Chain(&error), "the kernel has to find out by itself"),
            Err(error) => warn!(%error, "the kernel has to find out by itself"),
        }
        None
    }
}

impl Site {
    /// Answers what has come in, then gives `address` up.
    async fn close(self, address: IpAddr, addresses: Option<&Addresses>) {
        sleep(IN_FLIGHT).await;
        if let Err(error) = self.listening.drain().await {
            warn!(%address, %error, "the DNS server did not end well");
        }
        if let Some(addresses) = addresses {
            remove(addresses, address);
        }
    }
}

impl Leaving {
    /// Answers what has come in, then gives all addresses up.
    pub(crate) async fn close(self) {
        let Self { sites, addresses } = self;
        for (address, site) in sites {
            site.close(address, addresses.as_ref()).await;
        }
    }
}

/// The node's address that its own programs are to ask `address` from; `None` leaves it to the
/// kernel, which would choose the address itself in IPv4.
fn source(address: IpAddr) -> Option<IpAddr> {
    let own = interface_addresses().unwrap_or_default();
    let is_usable = |one: &IpAddr| address.is_ipv4() && one.is_ipv4() && !one.is_loopback();
    own.into_iter().find(is_usable)
}

/// Waits for the order to stop; that nobody is left to give it is one too.
async fn ordered(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Makes an address local no more.
fn remove(addresses: &Addresses, address: IpAddr) {
    match addresses.remove(address) {
        Ok(()) => info!(%address, "the address is no longer local"),
        Err(error) => warn!(%address, %error, "the address stays local"),
    }
}
