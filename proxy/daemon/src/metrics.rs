//! What the daemon itself counts, and the registry of everything that is counted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use podway_cluster_watch::rejection::ObjectKind;
use podway_cluster_watch::report::{Counts, Reports};
use podway_proxy_sync::refusals::Refused;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::sockets::InUse;

mod api;
mod sockets;

pub(crate) use api::{register_api, register_disk};
pub(crate) use sockets::SocketCounts;

/// Answers to probes, by status code; clones share the counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProbeCounts {
    healthz: Family<CodeLabel, Counter>,
    livez: Family<CodeLabel, Counter>,
}

/// A status code as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: u32,
}

impl ProbeCounts {
    /// Makes the counts visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_proxy_healthz",
            "Answers of /healthz, by status code",
            self.healthz.clone(),
        );
        registry.register(
            "kubeproxy_proxy_livez",
            "Answers of /livez, by status code",
            self.livez.clone(),
        );
    }

    /// `/healthz` answered with `code`.
    pub(crate) fn healthz(&self, code: u16) {
        self.healthz.get_or_create(&CodeLabel { code: code.into() }).inc();
    }

    /// `/livez` answered with `code`.
    pub(crate) fn livez(&self, code: u16) {
        self.livez.get_or_create(&CodeLabel { code: code.into() }).inc();
    }
}

/// Makes visible in `registry` whether sockets are translated, and if not, why.
pub(crate) fn register_sockets(registry: &mut Registry, in_use: &InUse) {
    let (active, reason) = match in_use {
        InUse::Ebpf => (1, String::new()),
        InUse::Nftables(reason) => (0, reason.clone()),
    };
    let gauge = Family::<ReasonLabel, Gauge>::default();
    gauge.get_or_create(&ReasonLabel { reason }).set(active);
    registry.register(
        "podway_ebpf_active",
        "Whether sockets are translated by eBPF, and if not, why",
        gauge,
    );
}

/// A reason as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

/// Packets that were refused, as they were last read; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefusedPackets(Arc<Mutex<Vec<Refused>>>);

impl RefusedPackets {
    /// Makes the counts visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Takes over what was read.
    pub(crate) fn set(&self, refused: Vec<Refused>) {
        // A list is whole after each assignment, so a poisoned lock holds no half state.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}

impl Collector for RefusedPackets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "podway_refused_packets",
            "First packets of connections refused or dropped, by Service port and verdict",
            None,
            MetricType::Counter,
        )?;
        for refused in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let Refused { service, port, verdict, packets } = refused;
            let labels = [
                ("namespace", service.namespace.as_str()),
                ("service", service.name.as_str()),
                ("port", port.as_str()),
                ("verdict", verdict.name()),
            ];
            ConstCounter::new(*packets).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Says which build this is.
pub(crate) fn register_build(registry: &mut Registry) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("podway_build", "The running build", Info::new(version));
}

/// Makes what is wrong with the source visible in `registry`.
pub(crate) fn register_source(registry: &mut Registry, reports: Reports) {
    registry.register_collector(Box::new(Source(reports)));
}

/// Counts what is wrong with the source when it is asked.
#[derive(Debug)]
struct Source(Reports);

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Counts { folder_lost, files, rejected, shadowed, ignored, unavailable } =
            self.0.counts();
        gauge(
            &mut encoder,
            "podway_manifest_folder_lost",
            "Whether the folder of manifests cannot be followed",
            usize::from(folder_lost),
        )?;
        gauge(
            &mut encoder,
            "podway_manifest_files_unread",
            "Manifests that cannot be read; their last good content is in force",
            files,
        )?;
        gauge(
            &mut encoder,
            "podway_shadowed_objects",
            "Objects not used because they stand elsewhere too",
            shadowed,
        )?;
        let by_kind = ObjectKind::ALL
            .map(|kind| (kind.name().to_owned(), rejected.get(&kind).copied().unwrap_or(0)));
        gauges(
            &mut encoder,
            "podway_rejected_objects",
            "Objects that are not used, or not all of them, by kind",
            by_kind,
        )?;
        gauges(
            &mut encoder,
            "podway_ignored_objects",
            "Objects of kinds that are not read, by kind",
            ignored,
        )?;
        let by_kind = ObjectKind::ALL
            .map(|kind| (kind.name().to_owned(), usize::from(unavailable.contains(&kind))));
        gauges(
            &mut encoder,
            "podway_unavailable_kinds",
            "Whether the API server shows no objects of a kind and the view does without",
            by_kind,
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    encode(metric, value)
}

/// One gauge for each kind of objects.
fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (String, usize)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (kind, value) in values {
        encode(metric.encode_family(&[("kind", kind)])?, value)?;
    }
    Ok(())
}

fn encode(metric: MetricEncoder<'_>, value: usize) -> Result<(), fmt::Error> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
}
