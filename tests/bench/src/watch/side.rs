//! One side on a node of the lab: podway or kube-proxy as a process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use podway_tests_lab::{Family, Lab, Place};

use super::probe::Probe;
use crate::kube_proxy;
use crate::measure;
use crate::process::Process;

/// Which program is measured.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Ours.
    Podway(PathBuf),
    /// kube-proxy with its nftables back end.
    KubeProxy(PathBuf),
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Podway(_) => "podway",
            Self::KubeProxy(_) => "kube-proxy",
        }
    }

    /// Time to leave between two changes, so that none waits for the one before.
    ///
    /// kube-proxy writes once a second at most: a change is asked for when it may write again.
    pub(super) fn pace(&self) -> Duration {
        match self {
            Self::Podway(_) => Duration::from_millis(50),
            Self::KubeProxy(_) => Duration::from_millis(1100),
        }
    }

    /// Command line on node `number` of `lab`.
    fn command(&self, lab: &Lab, number: u8) -> Vec<String> {
        match self {
            Self::Podway(program) => {
                let mut command = vec![
                    program.display().to_string(),
                    "run".to_owned(),
                    format!("--kubeconfig={}", lab.kubeconfig("podway").display()),
                    format!("--dns-listen={}", name_server(lab, number)),
                ];
                command.extend(kube_proxy::common_flags(number));
                command
            }
            Self::KubeProxy(program) => kube_proxy::command(program, lab, number),
        }
    }
}

/// Where the name server of node `number` listens.
fn name_server(lab: &Lab, number: u8) -> String {
    format!("{}:53", lab.node_ip(number, Family::V4))
}

/// A side that runs; it ends when dropped.
pub(super) struct Side<'lab> {
    number: u8,
    kind: Kind,
    process: Process<'lab>,
}

impl<'lab> Side<'lab> {
    /// Starts `kind` on node `number`; what it logs is dropped unless it fails.
    pub(super) fn start(lab: &'lab Lab, number: u8, kind: &Kind) -> Result<Self> {
        let log = lab.kubeconfig(kind.name()).with_extension("log");
        let command = kind.command(lab, number);
        let process = Process::start(lab, Place::node(number), &command, &log)?;
        Ok(Self { number, kind: kind.clone(), process })
    }

    /// Waits until everything is programmed; how long that took since its start.
    pub(super) fn wait_until_ready(&self) -> Result<Duration> {
        self.process.wait_until(|| self.is_ready())
    }

    /// Whether it has written the whole cluster once: ours says so, and kube-proxy counts.
    fn is_ready(&self) -> Result<bool> {
        Ok(match self.kind {
            Kind::Podway(_) => self.process.ask("http://127.0.0.1:10256/readyz")?.is_some(),
            Kind::KubeProxy(_) => self
                .process
                .ask(kube_proxy::METRICS)?
                .is_some_and(|text| kube_proxy::has_synced(&text)),
        })
    }

    /// The listener beside it.
    pub(super) fn probe(&self) -> Result<Probe> {
        let own = std::env::current_exe()?.display().to_string();
        let Process { lab, place, .. } = &self.process;
        let server = name_server(lab, self.number);
        let command = [own.as_str(), "watch-probe", &server];
        Probe::new(lab.spawn(place, &command)?)
    }

    /// Processor time of it and of the children that have ended: kube-proxy writes by `nft`.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let stat = self.process.proc("stat")?;
        let ticks = measure::ticks_with_children(&stat).context("a line of stat")?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the length of a clock tick")?;
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::try_from(per_second)?;
        Ok(Duration::from_nanos(u64::try_from(nanoseconds)?))
    }

    /// Memory that it holds.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        measure::labelled_bytes(&self.process.proc("status")?, "VmRSS:").context("no VmRSS")
    }

    /// Most memory that it has held.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        measure::labelled_bytes(&self.process.proc("status")?, "VmHWM:").context("no VmHWM")
    }

    /// Ends it and waits for its end.
    pub(super) fn stop(self) -> Result<()> {
        self.process.stop()
    }
}
