//! Whatever the cluster does, the rules send packets where the plan says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::{self, Builder};
use podway_cluster_model::name::{NodeName, ServiceName};
use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_proxy_nft::element::Element;
use podway_proxy_nft::fake::{FakeKernel, From, Outcome, Packet};
use podway_proxy_nft::names::SetName;
use podway_proxy_nft::program::{Affinities, Options, Program};
use podway_proxy_nft::transaction::{Change, Transaction};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::{ConntrackBypass, DeadTcp, NodeLocalDns, PodDetection, Policy};
use podway_proxy_plan::route::{self, SourcePlace, Verdict, route};
use proptest::prelude::*;

/// A node with its rules: everything between a change in the cluster and the kernel.
struct Node {
    builder: Builder,
    planner: Planner,
    program: Program,
    kernel: FakeKernel,
    /// Frontends that a server of this node answers at.
    answered: BTreeSet<FrontendKey>,
}

impl Node {
    fn new(policy: &Policy) -> Self {
        let options = Options::new(policy, 14);
        let mut node = Self {
            builder: Builder::new(),
            planner: Planner::new(policy.clone(), NodeView::bare(NodeName::new("node-1").unwrap())),
            program: Program::new(options),
            kernel: FakeKernel::default(),
            answered: BTreeSet::new(),
        };
        node.write_everything();
        node
    }

    fn write_everything(&mut self) {
        for family in Family::ALL {
            self.kernel.commit(&self.program.full(family)).unwrap();
        }
    }

    fn apply(&mut self, changes: Vec<builder::Change>) -> Result<(), TestCaseError> {
        let (snapshot, delta) = self.builder.apply(changes);
        self.follow(&snapshot, &delta)
    }

    fn follow(&mut self, snapshot: &Snapshot, delta: &Delta) -> Result<(), TestCaseError> {
        let changes = self.planner.update(snapshot, delta);
        let options = Options::new(self.planner.policy(), 14);
        if options != *self.program.options() {
            self.program.set_options(options);
            self.program.update(changes.plans);
            self.write_everything();
            return Ok(());
        }
        for transaction in self.program.update(changes.plans) {
            self.kernel
                .commit(&transaction)
                .map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{transaction}")))?;
        }
        Ok(())
    }

    /// Has a server of this node answer at every other destination, if the policy lets it.
    fn answer_here(&mut self) {
        if self.planner.policy().node_local_dns == NodeLocalDns::Off {
            return;
        }
        self.answered = self.destinations().into_iter().step_by(2).collect();
        for family in Family::ALL {
            let keys = self.answered.iter().filter(|key| Family::of(key.address) == family);
            let added = keys.map(|key| Element::NodeLocalDns { key: *key, timeout_ms: 1000 });
            let change = Change::Elements {
                deleted: Vec::new(),
                added: added.collect(),
                narrowed: Affinities::default(),
            };
            self.kernel.commit(&Transaction { family, change }).unwrap();
        }
    }

    /// Keeps everything between any addresses out of connection tracking that may be, if the policy
    /// lets it: more than pods, so that only rules stand between that and what is translated.
    fn bypass(&mut self) {
        for family in Family::ALL {
            let everything = match family {
                Family::Ip => "0.0.0.0/0",
                Family::Ip6 => "::/0",
            };
            let range =
                Element::Range { set: SetName::UntrackedPods, cidr: everything.parse().unwrap() };
            if self.kernel.sets().contains(&(family, SetName::UntrackedPods)) {
                let change = Change::Elements {
                    deleted: Vec::new(),
                    added: vec![range],
                    narrowed: Affinities::default(),
                };
                self.kernel.commit(&Transaction { family, change }).unwrap();
            }
        }
    }

    /// Keys of all frontends, and some addresses beside them that no frontend has.
    fn destinations(&self) -> BTreeSet<FrontendKey> {
        let frontends = self.planner.plans().flat_map(|plan| &plan.ports);
        frontends
            .flat_map(|port| &port.frontends)
            .flat_map(|frontend| {
                let key = frontend.key;
                let beside = key.port.number().checked_add(1).and_then(|port| {
                    Some(FrontendKey { port: podway_cluster_model::port::Port::new(port)?, ..key })
                });
                [Some(key), beside].into_iter().flatten()
            })
            .collect()
    }

