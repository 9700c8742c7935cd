//! What is kept, when upstreams are asked again, and how often.

use super::*;

/// An hour of staleness after so many milliseconds.
fn stale_after(patience_ms: u64) -> impl FnOnce(&mut ForwardConfig) {
    move |config| {
        let serve_stale = ServeStale::AfterFailure { patience: ms(patience_ms) };
        config.cache = Some(CachePolicy { serve_stale, ..policy() });
    }
}

fn policy() -> CachePolicy {
    CachePolicy { prefetch: None, ..CachePolicy::default() }
}

#[tokio::test(start_paused = true)]
async fn fifty_who_ask_the_same_cause_one_query() {
    let bench = Arc::new(bench(2, |_| {}));
    // Slow enough that all come before the answer, and not to be kept.
    bench.fakes[0].behave(Manner::Answers { ttl: 0, after_ms: 200 });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let bench = Arc::clone(&bench);
        let name = if client % 2 == 0 { "www.example" } else { "WWW.Example" };
        clients.spawn(async move { bench.ask(name).await });
    }
    let given = clients.join_all().await;
    assert!(given.iter().all(|given| kind(given) == Kind::Success));
    assert_eq!(bench.queries(), [1, 0]);
    bench.ask("www.example").await;
    assert_eq!(bench.queries(), [2, 0], "an answer without time was kept");
}

#[tokio::test(start_paused = true)]
async fn answer_is_given_at_once_within_its_time_and_asked_for_after_it() {
    let bench = bench(1, stale_after(1800));
    assert_eq!(bench.ask("www.example").await.ttls, Ttls::Aged(0));
    sleep(seconds(59)).await;
    assert_eq!(bench.at_once("wWw.example").unwrap().ttls, Ttls::Aged(59));
    assert!(bench.at_once("other.example").is_none());
    sleep(seconds(1)).await;
    assert!(bench.at_once("www.example").is_none());
    assert_eq!(bench.ask("www.example").await.ttls, Ttls::Aged(0));
    assert_eq!(bench.queries(), [2]);
    let labels = r#"{server="dns://127.0.0.4:53",zones=".",view="""#;
    for (name, value) in
        [("coredns_cache_requests_total", "5"), ("coredns_cache_misses_total", "4")]
    {
        assert_eq!(bench.metric(&format!("{name}{labels}}}")), value, "{name}");
    }
    let hits = format!("coredns_cache_hits_total{labels},type=\"success\"}}");
    let entries = format!("coredns_cache_entries{labels},type=\"success\"}}");
    assert_eq!((bench.metric(&hits), bench.metric(&entries)), ("1".to_owned(), "1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn stale_answer_is_given_when_upstreams_fail_or_take_too_long() {
    for (manner, expected) in [
        (Manner::Gone, Duration::ZERO),
        (Manner::Says(ResponseCode::ServFail), Duration::ZERO),
        (Manner::Silent, ms(1800)),
    ] {
        let bench = bench(1, stale_after(1800));
        bench.ask("www.example").await;
        sleep(seconds(61)).await;
        bench.fakes[0].behave(manner);
        let (given, waited) = bench.ask_timed("www.example").await;
        assert_eq!((kind(&given), given.ttls), (Kind::Success, Ttls::Fixed(30)), "{manner:?}");
        assert_eq!(waited, expected, "{manner:?}");
        let stale =
            r#"coredns_cache_served_stale_total{server="dns://127.0.0.4:53",zones=".",view=""}"#;
        assert_eq!(bench.metric(stale), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_stale_answers_are_given_at_once_until_an_upstream_is_back() {
    let mut bench = bench(1, stale_after(1800));
    bench.ask("www.example").await;
    sleep(seconds(61)).await;
    bench.fakes[0].behave(Manner::Gone);
    bench.ask("www.example").await;
    assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Fixed(30));
    bench.renew().await;
    bench.fakes[0].behave(GOOD);
    sleep(seconds(6)).await;
    assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Fixed(30));
    assert_eq!(bench.renew().await, 1, "nobody asks anew");
    assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Aged(0));
}

#[tokio::test(start_paused = true)]
async fn stale_answer_at_once_is_followed_by_one_query_for_all() {
    let mut bench = bench(1, |config| {
        config.cache = Some(CachePolicy { serve_stale: ServeStale::AtOnce, ..policy() });
    });
    bench.ask("www.example").await;
    sleep(seconds(61)).await;
    for _ in 0..20 {
        assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Fixed(30));
    }
    assert_eq!(bench.renew().await, 1);
    assert_eq!(bench.queries(), [2]);
    assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Aged(0));
}

#[tokio::test(start_paused = true)]
async fn popular_answer_is_fetched_before_its_time_is_over() {
    let mut bench = bench(1, |config| {
        let prefetch = Some(Prefetch { hits: 3, pause: seconds(60), percent: 10 });
        config.cache = Some(CachePolicy { prefetch, ..policy() });
    });
    bench.ask("www.example").await;
    for second in 1..60 {
        sleep(seconds(1)).await;
        assert!(bench.at_once("www.example").is_some());
        let renewals = bench.renew().await;
        assert_eq!(renewals, usize::from(second == 54), "after {second} s");
    }
    assert_eq!(bench.queries(), [2]);
    sleep(seconds(10)).await;
    assert!(bench.at_once("www.example").is_some(), "the newer answer was not kept");
    let prefetched =
        r#"coredns_cache_prefetch_total{server="dns://127.0.0.4:53",zones=".",view=""}"#;
    assert_eq!(bench.metric(prefetched), "1");
}

