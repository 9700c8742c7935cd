//! Whose queries are answered: clients of the networks that were given and of the cluster's own.

use std::net::IpAddr;

use ipnet::IpNet;
use podway_cluster_model::snapshot::Snapshot;
use podway_cluster_watch::publish::Subscription;
use podway_dns_server::{Allowed, Control};

/// Networks that are answered whatever the cluster is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Networks {
    /// What was given, and the pods of the cluster.
    pub(crate) given: Vec<IpNet>,
    /// The addresses of this node.
    pub(crate) interfaces: Vec<IpAddr>,
}

impl Networks {
    /// Those and the ones of the nodes in `snapshot`.
    fn with(&self, snapshot: Option<&Snapshot>) -> Allowed {
        let nodes = snapshot.into_iter().flat_map(|snapshot| snapshot.nodes.values());
        let of_nodes = nodes.flat_map(|node| {
            let addresses = node.addresses.iter().copied().map(IpNet::from);
            addresses.chain(node.pod_cidrs.iter().copied())
        });
        let own = self.interfaces.iter().copied().map(IpNet::from);
        Allowed::only(self.given.iter().copied().chain(own).chain(of_nodes))
    }
}

/// Has the server answer `networks` and the cluster's nodes and pods, as they change.
///
/// A node that comes or goes has all nodes looked at; that is rare, and they are few beside what
/// else there is.
pub(crate) async fn follow(mut views: Subscription, networks: Networks, control: Control) {
    control.allow(networks.with(None));
    while let Some(view) = views.next().await {
        if !view.delta.nodes.is_empty() {
            control.allow(networks.with(Some(&view.snapshot)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use podway_cluster_model::builder::{Builder, Change};
    use podway_cluster_model::name::NodeName;
    use podway_cluster_model::node::Node;

    use super::*;

    #[test]
    fn nodes_and_their_pods_are_answered_beside_what_was_given() {
        let networks = Networks {
            given: vec!["10.244.0.0/16".parse().unwrap()],
            interfaces: vec!["198.51.100.1".parse().unwrap()],
        };
        let node = Node {
            name: NodeName::new("node-2").unwrap(),
            addresses: vec!["203.0.113.2".parse().unwrap()],
            pod_cidrs: vec!["11.1.2.0/24".parse().unwrap()],
            zone: None::<Arc<str>>,
            eligibility: Default::default(),
        };
        let (snapshot, _) = Builder::new().apply([Change::Node(node)]);
        let asked = ["10.244.1.1", "198.51.100.1", "203.0.113.2", "11.1.2.3", "8.8.8.8"];
        let answered = |allowed: &Allowed| asked.map(|one| allowed.contains(one.parse().unwrap()));
        assert_eq!(answered(&networks.with(None)), [true, true, false, false, false]);
        assert_eq!(answered(&networks.with(Some(&snapshot))), [true, true, true, true, false]);
    }
}
