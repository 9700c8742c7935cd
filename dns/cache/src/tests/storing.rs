//! What is kept, for how long, and what goes first.

use std::sync::Arc;

use super::*;
use crate::{Kind, Lookup, Moment, Preference, Prefetch, Removed, ServeStale, Store};

fn at(second: u64) -> Moment {
    Moment::new(seconds(second))
}

fn data(ttl: u32) -> Arc<Response> {
    Arc::new(read(&answer([address(NAME, ttl, 1)]), &key(NAME)))
}

fn denied(ttl: u32) -> Arc<Response> {
    let denial = denial(ResponseCode::NXDomain, [soa("example.com.", ttl, ttl)]);
    Arc::new(read(&denial, &key(NAME)))
}

fn failure() -> Arc<Response> {
    Arc::new(Response::failure(&key(NAME), seconds(5)))
}

fn store(change: impl FnOnce(&mut CachePolicy)) -> Store {
    let mut policy = CachePolicy { prefetch: None, ..policy() };
    change(&mut policy);
    Store::new(policy)
}

fn kind(lookup: &Lookup) -> Option<Kind> {
    match lookup {
        Lookup::Fresh { response, .. } | Lookup::Stale { response, .. } => Some(response.kind()),
        Lookup::Miss => None,
    }
}

#[test]
fn answer_is_fresh_within_its_time_then_stale_then_gone() {
    let patience = Duration::from_millis(1800);
    let mut store = store(|policy| policy.serve_stale = ServeStale::AfterFailure { patience });
    assert_eq!(store.look_up(&key(NAME), at(0)), Lookup::Miss);
    let response = data(60);
    store.insert(&key(NAME), Arc::clone(&response), at(100));
    let mut look = |second| store.look_up(&key("wWw.example.COM."), at(second));
    let fresh =
        |age| Lookup::Fresh { response: Arc::clone(&response), age: seconds(age), renew: false };
    assert_eq!((look(100), look(159)), (fresh(0), fresh(59)));
    let response = Arc::clone(&response);
    let stale = Lookup::Stale { response, wait: Some(patience), renew: false };
    assert_eq!((look(160), look(160 + 3599)), (stale.clone(), stale));
    assert_eq!(look(160 + 3600), Lookup::Miss);
}

#[test]
fn without_stale_answers_the_time_is_the_end() {
    let mut store = store(|policy| policy.serve_stale = ServeStale::Never);
    store.insert(&key(NAME), data(60), at(0));
    assert_eq!(kind(&store.look_up(&key(NAME), at(59))), Some(Kind::Success));
    assert_eq!(store.look_up(&key(NAME), at(60)), Lookup::Miss);
}

#[test]
fn stale_answer_at_once_is_renewed_but_not_by_every_client() {
    let mut store = store(|policy| policy.serve_stale = ServeStale::AtOnce);
    store.insert(&key(NAME), data(60), at(0));
    let mut renewals = Vec::new();
    for second in 60..72 {
        let Lookup::Stale { wait: None, renew, .. } = store.look_up(&key(NAME), at(second)) else {
            panic!("nothing is given at once after {second} s");
        };
        if renew {
            renewals.push(second);
        }
    }
    assert_eq!(renewals, [60, 65, 70]);
}

#[test]
fn failure_spoils_no_usable_answer_but_ends_the_waiting() {
    let mut store = store(|_| {});
    store.insert(&key(NAME), data(60), at(0));
    store.insert(&key(NAME), failure(), at(61));
    let wait = |lookup: Lookup| {
        assert_eq!(kind(&lookup), Some(Kind::Success));
        matches!(lookup, Lookup::Stale { wait: Some(_), .. })
    };
    assert!(!wait(store.look_up(&key(NAME), at(62))));
    assert!(!wait(store.look_up(&key(NAME), at(90))));
    assert!(wait(store.look_up(&key(NAME), at(91))), "upstreams are waited for again");
    // What nobody may be given any more is no answer to spoil.
    store.insert(&key(NAME), failure(), at(60 + 3600));
    assert_eq!(kind(&store.look_up(&key(NAME), at(60 + 3601))), Some(Kind::Failure));
}

#[test]
fn time_after_a_failure_without_asking_is_up_to_the_operator() {
    let mut store = store(|policy| policy.recheck = seconds(3));
    store.insert(&key(NAME), data(60), at(0));
    store.insert(&key(NAME), failure(), at(61));
    let asks = |lookup| matches!(lookup, Lookup::Stale { wait: Some(_), .. });
    assert!(!asks(store.look_up(&key(NAME), at(63))));
    assert!(asks(store.look_up(&key(NAME), at(64))));
}

#[test]
fn data_is_preferred_to_later_denials_as_long_as_it_may_be_given() {
    let mut store = store(|policy| {
        policy.preference = Preference::Data;
        policy.stale_for = seconds(100);
    });
    store.insert(&key(NAME), data(60), at(0));
    store.insert(&key(NAME), denied(900), at(10));
    assert!(matches!(store.look_up(&key(NAME), at(11)), Lookup::Fresh { renew: false, .. }));
    assert_eq!(store.peek(&key(NAME), at(11)).unwrap().0.kind(), Kind::Success);
    let lookup = store.look_up(&key(NAME), at(159));
    assert_eq!(kind(&lookup), Some(Kind::Success));
    assert!(matches!(lookup, Lookup::Stale { wait: Some(_), .. }), "the upstreams are asked");
    assert_eq!(kind(&store.look_up(&key(NAME), at(160))), Some(Kind::Denial));
    assert_eq!(store.peek(&key(NAME), at(160)).unwrap().0.kind(), Kind::Denial);
    // Newer data takes the place of both.
    store.insert(&key(NAME), data(60), at(161));
    assert_eq!(store.entries(), (1, 0));
    // What may not be given any more is not preferred to anything.
    store.insert(&key(NAME), denied(60), at(500));
    assert_eq!(store.entries(), (0, 1));
}

