//! One side on a node of the lab: podway or kube-proxy as a process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::unistd::{SysconfVar, sysconf};
use podway_tests_lab::{CLUSTER_CIDRS, Family, Lab, Place, Running, node_name};

use super::probe::Probe;
use crate::measure;

/// Longest time to be ready: kube-proxy's first transaction takes tens of seconds.
const READY_LIMIT: Duration = Duration::from_secs(600);

/// Pause between two looks: the resolution of the time to be ready.
const PAUSE: Duration = Duration::from_millis(100);

/// When kube-proxy last wrote IPv4 rules: zero or absent until it has written them all once.
const LAST_SYNC: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} ";

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
        let (program, flags): (&Path, Vec<String>) = match self {
            Self::Podway(program) => (
                program,
                vec![
                    "run".to_owned(),
                    format!("--kubeconfig={}", lab.kubeconfig("podway").display()),
                    format!("--dns-listen={}", name_server(lab, number)),
                ],
            ),
            Self::KubeProxy(program) => (
                program,
                vec![
                    "--proxy-mode=nftables".to_owned(),
                    format!("--kubeconfig={}", lab.kubeconfig("admin").display()),
                    // The lab's kernel settings are the lab's.
                    "--conntrack-max-per-core=0".to_owned(),
                    "--conntrack-tcp-timeout-established=0s".to_owned(),
                    "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
                ],
            ),
        };
        let mut command = vec![program.display().to_string()];
        command.extend(flags);
        command.push(format!("--hostname-override={}", node_name(number)));
        command.push(format!("--cluster-cidr={}", CLUSTER_CIDRS.join(",")));
        command.push("--healthz-bind-address=0.0.0.0:10256".to_owned());
        command.push("--metrics-bind-address=127.0.0.1:10249".to_owned());
        command
    }
}

/// Whether the metrics of kube-proxy say that it has written its rules.
fn has_synced(metrics: &str) -> bool {
    let value = metrics.lines().find_map(|line| line.strip_prefix(LAST_SYNC)?.parse::<f64>().ok());
    value.is_some_and(|time| time > 0.0)
}

/// Where the name server of node `number` listens.
fn name_server(lab: &Lab, number: u8) -> String {
    format!("{}:53", lab.node_ip(number, Family::V4))
}

/// A side that runs; it ends when dropped.
pub(super) struct Side<'lab> {
    lab: &'lab Lab,
    number: u8,
    kind: Kind,
    began: Instant,
    /// Its number among the lab's processes.
    process: String,
    running: Running,
}

impl<'lab> Side<'lab> {
    /// Starts `kind` on node `number`; what it logs is dropped unless it fails.
    pub(super) fn start(lab: &'lab Lab, number: u8, kind: &Kind) -> Result<Self> {
        // The shell tells its number and becomes the program.
        let log = lab.kubeconfig(kind.name()).with_extension("log").display().to_string();
        let script = format!("echo $$; exec \"$@\" >{log} 2>&1");
        let command = kind.command(lab, number);
        let mut words = vec!["sh", "-c", &script, "sh"];
        words.extend(command.iter().map(String::as_str));
        let began = Instant::now();
        let mut running = lab.spawn(&Place::node(number), &words)?;
        let output = running.stdout.take().context("a shell without output")?;
        let mut process = String::new();
        BufReader::new(output).read_line(&mut process)?;
        Ok(Self {
            lab,
            number,
            kind: kind.clone(),
            began,
            process: process.trim().to_owned(),
            running,
        })
    }

    /// Waits until everything is programmed; how long that took since its start.
    pub(super) fn wait_until_ready(&self) -> Result<Duration> {
        while !self.is_ready()? {
            self.is_alive()?;
            ensure!(self.began.elapsed() < READY_LIMIT, "it is not ready");
            thread::sleep(PAUSE);
        }
        Ok(self.began.elapsed())
    }

    /// Whether it has written the whole cluster once: ours says so, and kube-proxy counts.
    fn is_ready(&self) -> Result<bool> {
        let url = match self.kind {
            Kind::Podway(_) => "http://127.0.0.1:10256/readyz",
            Kind::KubeProxy(_) => "http://127.0.0.1:10249/metrics",
        };
        let command = ["curl", "-gsSf", "--max-time", "5", url];
        let output = self.lab.exec(&Place::node(self.number), &command)?;
        Ok(output.success()
            && match self.kind {
                Kind::Podway(_) => true,
                Kind::KubeProxy(_) => has_synced(&output.stdout),
            })
    }

    /// Fails when it has ended.
    fn is_alive(&self) -> Result<()> {
        self.proc("stat").map(drop).context("it has ended")
    }

    /// The listener beside it.
    pub(super) fn probe(&self) -> Result<Probe> {
        let own = std::env::current_exe()?.display().to_string();
        let server = name_server(self.lab, self.number);
        let command = [own.as_str(), "watch-probe", &server];
        Probe::new(self.lab.spawn(&Place::node(self.number), &command)?)
    }

    /// Processor time of it and of the children that have ended: kube-proxy writes by `nft`.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let ticks = measure::ticks_with_children(&self.proc("stat")?).context("a line of stat")?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the length of a clock tick")?;
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::try_from(per_second)?;
        Ok(Duration::from_nanos(u64::try_from(nanoseconds)?))
    }

    /// Memory that it holds.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        measure::labelled_bytes(&self.proc("status")?, "VmRSS:").context("no VmRSS")
    }

    /// Most memory that it has held.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        measure::labelled_bytes(&self.proc("status")?, "VmHWM:").context("no VmHWM")
    }

    /// A file of its folder in /proc.
    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.process);
        self.lab.exec(&Place::node(self.number), &["cat", &path])?.checked()
    }

    /// Ends it and waits for its end.
    pub(super) fn stop(self) -> Result<()> {
        let command = ["kill", self.process.as_str()];
        self.lab.exec(&Place::node(self.number), &command)?.checked()?;
        self.running.wait().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_proxy_is_ready_when_it_has_written_its_rules_once() {
        let rows = [
            ("# TYPE a gauge", false),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 0", false),
            (
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"} 1.7e+09",
                false,
            ),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 1.7e+09", true),
        ];
        for (metrics, ready) in rows {
            assert_eq!(has_synced(metrics), ready, "{metrics}");
        }
    }
}
