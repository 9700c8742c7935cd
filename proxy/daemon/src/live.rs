//! The configuration file while the daemon runs: looked at every second, taken over where it can be.
//!
//! A file that cannot be used leaves everything as it is. What rules follow is taken over at once; the
//! rest is named and waits for a restart. Addresses of the node, its pod ranges and its zone are not
//! configuration: they follow the Node object by themselves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use podway_proxy_plan::policy::NodePortAddresses;
use podway_proxy_sync::Inquirer;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::args::RunArgs;
use crate::config::{Config, FlagErrors};
use crate::config_file::{self, Merged, Reading};
use crate::environment::Environment;

/// How often the file is looked at.
///
/// 1 s: looking is one system call, and it sees the swapped links of a ConfigMap as well as a file
/// that was written in place.
const LOOK: Duration = Duration::from_secs(1);

/// Most bytes of a configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// Flags that rules follow.
const LIVE: [&str; 13] = [
    "--allow-external-ips",
    "--cluster-cidr",
    "--conntrack-bypass",
    "--detect-local-mode",
    "--masquerade-all",
    "--masquerade-bit",
    "--nodeport-addresses",
    "--pod-bridge-interface",
    "--pod-interface-name-prefix",
    "--proxy-mode",
    "--reset-dead-tcp",
    "--service-cidrs",
    "--unknown-service-ports",
];

/// What a changed configuration is told to.
pub(crate) struct Live {
    /// The sync loop.
    pub(crate) inquirer: Inquirer,
    /// Servers at node ports.
    pub(crate) node_ports: watch::Sender<NodePortAddresses>,
}

impl Live {
    /// Takes over what is live of `config`; whether rules followed.
    async fn take(&self, config: Config) -> bool {
        let policy = config.proxy.policy;
        self.node_ports.send_replace(policy.node_ports.clone());
        self.inquirer.set_policy(policy, config.proxy.masquerade_bit).await
    }
}

/// Where the configuration comes from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The command line.
    line: Vec<OsString>,
    file: Option<Followed>,
}

/// The file, as it was last read.
#[derive(Debug)]
struct Followed {
    path: PathBuf,
    stamp: Option<Stamp>,
    reading: Reading,
}

/// What changes with the content of a file.
type Stamp = (u64, u64, i64, i64);

/// Resolves the flags, and the file that they name.
pub(crate) fn resolve(
    args: &RunArgs,
    line: Vec<OsString>,
    environment: &Environment,
) -> anyhow::Result<(Config, Origin)> {
    let Some(path) = &args.config else {
        return Ok((Config::resolve(args, environment)?, Origin { line, file: None }));
    };
    let path = PathBuf::from(path);
    let stamp = stamp(&path);
    let (config, reading) = read(&path, &line, environment)?;
    Ok((config, Origin { line, file: Some(Followed { path, stamp, reading }) }))
}

/// Reads the file and resolves everything.
fn read(
    path: &Path,
    line: &[OsString],
    environment: &Environment,
) -> anyhow::Result<(Config, Reading)> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    file.with_context(|| format!("--config {} cannot be read", path.display()))?;
    let bytes = text.len();
    anyhow::ensure!(
        u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_BYTES),
        "--config {}: has more than {MAX_BYTES} bytes",
        path.display()
    );
    let Merged { args, reading } = config_file::merge(line, &text)?;
    let located = |errors: FlagErrors| errors.of_file(&path.display().to_string(), &reading);
    let config = Config::resolve(&args, environment).map_err(located)?;
    if reading.mistakes.is_empty() {
        Ok((config, reading))
    } else {
        Err(located(FlagErrors::default()).into())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

impl Origin {
    /// Says what of the file means nothing here.
    pub(crate) fn log(&self) {
        if let Some(Followed { path, reading, .. }) = &self.file {
            let file = path.display();
            info!(%file, settings = reading.settings.len(), "configuration read");
            for remark in &reading.remarks {
                warn!(%file, %remark, "field of the configuration has no effect");
            }
        }
    }

    /// Follows the file for ever.
    pub(crate) async fn follow(mut self, live: Live) {
        let Some(mut followed) = self.file.take() else { return std::future::pending().await };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = stamp(&followed.path);
            // A file that is gone for a moment is being replaced.
            if now.is_some() && now != followed.stamp {
                followed.stamp = now;
                self.take_over(&mut followed, &live).await;
            }
        }
    }

    async fn take_over(&self, followed: &mut Followed, to: &Live) {
        let file = followed.path.display();
        let read = Environment::read().and_then(|now| read(&followed.path, &self.line, &now));
        let (config, reading) = match read {
            Ok(read) => read,
            Err(error) => {
                error!(%file, error = format!("{error:#}"), "configuration not taken over");
                return;
            }
        };
        let changed = changed(&followed.reading, &reading);
        let is_live = |flag: &&String| LIVE.contains(&flag.as_str());
        let live: Vec<_> = changed.iter().filter(is_live).cloned().collect();
        let later: Vec<_> = changed.iter().filter(|flag| !is_live(flag)).cloned().collect();
        if !live.is_empty() {
            let told = to.take(config).await;
            info!(%file, flags = live.join(", "), told, "configuration taken over");
        }
        if !later.is_empty() {
            let flags = later.join(", ");
            warn!(%file, flags, "configuration changed; these flags count after a restart");
        }
        followed.reading = reading;
    }
}

/// The flags whose values differ.
fn changed(before: &Reading, after: &Reading) -> BTreeSet<String> {
    let flags = before.settings.iter().chain(&after.settings).map(|setting| &setting.flag);
    let values = |reading: &Reading, flag: &String| -> Vec<String> {
        let of_flag = reading.settings.iter().filter(|setting| setting.flag == *flag);
        of_flag.map(|setting| setting.value.clone()).collect()
    };
    flags.filter(|flag| values(before, flag) != values(after, flag)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::{Place, Setting};

    fn reading(settings: &[(&str, &str)]) -> Reading {
        let settings = settings.iter().map(|(flag, value)| Setting {
            flag: (*flag).to_owned(),
            value: (*value).to_owned(),
            field: String::new(),
            place: Place::default(),
        });
        Reading { settings: settings.collect(), ..Reading::default() }
    }

    #[test]
    fn flags_that_came_changed_or_went_are_named() {
        let before = reading(&[("--a", "1"), ("--b", "1"), ("--c", "1")]);
        let after = reading(&[("--b", "1"), ("--c", "1"), ("--c", "2"), ("--d", "1")]);
        let named: Vec<_> = changed(&before, &after).into_iter().collect();
        assert_eq!(named, ["--a", "--c", "--d"]);
        assert!(changed(&after, &after).is_empty());
    }
}