#[test]
fn failure_is_remembered_shortly_and_never_given_stale() {
    let mut store = store(|_| {});
    store.insert(&key(NAME), failure(), at(0));
    assert_eq!(kind(&store.look_up(&key(NAME), at(4))), Some(Kind::Failure));
    assert_eq!(store.look_up(&key(NAME), at(5)), Lookup::Miss);
    let off = Arc::new(Response::failure(&key(NAME), Duration::ZERO));
    store.insert(&key(NAME), off, at(6));
    assert_eq!(store.entries(), (0, 0), "it may not be remembered at all");
}

#[test]
fn newer_answer_takes_the_place_of_the_older_whatever_they_say() {
    let mut store = store(|_| {});
    for (second, response, expected) in [
        (0, data(60), (1, 0)),
        (1, denied(60), (0, 1)),
        (2, data(60), (1, 0)),
        (3, data(0), (0, 0)),
    ] {
        store.insert(&key(NAME), response, at(second));
        assert_eq!(store.entries(), expected, "after {second}");
    }
    assert_eq!(store.bytes(), 0);
}

#[test]
fn popular_answer_is_renewed_once_near_its_end() {
    let prefetch = Prefetch { hits: 3, pause: seconds(10), percent: 10 };
    let renewals = |seconds_asked: &[u64]| {
        let mut store = store(|policy| policy.prefetch = Some(prefetch));
        store.insert(&key(NAME), data(100), at(0));
        let renews = |second: &u64| {
            let lookup = store.look_up(&key(NAME), at(*second));
            assert_eq!(kind(&lookup), Some(Kind::Success));
            matches!(lookup, Lookup::Fresh { renew: true, .. })
        };
        seconds_asked.iter().map(renews).collect::<Vec<_>>()
    };
    assert_eq!(renewals(&[80, 85, 89, 90, 91]), [false, false, false, true, false]);
    assert_eq!(renewals(&[95, 96, 97]), [false, false, true]);
    assert_eq!(renewals(&[60, 65, 91, 92]), [false; 4], "a long pause begins the count anew");
}

#[test]
fn failure_is_not_renewed_however_often_it_is_asked_for() {
    let prefetch = Some(Prefetch { hits: 1, pause: seconds(10), percent: 90 });
    let mut store = store(|policy| policy.prefetch = prefetch);
    store.insert(&key(NAME), failure(), at(0));
    for second in 1..5 {
        let lookup = store.look_up(&key(NAME), at(second));
        assert!(matches!(lookup, Lookup::Fresh { renew: false, .. }), "{lookup:?}");
    }
}

#[test]
fn unused_for_longest_goes_first_and_denials_push_out_no_data() {
    let mut store = store(|policy| policy.bytes = 8000);
    store.insert(&key(NAME), data(60), at(0));
    let names: Vec<_> = (0..100).map(|index| key(&format!("{index}.example.com."))).collect();
    let mut removed = 0;
    for name in &names {
        removed += store.insert(name, denied(60), at(1)).denial;
    }
    assert_eq!(kind(&store.look_up(&key(NAME), at(2))), Some(Kind::Success));
    let kept = store.entries().1;
    assert!(kept > 1 && removed == 100 - kept, "{kept} kept, {removed} removed");
    let first_kept = &names[100 - kept];
    assert_eq!(store.look_up(&names[99 - kept], at(2)), Lookup::Miss);
    assert_eq!(kind(&store.look_up(first_kept, at(2))), Some(Kind::Denial));
    // It was used, so the next one goes before it.
    store.insert(&key("new.example.com."), denied(60), at(3));
    assert_eq!(kind(&store.look_up(first_kept, at(3))), Some(Kind::Denial));
    assert_eq!(store.look_up(&names[101 - kept], at(3)), Lookup::Miss);
}

#[test]
fn answer_larger_than_the_memory_is_not_kept() {
    let mut store = store(|policy| policy.bytes = 100);
    assert_eq!(store.insert(&key(NAME), data(60), at(0)), Removed::default());
    assert_eq!((store.entries(), store.bytes()), ((0, 0), 0));
}

#[test]
fn peek_finds_only_what_is_fresh() {
    let mut store = store(|_| {});
    store.insert(&key(NAME), denied(60), at(0));
    assert_eq!(store.peek(&key(NAME), at(59)), Some((denied(60), seconds(59))));
    assert_eq!(store.peek(&key(NAME), at(60)), None);
}

#[test]
fn questions_that_want_other_things_are_told_apart() {
    let keys = [
        key(NAME),
        key_of(NAME, RecordType::AAAA, KeyFlags::default()),
        Key::new(name(NAME).iter(), 1, 3, KeyFlags::default()),
        key_of(NAME, RecordType::A, KeyFlags { dnssec_ok: true, ..KeyFlags::default() }),
        key_of(NAME, RecordType::A, KeyFlags { checking_disabled: true, ..KeyFlags::default() }),
        key_of(NAME, RecordType::A, KeyFlags { recursion_desired: true, ..KeyFlags::default() }),
    ];
    let mut store = store(|_| {});
    store.insert(&keys[0], data(60), at(0));
    for key in &keys[1..] {
        assert_eq!(store.look_up(key, at(1)), Lookup::Miss, "{key:?}");
    }
}
