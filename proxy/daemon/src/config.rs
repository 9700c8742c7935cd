//! Flags, resolved and checked: what exists here is valid.
//!
//! All that is wrong is reported at once, each with its flag, the value found and what is accepted.
//! Defaults that depend on the host come from an [`Environment`], which tests make up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use podway_cluster_model::name::NodeName;
use podway_dns_zone::ZoneConfig;
use podway_proxy_plan::policy::Policy;
use podway_proxy_sync::sysctl;
use tracing_subscriber::filter::Targets;

use crate::args::{AdminArgs, ApiArgs, ClusterArgs, LogArgs, NodeLocalArgs, ProxyArgs, RunArgs};
use crate::config_file::Reading;
use crate::environment::Environment;
use crate::node_local::NodeLocalConfig;

mod dns;
mod kernel;
mod node_local;
mod parse;
mod proxy;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use self::dns::{CorefileSource, DnsConfig};
pub(crate) use self::source::SourceConfig;

/// kube-proxy's port for health checks of the node.
const HEALTHZ_PORT: u16 = 10256;

/// kube-proxy's port for metrics.
const METRICS_PORT: u16 = 10249;

/// Everything `podway run` needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) source: SourceConfig,
    pub(crate) cluster: ClusterConfig,
    pub(crate) proxy: ProxyConfig,
    pub(crate) kernel: sysctl::Choices,
    pub(crate) dns: DnsConfig,
    /// What of the cluster's DNS is answered on this node, if anything.
    pub(crate) node_local: Option<NodeLocalConfig>,
    pub(crate) admin: AdminConfig,
    pub(crate) log: LogConfig,
}

/// Who we are in the cluster.
#[derive(Debug)]
pub(crate) struct ClusterConfig {
    /// This node.
    pub(crate) node: NodeName,
    /// The zones that are answered.
    pub(crate) zone: ZoneConfig,
}

/// How traffic is treated.
#[derive(Debug)]
pub(crate) struct ProxyConfig {
    /// Which back ends carry traffic.
    pub(crate) mode: ProxyMode,
    /// The cgroup whose sockets eBPF translates; `None` for the true root.
    pub(crate) cgroup_root: Option<PathBuf>,
    /// The bpffs that eBPF pins on.
    pub(crate) bpffs_root: PathBuf,
    /// What the operator chose for the whole node.
    pub(crate) policy: Policy,
    /// Bit of the packet mark that asks for masquerading, 0..=31.
    pub(crate) masquerade_bit: u8,
    /// Addresses found on the interfaces.
    pub(crate) interfaces: Vec<IpAddr>,
    /// What becomes of node ports at loopback addresses.
    pub(crate) loopback: LoopbackNodePorts,
}

/// Which back ends carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyMode {
    /// nftables, and eBPF before it where that can be used.
    Auto,
    /// nftables alone.
    Nftables,
    /// nftables, and eBPF before it; where that cannot be used, the daemon does not start.
    Ebpf,
}

/// What becomes of node ports at loopback addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopbackNodePorts {
    /// Nobody serves them.
    Closed,
    /// They are forwarded in user space.
    Forwarded,
}

/// Where the daemon tells how it is.
#[derive(Debug)]
pub(crate) struct AdminConfig {
    /// Where health is served, if anywhere.
    pub(crate) healthz: Option<SocketAddr>,
    /// Where metrics are served, if anywhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// What happens when one of them cannot be bound.
    pub(crate) bind_failure: BindFailure,
    /// Socket where probes of the own container are answered, if anywhere.
    pub(crate) probe_socket: Option<PathBuf>,
    /// Folder of what outlives the process, if there is one.
    pub(crate) state: Option<PathBuf>,
}

/// What happens when an address of ours cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindFailure {
    /// The daemon stops.
    Fatal,
    /// It is tried again while everything else works.
    Retried,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub(crate) struct LogConfig {
    /// Which events are logged.
    pub(crate) levels: Targets,
    /// Form of a line.
    pub(crate) format: LogFormat,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// One flag with a value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagError {
    flag: &'static str,
    value: String,
    reason: String,
    accepted: &'static str,
    /// Where it stands, if it came from a file.
    place: Option<String>,
}

