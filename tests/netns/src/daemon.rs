//! The daemon of a node as its operator sees it: metrics, log, the kernel's tables.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::Place;

use crate::{Cluster, FAMILIES};

/// Where a daemon serves metrics, for its own node only.
const METRICS: &str = "http://127.0.0.1:10249";

impl Cluster {
    /// Waits until node `number` answers itself at every address of the Service that pods ask.
    ///
    /// # Errors
    /// When it does not.
    pub fn answers_on_node(&self, number: u8) -> Result<()> {
        for family in FAMILIES {
            let address = self.at("kube-system/kube-dns", family, 53)?.ip();
            self.wait_for(&format!("node {number} to answer at {address}"), || {
                let name = format!("podway_dns_node_local_active{{address=\"{address}\"}} 1");
                ensure!(self.admin(number, "/metrics")?.contains(&name), "it does not");
                ensure!(self.is_node_local(number, address)?, "the kernel does not know");
                Ok(Some(()))
            })?;
        }
        Ok(())
    }

    /// Whether the kernel of node `number` takes `address` to be answered there.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn is_node_local(&self, number: u8, address: IpAddr) -> Result<bool> {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let listing = self.nft(number, &["list", "set", family, "podway", "node-local-dns"])?;
        Ok(listing.contains(&format!("{address} . udp . 53 ")))
    }

    /// What the daemon of node `number` serves at `path` of its metrics address.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub fn admin(&self, number: u8, path: &str) -> Result<String> {
        let url = format!("{METRICS}{path}");
        let command = ["curl", "-gsSf", "--max-time", "5", &url];
        self.exec(&Place::node(number), &command)?.checked()
    }

    /// The value of `metric`, its labels included, of the daemon of node `number`.
    ///
    /// # Errors
    /// When there is no such metric.
    pub fn metric(&self, number: u8, metric: &str) -> Result<f64> {
        let metrics = self.admin(number, "/metrics")?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no {metric} in\n{metrics}"))?;
        Ok(value.parse()?)
    }

    /// Waits until `metric` of the daemon of node `number` has `value`.
    ///
    /// # Errors
    /// When it does not get it.
    pub fn metric_becomes(&self, number: u8, metric: &str, value: f64) -> Result<()> {
        self.wait_until(&format!("{metric} of node {number} to be {value}"), || {
            let found = self.metric(number, metric)?;
            ensure!((found - value).abs() < f64::EPSILON, "{metric} is {found}");
            Ok(true)
        })
    }

    /// Waits until a line of the log of node `number` has all of `parts`; that line.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn logged(&self, number: u8, parts: &[&str]) -> Result<String> {
        self.wait_for(&format!("node {number} to log {parts:?}"), || {
            let log = self.podway_log(number)?;
            let is_it = |line: &&str| parts.iter().all(|part| line.contains(part));
            Ok(log.lines().find(is_it).map(str::to_owned))
        })
    }

    /// Runs nft on node `number`; what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn nft(&self, number: u8, arguments: &[&str]) -> Result<String> {
        let command = [&["nft"], arguments].concat();
        self.exec(&Place::node(number), &command)?.checked()
    }
}
