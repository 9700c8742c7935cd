//! Addresses of API servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::Uri;
use http::uri::{Authority, Scheme};
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::Snapshot;
use thiserror::Error;

/// Port of an address that was given without one: kubeadm's and most others'.
const DEFAULT_PORT: u16 = 6443;

/// Name that the certificate of every API server has: programs in pods reach it by that.
const SERVER_NAME: &str = "kubernetes.default.svc";

/// Most addresses that are taken from the cluster.
const MAX_LEARNED: usize = 8;

/// One address of an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port.
    pub(super) uri: Uri,
    /// Name that its certificate must have, where that is not the host.
    pub(super) server_name: Option<String>,
}

/// Why a text is no address of an API server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// It cannot be read.
    #[error("is no address")]
    Unreadable,
    /// It has a scheme that is not HTTP.
    #[error("has a scheme that is neither https nor http")]
    Scheme,
    /// It leads to one path of a server.
    #[error("has a path or a query")]
    Path,
}

impl Endpoint {
    /// Reads `HOST`, `HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// [`EndpointError`]: it is none of them.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim().trim_end_matches('/');
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::HTTPS, text),
            Some(("https", rest)) => (Scheme::HTTPS, rest),
            Some(("http", rest)) => (Scheme::HTTP, rest),
            Some(_) => return Err(EndpointError::Scheme),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(EndpointError::Path);
        }
        let authority = match rest.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, DEFAULT_PORT).to_string(),
            Err(_) => {
                let has_port = rest.parse::<Authority>().is_ok_and(|text| text.port().is_some());
                if has_port { rest.to_owned() } else { format!("{rest}:{DEFAULT_PORT}") }
            }
        };
        let authority: Authority =
            authority.parse().map_err(|_malformed| EndpointError::Unreadable)?;
        if authority.host().is_empty() || authority.port_u16().is_none() {
            return Err(EndpointError::Unreadable);
        }
        Self::at(scheme, authority, None).ok_or(EndpointError::Unreadable)
    }

    /// The addresses of API servers that the cluster itself names, in order: without rules they are
    /// the way in when the ClusterIP is not.
    pub(super) fn named_by(snapshot: &Snapshot) -> Vec<Self> {
        let Ok(name) = ServiceName::new("default", "kubernetes") else { return Vec::new() };
        let slices = snapshot.services.get(&name).map(|entry| entry.slices.values());
        let addresses = slices.into_iter().flatten().flat_map(|slice| {
            let port = slice.ports.first().map(|port| port.port.number());
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.condition.is_ready());
            ready.filter_map(move |endpoint| Some(SocketAddr::new(endpoint.address, port?)))
        });
        addresses
            .take(MAX_LEARNED)
            .filter_map(|address| {
                let authority = address.to_string().parse().ok()?;
                Self::at(Scheme::HTTPS, authority, Some(SERVER_NAME.to_owned()))
            })
            .collect()
    }

    fn at(scheme: Scheme, authority: Authority, server_name: Option<String>) -> Option<Self> {
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/");
        Some(Self { uri: uri.build().ok()?, server_name })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uri, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_or_without_port_and_scheme() {
        for (text, expected) in [
            ("10.0.0.1", Ok("https://10.0.0.1:6443/")),
            ("10.0.0.1:443", Ok("https://10.0.0.1:443/")),
            ("fd00::1", Ok("https://[fd00::1]:6443/")),
            ("[fd00::1]:443", Ok("https://[fd00::1]:443/")),
            ("api.example.com", Ok("https://api.example.com:6443/")),
            ("https://api.example.com:8443/", Ok("https://api.example.com:8443/")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080/")),
            ("ftp://10.0.0.1", Err(EndpointError::Scheme)),
            ("https://10.0.0.1:6443/k8s/clusters/a", Err(EndpointError::Path)),
            ("", Err(EndpointError::Unreadable)),
            ("10.0.0.1:port", Err(EndpointError::Unreadable)),
            ("a b", Err(EndpointError::Unreadable)),
        ] {
            let endpoint = Endpoint::parse(text).map(|endpoint| endpoint.to_string());
            assert_eq!(endpoint.as_deref(), expected.as_deref(), "{text:?}");
        }
    }
}
