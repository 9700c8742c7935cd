//! The composition root: every part is made here, in order of dependency, and joined to the others.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use podway_cluster_watch::publish::{Feed, Publisher};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::policy::NodePortAddresses;
use podway_proxy_sync::health::Health;
use podway_proxy_sync::turn::Turn;
use podway_proxy_sync::{Settings, Syncer};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::admin::{Admin, Doors, healthz_routes, metrics_routes, probe_routes};
use crate::config::{Config, LoopbackNodePorts};
use crate::dns::Dns;
use crate::environment::explain_refusal;
use crate::events;
use crate::health_checks;
use crate::interfaces;
use crate::live::Live;
use crate::loopback;
use crate::metrics::{ProbeCounts, RefusedPackets, SocketCounts, register_build, register_sockets};
use crate::names::Names;
use crate::networks::{self, Networks};
use crate::node_local::addresses::Addresses;
use crate::node_local::{self, Keeper, Leaving, Parts, Question};
use crate::readiness::{Guard, Readiness};
use crate::sockets::{self, Sockets};
use crate::source::{Place, Source};

/// Every part, made: sockets are open, and the dataplane follows the cluster already.
pub(crate) struct App {
    source: Source,
    syncer: Syncer,
    dns: Dns,
    doors: Doors,
    /// Which addresses of the node accept node ports.
    node_ports: watch::Sender<NodePortAddresses>,
    /// Servers at node ports, which follow the cluster already.
    at_node_ports: JoinSet<()>,
    networks: Networks,
    keeper: Option<Keeper>,
    admin: Arc<Admin>,
    unsynced: Guard,
    unheard: Guard,
}

/// Every part, at work.
pub(crate) struct Running {
    /// Watches the cluster as long as it is held.
    source: Source,
    syncer: Syncer,
    dns: JoinHandle<io::Result<()>>,
    /// Answers on the node what its pods ask.
    keeper: Option<JoinHandle<Leaving>>,
    /// How long names are still answered after the order to stop.
    lameduck: watch::Receiver<Duration>,
    /// Ends when the source does.
    names: JoinHandle<()>,
    /// Servers at node ports; they end with this value, or when the source does.
    at_node_ports: JoinSet<()>,
    /// HTTP endpoints.
    doors: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Ends the DNS server, once nothing is sent to it any more.
    leave: watch::Sender<bool>,
    readiness: Readiness,
}

