//! Kernel settings that traffic needs: looked at, and set where the operator allows it.
//!
//! Which they are and their values: kube-proxy's, but that connection tracking is lenient with TCP
//! by default. A packet that it takes for invalid is not translated, and so resets the connection
//! (kubernetes/kubernetes#74839); kube-proxy's nftables mode leaves that open on kernels before 6.1.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use tracing::{debug, error, info, warn};

#[cfg(test)]
mod tests;

/// Most tracked connections that the number of cores alone asks for, as with kube-proxy.
const MAX_SCALED: u64 = 1 << 20;

/// Where the kernel tells which cores run.
const ONLINE_CORES: &str = "/sys/devices/system/cpu/online";

/// Buckets of the connection tracking table, which is slow with more than a few entries in each.
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";

/// What the operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// What is done about a setting that is not as it should be.
    pub permission: Permission,
    /// Tracked connections for each core (`--conntrack-max-per-core`); 0 leaves the limit alone.
    pub max_per_core: u32,
    /// Least number of tracked connections (`--conntrack-min`).
    pub min: u32,
    /// Whether TCP packets outside of the window are let through (`--conntrack-tcp-be-liberal`).
    pub tcp_be_liberal: bool,
    /// How long an idle TCP connection is tracked; 0 leaves it alone.
    pub tcp_established: Duration,
    /// How long a TCP connection is tracked that one side has closed; 0 leaves it alone.
    pub tcp_close_wait: Duration,
    /// How long an unanswered UDP flow is tracked; 0 leaves it alone.
    pub udp: Duration,
    /// How long an answered UDP flow is tracked; 0 leaves it alone.
    pub udp_stream: Duration,
}

/// What is done about a setting that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permission {
    /// It is reported with the command that mends it.
    #[default]
    Report,
    /// It is set (`--set-sysctls`).
    Set,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            permission: Permission::Report,
            max_per_core: 32_768,
            min: 131_072,
            tcp_be_liberal: true,
            tcp_established: Duration::from_secs(86_400),
            tcp_close_wait: Duration::from_secs(3_600),
            udp: Duration::ZERO,
            udp_stream: Duration::ZERO,
        }
    }
}

/// One setting, and what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    setting: Setting,
    value: u64,
    rule: Rule,
    /// What goes wrong otherwise.
    why: &'static str,
}

/// A setting by the name that people set it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// As sysctl(8) spells it.
    Sysctl(&'static str),
    /// A file outside of sysctl's reach.
    File(&'static str),
}

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// This or a larger one.
    AtLeast,
    /// This one.
    Exactly,
}

impl Setting {
    fn path(self) -> PathBuf {
        match self {
            Self::Sysctl(name) => Path::new("/proc/sys").join(name.replace('.', "/")),
            Self::File(path) => PathBuf::from(path),
        }
    }
}

impl Wanted {
    fn suits(&self, found: u64) -> bool {
        match self.rule {
            Rule::AtLeast => found >= self.value,
            Rule::Exactly => found == self.value,
        }
    }
}

impl fmt::Display for Wanted {
    /// Writes the command that sets it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting {
            Setting::Sysctl(name) => write!(formatter, "sysctl -w {name}={}", self.value),
            Setting::File(path) => write!(formatter, "echo {} > {path}", self.value),
        }
    }
}

/// What packets need to reach a pod, or another node.
fn forwarding() -> Vec<Wanted> {
    // 2 means "forward, and take router advertisements" in per-interface settings.
    ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
        .map(|name| Wanted {
            setting: Setting::Sysctl(name),
            value: 1,
            rule: Rule::AtLeast,
            why: "this node does not forward packets, so Services are reachable from it only",
        })
        .into()
}

