//! Resource records and their times to live.

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};

use crate::config::Ttl;

/// The SOA record of the zone at `apex`, which is spelled as the client spelled it.
pub(crate) fn soa(apex: &Name, serial: u32, ttl: Ttl) -> Record {
    let below = |labels: &[&str]| {
        // Every apex leaves room for these labels, so the fallback is never taken.
        labels
            .iter()
            .rev()
            .try_fold(apex.clone(), |name, label| name.prepend_label(*label))
            .unwrap_or_else(|_| apex.clone())
    };
    let soa = SOA::new(
        below(&["ns", "dns"]),
        below(&["hostmaster"]),
        serial,
        7200,
        1800,
        86_400,
        ttl.seconds(),
    );
    Record::from_rdata(apex.clone(), ttl.seconds().min(300), RData::SOA(soa))
}
