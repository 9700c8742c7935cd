//! The name server outside, and the web server that its names lead to.
//!
//! Every name under `example.com`, `example.net` and `example.org` leads to the client outside,
//! where a server of the lab answers on port 80. Some names are special:
//!
//! | name | answer |
//! | --- | --- |
//! | `nosuch.example.com` | no such name |
//! | `silent.example.com` | none at all |
//! | `big.example.com` TXT | 2,000 bytes: truncated over UDP |
//!
//! Names elsewhere do not exist. Each query becomes a line of the log: name, type, protocol.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use hickory_proto::op::{Edns, Message, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::address;
use crate::agent::{Identity, serve_tcp};
use crate::place::ObjectName;

/// Zones with names.
const ZONES: [&str; 3] = ["example.com.", "example.net.", "example.org."];

/// Time to live of answers, in seconds.
const TTL: u32 = 60;

/// Size of an answer that every client takes over UDP.
const PLAIN_UDP: usize = 512;

/// Serves until the process is killed, with a line in `log` for every query.
///
/// # Errors
/// When a socket cannot be made.
pub fn run(log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    let log: Log = Arc::new(Mutex::new(file));
    let web = Identity::new(ObjectName::new("external", "www"), "outside".to_owned());
    serve_tcp(&web, 80).context("port 80")?;
    let outside = address::outside();
    let addresses: [IpAddr; 4] = [
        outside.v4.into(),
        outside.v6.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for address in addresses {
        let socket = UdpSocket::bind((address, 53)).context("port 53")?;
        let listener = TcpListener::bind((address, 53)).context("port 53")?;
        let (udp_log, tcp_log) = (Arc::clone(&log), Arc::clone(&log));
        thread::spawn(move || serve_udp(&socket, &udp_log));
        thread::spawn(move || serve_streams(&listener, &tcp_log));
    }
    loop {
        thread::park();
    }
}

type Log = Arc<Mutex<File>>;

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

fn serve_udp(socket: &UdpSocket, log: &Log) {
    let mut datagram = vec![0; 64 << 10];
    loop {
        // A client that has gone shows as an error of the next call; the others go on.
        let Ok((length, client)) = socket.recv_from(&mut datagram) else { continue };
        if let Some(answer) = reply(&datagram[..length], Transport::Udp, log) {
            socket.send_to(&answer, client).map(drop).unwrap_or_default();
        }
    }
}

fn serve_streams(listener: &TcpListener, log: &Log) {
    for stream in listener.incoming().flatten() {
        let log = Arc::clone(log);
        // A client may leave at any point.
        thread::spawn(move || serve_stream(stream, &log).unwrap_or_default());
    }
}

fn serve_stream(mut stream: TcpStream, log: &Log) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut message)?;
        let Some(answer) = reply(&message, Transport::Tcp, log) else { continue };
        let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
}

/// Logs a query and answers it; none for what is no query or shall stay without answer.
fn reply(bytes: &[u8], transport: Transport, log: &Log) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    let question = query.queries.first()?;
    let protocol = if transport == Transport::Udp { "udp" } else { "tcp" };
    let line = format!("{} {} {protocol}\n", question.name(), question.query_type());
    // A full disk must not silence the server.
    let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(line.as_bytes()).unwrap_or_default();
    drop(file);
    let answer = answer(&query, question)?;
    let bytes = answer.to_vec().ok()?;
    let room = query.edns.as_ref().map_or(PLAIN_UDP, |edns| usize::from(edns.max_payload()));
    if transport == Transport::Udp && bytes.len() > room.max(PLAIN_UDP) {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

/// The answer to `question` of `query`.
fn answer(query: &Message, question: &Query) -> Option<Message> {
    let name = question.name().to_lowercase();
    let text = name.to_string();
    if text == "silent.example.com." {
        return None;
    }
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.metadata = Metadata::response_from_request(&query.metadata);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        answer.set_edns(edns);
    }
    let zone = ZONES.iter().find(|zone| text == **zone || text.ends_with(&format!(".{zone}")));
    let outside = address::outside();
    let data = match (zone, question.query_type()) {
        (None, _) => None,
        _ if text == "nosuch.example.com." => None,
        (_, RecordType::A) => Some(RData::A(A(outside.v4))),
        (_, RecordType::AAAA) => Some(RData::AAAA(AAAA(outside.v6))),
        (_, RecordType::TXT) if text == "big.example.com." => {
            Some(RData::TXT(TXT::new(vec!["x".repeat(200); 10])))
        }
        (Some(_), _) => {
            answer.add_authority(start_of_authority(zone)?);
            return Some(answer);
        }
    };
    match data {
        Some(data) => {
            answer.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
        }
        None => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            answer.add_authority(start_of_authority(zone)?);
        }
    }
    Some(answer)
}

/// The SOA record of `zone`, or of the root.
fn start_of_authority(zone: Option<&&str>) -> Option<Record> {
    let zone = Name::from_ascii(zone.copied().unwrap_or(".")).ok()?;
    let server = Name::from_ascii("ns.example.com.").ok()?;
    let minimum = 60;
    let data = SOA::new(server.clone(), server, 1, 7200, 900, 86400, minimum);
    Some(Record::from_rdata(zone, TTL, RData::SOA(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: RecordType, transport: Transport) -> Option<Message> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let log: Log = Arc::new(Mutex::new(tempfile::tempfile().unwrap()));
        let bytes = reply(&query.to_vec().unwrap(), transport, &log)?;
        Some(Message::from_vec(&bytes).unwrap())
    }

    #[test]
    fn names_lead_outside_and_special_names_do_what_the_table_says() {
        let udp = |name: &str, kind| ask(name, kind, Transport::Udp);
        let answer = udp("WWW.example.com.", RecordType::A).unwrap();
        assert_eq!(answer.answers[0].data, RData::A(A(address::outside().v4)));
        assert_eq!(answer.answers[0].name.to_string(), "WWW.example.com.");
        let nothing = udp("www.example.net.", RecordType::MX).unwrap();
        assert_eq!(nothing.metadata.response_code, ResponseCode::NoError);
        assert_eq!((nothing.answers.len(), nothing.authorities.len()), (0, 1));
        for name in ["nosuch.example.com.", "web.default.svc.cluster.local.", "badexample.com."] {
            let answer = udp(name, RecordType::A).unwrap();
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        }
        assert!(udp("silent.example.com.", RecordType::A).is_none());
    }

    #[test]
    fn a_big_answer_is_truncated_over_udp_only() {
        let udp = ask("big.example.com.", RecordType::TXT, Transport::Udp).unwrap();
        assert!(udp.metadata.truncation && udp.answers.is_empty());
        let tcp = ask("big.example.com.", RecordType::TXT, Transport::Tcp).unwrap();
        assert!(!tcp.metadata.truncation && tcp.answers.len() == 1);
    }
}
