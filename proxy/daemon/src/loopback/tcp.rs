//! Connections to one port.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Chooser, Endpoints};

/// Most connections of one port; each costs two descriptors. Others wait.
const MAX_CONNECTIONS: usize = 1024;

/// Longest wait for an endpoint, as with kube-proxy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a connection could not be taken, for want of descriptors most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Forwards every connection to an endpoint of its own, until the task is ended and they with it.
pub(super) async fn forward(listener: TcpListener, endpoints: Endpoints) {
    let (mut connections, mut chooser) = (JoinSet::new(), Chooser::default());
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((client, _)) => {
                    // Without an endpoint the client sees its connection closed.
                    let endpoint = chooser.choose(&endpoints.borrow(), Instant::now());
                    if let Some(endpoint) = endpoint {
                        connections.spawn(connect(client, endpoint));
                    }
                }
                Err(error) => {
                    warn!(%error, "a connection to a node port cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries bytes both ways until both sides have closed.
async fn connect(mut client: TcpStream, endpoint: SocketAddr) {
    let mut server = match timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint)).await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return debug!(%endpoint, %error, "endpoint cannot be reached"),
        Err(_) => return debug!(%endpoint, "endpoint does not answer"),
    };
    // What one side sends at once the other gets at once; without it only speed is lost.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
        debug!(%endpoint, %error, "connection broke");
    }
}
