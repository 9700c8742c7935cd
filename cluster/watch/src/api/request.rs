//! Sends one request and reads its answer, with bounds on time and size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use podway_cluster_model::name::NodeName;
use tokio::time::timeout;

use crate::rejection::ObjectKind;

use super::connect::Current;
use super::event::refusal;
use super::failure::Failure;
use super::query::{Query, path};

/// The form of all bodies.
pub(super) const JSON: &str = "application/json";

/// Most bytes of one page.
///
/// 256 MiB: a page has 250 objects, and etcd takes none of more than 1.5 MB.
const MAX_PAGE_BYTES: usize = 256 << 20;

/// Most bytes that are read of what a server says about an error.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Longest time between tries that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Asks for one kind.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) kind: ObjectKind,
    /// Where the server has them.
    pub(super) path: &'static str,
    pub(super) node: NodeName,
    /// Longest wait for an answer to begin.
    pub(super) answer: Duration,
}

/// An answer that comes in parts.
#[derive(Debug)]
pub(super) struct Stream {
    body: Body,
}

impl Asker {
    /// Asks; the answer has begun when this returns.
    pub(super) async fn ask(&self, current: &Current, query: Query<'_>) -> Result<Stream, Failure> {
        let path = path(self.path, self.kind, &self.node, query);
        send(current, Request::get(path).body(Body::empty()), self.answer).await
    }
}

/// Sends `request`; the answer has begun, within `patience`, when this returns.
pub(super) async fn send(
    current: &Current,
    request: http::Result<Request<Body>>,
    patience: Duration,
) -> Result<Stream, Failure> {
    let endpoint = || current.endpoint.to_string();
    let mut request = request.map_err(|error| Failure::Broken(error.into()))?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(JSON));
    let answer = timeout(patience, current.client.send(request)).await;
    let answer =
        answer
            .map_err(|_elapsed| Failure::NoAnswer { endpoint: endpoint(), patience })?
            .map_err(|error| Failure::Unreachable { endpoint: endpoint(), source: error.into() })?;
    let (head, body) = answer.into_parts();
    let mut stream = Stream { body };
    if head.status.is_success() {
        return Ok(stream);
    }
    let content = stream.up_to(MAX_ERROR_BYTES, patience).await.unwrap_or_default();
    Err(Failure::Refused {
        refusal: refusal(head.status.as_u16(), &content),
        retry_after: retry_after(&head.headers),
    })
}

impl Stream {
    /// The next part; `None` at the end.
    pub(super) async fn next(&mut self, silence: Duration) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = timeout(silence, self.body.frame()).await;
            match frame.map_err(|_elapsed| Failure::Silent { silence })? {
                None => return Ok(None),
                Some(Err(error)) => return Err(Failure::Broken(error.into())),
                Some(Ok(frame)) => {
                    // Trailers say nothing to us.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// All of it.
    pub(super) async fn whole(&mut self, silence: Duration) -> Result<Vec<u8>, Failure> {
        self.up_to(MAX_PAGE_BYTES, silence).await
    }

    async fn up_to(&mut self, limit: usize, silence: Duration) -> Result<Vec<u8>, Failure> {
        let mut content = Vec::new();
        while let Some(part) = self.next(silence).await? {
            if content.len() + part.len() > limit {
                return Err(Failure::TooLarge { limit });
            }
            content.extend_from_slice(&part);
        }
        Ok(content)
    }
}

/// When the server wants to be asked again, RFC 9110 §10.2.3; dates are not used by API servers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}
