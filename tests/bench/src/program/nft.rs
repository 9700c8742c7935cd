//! Loads a ruleset in kube-proxy's shape, with `nft -f` as kube-proxy does.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::nth_change;
use super::shape::Ruleset;
use crate::measure::{self, Cost, Repeats, Sample};

/// What the loads took.
#[derive(Debug)]
pub(super) struct Loads {
    /// Everything, from nothing.
    pub(super) everything: Sample,
    /// Of it in the kernel.
    pub(super) kernel: Sample,
    /// One changed endpoint, everything else present.
    pub(super) change: Sample,
    /// Most memory that `nft` held.
    pub(super) peak_bytes: u64,
}

/// Measures the loads of `ruleset`; files are made in `folder`.
pub(super) fn measure(
    folder: &Path,
    ruleset: Ruleset,
    repeats: Repeats,
    changes: usize,
) -> Result<Loads> {
    let file = folder.join("kube-proxy.nft");
    write(&file, |out| ruleset.write_everything(out))?;
    let costs = repeats.run(|number| {
        if number > 0 {
            delete_table()?;
        }
        load(&file)
    })?;
    let change = Repeats { most: changes, ..repeats }.run(|number| {
        let (service, incarnation) = nth_change(ruleset.cluster, number)?;
        write(&file, |out| ruleset.write_change(out, service, incarnation - 1))?;
        load(&file)
    })?;
    delete_table()?;
    fs::remove_file(&file)?;
    let sample =
        |costs: &[Cost], part: fn(&Cost) -> _| Sample::new(costs.iter().map(part).collect());
    Ok(Loads {
        everything: sample(&costs, |cost| cost.wall)?,
        kernel: sample(&costs, |cost| cost.system)?,
        change: sample(&change, |cost| cost.wall)?,
        peak_bytes: costs.iter().map(|cost| cost.peak_bytes).max().unwrap_or_default(),
    })
}

fn write(file: &Path, content: impl Fn(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    content(&mut out)?;
    out.flush().with_context(|| file.display().to_string())
}

fn load(file: &Path) -> Result<Cost> {
    measure::run(Command::new("nft").args(["-f", "-"]), file)
}

fn delete_table() -> Result<()> {
    let status = Command::new("nft").args(["delete", "table", "ip", "kube-proxy"]).status()?;
    ensure!(status.success(), "nft delete table ip kube-proxy: {status}");
    Ok(())
}

/// The version that `nft` says it has.
pub(super) fn version() -> Result<String> {
    let output = Command::new("nft").arg("--version").output().context("nft cannot be started")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
