//! Sockets of the HTTP endpoints.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
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

/// All sets of endpoints.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) healthz: Door,
    pub(crate) metrics: Door,
    pub(crate) probe: Option<ProbeDoor>,
}

/// The endpoints of a socket in the file system.
#[derive(Debug)]
pub(crate) struct ProbeDoor(UnixListener);

impl Doors {
    /// Opens all.
    pub(crate) async fn open(config: &AdminConfig) -> anyhow::Result<Self> {
        let AdminConfig { healthz, metrics, bind_failure, probe_socket, state: _ } = config;
        Ok(Self {
            healthz: Door::open("--healthz-bind-address", *healthz, *bind_failure).await?,
            metrics: Door::open("--metrics-bind-address", *metrics, *bind_failure).await?,
            probe: probe_socket.as_deref().map(ProbeDoor::open).transpose()?,
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

impl ProbeDoor {
    /// Makes the socket anew: one that a container's earlier run left answers nobody.
    fn open(path: &Path) -> anyhow::Result<Self> {
        let flag = || format!("--probe-socket {} cannot be bound", path.display());
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(flag);
            }
            Ok(()) | Err(_) => {}
        }
        Ok(Self(UnixListener::bind(path).with_context(flag)?))
    }

    /// Serves `routes` until `stop` says so.
    pub(crate) async fn serve(self, routes: Router, mut stop: watch::Receiver<bool>) {
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        if let Err(error) = axum::serve(self.0, routes).with_graceful_shutdown(stopped).await {
            error!(%error, "probes are no longer answered");
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
