//! The eBPF back end: whether it is used, and joining it to the sync loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow};
use podway_cluster_model::name::{NodeName, ServiceName};
use podway_cluster_watch::publish::Subscription;
use podway_ebpf_backend::backend::{Backend, Counters, Counts};
use podway_ebpf_backend::carry::Site;
use podway_ebpf_backend::detect::{self, ThisMachine, Wishes};
use podway_ebpf_backend::entries::Entries;
use podway_ebpf_backend::load::{self, Place};
use podway_ebpf_backend::opt_out::OptOut;
use podway_ebpf_backend::trial;
use podway_proxy_plan::policy::{ConntrackBypass, Policy};
use podway_proxy_plan::stale_flows::Permitted;
use podway_proxy_sync::accelerator::{Accelerator, Carried, PlanChange, Report, Unaccelerated};
use tracing::{info, warn};

use crate::args::SocketTrialArgs;
use crate::config::{ProxyConfig, ProxyMode};

/// Name of the hidden subcommand that runs [`help`].
const HELPER: &str = "socket-trial";

/// Where bpffs is mounted as a rule.
const BPFFS: &str = "/sys/fs/bpf";

/// What carries sockets before the rules, and the name of the mode.
pub(crate) struct Sockets {
    /// What the sync loop drives.
    pub(crate) accelerator: Box<dyn Accelerator>,
    /// Whether eBPF is used.
    pub(crate) in_use: InUse,
    /// Leaves pods alone; only where eBPF is used.
    pub(crate) opt_out: Option<OptOut>,
}

/// Whether eBPF is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InUse {
    /// It is.
    Ebpf,
    /// It is not, for this reason.
    Nftables(String),
}

impl InUse {
    /// The mode as `/proxyMode` tells it.
    pub(crate) const fn mode(&self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Nftables(_) => "nftables",
        }
    }
}

/// Finds out whether eBPF is to be used, and starts it; says the finding in one line.
///
/// # Errors
/// The operator asked for eBPF and it cannot be used.
pub(crate) fn start(config: &ProxyConfig) -> anyhow::Result<Sockets> {
    let found = match config.mode {
        ProxyMode::Nftables => Err("--proxy-mode nftables".to_owned()),
        ProxyMode::Auto | ProxyMode::Ebpf => look(config),
    };
    match (found, config.mode) {
        (Ok(backend), _) => {
            info!(ebpf = "in use", "sockets are translated before packets meet nftables");
            let opt_out = OptOut::start(detect::pins_on(&config.bpffs_root));
            Ok(Sockets {
                accelerator: Box::new(Socket(backend)),
                in_use: InUse::Ebpf,
                opt_out: Some(opt_out.context("a thread cannot be started")?),
            })
        }
        (Err(reason), ProxyMode::Ebpf) => {
            Err(anyhow!(reason)).context("--proxy-mode ebpf: eBPF cannot be used")
        }
        (Err(reason), ProxyMode::Auto | ProxyMode::Nftables) => {
            info!(ebpf = "not in use", reason, "every packet meets nftables");
            match config.policy.conntrack_bypass {
                ConntrackBypass::Off => {}
                ConntrackBypass::On => {
                    warn!(flag = "--conntrack-bypass", "everything is tracked: eBPF is not in use");
                }
            }
            forget(config);
            let in_use = InUse::Nftables(reason);
            Ok(Sockets { accelerator: Box::new(Unaccelerated), in_use, opt_out: None })
        }
    }
}

/// This machine, with the operator's wishes.
fn machine(cgroup: Option<PathBuf>, bpffs: PathBuf) -> ThisMachine {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    ThisMachine { wishes: Wishes { cgroup, bpffs, helper: (program, HELPER.to_owned()) } }
}

/// Looks whether this machine has what eBPF needs and starts it.
fn look(config: &ProxyConfig) -> Result<Backend, String> {
    let machine = machine(config.cgroup_root.clone(), config.bpffs_root.clone());
    let place: Place = detect::detect(&machine).map_err(|absent| absent.to_string())?;
    let site = Site::new(&config.policy);
    Backend::start(&place, site, Instant::now()).map_err(|error| format!("{:#}", anyhow!(error)))
}

