//! The HTTP endpoints where the daemon tells how it is.
//!
//! | address | path | tells |
//! |---|---|---|
//! | healthz | `/healthz` | the kernel follows and the node is to get traffic |
//! | | `/livez` | the kernel follows |
//! | | `/readyz` | nothing is awaited any more |
//! | probe socket | `/livez`, `/readyz` | the same, of this process and no other |
//! | metrics | `/metrics` | counters, as OpenMetrics text |
//! | | `/proxyMode`, `/healthz` | as kube-proxy's, which tools read |
//! | | `/debug/plan`, `/debug/zone`, `/debug/snapshot` | what is in force, as text |
//! | | `/debug/frontend/PROTOCOL/ADDRESS/PORT`, `/debug/pods` | whose an address is, as JSON |
//!
//! Bodies and headers of `/healthz` and `/livez` are kube-proxy's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::node::Eligibility;
use podway_cluster_model::port::Port;
use podway_cluster_watch::publish::Feed;
use podway_proxy_plan::plan::FrontendKey;
use podway_proxy_sync::Inquirer;
use podway_proxy_sync::health::Health;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::time::timeout;

use crate::metrics::{ProbeCounts, RefusedPackets, SocketCounts};
use crate::names::Names;
use crate::readiness::Readiness;
use crate::source::Freshness;

mod body;
mod listen;
mod owner;
#[cfg(test)]
mod tests;

pub(crate) use listen::Doors;
pub(crate) use owner::{FrontendOwner, PodOwner};

/// OpenMetrics text, the form of the metrics library.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Longest wait for the sync loop when metrics are asked for.
const LOOP_PATIENCE: Duration = Duration::from_secs(1);

/// Everything that can be told.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) node: NodeName,
    /// How packets are sent to endpoints.
    pub(crate) mode: &'static str,
    pub(crate) readiness: Readiness,
    pub(crate) freshness: Freshness,
    pub(crate) health: Health,
    pub(crate) feed: Feed,
    pub(crate) names: Arc<Names>,
    pub(crate) inquirer: Inquirer,
    pub(crate) registry: Registry,
    pub(crate) probes: ProbeCounts,
    pub(crate) refused: RefusedPackets,
    pub(crate) sockets: SocketCounts,
}

/// The endpoints of the healthz address.
pub(crate) fn healthz_routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(admin)
}

/// The endpoints of the probe socket.
pub(crate) fn probe_routes(admin: Arc<Admin>) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(admin)
}

/// The endpoints of the metrics address.
pub(crate) fn metrics_routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/proxyMode", get(proxy_mode))
        .route("/healthz", get(|| async { "ok" }))
        .route("/debug/plan", get(debug_plan))
        .route("/debug/zone", get(debug_zone))
        .route("/debug/snapshot", get(debug_snapshot))
        .route("/debug/frontend/{protocol}/{address}/{port}", get(debug_frontend))
        .route("/debug/pods", get(debug_pods))
        .with_state(admin)
}

/// CoreDNS's page `/health`: it is there as long as the process is.
pub(crate) fn health_page() -> Router {
    Router::new().route("/health", get(|| async { "OK" }))
}

/// CoreDNS's page `/ready`.
pub(crate) fn ready_page(admin: Arc<Admin>) -> Router {
    Router::new().route("/ready", get(ready)).with_state(admin)
}

/// The metrics alone.
pub(crate) fn metrics_page(admin: Arc<Admin>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(admin)
}

impl Admin {
    /// Whether load balancers should send new traffic here; they should where nothing is known.
    fn eligibility(&self) -> Eligibility {
        let snapshot = self.feed.latest();
        let node = snapshot.as_ref().and_then(|snapshot| snapshot.nodes.get(&self.node));
        node.map_or(Eligibility::Eligible, |node| node.eligibility)
    }
}

async fn proxy_mode(State(admin): State<Arc<Admin>>) -> &'static str {
    admin.mode
}

