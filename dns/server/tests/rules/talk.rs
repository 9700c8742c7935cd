//! Asks a server and shows what it says.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_zone::ZoneConfig;

use super::cluster::{self, NOW};
use super::support::{
    FakeUpstream, Running, UdpClient, config, edns_query, framed, query, reply_to, start,
};

/// A server for the cluster and the upstream it asks.
pub(super) struct Stage {
    pub(super) server: Running,
    pub(super) upstream: FakeUpstream,
}

impl Stage {
    /// Starts a server that forwards other names.
    pub(super) async fn new(zone: ZoneConfig) -> Self {
        let upstream = FakeUpstream::start(|query, _| vec![reply_to(query, outside)]).await;
        Self { server: start(config(&[&upstream]), cluster::index(zone)), upstream }
    }

    /// Checks rows, each by every way.
    pub(super) async fn check(&self, rows: &[(&str, &str)]) {
        for (row, expected) in rows {
            let (owner, rtype) = row.split_once(' ').unwrap();
            let (owner, rtype) = (name(owner), record_type(rtype));
            for way in [Way::Datagram, Way::Edns, Way::Stream] {
                let said = self.ask(&owner, rtype, way).await;
                assert_eq!(said, *expected, "{row}, {way:?}");
            }
        }
    }

    /// Asks by one way, checks what all replies have in common, and shows the rest.
    async fn ask(&self, owner: &str, rtype: RecordType, way: Way) -> String {
        let mut query = match way {
            Way::Datagram => query(7, owner, rtype),
            Way::Edns | Way::Stream => edns_query(7, owner, rtype, 1232),
        };
        query.metadata.checking_disabled = way == Way::Edns;
        let octets = query.to_vec().unwrap();
        let reply = match way {
            Way::Datagram | Way::Edns => exchange(&self.server, &octets).await,
            Way::Stream => exchange_by_tcp(&self.server, &octets).await,
        };
        let question_end = 12 + question_octets(&octets);
        assert_eq!(reply[..2], octets[..2], "id");
        assert_eq!(reply[12..question_end], octets[12..question_end], "question");
        let message = Message::from_vec(&reply).unwrap();
        let metadata = &message.metadata;
        assert!(metadata.recursion_desired && metadata.recursion_available, "{owner}");
        assert_eq!(metadata.checking_disabled, query.metadata.checking_disabled, "{owner}");
        assert!(!metadata.authentic_data && !metadata.truncation, "{owner}");
        assert_eq!(message.edns.is_some(), query.edns.is_some(), "{owner}");
        shown(&message)
    }
}

/// How a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Datagram,
    Edns,
    Stream,
}

/// What the world outside says.
fn outside(message: &mut Message) {
    let asked = message.queries[0].name().to_lowercase().to_ascii();
    let rtype = message.queries[0].query_type();
    let owner = message.queries[0].name().clone();
    match (asked.as_str(), rtype) {
        ("www.example.com.", RecordType::A) => {
            let address = RData::A(Ipv4Addr::new(192, 0, 2, 80).into());
            message.add_answer(Record::from_rdata(owner, 60, address));
        }
        ("nosuch.example.com.", _) => message.metadata.response_code = ResponseCode::NXDomain,
        ("down.example.com.", _) => message.metadata.response_code = ResponseCode::ServFail,
        _ => {}
    }
}

/// Sends octets by UDP and returns those of the reply.
pub(super) async fn exchange(server: &Running, octets: &[u8]) -> Vec<u8> {
    let client = UdpClient::connect(server.address).await;
    client.send(octets).await;
    client.receive().await
}

/// Sends octets by TCP and returns those of the reply.
async fn exchange_by_tcp(server: &Running, octets: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&framed(octets)).await.unwrap();
    let mut reply =
        vec![0; super::support::within("a length", stream.read_u16()).await.unwrap().into()];
    super::support::within("a message", stream.read_exact(&mut reply)).await.unwrap();
    reply
}

/// Octets of the question of a message.
fn question_octets(message: &[u8]) -> usize {
    let mut at = 12;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    at + 5 - 12
}

/// A name as rows write it.
pub(super) fn name(text: &str) -> String {
    match text.strip_suffix('D') {
        Some(labels) => format!("{labels}default.svc.cluster.local."),
        None => text.to_owned(),
    }
}

/// A type by its name; some that hickory-proto does not know by name.
fn record_type(text: &str) -> RecordType {
    match text {
        "IXFR" => RecordType::IXFR,
        "TYPE65280" => RecordType::Unknown(65_280),
        known => known.parse().unwrap(),
    }
}

/// A reply as rows write it. `not AA` stands before replies of others.
fn shown(message: &Message) -> String {
    let not_ours = if message.metadata.authoritative { "" } else { "not AA " };
    let known = [
        (ResponseCode::NoError, "NOERROR"),
        (ResponseCode::NXDomain, "NXDOMAIN"),
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::Refused, "REFUSED"),
    ];
    let rcode = message.metadata.response_code;
    let (_, rcode) = known.iter().find(|(one, _)| *one == rcode).unwrap();
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let [answers, authorities, additionals] = sections.map(|section| section_shown(section));
    format!("{not_ours}{rcode} / {answers} / {authorities} / {additionals}")
}

/// Records in an order that does not depend on chance; aliases stay first.
fn section_shown(section: &[Record]) -> String {
    let aliases = section.iter().take_while(|record| matches!(record.data, RData::CNAME(_)));
    let aliases: Vec<String> = aliases.map(record_shown).collect();
    let mut rest: Vec<String> = section.iter().skip(aliases.len()).map(record_shown).collect();
    rest.sort_unstable();
    match [aliases, rest].concat() {
        none if none.is_empty() => "-".to_owned(),
        records => records.join("; "),
    }
}

fn record_shown(record: &Record) -> String {
    if *record == soa(&record.name) {
        return match record.name.to_lowercase().to_ascii().as_str() {
            "cluster.local." => "SOA".to_owned(),
            zone => format!("SOA of {zone}"),
        };
    }
    let (owner, ttl, rtype) = (&record.name, record.ttl, record.record_type());
    format!("{owner} {ttl} {rtype} {}", record.data).replace("default.svc.cluster.local.", "D")
}

/// The SOA record of `zone`, in its spelling.
fn soa(zone: &Name) -> Record {
    let below = |labels: &str| Name::from_ascii(format!("{labels}.{zone}")).unwrap();
    let serial = u32::try_from(NOW).unwrap();
    let soa = SOA::new(below("ns.dns"), below("hostmaster"), serial, 7200, 1800, 86_400, 5);
    Record::from_rdata(zone.clone(), 5, RData::SOA(soa))
}
