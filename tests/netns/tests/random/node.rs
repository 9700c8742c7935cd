//! A node on this namespace's kernel, a fresh start of it on another's, and packets through it.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_nft::transaction::Transaction;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::{Policy, UnknownPorts};
use podway_proxy_plan::route::{Packet, Verdict, route};
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

use crate::dump::Dump;
use crate::listing::{self, Listing};
use crate::wire::{NODE_ADDRESSES, Seen, Wire};

/// What the operator chose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) tells_pods: bool,
    pub(crate) masquerades_all: bool,
    pub(crate) allows_external: bool,
    pub(crate) refuses_unknown: bool,
    pub(crate) masquerade_bit: u8,
}

impl Settings {
    /// The ranges are those that the strategies draw from.
    fn policy(self) -> Policy {
        let ranges = |texts: [&str; 2], wanted: bool| {
            texts.iter().filter(|_| wanted).map(|text| text.parse().unwrap()).collect()
        };
        Policy {
            cluster_cidrs: ranges(["10.244.0.0/16", "fd00:244::/32"], self.tells_pods),
            masquerade_all: self.masquerades_all,
            allow_external_ips: ranges(["203.0.113.0/24", "2001:db8::/64"], self.allows_external),
            service_cidrs: ranges(["10.96.0.0/16", "fd00:96::/64"], self.refuses_unknown),
            unknown_ports: match self.refuses_unknown {
                true => UnknownPorts::Reject,
                false => UnknownPorts::Ignore,
            },
            ..Policy::default()
        }
    }

    fn planner(self) -> Planner {
        let node = NodeView::bare(NodeName::new("node-1").unwrap());
        let mut planner = Planner::new(self.policy(), node);
        planner.set_interfaces(NODE_ADDRESSES.map(|text| text.parse().unwrap()).to_vec());
        planner
    }

    /// What rules follow by now.
    fn options(self, planner: &Planner) -> Options {
        Options::new(planner.policy(), self.masquerade_bit)
    }

    fn program(self) -> Program {
        Program::new(Options::new(&self.policy(), self.masquerade_bit))
    }
}

/// How packets ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    untouched: usize,
    refused: usize,
    dropped: usize,
    sent: usize,
    masqueraded: usize,
}

impl Tally {
    /// Whether every end was met at least once.
    pub(crate) fn met_everything(&self) -> bool {
        let Self { untouched, refused, dropped, sent, masqueraded } = self;
        [untouched, refused, dropped, sent, masqueraded].into_iter().all(|count| *count > 0)
    }
}

/// A node that follows change by change.
pub(crate) struct Node {
    settings: Settings,
    changes: Vec<Change>,
    builder: Builder,
    planner: Planner,
    program: Program,
    kernel: Kernel,
}

impl Node {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut node = Self {
            settings,
            changes: Vec::new(),
            builder: Builder::new(),
            planner: settings.planner(),
            program: settings.program(),
            kernel: Kernel::open().unwrap(),
        };
        node.kernel.delete_tables().unwrap();
        node.write_whole().unwrap();
        node
    }

    /// Writes both tables anew, as the daemon does to repair them.
    pub(crate) fn write_whole(&mut self) -> Result<(), TestCaseError> {
        Family::ALL
            .map(|family| self.program.full(family))
            .iter()
            .try_for_each(|one| self.commit(one))
    }

    fn commit(&self, transaction: &Transaction) -> Result<(), TestCaseError> {
        let refused = |error: BackendError| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            TestCaseError::fail(format!("{error}: {cause:?}\n{transaction}"))
        };
        self.kernel.commit(transaction).map(drop).map_err(refused)
    }

    /// Follows `changes` as the daemon does.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Result<(), TestCaseError> {
        self.changes.extend(changes.iter().cloned());
        let (snapshot, delta) = self.builder.apply(changes);
        let plans = self.planner.update(&snapshot, &delta).plans;
        let transactions = self.program.update(plans);
        // ServiceCIDR objects are rules, and those are written whole.
        let options = self.settings.options(&self.planner);
        if options != *self.program.options() {
            self.program.set_options(options);
            return self.write_whole();
        }
        transactions.iter().try_for_each(|one| self.commit(one))
    }

    /// What a node writes that starts with the cluster as it is now.
    pub(crate) fn fresh(&self) -> [Transaction; 2] {
        let (mut planner, mut program) = (self.settings.planner(), self.settings.program());
        let (snapshot, _) = Builder::new().apply(self.changes.iter().cloned());
        let plans = planner.replan(&snapshot).plans;
        program.set_options(self.settings.options(&planner));
        program.take(plans);
        Family::ALL.map(|family| program.full(family))
    }

    /// Sends packets and holds that each goes where `route` says.
    pub(crate) fn send(
        &self,
        wire: &mut Wire,
        picks: &[(Index, Index)],
        tally: &mut Tally,
    ) -> Result<(), TestCaseError> {
        let destinations = self.destinations();
        for (destination, source) in picks {
            let key = destinations[destination.index(destinations.len())];
            let sources = self.sources(key);
            let packet = Packet {
                source: sources[source.index(sources.len())],
                destination: key.address,
                protocol: key.protocol,
                port: key.port,
                interface: None,
            };
            let verdict = route(&self.planner, &packet);
            let is_nodes = |address| self.planner.node().owns(address);
            if verdict == Verdict::Untouched && is_nodes(packet.destination) {
                // It would end here, unseen.
                continue;
            }
            let mut send = || wire.send(&packet, verdict != Verdict::Drop);
            let mut seen = send().map_err(TestCaseError::fail)?;
            if is_nodes(packet.source) && seen.keeps_source_port() {
                // Only its port tells whether the node's own was masqueraded, and chance may have
                // given it the same one.
                seen = send().map_err(TestCaseError::fail)?;
            }
            check(&packet, &verdict, seen, tally)
                .map_err(|why| TestCaseError::fail(format!("{packet:?}: {verdict:?}, {why}")))?;
        }
        Ok(())
    }

    /// Every frontend, a port beside each, and addresses of Services that there are none of.
    fn destinations(&self) -> Vec<FrontendKey> {
        let frontends = self.planner.plans().flat_map(|plan| &plan.ports);
        let mut keys: Vec<_> = frontends
            .flat_map(|port| &port.frontends)
            .flat_map(|frontend| {
                let key = frontend.key;
                let next = key.port.number().checked_add(1).and_then(Port::new);
                // Frontends more often than what is beside them.
                let beside = next.map(|port| FrontendKey { port, ..key });
                [Some(key), Some(key), Some(key), beside].into_iter().flatten()
            })
            .collect();
        keys.extend(["10.96.250.1", "fd00:96::1:1", "198.51.100.99"].map(|text| FrontendKey {
            address: text.parse().unwrap(),
            protocol: Protocol::Tcp,
            port: Port::new(80).unwrap(),
        }));
        keys
    }

    /// Sources that rules may tell apart: the node, pods, the endpoints, the world.
    fn sources(&self, key: FrontendKey) -> Vec<IpAddr> {
        let family = Family::of(key.address);
        let fixed: &[&str] = match family {
            Family::Ip => &["192.0.2.1", "10.244.0.77", "198.51.100.7", "203.0.113.200"],
            Family::Ip6 => &["2001:db8:1::1", "fd00:244::77", "2001:db8:2::7", "2001:db8::200"],
        };
        let mut sources: Vec<IpAddr> = fixed.iter().map(|text| text.parse().unwrap()).collect();
        if let Some((port, _)) = self.planner.frontend(key) {
            sources.extend(port.cluster.iter().take(3).map(|backend| backend.address.ip()));
        }
        sources.retain(|source| *source != key.address);
        sources
    }
}

