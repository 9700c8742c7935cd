//! How the API server is followed, as metrics.

use std::fmt;
use std::time::{Instant, SystemTime};

use podway_cluster_watch::api::{ApiStatus, KindStatus};
use podway_cluster_watch::disk::DiskStatus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::source::Freshness;

/// Makes the state of the watches visible in `registry`.
pub(crate) fn register_api(registry: &mut Registry, status: ApiStatus, freshness: Freshness) {
    registry.register_collector(Box::new(Api { status, freshness }));
}

/// Looks at the watches when it is asked.
#[derive(Debug)]
struct Api {
    status: ApiStatus,
    freshness: Freshness,
}

/// What is counted of one kind: name, help and value.
type Count = (&'static str, &'static str, fn(&KindStatus) -> u64);

/// The counters of each kind.
const COUNTS: [Count; 3] = [
    (
        "podway_api_lists",
        "Lists begun, by kind; more than one means that a version was forgotten",
        |kind| kind.lists,
    ),
    ("podway_api_watches", "Watches begun, by kind", |kind| kind.watches),
    ("podway_api_failures", "Lists and watches that failed, by kind", |kind| kind.failures),
];

impl Collector for Api {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kinds = self.status.kinds();
        let mut connected = encoder.encode_descriptor(
            "podway_api_connected",
            "Whether changes of a kind are being heard, by kind",
            None,
            MetricType::Gauge,
        )?;
        for (kind, status) in &kinds {
            let value = ConstGauge::new(i64::from(status.connected));
            value.encode(connected.encode_family(&[("kind", kind.name())])?)?;
        }
        for (name, help, count) in COUNTS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (kind, status) in &kinds {
                let value = ConstCounter::new(count(status));
                value.encode(metric.encode_family(&[("kind", kind.name())])?)?;
            }
        }
        let from_disk = self.freshness.disk_view();
        let age = match from_disk {
            Some(taken) => Some(SystemTime::now().duration_since(taken).unwrap_or_default()),
            None => self.status.view_age(Instant::now()),
        };
        if let Some(age) = age {
            let metric = encoder.encode_descriptor(
                "podway_view_age_seconds",
                "Time since the API server last said something of the kind heard of longest ago, \
                 which it does every minute; of a view from disk, since it was taken",
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(age.as_secs_f64()).encode(metric)?;
        }
        let metric = encoder.encode_descriptor(
            "podway_view_from_disk",
            "Whether the view is the last one of an earlier run",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(from_disk.is_some())).encode(metric)
    }
}

/// Makes what is kept on disk visible in `registry`.
pub(crate) fn register_disk(registry: &mut Registry, status: DiskStatus) {
    registry.register_collector(Box::new(Disk(status)));
}

/// Looks at the file when it is asked.
#[derive(Debug)]
struct Disk(DiskStatus);

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        for (name, help, value) in [
            ("podway_state_writes", "Views written for a restart", counts.writes),
            ("podway_state_write_failures", "Views that could not be written", counts.failures),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let help = "Size of the last view that was written for a restart";
        let metric =
            encoder.encode_descriptor("podway_state_bytes", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(counts.bytes).unwrap_or(i64::MAX)).encode(metric)
    }
}
