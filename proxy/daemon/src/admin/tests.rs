use std::net::SocketAddr;
use std::time::Duration;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::node::Node;
use podway_cluster_watch::publish::Publisher;
use podway_dns_zone::ZoneConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::readiness::Guard;

/// Both sets of endpoints over loopback, and what they tell of.
struct Bench {
    healthz: SocketAddr,
    metrics: SocketAddr,
    publisher: Publisher,
    readiness: Readiness,
    health: Health,
}

/// An answer in three parts.
struct Answer {
    status: String,
    headers: String,
    body: String,
}

impl Bench {
    async fn start() -> Self {
        let publisher = Publisher::new();
        let readiness = Readiness::default();
        let health = Health::new(SystemTime::now());
        let probes = ProbeCounts::default();
        let mut registry = Registry::default();
        probes.register(&mut registry);
        let names = Arc::new(Names::default());
        names.zone(ZoneConfig::new("cluster.local").unwrap());
        let admin = Arc::new(Admin {
            node: NodeName::new("node-a").unwrap(),
            readiness: readiness.clone(),
            freshness: Freshness::default(),
            health: health.clone(),
            feed: publisher.feed(),
            mode: "nftables",
            names,
            inquirer: Inquirer::default(),
            registry,
            probes,
            refused: RefusedPackets::default(),
            sockets: SocketCounts::default(),
        });
        let healthz = serve(healthz_routes(Arc::clone(&admin))).await;
        let metrics = serve(metrics_routes(admin)).await;
        Self { healthz, metrics, publisher, readiness, health }
    }

    /// Publishes the Node of this node.
    fn publish_node(&self, eligibility: Eligibility) {
        let node = Node {
            name: NodeName::new("node-a").unwrap(),
            addresses: Vec::new(),
            pod_cidrs: Vec::new(),
            zone: None,
            eligibility,
        };
        let (snapshot, delta) = Builder::new().apply([Change::Node(node)]);
        self.publisher.publish(&snapshot, &delta, Instant::now());
    }
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap();
    Answer { status: status.to_owned(), headers: headers.to_lowercase(), body: body.to_owned() }
}

fn fields(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn healthy_node_has_the_body_and_headers_of_kube_proxy() {
    let bench = Bench::start().await;
    let answer = get(bench.healthz, "/healthz").await;
    assert_eq!(answer.status, "200 OK");
    for header in ["content-type: application/json", "x-content-type-options: nosniff"] {
        assert!(answer.headers.lines().any(|line| line == header), "{}", answer.headers);
    }
    let body = fields(&answer);
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["currentTime", "healthy", "lastUpdated", "nodeEligible", "status"]);
    assert_eq!(body["healthy"], true);
    assert_eq!(body["nodeEligible"], true, "a node that nothing is known of gets traffic");
    assert_eq!(body["lastUpdated"], body["currentTime"], "healthy counts as just updated");
    assert_eq!(body["status"]["IPv4"]["healthy"], true);
    assert_eq!(body["status"]["IPv6"]["lastUpdated"], body["currentTime"]);
    let time = body["currentTime"].as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
}

#[tokio::test]
async fn leaving_node_fails_healthz_but_not_livez() {
    let bench = Bench::start().await;
    bench.publish_node(Eligibility::Leaving);
    let healthz = get(bench.healthz, "/healthz").await;
    assert_eq!(healthz.status, "503 Service Unavailable");
    assert_eq!(fields(&healthz)["nodeEligible"], false);
    assert_eq!(fields(&healthz)["healthy"], true);

    let livez = get(bench.healthz, "/livez").await;
    assert_eq!(livez.status, "200 OK");
    assert!(fields(&livez).get("nodeEligible").is_none());
    let metrics = get(bench.metrics, "/metrics").await;
    assert!(metrics.body.contains("kubeproxy_proxy_healthz_total{code=\"503\"} 1\n"));
    assert!(metrics.body.contains("kubeproxy_proxy_livez_total{code=\"200\"} 1\n"));
    assert!(metrics.headers.contains("application/openmetrics-text"), "{}", metrics.headers);
}

#[tokio::test]
async fn family_that_lags_a_minute_fails_both_and_is_named() {
    let bench = Bench::start().await;
    bench.health.behind(podway_proxy_plan::plan::Family::Ip6, minutes_ago(2));
    for path in ["/healthz", "/livez"] {
        let answer = get(bench.healthz, path).await;
        assert_eq!(answer.status, "503 Service Unavailable", "{path}");
        let body = fields(&answer);
        assert_eq!(body["healthy"], false);
        assert_eq!(body["status"]["IPv4"]["healthy"], true);
        assert_eq!(body["status"]["IPv6"]["healthy"], false);
        assert_eq!(body["lastUpdated"], body["status"]["IPv6"]["lastUpdated"]);
        assert_ne!(body["lastUpdated"], body["currentTime"]);
    }
}

/// A time in the past, also on a machine that started just now.
fn minutes_ago(minutes: u64) -> Instant {
    Instant::now().checked_sub(Duration::from_secs(60 * minutes)).unwrap()
}

#[tokio::test]
async fn readyz_names_what_is_awaited_until_nothing_is() {
    let bench = Bench::start().await;
    let guards: [Guard; 2] =
        ["programmed", "dns-listening"].map(|name| bench.readiness.guard(name));
    let waiting = get(bench.healthz, "/readyz").await;
    assert_eq!(waiting.status, "503 Service Unavailable");
    assert_eq!(waiting.body, "awaited: dns-listening, programmed\n");
    guards.into_iter().for_each(Guard::done);
    let ready = get(bench.healthz, "/readyz").await;
    assert_eq!((&*ready.status, &*ready.body), ("200 OK", "ok\n"));
}

#[tokio::test]
async fn metrics_address_tells_mode_zone_and_snapshot_as_text() {
    let bench = Bench::start().await;
    assert_eq!(get(bench.metrics, "/proxyMode").await.body, "nftables");
    assert_eq!(get(bench.metrics, "/healthz").await.body, "ok");
    assert_eq!(get(bench.metrics, "/debug/snapshot").await.status, "503 Service Unavailable");
    bench.publish_node(Eligibility::Eligible);
    let snapshot = get(bench.metrics, "/debug/snapshot").await;
    assert!(snapshot.body.contains("node-a"), "{}", snapshot.body);
    assert_eq!(get(bench.metrics, "/debug/zone").await.status, "200 OK");
    assert_eq!(get(bench.metrics, "/debug/plan").await.status, "500 Internal Server Error");
    assert_eq!(get(bench.metrics, "/readyz").await.status, "404 Not Found");
    assert_eq!(get(bench.healthz, "/metrics").await.status, "404 Not Found");
}
