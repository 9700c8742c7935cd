//! One server: body, headers and status codes are kube-proxy's.
//!
//! Anybody may reach it, so a connection has one answer, little time, and few beside it.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use podway_proxy_plan::health::HealthCheck;
use podway_proxy_sync::health::Health;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

/// How many clients are spoken with at a time; others wait.
const MAX_CONNECTIONS: usize = 64;

/// Longest time of a connection; an answer takes less than a millisecond.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Pause after a connection could not be taken, for want of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Where load balancers find how much traffic the node should get.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// Serves `listener` until the task is ended; open connections end with it.
pub(super) async fn serve(
    listener: TcpListener,
    told: watch::Receiver<HealthCheck>,
    health: Health,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(timeout(
                            MAX_TIME,
                            converse(stream, told.clone(), health.clone()),
                        ));
                    }
                    Err(error) => {
                        warn!(%error, "a health check cannot be taken");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers one request.
async fn converse(stream: TcpStream, told: watch::Receiver<HealthCheck>, health: Health) {
    let answer = |_: Request<Incoming>| {
        let is_healthy = health.report(Instant::now()).iter().all(|(_, family)| family.healthy);
        let response = response(&told.borrow(), is_healthy);
        async { Ok::<_, Infallible>(response) }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(MAX_TIME).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await {
        debug!(%error, "a health check came to nothing");
    }
}

/// kube-proxy's body, field by field.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    service: Name<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct Name<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// The answer to whatever is asked; `is_healthy` is whether the kernel follows the cluster.
fn response(check: &HealthCheck, is_healthy: bool) -> Response<String> {
    let HealthCheck { service, local_endpoints } = check;
    let body = Body {
        service: Name { namespace: service.namespace.as_str(), name: service.name.as_str() },
        local_endpoints: *local_endpoints,
        service_proxy_healthy: is_healthy,
    };
    let good = *local_endpoints > 0 && is_healthy;
    let (status, text) = match indented(&body) {
        Ok(text) if good => (StatusCode::OK, text),
        Ok(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(WEIGHT, HeaderValue::from(*local_endpoints));
    response
}

/// JSON indented by tabs, as kube-proxy writes it.
fn indented(body: &Body<'_>) -> io::Result<String> {
    let mut bytes = Vec::new();
    body.serialize(&mut Serializer::with_formatter(
        &mut bytes,
        PrettyFormatter::with_indent(b"\t"),
    ))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use podway_cluster_model::name::ServiceName;

    use super::*;

    fn answer(local_endpoints: usize, is_healthy: bool) -> Response<String> {
        let service = ServiceName::new("shop", "web").unwrap();
        response(&HealthCheck { service, local_endpoints }, is_healthy)
    }

    #[test]
    fn body_and_headers_are_those_of_kube_proxy() {
        let answer = answer(2, true);
        assert_eq!(
            answer.body(),
            "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\
             \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
        );
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/json");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-load-balancing-endpoint-weight"), "2");
    }

    #[test]
    fn node_is_good_with_endpoints_and_a_kernel_that_follows() {
        for (endpoints, is_healthy, expected) in
            [(1, true, 200), (0, true, 503), (1, false, 503), (0, false, 503)]
        {
            let answer = answer(endpoints, is_healthy);
            assert_eq!(answer.status(), expected, "{endpoints} {is_healthy}");
            let weight = answer.headers()["x-load-balancing-endpoint-weight"].to_str().unwrap();
            assert_eq!(weight, endpoints.to_string(), "told whatever the status");
        }
    }
}
