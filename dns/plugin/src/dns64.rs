//! `dns64`: IPv6 addresses for names that have only IPv4 addresses (RFC 6147; RFC 6052 for where
//! the IPv4 address stands).
//!
//! For a query that [`Dns64::concerns`] and a reply that [`Dns64::lacks`], the caller asks for the
//! name's [`Dns64::instead`] and gives both replies to [`Dns64::synthesize`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::AAAA;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use podway_dns_corefile::plugin::{self, TranslateFrom, TranslateWhat};

/// Longest life of a made record when the SOA record of its zone is not known, in seconds
/// (RFC 6147, section 5.1.7).
const LONGEST_WITHOUT_SOA: u32 = 600;

/// Makes IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dns64(plugin::Dns64);

impl Dns64 {
    /// Makes them as the line says.
    #[must_use]
    pub fn new(line: &plugin::Dns64) -> Self {
        Self(*line)
    }

    /// Whether the reply to a query of `client` may get IPv6 addresses.
    ///
    /// A client that validates for itself, by DO and CD, gets what is signed (RFC 6147, section
    /// 5.5).
    #[must_use]
    pub fn concerns(&self, query: &Message, client: IpAddr) -> bool {
        let [question] = query.queries.as_slice() else { return false };
        let by_client = match self.0.from {
            TranslateFrom::Ipv6 => client.to_canonical().is_ipv6(),
            TranslateFrom::Everyone => true,
        };
        let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let validates = dnssec_ok && query.metadata.checking_disabled;
        question.query_type == RecordType::AAAA
            && question.query_class == DNSClass::IN
            && by_client
            && !validates
    }

    /// Whether a reply lacks IPv6 addresses that can be made.
    ///
    /// A name that does not exist has none, and any other error is like an empty reply
    /// (RFC 6147, section 5.1.2); IPv4 addresses in the form of IPv6 count for none (5.1.4).
    #[must_use]
    pub fn lacks(&self, reply: &Message) -> bool {
        if reply.metadata.response_code == ResponseCode::NXDomain {
            return false;
        }
        self.0.what == TranslateWhat::Everything || !reply.answers.iter().any(is_address)
    }

    /// The question for the addresses to make others of.
    #[must_use]
    pub fn instead(question: &Query) -> Query {
        let mut instead = question.clone();
        instead.query_type = RecordType::A;
        instead
    }

    /// The reply with IPv6 addresses made of `found`, the reply to the question for IPv4 addresses.
    ///
    /// Without any, `reply` stands as it is.
    #[must_use]
    pub fn synthesize(&self, reply: Message, found: Message) -> Message {
        let has_address = found.answers.iter().any(|record| matches!(record.data, RData::A(_)));
        if found.metadata.response_code != ResponseCode::NoError || !has_address {
            return reply;
        }
        let mut soas = reply.authorities.iter();
        let soa = soas.find(|record| record.record_type() == RecordType::SOA);
        let longest = soa.map_or(LONGEST_WITHOUT_SOA, |soa| soa.ttl);
        let mut made = reply;
        made.metadata.response_code = ResponseCode::NoError;
        made.metadata.truncation = found.metadata.truncation;
        made.metadata.authoritative = found.metadata.authoritative;
        made.metadata.recursion_available = found.metadata.recursion_available;
        // What is made is not signed.
        made.metadata.authentic_data = false;
        made.answers = found.answers.into_iter().map(|record| self.made(record, longest)).collect();
        made.authorities = found.authorities;
        made.additionals = found.additionals;
        made
    }

    /// A record with its IPv4 address made an IPv6 address; others stay as they are.
    fn made(&self, mut record: Record, longest: u32) -> Record {
        if let RData::A(address) = record.data {
            record.data = RData::AAAA(AAAA(self.embed(address.0)));
            record.ttl = record.ttl.min(longest);
        }
        record
    }

    /// Puts an IPv4 address behind the prefix; octet 8 stays zero (RFC 6052, section 2.2).
    fn embed(&self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.0.prefix.network().octets();
        let begin = usize::from(self.0.prefix.prefix_len() / 8);
        let places = (begin..16).filter(|place| *place != 8);
        for (place, octet) in places.zip(address.octets()) {
            octets[place] = octet;
        }
        Ipv6Addr::from(octets)
    }
}

