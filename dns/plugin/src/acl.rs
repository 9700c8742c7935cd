//! `acl`: who may ask what.
//!
//! The rules of all `acl` lines of a block hold in the order of the file; the first that fits
//! decides, and without one the query is answered.

use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use podway_dns_corefile::plugin::{self, AclAction, AclRule, ExtendedError};
use podway_dns_corefile::value::Zone;

use crate::Reply;

/// The code of a blocked query (RFC 8914, section 4.16).
const BLOCKED: u16 = 15;

/// The code of a filtered query (RFC 8914, section 4.18).
const FILTERED: u16 = 17;

/// The `acl` lines of a server block.
#[derive(Debug, Clone, Default)]
pub struct Acl(Vec<plugin::Acl>);

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It is answered.
    Answer,
    /// It is refused, by this reply.
    Block(Reply),
    /// It is answered as if there were nothing, by this reply.
    Filter(Reply),
    /// It gets no reply at all.
    Drop,
}

/// What becomes of a query, and where that is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling<'a> {
    /// What becomes of it.
    pub decision: Decision,
    /// The zone whose rule decided; `None` where no rule fits.
    pub zone: Option<&'a Zone>,
}

impl Acl {
    /// The rules of these lines, in their order.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::Acl>) -> Self {
        Self(lines.into_iter().cloned().collect())
    }

    /// Decides about a question of a client.
    #[must_use]
    pub fn decide(&self, question: &Query, client: IpAddr) -> Ruling<'_> {
        // A client that comes by IPv4 to a socket of IPv6 is one of IPv4.
        let client = client.to_canonical();
        let ruling = self.0.iter().find_map(|acl| {
            let around = acl.zones.iter().filter(|zone| zone.contains(&question.name));
            let zone = around.max_by_key(|zone| zone.name().iter().len())?;
            let rule = acl.rules.iter().find(|rule| fits(rule, question, client))?;
            Some((rule.action, zone))
        });
        let decision = match ruling.map_or(AclAction::Allow, |(action, _)| action) {
            AclAction::Allow => Decision::Answer,
            AclAction::Block => Decision::Block(denial(ResponseCode::Refused, BLOCKED)),
            AclAction::Filter => Decision::Filter(denial(ResponseCode::NoError, FILTERED)),
            AclAction::Drop => Decision::Drop,
        };
        Ruling { decision, zone: ruling.map(|(_, zone)| zone) }
    }
}

/// Whether both conditions of a rule hold.
fn fits(rule: &AclRule, question: &Query, client: IpAddr) -> bool {
    let AclRule { action: _, types, networks } = rule;
    types.as_ref().is_none_or(|types| types.contains(&question.query_type))
        && networks.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&client)))
}

/// A reply that says why it is empty.
fn denial(rcode: ResponseCode, code: u16) -> Reply {
    let extended_error = Some(ExtendedError { code, reason: String::new() });
    Reply { authoritative: false, extended_error, ..Reply::empty(rcode) }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;
    use podway_dns_corefile::Plugin;

    use super::*;
    use crate::testing::{plugins, question};

    /// The word for what becomes of a query.
    fn decided(lines: &str, name: &str, record_type: RecordType, client: &str) -> &'static str {
        let plugins = plugins(lines);
        let acls = plugins.iter().map(|plugin| {
            let Plugin::Acl(acl) = plugin else { panic!("{plugin:?}") };
            acl
        });
        let acl = Acl::new(acls);
        let ruling = acl.decide(&question(name, record_type), client.parse().unwrap());
        match ruling.decision {
            Decision::Answer => "answer",
            Decision::Drop => "drop",
            Decision::Block(reply) | Decision::Filter(reply) => {
                let code = reply.extended_error.unwrap().code;
                match (reply.rcode, code, reply.answers.len()) {
                    (ResponseCode::Refused, BLOCKED, 0) => "block",
                    (ResponseCode::NoError, FILTERED, 0) => "filter",
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn first_rule_that_fits_decides() {
        let lines = "acl {\n allow net 10.1.0.0/16\n block net 10.0.0.0/8\n filter type AAAA net *\n \
                     drop type TXT SRV\n}";
        for (client, record_type, expected) in [
            ("10.1.2.3", RecordType::AAAA, "answer"),
            ("10.2.2.3", RecordType::AAAA, "block"),
            ("::ffff:10.2.2.3", RecordType::A, "block"),
            ("192.0.2.1", RecordType::AAAA, "filter"),
            ("2001:db8::1", RecordType::SRV, "drop"),
            ("192.0.2.1", RecordType::A, "answer"),
        ] {
            assert_eq!(decided(lines, "a.example", record_type, client), expected, "{client}");
        }
    }

    #[test]
    fn rules_hold_in_their_zones_and_an_allowed_query_meets_no_other_line() {
        let lines = "acl a.example {\n allow net 10.0.0.1\n block\n}\nacl {\n drop\n}";
        for (name, client, expected) in [
            ("x.A.example", "10.0.0.1", "answer"),
            ("a.example", "10.0.0.2", "block"),
            ("b.example", "10.0.0.1", "drop"),
            ("ba.example", "10.0.0.1", "drop"),
        ] {
            assert_eq!(decided(lines, name, RecordType::A, client), expected, "{name} {client}");
        }
    }
}