impl App {
    /// Makes every part; sockets are open before anything is written to the kernel.
    pub(crate) async fn build(config: Config) -> anyhow::Result<Self> {
        let Config { source, cluster, proxy, kernel, dns, node_local, admin, log: _ } = config;
        let readiness = Readiness::default();
        let (unsynced, unheard) = (readiness.guard("synced"), readiness.guard("dns-listening"));
        let programmed = readiness.guard("programmed");

        let names = Arc::new(Names::default());
        let networks = Networks {
            given: [&*dns.allow_from, &*proxy.policy.cluster_cidrs].concat(),
            interfaces: proxy.interfaces.clone(),
        };
        let dns = Dns::open(dns, node_local.clone().unwrap_or_default(), Arc::clone(&names))?;
        let doors = Doors::open(&admin).await?;
        let publisher = Publisher::new();
        let feed = publisher.feed();
        let place = Place { node: &cluster.node, state: admin.state.as_deref() };
        let source = Source::start(source, place, names.wanted(), publisher)?;
        let node = NodeView::bare(cluster.node.clone()).with_interfaces(proxy.interfaces.clone());
        let settings = Settings {
            policy: proxy.policy.clone(),
            node: node.clone(),
            masquerade_bit: proxy.masquerade_bit,
            kernel,
            turn: admin.state.as_deref().and_then(open_turn),
        };
        let Sockets { accelerator, in_use, opt_out } = sockets::start(&proxy)?;
        let done = move || programmed.done();
        let mut syncer = Syncer::start(settings, feed.subscribe(), accelerator, done)
            .map_err(|error| explain_refusal("run", error))?;
        let interfaces = watch::Sender::new(node.interfaces.clone());
        let addresses = interfaces.subscribe();
        interfaces::follow(syncer.inquirer(), interfaces)
            .context("addresses cannot be followed")?;

        let probes = ProbeCounts::default();
        let mut registry = Registry::default();
        register_build(&mut registry);
        register_sockets(&mut registry, &in_use);
        source.register(&mut registry);
        probes.register(&mut registry);
        let refused = RefusedPackets::default();
        refused.register(&mut registry);
        let sockets = SocketCounts::default();
        sockets.register(&mut registry);
        syncer.metrics().register(&mut registry);
        dns.register(&mut registry);
        let node_ports = watch::Sender::new(proxy.policy.node_ports);
        let servers = NodePortServers {
            node,
            accepting: node_ports.subscribe(),
            loopback: proxy.loopback,
            health: syncer.health().clone(),
        };
        let mut at_node_ports = servers.start(&feed, addresses, &mut registry);
        if let Some(opt_out) = opt_out {
            let node = cluster.node.clone();
            at_node_ports.spawn(sockets::follow_pods(opt_out, node, feed.subscribe()));
        }
        let domain = names.domain().unwrap_or_else(|| cluster.zone.domain().to_ascii());
        let keeper = match (node_local, syncer.beacon()) {
            (Some(config), Some(beacon)) => {
                let metrics = node_local::Metrics::default();
                metrics.register(&mut registry);
                let (control, question) = (dns.control(), Question::soa_of(&domain));
                let parts = Parts { config, control, beacon, question, metrics };
                Some(Keeper::new(parts).context("addresses of the node cannot be changed")?)
            }
            (None, _) | (_, None) => {
                remove_leftovers();
                None
            }
        };
        if let Some(requester) = source.requester() {
            let (node, health) = (cluster.node.clone(), syncer.health().clone());
            // Ends with the runtime: nothing waits for an event to be told.
            drop(tokio::spawn(events::tell(requester, node, health, source.reports())));
        }
        let admin = Arc::new(Admin {
            node: cluster.node,
            readiness,
            freshness: source.freshness(),
            health: syncer.health().clone(),
            mode: in_use.mode(),
            feed,
            names,
            inquirer: syncer.inquirer(),
            registry,
            probes,
            refused,
            sockets,
        });
        Ok(Self {
            source,
            syncer,
            dns,
            doors,
            node_ports,
            at_node_ports,
            networks,
            keeper,
            admin,
            unsynced,
            unheard,
        })
    }

    /// What a changed configuration is told to.
    pub(crate) fn live(&self) -> Live {
        Live { inquirer: self.syncer.inquirer(), node_ports: self.node_ports.clone() }
    }

    /// Sets every part to work.
    pub(crate) fn start(self) -> Running {
        let Self { source, syncer, dns, doors, mut at_node_ports, networks, keeper, .. } = self;
        let (admin, unsynced, unheard) = (self.admin, self.unsynced, self.unheard);
        let (stop, stopped) = watch::channel(false);
        at_node_ports.spawn(networks::follow(admin.feed.subscribe(), networks, dns.control()));
        let views = admin.feed.subscribe();
        let keeper = keeper.map(|keeper| tokio::spawn(keeper.run(views, stopped.clone())));
        let names = Arc::clone(&admin.names).follow(admin.feed.subscribe(), unsynced);
        let names = tokio::spawn(names);
        let Doors { healthz, metrics, probe } = doors;
        let mut doors = JoinSet::new();
        if let Some(probe) = probe {
            doors.spawn(probe.serve(probe_routes(Arc::clone(&admin)), stopped.clone()));
        }
        doors.spawn(healthz.serve(healthz_routes(Arc::clone(&admin)), stopped.clone()));
        doors.spawn(metrics.serve(metrics_routes(Arc::clone(&admin)), stopped.clone()));
        let lameduck = dns.lameduck();
        let (leave, left) = watch::channel(false);
        let readiness = admin.readiness.clone();
        let dns = tokio::spawn(dns.run(admin, left));
        unheard.done();
        Running {
            source,
            syncer,
            dns,
            keeper,
            lameduck,
            names,
            at_node_ports,
            doors,
            stop,
            leave,
            readiness,
        }
    }
}