/// Whether a record holds an IPv6 address that is not one of IPv4.
fn is_address(record: &Record) -> bool {
    matches!(&record.data, RData::AAAA(address) if address.0.to_ipv4_mapped().is_none())
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Edns;

    use super::*;
    use crate::testing::{a, aaaa, cname, plugin, query, reply, shown, soa};

    fn dns64(lines: &str) -> Dns64 {
        Dns64::new(&plugin!(Dns64, lines))
    }

    #[test]
    fn addresses_stand_where_the_prefix_ends() {
        // The table of RFC 6052, section 2.4.
        for (prefix, made) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let dns64 = dns64(&format!("dns64 {prefix}"));
            let expected: Ipv6Addr = made.parse().unwrap();
            assert_eq!(dns64.embed(Ipv4Addr::new(192, 0, 2, 33)), expected, "{prefix}");
        }
    }

    #[test]
    fn only_questions_for_ipv6_addresses_of_clients_on_ipv6_are_concerned() {
        let on_ipv6 = "2001:db8::1";
        for (lines, client, record_type, expected) in [
            ("dns64", on_ipv6, RecordType::AAAA, true),
            ("dns64", on_ipv6, RecordType::A, false),
            ("dns64", "192.0.2.1", RecordType::AAAA, false),
            ("dns64", "::ffff:192.0.2.1", RecordType::AAAA, false),
            ("dns64 {\n allow_ipv4\n}", "192.0.2.1", RecordType::AAAA, true),
        ] {
            let asked = query("a.example", record_type);
            let concerned = dns64(lines).concerns(&asked, client.parse().unwrap());
            assert_eq!(concerned, expected, "{lines} {client} {record_type}");
        }
        let mut asked = query("a.example", RecordType::AAAA);
        asked.metadata.checking_disabled = true;
        assert!(dns64("dns64").concerns(&asked, on_ipv6.parse().unwrap()));
        let mut edns = Edns::new();
        edns.set_dnssec_ok(true);
        asked.edns = Some(edns);
        assert!(!dns64("dns64").concerns(&asked, on_ipv6.parse().unwrap()), "it validates");
    }

    #[test]
    fn replies_without_ipv6_addresses_lack_them() {
        let asked = query("a.example", RecordType::AAAA);
        let with = |records| reply(&asked, records);
        let mut missing = with(vec![]);
        missing.metadata.response_code = ResponseCode::NXDomain;
        let mut failed = with(vec![]);
        failed.metadata.response_code = ResponseCode::ServFail;
        let (normal, everything) = (dns64("dns64"), dns64("dns64 {\n translate_all\n}"));
        for (case, message, expected, expected_of_all) in [
            ("address", with(vec![aaaa("a.example", 5, "2001:db8::1")]), false, true),
            ("mapped", with(vec![aaaa("a.example", 5, "::ffff:192.0.2.1")]), true, true),
            ("alias alone", with(vec![cname("a.example", 5, "b.example")]), true, true),
            ("no data", with(vec![]), true, true),
            ("no name", missing, false, false),
            ("failure", failed, true, true),
        ] {
            assert_eq!(normal.lacks(&message), expected, "{case}");
            assert_eq!(everything.lacks(&message), expected_of_all, "{case}");
        }
    }

    #[test]
    fn made_addresses_live_no_longer_than_what_they_are_made_of() {
        let asked = query("A.example", RecordType::AAAA);
        let mut empty = reply(&asked, vec![]);
        let found = reply(
            &asked,
            vec![cname("A.example", 999, "b.example"), a("b.example", 900, "192.0.2.1")],
        );
        let made = dns64("dns64").synthesize(empty.clone(), found.clone());
        assert_eq!(
            shown(&made.answers),
            ["A.example. 999 IN CNAME b.example.", "b.example. 600 IN AAAA 64:ff9b::c000:201"]
        );
        assert_eq!(made.queries, asked.queries);
        empty.authorities.push(soa("example", 30));
        let made = dns64("dns64").synthesize(empty.clone(), found);
        assert_eq!(made.answers[1].ttl, 30);
        assert!(made.authorities.is_empty());
        let nothing = reply(&asked, vec![cname("a.example", 5, "b.example")]);
        assert_eq!(dns64("dns64").synthesize(empty.clone(), nothing), empty);
    }
}
