//! Whatever the cluster does, programs send sockets where the plan says, or leave them to nftables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::port::Protocol;
use podway_ebpf_abi::address::Address;
use podway_ebpf_backend::address;
use podway_ebpf_backend::carry::{Carrier, Site, carrier};
use podway_ebpf_backend::entries::{Batch, Entries};
use podway_ebpf_backend::found::Found;
use podway_ebpf_datapath::choose::{Choice, choose};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::{PodDetection, Policy};
use podway_proxy_plan::route::{Packet, Verdict, route};
use proptest::prelude::*;

use crate::support::Host;

/// Where a socket may go: an endpoint, nowhere (refused), or on to nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Left,
    Refused,
    To(Address),
}

/// A node with its maps.
struct Node {
    builder: Builder,
    planner: Planner,
    entries: Entries,
    host: Host,
    site: Site,
    now: Instant,
}

impl Node {
    fn new(policy: &Policy) -> Self {
        let site = Site::new(policy);
        let view = NodeView::bare(NodeName::new("node-1").unwrap());
        Self {
            builder: Builder::new(),
            planner: Planner::new(policy.clone(), view),
            entries: Entries::new(site.clone(), Found::default()),
            host: Host::default(),
            site,
            now: Instant::now(),
        }
    }

    /// Follows a change; after each single write no socket goes where neither the plan before nor
    /// the one after sends it.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), TestCaseError> {
        let before = self.ways_by_frontend();
        let (snapshot, delta) = self.builder.apply(changes);
        let changes = self.planner.update(&snapshot, &delta);
        // So that what was retired is used again, now and then too early if that were possible.
        self.now += Duration::from_millis(700);
        let batch = self.entries.update(changes.plans, self.now);
        let after = self.expected();
        for write in batch.before.iter().chain(&batch.after) {
            self.host.write(write);
            for (key, expected) in &after {
                let mut allowed = expected.clone();
                allowed.extend(before.get(key).into_iter().flatten());
                allowed.insert(Way::Left);
                let ways = self.ways(key);
                prop_assert!(ways.is_subset(&allowed), "{key:?}: {ways:?} after {write:?}");
            }
        }
        Ok(())
    }

    /// The maps as they are found by a new daemon, which has the same plan.
    fn restart(&mut self) -> Batch {
        self.entries = Entries::new(self.site.clone(), self.host.found());
        let plans = self.planner.plans().map(|plan| (plan.name.clone(), Some(plan.clone())));
        self.entries.update(plans, self.now)
    }

    fn ways(&self, key: &Address) -> BTreeSet<Way> {
        let way = |lot| {
            self.host.lot.set(lot);
            match choose(&self.host, key) {
                Choice::Leave => Way::Left,
                Choice::Refuse(_) => Way::Refused,
                Choice::Endpoint(endpoint, _) => Way::To(endpoint),
            }
        };
        self.host.affinity.borrow_mut().clear();
        self.host
            .lots(key)
            .into_iter()
            .map(way)
            .inspect(|_| self.host.affinity.borrow_mut().clear())
            .collect()
    }

    fn ways_by_frontend(&self) -> BTreeMap<Address, BTreeSet<Way>> {
        self.host.frontends.keys().map(|key| (*key, self.ways(key))).collect()
    }

    /// Where the plan sends sockets of pods, for every frontend and beside each.
    fn expected(&self) -> BTreeMap<Address, BTreeSet<Way>> {
        let mut expected = BTreeMap::new();
        for plan in self.planner.plans() {
            for port in &plan.ports {
                for frontend in &port.frontends {
                    let Some(key) = key_of(frontend.key) else { continue };
                    let ways = match carrier(&plan.name, port, frontend, &self.site) {
                        Carrier::Nftables(_) => [Way::Left].into(),
                        Carrier::Ebpf(_) => self.routed(frontend.key),
                    };
                    expected.insert(key, ways);
                }
            }
        }
        expected
    }

    fn routed(&self, key: FrontendKey) -> BTreeSet<Way> {
        let pod: IpAddr = match Family::of(key.address) {
            Family::Ip => "10.244.77.77".parse().unwrap(),
            Family::Ip6 => "fd00:10:244:77::77".parse().unwrap(),
        };
        let packet = Packet {
            source: pod,
            destination: key.address,
            protocol: key.protocol,
            port: key.port,
            interface: InterfaceName::exactly("veth12"),
        };
        match route(&self.planner, &packet) {
            Verdict::Untouched | Verdict::Drop => [Way::Left].into(),
            Verdict::Reject => [Way::Refused].into(),
            Verdict::Dnat(targets) => targets
                .iter()
                .map(|target| Way::To(address(target.backend.address, key.protocol).unwrap()))
                .collect(),
        }
    }
}

