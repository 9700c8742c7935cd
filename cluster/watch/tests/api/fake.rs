//! An API server of our own, over real TLS and TCP: as much of it as lists and watches need, with
//! every misbehavior that a real one shows under stress.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Paths of the resources, as the daemon must ask for them.
pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const SERVICE_CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
pub(crate) const IMPORTS: &str = "/apis/multicluster.x-k8s.io/v1beta1/serviceimports";
pub(crate) const OLDER_IMPORTS: &str = "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports";

/// How lists that come as a stream are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamedLists {
    /// As newer servers do.
    Served,
    /// As servers do that know them and have them switched off.
    Refused,
    /// As servers do that do not know the parameters: a watch from now on.
    Ignored,
}

/// What the server knows and how it behaves.
#[derive(Debug)]
pub(crate) struct State {
    version: u64,
    objects: BTreeMap<&'static str, BTreeMap<String, Value>>,
    /// Version, path, type and object of each change.
    changes: Vec<(u64, &'static str, &'static str, Value)>,
    /// The newest version that watches cannot go on from.
    pub(crate) forgotten: u64,
    pub(crate) streamed_lists: StreamedLists,
    /// Statuses that are answered instead, by path.
    pub(crate) refused: HashMap<&'static str, u16>,
    /// The only token that is let in, if not every one.
    pub(crate) token: Option<String>,
    /// Paths and queries asked for, in order.
    pub(crate) asked: Vec<String>,
    /// Whether connections are accepted and then left alone.
    pub(crate) half_open: bool,
    /// Whether watches stay silent whatever happens.
    pub(crate) silent: bool,
}

/// A running server; it ends when it is dropped.
pub(crate) struct Fake {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
    listening: Option<JoinHandle<()>>,
    /// Every connection ends when this changes.
    cut: watch::Sender<()>,
    papers: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Fake {
    /// A server with a Namespace, a Node and nothing else.
    pub(crate) fn start() -> Self {
        let state = State {
            version: 100,
            objects: BTreeMap::new(),
            changes: Vec::new(),
            forgotten: 0,
            streamed_lists: StreamedLists::Served,
            refused: HashMap::new(),
            token: None,
            asked: Vec::new(),
            half_open: false,
            silent: false,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut fake = Self {
            runtime,
            address: "127.0.0.1:0".parse().unwrap(),
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(()),
            listening: None,
            cut: watch::Sender::new(()),
            papers: TempDir::new().unwrap(),
            authority: authority(),
        };
        std::fs::write(fake.path("token"), "first").unwrap();
        fake.listen();
        fake.put(NAMESPACES, "shop", json!({}));
        fake.put(NODES, "node-1", json!({"spec": {"podCIDRs": ["10.244.1.0/24"]}}));
        fake
    }

    /// Accepts connections, at the address it had before if it had one.
    pub(crate) fn listen(&mut self) {
        let listener = self.runtime.block_on(TcpListener::bind(self.address)).unwrap();
        self.address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(self.certificate()));
        self.write_kubeconfig();
        let (state, changed, cut) =
            (Arc::clone(&self.state), self.changed.clone(), self.cut.clone());
        self.listening = Some(self.runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (state, changed) = (Arc::clone(&state), changed.clone());
                let (acceptor, mut cut) = (acceptor.clone(), cut.subscribe());
                tokio::spawn(async move {
                    let work = async {
                        if state.lock().unwrap().half_open {
                            std::future::pending::<()>().await;
                        }
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let service = hyper::service::service_fn(move |request| {
                            let answer = answer(&state, &changed, &request);
                            async move { Ok::<_, Infallible>(answer) }
                        });
                        let connection = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service);
                        drop(connection.await);
                    };
                    tokio::select! {
                        () = work => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        }));
    }

    /// Goes away: nothing is accepted and every connection is cut.
    pub(crate) fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            drop(self.runtime.block_on(listening));
        }
        self.cut_connections();
    }

    /// Cuts every connection; new ones are accepted.
    pub(crate) fn cut_connections(&self) {
        self.cut.send_replace(());
    }

    /// What it knows and how it behaves.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Puts an object with the members of `content`; names with a slash have a namespace.
    pub(crate) fn put(&self, path: &'static str, name: &str, content: Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let (namespace, local) = name.rsplit_once('/').unwrap_or(("", name));
        let mut object = content;
        let metadata = object["metadata"].take();
        object["metadata"] = json!({"name": local, "resourceVersion": version.to_string()});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        // As a real server fills objects: with much that nobody here reads.
        object["metadata"]["managedFields"] = json!([{"manager": "test", "fieldsV1": {"f:a": {}}}]);
        let known = state.objects.entry(path).or_default();
        let kind = if known.insert(name.to_owned(), object.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.changes.push((version, path, kind, object));
        drop(state);
        self.changed.send_replace(());
    }

    /// Takes an object away.
    pub(crate) fn delete(&self, path: &'static str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let mut object = state.objects.get_mut(path).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        state.changes.push((version, path, "DELETED", object));
        drop(state);
        self.changed.send_replace(());
    }

    /// Forgets all changes so far, as a compaction of etcd does.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.version += 1;
        state.forgotten = state.version;
        state.changes.clear();
    }

    /// Lets in nobody but holders of `token`.
    pub(crate) fn require_token(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    /// A file of this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.papers.path().join(name)
    }

    /// Takes another authority, whose certificates nobody trusts yet.
    pub(crate) fn change_authority(&mut self) {
        self.authority = authority();
    }

    /// Writes the kubeconfig that leads here, with a token from a file.
    pub(crate) fn write_kubeconfig(&self) {
        let ca = data_encoding::BASE64.encode(self.authority.pem().as_bytes());
        let (address, token) = (self.address, self.path("token"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: c, cluster: {{server: 'https://{address}', \
             certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: u, user: {{tokenFile: {}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: c, user: u}}}}]\n",
            token.display()
        );
        let written = self.path("kubeconfig.new");
        std::fs::write(&written, text).unwrap();
        std::fs::rename(written, self.path("kubeconfig")).unwrap();
    }

    fn certificate(&self) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "kubernetes.default.svc".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The body of an answer, in parts.
