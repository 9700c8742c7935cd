//! Cluster state from the API server.
//!
//! ```text
//! reflector, one for each kind --Input--> Store --Snapshot, Delta--> Publisher
//!   EDGE: list, watch, resume     bounded   PURE: whole, or none
//! ```
//!
//! Everything runs on one thread of its own, so that a list of ten thousand objects never keeps a
//! query waiting. Nothing is published before every kind was listed once; from then on a server that
//! is away changes nothing. Memory holds the view and no object as it came: bytes are decoded into
//! the fields in use, and a list is read in parts.
//!
//! | module | owns |
//! |---|---|
//! | `connect`, `endpoint` | clients: addresses in turn, certificates, tokens |
//! | `kind`, `query` | what is watched, and the requests for it |
//! | `request`, `lines`, `event` | one answer: bytes, lines, objects |
//! | `reflect`, `failure`, `backoff` | one kind followed through every interruption |
//! | `store` | all kinds as one view |
//! | `single` | objects that are read or made once |
//! | `status` | how it goes, for health and metrics |
//!
//! Why not `kube::runtime`: its reflector keeps whole objects in a store of its own, and its watcher
//! hands out whole objects; we keep neither.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use podway_cluster_archive::Archive;
use podway_cluster_model::name::{NodeName, ServiceName};
use podway_cluster_model::snapshot::{Delta, Snapshot};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::publish::Publisher;
use crate::rejection::ObjectKind;
use crate::report::Reports;
use crate::wanted::Wanted;

mod backoff;
mod connect;
mod endpoint;
mod event;
mod failure;
mod kind;
mod lines;
mod query;
mod reflect;
mod request;
mod single;
mod status;
mod store;

pub use connect::{Access, AccessError};
pub use endpoint::{Endpoint, EndpointError};
pub use reflect::Timing;
pub use single::{RequestError, Requester};
pub use status::{ApiStatus, KindStatus};

use connect::Connector;
use reflect::{Heard, Reflector, Shared};
use store::Store;

/// Objects that may wait for the store: enough to keep it busy, few enough to cost nothing.
const INBOX: usize = 256;

/// What is followed, and how it is reached.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where addresses and credentials come from.
    pub access: Access,
    /// Addresses to try in turn, before the one that `access` has.
    pub endpoints: Vec<Endpoint>,
    /// This node.
    pub node: NodeName,
    /// What is kept besides what everybody needs.
    pub wanted: Wanted,
    /// How long to wait for what.
    pub timing: Timing,
}

/// Why the API server cannot be followed at all.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The thread could not be started.
    #[error("the thread that follows the API server could not be started")]
    Thread(#[source] io::Error),
}

/// Follows the API server until it is dropped.
#[derive(Debug)]
pub struct ApiWatch {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    reports: Reports,
    status: ApiStatus,
}

/// Follows the API server on a thread of its own.
///
/// `restored` is what an earlier run knew; it is published at once and replaced by the first complete
/// view.
///
/// # Errors
/// [`ApiError`]: no thread. What is wrong with the server or the way to it stands in the status, and
/// is tried again.
pub fn spawn(
    config: ApiConfig,
    publisher: Publisher,
    restored: Option<Archive>,
) -> Result<ApiWatch, ApiError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(ApiError::Thread)?;
    let (reports, status) = (Reports::default(), ApiStatus::default());
    let (stop, stopped) = oneshot::channel();
    let source = Source {
        connector: Arc::new(Connector::new(config.access.clone(), config.endpoints.clone())),
        config,
        publisher,
        reports: reports.clone(),
        status: status.clone(),
    };
    let thread = thread::Builder::new()
        .name("api".to_owned())
        .spawn(move || run(&runtime, source, restored, stopped))
        .map_err(ApiError::Thread)?;
    Ok(ApiWatch { stop: Some(stop), thread: Some(thread), reports, status })
}

impl ApiWatch {
    /// What is wrong with objects.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// How the server is followed.
    #[must_use]
    pub fn status(&self) -> ApiStatus {
        self.status.clone()
    }
}

impl Drop for ApiWatch {
    fn drop(&mut self) {
        // It fails only when the thread has ended.
        let stopped = self.stop.take().is_some_and(|stop| stop.send(()).is_ok());
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        debug!(stopped, panicked, "API server no longer followed");
    }
}

fn run(
    runtime: &Runtime,
    source: Source,
    restored: Option<Archive>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::select! {
            // A sender that is dropped says the same.
            _ = stopped => {}
            () = source.follow(restored) => {}
        }
    });
}

/// What the thread works with.
struct Source {
    config: ApiConfig,
    connector: Arc<Connector>,
    publisher: Publisher,
    reports: Reports,
    status: ApiStatus,
}

impl Source {
    /// Follows every kind and publishes what they come to.
    async fn follow(self, restored: Option<Archive>) {
        let mut store = self.begin(restored);
        let (inbox, mut outbox) = mpsc::channel(INBOX);
        let shared = Shared {
            node: self.config.node.clone(),
            wanted: self.config.wanted.follow(),
            connector: Arc::clone(&self.connector),
            inbox,
            status: self.status.clone(),
            timing: self.config.timing,
        };
        let mut reflectors = JoinSet::new();
        for kind in ObjectKind::ALL {
            reflectors.spawn(Reflector::new(kind, shared.clone()).run());
        }
        drop(shared);
        let mut heard = Vec::with_capacity(INBOX);
        while outbox.recv_many(&mut heard, INBOX).await > 0 {
            self.take(&mut store, &mut heard);
        }
    }

    /// A store with what an earlier run knew, which is published.
    fn begin(&self, restored: Option<Archive>) -> Store {
        let Some(Archive { header, changes }) = restored else { return Store::default() };
        let (store, snapshot) = Store::restored((header.label_keys, header.imports), changes);
        info!(
            services = snapshot.services.size(),
            "last view taken from disk until the API server has told the new one"
        );
        self.connector.learn(Endpoint::named_by(&snapshot));
        self.publisher.publish(&snapshot, &Delta::everything(&snapshot), Instant::now());
        store
    }

    /// Takes in what came together, and publishes what it changed.
    fn take(&self, store: &mut Store, heard: &mut Vec<Heard>) {
        let first_seen = heard.iter().map(|heard| heard.at).min().unwrap_or_else(Instant::now);
        let step = store.apply(heard.drain(..).map(|heard| (heard.kind, heard.input)));
        self.reports.record(step.update, &std::collections::BTreeMap::new());
        let Some(snapshot) = step.complete else {
            debug!(awaited = ?store.awaited(), "view not complete yet");
            return;
        };
        let first = self.status.complete();
        if first {
            let endpoint = self.status.endpoint();
            let services = snapshot.services.size();
            info!(endpoint = endpoint.as_deref(), services, "API server has told the whole view");
        }
        if first || concerns_api_server(&step.delta) {
            self.learn(&snapshot);
        }
        self.publisher.publish_triggered(&snapshot, &step.delta, first_seen, step.triggers);
    }

    /// Takes note of the addresses that the cluster names, in an order of our own, so that not every
    /// node asks the same server.
    fn learn(&self, snapshot: &Snapshot) {
        let mut learned = Endpoint::named_by(snapshot);
        fastrand::shuffle(&mut learned);
        self.connector.learn(learned);
    }
}

/// Whether the Service of the API server is among what changed.
fn concerns_api_server(delta: &Delta) -> bool {
    ServiceName::new("default", "kubernetes").is_ok_and(|name| delta.services.contains(&name))
}
