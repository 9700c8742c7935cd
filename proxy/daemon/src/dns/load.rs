//! From a Corefile to what is answered where, with everything that is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context, anyhow};
use podway_dns_corefile::{Config, Lenience, Mistake, read};
use podway_dns_server::{BindError, Blueprint, Ground, Metrics};
use podway_dns_zone::SearchPaths;
use sha2::{Digest, Sha512};
use tracing::{info, warn};

use super::files::Files;
use crate::config::{CorefileSource, DnsConfig};
use crate::environment::interfaces;
use crate::names::{Names, Zone};
use crate::node_local::NodeLocalConfig;

/// Reads and makes ready, as often as is wanted.
pub(super) struct Loader {
    source: CorefileSource,
    /// Where blocks without `bind` answer; empty: everywhere.
    listen: Vec<std::net::SocketAddr>,
    /// The domain that a flag gives, if one does.
    domain: Option<String>,
    /// What is answered on the node in the place of others.
    node_local: NodeLocalConfig,
    names: Arc<Names>,
    metrics: Metrics,
    /// Whose search paths are walked.
    search_paths: SearchPaths,
    /// The name of this host.
    host: String,
}

/// A Corefile, ready to be put to work.
pub(super) struct Loaded {
    pub(super) config: Config,
    pub(super) blueprint: Blueprint,
    /// The zones that it answers.
    zones: Vec<Zone>,
    /// The files that it is made of.
    pub(super) files: BTreeSet<PathBuf>,
    /// Tells its text from others.
    pub(super) hash: String,
    warnings: Vec<Mistake>,
}

impl Loaded {
    /// Says what in it has no effect.
    pub(super) fn tell(&self) {
        for warning in self.warnings.iter().chain(self.blueprint.notes()) {
            warn!(%warning, "Corefile");
        }
        for block in &self.config.blocks {
            let keys: Vec<_> = block.keys.iter().map(ToString::to_string).collect();
            info!(keys = keys.join(" "), "server block");
        }
    }
}

impl Loader {
    /// Reads as `config` says.
    pub(super) fn new(config: DnsConfig, node_local: NodeLocalConfig, names: Arc<Names>) -> Self {
        let DnsConfig { listen, corefile: source, domain, host, search_paths, .. } = config;
        // The built-in one binds its addresses itself.
        let listen = match source {
            CorefileSource::File { .. } => listen,
            CorefileSource::BuiltIn(_) => Vec::new(),
        };
        let metrics = Metrics::default();
        Self { source, listen, domain, node_local, names, metrics, search_paths, host }
    }

    /// What counts.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until the names of what was loaded are known.
    pub(super) async fn known(&self, loaded: &Loaded) {
        self.names.known(&loaded.zones).await;
    }

    /// The files to follow as long as none has been read.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self.source, CorefileSource::File { .. })
    }

    /// Reads the Corefile and makes it ready; `earlier` is what goes on meanwhile.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub(super) fn load(&self, earlier: Option<&Blueprint>) -> anyhow::Result<Loaded> {
        let files = Files::default();
        let (name, contents, lenience) = match &self.source {
            CorefileSource::File { path, lenience } => {
                let name = path.to_string_lossy().into_owned();
                let contents = fs::read(path).with_context(|| format!("cannot read {name}"))?;
                (name, contents, *lenience)
            }
            CorefileSource::BuiltIn(text) => {
                ("built-in".to_owned(), text.clone().into_bytes(), Lenience::Strict)
            }
        };
        let reading = read(&name, &contents, &files, lenience)
            .map_err(|mistakes| anyhow!("the Corefile cannot be used\n{mistakes}"))?;
        self.check_domain(&reading.config)?;
        let zones = RefCell::default();
        let blueprint = self
            .blueprint(&reading.config, lenience, (earlier, &zones))
            .map_err(|unserved| anyhow!("the Corefile cannot be used\n{unserved}"))?;
        let mut files = files.into_seen();
        if let CorefileSource::File { path, .. } = &self.source {
            files.insert(path.clone());
        }
        let hash = hash(&reading.config, &files);
        let (config, warnings) = (reading.config, reading.warnings);
        Ok(Loaded { config, blueprint, zones: zones.into_inner(), files, hash, warnings })
    }

    fn blueprint(
        &self,
        config: &Config,
        lenience: Lenience,
        (earlier, zones): (Option<&Blueprint>, &RefCell<Vec<Zone>>),
    ) -> Result<Blueprint, podway_dns_server::NotServed> {
        // Addresses that cannot be read are none: then only what is bound by address works.
        let interfaces = interfaces().unwrap_or_default();
        let has = |v4: bool| interfaces.iter().any(|(_, address)| address.is_ipv4() == v4);
        let v4 = has(true).then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let v6 = has(false).then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let everywhere: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
        // A Service that is not known yet is found out by asking it.
        let latest = self.names.latest().unwrap_or_default();
        let intercepted = self.node_local.addresses_in(&latest);
        let ground = Ground {
            listen: &self.listen,
            everywhere: &everywhere,
            interfaces: &interfaces,
            intercepted: &intercepted,
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            zone: &|config| {
                let zone = self.names.zone(config);
                zones.borrow_mut().push(Arc::clone(&zone));
                zone
            },
            metrics: &self.metrics,
            search_paths: Some(&self.search_paths),
            host: &self.host,
            lenience,
        };
        Blueprint::new(config, &ground, earlier)
    }

    /// Finds out whether the flag and the Corefile mean the same cluster.
    fn check_domain(&self, config: &Config) -> anyhow::Result<()> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let zones = || {
            let blocks = config.blocks.iter().filter_map(|block| block.kubernetes());
            blocks.flat_map(|kubernetes| &kubernetes.zones)
        };
        let wanted = domain.trim_end_matches('.').to_ascii_lowercase();
        let known: Vec<String> = zones().map(ToString::to_string).collect();
        anyhow::ensure!(
            known.contains(&wanted),
            "--cluster-domain {domain:?}: the Corefile does not answer it; accepted: a zone of its \
             kubernetes: {}",
            known.join(", ")
        );
        Ok(())
    }

    /// Says which setting is behind sockets that cannot be opened.
    pub(super) fn explain(&self, error: BindError) -> anyhow::Error {
        let what = match self.source {
            CorefileSource::BuiltIn(_) => "--dns-listen cannot be bound",
            CorefileSource::File { .. } => "the addresses of the Corefile cannot be bound",
        };
        anyhow::Error::new(error).context(what)
    }
}

/// A number for what a Corefile says and what its files hold, as CoreDNS has it in its metrics.
fn hash(config: &Config, files: &BTreeSet<PathBuf>) -> String {
    let mut digest = Sha512::new();
    digest.update(config.to_string());
    for file in files {
        digest.update(fs::read(file).unwrap_or_default());
    }
    digest.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}
