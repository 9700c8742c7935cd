//! A zone to ask, a server to ask it of, a client and upstreams that behave as they are told.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; not every test file uses every helper"
)]

pub(crate) mod corefile;
pub(crate) mod followed;
pub(crate) mod invariants;
pub(crate) mod papers;
mod zone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_server::{Selection, Server, ServerConfig, Transport};
use podway_dns_zone::ZoneIndex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub(crate) use self::zone::objects;
pub(crate) use self::zone::{BIG, big_address, changed_zone, unsynced, zone};

/// How long a test waits for what must come. Never measured: it only ends a test that has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("gave up waiting for {what}"))
}

// ---- messages -------------------------------------------------------------------------------

/// A name of the namespace `default`.
pub(crate) fn local(name: &str) -> String {
    format!("{name}.default.svc.cluster.local.")
}

/// A query for `name` without EDNS.
pub(crate) fn query(id: u16, name: &str, qtype: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), qtype));
    message
}

/// A query that offers `payload` octets.
pub(crate) fn edns_query(id: u16, name: &str, qtype: RecordType, payload: u16) -> Message {
    let mut message = query(id, name, qtype);
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

/// The addresses in the answer section.
pub(crate) fn addresses(message: &Message) -> Vec<IpAddr> {
    let address = |record: &Record| record.data.ip_addr();
    message.answers.iter().filter_map(address).collect()
}

// ---- the server -----------------------------------------------------------------------------

/// A server in action.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) zone: Arc<ArcSwap<ZoneIndex>>,
    pub(crate) metrics: podway_dns_server::Metrics,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// The configuration of a server on a loopback address that asks `upstreams` in this order.
pub(crate) fn config(upstreams: &[&FakeUpstream]) -> ServerConfig {
    asking(upstreams.iter().map(|upstream| upstream.address))
}

/// The configuration of a server on a loopback address that asks those at `upstreams` in this order.
pub(crate) fn asking(upstreams: impl IntoIterator<Item = SocketAddr>) -> ServerConfig {
    let mut config = ServerConfig {
        workers: NonZeroUsize::new(2).unwrap(),
        ..ServerConfig::new(vec!["127.0.0.1:0".parse().unwrap()], upstreams.into_iter().collect())
    };
    config.forward[0].selection = Selection::Sequential;
    config
}

/// Starts a server for `zone`.
pub(crate) fn start(config: ServerConfig, zone: ZoneIndex) -> Running {
    let zone = Arc::new(ArcSwap::from_pointee(zone));
    let server = Server::bind(config, Arc::clone(&zone)).unwrap();
    let address = server.local_addrs()[0];
    let metrics = server.metrics().clone();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async {
        stopped.await.ok();
    }));
    Running { address, zone, metrics, stop, task }
}

impl Running {
    /// Orders the server to stop; the task ends when it has.
    pub(crate) fn order_stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.task
    }

    /// Stops the server and waits for its end.
    pub(crate) async fn stop(self) {
        within("the end of the server", self.order_stop()).await.unwrap().unwrap();
    }

    /// Asks by UDP from a socket of its own.
    pub(crate) async fn udp(&self, query: &Message) -> Message {
        let client = UdpClient::connect(self.address).await;
        client.send(&query.to_vec().unwrap()).await;
        client.receive_message().await
    }

    /// Asks by TCP on a connection of its own.
    pub(crate) async fn tcp(&self, query: &Message) -> Message {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(&framed(&query.to_vec().unwrap())).await.unwrap();
        read_framed(&mut client).await
    }
}

/// A client with one UDP socket, which takes replies of the server alone.
pub(crate) struct UdpClient(UdpSocket);

impl UdpClient {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let any: SocketAddr =
            if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(any).await.unwrap();
        socket.connect(server).await.unwrap();
        Self(socket)
    }

    pub(crate) async fn send(&self, message: &[u8]) {
        self.0.send(message).await.unwrap();
    }

    pub(crate) async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_535];
        let octets = within("a datagram", self.0.recv(&mut buffer)).await.unwrap();
        buffer.truncate(octets);
        buffer
    }

    pub(crate) async fn receive_message(&self) -> Message {
        Message::from_vec(&self.receive().await).unwrap()
    }
}

/// A message with its length before it.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// Reads one message of a stream.
pub(crate) async fn read_framed(stream: &mut TcpStream) -> Message {
    let octets = within("a length", stream.read_u16()).await.unwrap();
    let mut message = vec![0; octets.into()];
    within("a message", stream.read_exact(&mut message)).await.unwrap();
    Message::from_vec(&message).unwrap()
}

