//! The plugins of one block as stages, and what is not served of them.
//!
//! The match in `stage` has every plugin, so that none can be forgotten.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::rr::RecordType;
use podway_dns_corefile::plugin::{self, Order, SearchPath};
use podway_dns_corefile::value::Zone;
use podway_dns_corefile::{Place, Placed, Plugin, ServerBlock};
use podway_dns_plugin::{
    acl, chaos, dns64, header, hosts, load_balance, local, nsid, rewrite, template, zone_file,
};
use podway_dns_sign::Signer;
use podway_dns_zone::{AskedName, ZoneIndex};

use super::fleet::fleet;
use super::gate::{self, Interest};
use super::reports::Reports;
use super::{Ground, dnssec, files, zone};
use crate::chain::Stage;
use crate::chain::answering::{Acl, Any, Chaos, Dns64, Local, Whoami};
use crate::chain::autopath::Autopath;
use crate::chain::dnssec::Dnssec;
use crate::chain::forward::Forward;
use crate::chain::kubernetes::Kubernetes;
use crate::chain::message::{Header, LoadBalance, Minimal, Nsid};
use crate::chain::rewrite::Rewrite;
use crate::chain::tables::{Hosts, Template, ZoneFiles};
use crate::forward::Fleet;
use crate::keeper::{Contents, Included, Keeper};
use crate::metrics::StageMetrics;
use crate::observe::Observers;
use crate::reply::Policy;
use crate::site::{Block, DirectGate, Way};

/// Largest datagram sent unless a block says otherwise.
///
/// 1232 octets pass every IPv6 path without fragments (DNS Flag Day 2020).
const USUAL_PAYLOAD_OCTETS: u16 = 1232;

/// A block while it is made.
struct Making<'m> {
    block: &'m ServerBlock,
    ground: &'m Ground<'m>,
    reports: &'m Reports,
    policy: Policy,
    fleet: Arc<Fleet>,
    stages: Vec<Box<dyn Stage>>,
    zone: Option<Arc<ArcSwap<ZoneIndex>>>,
    /// What follows files.
    keepers: Vec<Keeper>,
    /// Whether all plugins so far leave replies as the index and the upstreams gave them.
    plain: bool,
    /// Which plain questions no plugin so far looks at; `None`: some plugin looks at all.
    gate: Option<DirectGate>,
    direct: Option<(DirectGate, Arc<ArcSwap<ZoneIndex>>)>,
    signer: Option<Arc<Signer>>,
}

/// Makes a block; `None` where it cannot be made.
pub(super) fn block(
    block: &ServerBlock,
    ground: &Ground<'_>,
    (own, known): (Vec<SocketAddr>, &[Arc<Fleet>]),
    reports: &Reports,
) -> Option<Block> {
    let fleet = fleet(block, ground, (own, known), reports)?;
    let policy = Policy {
        udp_payload_octets: block.bufsize().map_or(USUAL_PAYLOAD_OCTETS, |size| size.octets),
        recursion: !fleet.forwarders().is_empty(),
    };
    let mut making = Making {
        block,
        ground,
        reports,
        policy,
        fleet,
        stages: Vec::new(),
        zone: None,
        keepers: Vec::new(),
        plain: true,
        gate: Some(DirectGate::default()),
        direct: None,
        signer: None,
    };
    let mut before = None;
    for placed in &block.plugins {
        let name = placed.plugin.name();
        // Plugins that may stand in a block several times make one stage.
        let first = before.replace(name) != Some(name);
        making.stage(placed, first);
    }
    Some(making.finish())
}