    /// What becomes of `packet`: nothing where a server of this node answers, else what the plan says.
    fn expected(&self, packet: &Packet) -> BTreeSet<Outcome> {
        let Packet { destination: address, protocol, port, .. } = *packet;
        if self.answered.contains(&FrontendKey { address, protocol, port }) {
            return [Outcome::Sent { to: None, masqueraded: false }].into();
        }
        expected(&self.planner, packet)
    }

    /// Sources that rules may tell apart: endpoints of the Service, a pod, the node, the world.
    fn sources(&self, destination: FrontendKey) -> BTreeSet<IpAddr> {
        let family = Family::of(destination.address);
        let fixed: [&str; 2] = match family {
            Family::Ip => ["10.244.77.77", "203.0.113.9"],
            Family::Ip6 => ["fd00:10:244:77::77", "2001:db8::9"],
        };
        let backends = self
            .planner
            .frontend(destination)
            .into_iter()
            .flat_map(|(port, _)| [&port.cluster, &port.local])
            .flat_map(|pool| pool.iter().map(|backend| backend.address.ip()));
        let node = self.planner.node().addresses.iter().copied();
        fixed
            .iter()
            .map(|text| text.parse().unwrap())
            .chain(backends)
            .chain(node.filter(|address| Family::of(*address) == family))
            .collect()
    }
}

/// The ways a packet of `source` may come to the rules.
fn packets(planner: &Planner, source: IpAddr, to: FrontendKey) -> Vec<Packet> {
    let FrontendKey { address: destination, protocol, port } = to;
    let packet = |interface| {
        let from = match route::source_place(planner, source, interface) {
            SourcePlace::Node => From::ThisNode,
            SourcePlace::Pod | SourcePlace::Outside => From::Elsewhere,
        };
        // What was made on this node came in nowhere.
        let interface = interface.filter(|_| from == From::Elsewhere);
        Packet { source, destination, protocol, port, from, interface }
    };
    match planner.policy().pods {
        PodDetection::ClusterCidrs | PodDetection::NodeCidrs => vec![packet(None)],
        PodDetection::Interface(_) => {
            let names = [None, InterfaceName::exactly("veth12"), InterfaceName::exactly("eth0")];
            names.map(packet).into()
        }
    }
}

