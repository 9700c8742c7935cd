//! Flags as typed: nothing is read, checked or computed here, that is `config`'s part.
//!
//! Where kube-proxy has a flag for the same thing, ours has its name and meaning. Values are kept as
//! text, so that `config` can report everything that is wrong with them at once.

use std::ffi::OsString;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

mod api;
mod events;
mod migrate;
mod snapshot;

pub(crate) use api::ApiArgs;
pub(crate) use events::{EventOutput, EventsArgs};
pub(crate) use migrate::MigrateArgs;
pub(crate) use snapshot::{ReplayArgs, SaveArgs, SnapshotCommand};

/// Kubernetes Services and names, served by one process per node.
#[derive(Debug, Parser)]
#[command(name = "podway", version, disable_help_subcommand = true)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Program this node's kernel and answer its DNS queries until told to stop.
    Run(Box<RunArgs>),
    /// Print what would be programmed; needs no privileges and touches nothing.
    ///
    /// Addresses of this machine count only where the plan is for this machine; another node's are
    /// taken from its Node object.
    Plan(Box<PlanArgs>),
    /// Remove everything that podway ever put into the kernel, and nothing else.
    Cleanup(CleanupArgs),
    /// Ask the podway of this container whether it is alive or ready; for exec probes.
    ///
    /// Prints its reply and fails unless that is a yes.
    Probe(ProbeArgs),
    /// Print which socket of which pod went to which endpoint of which Service, as it happens.
    ///
    /// Of sockets that the running podway translates by eBPF, for as long as this command runs. Names
    /// of pods take a look into their network namespaces, for which the machine's processes have to
    /// be seen (hostPID).
    Events(EventsArgs),
    /// Write the view of a cluster to a file, look at one, or plan from one.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Print our configuration made from kube-proxy's and CoreDNS's, and what changes with it.
    Migrate(Box<MigrateArgs>),
    /// Print what a Corefile means, or every mistake in it.
    Corefile(CorefileArgs),
    /// Print the version.
    Version,
    /// Use a Service from inside of a cgroup: the helper of the trial at the start.
    #[command(hide = true)]
    SocketTrial(SocketTrialArgs),
}

/// Flags of `podway cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// The bpffs where eBPF programs and maps are pinned [default: /sys/fs/bpf, where that is this
    /// node's].
    #[arg(long, value_name = "DIR")]
    pub(crate) bpffs_root: Option<PathBuf>,
}

/// Flags of `podway socket-trial`.
#[derive(Debug, Args)]
pub(crate) struct SocketTrialArgs {
    /// The cgroup to enter.
    pub(crate) cgroup: PathBuf,
}

/// Flags of `podway corefile`.
#[derive(Debug, Args)]
pub(crate) struct CorefileArgs {
    /// The Corefile.
    pub(crate) file: PathBuf,
    /// Leave out plugins that are not supported, with a warning, instead of refusing them.
    #[arg(long)]
    pub(crate) corefile_lenient: bool,
}

/// Flags of `podway probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// What to ask.
    #[arg(value_enum)]
    pub(crate) question: Question,
    /// The socket that `run --probe-socket` was given.
    #[arg(long, value_name = "FILE")]
    pub(crate) probe_socket: PathBuf,
}

/// What `podway probe` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// Whether the kernel follows.
    Live,
    /// Whether nothing is awaited any more.
    Ready,
}

