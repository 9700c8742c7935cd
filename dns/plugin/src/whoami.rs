//! `whoami`: every question is answered with the client's address, port and protocol.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{Name, RData};

use crate::Reply;
use crate::reply::record;

/// Answers a question of `client`, that came by `protocol`: `udp` or `tcp`.
#[must_use]
pub fn answer(question: &Query, client: SocketAddr, protocol: &str) -> Reply {
    let address = match client.ip().to_canonical() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    let mut additionals = vec![record(&question.name, 0, address)];
    // A name too long for another label goes without its port.
    if let Ok(owner) = question.name.prepend_label(format!("_{protocol}")) {
        let data = SRV::new(0, 0, client.port(), Name::root());
        additionals.push(record(&owner, 0, RData::SRV(data)));
    }
    Reply { additionals, ..Reply::empty(ResponseCode::NoError) }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;
    use crate::testing::{question, shown};

    #[test]
    fn client_sees_its_address_and_port() {
        let asked = question("a.example", RecordType::TXT);
        let reply = answer(&asked, "[::ffff:192.0.2.7]:4711".parse().unwrap(), "udp");
        assert_eq!(
            shown(&reply.additionals),
            ["a.example. 0 IN A 192.0.2.7", "_udp.a.example. 0 IN SRV 0 0 4711 ."]
        );
        let reply = answer(&asked, "[2001:db8::7]:53".parse().unwrap(), "tcp");
        assert_eq!(
            shown(&reply.additionals),
            ["a.example. 0 IN AAAA 2001:db8::7", "_tcp.a.example. 0 IN SRV 0 0 53 ."]
        );
    }
}
