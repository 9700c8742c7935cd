//! Connections to an API server: which one, by which certificates, with which token.
//!
//! There may be several addresses, and the first that works is kept until it fails. The ClusterIP of
//! the API server is the last of them: without rules it leads nowhere while we start. Files are read
//! anew whenever a client is made, so that certificates and tokens that were replaced take effect.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, Client, ConfigExt};
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;
use tower::{BoxError, ServiceBuilder};

use super::endpoint::Endpoint;

/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence on a connection after which the kernel asks whether the other side is still there.
///
/// With [`PROBES`] of them at [`PROBE_INTERVAL`] a server that vanished is noticed within 30 s, while
/// bookmarks alone would take minutes.
const IDLE_BEFORE_PROBES: Duration = Duration::from_secs(15);

/// Time between two such questions.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Unanswered questions after which a connection is broken.
const PROBES: u32 = 3;

/// Age at which a client is made anew, so that replaced files count before the old ones expire.
const CLIENT_LIFE: Duration = Duration::from_secs(300);

/// How we call ourselves to the server.
const USER_AGENT: &str = concat!("podway/", env!("CARGO_PKG_VERSION"));

/// Where addresses and credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A kubeconfig; its current context counts.
    Kubeconfig(PathBuf),
    /// The ServiceAccount of the pod we run in.
    InCluster,
}

/// Why no client can be made.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {} cannot be used", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// We are in no pod, or it has no ServiceAccount.
    #[error("no ServiceAccount is mounted here, and no kubeconfig was given")]
    InCluster(#[source] InClusterError),
    /// Certificates or a token cannot be used.
    #[error("certificates or token cannot be used")]
    Credentials(#[source] Box<kube::Error>),
}

/// Makes clients, each for the address that is to be tried.
#[derive(Debug)]
pub(super) struct Connector {
    access: Access,
    /// Addresses that were given, in the order they are tried in.
    given: Vec<Endpoint>,
    state: Mutex<State>,
}

/// Which address is in use.
#[derive(Debug, Default)]
struct State {
    /// Addresses that the cluster itself names.
    learned: Vec<Endpoint>,
    /// Place of the address among all.
    place: usize,
    /// Counts the clients, so that one failure moves on once.
    generation: u64,
    current: Option<Current>,
}

/// The client in use.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) client: Client,
    /// Which client this is.
    pub(super) generation: u64,
    /// Where it leads.
    pub(super) endpoint: Arc<str>,
    made: Instant,
}

impl fmt::Debug for Current {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client: _, generation, endpoint, made: _ } = self;
        write!(formatter, "client {generation} of {endpoint}")
    }
}

impl Connector {
    /// A connector that has made nothing yet.
    pub(super) fn new(access: Access, given: Vec<Endpoint>) -> Self {
        Self { access, given, state: Mutex::default() }
    }

    /// The client in use, or a new one.
    pub(super) async fn client(&self) -> Result<Current, AccessError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let config = self.config().await?;
        let mut state = self.lock();
        let (endpoint, config) = self.choose(&state, config);
        let client = client(config).map_err(Box::new).map_err(AccessError::Credentials)?;
        state.generation += 1;
        let generation = state.generation;
        let current = Current { client, generation, endpoint, made: Instant::now() };
        state.current = Some(current.clone());
        Ok(current)
    }

    /// Takes note that the client of `generation` got no answer: the next address is tried.
    pub(super) fn unreachable(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation && state.current.take().is_some() {
            state.place = state.place.wrapping_add(1);
        }
    }

    /// Takes note that the credentials of the client of `generation` are not good any more.
    pub(super) fn unauthorized(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.current = None;
        }
    }

    /// How many addresses there are to try before each was tried once.
    pub(super) fn addresses(&self) -> usize {
        self.given.len() + self.lock().learned.len() + 1
    }

    /// Takes note of addresses that the cluster itself names.
    pub(super) fn learn(&self, learned: Vec<Endpoint>) {
        self.lock().learned = learned;
    }

    fn current(&self) -> Option<Current> {
        let state = self.lock();
        state.current.clone().filter(|current| current.made.elapsed() < CLIENT_LIFE)
    }

    /// Where to go, and the configuration that leads there.
    fn choose(&self, state: &State, mut config: Config) -> (Arc<str>, Config) {
        let own = std::iter::once(None);
        let given = self.given.iter().map(Some);
        let learned = state.learned.iter().map(Some);
        let all: Vec<Option<&Endpoint>> = match self.access {
            // Of a pod, that is the ClusterIP.
            Access::InCluster => given.chain(learned).chain(own).collect(),
            Access::Kubeconfig(_) => given.chain(own).chain(learned).collect(),
        };
        if let Some(Some(endpoint)) = all.get(state.place % all.len()) {
            config.cluster_url = endpoint.uri.clone();
            if endpoint.server_name.is_some() && config.tls_server_name.is_none() {
                config.tls_server_name.clone_from(&endpoint.server_name);
            }
        }
        (config.cluster_url.to_string().into(), config)
    }

    /// Reads the files.
    async fn config(&self) -> Result<Config, AccessError> {
        let mut config = match &self.access {
            Access::InCluster => Config::incluster().map_err(AccessError::InCluster)?,
            Access::Kubeconfig(path) => {
                let unusable = |source| AccessError::Kubeconfig {
                    path: path.clone(),
                    source: Box::new(source),
                };
                let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .map_err(unusable)?
            }
        };
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
        Ok(config)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is whole after each assignment, so a poisoned lock holds no half state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of our own making: kube's does not let the kernel watch over silent connections.
fn client(config: Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(IDLE_BEFORE_PROBES));
    connector.set_keepalive_interval(Some(PROBE_INTERVAL));
    connector.set_keepalive_retries(Some(PROBES));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let plain: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(plain);
    Ok(Client::new(service, config.default_namespace))
}