async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    let eligibility = admin.eligibility();
    let body = body::Health::new(
        admin.health.report(Instant::now()),
        SystemTime::now(),
        Some(eligibility),
    );
    let status = status(body.healthy && eligibility == Eligibility::Eligible);
    admin.probes.healthz(status.as_u16());
    json(status, &body)
}

async fn livez(State(admin): State<Arc<Admin>>) -> Response {
    let body = body::Health::new(admin.health.report(Instant::now()), SystemTime::now(), None);
    let status = status(body.healthy);
    admin.probes.livez(status.as_u16());
    json(status, &body)
}

async fn readyz(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let awaited = admin.readiness.awaited();
    if awaited.is_empty() {
        let remark = admin.freshness.remark().map_or_else(String::new, |text| format!(": {text}"));
        (StatusCode::OK, format!("ok{remark}\n"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("awaited: {}\n", awaited.join(", ")))
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let awaited = admin.readiness.awaited();
    if awaited.is_empty() {
        (StatusCode::OK, "OK".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, awaited.join(","))
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    // Only a loop that is writing a large table takes long; its counts can wait for the next time.
    if let Ok(Some(refused)) = timeout(LOOP_PATIENCE, admin.inquirer.refusals()).await {
        admin.refused.set(refused);
    }
    if let Ok(Some(report)) = timeout(LOOP_PATIENCE, admin.inquirer.sockets()).await {
        admin.sockets.set(report);
    }
    let mut body = String::new();
    match text::encode(&mut body, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(error) => internal(format!("metrics cannot be encoded: {error}")),
    }
}

async fn debug_plan(State(admin): State<Arc<Admin>>) -> Response {
    let Some(plans) = admin.inquirer.plans().await else {
        return internal("the sync loop has ended".to_owned());
    };
    let services = plans.services.into_iter().map(|plan| plan.to_string());
    let conflicts = plans.conflicts.into_iter().map(|line| format!("conflict at {line}\n"));
    services.chain(conflicts).collect::<String>().into_response()
}

async fn debug_zone(State(admin): State<Arc<Admin>>) -> String {
    admin.names.text()
}

async fn debug_snapshot(State(admin): State<Arc<Admin>>) -> Response {
    match admin.feed.latest() {
        Some(snapshot) => format!("{snapshot:#?}\n").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet\n").into_response(),
    }
}

async fn debug_frontend(
    State(admin): State<Arc<Admin>>,
    Path((protocol, address, port)): Path<(String, IpAddr, u16)>,
) -> Response {
    let (Ok(protocol), Some(port)) = (protocol.to_ascii_uppercase().parse(), Port::new(port))
    else {
        return (StatusCode::BAD_REQUEST, "no such protocol or port\n").into_response();
    };
    let frontend = FrontendKey { address, protocol, port };
    let Some(plan) = admin.inquirer.plan_at(frontend).await else {
        return internal("the sync loop has ended".to_owned());
    };
    let snapshot = admin.feed.latest();
    let owner = plan.and_then(|plan| FrontendOwner::of(&plan, snapshot.as_deref(), frontend));
    match owner {
        Some(owner) => Json(owner).into_response(),
        None => (StatusCode::NOT_FOUND, format!("no Service has {frontend}\n")).into_response(),
    }
}

async fn debug_pods(State(admin): State<Arc<Admin>>) -> Response {
    match admin.feed.latest() {
        Some(snapshot) => Json(owner::pods(&snapshot)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no snapshot yet\n").into_response(),
    }
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn internal(reason: String) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, reason + "\n").into_response()
}

/// A JSON body with kube-proxy's headers.
fn json(status: StatusCode, body: &body::Health) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    match serde_json::to_string(body) {
        Ok(text) => (status, headers, text).into_response(),
        Err(error) => internal(format!("health cannot be encoded: {error}")),
    }
}
