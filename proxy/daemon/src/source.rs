//! The source of snapshots: a folder of manifests, a snapshot in a file, or the API server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use jiff::Timestamp;
use podway_cluster_archive::Archive;
use podway_cluster_model::chain::Chain;
use podway_cluster_model::import::Imports;
use podway_cluster_model::name::NodeName;
use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_cluster_watch::api::{self, ApiConfig, ApiStatus, ApiWatch, Requester, Timing};
use podway_cluster_watch::disk::{self, Keeper};
use podway_cluster_watch::manifests::{self, ManifestWatch};
use podway_cluster_watch::publish::Publisher;
use podway_cluster_watch::report::Reports;
use podway_cluster_watch::wanted::{Extras, Wanted};
use prometheus_client::registry::Registry;
use tracing::{info, warn};

use crate::config::SourceConfig;
use crate::metrics;

/// The source at work, until it is dropped.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder of manifests.
    Manifests(ManifestWatch),
    /// A snapshot that never changes.
    Snapshot {
        /// Held, since subscribers take its end for the end of the source.
        _publisher: Publisher,
    },
    /// The API server.
    Api(Box<ApiSource>),
}

/// The API server, and the last view of it on disk.
#[derive(Debug)]
pub(crate) struct ApiSource {
    // Dropped first: the keeper writes what is left once nothing more can come.
    watch: ApiWatch,
    config: ApiConfig,
    keeper: Option<Keeper>,
    /// When the view was taken that an earlier run left.
    restored: Option<SystemTime>,
}

/// How fresh the view is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freshness {
    /// The API server, if it is the source.
    api: Option<ApiStatus>,
    /// When the view was taken that an earlier run left.
    restored: Option<SystemTime>,
}

/// Where a source works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// This node.
    pub(crate) node: &'a NodeName,
    /// Where the last view is kept, if it is.
    pub(crate) state: Option<&'a Path>,
}

impl Source {
    /// Starts to follow what `config` names, with what is `wanted` of its objects.
    pub(crate) fn start(
        config: SourceConfig,
        Place { node, state }: Place<'_>,
        wanted: Wanted,
        publisher: Publisher,
    ) -> anyhow::Result<Self> {
        match config {
            SourceConfig::Manifests(path) if path.is_file() => {
                let (snapshot, _) = load(&path)?;
                let Extras { labels, imports } = wanted.extras();
                anyhow::ensure!(
                    snapshot.label_keys.covers(&labels)
                        && (!imports || snapshot.imports == Imports::Known),
                    "--manifests {}: lacks labels or imports that the Corefile asks for; accepted: a \
                     snapshot with everything, as `podway snapshot save` writes it",
                    path.display()
                );
                publisher.publish(&snapshot, &Delta::everything(&snapshot), Instant::now());
                Ok(Self::Snapshot { _publisher: publisher })
            }
            SourceConfig::Manifests(folder) => {
                Ok(Self::Manifests(manifests::spawn(&folder, &wanted, publisher)?))
            }
            SourceConfig::Api { access, endpoints } => {
                info!(?access, endpoints = endpoints.len(), "following the API server");
                let timing = Timing::default();
                let node = node.clone();
                let config = ApiConfig { access, endpoints, node, wanted, timing };
                let source = ApiSource::start(config, state, publisher)?;
                Ok(Self::Api(Box::new(source)))
            }
        }
    }

    /// A way to tell the API server something, if it is the source.
    pub(crate) fn requester(&self) -> Option<Requester> {
        match self {
            Self::Manifests(_) | Self::Snapshot { .. } => None,
            Self::Api(source) => Some(Requester::new(&source.config)),
        }
    }

    /// What is wrong with objects.
    pub(crate) fn reports(&self) -> Reports {
        match self {
            Self::Manifests(source) => source.reports(),
            Self::Snapshot { .. } => Reports::default(),
            Self::Api(source) => source.watch.reports(),
        }
    }

