//! `any`: questions of type ANY get one short record (RFC 8482, section 4.2).

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{RData, RecordType};

use crate::Reply;
use crate::reply::record;

/// How long the record lives, in seconds: the number of the RFC, as in CoreDNS.
const TTL: u32 = 8482;

/// Answers a question of type ANY; `None` for other types.
#[must_use]
pub fn answer(question: &Query) -> Option<Reply> {
    if question.query_type != RecordType::ANY {
        return None;
    }
    let data = HINFO::new("ANY obsoleted".to_owned(), "See RFC 8482".to_owned());
    Some(Reply::of(vec![record(&question.name, TTL, RData::HINFO(data))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{question, shown};

    #[test]
    fn only_questions_of_type_any_get_the_short_record() {
        let reply = answer(&question("A.example", RecordType::ANY)).unwrap();
        assert_eq!(shown(&reply.answers), ["A.example. 8482 IN HINFO ANY obsoleted See RFC 8482"]);
        assert_eq!(answer(&question("A.example", RecordType::A)), None);
    }
}
