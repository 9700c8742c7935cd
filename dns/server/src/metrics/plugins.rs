//! Shows which plugins are at work, what this program is, and how often signatures were kept.
//!
//! These come with a configuration and change with it: they are what the one in force says.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use podway_dns_sign::Signer;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A plugin of a server block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Enabled {
    /// The address, as labels name it.
    pub(crate) server: String,
    /// The zone.
    pub(crate) zone: String,
    /// The plugin.
    pub(crate) name: &'static str,
}

/// What a configuration has at work.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtWork {
    /// The plugins.
    pub(crate) enabled: Vec<Enabled>,
    /// What signs, each with the address it does so at.
    pub(crate) signers: Vec<(String, Arc<Signer>)>,
}

/// The configuration in force; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plugins(Arc<Mutex<AtWork>>);

impl Plugins {
    /// Shows another configuration from now on.
    pub(crate) fn replace(&self, at_work: AtWork) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at_work;
    }
}

impl Collector for Plugins {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let AtWork { mut enabled, signers } =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // No Go and no revision of CoreDNS is in here; dashboards show the version.
        let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", ""), ("goversion", "")];
        let help = "Version of this program.";
        let gauge = MetricType::Gauge;
        let mut family = encoder.encode_descriptor("coredns_build_info", help, None, gauge)?;
        family.encode_family(&build)?.encode_gauge(&1_i64)?;
        enabled.sort_unstable();
        enabled.dedup();
        let help = "Plugins of each server block.";
        let mut family = encoder.encode_descriptor("coredns_plugin_enabled", help, None, gauge)?;
        for Enabled { server, zone, name } in &enabled {
            let labels = [("server", &**server), ("zone", &**zone), ("view", ""), ("name", *name)];
            family.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }
        let help = "Signatures that are kept.";
        let mut family =
            encoder.encode_descriptor("coredns_dnssec_cache_entries", help, None, gauge)?;
        for (server, signer) in &signers {
            let entries = i64::try_from(signer.counts().entries).unwrap_or(i64::MAX);
            let labels = [("server", &**server), ("type", "signature")];
            family.encode_family(&labels)?.encode_gauge(&entries)?;
        }
        let hits = ("coredns_dnssec_cache_hits", "Signatures that were kept.");
        let misses = ("coredns_dnssec_cache_misses", "Signatures that had to be made.");
        for ((name, help), is_hit) in [(hits, true), (misses, false)] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (server, signer) in &signers {
                let counts = signer.counts();
                let count = if is_hit { counts.hits } else { counts.misses };
                family
                    .encode_family(&[("server", &**server)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}