impl Running {
    /// Waits until a part ends that nobody told to.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let what = |result: Result<(), anyhow::Error>, part: &str| match result {
            Ok(()) => anyhow!("{part} ended by itself"),
            Err(error) => error.context(format!("{part} broke down")),
        };
        tokio::select! {
            () = self.syncer.ended() => anyhow!("the sync loop broke down"),
            ended = &mut self.names => what(ended.map_err(Into::into), "the source of snapshots"),
            Some(ended) = self.at_node_ports.join_next() => {
                what(ended.map_err(Into::into), "a server at node ports")
            }
            ended = &mut self.dns => {
                what(ended.map_err(io::Error::other).flatten().map_err(Into::into), "the DNS server")
            }
        }
    }

    /// How long everything goes on after the order to stop, as the Corefile has it.
    pub(crate) fn lameduck(&self) -> Duration {
        *self.lameduck.borrow()
    }

    /// Is ready no more, and goes on with everything.
    pub(crate) fn stopping(&self) {
        // Lost on purpose: nothing makes a daemon ready that is about to stop.
        drop(self.readiness.guard("stopping"));
    }

    /// Stops answering and waits until what is under way is finished.
    pub(crate) async fn drain(self) {
        let Self { source, syncer, dns, keeper, names, at_node_ports, doors, stop, leave, .. } =
            self;
        stop.send_replace(true);
        if let Some(keeper) = keeper {
            match keeper.await {
                Ok(leaving) => leaving.close().await,
                Err(error) => warn!(%error, "addresses of the node were not given up well"),
            }
        }
        leave.send_replace(true);
        drop(at_node_ports);
        // What has ended already was told of, and may not be awaited twice.
        if !dns.is_finished()
            && let Err(error) = dns.await.map_err(io::Error::other).flatten()
        {
            warn!(%error, "the DNS server did not end well");
        }
        syncer.stop().await;
        drop(source);
        if !names.is_finished()
            && let Err(error) = names.await
        {
            warn!(%error, "the zone did not end well");
        }
        doors.join_all().await;
    }
}

/// What servers at node ports depend on besides the cluster.
struct NodePortServers {
    node: NodeView,
    accepting: watch::Receiver<NodePortAddresses>,
    loopback: LoopbackNodePorts,
    health: Health,
}

impl NodePortServers {
    /// Starts the servers that follow the cluster and the addresses of the node's interfaces.
    fn start(
        self,
        feed: &Feed,
        addresses: watch::Receiver<Vec<IpAddr>>,
        registry: &mut Registry,
    ) -> JoinSet<()> {
        let Self { node, accepting, loopback, health } = self;
        let mut tasks = JoinSet::new();
        let checks = health_checks::Servers::new(node.clone(), health);
        tasks.spawn(checks.follow(feed.subscribe(), addresses, accepting));
        match loopback {
            LoopbackNodePorts::Closed => {}
            LoopbackNodePorts::Forwarded => {
                let metrics = loopback::Metrics::default();
                metrics.register(registry);
                let forwarders = loopback::Forwarders::new(node, metrics);
                tasks.spawn(forwarders.follow(feed.subscribe()));
            }
        }
        tasks
    }
}

/// Makes addresses local no more that an earlier run answered at, since this one does not.
fn remove_leftovers() {
    let leftovers = Addresses::open()
        .and_then(|addresses| Ok((addresses.ours()?, addresses)))
        .and_then(|(ours, addresses)| ours.into_iter().try_for_each(|one| addresses.remove(one)));
    if let Err(error) = leftovers {
        warn!(%error, "addresses of an earlier run cannot be given up");
    }
}

/// What keeps this process and one that it replaces from writing at once, where there can be such.
fn open_turn(folder: &Path) -> Option<Turn> {
    Turn::open(folder)
        .inspect_err(|error| {
            warn!(
                flag = "--state-dir",
                folder = %folder.display(),
                %error,
                "state folder cannot be used; two podways at once would put back each other's rules"
            );
        })
        .ok()
}
