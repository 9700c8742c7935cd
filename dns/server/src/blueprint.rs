//! From a Corefile to server blocks at work: what is answered where.
//!
//! Owns the conversion of typed configuration into stages, zones and upstreams. What cannot be done
//! at run time is refused here by name and place: nothing that stands in a Corefile is without
//! effect in silence.

mod cache;
mod dnssec;
mod files;
mod fleet;
mod forward;
mod gate;
mod listen;
mod reports;
mod stages;
mod zone;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::rr::Name;
use podway_dns_corefile::{Config, Lenience, Mistake, ServerBlock};
use podway_dns_sign::Signer;
use podway_dns_zone::{SearchPaths, ZoneConfig, ZoneIndex};
use thiserror::Error;

use self::reports::Reports;
use crate::forward::Fleet;
use crate::metrics::{AtWork, Enabled, Metrics, server_label};
use crate::resolv_conf::is_own;
use crate::server::Point;
use crate::site::Site;

/// What is answered where, ready to be put to work; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Blueprint {
    pub(crate) listeners: BTreeMap<Point, Arc<Site>>,
    /// Forwarders of all blocks, for a successor to go on with.
    fleets: Vec<Arc<Fleet>>,
    notes: Vec<Mistake>,
    /// What metrics show of it.
    pub(crate) at_work: AtWork,
}

/// What blueprints are made on.
#[derive(Clone, Copy)]
pub struct Ground<'g> {
    /// Where blocks without `bind` answer, each at its own port; empty: everywhere.
    pub listen: &'g [SocketAddr],
    /// What everywhere is: the unspecified addresses of the families that this machine has.
    pub everywhere: &'g [IpAddr],
    /// The addresses of this machine, each with the name of its interface.
    pub interfaces: &'g [(String, IpAddr)],
    /// Addresses beside those that are answered in the place of another server: whoever on this machine
    /// asks them asks this one.
    pub intercepted: &'g [IpAddr],
    /// UDP sockets of each address, unless a block says otherwise.
    pub workers: NonZeroUsize,
    /// Gives the index of a zone, which somebody keeps up to date.
    pub zone: &'g dyn Fn(ZoneConfig) -> Arc<ArcSwap<ZoneIndex>>,
    /// What counts.
    pub metrics: &'g Metrics,
    /// Whose search paths `autopath` walks; `None` where nobody's is known.
    pub search_paths: Option<&'g SearchPaths>,
    /// The name of this host.
    pub host: &'g str,
    /// What becomes of what is not served.
    pub lenience: Lenience,
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ground").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Everything of a Corefile that cannot be served, in order of place; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct NotServed(pub Vec<Mistake>);

impl fmt::Display for NotServed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            write!(formatter, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Blueprint {
    /// Makes what `config` says; forwarders of `earlier` that stay the same go on with all they know.
    ///
    /// # Errors
    /// [`NotServed`] lists everything that cannot be served.
    pub fn new(
        config: &Config,
        ground: &Ground<'_>,
        earlier: Option<&Self>,
    ) -> Result<Self, NotServed> {
        let reports = Reports::new(ground.lenience);
        let points: Vec<_> =
            config.blocks.iter().map(|block| listen::points(block, ground, &reports)).collect();
        listen::check_used(config, ground, &points, &reports);
        let known = earlier.map(|earlier| &*earlier.fleets).unwrap_or_default();
        let (mut fleets, mut at_work) = (Vec::new(), AtWork::default());
        let mut sites = BTreeMap::<Point, Vec<_>>::new();
        for (block, points) in config.blocks.iter().zip(points) {
            let own = own_addresses(points.iter().map(|(point, _)| point.address), ground);
            let Some(made) = stages::block(block, ground, (own, known), &reports) else { continue };
            fleets.push(Arc::clone(&made.fleet));
            let made = Arc::new(made);
            for (point, zones) in points {
                show(&mut at_work, &point, (&zones, block), made.signer.as_ref());
                sites.entry(point).or_default().push((zones, Arc::clone(&made)));
            }
        }
        let notes = reports.into_notes()?;
        let streams = listen::streams(config);
        let site = |(point, blocks): (Point, _)| {
            let streams = streams(&point);
            (point, Arc::new(Site::new(blocks, streams, ground.metrics)))
        };
        Ok(Self { listeners: sites.into_iter().map(site).collect(), fleets, notes, at_work })
    }

    /// What stands in the Corefile and has less effect than one may think.
    #[must_use]
    pub fn notes(&self) -> &[Mistake] {
        &self.notes
    }

    /// The addresses that are answered at.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.keys().map(|point| point.address)
    }
}

/// Adds what metrics show of a block at one point.
fn show(
    at_work: &mut AtWork,
    point: &Point,
    (zones, block): (&[Name], &ServerBlock),
    signer: Option<&Arc<Signer>>,
) {
    let server = server_label(point.address, point.tls.is_some());
    for zone in zones {
        let names = block.plugins.iter().map(|placed| placed.plugin.name());
        at_work.enabled.extend(names.map(|name| Enabled {
            server: server.clone(),
            zone: zone.to_ascii(),
            name,
        }));
    }
    at_work.signers.extend(signer.map(|signer| (server, Arc::clone(signer))));
}

/// The addresses that queries reach `points` at: everywhere means every interface.
fn own_addresses(points: impl Iterator<Item = SocketAddr>, ground: &Ground<'_>) -> Vec<SocketAddr> {
    let mut own = Vec::new();
    for address in points {
        own.push(address);
        if address.ip().is_unspecified() {
            let same = |(_, ip): &&(String, IpAddr)| ip.is_ipv4() == address.is_ipv4();
            let reached = ground.interfaces.iter().filter(same);
            own.extend(reached.map(|(_, ip)| SocketAddr::new(*ip, address.port())));
        }
    }
    own.sort_unstable();
    own.dedup();
    own
}

/// Whether a query to `upstream` would come back to the block that sends it.
fn comes_back(upstream: SocketAddr, own: &[SocketAddr]) -> bool {
    is_own(upstream, own)
}

/// Where a block answers: each address with the zones of the keys that are for it.
type Points = Vec<(Point, Vec<Name>)>;
