//! Datagrams to one port: each client has a socket of its own towards its endpoint.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tracing::debug;

use super::{Chooser, Endpoints};

/// How long a client keeps its endpoint without a datagram either way.
///
/// 60 s: between the kernel's times for flows that nobody answered (30 s) and answered ones (120 s).
const IDLE: Duration = Duration::from_secs(60);

/// Most clients of one port; each costs a descriptor. Datagrams of others are dropped.
const MAX_CLIENTS: usize = 1024;

/// Datagrams of one client that may wait for its socket.
const MAX_WAITING: usize = 64;

/// Longest datagram (RFC 768).
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// One client: its datagrams are sent on by a task that ends when they stop.
type Clients = HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>;

/// Forwards datagrams until the task is ended.
pub(super) async fn forward(socket: UdpSocket, endpoints: Endpoints) {
    let socket = Arc::new(socket);
    let (mut clients, mut chooser) = (Clients::new(), Chooser::default());
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                if let Ok(client) = ended {
                    // Unless the client has a new task already.
                    if clients.get(&client).is_some_and(mpsc::Sender::is_closed) {
                        clients.remove(&client);
                    }
                }
            }
            ready = socket.readable() => {
                let received = ready.and_then(|()| receive(&socket));
                let Ok((client, datagram)) = received else { continue };
                let Err(datagram) = deliver(&clients, client, datagram) else { continue };
                clients.remove(&client);
                if clients.len() >= MAX_CLIENTS {
                    debug!(%client, "too many clients of a node port; datagram dropped");
                    continue;
                }
                let chosen = chooser.choose(&endpoints.borrow(), Instant::now());
                // Without an endpoint there is nobody to send it to.
                let Some(endpoint) = chosen else { continue };
                let (sender, waiting) = mpsc::channel(MAX_WAITING);
                let way = (client, endpoint);
                tasks.spawn(converse(way, waiting, Arc::clone(&socket), endpoints.clone()));
                // A new channel has room.
                drop(sender.try_send(datagram));
                clients.insert(client, sender);
            }
        }
    }
}

/// Hands a datagram to the task of its client, and back when it has none. One too many is dropped.
fn deliver(clients: &Clients, client: SocketAddr, datagram: Vec<u8>) -> Result<(), Vec<u8>> {
    let Some(sender) = clients.get(&client) else { return Err(datagram) };
    match sender.try_send(datagram) {
        Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
        Err(TrySendError::Closed(datagram)) => Err(datagram),
    }
}

/// Takes one datagram that is there.
fn receive(socket: &UdpSocket) -> io::Result<(SocketAddr, Vec<u8>)> {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    let (length, client) = socket.try_recv_from(&mut buffer)?;
    Ok((client, buffer[..length].to_vec()))
}

/// Sends a client's datagrams to one endpoint and the answers back, until neither comes for a
/// while or the endpoint is none any more; gives the client.
async fn converse(
    (client, endpoint): (SocketAddr, SocketAddr),
    waiting: mpsc::Receiver<Vec<u8>>,
    socket: Arc<UdpSocket>,
    endpoints: Endpoints,
) -> SocketAddr {
    if let Err(error) = carry(client, endpoint, waiting, &socket, endpoints).await {
        // The next datagram may go to another endpoint.
        debug!(%client, %endpoint, %error, "endpoint cannot be reached");
    }
    client
}

async fn carry(
    client: SocketAddr,
    endpoint: SocketAddr,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    socket: &UdpSocket,
    mut endpoints: Endpoints,
) -> io::Result<()> {
    let any: SocketAddr = match endpoint {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let upstream = UdpSocket::bind(any).await?;
    upstream.connect(endpoint).await?;
    loop {
        tokio::select! {
            datagram = waiting.recv() => match datagram {
                Some(datagram) => drop(upstream.send(&datagram).await?),
                None => return Ok(()),
            },
            ready = upstream.readable() => {
                ready?;
                answer(&upstream, socket, client)?;
            }
            changed = endpoints.changed() => {
                let now = endpoints.borrow_and_update();
                let stays = now.backends.iter().any(|backend| backend.address == endpoint);
                if changed.is_err() || !stays {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(IDLE) => return Ok(()),
        }
    }
}

/// Passes on the answers that are there.
fn answer(upstream: &UdpSocket, socket: &UdpSocket, client: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; MAX_DATAGRAM_BYTES];
    loop {
        match upstream.try_recv(&mut buffer) {
            // A client that is slow or gone loses the datagram, as on any network.
            Ok(length) => drop(socket.try_send_to(&buffer[..length], client)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