#[tokio::test(start_paused = true)]
async fn servfail_is_kept_shortly_and_silence_more_shortly() {
    for (manner, kept) in
        [(Manner::Says(ResponseCode::ServFail), seconds(5)), (Manner::Gone, seconds(1))]
    {
        let bench = bench(1, |_| {});
        bench.fakes[0].behave(manner);
        bench.ask("www.example").await;
        sleep(kept - ms(1)).await;
        assert_eq!(kind(&bench.at_once("www.example").unwrap()), Kind::Failure, "{manner:?}");
        sleep(ms(1)).await;
        assert!(bench.at_once("www.example").is_none(), "{manner:?} was kept too long");
    }
    let bench = bench(1, |config| {
        config.cache = Some(CachePolicy { failure: Duration::ZERO, ..policy() });
    });
    bench.fakes[0].behave(Manner::Says(ResponseCode::ServFail));
    bench.ask("www.example").await;
    assert!(bench.at_once("www.example").is_none(), "it was kept though it should not");
}

#[tokio::test(start_paused = true)]
async fn when_too_many_are_under_way_clients_get_stale_answers_or_servfail_at_once() {
    let bench = Arc::new(bench(1, |config| {
        stale_after(1800)(config);
        config.limits.in_flight = 1;
    }));
    bench.ask("www.example").await;
    sleep(seconds(61)).await;
    bench.fakes[0].behave(Manner::Silent);
    let Begun::Wait(first) = bench.forwarder.begin(key_of("slow.example")) else {
        panic!("nothing is kept of it")
    };
    assert_eq!(bench.at_once("other.example").unwrap().response.rcode(), 2);
    assert_eq!(bench.at_once("www.example").unwrap().ttls, Ttls::Fixed(30));
    assert_eq!(bench.metric("coredns_forward_max_concurrent_rejects_total"), "2");
    drop(first);
    assert!(bench.at_once("other.example").is_none(), "the room was not given back");
}

#[tokio::test(start_paused = true)]
async fn query_goes_on_when_its_client_has_gone_and_room_is_given_back_after_it() {
    let bench = bench(1, |config| config.limits.in_flight = 1);
    bench.fakes[0].behave(Manner::Answers { ttl: 60, after_ms: 200 });
    let impatient = tokio::time::timeout(ms(100), bench.ask("www.example")).await;
    assert!(impatient.is_err());
    assert_eq!(bench.at_once("other.example").unwrap().response.rcode(), 2);
    sleep(ms(101)).await;
    assert_eq!(kind(&bench.at_once("www.example").unwrap()), Kind::Success);
    assert!(bench.at_once("other.example").is_none(), "the room was not given back");
}

#[tokio::test(start_paused = true)]
async fn without_cache_every_question_is_asked_and_times_stay_as_they_are() {
    let bench = bench(1, |config| config.cache = None);
    bench.fakes[0].behave(Manner::Answers { ttl: 100_000, after_ms: 0 });
    for queries in 1..=3 {
        let given = bench.ask("www.example").await;
        assert_eq!(bench.queries(), [queries]);
        let mut out = Vec::new();
        let question = key_of("www.example").question().to_vec();
        let request = Request {
            id: 1,
            flags: 0,
            recursion_available: true,
            question: &question,
            limit: 512,
            opt: None,
        };
        given.response.write(&request, given.ttls, &mut fastrand::Rng::with_seed(1), &mut out);
        assert_eq!(Message::from_vec(&out).unwrap().answers[0].ttl, 100_000);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_of_the_cache_is_bounded() {
    let bench = bench(1, |config| {
        let success = TtlRange { min: 3600, max: 3600 };
        config.cache = Some(CachePolicy { bytes: 64 << 10, success, ..policy() });
    });
    for client in 0..2000 {
        bench.ask(&format!("{client}.example")).await;
    }
    let number = |name: &str| {
        let name = format!(
            "{name}{{server=\"dns://127.0.0.4:53\",zones=\".\",view=\"\",type=\"success\"}}"
        );
        bench.metric(&name).parse::<usize>().unwrap()
    };
    let (entries, evictions) =
        (number("coredns_cache_entries"), number("coredns_cache_evictions_total"));
    assert_eq!(entries + evictions, 2000);
    // An entry takes at least 200 octets, and three quarters of the memory are for data.
    assert!(entries > 16 && entries < (48 << 10) / 200, "{entries} entries");
}

#[tokio::test(start_paused = true)]
async fn answer_that_came_in_the_meantime_is_taken() {
    let bench = bench(1, |_| {});
    let (Begun::Wait(early), Begun::Wait(late)) = (
        bench.forwarder.begin(key_of("www.example")),
        bench.forwarder.begin(key_of("www.example")),
    ) else {
        panic!("nothing is kept yet")
    };
    early.finish().await;
    sleep(seconds(2)).await;
    assert_eq!(late.finish().await.ttls, Ttls::Aged(2));
    assert_eq!(bench.queries(), [1]);
}
