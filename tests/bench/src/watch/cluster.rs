//! The cluster in the API server: filled at the beginning, then changed one address at a time.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use podway_tests_lab::Api;
use podway_tests_synthetic::{Cluster, NAMESPACE};
use serde_json::json;

use super::probe;
use crate::fill;

/// One Service in so many is headless.
const HEADLESS: u32 = 100;

/// Services between two that are changed one after the other: no two in one place in memory, and a
/// number that is prime, so that all are reached.
const STRIDE: u32 = 7_919;

/// A cluster that an API server has.
pub(super) struct Filled {
    api: Api,
    size: Cluster,
    /// Changes made so far.
    made: u32,
}

/// One endpoint that gets another address.
#[derive(Debug)]
pub(super) struct Change {
    service: u32,
    incarnation: u32,
    /// The new address, which nobody had before.
    pub(super) address: Ipv4Addr,
    /// Name of the Service.
    pub(super) name: String,
}

/// When a change was asked for, and when the API server had made it: on the clock of all processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) sent: Duration,
    pub(super) answered: Duration,
}

impl Filled {
    /// Creates every Service and slice.
    pub(super) fn fill(api: Api, size: Cluster) -> Result<Self> {
        fill::fill(&api, size, is_headless)?;
        Ok(Self { api, size, made: 0 })
    }

    /// The next change of a Service with a ClusterIP.
    pub(super) fn next_balanced(&mut self) -> Change {
        let mut service = self.made.wrapping_mul(STRIDE) % self.size.services;
        if is_headless(service) {
            service = (service + 1) % self.size.services;
        }
        self.next(service)
    }

    /// The next change of a headless Service.
    pub(super) fn next_headless(&mut self) -> Change {
        let service = self.made % self.size.services.div_ceil(HEADLESS) * HEADLESS;
        self.next(service)
    }

    fn next(&mut self, service: u32) -> Change {
        self.made += 1;
        // Far from every address that the cluster has otherwise.
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(12, 7, 0, 0)) + self.made);
        let name = format!("s{service}.{NAMESPACE}.svc.cluster.local.");
        Change { service, incarnation: self.made, address, name }
    }

    /// Makes `change`.
    pub(super) fn make(&self, change: &Change) -> Result<Times> {
        let manifest = self.size.slice_manifest(change.service, 0);
        let mut endpoints = manifest["endpoints"].clone();
        let first = endpoints.get_mut(0).context("a Service without endpoints")?;
        first["addresses"] = json!([change.address]);
        let patch = json!({
            "metadata": {"labels": {"change": change.incarnation.to_string()}},
            "endpoints": endpoints,
        });
        let name = manifest["metadata"]["name"].as_str().context("a slice without name")?;
        let path = format!("{}/{name}", fill::slices());
        let sent = probe::now()?;
        self.api.merge(&path, &patch)?;
        Ok(Times { sent, answered: probe::now()? })
    }
}

fn is_headless(service: u32) -> bool {
    service.is_multiple_of(HEADLESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use podway_tests_synthetic::pod_ip;

    use super::*;

    #[test]
    fn changes_reach_the_kind_of_service_that_was_asked_for_with_ever_new_addresses() {
        let size = Cluster { services: 300, endpoints: 2 };
        let api = podway_tests_lab::Api::unreachable();
        let mut filled = Filled { api, size, made: 0 };
        let mut addresses = BTreeSet::new();
        for _ in 0..500 {
            let balanced = filled.next_balanced();
            assert!(!is_headless(balanced.service), "{balanced:?}");
            let headless = filled.next_headless();
            assert!(is_headless(headless.service), "{headless:?}");
            for change in [balanced, headless] {
                assert!(change.service < size.services);
                assert!(addresses.insert(change.address), "{change:?}");
                let taken = (0..2).any(|endpoint| {
                    pod_ip(change.service, endpoint, 0) == std::net::IpAddr::V4(change.address)
                });
                assert!(!taken, "{change:?}");
            }
        }
    }
}
