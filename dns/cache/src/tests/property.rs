//! Whatever is asked in whatever order: bounds hold, and nothing outlives its time.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{Kind, Lookup, Moment, ServeStale, Store};

#[derive(Debug, Clone)]
enum Step {
    Insert { name: u8, ttl: u32, records: u8, kind: Kind },
    LookUp { name: u8, upper: bool },
    Wait { milliseconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![Just(Kind::Success), Just(Kind::Denial), Just(Kind::Failure)];
    let step =
        prop_oneof![
            (0..12u8, 0..90u32, 1..40u8, kind)
                .prop_map(|(name, ttl, records, kind)| Step::Insert { name, ttl, records, kind }),
            (0..12u8, any::<bool>()).prop_map(|(name, upper)| Step::LookUp { name, upper }),
            (0..40_000u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        ];
    prop::collection::vec(step, 1..120)
}

fn owner(name: u8) -> String {
    format!("n{name}.example.com.")
}

fn response(owner: &str, ttl: u32, records: u8, kind: Kind) -> Arc<Response> {
    let message = match kind {
        Kind::Failure => {
            return Arc::new(Response::failure(&key(owner), seconds(ttl.into())));
        }
        Kind::Success => reply(owner, RecordType::A, |message| {
            message.add_answers((0..records).map(|last| address(owner, ttl, last)));
        }),
        Kind::Denial => reply(owner, RecordType::A, |message| {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authority(soa("example.com.", ttl, ttl + 1));
        }),
    };
    Arc::new(read(&message, &key(owner)))
}

proptest! {
    #[test]
    fn memory_is_bounded_and_nothing_outlives_its_time(
        steps in steps(),
        bytes in 0..20_000usize,
        at_once in any::<bool>(),
    ) {
        let patience = seconds(1);
        let serve_stale =
            if at_once { ServeStale::AtOnce } else { ServeStale::AfterFailure { patience } };
        let policy = CachePolicy { bytes, serve_stale, stale_for: seconds(60), ..policy() };
        let mut store = Store::new(policy);
        let mut now = Duration::ZERO;
        // What was given to the store last, other than failures, and when.
        let mut last: HashMap<u8, (Arc<Response>, Duration)> = HashMap::new();
        for step in steps {
            match step {
                Step::Wait { milliseconds } => now += Duration::from_millis(milliseconds),
                Step::Insert { name, ttl, records, kind } => {
                    let response = response(&owner(name), ttl, records, kind);
                    if kind != Kind::Failure {
                        last.insert(name, (Arc::clone(&response), now));
                    }
                    store.insert(&key(&owner(name)), response, Moment::new(now));
                }
                Step::LookUp { name, upper } => {
                    let owner = if upper { owner(name).to_uppercase() } else { owner(name) };
                    match store.look_up(&key(&owner), Moment::new(now)) {
                        Lookup::Miss => {}
                        Lookup::Fresh { response, .. } if response.kind() == Kind::Failure => {}
                        Lookup::Fresh { response, age, .. } => {
                            let (newest, stored) = &last[&name];
                            prop_assert_eq!(&response, newest);
                            prop_assert_eq!(age, now - *stored);
                            prop_assert!(age < response.lifetime());
                        }
                        Lookup::Stale { response, .. } => {
                            let (newest, stored) = &last[&name];
                            prop_assert_eq!(&response, newest);
                            prop_assert!(now - *stored >= response.lifetime());
                            prop_assert!(now - *stored < response.lifetime() + seconds(60));
                        }
                    }
                }
            }
            prop_assert!(store.bytes() <= bytes, "{} of {bytes}", store.bytes());
            let (success, denial) = store.entries();
            prop_assert_eq!(success + denial == 0, store.bytes() == 0);
        }
    }

    #[test]
    fn any_octets_are_read_or_refused_and_written_whole(
        tail in prop::collection::vec(any::<u8>(), 0..120),
        counts in prop::array::uniform3(0..4u8),
        limit in 0..200usize,
    ) {
        let question = question(NAME, RecordType::A);
        let [answers, authorities, additionals] = counts;
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, answers, 0, authorities, 0, additionals];
        message.extend_from_slice(&question);
        message.extend_from_slice(&tail);
        if let Ok(response) = Response::read(&message, &key(NAME), &policy()) {
            let written = octets(&response, &Request { limit, ..request(&question) }, Ttls::Aged(9));
            prop_assert!(written.len() <= limit.max(12 + question.len() + 11));
        }
    }

    #[test]
    fn what_is_written_reads_back_as_it_came(
        hosts in prop::collection::vec((0..6u8, 1..5000u32, any::<bool>()), 0..30),
        extra in prop::collection::vec((0..6u8, 4000..5000u32), 0..8),
        spelling in prop::collection::vec(any::<bool>(), NAME.len()),
    ) {
        let owner = |host: u8| if host == 0 { NAME.to_owned() } else { format!("h{host}.example.com.") };
        let mut message = answer(hosts.iter().map(|(host, ttl, six)| {
            if *six { address6(&owner(*host), *ttl, 9) } else { address(&owner(*host), *ttl, 9) }
        }));
        message.add_answer(address(NAME, 4000, 9));
        message.add_additionals(extra.iter().map(|(host, ttl)| address(&owner(*host), *ttl, 8)));
        let response = read(&message, &key(NAME));
        let spelled: String = NAME
            .chars()
            .zip(&spelling)
            .map(|(letter, upper)| if *upper { letter.to_ascii_uppercase() } else { letter })
            .collect();
        let question = question(&spelled, RecordType::A);
        let written = octets(&response, &request(&question), Ttls::Aged(0));
        let read = Message::from_vec(&written).unwrap();
        let clamped = |records: &[Record]| {
            let mut records = records.to_vec();
            records.iter_mut().for_each(|record| record.ttl = record.ttl.min(3600));
            records
        };
        prop_assert_eq!(&read.answers, &clamped(&message.answers));
        prop_assert_eq!(&read.additionals, &clamped(&message.additionals));
        prop_assert!(read.queries[0].name().eq_case(&name(&spelled)));
        for record in read.answers.iter().filter(|record| record.name == name(NAME)) {
            prop_assert!(record.name.eq_case(&name(&spelled)));
        }
    }
}
