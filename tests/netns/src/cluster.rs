//! A lab for one test: started, shown with its logs when the test fails, and ended.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{
    Builder, DualStack, Family, Lab, ObjectName, Place, PodStatus, ServiceStatus, Transport,
};

use crate::{Route, is_switched_off};

/// Numbers of the nodes of a lab that nobody asked for more.
pub const NODES: [u8; 2] = [1, 2];

/// Both address families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Last lines of a daemon's log that a failure shows.
const LOG_LINES: usize = 30;

/// Starts the lab of `builder` and runs `test` in it.
///
/// # Panics
/// When the lab does not start or the test fails, with the last lines of the daemons' logs.
pub fn in_lab(builder: Builder, test: impl FnOnce(&Cluster) -> Result<()>) {
    if is_switched_off(std::thread::current().name().unwrap_or("a test in the lab")) {
        return;
    }
    let cluster = match builder.start() {
        Ok(lab) => Cluster(lab),
        Err(error) => panic!("the lab does not start: {error:#}"),
    };
    if let Err(error) = test(&cluster) {
        for number in NODES {
            let log = cluster.podway_log(number).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
            eprintln!("-- podway on node {number}, last lines:");
            lines.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
        panic!("{error:#}");
    }
}

/// A running lab with what tests ask of it.
#[derive(Debug)]
pub struct Cluster(Lab);

impl Deref for Cluster {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Cluster {
    /// The Service `NAME` or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// When there is none.
    pub fn service(&self, service: &str) -> Result<ServiceStatus> {
        let name: ObjectName = service.parse()?;
        let services = self.status()?.services;
        let found = services.into_iter().find(|service| service.name == name);
        found.with_context(|| format!("no Service {name}"))
    }

    /// The cluster address of `service` in `family`.
    ///
    /// # Errors
    /// When it has none.
    pub fn cluster_ip(&self, service: &str, family: Family) -> Result<IpAddr> {
        let addresses = self.service(service)?.cluster_ips;
        let mut parsed = addresses.iter().filter_map(|text| text.parse().ok());
        parsed
            .find(|address| Family::of(*address) == family)
            .with_context(|| format!("{service} has no address of {}", family.as_str()))
    }

    /// `port` at the cluster address of `service` in `family`.
    ///
    /// # Errors
    /// When it has no such address.
    pub fn at(&self, service: &str, family: Family, port: u16) -> Result<SocketAddr> {
        Ok((self.cluster_ip(service, family)?, port).into())
    }

    /// `port` at node `number`.
    #[must_use]
    pub fn node_port(&self, number: u8, family: Family, port: u16) -> SocketAddr {
        (self.node_ip(number, family), port).into()
    }

    /// The pod `NAME` or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod(&self, pod: &str) -> Result<PodStatus> {
        let name: ObjectName = pod.parse()?;
        let pods = self.status()?.pods;
        pods.into_iter().find(|pod| pod.name == name).with_context(|| format!("no pod {name}"))
    }

    /// Names, without namespace, of the pods that begin with `prefix`.
    ///
    /// # Errors
    /// When there is none.
    pub fn pod_names(&self, prefix: &str) -> Result<BTreeSet<String>> {
        let pods = self.pods(prefix)?;
        ensure!(!pods.is_empty(), "no pod {prefix}");
        Ok(pods.into_iter().map(|pod| pod.name.name).collect())
    }

    /// Addresses of the pods that begin with `prefix`.
    ///
    /// # Errors
    /// When one has none.
    pub fn addresses(&self, prefix: &str, family: Family) -> Result<BTreeSet<IpAddr>> {
        let address = |pod: PodStatus| {
            let both: DualStack =
                pod.addresses.with_context(|| format!("{} has no address", pod.name))?;
            Ok(both.of(family))
        };
        self.pods(prefix)?.into_iter().map(address).collect()
    }

    /// Every address of node `number` itself, on whichever interface.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub fn node_addresses(&self, number: u8) -> Result<BTreeSet<IpAddr>> {
        let text = self.exec(&Place::node(number), &["ip", "-o", "address"])?.checked()?;
        let address = |line: &str| {
            let with_length = line.split_whitespace().nth(3).context("no address")?;
            Ok(with_length.split('/').next().unwrap_or_default().parse()?)
        };
        text.lines().map(address).collect()
    }

    /// Lets the nodes send as many ICMP errors as there are reasons for.
    ///
    /// # Errors
    /// When a node does not take the setting.
    pub fn lift_icmp_limits(&self) -> Result<()> {
        NODES.into_iter().try_for_each(|number| self.lift_icmp_limit(&Place::node(number)))
    }

    /// Lets `place` send as many ICMP errors as there are reasons for.
    ///
    /// The kernel tells one client once a second after a few times, so that who asks more often
    /// hears nothing; a test asks more often, and who sends datagrams does not ask again.
    ///
    /// # Errors
    /// When it does not take the setting.
    pub fn lift_icmp_limit(&self, place: &Place) -> Result<()> {
        let script = "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit && \
            echo 0 >/proc/sys/net/ipv6/icmp/ratelimit";
        self.exec(place, &["sh", "-c", script])?.checked().map(drop)
    }

    /// Whether `address` belongs to node `number` itself, on whichever interface.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub fn is_of_node(&self, number: u8, address: IpAddr) -> Result<bool> {
        Ok(self.node_addresses(number)?.contains(&address))
    }

    /// The way from `from` to `to`.
    pub fn route(&self, from: &Place, transport: Transport, to: SocketAddr) -> Route<'_> {
        Route::new(self, from.clone(), transport, to)
    }
}