/// Removes what an earlier run pinned: nobody would keep it at the newest plan.
fn forget(config: &ProxyConfig) {
    if !machine(config.cgroup_root.clone(), config.bpffs_root.clone()).owns_pins() {
        return;
    }
    match load::remove(&detect::pins_on(&config.bpffs_root)) {
        Ok(true) => info!("eBPF programs of an earlier run removed"),
        Ok(false) => {}
        Err(error) => warn!(
            error = format!("{:#}", anyhow!(error)),
            "eBPF programs of an earlier run cannot be removed; run podway cleanup"
        ),
    }
}

/// Removes programs and maps for good; returns where they were, if there were any.
///
/// Without `chosen` they are looked for at the usual place, unless that is another node's.
pub(crate) fn remove(chosen: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let bpffs = chosen.unwrap_or(Path::new(BPFFS));
    if chosen.is_none() && !machine(None, bpffs.to_path_buf()).owns_pins() {
        return Ok(None);
    }
    let pins = detect::pins_on(bpffs);
    Ok(load::remove(&pins)?.then_some(pins))
}

/// Has `opt_out` follow which pods of `node` want their sockets left alone, as long as there are
/// views.
pub(crate) async fn follow_pods(opt_out: OptOut, node: NodeName, mut views: Subscription) {
    let mut before = None;
    while let Some(view) = views.next().await {
        // A pod on the node's own network would take all of the node with it.
        let pods = view.snapshot.pods.values().filter(|pod| {
            pod.sockets == podway_cluster_model::node::Sockets::Untranslated
                && !pod.host_network
                && pod.node.as_ref() == Some(&node)
        });
        let addresses: BTreeSet<IpAddr> =
            pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
        if before.as_ref() != Some(&addresses) {
            opt_out.set(addresses.clone());
            before = Some(addresses);
        }
    }
}

/// What the helper of the trial does.
pub(crate) fn help(args: &SocketTrialArgs) -> anyhow::Result<()> {
    trial::help(&args.cgroup).map_err(|problem| anyhow!(problem))
}

/// The back end, as the sync loop drives it.
#[derive(Debug)]
struct Socket(Backend);

impl Accelerator for Socket {
    fn translates(&self) -> bool {
        true
    }

    fn take_over(&mut self, plans: Vec<PlanChange>, now: Instant) {
        self.0.take_over(plans, now);
    }

    fn stand_by(&mut self) {
        self.0.stand_by();
    }

    fn before_rules(&mut self, changed: Vec<PlanChange>, now: Instant) {
        self.0.before_rules(changed, now);
    }

    fn after_rules(&mut self, now: Instant) {
        self.0.after_rules(now);
    }

    fn next_due(&self) -> Option<Instant> {
        self.0.next_due()
    }

    fn tend(&mut self, now: Instant) {
        self.0.tend(now);
    }

    fn set_policy(&mut self, policy: &Policy) -> bool {
        self.0.set_site(Site::new(policy))
    }

    fn forget(&mut self, permitted: &Permitted) {
        self.0.forget(permitted);
    }

    fn report(&self) -> Report {
        let Counts { failures, repairs, destroyed } = self.0.counts();
        let entries = self.0.entries();
        Report {
            services: by_service(&self.0),
            write_failures: failures,
            repairs,
            destroyed,
            frontends: entries.map_or(0, Entries::frontends),
            without_room: entries.map_or(0, |entries| entries.without_room().count()),
        }
    }
}

/// What was counted, by Service; one that had no socket has no row.
fn by_service(backend: &Backend) -> Vec<Carried> {
    let mut services: BTreeMap<&ServiceName, Counters> = BTreeMap::new();
    for (pool, counted) in backend.counters() {
        if counted != Counters::default() {
            let sum = services.entry(&pool.service).or_default();
            sum.connects += counted.connects;
            sum.datagrams += counted.datagrams;
            sum.refusals += counted.refusals;
        }
    }
    let carried = |(service, Counters { connects, datagrams, refusals }): (&ServiceName, _)| {
        Carried { service: service.clone(), connects, datagrams, refusals }
    };
    services.into_iter().map(carried).collect()
}