// ---- upstreams ------------------------------------------------------------------------------

/// What an upstream says to a query that came by a transport; nothing, one or several messages.
pub(crate) type Behavior = dyn Fn(&Message, Transport) -> Vec<Vec<u8>> + Send + Sync;

/// A query that reached an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) client: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) octets: Vec<u8>,
}

impl Seen {
    /// Whether it asks for the name servers of the root, as probes do, or looks for loops.
    fn is_probe(&self) -> bool {
        let loops = self.message().queries[0].query_type() == RecordType::HINFO;
        loops || self.octets.get(12..17) == Some(&[0, 0, 2, 0, 1])
    }

    /// The query.
    pub(crate) fn message(&self) -> Message {
        Message::from_vec(&self.octets).unwrap()
    }
}

/// An upstream that does as it is told.
pub(crate) struct FakeUpstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<tokio::sync::Notify>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl FakeUpstream {
    /// Starts an upstream with the given behavior.
    pub(crate) async fn start(
        behavior: impl Fn(&Message, Transport) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let behavior: Arc<Behavior> = Arc::new(behavior);
        let (udp, tcp) = same_port().await;
        let address = udp.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let arrived = Arc::new(tokio::sync::Notify::new());
        let note = {
            let (seen, arrived) = (Arc::clone(&seen), Arc::clone(&arrived));
            move |client, transport, octets: &[u8]| {
                seen.lock().unwrap().push(Seen { client, transport, octets: octets.to_vec() });
                arrived.notify_waiters();
            }
        };
        let datagrams = tokio::spawn({
            let (behavior, note) = (Arc::clone(&behavior), note.clone());
            async move {
                let mut buffer = vec![0; 65_535];
                loop {
                    let (octets, client) = udp.recv_from(&mut buffer).await.unwrap();
                    note(client, Transport::Udp, &buffer[..octets]);
                    let Ok(message) = Message::from_vec(&buffer[..octets]) else { continue };
                    for reply in behavior(&message, Transport::Udp) {
                        udp.send_to(&reply, client).await.unwrap();
                    }
                }
            }
        });
        let streams = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, client) = tcp.accept().await.unwrap();
                let (behavior, note) = (Arc::clone(&behavior), note.clone());
                connections.spawn(async move {
                    // Until the server closes the connection.
                    while let Ok(octets) = stream.read_u16().await {
                        let mut message = vec![0; octets.into()];
                        stream.read_exact(&mut message).await.unwrap();
                        note(client, Transport::Tcp, &message);
                        let query = Message::from_vec(&message).unwrap();
                        for reply in behavior(&query, Transport::Tcp) {
                            stream.write_all(&framed(&reply)).await.unwrap();
                        }
                    }
                });
            }
        });
        Self { address, seen, arrived, tasks: vec![datagrams, streams] }
    }

    /// Starts an upstream that replies to every query with what `reply` makes of it.
    pub(crate) async fn replying(reply: impl Fn(&mut Message) + Send + Sync + 'static) -> Self {
        Self::start(move |query, _| vec![reply_to(query, &reply)]).await
    }

    /// Starts an upstream that has the address `address` for every name.
    pub(crate) async fn with_address(address: Ipv4Addr) -> Self {
        Self::replying(move |message| {
            let name = message.queries[0].name().clone();
            message.add_answer(Record::from_rdata(name, 60, RData::A(address.into())));
        })
        .await
    }

    /// Starts an upstream that takes queries and says nothing.
    pub(crate) async fn silent() -> Self {
        Self::start(|_, _| Vec::new()).await
    }

    /// The queries so far, probes left out.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.retain(|seen| !seen.is_probe());
        seen
    }

    /// Waits until so many queries have come.
    pub(crate) async fn wait_for(&self, queries: usize) {
        within("a query at the upstream", async {
            loop {
                let arrived = self.arrived.notified();
                if self.seen().len() >= queries {
                    return;
                }
                arrived.await;
            }
        })
        .await;
    }
}

/// The reply to `query` that `change` makes.
pub(crate) fn reply_to(query: &Message, change: impl Fn(&mut Message)) -> Vec<u8> {
    let mut reply = query.clone();
    reply.metadata.message_type = MessageType::Response;
    change(&mut reply);
    reply.to_vec().unwrap()
}

/// Opens UDP and TCP at one free port.
async fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

/// A loopback address that nobody listens on.
pub(crate) async fn closed_port() -> SocketAddr {
    same_port().await.0.local_addr().unwrap()
}
