//! `forward` as what forwarding is told.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use podway_dns_cache::CachePolicy;
use podway_dns_corefile::Place;
use podway_dns_corefile::plugin::{self, Attempts, Forward, UpstreamProtocol};
use podway_dns_corefile::plugin::{Recursion, Transport, Upstream as Named};

use super::comes_back;
use super::reports::Reports;
use crate::forward::config::{
    AllUnhealthy, ForwardConfig, ForwardLimits, HealthCheck, Keep, LoopDetection, MixedCase,
    NextOn, Protocol, Selection, StreamReuse, Target, TlsIdentity, TlsTrust, Upstream,
};

/// What all `forward`s of a block have in common.
pub(super) struct Common {
    /// What is kept; `None` keeps nothing.
    pub(super) cache: Option<(CachePolicy, Keep)>,
    /// How long a query may take at all.
    pub(super) longest: Option<Duration>,
    /// Addresses at which queries come back to the block.
    pub(super) own: Vec<SocketAddr>,
    /// Those among them that are answered in the place of another server.
    pub(super) intercepted: Vec<SocketAddr>,
    /// Whether it is looked for other ways back.
    pub(super) loops: LoopDetection,
}

/// What forwarding is told.
pub(super) fn config(
    forward: &Forward,
    place: &Place,
    common: &Common,
    reports: &Reports,
) -> ForwardConfig {
    let to: Vec<Target> =
        forward.to.iter().filter_map(|to| target(forward, to, (place, common), reports)).collect();
    let (cache, keep) =
        common.cache.clone().map_or((None, Keep::default()), |(policy, keep)| (Some(policy), keep));
    ForwardConfig {
        from: forward.from.name().clone(),
        except: forward.except.iter().map(|zone| zone.name().clone()).collect(),
        selection: match forward.policy {
            plugin::Policy::Random => Selection::Random,
            plugin::Policy::RoundRobin => Selection::RoundRobin,
            plugin::Policy::Sequential => Selection::Sequential,
        },
        limits: limits(forward, common),
        health: HealthCheck {
            interval: forward.health.interval,
            max_fails: forward.health.max_fails,
            recursion_desired: forward.health.recursion == Recursion::Desired,
            domain: forward.health.domain.name().clone(),
            ..HealthCheck::default()
        },
        all_unhealthy: match forward.all_unhealthy {
            plugin::AllUnhealthy::TryAnyway => AllUnhealthy::AskAnyway,
            plugin::AllUnhealthy::FailFast => AllUnhealthy::Fail,
        },
        mixed_case: MixedCase::default(),
        streams: StreamReuse {
            idle: forward.expire,
            longest: forward.longest_connection,
            most_idle: forward.most_idle.map(number),
            ..StreamReuse::default()
        },
        source: forward.source,
        tls: TlsTrust {
            name: forward.tls.server_name.clone(),
            authorities: forward.tls.authorities.as_ref().map(PathBuf::from),
            identity: forward.tls.identity.as_ref().map(|identity| TlsIdentity {
                certificate: PathBuf::from(&identity.certificate),
                key: PathBuf::from(&identity.key),
            }),
        },
        cache,
        keep,
        failover: forward.failover.clone(),
        next: NextOn { rcodes: forward.next.clone(), nodata: forward.next_on_nodata },
        loops: common.loops,
        to,
    }
}

/// A number as one of things in memory.
fn number(count: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(count).unwrap_or(NonZeroUsize::MAX)
}

/// Limits of forwarding.
fn limits(forward: &Forward, common: &Common) -> ForwardLimits {
    let usual = ForwardLimits::default();
    ForwardLimits {
        per_try: forward.read_timeout,
        total: common.longest.unwrap_or(usual.total).min(usual.total),
        attempts: match forward.attempts {
            Attempts::AtMost(most) => Some(number(most)),
            // Time is what limits them: a try beside a silent one costs nobody anything.
            Attempts::TwiceEach | Attempts::Unlimited => None,
        },
        in_flight: forward.most_concurrent.map_or(usual.in_flight, |most| number(most).get()),
        ..usual
    }
}

/// Whom an upstream of the Corefile stands for; `None` where nobody can be asked.
fn target(
    forward: &Forward,
    named: &Named,
    (place, common): (&Place, &Common),
    reports: &Reports,
) -> Option<Target> {
    match named {
        Named::Server { address, .. } if common.intercepted.contains(address) => {
            let text = format!(
                "forward: {address} is answered on this node by this server itself, so that every \
                 query would come back"
            );
            reports.mistake(place, text, "servers that are not --dns-node-local");
            None
        }
        Named::Server { address, .. } if comes_back(*address, &common.own) => {
            // CoreDNS stops when its `loop` notices; names that others know are worth more.
            let text = format!("forward: {address} is this server itself, and is not asked");
            reports.note(place, text);
            None
        }
        Named::Server { address, protocol } => {
            let protocol = match protocol {
                UpstreamProtocol::Plain if forward.transport == Transport::ForceTcp => {
                    Protocol::Tcp
                }
                UpstreamProtocol::Plain => Protocol::Udp,
                UpstreamProtocol::Tls { server_name } => {
                    Protocol::Tls { name: server_name.clone() }
                }
            };
            Some(Target::Upstream(Upstream { address: *address, protocol }))
        }
        Named::ResolvConf(file) => {
            if forward.transport == Transport::ForceTcp {
                reports
                    .note(place, format!("forward: the servers of {file} are asked by UDP first"));
            }
            Some(Target::ResolvConf(PathBuf::from(file)))
        }
        Named::Host { name, .. } => {
            let what = format!("forward: an upstream by its name {name}");
            reports.unserved(place, &what, "its address");
            None
        }
    }
}