    /// How fresh the view is.
    pub(crate) fn freshness(&self) -> Freshness {
        match self {
            Self::Manifests(_) | Self::Snapshot { .. } => Freshness::default(),
            Self::Api(source) => {
                Freshness { api: Some(source.watch.status()), restored: source.restored }
            }
        }
    }

    /// Makes visible how the source is.
    pub(crate) fn register(&self, registry: &mut Registry) {
        metrics::register_source(registry, self.reports());
        if let Self::Api(source) = self {
            metrics::register_api(registry, source.watch.status(), self.freshness());
            if let Some(keeper) = &source.keeper {
                metrics::register_disk(registry, keeper.status());
            }
        }
    }
}

impl ApiSource {
    fn start(
        config: ApiConfig,
        state_dir: Option<&Path>,
        publisher: Publisher,
    ) -> anyhow::Result<Self> {
        let archive = state_dir.and_then(read_state);
        let restored = archive.as_ref().map(|archive| {
            let age = disk::age(archive, SystemTime::now());
            info!(age_seconds = age.as_secs(), objects = archive.header.objects, "last view found");
            SystemTime::now() - age
        });
        let subscription = publisher.subscribe();
        let watch = api::spawn(config.clone(), publisher, archive)?;
        let status = watch.status();
        let keeper = state_dir.and_then(|folder| {
            let keeper = Keeper::spawn(folder, subscription, move || status.is_complete());
            keeper
                .inspect_err(|error| {
                    warn!(error = %Chain(error), "no view is kept for a restart");
                })
                .ok()
        });
        Ok(Self { watch, config, keeper, restored })
    }
}

impl Freshness {
    /// When the view was taken that counts now, while that is one that an earlier run left.
    pub(crate) fn disk_view(&self) -> Option<SystemTime> {
        let complete = self.api.as_ref().is_some_and(ApiStatus::is_complete);
        self.restored.filter(|_| !complete)
    }

    /// What is to be said of a view that is not the newest.
    pub(crate) fn remark(&self) -> Option<String> {
        let taken = self.disk_view()?;
        let taken = Timestamp::try_from(taken).map_or_else(|_| "?".to_owned(), |at| at.to_string());
        Some(format!("the view is of {taken}, from disk; the API server has not told its own yet"))
    }
}

/// The view that an earlier run left; one that cannot be used is said and ignored.
fn read_state(folder: &Path) -> Option<Archive> {
    disk::read(folder)
        .inspect_err(|error| warn!(error = %Chain(error), "last view not used"))
        .ok()
        .flatten()
}

/// Reads a folder of manifests, with everything, or a snapshot in a file, once.
pub(crate) fn load(path: &Path) -> anyhow::Result<(Arc<Snapshot>, Reports)> {
    if !path.is_file() {
        return Ok(manifests::load(path, Extras::all())?);
    }
    anyhow::ensure!(
        disk::is_snapshot(path),
        "--manifests {}: is a file and no snapshot; accepted: a folder of manifests, or what \
         `podway snapshot save` wrote",
        path.display()
    );
    let archive = disk::read_file(path).context("the snapshot cannot be used")?;
    Ok((archive.into_snapshot(), Reports::default()))
}

#[cfg(test)]
mod tests {
    use podway_cluster_model::snapshot::Snapshot;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn snapshot_without_what_is_wanted_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("snapshot");
        disk::write_file(&path, &Snapshot::default()).unwrap();
        let node = NodeName::new("node-a").unwrap();
        let start = |wanted: Wanted| {
            let place = Place { node: &node, state: None };
            Source::start(SourceConfig::Manifests(path.clone()), place, wanted, Publisher::new())
        };
        assert!(start(Wanted::default()).is_ok());
        let labels = Extras { labels: ["team".into()].into_iter().collect(), imports: false };
        for extras in [labels, Extras { imports: true, ..Extras::default() }] {
            let error = start(Wanted::new(extras)).unwrap_err().to_string();
            assert!(
                error.contains("lacks labels or imports that the Corefile asks for"),
                "{error}"
            );
        }
    }
}
