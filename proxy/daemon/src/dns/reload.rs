//! Follows the Corefile and what it imports: a good change takes effect, a bad one is told of.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use podway_dns_corefile::Config;
use podway_dns_server::{Control, Follow};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tracing::{info, warn};

use super::http::Pages;
use super::load::{Loaded, Loader};

/// How long a file must be left alone before it is read.
///
/// 100 ms: an editor that writes in several steps is done by then.
const SETTLE: Duration = Duration::from_millis(100);

/// Why a Corefile without a mistake is not in force yet.
const LABELS_UNKNOWN: &str = "it selects by labels that are still to be read from the cluster";

/// What is counted of reloads, under CoreDNS's names, and what the rest of the daemon must know.
#[derive(Debug, Clone)]
pub(super) struct Reloads {
    failed: Counter,
    version: Version,
    lameduck: watch::Sender<Duration>,
}

impl Default for Reloads {
    fn default() -> Self {
        Self {
            failed: Counter::default(),
            version: Version::default(),
            lameduck: watch::Sender::new(Duration::ZERO),
        }
    }
}

/// The hash of the Corefile in force.
#[derive(Debug, Clone, Default)]
struct Version(Arc<Mutex<String>>);

impl Reloads {
    /// Makes them visible in `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "coredns_reload_failed",
            "Corefiles that were not put into force",
            self.failed.clone(),
        );
        registry.register_collector(Box::new(self.version.clone()));
    }

    /// A Corefile with this hash is in force.
    pub(super) fn done(&self, hash: &str) {
        hash.clone_into(&mut self.version.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How long names are still answered after the order to stop.
    pub(super) fn lameduck(&self) -> watch::Receiver<Duration> {
        self.lameduck.subscribe()
    }

    /// Takes that time from `config`: the longest that a block asks for.
    pub(super) fn lameduck_is(&self, config: &Config) {
        let healths = config.blocks.iter().filter_map(|block| block.health());
        let longest = healths.map(|health| health.lameduck).max().unwrap_or_default();
        self.lameduck.send_replace(longest);
    }
}

impl Collector for Version {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(
            "coredns_reload_version_info",
            "The Corefile in force",
            None,
            MetricType::Gauge,
        )?;
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let labels = [("hash", "sha512"), ("value", value.as_str())];
        ConstGauge::new(1_i64).encode(metric.encode_family(&labels)?)
    }
}

/// Puts every good change of the Corefile into force; ends never.
pub(super) async fn follow(
    loader: Loader,
    mut loaded: Loaded,
    (control, mut pages): (Control, Pages),
    reloads: Reloads,
) {
    pages.serve(&loaded.config);
    if !loader.is_followed() {
        return std::future::pending().await;
    }
    let mut follow = Follow::new(loaded.files.iter().cloned().collect());
    let mut problem = None;
    let mut changed = false;
    loop {
        if !std::mem::take(&mut changed) {
            follow.perhaps_changed().await;
        }
        tokio::time::sleep(SETTLE).await;
        let outcome = match loader.load(Some(&loaded.blueprint)) {
            Ok(next) if next.hash == loaded.hash => {
                problem = None;
                continue;
            }
            Ok(next) => {
                // One that selects by labels which the source has yet to tell waits for them.
                tokio::select! {
                    biased;
                    () = loader.known(&next) => {}
                    () = follow.perhaps_changed() => {
                        changed = true;
                        if problem.as_deref() != Some(LABELS_UNKNOWN) {
                            warn!(
                                error = LABELS_UNKNOWN,
                                "the Corefile has changed; the last good one stays in force"
                            );
                            problem = Some(LABELS_UNKNOWN.to_owned());
                        }
                        continue;
                    }
                }
                let replaced = control.replace(next.blueprint.clone()).await;
                replaced.map(|()| next).map_err(|error| loader.explain(error))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(next) => {
                next.tell();
                info!(hash = next.hash, "the Corefile has changed and is in force");
                reloads.done(&next.hash);
                reloads.lameduck_is(&next.config);
                pages.serve(&next.config);
                if next.files != loaded.files {
                    follow = Follow::new(next.files.iter().cloned().collect());
                }
                loaded = next;
                problem = None;
            }
            Err(error) => {
                let text = format!("{error:#}");
                if problem.as_ref() != Some(&text) {
                    reloads.failed.inc();
                    warn!(
                        error = text,
                        "the Corefile has changed; the last good one stays in force"
                    );
                    problem = Some(text);
                }
            }
        }
    }
}
