//! Speaks with the API server of a lab, from wherever: over the socket of `kubectl proxy`.
//!
//! Owns HTTP over that socket and nothing of what is said. TLS and credentials are the proxy's, and
//! so are the lab's namespaces: a test or benchmark outside of them speaks as an administrator. One
//! connection is one request. Format: RFC 9112.

mod body;

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use body::{Body, Head};

/// Longest wait for an answer that has an end.
///
/// 60 s: the API server's own limit for requests.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The API server of a lab; a cheap handle.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

/// What the API server said to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The object, or the `Status` with the reason.
    pub object: Value,
}

impl ApiAnswer {
    /// The object of a request that must have succeeded.
    ///
    /// # Errors
    /// When it did not; the error has the API server's reason.
    pub fn checked(self) -> Result<Value> {
        let reason = self.object["message"].as_str().unwrap_or_default();
        ensure!((200..300).contains(&self.status), "status {}: {reason}", self.status);
        Ok(self.object)
    }
}

impl Api {
    /// The API server behind the proxy that listens on `socket`.
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
    }

    /// An API server that nobody reaches: for tests of what does not ask it.
    #[must_use]
    pub fn unreachable() -> Self {
        Self { socket: PathBuf::new() }
    }

    /// Reads the object or list at `path`.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.request("GET", path, None)?.checked().with_context(|| format!("GET {path}"))
    }

    /// Creates `object` in the collection at `path`.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let answer = self.request("POST", path, Some(("application/json", object)))?;
        answer.checked().with_context(|| format!("POST {path}"))
    }

    /// Merges `patch` into the object at `path` (RFC 7396).
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let answer = self.request("PATCH", path, Some(("application/merge-patch+json", patch)))?;
        answer.checked().with_context(|| format!("PATCH {path}"))
    }

    /// Deletes the object at `path`.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.request("DELETE", path, None)?.checked().with_context(|| format!("DELETE {path}"))
    }

    /// Makes one request; the body is a media type and an object.
    ///
    /// # Errors
    /// When the API server cannot be reached; a refusal is an answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<ApiAnswer> {
        let (head, mut body) = self.send(method, path, body, Some(TIMEOUT))?;
        let mut text = Vec::new();
        body.read_to_end(&mut text).with_context(|| format!("{method} {path}"))?;
        // Errors of the proxy itself, and `/readyz`, are plain text.
        let object = serde_json::from_slice(&text).unwrap_or_else(
            |_| serde_json::json!({"message": String::from_utf8_lossy(&text).trim()}),
        );
        Ok(ApiAnswer { status: head.status, object })
    }

    /// Follows the watch at `path`, one event after the other, until it ends.
    ///
    /// # Errors
    /// When the API server cannot be reached or refuses.
    pub fn watch(&self, path: &str) -> Result<impl Iterator<Item = Result<Value>> + use<>> {
        let (head, body) = self.send("GET", path, None, None)?;
        if head.status != 200 {
            bail!("GET {path}: status {}", head.status);
        }
        Ok(BufReader::new(body).lines().map(|line| Ok(serde_json::from_str(&line?)?)))
    }

    /// Sends a request and reads the head of the answer.
    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &Value)>,
        timeout: Option<Duration>,
    ) -> Result<(Head, Body<BufReader<UnixStream>>)> {
        let stream = UnixStream::connect(&self.socket).context("this lab has no API server")?;
        stream.set_read_timeout(timeout)?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        request.push_str("Connection: close\r\nAccept: application/json\r\n");
        let mut bytes = Vec::new();
        if let Some((media_type, object)) = body {
            bytes = serde_json::to_vec(object)?;
            request.push_str(&format!("Content-Type: {media_type}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", bytes.len()));
        let mut message = request.into_bytes();
        message.extend(bytes);
        (&stream).write_all(&message).with_context(|| format!("{method} {path}"))?;
        let mut reader = BufReader::new(stream);
        let head = Head::read(&mut reader).with_context(|| format!("{method} {path}"))?;
        Ok((head, Body::new(reader, head)))
    }
}