struct Parts(mpsc::Receiver<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

fn whole(status: u16, content: &Value) -> Response<Parts> {
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(Bytes::from(content.to_string())).unwrap();
    let mut response = Response::new(Parts(receiver));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn refusal(status: u16, reason: &str, message: &str) -> Response<Parts> {
    let content = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": status, "reason": reason, "message": message,
    });
    whole(status, &content)
}

fn answer(
    state: &Arc<Mutex<State>>,
    changed: &watch::Sender<()>,
    request: &Request<Incoming>,
) -> Response<Parts> {
    let mut locked = state.lock().unwrap();
    locked.asked.push(request.uri().to_string());
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if let Some(token) = &locked.token
        && bearer != Some(&format!("Bearer {token}"))
    {
        return refusal(401, "Unauthorized", "Unauthorized");
    }
    let known = [SERVICES, SLICES, NAMESPACES, NODES, PODS, SERVICE_CIDRS, IMPORTS, OLDER_IMPORTS];
    let Some(path) = known.into_iter().find(|path| *path == request.uri().path()) else {
        return refusal(404, "NotFound", "the server could not find the requested resource");
    };
    if let Some(status) = locked.refused.get(path) {
        return match status {
            403 => refusal(403, "Forbidden", &format!("{path} is forbidden: no right to list")),
            status => refusal(*status, "", "refused by the test"),
        };
    }
    let query: HashMap<String, String> =
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if !query.contains_key("watch") {
        return page(&locked, path, &query);
    }
    let streamed = query.contains_key("sendInitialEvents");
    if streamed && locked.streamed_lists == StreamedLists::Refused {
        return refusal(422, "Invalid", "sendInitialEvents: Forbidden");
    }
    let since = match query.get("resourceVersion").map(|text| text.parse::<u64>().unwrap()) {
        Some(version) if version < locked.forgotten => {
            return refusal(410, "Expired", "too old resource version");
        }
        Some(version) => version,
        None => locked.version,
    };
    let first = if streamed && locked.streamed_lists == StreamedLists::Served {
        initial_events(&locked, path)
    } else {
        Vec::new()
    };
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(watch(Arc::clone(state), changed.subscribe(), path, since, first, sender));
    Response::new(Parts(receiver))
}

/// A page of the list, whose token is the number of objects before it.
fn page(state: &State, path: &'static str, query: &HashMap<String, String>) -> Response<Parts> {
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    let (limit, begin) = (number("limit").unwrap(), number("continue").unwrap_or(0));
    let none = BTreeMap::new();
    let objects = state.objects.get(path).unwrap_or(&none);
    let items: Vec<_> = objects.values().skip(begin).take(limit).cloned().collect();
    let mut metadata = json!({"resourceVersion": state.version.to_string()});
    if begin + items.len() < objects.len() {
        metadata["continue"] = json!((begin + items.len()).to_string());
    }
    whole(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn initial_events(state: &State, path: &'static str) -> Vec<String> {
    let objects = state.objects.get(path).into_iter().flat_map(BTreeMap::values);
    let mut lines: Vec<_> = objects.map(|object| line("ADDED", object)).collect();
    let end = json!({"metadata": {
        "resourceVersion": state.version.to_string(),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }});
    lines.push(line("BOOKMARK", &end));
    lines
}

/// Sends `first`, and then each change of `path` after `since`, until nobody reads.
async fn watch(
    state: Arc<Mutex<State>>,
    mut changed: watch::Receiver<()>,
    path: &'static str,
    mut since: u64,
    first: Vec<String>,
    sender: mpsc::Sender<Bytes>,
) {
    // A real server cuts what it sends anywhere.
    let text = first.concat();
    for part in text.as_bytes().chunks(1000) {
        if sender.send(Bytes::copy_from_slice(part)).await.is_err() {
            return;
        }
    }
    loop {
        changed.borrow_and_update();
        let mut lines = String::new();
        {
            let state = state.lock().unwrap();
            for (version, of, kind, object) in &state.changes {
                if *version > since && *of == path {
                    lines.push_str(&line(kind, object));
                }
            }
            since = state.version;
            if state.silent {
                lines.clear();
            }
        }
        if !lines.is_empty() && sender.send(Bytes::from(lines)).await.is_err() {
            return;
        }
        tokio::select! {
            result = changed.changed() => if result.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// A Service with a ClusterIP, as the API server fills it.
pub(crate) fn service(cluster_ip: &str) -> Value {
    json!({
        "spec": {
            "type": "ClusterIP", "clusterIP": cluster_ip, "clusterIPs": [cluster_ip],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
        "status": {"loadBalancer": {}},
    })
}

/// A slice of `service` with one endpoint for each address.
pub(crate) fn slice(service: &str, addresses: &[&str]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| {
            json!({"addresses": [address], "nodeName": "node-1",
                   "conditions": {"ready": true, "serving": true, "terminating": false}})
        })
        .collect();
    json!({
        "metadata": {"labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}
