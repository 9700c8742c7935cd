//! The pages of `health`, `ready` and `prometheus`, where the Corefile wants them.
//!
//! They say what the daemon's own addresses say, in CoreDNS's words.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use podway_dns_corefile::Config;
use podway_dns_corefile::value::{ListenAddress, ListenHost};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::overload::Overload;
use crate::admin::{Admin, health_page, metrics_page, ready_page};

/// Wait before an address is tried again.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Page {
    /// `/health`
    Health,
    /// `/ready`
    Ready,
    /// `/metrics`
    Metrics,
}

/// The pages that are served now.
pub(super) struct Pages {
    admin: Arc<Admin>,
    overload: Overload,
    served: BTreeMap<SocketAddr, (Vec<Page>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Pages {
    /// None yet.
    pub(super) fn new(admin: Arc<Admin>, overload: Overload) -> Self {
        Self { admin, overload, served: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Serves the pages of `config` and no others; what stays goes on.
    pub(super) fn serve(&mut self, config: &Config) {
        let wanted = wanted(config);
        self.served.retain(|address, (pages, task)| {
            let stays = wanted.get(address) == Some(pages);
            if !stays {
                task.abort();
            }
            stays
        });
        for (address, pages) in wanted {
            if self.served.contains_key(&address) {
                continue;
            }
            let mut routes = Router::new();
            for page in &pages {
                routes = routes.merge(match page {
                    Page::Health => health_page(),
                    Page::Ready => ready_page(Arc::clone(&self.admin)),
                    Page::Metrics => metrics_page(Arc::clone(&self.admin)),
                });
            }
            let watched = pages.contains(&Page::Health).then(|| self.overload.clone());
            let task = self.tasks.spawn(serve(address, routes, watched));
            self.served.insert(address, (pages, task));
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

/// The pages of each address.
fn wanted(config: &Config) -> BTreeMap<SocketAddr, Vec<Page>> {
    let mut wanted = BTreeMap::<SocketAddr, Vec<Page>>::new();
    let mut add = |address: &ListenAddress, page| {
        let pages = wanted.entry(socket(address)).or_default();
        if !pages.contains(&page) {
            pages.push(page);
        }
    };
    for block in &config.blocks {
        if let Some(health) = block.health() {
            add(&health.address, Page::Health);
        }
        if let Some(ready) = block.ready() {
            add(&ready.address, Page::Ready);
        }
        if let Some(prometheus) = block.prometheus() {
            add(&prometheus.address, Page::Metrics);
        }
    }
    wanted
}

/// The socket address; every address of the machine is that of IPv6, which takes IPv4 too.
fn socket(address: &ListenAddress) -> SocketAddr {
    match address.host {
        ListenHost::Any => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port),
        ListenHost::Localhost => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port),
        ListenHost::Address(ip) => SocketAddr::new(ip, address.port),
    }
}

/// Serves `routes` at `address` as soon as nobody else has it; what is `watched` is asked too.
async fn serve(address: SocketAddr, routes: Router, watched: Option<Overload>) {
    let mut told = false;
    let listener = loop {
        match bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                warn!(%address, %error, "an address of the Corefile cannot be bound; it is tried again");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(BIND_RETRY).await;
    };
    info!(%address, "listening for HTTP");
    let watching = async {
        match watched {
            Some(overload) => overload.watch(address).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        served = axum::serve(listener, routes) => served,
        () = watching => Ok(()),
    };
    if let Err(error) = served {
        warn!(%address, %error, "HTTP pages are no longer served");
    }
}

/// Binds `address`; every address of a machine without IPv6 is that of IPv4.
async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        outcome => outcome,
    }
}