impl fmt::Display for FlagError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flag, value, reason, accepted, place } = self;
        if let Some(place) = place {
            write!(formatter, "{place}: ")?;
        }
        write!(formatter, "{flag} {value:?}: {reason}; accepted: {accepted}")
    }
}

/// Every flag that is wrong, and every other mistake of the file that flags came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FlagErrors(Vec<FlagError>, Vec<String>);

impl std::error::Error for FlagErrors {}

impl fmt::Display for FlagErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(flags, mistakes) = self;
        match (flags.as_slice(), mistakes.as_slice()) {
            ([one], []) => write!(formatter, "{one}"),
            ([], [one]) => write!(formatter, "{one}"),
            (flags, []) => write!(formatter, "{} flags are wrong:", flags.len()),
            (flags, mistakes) => {
                write!(formatter, "{} mistakes:", flags.len() + mistakes.len())
            }
        }?;
        if flags.len() + mistakes.len() > 1 {
            mistakes.iter().try_for_each(|mistake| write!(formatter, "\n  {mistake}"))?;
            flags.iter().try_for_each(|error| write!(formatter, "\n  {error}"))?;
        }
        Ok(())
    }
}

impl FlagErrors {
    /// Keeps the error of `result`, if it is one, and goes on.
    fn keep<T>(&mut self, result: Result<T, FlagError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    /// Keeps every error of `results`; the good values go on.
    fn keep_all<T>(&mut self, results: impl Iterator<Item = Result<T, FlagError>>) -> Vec<T> {
        results.filter_map(|result| self.keep(result)).collect()
    }

    /// Adds where the values of a file stand, and what else is wrong with it.
    pub(crate) fn of_file(mut self, file: &str, reading: &Reading) -> Self {
        for error in &mut self.0 {
            let setting = reading
                .settings
                .iter()
                .find(|setting| setting.flag == error.flag && setting.value.contains(&error.value));
            error.place =
                setting.map(|setting| format!("{file}:{}: {}", setting.place, setting.field));
        }
        self.1 = reading.mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect();
        self
    }

    /// `value` if all of it was there and nothing was wrong.
    fn unless_any<T>(self, value: Option<T>) -> Result<T, Self> {
        value.filter(|_| self.0.is_empty()).ok_or(self)
    }
}

impl Config {
    /// Resolves the flags of `podway run`.
    pub(crate) fn resolve(args: &RunArgs, environment: &Environment) -> Result<Self, FlagErrors> {
        let mut errors = FlagErrors::default();
        let manifests = args.cluster.manifests.as_deref();
        let source = source::source(manifests, &args.api, environment, &mut errors);
        let cluster = cluster(&args.cluster, environment, &mut errors);
        let mut proxy = proxy::proxy(&args.proxy, environment, &mut errors);
        let node_local = node_local::node_local(&args.node_local, &mut proxy, &mut errors);
        let kernel = kernel::kernel(&args.kernel, &mut errors);
        let mut dns = dns::dns(&args.dns, &args.cluster, environment, &mut errors);
        dns.search_paths.node = cluster.as_ref().map(|cluster| cluster.node.clone());
        let admin = admin(&args.admin, &mut errors);
        let log = log(&args.log, &mut errors);
        let config = (|| {
            let (source, cluster, proxy, kernel) = (source?, cluster?, proxy?, kernel?);
            let (admin, log) = (admin?, log?);
            Some(Self { source, cluster, proxy, kernel, dns, node_local, admin, log })
        })();
        errors.unless_any(config)
    }
}

/// Resolves the flags of `podway plan`.
///
/// The addresses of this machine's interfaces count only where the plan is for this machine.
pub(crate) fn resolve_plan(
    cluster_args: &ClusterArgs,
    flags: (&ProxyArgs, &NodeLocalArgs),
    environment: &Environment,
) -> Result<(PathBuf, ClusterConfig, ProxyConfig), FlagErrors> {
    let mut errors = FlagErrors::default();
    let manifests = errors.keep(parse::manifests(cluster_args.manifests.as_deref()));
    let both = plan_of(cluster_args, flags, environment, &mut errors);
    errors.unless_any(manifests.zip(both).map(|(path, (cluster, proxy))| (path, cluster, proxy)))
}

/// Resolves the flags of `podway snapshot replay`, which names its file otherwise.
pub(crate) fn resolve_replay(
    cluster_args: &ClusterArgs,
    flags: (&ProxyArgs, &NodeLocalArgs),
    environment: &Environment,
) -> Result<(ClusterConfig, ProxyConfig), FlagErrors> {
    let mut errors = FlagErrors::default();
    let both = plan_of(cluster_args, flags, environment, &mut errors);
    errors.unless_any(both)
}

fn plan_of(
    cluster_args: &ClusterArgs,
    (proxy_args, node_local_args): (&ProxyArgs, &NodeLocalArgs),
    environment: &Environment,
    errors: &mut FlagErrors,
) -> Option<(ClusterConfig, ProxyConfig)> {
    let cluster = cluster(cluster_args, environment, errors);
    let mut proxy = proxy::proxy(proxy_args, environment, errors);
    node_local::node_local(node_local_args, &mut proxy, errors);
    let this_machine = parse::node_name(None, &environment.host_name).ok();
    if let (Some(cluster), Some(proxy)) = (&cluster, &mut proxy)
        && this_machine.as_ref() != Some(&cluster.node)
    {
        proxy.interfaces.clear();
    }
    cluster.zip(proxy)
}

/// Resolves the flags of `podway snapshot save`.
pub(crate) fn resolve_source(
    cluster_args: &ClusterArgs,
    api: &ApiArgs,
    environment: &Environment,
) -> Result<(SourceConfig, NodeName), FlagErrors> {
    let mut errors = FlagErrors::default();
    let manifests = cluster_args.manifests.as_deref();
    let source = source::source(manifests, api, environment, &mut errors);
    let cluster = cluster(cluster_args, environment, &mut errors);
    errors.unless_any(source.zip(cluster.map(|cluster| cluster.node)))
}

fn cluster(
    args: &ClusterArgs,
    environment: &Environment,
    errors: &mut FlagErrors,
) -> Option<ClusterConfig> {
    let node =
        errors.keep(parse::node_name(args.hostname_override.as_deref(), &environment.host_name));
    let zone =
        errors.keep(parse::cluster_domain(args.cluster_domain.as_deref().unwrap_or(dns::DOMAIN)));
    Some(ClusterConfig { node: node?, zone: zone? })
}

/// The addresses that queries reach us at: listening everywhere means every interface.
fn own_addresses(listen: &[SocketAddr], interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    let everywhere = listen.iter().filter(|address| address.ip().is_unspecified());
    let on_interfaces = everywhere.flat_map(|address| {
        interfaces
            .iter()
            .filter(|interface| interface.is_ipv4() == address.is_ipv4())
            .map(|interface| SocketAddr::new(*interface, address.port()))
    });
    listen.iter().copied().chain(on_interfaces).collect()
}

fn admin(args: &AdminArgs, errors: &mut FlagErrors) -> Option<AdminConfig> {
    let healthz = errors.keep(parse::bind_address(
        "--healthz-bind-address",
        &args.healthz_bind_address,
        HEALTHZ_PORT,
    ));
    let metrics = errors.keep(parse::bind_address(
        "--metrics-bind-address",
        &args.metrics_bind_address,
        METRICS_PORT,
    ));
    let hard = errors.keep(parse::switch("--bind-address-hard-fail", &args.bind_address_hard_fail));
    let bind_failure = if hard? { BindFailure::Fatal } else { BindFailure::Retried };
    let probe_socket = args.probe_socket.clone();
    let state = Some(args.state_dir.clone()).filter(|folder| !folder.as_os_str().is_empty());
    Some(AdminConfig { healthz: healthz?, metrics: metrics?, bind_failure, probe_socket, state })
}

/// Where the flag of `podway events` says that the running daemon tells how it is.
pub(crate) fn resolve_metrics_address(text: &str) -> Result<Option<SocketAddr>, FlagErrors> {
    let mut errors = FlagErrors::default();
    let address = errors.keep(parse::bind_address("--metrics-bind-address", text, METRICS_PORT));
    errors.unless_any(address)
}

fn log(args: &LogArgs, errors: &mut FlagErrors) -> Option<LogConfig> {
    let levels = errors.keep(parse::log_levels(&args.log_level));
    let format = errors.keep(parse::log_format(&args.log_format));
    Some(LogConfig { levels: levels?, format: format? })
}
