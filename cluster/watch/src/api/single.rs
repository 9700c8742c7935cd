//! Single requests: an object that is read once, and events that are told to the cluster.

use std::time::Duration;

use http::Request;
use http::header::CONTENT_TYPE;
use kube::client::Body;
use thiserror::Error;

use super::ApiConfig;
use super::connect::Connector;
use super::failure::Failure;
use super::request::{JSON, Stream, send};

/// Longest wait for an answer, and between its parts.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a single request failed.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct RequestError(#[from] Failure);

/// Sends single requests.
#[derive(Debug)]
pub struct Requester {
    connector: Connector,
}

impl Requester {
    /// A requester with connections of its own.
    #[must_use]
    pub fn new(config: &ApiConfig) -> Self {
        Self { connector: Connector::new(config.access.clone(), config.endpoints.clone()) }
    }

    /// The object at `path` as JSON; `None` where there is none.
    ///
    /// # Errors
    /// [`RequestError`]: no server gives it.
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, RequestError> {
        let answer = self.ask(|| Request::get(path).body(Body::empty())).await;
        match answer {
            Ok(mut stream) => Ok(Some(stream.whole(PATIENCE).await?)),
            Err(failure) if failure.refusal().is_some_and(|refusal| refusal.code == 404) => {
                Ok(None)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Makes the object `content`, which is JSON, at `path`.
    ///
    /// # Errors
    /// [`RequestError`]: no server takes it.
    pub async fn post(&self, path: &str, content: &str) -> Result<(), RequestError> {
        let request = || {
            let request = Request::post(path).header(CONTENT_TYPE, JSON);
            request.body(Body::from(content.as_bytes().to_vec()))
        };
        let mut stream = self.ask(request).await?;
        // A connection whose answer was read can be used again.
        stream.whole(PATIENCE).await?;
        Ok(())
    }

    /// Asks each address once, until one answers.
    async fn ask(
        &self,
        request: impl Fn() -> http::Result<Request<Body>>,
    ) -> Result<Stream, Failure> {
        let mut left = self.connector.addresses();
        loop {
            let current = self.connector.client().await?;
            left -= 1;
            match send(&current, request(), PATIENCE).await {
                Err(failure) if failure.is_of_server() && left > 0 => {
                    self.connector.unreachable(current.generation);
                }
                Err(failure) => {
                    if failure.is_of_credentials() {
                        self.connector.unauthorized(current.generation);
                    }
                    return Err(failure);
                }
                Ok(stream) => return Ok(stream),
            }
        }
    }
}
