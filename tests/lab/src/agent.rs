//! The server that runs in every pod: it says who it is and whom it sees.
//!
//! Each port speaks HTTP (keep-alive; `/delay/500` waits as many milliseconds) and, to clients
//! whose first line is no request, answers every line over plain TCP. A UDP port answers every
//! datagram, an SCTP port every greeting. All answers are one line of words `key=value`; [`crate::Answer`] reads it.

mod http;
mod orders;
mod sctp;
mod tcp;
mod udp;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::place::ObjectName;

pub use orders::run;

/// Arguments of the server.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The pod that it serves in.
    pod: ObjectName,
    /// The node of that pod.
    node: String,
    /// Addresses to answer datagrams on, beside the loopback ones.
    #[arg(long = "address")]
    addresses: Vec<IpAddr>,
    /// Goes on serving after SIGTERM.
    #[arg(long)]
    ignore_sigterm: bool,
}

/// Who serves; shared by all its listeners.
#[derive(Debug)]
pub(crate) struct Identity {
    pod: ObjectName,
    node: String,
    busy: Busy,
}

impl Identity {
    /// The server of `pod` on `node`.
    pub(crate) fn new(pod: ObjectName, node: String) -> Arc<Self> {
        Arc::new(Self { pod, node, busy: Busy::default() })
    }

    /// The line that answers `client` at `server`, without its end.
    fn answer(&self, server: SocketAddr, client: SocketAddr, rest: &[(&str, &str)]) -> String {
        let (server, client) = (canonical(server), canonical(client));
        let mut line =
            format!("pod={} node={} server={server} client={client}", self.pod, self.node);
        for (key, value) in rest {
            // Writing to a string cannot fail.
            write!(line, " {key}={value}").unwrap_or_default();
        }
        line
    }
}

/// Shows an IPv4 client of an IPv6 socket as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Counts requests that are being answered.
#[derive(Debug, Default)]
struct Busy {
    requests: Mutex<usize>,
    idle: Condvar,
}

impl Busy {
    /// Counts a request until the returned value is dropped.
    fn begin(&self) -> Request<'_> {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Request(self)
    }

    /// Waits until no request is being answered.
    fn wait_idle(&self) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while *requests > 0 {
            requests = self.idle.wait(requests).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
struct Request<'a>(&'a Busy);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        *self.0.requests.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.idle.notify_all();
    }
}

/// Serves TCP on every address of `port`, beside the caller.
///
/// # Errors
/// When the port cannot be had.
pub(crate) fn serve_tcp(identity: &Arc<Identity>, port: u16) -> std::io::Result<()> {
    tcp::serve(identity, port).map(drop)
}