/// What the plan says of `packet`, in the words of the fake kernel.
fn expected(planner: &Planner, packet: &Packet) -> BTreeSet<Outcome> {
    let Packet { source, destination, protocol, port, interface, from: _ } = *packet;
    match route(planner, &route::Packet { source, destination, protocol, port, interface }) {
        Verdict::Untouched => [Outcome::Sent { to: None, masqueraded: false }].into(),
        Verdict::Reject => [Outcome::Refused].into(),
        Verdict::Drop => [Outcome::Dropped].into(),
        Verdict::Dnat(targets) => targets
            .into_iter()
            .map(|target| Outcome::Sent {
                to: Some(target.backend.address),
                masqueraded: target.masquerade,
            })
            .collect(),
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    let pods = prop::sample::select(vec![
        PodDetection::ClusterCidrs,
        PodDetection::NodeCidrs,
        PodDetection::Interface(InterfaceName::beginning_with("veth").unwrap()),
    ]);
    let node_local_dns = prop::sample::select(vec![
        NodeLocalDns::Off,
        NodeLocalDns::On { service: None, addresses: Vec::new() },
        NodeLocalDns::On { service: ServiceName::new("shop", "web").ok(), addresses: Vec::new() },
    ]);
    let bypass = prop::sample::select(vec![ConntrackBypass::Off, ConntrackBypass::On]);
    (any::<bool>(), any::<bool>(), any::<bool>(), pods, node_local_dns, bypass).prop_map(
        |(detect_local, masquerade_all, ranges, pods, node_local_dns, conntrack_bypass)| Policy {
            conntrack_bypass,
            pods,
            node_local_dns,
            dead_tcp: if ranges { DeadTcp::Reset } else { DeadTcp::Keep },
            cluster_cidrs: if detect_local {
                vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()]
            } else {
                Vec::new()
            },
            masquerade_all,
            allow_external_ips: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            service_cidrs: if ranges {
                vec!["10.96.0.0/12".parse().unwrap(), "fd00:96::/32".parse().unwrap()]
            } else {
                Vec::new()
            },
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rules_send_packets_where_the_plan_says(
        policy in policies(),
        start in arbitrary::cluster(),
        steps in prop::collection::vec(arbitrary::changes(6), 0..6),
    ) {
        let mut node = Node::new(&policy);
        node.apply(start)?;
        for step in steps {
            node.apply(step)?;
        }
        node.answer_here();
        node.bypass();
        for destination in node.destinations() {
            for source in node.sources(destination) {
                for packet in packets(&node.planner, source, destination) {
                    prop_assert_eq!(
                        node.kernel.outcomes(&packet),
                        node.expected(&packet),
                        "{:?}", packet
                    );
                }
            }
        }
    }

    #[test]
    fn changes_one_by_one_end_where_a_full_write_does(
        policy in policies(),
        start in arbitrary::cluster(),
        steps in prop::collection::vec(arbitrary::changes(6), 0..6),
    ) {
        let mut node = Node::new(&policy);
        node.apply(start)?;
        for step in steps {
            node.apply(step)?;
        }
        let changed = node.kernel.clone();
        node.write_everything();
        prop_assert_eq!(changed.elements(), node.kernel.elements(), "they drifted apart");
        // What is for affinity timeouts that nobody uses any more goes with the full write.
        if changed.sets() == node.kernel.sets() {
            prop_assert_eq!(&changed, &node.kernel, "the program and the kernel drifted apart");
        }

        // A node that sees only the end agrees, but for which endpoint has which slot.
        let (snapshot, _) = node.builder.apply([]);
        let mut fresh = Node::new(&policy);
        fresh.follow(&snapshot, &Delta::everything(&snapshot))?;
        prop_assert_eq!(fresh.destinations(), node.destinations());
        for destination in node.destinations() {
            for source in node.sources(destination) {
                for packet in packets(&node.planner, source, destination) {
                    prop_assert_eq!(fresh.kernel.outcomes(&packet), node.kernel.outcomes(&packet));
                }
            }
        }
    }
}

#[test]
fn one_endpoint_less_is_one_element_less() {
    let text = |number: u8| format!("10.244.0.{number}");
    let backend = |number| podway_proxy_plan::plan::Backend {
        address: (text(number).parse::<IpAddr>().unwrap(), 8080).into(),
        place: podway_proxy_plan::plan::Place::Elsewhere,
        weight: 1,
    };
    let plan = |numbers: &[u8]| {
        use podway_cluster_model::name::PortName;
        use podway_cluster_model::port::{Port, Protocol};
        use podway_proxy_plan::plan::*;
        std::sync::Arc::new(ServicePlan {
            name: ServiceName::new("shop", "web").unwrap(),
            ports: vec![PortPlan {
                family: Family::Ip,
                name: PortName::new("http").unwrap(),
                protocol: Protocol::Tcp,
                affinity: Default::default(),
                choice: Default::default(),
                sources: None,
                frontends: vec![Frontend {
                    key: FrontendKey {
                        address: "10.96.0.1".parse().unwrap(),
                        protocol: Protocol::Tcp,
                        port: Port::new(80).unwrap(),
                    },
                    origin: Origin::ClusterIp,
                    action: Action::Balance {
                        pool: Pool::Cluster,
                        masquerade: Masquerade::OffCluster,
                    },
                }],
                cluster: numbers.iter().copied().map(backend).collect(),
                local: [].into(),
            }],
        })
    };
    let mut program = Program::new(Options::default());
    let before = plan(&[1, 2, 3, 4]);
    let name = before.name.clone();
    program.update([(name.clone(), Some(before))]);
    let [ip, ip6] = program.update([(name, Some(plan(&[1, 2, 4])))]);
    assert_eq!(
        ip.to_string(),
        "delete element ip podway backends { 10.96.0.1 . tcp . 80 . 2 : 10.244.0.3 . 8080 }\n"
    );
    assert!(ip6.is_empty());
}
