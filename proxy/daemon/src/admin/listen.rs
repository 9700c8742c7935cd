//! Sockets of the HTTP endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::{AdminConfig, BindFailure};

/// Wait before an address is tried again.
///
/// 1 s: one failed probe at most once the address is free.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// Where one set of endpoints is served.
#[derive(Debug)]
pub(crate) enum Door {
    /// Nowhere: it is turned off.
    Closed,
    /// At this socket.
    Open(TcpListener),
    /// At this address as soon as nobody else has it.
    Waiting(SocketAddr),
}

/// Both sets of endpoints.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) healthz: Door,
    pub(crate) metrics: Door,
}

impl Doors {
    /// Opens both.
    pub(crate) async fn open(config: &AdminConfig) -> anyhow::Result<Self> {
        let AdminConfig { healthz, metrics, bind_failure } = config;
        Ok(Self {
            healthz: Door::open("--healthz-bind-address", *healthz, *bind_failure).await?,
            metrics: Door::open("--metrics-bind-address", *metrics, *bind_failure).await?,
        })
    }
}

impl Door {
    async fn open(
        flag: &'static str,
        address: Option<SocketAddr>,
        failure: BindFailure,
    ) -> anyhow::Result<Self> {
        let Some(address) = address else { return Ok(Self::Closed) };
        match (TcpListener::bind(address).await, failure) {
            (Ok(listener), _) => {
                info!(flag, address = %listener.local_addr().unwrap_or(address), "listening");
                Ok(Self::Open(listener))
            }
            (Err(error), BindFailure::Fatal) => {
                Err(error).with_context(|| format!("{flag} {address} cannot be bound"))
            }
            (Err(error), BindFailure::Retried) => {
                warn!(flag, %address, %error, "address cannot be bound; it is tried again");
                Ok(Self::Waiting(address))
            }
        }
    }

    /// Serves `routes` until `stop` says so.
    pub(crate) async fn serve(self, routes: Router, mut stop: watch::Receiver<bool>) {
        let listener = match self {
            Self::Closed => return,
            Self::Open(listener) => listener,
            Self::Waiting(address) => tokio::select! {
                listener = bind_again(address) => listener,
                _ = stop.wait_for(|stop| *stop) => return,
            },
        };
        let stopped = async move {
            // That nobody is left to say so means the same.
            drop(stop.wait_for(|stop| *stop).await);
        };
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
            error!(%error, "HTTP endpoints are no longer served");
        }
    }
}

async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        tokio::time::sleep(BIND_RETRY).await;
        if let Ok(listener) = TcpListener::bind(address).await {
            info!(%address, "listening");
            return listener;
        }
    }
}
