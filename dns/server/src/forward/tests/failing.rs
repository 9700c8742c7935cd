//! Upstreams that fail: what it costs clients, and how it is found out that they are back.

use super::*;

/// What one upstream may cost the clients in all, once it has failed.
const PATIENCE: Duration = Duration::from_millis(300);

#[tokio::test(start_paused = true)]
async fn upstream_that_dies_costs_one_client_the_patience_and_the_others_nothing() {
    for manner in [Manner::Silent, Manner::Gone, Manner::Babbles, Manner::Bare] {
        let bench = bench(2, |_| {});
        bench.ask("before.example").await;
        assert_eq!(bench.queries(), [1, 0]);
        bench.fakes[0].behave(manner);
        let mut waited = Duration::ZERO;
        for client in 0..50 {
            let (given, time) = bench.ask_timed(&format!("{client}.example")).await;
            assert_eq!(kind(&given), Kind::Success, "{manner:?}");
            waited += time;
        }
        assert!(waited <= PATIENCE, "{manner:?} cost {waited:?} by the clock of the test");
        // FORMERR is asked again without OPT.
        let tries = if manner == Manner::Bare { 2 } else { 1 };
        assert_eq!(bench.queries(), [1 + tries, 50], "{manner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_who_ask_while_an_upstream_dies_wait_for_the_patience_at_most() {
    let bench = Arc::new(bench(3, |config| config.selection = Selection::Random));
    bench.fakes[1].behave(Manner::Silent);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..200 {
        let bench = Arc::clone(&bench);
        clients.spawn(async move { bench.ask_timed(&format!("{client}.example")).await });
    }
    let waited: Vec<_> = clients.join_all().await;
    assert!(waited.iter().all(|(given, _)| kind(given) == Kind::Success));
    assert!(waited.iter().all(|(_, time)| *time <= PATIENCE));
    assert!(bench.queries()[1] > 20, "random selection left one out");
}

#[tokio::test(start_paused = true)]
async fn upstream_that_failed_is_probed_until_it_replies_and_then_asked_again() {
    let bench = bench(2, |_| {});
    bench.fakes[0].behave(Manner::Silent);
    bench.ask("a.example").await;
    sleep(seconds(10)).await;
    let probes = lock(&bench.fakes[0].probes).clone();
    let pauses: Vec<_> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Each waits for a second, then half a second goes by.
    assert!(pauses.len() > 3 && pauses.iter().all(|pause| *pause == ms(1500)), "{pauses:?}");
    assert_eq!(bench.fakes[1].probes(), 0, "an upstream that is well was probed");
    bench.ask("b.example").await;
    assert_eq!(bench.queries(), [1, 2]);
    // Any reply is a sign of life.
    bench.fakes[0].behave(Manner::Says(ResponseCode::ServFail));
    sleep(seconds(2)).await;
    bench.fakes[0].behave(GOOD);
    let probes = bench.fakes[0].probes();
    bench.ask("c.example").await;
    assert_eq!(bench.queries(), [2, 2]);
    sleep(seconds(10)).await;
    assert_eq!(bench.fakes[0].probes(), probes, "it is probed though it is well");
    let failures =
        r#"coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="127.0.0.1:53"}"#;
    assert_eq!(bench.metric(failures), (probes - 1).to_string());
}

#[tokio::test(start_paused = true)]
async fn upstream_that_replies_to_a_query_is_not_probed_any_more() {
    let bench = bench(1, |_| {});
    bench.fakes[0].behave(Manner::Gone);
    bench.ask("a.example").await;
    sleep(ms(100)).await;
    assert_eq!(bench.fakes[0].probes(), 1);
    bench.fakes[0].behave(GOOD);
    assert_eq!(kind(&bench.ask("b.example").await), Kind::Success);
    sleep(seconds(10)).await;
    assert_eq!(bench.fakes[0].probes(), 1);
}

#[tokio::test(start_paused = true)]
async fn flapping_upstream_costs_each_of_its_failures_one_patience() {
    let bench = bench(2, |_| {});
    let mut waited = Duration::ZERO;
    for round in 0..5 {
        bench.fakes[0].behave(Manner::Silent);
        for client in 0..20 {
            waited += bench.ask_timed(&format!("{client}.{round}.example")).await.1;
        }
        bench.fakes[0].behave(GOOD);
        sleep(seconds(3)).await;
    }
    assert!(waited <= 5 * PATIENCE, "{waited:?} by the clock of the test");
    assert_eq!(bench.queries(), [5, 100]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_passed_over_and_never_passed_on() {
    use ResponseCode::{FormErr, NXDomain, NotAuth, NotImp, Refused, ServFail};
    for rcode in [ServFail, Refused, NotImp, FormErr, NotAuth] {
        let bench = bench(2, |_| {});
        bench.fakes[0].behave(Manner::Says(rcode));
        assert_eq!(kind(&bench.ask("a.example").await), Kind::Success, "{rcode}");
        bench.fakes[1].behave(Manner::Says(rcode));
        let (given, waited) = bench.ask_timed("b.example").await;
        assert_eq!(given.response.rcode(), 2, "{rcode}");
        assert_eq!(waited, Duration::ZERO, "{rcode}");
        assert_eq!(bench.fakes[0].probes(), 0, "a reply is no reason to probe");
    }
    let bench = bench(2, |_| {});
    bench.fakes[0].behave(Manner::Says(NXDomain));
    assert_eq!(bench.ask("a.example").await.response.rcode(), 3);
    assert_eq!(bench.queries(), [1, 0], "NXDOMAIN is an answer");
}

#[tokio::test(start_paused = true)]
async fn old_upstream_is_asked_without_opt_from_then_on() {
    let bench = bench(1, |_| {});
    bench.fakes[0].behave(Manner::Old);
    for (name, queries) in [("a.example", 2), ("b.example", 3), ("c.example", 4)] {
        assert_eq!(kind(&bench.ask(name).await), Kind::Success);
        assert_eq!(bench.queries(), [queries]);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_datagram_is_sent_again_and_a_silent_upstream_given_up_in_time() {
    let bench = bench(1, |_| {});
    bench.fakes[0].behave(Manner::Silent);
    let (given, waited) = bench.ask_timed("a.example").await;
    assert_eq!((given.response.rcode(), waited), (2, seconds(5)));
    assert_eq!(bench.queries(), [5]);
    let limits = ForwardLimits { attempts: std::num::NonZero::new(2), ..ForwardLimits::default() };
    let bench = bench_with_limits(limits);
    bench.fakes[0].behave(Manner::Silent);
    bench.ask("a.example").await;
    assert_eq!(bench.queries(), [2], "the limit of tries did not hold");
}

fn bench_with_limits(limits: ForwardLimits) -> Bench {
    bench(1, |config| config.limits = limits)
}

#[tokio::test(start_paused = true)]
async fn all_that_are_down_are_asked_anyway_or_not_at_all() {
    for (all_unhealthy, asked) in [(AllUnhealthy::AskAnyway, true), (AllUnhealthy::Fail, false)] {
        let bench = bench(2, |config| config.all_unhealthy = all_unhealthy);
        bench.fakes.iter().for_each(|fake| fake.behave(Manner::Silent));
        bench.ask("a.example").await;
        sleep(seconds(10)).await;
        let before = bench.queries();
        let (given, waited) = bench.ask_timed("b.example").await;
        assert_eq!(kind(&given), Kind::Failure);
        assert_eq!(bench.queries() != before, asked);
        assert_eq!(waited.is_zero(), !asked);
        assert_eq!(bench.metric("coredns_forward_healthcheck_broken_total"), "1");
        bench.fakes[1].behave(GOOD);
        sleep(seconds(2)).await;
        assert_eq!(kind(&bench.ask("c.example").await), Kind::Success);
    }
}

#[tokio::test(start_paused = true)]
async fn upstream_is_never_down_where_the_operator_says_so() {
    let bench = bench(2, |config| config.health.max_fails = 0);
    bench.fakes[0].behave(Manner::Gone);
    for client in 0..5 {
        bench.ask(&format!("{client}.example")).await;
    }
    assert_eq!(bench.queries(), [5, 5]);
    assert_eq!(bench.fakes[0].probes(), 0);
}

#[tokio::test(start_paused = true)]
async fn selection_decides_who_is_asked_first() {
    for (selection, expected) in
        [(Selection::Sequential, [9, 0, 0]), (Selection::RoundRobin, [3, 3, 3])]
    {
        let bench = bench(3, |config| config.selection = selection);
        for client in 0..9 {
            bench.ask(&format!("{client}.example")).await;
        }
        assert_eq!(bench.queries(), expected, "{selection:?}");
    }
    let bench = bench(3, |config| config.selection = Selection::Random);
    for client in 0..300 {
        bench.ask(&format!("{client}.example")).await;
    }
    // Each is drawn 100 times in the mean; 40 are more than seven deviations away.
    assert!(bench.queries().iter().all(|queries| *queries > 40), "{:?}", bench.queries());
}

#[tokio::test(start_paused = true)]
async fn slow_reply_counts_though_another_upstream_was_asked_beside() {
    let bench = bench(2, |_| {});
    bench.fakes[0].behave(Manner::Answers { ttl: 60, after_ms: 400 });
    bench.fakes[1].behave(Manner::Answers { ttl: 60, after_ms: 1500 });
    let (given, waited) = bench.ask_timed("a.example").await;
    assert_eq!((kind(&given), waited), (Kind::Success, ms(400)));
    assert_eq!(bench.queries(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_upstream_the_client_gets_servfail_at_once() {
    let bench = bench(0, |_| {});
    let (given, waited) = bench.ask_timed("a.example").await;
    assert_eq!((given.response.rcode(), waited), (2, Duration::ZERO));
}

#[tokio::test]
async fn longest_zone_counts_unless_it_leaves_a_name_out() {
    let zone = |from: &str, except: &[&str], port: u16| {
        let mut config = ForwardConfig::new(vec![SocketAddr::from(([127, 0, 0, 1], port)).into()]);
        config.from = from.parse().unwrap();
        config.except = except.iter().map(|name| name.parse().unwrap()).collect();
        config.mixed_case = MixedCase::Never;
        config
    };
    let mut configs = vec![
        zone("example.", &[], 1),
        zone("corp.example.", &["public.corp.example."], 2),
        zone("local.", &[], 3),
    ];
    longest_first(&mut configs);
    let forwarders = Forwarders::new(configs, &[], &ForwardMetrics::default()).unwrap();
    let chosen = |name: &str| {
        let name = name.parse().unwrap();
        let route = forwarders.routes.iter().find(|route| route.serves(&name))?;
        let upstreams = lock(&route.sources).upstreams(&[]).unwrap();
        Some(upstreams[0].place.address.port())
    };
    assert_eq!(chosen("www.example."), Some(1));
    assert_eq!(chosen("EXAMPLE."), Some(1));
    assert_eq!(chosen("corp.example."), Some(2));
    assert_eq!(chosen("a.Corp.Example."), Some(2));
    assert_eq!(chosen("a.public.corp.example."), Some(1));
    assert_eq!(chosen("notcorp.example."), Some(1));
    assert_eq!(chosen("www.test."), None);
}
