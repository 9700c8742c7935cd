//! `podway snapshot`: views of a cluster as files, to keep, to look at and to plan from.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jiff::Timestamp;
use podway_cluster_archive::VERSION;
use podway_cluster_model::import::Imports;
use podway_cluster_model::label::LabelKeys;
use podway_cluster_model::service::ServiceKind;
use podway_cluster_model::snapshot::Snapshot;
use podway_cluster_watch::api::{self, ApiConfig, Timing};
use podway_cluster_watch::disk;
use podway_cluster_watch::publish::{NoView, Publisher};
use podway_cluster_watch::wanted::{Extras, Wanted};

use crate::args::{SaveArgs, SnapshotCommand};
use crate::config::{SourceConfig, resolve_source};
use crate::environment::Environment;
use crate::{inspect, source};

/// Longest wait for the API server to tell the whole view.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does what `command` says.
pub(crate) fn snapshot(command: &SnapshotCommand) -> anyhow::Result<()> {
    match command {
        SnapshotCommand::Save(args) => save(args),
        SnapshotCommand::Show { file } => show(file),
        SnapshotCommand::Replay(args) => inspect::replay(args),
    }
}

/// Writes the view of the source that the flags name.
fn save(args: &SaveArgs) -> anyhow::Result<()> {
    let (source, node) = resolve_source(&args.cluster, &args.api, &Environment::read()?)?;
    let snapshot = match source {
        SourceConfig::Manifests(path) => source::load(&path)?.0,
        SourceConfig::Api { access, endpoints } => {
            // Whoever looks at it later may want to know anything.
            let wanted = Wanted::new(Extras::all());
            from_api(ApiConfig { access, endpoints, node, wanted, timing: Timing::default() })?
        }
    };
    let bytes = disk::write_file(&args.file, &snapshot)?;
    let (file, services) = (args.file.display(), snapshot.services.size());
    writeln!(io::stdout(), "{file}: {services} Services, {bytes} bytes")?;
    Ok(())
}

/// The first whole view of the API server.
fn from_api(config: ApiConfig) -> anyhow::Result<Arc<Snapshot>> {
    let publisher = Publisher::new();
    let mut subscription = publisher.subscribe();
    let watch = api::spawn(config, publisher, None)?;
    match subscription.next_timeout(PATIENCE) {
        Ok(view) => Ok(view.snapshot),
        Err(NoView::PublisherGone) => bail!("the API server cannot be followed"),
        Err(NoView::TimedOut) => {
            let kinds = watch.status().kinds();
            let failures = kinds.iter().filter_map(|(kind, status)| {
                status.failure.as_ref().map(|failure| format!("\n  {kind}: {failure}"))
            });
            let failures: String = failures.collect();
            bail!("no whole view within {} s{failures}", PATIENCE.as_secs())
        }
    }
}

/// Prints what is in a file.
fn show(file: &Path) -> anyhow::Result<()> {
    let archive = disk::read_file(file)?;
    let header = archive.header.clone();
    let taken = UNIX_EPOCH + Duration::from_secs(header.taken_unix_seconds);
    let taken = Timestamp::try_from(taken).context("the time it was taken")?;
    let age = disk::age(&archive, SystemTime::now()).as_secs();
    let begin = Instant::now();
    let snapshot = archive.into_snapshot();
    let mut out = io::stdout().lock();
    writeln!(out, "format      {VERSION}, written by {}", header.written_by)?;
    writeln!(out, "taken       {taken}, {age} s ago")?;
    writeln!(out, "objects     {}", header.objects)?;
    writeln!(out, "services    {}", services(&snapshot))?;
    let slices = snapshot.services.values().flat_map(|entry| entry.slices.values());
    let (slices, endpoints) = slices
        .fold((0, 0), |(slices, endpoints), slice| (slices + 1, endpoints + slice.endpoints.len()));
    writeln!(out, "slices      {slices}, with {endpoints} endpoints")?;
    writeln!(out, "namespaces  {}", snapshot.namespaces.size())?;
    let nodes: Vec<_> = snapshot.nodes.keys().map(ToString::to_string).collect();
    writeln!(out, "nodes       {}", nodes.join(", "))?;
    writeln!(out, "pods        {}", snapshot.pods.size())?;
    let ranges = snapshot.service_cidrs.values().flat_map(|range| &range.cidrs);
    let ranges: Vec<_> = ranges.map(ToString::to_string).collect();
    writeln!(out, "ranges      {}", ranges.join(", "))?;
    let imported = snapshot.services.values().filter_map(|entry| entry.imported.as_ref());
    let imports = imported.filter(|imported| imported.import.is_some()).count();
    writeln!(
        out,
        "imports     {}",
        match snapshot.imports {
            Imports::Known => imports.to_string(),
            Imports::Unknown => "not known".to_owned(),
        }
    )?;
    writeln!(out, "labels      {}", labels(&snapshot.label_keys))?;
    writeln!(out, "loaded in   {} ms", begin.elapsed().as_millis())?;
    Ok(())
}

/// The labels that its objects have.
fn labels(keys: &LabelKeys) -> String {
    match keys {
        LabelKeys::All => "all".to_owned(),
        LabelKeys::Only(keys) if keys.is_empty() => "none".to_owned(),
        LabelKeys::Only(keys) => keys.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

/// The Services, counted by what stands for them.
fn services(snapshot: &Snapshot) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in snapshot.services.values() {
        let kind = match entry.service.as_ref().map(|service| &service.kind) {
            Some(ServiceKind::ClusterIp(_)) => "with ClusterIP",
            Some(ServiceKind::Headless) => "headless",
            Some(ServiceKind::ExternalName(_)) => "ExternalName",
            None => "known by slices alone",
        };
        *counts.entry(kind).or_default() += 1;
    }
    let parts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
}
