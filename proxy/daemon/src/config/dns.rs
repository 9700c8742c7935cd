//! DNS flags: a Corefile with what goes beside it, or what the built-in one is made of.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use podway_dns_corefile::Lenience;
use podway_dns_server::ClientLimits;
use podway_dns_zone::{Name, SearchPaths};

use super::{FlagError, FlagErrors, parse};
use crate::args::{ClusterArgs, DnsArgs};
use crate::dns::{Autopath, built_in};
use crate::environment::{Environment, RESOLV_CONF};

/// Port of DNS.
const DNS_PORT: u16 = 53;

/// Domain of a cluster unless told otherwise.
pub(super) const DOMAIN: &str = "cluster.local";

/// Where queries are answered without a Corefile, unless told otherwise.
const LISTEN: &str = "127.0.0.1:53";

/// Most upstreams, as in a Corefile.
const MOST_UPSTREAMS: usize = 15;

/// How names are answered.
#[derive(Debug)]
pub(crate) struct DnsConfig {
    /// Where queries are answered that the Corefile has no `bind` for; empty: everywhere.
    pub(crate) listen: Vec<SocketAddr>,
    /// Networks whose clients are answered, beside those of the cluster.
    pub(crate) allow_from: Vec<IpNet>,
    /// Whose search paths `autopath` walks: those of this node's pods.
    pub(crate) search_paths: SearchPaths,
    /// What is answered.
    pub(crate) corefile: CorefileSource,
    /// The domain that the Corefile must answer, where a flag gives one.
    pub(crate) domain: Option<String>,
    /// Limits of each client.
    pub(crate) clients: ClientLimits,
    /// The name of this host.
    pub(crate) host: String,
}

/// Where the Corefile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CorefileSource {
    /// In this file, which is followed.
    File {
        /// Where it is.
        path: PathBuf,
        /// What becomes of what is not supported.
        lenience: Lenience,
    },
    /// Here: made of flags and of the host.
    BuiltIn(String),
}

/// Resolves the flags.
pub(super) fn dns(
    args: &DnsArgs,
    cluster: &ClusterArgs,
    environment: &Environment,
    errors: &mut FlagErrors,
) -> DnsConfig {
    let allow_from = super::node_local::allow_from(&args.dns_allow_from, errors);
    let autopath = errors.keep(parse::switch("--dns-autopath", &args.dns_autopath));
    let autopath = if autopath == Some(true) { Autopath::On } else { Autopath::Off };
    let search_paths = SearchPaths { node: None, host: host_suffixes(environment) };
    let mut listen = Vec::new();
    for text in &args.dns_listen {
        let checked = parse::dns_listen(text, DNS_PORT, &listen);
        listen.extend(errors.keep(checked));
    }
    let domain = cluster.cluster_domain.clone();
    let clients = ClientLimits::default();
    let host = environment.host_name.as_ref().map(|name| name.trim().to_owned());
    let host = host.unwrap_or_default();
    if let Some(path) = &args.corefile {
        refuse_beside(args, errors);
        let lenience = if args.corefile_lenient { Lenience::Lenient } else { Lenience::Strict };
        let corefile = CorefileSource::File { path: path.clone(), lenience };
        return DnsConfig { listen, allow_from, search_paths, corefile, domain, clients, host };
    }
    if args.corefile_lenient {
        errors.keep::<()>(Err(FlagError {
            flag: "--corefile-lenient",
            value: String::new(),
            reason: "there is no Corefile".to_owned(),
            accepted: "beside --corefile FILE",
            place: None,
        }));
    }
    if args.dns_listen.is_empty() {
        listen.extend(errors.keep(parse::dns_listen(LISTEN, DNS_PORT, &[])));
    }
    let own = super::own_addresses(&listen, &environment.interfaces);
    let upstreams = errors
        .keep_all(args.dns_upstream.iter().map(|text| parse::dns_upstream(text, DNS_PORT, &own)));
    if let Some(text) = args.dns_upstream.get(MOST_UPSTREAMS) {
        errors.keep::<()>(Err(FlagError {
            flag: "--dns-upstream",
            value: text.clone(),
            reason: "is one too many".to_owned(),
            accepted: "at most 15 upstreams",
            place: None,
        }));
    }
    let name = domain.as_deref().unwrap_or(DOMAIN);
    let text = built_in(name, &listen, (&upstreams, RESOLV_CONF), autopath);
    let corefile = CorefileSource::BuiltIn(text);
    DnsConfig { listen, allow_from, search_paths, corefile, domain: None, clients, host }
}

/// The node's own search list, which stands last in that of every pod; resolvers leave out what is no
/// name.
fn host_suffixes(environment: &Environment) -> Vec<Name> {
    let names = environment.search.iter().filter_map(|suffix| {
        let mut name = Name::from_ascii(suffix).ok()?;
        name.set_fqdn(true);
        Some(name)
    });
    names.collect()
}

/// Refuses flags that say what the Corefile says.
fn refuse_beside(args: &DnsArgs, errors: &mut FlagErrors) {
    if !matches!(args.dns_autopath.as_str(), "false" | "") {
        errors.keep::<()>(Err(FlagError {
            flag: "--dns-autopath",
            value: args.dns_autopath.clone(),
            reason: "the Corefile says it".to_owned(),
            accepted: "autopath @kubernetes in the Corefile, or no --corefile",
            place: None,
        }));
    }
    for text in &args.dns_upstream {
        errors.keep::<()>(Err(FlagError {
            flag: "--dns-upstream",
            value: text.clone(),
            reason: "the Corefile says who is asked".to_owned(),
            accepted: "forward in the Corefile, or no --corefile",
            place: None,
        }));
    }
}