fn key_of(key: FrontendKey) -> Option<Address> {
    address(SocketAddr::new(key.address, key.port.number()), key.protocol)
}

fn policies() -> impl Strategy<Value = Policy> {
    let pods = prop::sample::select(vec![
        PodDetection::ClusterCidrs,
        PodDetection::NodeCidrs,
        PodDetection::Interface(InterfaceName::beginning_with("veth").unwrap()),
    ]);
    (any::<bool>(), any::<bool>(), pods).prop_map(|(cidrs, masquerade_all, pods)| Policy {
        pods,
        cluster_cidrs: if cidrs {
            vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()]
        } else {
            Vec::new()
        },
        masquerade_all,
        allow_external_ips: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sockets_go_where_the_plan_says_after_every_single_write(
        policy in policies(),
        start in arbitrary::cluster(),
        steps in prop::collection::vec(arbitrary::changes(6), 0..6),
    ) {
        let mut node = Node::new(&policy);
        node.apply(start)?;
        for step in steps {
            node.apply(step)?;
            let expected = node.expected();
            for (key, expected) in &expected {
                let ways = node.ways(key);
                if key.protocol == podway_ebpf_abi::address::TCP {
                    prop_assert_eq!(&ways, expected, "{:?}", key);
                } else {
                    // A datagram socket draws by its cookie, the same each time.
                    prop_assert!(ways.is_subset(expected), "{:?}: {:?}", key, ways);
                }
            }
            let strange = node.host.frontends.keys().find(|key| !expected.contains_key(*key));
            prop_assert_eq!(strange, None, "a frontend that no plan has");
        }
    }

    #[test]
    fn a_new_daemon_finds_everything_as_it_should_be(
        policy in policies(),
        start in arbitrary::cluster(),
        steps in prop::collection::vec(arbitrary::changes(6), 0..4),
        later in arbitrary::changes(6),
    ) {
        let mut node = Node::new(&policy);
        node.apply(start)?;
        for step in steps {
            node.apply(step)?;
        }
        prop_assert_eq!(node.entries.repairs(&node.host.found()), vec![]);
        prop_assert_eq!(node.restart(), Batch::default());
        prop_assert_eq!(node.entries.repairs(&node.host.found()), vec![]);
        node.apply(later)?;
        prop_assert_eq!(node.entries.repairs(&node.host.found()), vec![]);
    }

    #[test]
    fn whatever_is_found_the_first_update_makes_it_right(
        policy in policies(),
        left in arbitrary::cluster(),
        now in arbitrary::cluster(),
    ) {
        let mut earlier = Node::new(&policy);
        earlier.apply(left)?;
        let mut node = Node::new(&policy);
        node.host = earlier.host;
        let (snapshot, delta) = node.builder.apply(now);
        node.planner.update(&snapshot, &delta);
        let batch = node.restart();
        for write in batch.before.iter().chain(&batch.after) {
            node.host.write(write);
        }
        prop_assert_eq!(node.entries.repairs(&node.host.found()), vec![]);
        let expected = node.expected();
        for (key, expected) in &expected {
            prop_assert!(node.ways(key).is_subset(expected), "{:?}", key);
        }
        let strange = node.host.frontends.keys().find(|key| !expected.contains_key(*key));
        prop_assert_eq!(strange, None);
    }
}

#[test]
fn a_socket_of_sctp_has_no_address_here() {
    assert_eq!(address("10.96.0.1:80".parse().unwrap(), Protocol::Sctp), None);
}