impl Making<'_> {
    /// Adds what a plugin does; `first` of those with its name.
    fn stage(&mut self, Placed { place, plugin }: &Placed, first: bool) {
        match plugin {
            Plugin::Kubernetes(kubernetes) => {
                if let Some(zone) = self.names(kubernetes, place, self.reports) {
                    self.kubernetes(zone);
                }
            }
            Plugin::Forward(_) if first => self.forward(),
            Plugin::LoadBalance(own) => self.load_balance(own),
            // Done where they belong: to listeners, to forwarding, to the whole server.
            Plugin::Forward(_)
            | Plugin::Cache(_)
            | Plugin::Bind(_)
            | Plugin::Multisocket(_)
            | Plugin::Bufsize(_)
            | Plugin::Cancel(_)
            | Plugin::Errors(_)
            | Plugin::Log(_)
            | Plugin::Health(_)
            | Plugin::Ready(_)
            | Plugin::Prometheus(_)
            | Plugin::Reload(_)
            | Plugin::Loop(_)
            | Plugin::Tls(_) => {}
            Plugin::Debug(_) => {
                self.reports.note(place, "debug: use --log-level=debug to see more");
            }
            Plugin::Timeouts(timeouts) => {
                if timeouts.most_queries.is_some() {
                    self.unserved(place, "timeouts: maxtcpqueries");
                }
            }
            Plugin::Nsid(own) => {
                self.passes(DirectGate::look_at_options);
                self.add(Nsid(nsid::Nsid::new(own, self.ground.host)));
            }
            Plugin::Local(own) => self.before(Local(local::Local::new(own), self.counting())),
            Plugin::Dns64(own) => {
                self.passes(|gate| gate.except.push(RecordType::AAAA));
                self.add(Dns64(dns64::Dns64::new(own), self.counting()));
            }
            Plugin::Dnssec(own) => self.dnssec(own, place),
            Plugin::Any(_) => {
                self.passes(|gate| gate.except.push(RecordType::ANY));
                self.add(Any);
            }
            Plugin::Acl(_) if first => {
                self.before(Acl(acl::Acl::new(self.block.acls()), self.counting()));
            }
            Plugin::Header(_) if first => {
                let header = header::Header::new(self.block.headers());
                self.before(Header::new(header, self.policy));
            }
            Plugin::Acl(_) | Plugin::Header(_) => {}
            Plugin::Minimal(_) => {
                // Only what is beside an answer is taken away: SRV records have such.
                self.passes(|gate| gate.except.push(RecordType::SRV));
                self.add(Minimal);
            }
            Plugin::Whoami(_) => self.before(Whoami),
            Plugin::Chaos(own) => {
                // It looks at another class, which no plain question is of.
                let version = concat!("podway ", env!("CARGO_PKG_VERSION"));
                self.passes(|_gate| {});
                self.add(Chaos(chaos::Chaos::new(own, version, self.ground.host)));
            }
            Plugin::Rewrite(own) => {
                self.narrow(gate::of_rewrite(&own.rule));
                if first {
                    self.add(Rewrite(rewrite::Rewrite::new(self.block.rewrites())));
                }
            }
            Plugin::Template(own) => {
                if own.zones.contains(&Zone::root()) {
                    self.narrow(gate::of_template(own));
                } else {
                    self.looks_at(&own.zones);
                }
                if first {
                    let templates = template::Templates::new(self.block.templates());
                    self.add(Template(templates, self.counting()));
                }
            }
            Plugin::Hosts(own) => self.hosts(own),
            Plugin::ZoneFile(own) => {
                self.looks_at(&own.zones);
                if first {
                    self.zone_files();
                }
            }
            Plugin::Autopath(own) => self.autopath(own, place),
        }
    }

    /// Adds signatures.
    fn dnssec(&mut self, own: &plugin::Dnssec, place: &Place) {
        let Some(signer) = dnssec::signer(own, place, self.reports) else { return };
        self.passes(|gate| {
            gate.without_dnssec = true;
            gate.except.push(RecordType::DNSKEY);
        });
        // `kubernetes` stands behind, and the index of a configuration is always the same.
        let index = self.block.plugins.iter().find_map(|Placed { place, plugin }| {
            let Plugin::Kubernetes(own) = plugin else { return None };
            self.names(own, place, self.reports)
        });
        let signer = Arc::new(signer);
        self.signer = Some(Arc::clone(&signer));
        self.add(Dnssec { signer, index });
    }

    /// The index of what `kubernetes` answers; `None` where something is wrong with it.
    fn names(
        &self,
        kubernetes: &plugin::Kubernetes,
        place: &Place,
        reports: &Reports,
    ) -> Option<Arc<ArcSwap<ZoneIndex>>> {
        let config = zone::config(kubernetes, place, reports)?;
        let walks = |own: &&plugin::Autopath| own.search_path == SearchPath::Kubernetes;
        let paths = self.block.autopath().filter(walks).and(self.ground.search_paths);
        Some((self.ground.zone)(config.with_search_paths(paths.cloned())))
    }

    /// Walks the search paths of the pods that `kubernetes`, which comes later, knows.
    fn autopath(&mut self, own: &plugin::Autopath, place: &Place) {
        if own.search_path != SearchPath::Kubernetes {
            return self.unserved(place, "autopath with a file");
        }
        if self.ground.search_paths.is_none() {
            return self.unserved(place, "autopath where no pods are known");
        }
        // What is wrong with it is told when its turn comes.
        let quiet = Reports::new(self.ground.lenience);
        let zone = self.block.kubernetes().and_then(|own| self.names(own, place, &quiet));
        if let Some(zone) = zone {
            self.passes(|gate| gate.searches = true);
            self.add(Autopath::new(zone, self.counting()));
        }
    }

    /// Adds names of the cluster.
    fn kubernetes(&mut self, zone: Arc<ArcSwap<ZoneIndex>>) {
        self.stages.push(Box::new(Kubernetes::new(Arc::clone(&zone))));
        // What comes behind never sees what is answered here.
        self.direct = self.gate.take().map(|gate| (gate, Arc::clone(&zone)));
        self.zone = Some(zone);
    }

    /// Adds a plugin that looks at some plain questions only: those that `narrow` takes away.
    fn passes(&mut self, narrow: impl FnOnce(&mut DirectGate)) {
        self.plain = false;
        if let Some(gate) = &mut self.gate {
            narrow(gate);
        }
    }

    /// Adds the names of a hosts file.
    fn hosts(&mut self, own: &plugin::Hosts) {
        let hosts = Arc::new(ArcSwap::from_pointee(hosts::Hosts::new(own, b"").0));
        let meets = Arc::new(AtomicBool::new(true));
        let shut = Arc::clone(&meets);
        self.passes(move |gate| {
            gate.shut.push(shut);
            gate.except.push(RecordType::PTR);
        });
        let zones = self.block.kubernetes().map(|own| own.zones.clone()).unwrap_or_default();
        let (target, options, metrics) = (Arc::clone(&hosts), own.clone(), self.counting());
        self.keep(&own.file, own.reload, move |contents| {
            // A file that is missing is one without lines.
            let text = match contents {
                Err(io::ErrorKind::NotFound) => Some(Vec::new()),
                contents => files::readable(&options.file, contents),
            };
            if let Some(text) = text {
                let (read, mistakes) = hosts::Hosts::new(&options, &text);
                files::tell(&options.file, &mistakes);
                metrics.hosts_read(&options.file, read.entries());
                let now_meets = gate::hosts_meet(&options, &text, &zones);
                // Shut before the names are there, open when they are gone.
                meets.fetch_or(now_meets, Ordering::Relaxed);
                target.store(Arc::new(read));
                meets.store(now_meets, Ordering::Relaxed);
            }
            Vec::new()
        });
        self.add(Hosts(hosts));
    }

    /// Adds the zones of all zone files.
    fn zone_files(&mut self) {
        let zones = zone_file::ZoneFiles::new(self.block.zone_files());
        let zones = Arc::new(ArcSwap::from_pointee(zones));
        for plugin::ZoneFile { file, reload, .. } in self.block.zone_files() {
            let (target, path) = (Arc::clone(&zones), file.clone());
            self.keep(file, *reload, move |contents| files::zones(&target, &path, contents));
        }
        self.add(ZoneFiles(zones));
    }

    /// Keeps names in `zones` from going straight to the index.
    fn looks_at(&mut self, zones: &[Zone]) {
        zones.iter().for_each(|zone| self.narrow(Interest::Zone(zone.name().clone())));
    }

    /// Keeps plain questions that a plugin is interested in from going straight to the index.
    fn narrow(&mut self, interest: Interest) {
        self.passes(|gate| match &interest {
            Interest::Type(record_type) => gate.except.push(*record_type),
            Interest::Zone(zone) => gate.zones.push(AskedName::from(zone)),
            Interest::Nothing | Interest::Everything => {}
        });
        if interest == Interest::Everything {
            self.gate = None;
        }
    }

    /// Adds a plugin that may look at every question.
    fn before(&mut self, stage: impl Stage + 'static) {
        self.plain = false;
        self.gate = None;
        self.add(stage);
    }

    fn add(&mut self, stage: impl Stage + 'static) {
        self.stages.push(Box::new(stage));
    }

    /// Adds names that others know.
    fn forward(&mut self) {
        self.plain &= !self.fleet.forwarders().any_goes_on();
        self.stages.push(Box::new(Forward::new(Arc::clone(&self.fleet), self.policy)));
    }

    /// Addresses are always given in random order, so only what goes beyond that is to be done.
    fn load_balance(&mut self, own: &plugin::LoadBalance) {
        if own.order == Order::Shuffled && own.prefer.is_empty() {
            return;
        }
        let order = Arc::new(ArcSwap::from_pointee(load_balance::LoadBalance::new(own)));
        if let Order::Weighted { file, reload } = &own.order {
            let (order, path) = (Arc::clone(&order), file.clone());
            self.keep(file, *reload, move |contents| {
                if let Some(weights) = files::weights(&path, contents) {
                    order.store(Arc::new(order.load().with_weights(weights)));
                }
                Vec::new()
            });
        }
        self.passes(|gate| gate.except.extend([RecordType::A, RecordType::AAAA]));
        self.add(LoadBalance(order));
    }

    /// Applies `file` now, and whenever it changes, unless it is never to be looked at again.
    fn keep(
        &mut self,
        file: &str,
        reload: Duration,
        apply: impl Fn(Contents) -> Included + Send + Sync + 'static,
    ) {
        let keeper = Keeper::new(PathBuf::from(file), apply);
        if !reload.is_zero() {
            self.keepers.push(keeper);
        }
    }

    /// What counts what plugins do.
    fn counting(&self) -> StageMetrics {
        self.ground.metrics.stages().clone()
    }

    fn unserved(&self, place: &Place, what: &str) {
        self.reports.unserved(place, what, "");
    }

    /// The block.
    fn finish(self) -> Block {
        let Self { block, policy, fleet, stages, zone, keepers, plain, direct, signer, .. } = self;
        let logs = block.logs().cloned().collect();
        Block {
            policy,
            way: if plain { Way::Plain(zone) } else { Way::Staged },
            stages,
            observers: Observers::new(logs, block.errors()),
            direct,
            signer,
            fleet,
            keepers,
        }
    }
}
