//! EDGE: asks the server as a client would, by both transports.
//!
//! From the loopback address, which rules let through to the local server whatever the kernel was
//! told: else another node's server might answer for this one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};

/// How long an answer may take.
///
/// 600 ms: with the time to the next proof it is still less than one proof holds for.
const PATIENCE: Duration = Duration::from_millis(600);

/// How long a connection is used, so that new ones are proved too; below the server's idle limit.
const CONNECTION_AGE: Duration = Duration::from_secs(3);

/// Octets of a message's header (RFC 1035 §4.1.1).
const HEADER_OCTETS: usize = 12;

/// Longest answer that is read; an SOA record is far shorter.
const ANSWER_OCTETS: usize = 512;

/// A question that a working server answers from what it knows itself.
#[derive(Debug, Clone)]
pub(crate) struct Question(Arc<[u8]>);

impl Question {
    /// Asks for the SOA record of `zone`, a valid domain.
    pub(crate) fn soa_of(zone: &str) -> Self {
        // One question, and no recursion: only the server's own knowledge counts.
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in zone.split('.').filter(|label| !label.is_empty()) {
            query.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            query.extend_from_slice(label.as_bytes());
        }
        // The root, type SOA, class IN.
        query.extend_from_slice(&[0, 0, 6, 0, 1]);
        Self(query.into())
    }

    /// The question with a number of its own.
    fn numbered(&self, id: u16) -> Vec<u8> {
        let mut query = self.0.to_vec();
        query[..2].copy_from_slice(&id.to_be_bytes());
        query
    }
}

/// Whether `answer` is one to the question `id`, of a server that knows the cluster: one that does
/// not says SERVFAIL.
fn proves(id: u16, answer: &[u8]) -> bool {
    let Some(header) = answer.first_chunk::<HEADER_OCTETS>() else { return false };
    let is_response = header[2] & 0x80 != 0;
    let (no_error, no_name) = (0, 3);
    let rcode = header[3] & 0xf;
    header[..2] == id.to_be_bytes() && is_response && (rcode == no_error || rcode == no_name)
}

/// Asks the server at one address.
#[derive(Debug)]
pub(super) struct Prober {
    server: SocketAddr,
    question: Question,
    /// The connection in use and when it was made.
    connection: Option<(TcpStream, Instant)>,
}

impl Prober {
    pub(super) fn new(server: SocketAddr, question: Question) -> Self {
        Self { server, question, connection: None }
    }

    /// Asks by UDP and TCP at once.
    ///
    /// # Errors
    /// Why one of the two is no proof.
    pub(super) async fn ask(&mut self) -> Result<(), String> {
        let kept = self.connection.take();
        let udp = timeout(PATIENCE, ask_udp(self.server, &self.question));
        let tcp = timeout(PATIENCE, ask_tcp(self.server, &self.question, kept));
        let (udp, tcp) = tokio::join!(udp, tcp);
        let why = |transport: &str, error: &dyn std::fmt::Display| format!("{transport}: {error}");
        udp.unwrap_or_else(|late| Err(late.into())).map_err(|error| why("UDP", &error))?;
        let connection =
            tcp.unwrap_or_else(|late| Err(late.into())).map_err(|error| why("TCP", &error))?;
        self.connection = Some(connection);
        Ok(())
    }
}

/// The address to ask a server of this family from, with a port that the kernel chooses.
fn source(server: SocketAddr) -> SocketAddr {
    let loopback = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, 0)
}

fn no_proof() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is no proof")
}

/// From a new port each time, so that each of the server's sockets has its turn.
async fn ask_udp(server: SocketAddr, question: &Question) -> io::Result<()> {
    let socket = UdpSocket::bind(source(server)).await?;
    socket.connect(server).await?;
    let id = fastrand::u16(..);
    socket.send(&question.numbered(id)).await?;
    let mut answer = [0; ANSWER_OCTETS];
    let length = socket.recv(&mut answer).await?;
    if proves(id, &answer[..length]) { Ok(()) } else { Err(no_proof()) }
}

async fn ask_tcp(
    server: SocketAddr,
    question: &Question,
    kept: Option<(TcpStream, Instant)>,
) -> io::Result<(TcpStream, Instant)> {
    let (mut stream, since) = match kept.filter(|(_, since)| since.elapsed() < CONNECTION_AGE) {
        Some(kept) => kept,
        None => (connect(server).await?, Instant::now()),
    };
    let id = fastrand::u16(..);
    let query = question.numbered(id);
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if proves(id, &answer) { Ok((stream, since)) } else { Err(no_proof()) }
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(source(server))?;
    // Closed by a reset: an orderly end would leave something behind for a minute each time.
    socket.set_zero_linger()?;
    socket.connect(server).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_asks_for_the_soa_of_the_zone() {
        let query = Question::soa_of("cluster.local.").numbered(0x1234);
        assert_eq!(query[..6], [0x12, 0x34, 0, 0, 0, 1]);
        assert_eq!(&query[12..], b"\x07cluster\x05local\0\0\x06\0\x01");
    }

    #[test]
    fn only_an_answer_to_the_question_of_a_server_that_knows_is_proof() {
        let answer = |id: u16, flags: [u8; 2]| {
            [&id.to_be_bytes()[..], &flags, &[0, 1, 0, 1, 0, 0, 0, 0]].concat()
        };
        for (name, answer, expected) in [
            ("NOERROR", answer(7, [0x84, 0]), true),
            ("NXDOMAIN", answer(7, [0x84, 3]), true),
            ("SERVFAIL", answer(7, [0x84, 2]), false),
            ("REFUSED", answer(7, [0x80, 5]), false),
            ("another's", answer(8, [0x84, 0]), false),
            ("a query", answer(7, [0, 0]), false),
            ("too short", vec![0, 7, 0x84, 0], false),
        ] {
            assert_eq!(proves(7, &answer), expected, "{name}");
        }
    }
}