/// What connection tracking needs on a machine with so many cores.
fn conntrack(choices: &Choices, cores: u64) -> Vec<Wanted> {
    let exactly = |name, value, why| Wanted {
        setting: Setting::Sysctl(name),
        value,
        rule: Rule::Exactly,
        why,
    };
    let mut wanted = Vec::new();
    if choices.max_per_core > 0 {
        let scaled = cores.saturating_mul(choices.max_per_core.into()).min(MAX_SCALED);
        let max = scaled.max(choices.min.into());
        let at_least = |setting, value, why| Wanted { setting, value, rule: Rule::AtLeast, why };
        wanted.push(at_least(
            Setting::Sysctl("net.netfilter.nf_conntrack_max"),
            max,
            "new connections are dropped when the table of tracked ones is full",
        ));
        wanted.push(at_least(
            Setting::File(HASH_SIZE),
            max / 4,
            "a large table of tracked connections is slow with few buckets",
        ));
    }
    if choices.tcp_be_liberal {
        wanted.push(exactly(
            "net.netfilter.nf_conntrack_tcp_be_liberal",
            1,
            "a TCP packet outside of the window may reset its connection",
        ));
    }
    for (name, time, why) in [
        (
            "net.netfilter.nf_conntrack_tcp_timeout_established",
            choices.tcp_established,
            "idle TCP connections are not tracked for the time chosen",
        ),
        (
            "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
            choices.tcp_close_wait,
            "TCP connections that one side has closed are not tracked for the time chosen",
        ),
        (
            "net.netfilter.nf_conntrack_udp_timeout",
            choices.udp,
            "unanswered UDP flows are not tracked for the time chosen",
        ),
        (
            "net.netfilter.nf_conntrack_udp_timeout_stream",
            choices.udp_stream,
            "answered UDP flows are not tracked for the time chosen",
        ),
    ] {
        if !time.is_zero() {
            wanted.push(exactly(name, time.as_secs().max(1), why));
        }
    }
    wanted
}

/// Looks at the settings of forwarding.
pub(crate) fn check_forwarding(choices: &Choices) {
    forwarding().iter().for_each(|wanted| check(wanted, choices.permission, &mut Files));
}

/// Looks at the settings of connection tracking; they are there once rules that track are.
pub(crate) fn check_conntrack(choices: &Choices) {
    let cores = fs::read_to_string(ONLINE_CORES).ok().and_then(|text| count_cores(&text));
    let cores =
        cores.unwrap_or_else(|| available_parallelism().map_or(1, |cores| cores.get() as u64));
    conntrack(choices, cores)
        .iter()
        .for_each(|wanted| check(wanted, choices.permission, &mut Files));
}

/// How many cores a list such as `0-3,6` names.
fn count_cores(list: &str) -> Option<u64> {
    list.trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
            Some(last.checked_sub(first)? + 1)
        })
        .sum()
}

/// Where settings are read and written.
trait Store {
    fn read(&mut self, setting: Setting) -> io::Result<String>;
    fn write(&mut self, setting: Setting, value: u64) -> io::Result<()>;
}

/// The kernel's own files.
struct Files;

impl Store for Files {
    fn read(&mut self, setting: Setting) -> io::Result<String> {
        fs::read_to_string(setting.path())
    }

    fn write(&mut self, setting: Setting, value: u64) -> io::Result<()> {
        fs::write(setting.path(), value.to_string())
    }
}

/// Looks at one setting, and mends or reports it.
fn check(wanted: &Wanted, permission: Permission, store: &mut impl Store) {
    let setting = wanted.setting.path();
    let setting = setting.display();
    let found = match store.read(wanted.setting) {
        Ok(found) => found.trim().to_owned(),
        Err(error) => {
            debug!(%setting, %error, "setting is not there; the kernel may lack what it is for");
            return;
        }
    };
    if found.parse().is_ok_and(|found| wanted.suits(found)) {
        return;
    }
    match permission {
        Permission::Report => warn!(found, mend = %wanted, "{}", wanted.why),
        Permission::Set => match store.write(wanted.setting, wanted.value) {
            Ok(()) => info!(%setting, found, set = wanted.value, "kernel setting changed"),
            Err(error) => {
                error!(found, mend = %wanted, %error, "kernel setting cannot be set: {}", wanted.why);
            }
        },
    }
}
