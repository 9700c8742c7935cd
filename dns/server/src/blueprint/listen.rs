//! Where blocks answer: keys, `bind`, `multisocket` and `timeouts`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use podway_dns_corefile::plugin::{BindAddress, ClientAuth, Timeouts, Tls};
use podway_dns_corefile::{Config, Scheme, ServerBlock};

use super::reports::Reports;
use super::{Ground, Points};
use crate::config::StreamLimits;
use crate::forward::config::TlsIdentity;
use crate::server::Point;
use crate::tls::{ClientCertificates, TlsListen};

/// Where `block` answers for which of its zones.
pub(super) fn points(block: &ServerBlock, ground: &Ground<'_>, reports: &Reports) -> Points {
    let workers = match block.multisocket() {
        None => ground.workers,
        Some(own) => own
            .sockets
            .map(NonZeroUsize::from)
            .or_else(|| available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN),
    };
    let bound = bound(block, ground, reports);
    let mut points = Points::new();
    for key in &block.keys {
        let tls = match key.scheme {
            Scheme::Dns => None,
            Scheme::Tls => match block.tls().map(tls) {
                Some(listen) => Some(listen),
                None => {
                    let text = format!("{key} needs a certificate");
                    reports.mistake(&key.place, text, "a block with tls CERT KEY");
                    continue;
                }
            },
        };
        let addresses: Vec<SocketAddr> = match &bound {
            Some(bound) => bound.iter().map(|ip| SocketAddr::new(*ip, key.port)).collect(),
            None if ground.listen.is_empty() => {
                ground.everywhere.iter().map(|ip| SocketAddr::new(*ip, key.port)).collect()
            }
            None => {
                let at_port = |address: &&SocketAddr| address.port() == key.port;
                ground.listen.iter().filter(at_port).copied().collect()
            }
        };
        if addresses.is_empty() && bound.is_none() {
            let given: Vec<String> = ground.listen.iter().map(ToString::to_string).collect();
            let text = format!("{key}: none of the addresses to listen at has port {}", key.port);
            reports.mistake(&key.place, text, &format!("the port of one of {}", given.join(", ")));
        }
        for address in addresses {
            let point = Point { address, workers: workers.get(), tls: tls.clone() };
            let zone = key.zone.name().clone();
            match points.iter_mut().find(|(known, _)| *known == point) {
                Some((_, zones)) => zones.push(zone),
                None => points.push((point, vec![zone])),
            }
        }
    }
    points
}

/// What clients are shown and have to show.
fn tls(own: &Tls) -> TlsListen {
    let authorities = own.client_authorities.as_ref().map(PathBuf::from);
    let clients = match own.client_auth {
        // One that nobody looks at need not be asked for.
        ClientAuth::None | ClientAuth::Request => ClientCertificates::None,
        ClientAuth::VerifyIfGiven => ClientCertificates::IfGiven(authorities),
        ClientAuth::RequireAny | ClientAuth::Verify => ClientCertificates::Required(authorities),
    };
    let identity = TlsIdentity { certificate: (&own.certificate).into(), key: (&own.key).into() };
    TlsListen { identity, clients }
}

/// The addresses that `bind` names; `None` without one.
fn bound(block: &ServerBlock, ground: &Ground<'_>, reports: &Reports) -> Option<Vec<IpAddr>> {
    let mut binds = block.binds().peekable();
    binds.peek()?;
    let resolve = |address: &BindAddress| -> Vec<IpAddr> {
        match address {
            BindAddress::Address(address) => vec![*address],
            BindAddress::Interface(name) => {
                let own = ground.interfaces.iter().filter(|(interface, _)| interface == name);
                own.map(|(_, address)| *address).collect()
            }
        }
    };
    let mut addresses = Vec::new();
    for bind in binds {
        let except: Vec<IpAddr> = bind.except.iter().flat_map(resolve).collect();
        for named in &bind.addresses {
            let found = resolve(named);
            if found.is_empty() {
                let text = format!("bind: {named} has no address");
                reports.mistake(&block.place, text, "an address, or an interface with addresses");
            }
            let new = found.into_iter().filter(|address| !except.contains(address));
            addresses.extend(new);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    Some(addresses)
}

/// Finds addresses to listen at that no block answers at.
pub(super) fn check_used(
    config: &Config,
    ground: &Ground<'_>,
    points: &[Points],
    reports: &Reports,
) {
    let Some(first) = config.blocks.first() else { return };
    for address in ground.listen {
        let used = |points: &Points| points.iter().any(|(point, _)| point.address == *address);
        if !points.iter().any(used) {
            let text = format!("{address} is to be listened at, and no block answers there");
            let accepted = format!("a block without bind and with the port {}", address.port());
            reports.mistake(&first.place, text, &accepted);
        }
    }
}

/// The limits of streams at each address: those of the first block that has any.
pub(super) fn streams(config: &Config) -> impl Fn(&Point) -> StreamLimits {
    let timeouts: Vec<(u16, Timeouts)> = config
        .blocks
        .iter()
        .filter_map(|block| Some((block, block.timeouts()?)))
        .flat_map(|(block, timeouts)| block.keys.iter().map(|key| (key.port, *timeouts)))
        .collect();
    move |point| {
        let own = timeouts.iter().find(|(port, _)| *port == point.address.port());
        own.map_or_else(StreamLimits::default, |(_, timeouts)| limits(timeouts))
    }
}

/// The usual limits with the times that a block gives.
fn limits(timeouts: &Timeouts) -> StreamLimits {
    let usual = StreamLimits::default();
    StreamLimits {
        idle: timeouts.idle.or(timeouts.read).unwrap_or(usual.idle),
        write: timeouts.write.unwrap_or(usual.write),
        ..usual
    }
}
