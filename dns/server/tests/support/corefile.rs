//! A server made from a Corefile.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; not every test file uses every helper"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use podway_dns_corefile::{Lenience, MemorySources, read};
use podway_dns_server::{Blueprint, ClientLimits, Control, Ground, Metrics, NotServed, Server};
use podway_dns_zone::{SearchPaths, ZoneConfig, ZoneIndex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::zone::index;
use super::{Running, closed_port};

/// An address that is answered in the place of another server.
pub(crate) const INTERCEPTED: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// A server that answers as a Corefile says, at a loopback address.
pub(crate) struct Site {
    pub(crate) running: Running,
    pub(crate) control: Control,
    port: u16,
    blueprint: Mutex<Blueprint>,
    zones: Arc<Zones>,
}

/// The indexes that the Corefiles of a test have asked for.
#[derive(Default)]
pub(crate) struct Zones(Mutex<Vec<Arc<ArcSwap<ZoneIndex>>>>);

impl Zones {
    fn zone(&self, config: ZoneConfig) -> Arc<ArcSwap<ZoneIndex>> {
        let mut zones = self.0.lock().unwrap();
        if let Some(zone) = zones.iter().find(|zone| *zone.load().config() == config) {
            return Arc::clone(zone);
        }
        let zone = Arc::new(ArcSwap::from_pointee(index(config)));
        zones.push(Arc::clone(&zone));
        zone
    }
}

/// What `text` makes at `listen`.
pub(crate) fn blueprint(
    text: &str,
    listen: &[SocketAddr],
    zones: &Zones,
    (metrics, earlier): (&Metrics, Option<&Blueprint>),
) -> Result<Blueprint, NotServed> {
    let sources = MemorySources::default();
    let reading = read("Corefile", text.as_bytes(), &sources, Lenience::Strict)
        .unwrap_or_else(|mistakes| panic!("{mistakes}\nin\n{text}"));
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ground = Ground {
        listen,
        everywhere: &[loopback],
        interfaces: &[("lo".to_owned(), loopback)],
        intercepted: &[IpAddr::V4(INTERCEPTED)],
        workers: NonZeroUsize::new(2).unwrap(),
        zone: &|config| zones.zone(config),
        metrics,
        search_paths: Some(&SearchPaths { node: None, host: Vec::new() }),
        host: "node-a",
        lenience: Lenience::Strict,
    };
    Blueprint::new(&reading.config, &ground, earlier)
}

impl Site {
    /// Starts a server for the Corefile `text`, in which `:PORT` stands for the port it gets.
    pub(crate) async fn start(text: &str) -> Self {
        let address = closed_port().await;
        let (metrics, zones) = (Metrics::default(), Arc::new(Zones::default()));
        let text = text.replace(":PORT", &format!(":{}", address.port()));
        let blueprint = blueprint(&text, &[], &zones, (&metrics, None)).unwrap();
        let limits = ClientLimits::default();
        let server = Server::bind_blueprint(blueprint.clone(), limits, metrics).unwrap();
        assert_eq!([server.local_addrs(), server.tls_addrs()].concat(), [address]);
        let (control, metrics) = (server.control(), server.metrics().clone());
        let (stop, stopped) = oneshot::channel();
        let task: JoinHandle<_> = tokio::spawn(server.run(async {
            stopped.await.ok();
        }));
        let zone = zones.0.lock().unwrap().first().cloned();
        let zone = zone.unwrap_or_else(|| Arc::new(ArcSwap::from_pointee(super::unsynced())));
        let running = Running { address, zone, metrics, stop, task };
        Self { running, control, port: address.port(), blueprint: Mutex::new(blueprint), zones }
    }

    /// Puts another Corefile into force.
    pub(crate) async fn replace(&self, text: &str) -> Result<(), String> {
        let text = text.replace(":PORT", &format!(":{}", self.port));
        let earlier = self.blueprint.lock().unwrap().clone();
        let next = blueprint(&text, &[], &self.zones, (&self.running.metrics, Some(&earlier)))
            .map_err(|error| error.to_string())?;
        self.control.replace(next.clone()).await.map_err(|error| error.to_string())?;
        *self.blueprint.lock().unwrap() = next;
        Ok(())
    }
}
