//! The servers that questions are passed on to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::line::Line;
use crate::syntax::Word;
use crate::value::{Refusal, Zone, host_and_port};

/// Most upstreams of one `forward`, as in CoreDNS.
pub(super) const MOST: usize = 15;

/// What an upstream may look like.
const ACCEPTED: &str = "IP[:PORT], [dns://]HOST[:PORT], tls://IP[%SERVER_NAME][:PORT], or a file such as /etc/resolv.conf";

/// A server, or where servers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// A server at an address.
    Server {
        /// Its address and port.
        address: SocketAddr,
        /// How it is asked.
        protocol: UpstreamProtocol,
    },
    /// The servers at the addresses of a name.
    Host {
        /// The name.
        name: Zone,
        /// The port.
        port: u16,
        /// How they are asked.
        protocol: UpstreamProtocol,
    },
    /// The servers that a file such as `/etc/resolv.conf` lists.
    ResolvConf(String),
}

/// How a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// By UDP and TCP.
    Plain,
    /// By TLS (RFC 7858).
    Tls {
        /// The name in its certificate, when it is given for this server alone.
        server_name: Option<String>,
    },
}

impl UpstreamProtocol {
    /// The usual port.
    fn port(&self) -> u16 {
        match self {
            Self::Plain => 53,
            Self::Tls { .. } => 853,
        }
    }
}

impl Upstream {
    /// How it is asked; the servers of a file are asked plainly.
    fn protocol(&self) -> &UpstreamProtocol {
        match self {
            Self::Server { protocol, .. } | Self::Host { protocol, .. } => protocol,
            Self::ResolvConf(_) => &UpstreamProtocol::Plain,
        }
    }

    /// Whether it is asked by TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.protocol(), UpstreamProtocol::Tls { .. })
    }

    /// Whether it brings the name in its certificate.
    pub(super) fn has_own_server_name(&self) -> bool {
        matches!(self.protocol(), UpstreamProtocol::Tls { server_name: Some(_) })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { address, .. } => write!(formatter, "{address}")?,
            Self::Host { name, port, .. } => write!(formatter, "{name}:{port}")?,
            Self::ResolvConf(file) => write!(formatter, "the servers in {file}")?,
        }
        match self.protocol() {
            UpstreamProtocol::Plain => Ok(()),
            UpstreamProtocol::Tls { server_name: None } => write!(formatter, " by TLS"),
            UpstreamProtocol::Tls { server_name: Some(name) } => {
                write!(formatter, " by TLS as {name}")
            }
        }
    }
}

/// Reads one upstream.
pub(super) fn read(line: &Line<'_>, word: &Word) -> Option<Upstream> {
    let text = word.text.as_str();
    match text.split_once("://") {
        None if text.contains('/') => line.check("upstream", word, file),
        None | Some(("dns", _)) => {
            let rest = text.strip_prefix("dns://").unwrap_or(text);
            line.check("upstream", word, |_| server(rest, UpstreamProtocol::Plain))
        }
        Some(("tls", rest)) => line.check("upstream", word, |_| tls_server(rest)),
        Some((scheme @ ("https" | "https3" | "quic" | "grpc"), _)) => {
            line.unsupported(word, &format!("asking servers by {scheme}://"), ACCEPTED);
            None
        }
        Some((scheme, _)) => {
            line.fault(word, format!("upstream has the unknown scheme {scheme:?}"), ACCEPTED);
            None
        }
    }
}

/// Reads the path of a file, which a network is not.
fn file(text: &str) -> Result<Upstream, Refusal> {
    if text.parse::<IpNet>().is_ok() {
        return Err(Refusal::new("is a network", ACCEPTED));
    }
    Ok(Upstream::ResolvConf(text.to_owned()))
}

/// Reads `IP%SERVER_NAME:PORT`.
fn tls_server(text: &str) -> Result<Upstream, Refusal> {
    let Some((address, rest)) = text.split_once('%') else {
        return server(text, UpstreamProtocol::Tls { server_name: None });
    };
    let (name, port) =
        rest.rsplit_once(':').map_or((rest, None), |(name, port)| (name, Some(port)));
    Zone::named(name).or(Err(Refusal::new("has no server name after the %", ACCEPTED)))?;
    let address = match port {
        Some(port) if address.contains(':') => {
            format!("[{}]:{port}", address.trim_matches(['[', ']']))
        }
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    };
    server(&address, UpstreamProtocol::Tls { server_name: Some(name.to_owned()) })
}

/// Reads `HOST[:PORT]`.
fn server(text: &str, protocol: UpstreamProtocol) -> Result<Upstream, Refusal> {
    let (host, port) = host_and_port(text, ACCEPTED)?;
    let port = port.unwrap_or(protocol.port());
    if port == 0 {
        return Err(Refusal::new("has port 0", ACCEPTED));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Upstream::Server { address: SocketAddr::new(address, port), protocol });
    }
    // What has only the signs of an address is a wrong one.
    let like_address = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let name = Zone::named(host).ok().filter(|_| !like_address);
    let name = name.ok_or_else(|| Refusal::new("is no server", ACCEPTED))?;
    Ok(Upstream::Host { name, port, protocol })
}
