//! `local`: names of this machine are answered here and never go further (RFC 6761, section 6.3;
//! RFC 6303 for the reverse zones).

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA};
use hickory_proto::rr::{Name, RData, RecordType};
use podway_dns_corefile::plugin::{self, LocalhostNames};

use crate::Reply;
use crate::reply::{of_internet, record};

/// How long records live, in seconds: a week, as in CoreDNS, for they never change.
const TTL: u32 = 604_800;

/// First labels of the reverse zones that are answered here: this, loopback, broadcast.
const REVERSE: &[&[u8]] = &[b"0", b"127", b"255"];

/// Answers names of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local(LocalhostNames);

/// What a name is to this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The apex `localhost` with its own records.
    Localhost,
    /// Another name that means this machine.
    Alias,
    /// A reverse zone.
    ReverseApex,
    /// The name of 127.0.0.1.
    Loopback,
    /// Above a name that exists.
    Between,
    /// In a reverse zone, where nothing else is.
    Missing,
}

impl Local {
    /// Answers as the line says.
    #[must_use]
    pub fn new(line: &plugin::Local) -> Self {
        Self(line.names)
    }

    /// Answers a name of this machine; `None` for other names.
    #[must_use]
    pub fn answer(self, question: &Query) -> Option<Reply> {
        if !of_internet(question) {
            return None;
        }
        let kind = self.kind(&question.name)?;
        let owner = &question.name;
        let mut answers = Vec::new();
        let mut answer = |wanted, data| {
            if question.query_type == wanted {
                answers.push(record(owner, TTL, data));
            }
        };
        if matches!(kind, Kind::Localhost | Kind::Alias) {
            answer(RecordType::A, RData::A(A(Ipv4Addr::LOCALHOST)));
            answer(RecordType::AAAA, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)));
        }
        if matches!(kind, Kind::Localhost | Kind::ReverseApex) {
            answer(RecordType::SOA, RData::SOA(soa()));
            answer(RecordType::NS, RData::NS(NS(localhost())));
        }
        if kind == Kind::Loopback {
            answer(RecordType::PTR, RData::PTR(PTR(localhost())));
        }
        if !answers.is_empty() {
            return Some(Reply::of(answers));
        }
        let missing = kind == Kind::Missing;
        let rcode = if missing { ResponseCode::NXDomain } else { ResponseCode::NoError };
        let apex = match kind {
            Kind::Alias | Kind::Localhost | Kind::ReverseApex => owner.clone(),
            Kind::Loopback | Kind::Between | Kind::Missing => owner.trim_to(3),
        };
        let authorities = vec![record(&apex, TTL, RData::SOA(soa()))];
        Some(Reply { authorities, ..Reply::empty(rcode) })
    }

    /// Whether `name` means this machine only by its search path, as `localhost.example` does.
    #[must_use]
    pub fn is_of_search_path(self, name: &Name) -> bool {
        self.kind(name) == Some(Kind::Alias)
    }

    /// What `name` is to this machine; `None` for nothing.
    fn kind(self, name: &Name) -> Option<Kind> {
        let labels: Vec<Vec<u8>> = name.iter().map(<[u8]>::to_ascii_lowercase).collect();
        let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        match labels.as_slice() {
            [b"localhost"] => Some(Kind::Localhost),
            [.., b"localhost"] => Some(Kind::Alias),
            [b"localhost", ..] if self.0 == LocalhostNames::WithPrefix => Some(Kind::Alias),
            [below @ .., zone, b"in-addr", b"arpa"] if REVERSE.contains(zone) => {
                let loopback: &[&[u8]] = &[b"1", b"0", b"0"];
                Some(match below {
                    [] => Kind::ReverseApex,
                    _ if *zone == b"127" && below == loopback => Kind::Loopback,
                    _ if *zone == b"127" && loopback.ends_with(below) => Kind::Between,
                    _ => Kind::Missing,
                })
            }
            _ => None,
        }
    }
}

/// The name `localhost`.
fn localhost() -> Name {
    // One label of nine letters is a name.
    let mut name = Name::from_ascii("localhost.").unwrap_or_default();
    name.set_fqdn(true);
    name
}

/// The SOA record of each zone.
fn soa() -> SOA {
    let owner = localhost();
    let mailbox = owner.prepend_label("root").unwrap_or_else(|_too_long| owner.clone());
    SOA::new(owner, mailbox, 1, 0, 0, 0, TTL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plugin, question, shown};

    /// The reply in short: response code, answers, owners of authority.
    fn answered(lines: &str, name: &str, record_type: RecordType) -> String {
        let local = Local::new(&plugin!(Local, lines));
        match local.answer(&question(name, record_type)) {
            None => "next".to_owned(),
            Some(reply) => {
                let owners: Vec<String> =
                    reply.authorities.iter().map(|record| record.name.to_string()).collect();
                let answers = shown(&reply.answers).join(", ").replace("604800 IN ", "");
                format!("{} [{answers}] [{}]", reply.rcode, owners.join(", "))
            }
        }
    }

    #[test]
    fn names_of_this_machine_are_answered() {
        for (name, record_type, expected) in [
            ("LocalHost", RecordType::A, "No Error [LocalHost. A 127.0.0.1] []"),
            ("localhost", RecordType::AAAA, "No Error [localhost. AAAA ::1] []"),
            ("a.localhost", RecordType::A, "No Error [a.localhost. A 127.0.0.1] []"),
            ("localhost.example", RecordType::AAAA, "No Error [localhost.example. AAAA ::1] []"),
            ("localhost.example", RecordType::MX, "No Error [] [localhost.example.]"),
            ("localhost", RecordType::MX, "No Error [] [localhost.]"),
            ("localhost", RecordType::NS, "No Error [localhost. NS localhost.] []"),
            ("0.in-addr.arpa", RecordType::NS, "No Error [0.in-addr.arpa. NS localhost.] []"),
            ("255.in-addr.arpa", RecordType::A, "No Error [] [255.in-addr.arpa.]"),
            (
                "1.0.0.127.in-addr.arpa",
                RecordType::PTR,
                "No Error [1.0.0.127.in-addr.arpa. PTR localhost.] []",
            ),
            ("1.0.0.127.in-addr.arpa", RecordType::A, "No Error [] [127.in-addr.arpa.]"),
            ("0.127.in-addr.arpa", RecordType::PTR, "No Error [] [127.in-addr.arpa.]"),
            (
                "2.0.0.127.in-addr.arpa",
                RecordType::PTR,
                "Non-Existent Domain [] [127.in-addr.arpa.]",
            ),
            ("1.0.0.0.in-addr.arpa", RecordType::PTR, "Non-Existent Domain [] [0.in-addr.arpa.]"),
            ("example", RecordType::A, "next"),
            ("localhosts", RecordType::A, "next"),
            ("1.0.0.10.in-addr.arpa", RecordType::PTR, "next"),
        ] {
            assert_eq!(answered("local", name, record_type), expected, "{name} {record_type}");
        }
    }

    #[test]
    fn localhost_before_a_domain_can_be_left_to_others() {
        let lines = "local {\n localhost_prefix off\n}";
        assert_eq!(answered(lines, "localhost.example", RecordType::A), "next");
        assert_eq!(
            answered(lines, "a.localhost", RecordType::A),
            "No Error [a.localhost. A 127.0.0.1] []"
        );
    }
}
