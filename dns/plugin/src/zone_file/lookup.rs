//! Which name of a zone a question is about, and the reply.

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::Zone;
use super::zone::Node;
use crate::presentation::LONGEST_OCTETS;
use crate::reply::record;
use crate::{Follow, Reply};

/// Longest chain of aliases that is followed, as for the names of the cluster.
const MOST_ALIASES: usize = 10;

/// Most records beside an answer, so that a set of many names does not draw all their addresses in.
const MOST_ADDITIONALS: usize = 64;

/// What a zone says about a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// This.
    Reply(Reply),
    /// Aliases that lead to where the zone knows nothing.
    Follow(Follow),
    /// The name asked does not exist.
    Missing(Reply),
}

/// Where a name leads in a zone.
enum Place<'z> {
    /// To these records, those of a wildcard perhaps.
    Node(&'z Node),
    /// Below a delegation.
    Cut(&'z Node),
    /// Below a name that is another as a whole.
    Renamed(&'z Record),
    /// Nowhere.
    Missing,
    /// Out of the zone.
    Outside,
}

impl Zone {
    /// Finds what the zone says about a question for a name in it.
    pub(super) fn find(&self, question: &Query) -> Found {
        let mut reply = Reply::empty(ResponseCode::NoError);
        let mut name = question.name.clone();
        loop {
            let aliased = !reply.answers.is_empty();
            let target = match self.place(&name, question.query_type) {
                Place::Outside => return follow(reply, question, name),
                Place::Cut(_) if aliased => return follow(reply, question, name),
                Place::Cut(node) => return Found::Reply(self.referral(node)),
                Place::Missing => {
                    reply.rcode = ResponseCode::NXDomain;
                    reply.authorities.push(self.denial.clone());
                    return if aliased { Found::Reply(reply) } else { Found::Missing(reply) };
                }
                Place::Renamed(dname) => {
                    reply.answers.push(dname.clone());
                    let Some(target) = substituted(&name, dname) else {
                        // The name gets too long (RFC 6672, section 2.2).
                        reply.rcode = ResponseCode::YXDomain;
                        return Found::Reply(reply);
                    };
                    let data = RData::CNAME(CNAME(target.clone()));
                    reply.answers.push(record(&name, dname.ttl, data));
                    if is_any(question.query_type) || question.query_type == RecordType::CNAME {
                        return Found::Reply(reply);
                    }
                    target
                }
                Place::Node(node) => {
                    let wanted = question.query_type;
                    let alias = node.set(RecordType::CNAME).first();
                    let alias = alias.filter(|_| !is_any(wanted) && wanted != RecordType::CNAME);
                    let Some((alias, RData::CNAME(target))) =
                        alias.map(|alias| (alias, &alias.data))
                    else {
                        self.complete(&mut reply, node, &name, wanted);
                        return Found::Reply(reply);
                    };
                    reply.answers.push(owned_by(alias, &name));
                    target.0.clone()
                }
            };
            let circular = reply
                .answers
                .iter()
                .any(|alias| matches!(alias.data, RData::CNAME(_)) && alias.name == target);
            if circular || reply.answers.len() > MOST_ALIASES {
                reply.rcode = ResponseCode::ServFail;
                return Found::Reply(reply);
            }
            name = target;
        }
    }

    /// Where `name` leads.
    fn place(&self, name: &Name, wanted: RecordType) -> Place<'_> {
        if !self.origin.zone_of(name) {
            return Place::Outside;
        }
        let labels: Vec<&[u8]> = name.iter().collect();
        let above = self.origin.iter().len();
        let mut encloser = None;
        for count in above..=labels.len() {
            let ancestor = tail(&labels, count);
            let Some((ancestor, node)) = ancestor.and_then(|name| self.nodes.get_key_value(&name))
            else {
                break;
            };
            let whole = count == labels.len();
            let delegated = count > above && !node.set(RecordType::NS).is_empty();
            // The parent says how a delegation is signed (RFC 4035, section 3.1.4.1).
            if delegated && !(whole && wanted == RecordType::DS) {
                return Place::Cut(node);
            }
            if whole {
                return Place::Node(node);
            }
            if let Some(dname) = node.set(RecordType::DNAME).first() {
                return Place::Renamed(dname);
            }
            encloser = Some(ancestor);
        }
        let wildcard = encloser.and_then(|encloser| encloser.prepend_label("*").ok());
        match wildcard.and_then(|wildcard| self.nodes.get(&wildcard)) {
            Some(node) => Place::Node(node),
            None => Place::Missing,
        }
    }

    /// Adds the records of a node, or that there are none of the type.
    fn complete(&self, reply: &mut Reply, node: &Node, name: &Name, wanted: RecordType) {
        let records = match wanted {
            wanted if is_any(wanted) => {
                node.sets().first().map(|(_, records)| records.as_slice()).unwrap_or_default()
            }
            wanted => node.set(wanted),
        };
        if records.is_empty() {
            reply.authorities.push(self.denial.clone());
            return;
        }
        reply.answers.extend(records.iter().map(|record| owned_by(record, name)));
        reply.additionals = self.addresses(records);
        let of_apex = wanted == RecordType::NS && *name == self.origin;
        if let Some(apex) = self.nodes.get(&self.origin).filter(|_| !of_apex) {
            reply.authorities.extend(apex.set(RecordType::NS).iter().cloned());
        }
    }

    /// The reply that names others to ask.
    ///
    /// How the delegation is signed is told to those who ask for it: to say it here takes a query
    /// with the DO bit (RFC 4035, section 3.1.4).
    fn referral(&self, node: &Node) -> Reply {
        let servers = node.set(RecordType::NS);
        Reply {
            authoritative: false,
            authorities: servers.to_vec(),
            additionals: self.addresses(servers),
            ..Reply::empty(ResponseCode::NoError)
        }
    }

    /// The addresses in this zone of the names that records point to.
    fn addresses(&self, records: &[Record]) -> Vec<Record> {
        let mut found: Vec<Record> = Vec::new();
        for target in records.iter().filter_map(target) {
            let Some(node) = self.nodes.get(target) else { continue };
            if found.iter().any(|known| known.name == *target) {
                continue;
            }
            let addresses = [RecordType::A, RecordType::AAAA];
            found.extend(addresses.iter().flat_map(|kind| node.set(*kind)).cloned());
            if found.len() >= MOST_ADDITIONALS {
                found.truncate(MOST_ADDITIONALS);
                break;
            }
        }
        found
    }
}

/// Hands what was found to the caller, who asks for `name`.
fn follow(reply: Reply, question: &Query, name: Name) -> Found {
    let mut question = question.clone();
    question.name = name;
    Found::Follow(Follow { reply, question })
}

/// The name that a record points to, whose addresses help its reader.
fn target(record: &Record) -> Option<&Name> {
    if let RData::NS(server) = &record.data {
        Some(&server.0)
    } else if let RData::MX(mx) = &record.data {
        Some(&mx.exchange)
    } else if let RData::SRV(srv) = &record.data {
        Some(&srv.target)
    } else {
        None
    }
}

/// A record with the owner name `name`, as it is spelled there.
fn owned_by(record: &Record, name: &Name) -> Record {
    let mut record = record.clone();
    record.name.clone_from(name);
    record
}

/// The name of the last `count` labels.
fn tail(labels: &[&[u8]], count: usize) -> Option<Name> {
    let labels = labels.get(labels.len().checked_sub(count)?..)?;
    let mut name = Name::from_labels(labels.iter().copied()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// What `name`, which is below the owner of `dname`, becomes; `None` if that is too long.
fn substituted(name: &Name, dname: &Record) -> Option<Name> {
    let RData::Unknown { rdata, .. } = &dname.data else { return None };
    let target = Name::read(&mut BinDecoder::new(&rdata.anything)).ok()?;
    let below = name.iter().len().checked_sub(dname.name.iter().len())?;
    let labels: Vec<&[u8]> = name.iter().take(below).chain(target.iter()).collect();
    if labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 > LONGEST_OCTETS {
        return None;
    }
    let mut made = Name::from_labels(labels).ok()?;
    made.set_fqdn(true);
    Some(made)
}

/// Whether a question is for records of any type.
fn is_any(wanted: RecordType) -> bool {
    wanted == RecordType::ANY
}
