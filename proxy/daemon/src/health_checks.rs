//! Servers at `healthCheckNodePort`, where load balancers ask whether this node has endpoints.
//!
//! Which ports and what they tell is `proxy/plan`'s part; here are the sockets, one for each port and
//! each address of the node that accepts node ports. A port that cannot be bound is tried again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podway_cluster_model::port::Port;
use podway_cluster_watch::publish::{Subscription, View};
use podway_proxy_plan::health::{HealthCheck, HealthChecks};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::policy::NodePortAddresses;
use podway_proxy_sync::health::Health;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{info, warn};

mod server;

/// Wait before an address is tried again.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// All servers, kept in step with the cluster and the node's addresses.
pub(crate) struct Servers {
    checks: HealthChecks,
    node: NodeView,
    health: Health,
    /// What each port tells.
    ports: BTreeMap<Port, watch::Sender<HealthCheck>>,
    open: HashMap<SocketAddr, Open>,
    /// Addresses that could not be bound, which was logged.
    refused: HashSet<SocketAddr>,
}

/// A server, ended when dropped.
struct Open(AbortHandle);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Servers {
    /// No server yet; `node` is this node.
    pub(crate) fn new(node: NodeView, health: Health) -> Self {
        Self {
            checks: HealthChecks::new(node.name.clone()),
            node,
            health,
            ports: BTreeMap::new(),
            open: HashMap::new(),
            refused: HashSet::new(),
        }
    }

    /// Follows the cluster until its source is gone; the node's addresses, and which of them accept
    /// node ports, for as long as somebody tells of them.
    pub(crate) async fn follow(
        mut self,
        mut cluster: Subscription,
        mut interfaces: watch::Receiver<Vec<IpAddr>>,
        mut accepting: watch::Receiver<NodePortAddresses>,
    ) {
        let (mut is_told, mut is_configured) = (true, true);
        loop {
            tokio::select! {
                view = cluster.next() => match view {
                    Some(view) => self.take(&view),
                    None => return,
                },
                changed = interfaces.changed(), if is_told => {
                    is_told = changed.is_ok();
                    let found = interfaces.borrow_and_update().clone();
                    self.node = self.node.clone().with_interfaces(found);
                }
                changed = accepting.changed(), if is_configured => is_configured = changed.is_ok(),
                () = tokio::time::sleep(BIND_RETRY), if !self.refused.is_empty() => {}
            }
            let node_ports = accepting.borrow_and_update().clone();
            self.settle(&node_ports).await;
        }
    }

    fn take(&mut self, view: &View) {
        let View { snapshot, delta, .. } = view;
        if delta.nodes.contains(&self.node.name) {
            let object = snapshot.nodes.get(&self.node.name).map(AsRef::as_ref);
            self.node = self.node.clone().with_object(object);
        }
        for (port, check) in self.checks.update(snapshot, delta) {
            match check {
                Some(check) => {
                    let sender = self.ports.entry(port);
                    let sender = sender.or_insert_with(|| watch::Sender::new(check.clone()));
                    sender.send_replace(check);
                }
                None => drop(self.ports.remove(&port)),
            }
        }
    }

    /// Closes what is not to be served any more and opens what is.
    async fn settle(&mut self, node_ports: &NodePortAddresses) {
        let addresses = Family::ALL
            .into_iter()
            .flat_map(|family| self.node.node_port_addresses(family, node_ports));
        let wanted: HashSet<SocketAddr> = addresses
            .flat_map(|address| {
                self.ports.keys().map(move |port| SocketAddr::new(address, port.number()))
            })
            .collect();
        self.open.retain(|address, _| wanted.contains(address));
        self.refused.retain(|address| wanted.contains(address));
        for address in wanted {
            if !self.open.contains_key(&address) {
                self.open(address).await;
            }
        }
    }

    async fn open(&mut self, address: SocketAddr) {
        let Some(told) = Port::new(address.port()).and_then(|port| self.ports.get(&port)) else {
            return;
        };
        let service = told.borrow().service.clone();
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => {
                info!(%service, %address, "health checks of the Service are answered");
                let serve = server::serve(listener, told.subscribe(), self.health.clone());
                self.open.insert(address, Open(tokio::spawn(serve).abort_handle()));
                self.refused.remove(&address);
            }
            Err(error) => {
                if self.refused.insert(address) {
                    warn!(%service, %address, %error,
                        "health checks of the Service cannot be answered; it is tried again");
                }
            }
        }
    }
}
