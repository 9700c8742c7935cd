//! `minimal`: positive answers come without authority and additional records.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

/// Leaves out what was not asked; denials, errors, delegations and transfers stay whole.
pub fn trim(reply: &mut Message) {
    let transfer = |record_type| matches!(record_type, RecordType::AXFR | RecordType::IXFR);
    let transferred = reply.queries.iter().any(|query| transfer(query.query_type));
    // Without answers the authority section says what the reply means: no data, or ask there.
    let positive =
        reply.metadata.response_code == ResponseCode::NoError && !reply.answers.is_empty();
    // An alias that leads nowhere needs its SOA record to be kept (RFC 2308, section 2.2).
    let denied = reply.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    if positive && !denied && !transferred {
        reply.authorities.clear();
        reply.additionals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{a, cname, query, reply, soa};

    #[test]
    fn only_positive_answers_are_trimmed() {
        let address = a("a.example", 5, "192.0.2.1");
        let other = a("ns.example", 5, "192.0.2.2");
        let soa = soa("example", 5);
        for (case, answers, authorities, rcode, kept) in [
            ("address", vec![address.clone()], vec![other.clone()], ResponseCode::NoError, 0),
            ("no data", vec![], vec![soa.clone()], ResponseCode::NoError, 1),
            ("no name", vec![], vec![soa.clone()], ResponseCode::NXDomain, 1),
            ("alias to no data", vec![cname("a", 5, "b")], vec![soa], ResponseCode::NoError, 1),
            ("error", vec![address], vec![other.clone()], ResponseCode::ServFail, 1),
        ] {
            let mut message = reply(&query("a.example", RecordType::A), answers);
            message.authorities = authorities;
            message.additionals = vec![other.clone()];
            message.metadata.response_code = rcode;
            trim(&mut message);
            let counts = (message.authorities.len(), message.additionals.len());
            assert_eq!(counts, (kept, kept), "{case}");
        }
    }

    #[test]
    fn transfers_stay_whole() {
        let soa = soa("example", 5);
        let mut message = reply(&query("example", RecordType::AXFR), vec![soa]);
        message.additionals = vec![a("ns.example", 5, "192.0.2.2")];
        trim(&mut message);
        assert_eq!(message.additionals.len(), 1);
    }
}