/// Whether what was seen of `packet` is what `verdict` says.
fn check(packet: &Packet, verdict: &Verdict, seen: Seen, tally: &mut Tally) -> Result<(), String> {
    let right = match (verdict, seen) {
        (Verdict::Drop, Seen::Nothing) => {
            tally.dropped += 1;
            true
        }
        (Verdict::Reject, Seen::Refusal { to }) => {
            tally.refused += 1;
            to == packet.source
        }
        (Verdict::Untouched, Seen::Packet { source, destination, .. }) => {
            tally.untouched += 1;
            source == packet.source
                && (destination.ip(), destination.port())
                    == (packet.destination, packet.port.number())
        }
        (Verdict::Dnat(targets), Seen::Packet { source, source_port_kept, destination }) => {
            let is_node = |address: IpAddr| NODE_ADDRESSES.contains(&address.to_string().as_str());
            let masqueraded = if is_node(packet.source) {
                // The same address either way; a masqueraded one has another port.
                !source_port_kept
            } else {
                source != packet.source
            };
            tally.sent += 1;
            tally.masqueraded += usize::from(masqueraded);
            let meant = |target: &&podway_proxy_plan::route::Target| {
                target.backend.address == destination && target.masquerade == masqueraded
            };
            targets.iter().any(|target| meant(&target)) && (!masqueraded || is_node(source))
        }
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("seen {seen:?}")) }
}

/// Another kernel's tables, as far as a network namespace makes one.
///
/// It writes while the node under test is sent packets.
pub(crate) struct Mirror {
    orders: Sender<Order>,
    dumps: Receiver<Dump>,
    listings: Receiver<Listing>,
}

/// What the mirror is told to do.
enum Order {
    Write(Box<[Transaction; 2]>),
    Dump,
    List,
}

impl Mirror {
    /// Starts the thread whose namespace it is.
    pub(crate) fn start() -> Self {
        let (orders, inbox) = channel();
        let (dumped, dumps) = channel();
        let (listed, listings) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let kernel = Kernel::open().unwrap();
            for order in inbox {
                match order {
                    Order::Write(transactions) => {
                        kernel.delete_tables().unwrap();
                        for transaction in transactions.iter() {
                            kernel.commit(transaction).unwrap();
                        }
                    }
                    Order::Dump => dumped.send(Dump::read()).unwrap(),
                    Order::List => listed.send(listing::read()).unwrap(),
                }
            }
        });
        Self { orders, dumps, listings }
    }

    /// Replaces everything by these whole writes.
    pub(crate) fn write(&self, transactions: [Transaction; 2]) {
        self.orders.send(Order::Write(Box::new(transactions))).unwrap();
    }

    /// What the kernel dumps of them.
    pub(crate) fn dump(&self) -> Dump {
        self.orders.send(Order::Dump).unwrap();
        self.dumps.recv().unwrap()
    }

    /// What nft lists of them.
    pub(crate) fn listing(&self) -> Listing {
        self.orders.send(Order::List).unwrap();
        self.listings.recv().unwrap()
    }
}