/// Flags of `podway run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// File with a KubeProxyConfiguration, or with flags by name (kind PodwayConfiguration).
    ///
    /// Flags of the command line beat it. It is looked at every second; what can be taken over
    /// without a restart is, and the log names what cannot.
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<OsString>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    #[command(flatten)]
    pub(crate) dns: DnsArgs,
    #[command(flatten)]
    pub(crate) node_local: NodeLocalArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Flags of `podway plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
    #[command(flatten)]
    pub(crate) node_local: NodeLocalArgs,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// How `podway plan` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Frontends and their endpoints, for people.
    Table,
    /// The nftables tables as `nft` would list them.
    Nft,
    /// Frontends and their endpoints, for programs.
    Json,
    /// The DNS names with their records.
    Zone,
}

/// Where the cluster is described, and who we are in it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Folder of *.yaml, *.yml and *.json manifests, followed as they change; or a file that
    /// `podway snapshot save` wrote.
    #[arg(long, value_name = "DIR")]
    pub(crate) manifests: Option<OsString>,
    /// Name of this node, as endpoints carry it [default: the host name in lower case].
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname_override: Option<String>,
    /// Domain that the names of the cluster end in [default: cluster.local].
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) cluster_domain: Option<String>,
}

/// How traffic is treated.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Proxy")]
pub(crate) struct ProxyArgs {
    /// How packets are sent to endpoints: auto, nftables or ebpf.
    ///
    /// eBPF translates sockets as they are connected, before nftables, which stays complete. With
    /// auto it is used where a trial at the start passes.
    #[arg(long, value_name = "MODE", default_value = "nftables")]
    pub(crate) proxy_mode: String,
    /// Keep TCP and UDP between pods out of connection tracking; only with eBPF and --cluster-cidr.
    ///
    /// Who is seen to be translated by rules is tracked. Not for networks whose policies are enforced
    /// by connection tracking, nor with a --cluster-cidr in which others than pods have addresses.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) conntrack_bypass: String,
    /// Cgroup whose sockets eBPF translates [default: the true root of cgroup v2].
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup_root: Option<PathBuf>,
    /// The bpffs where eBPF programs and maps are pinned, in a folder "podway".
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs_root: PathBuf,
    /// Addresses of the cluster's pods: one CIDR, or one of each family with a comma between.
    ///
    /// Traffic to ClusterIPs from anywhere else is masqueraded.
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub(crate) cluster_cidr: Option<String>,
    /// How pods are told from other clients: ClusterCIDR, NodeCIDR, BridgeInterface or
    /// InterfaceNamePrefix.
    ///
    /// By addresses of the cluster, by those that the Node object gives to this node's pods, or by
    /// the interface that packets come in by.
    #[arg(long, value_name = "MODE", default_value = "ClusterCIDR")]
    pub(crate) detect_local_mode: String,
    /// Bridge of this node's pods, for BridgeInterface.
    #[arg(long, value_name = "NAME")]
    pub(crate) pod_bridge_interface: Option<String>,
    /// What the names of the pods' interfaces begin with, for InterfaceNamePrefix.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) pod_interface_name_prefix: Option<String>,
    /// Masquerade all traffic to ClusterIPs.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) masquerade_all: String,
    /// Bit of the packet mark that asks for masquerading, 0 to 31.
    #[arg(long, alias = "iptables-masquerade-bit", value_name = "BIT", default_value = "14")]
    pub(crate) masquerade_bit: String,
    /// Node addresses that accept node ports: CIDRs; "primary" for the first of each family; "all";
    /// "localhost" for those at loopback, as with --localhost-node-ports.
    ///
    /// A family that nothing of the list names has no node ports.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', default_value = "primary")]
    pub(crate) nodeport_addresses: Vec<String>,
    /// Range of which Services may claim externalIPs (repeatable); without it none may.
    #[arg(long = "allow-external-ips", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) allow_external_ips: Vec<String>,
    /// Ranges that ClusterIPs are given out of: what no Service has of them is dropped.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',')]
    pub(crate) service_cidrs: Vec<String>,
    /// What happens at ports that the Service of a ClusterIP does not have: reject, or ignore to
    /// leave packets to routing.
    #[arg(long, value_name = "ACTION", default_value = "reject")]
    pub(crate) unknown_service_ports: String,
    /// Serve node ports for TCP and UDP at 127.0.0.1 and ::1 too, by forwarding in user space.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) localhost_node_ports: String,
    /// Reset TCP connections to endpoints that are gone, instead of letting clients find out.
    ///
    /// Gone is an endpoint that has been in no EndpointSlice for 10 s. A connection is reset when its
    /// client next sends something.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) reset_dead_tcp: String,
}

/// What the kernel's settings should be.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Kernel settings")]
pub(crate) struct KernelArgs {
    /// Set what is not as it should be, instead of reporting the command that does.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) set_sysctls: String,
    /// Least number of tracked connections for each core; 0 leaves the limit alone.
    #[arg(long, value_name = "NUMBER", default_value = "32768")]
    pub(crate) conntrack_max_per_core: String,
    /// Least number of tracked connections, whatever the number of cores.
    #[arg(long, value_name = "NUMBER", default_value = "131072")]
    pub(crate) conntrack_min: String,
    /// Let TCP packets outside of the window through instead of leaving them untranslated.
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) conntrack_tcp_be_liberal: String,
    /// How long an idle TCP connection is tracked; 0 leaves it alone.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) conntrack_tcp_timeout_established: String,
    /// How long a TCP connection is tracked that one side has closed; 0 leaves it alone.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) conntrack_tcp_timeout_close_wait: String,
    /// How long an unanswered UDP flow is tracked; 0 leaves it alone.
    #[arg(long, value_name = "TIME", default_value = "0")]
    pub(crate) conntrack_udp_timeout: String,
    /// How long an answered UDP flow is tracked; 0 leaves it alone.
    #[arg(long, value_name = "TIME", default_value = "0")]
    pub(crate) conntrack_udp_timeout_stream: String,
}

/// Where names are answered, and who is asked for the others.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "DNS")]
pub(crate) struct DnsArgs {
    /// Where to answer DNS queries over UDP and TCP (repeatable)
    /// [default: 127.0.0.1:53; with --corefile: everywhere, or as `bind` says].
    ///
    /// Pods reach a node through its address: give that one too where they should ask podway. Beside
    /// a Corefile it is where server blocks without `bind` answer.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns_listen: Vec<String>,
    /// Whom to ask for names outside of the cluster (repeatable)
    /// [default: the name servers of /etc/resolv.conf].
    #[arg(long, value_name = "ADDR[:PORT]")]
    pub(crate) dns_upstream: Vec<String>,
    /// CoreDNS's configuration, followed as it and its imports change; a bad change changes nothing.
    ///
    /// Without it names are answered as kubeadm's Corefile has it.
    #[arg(long, value_name = "FILE")]
    pub(crate) corefile: Option<PathBuf>,
    /// Leave out what of the Corefile is not supported, with a warning, instead of refusing it.
    #[arg(long)]
    pub(crate) corefile_lenient: bool,
    /// Answer the first name of a pod's search path with what the rest of the path finds.
    ///
    /// For pods of this node, by the plugin autopath; names of pods are verified then. A name outside
    /// of the cluster costs a pod one query instead of four or more.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) dns_autopath: String,
    /// Networks whose clients are answered (CIDRs, or "private" for the private ranges), beside the
    /// addresses of this cluster's nodes and pods; others get no reply.
    #[arg(long, value_name = "CIDRS", value_delimiter = ',', default_value = "private")]
    pub(crate) dns_allow_from: Vec<String>,
}

/// Which DNS addresses of the cluster this node answers itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Node-local DNS")]
pub(crate) struct NodeLocalArgs {
    /// Answer on the node what pods ask at the ClusterIPs of a Service (NAMESPACE/NAME), and at
    /// further addresses such as 169.254.20.10; alone it means kube-system/kube-dns.
    ///
    /// Without translation or connection tracking. When the daemon is gone, other nodes answer
    /// within a second.
    #[arg(long, value_name = "SERVICE|ADDR", value_delimiter = ',', num_args = 0..,
          require_equals = true, default_missing_value = "kube-system/kube-dns")]
    pub(crate) dns_node_local: Vec<String>,
}

/// Where the daemon tells how it is.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Administration")]
pub(crate) struct AdminArgs {
    /// Where /healthz, /livez and /readyz are served; empty for nowhere.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "0.0.0.0:10256")]
    pub(crate) healthz_bind_address: String,
    /// Where /metrics, /proxyMode and /debug are served; empty for nowhere.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1:10249")]
    pub(crate) metrics_bind_address: String,
    /// Socket in the file system where /livez and /readyz are served too.
    ///
    /// In an update two podways share the node's ports; a socket in the container's own folder tells
    /// them apart. `podway probe` asks it.
    #[arg(long, value_name = "FILE")]
    pub(crate) probe_socket: Option<PathBuf>,
    /// Folder of what outlives the process, made where there is none; empty for nowhere.
    ///
    /// Whoever programs the node holds a lock there, so that a new podway can take over from one that
    /// still runs; and the last view of the API server is kept there for a restart without it.
    #[arg(long, value_name = "DIR", default_value = "/run/podway")]
    pub(crate) state_dir: PathBuf,
    /// Stop when one of the two cannot be bound, instead of trying again.
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          num_args = 0..=1, require_equals = true)]
    pub(crate) bind_address_hard_fail: String,
}

/// What is logged, and how.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Logging")]
pub(crate) struct LogArgs {
    /// Least severe level that is logged: error, warn, info, debug or trace.
    ///
    /// Per module as in "info,podway_proxy_sync=debug".
    #[arg(long, value_name = "LEVEL", default_value = "info", action = ArgAction::Set)]
    pub(crate) log_level: String,
    /// Form of a log line: text or json.
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) log_format: String,
}
