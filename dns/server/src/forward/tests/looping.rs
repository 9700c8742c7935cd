//! Upstreams that lead back to the server that asks them.

use super::*;

/// Forwarders with the one of `bench`, which look for loops.
fn forwarders(bench: &Bench) -> Arc<Forwarders> {
    let (_queue, renewals) = mpsc::channel(1);
    let routes = vec![Arc::clone(&bench.forwarder)];
    let loops = Some(Loops::default());
    let forwarders = Arc::new(Forwarders { routes, renewals: Mutex::new(renewals), loops });
    for fake in &bench.fakes {
        *lock(&fake.home) = Arc::downgrade(&forwarders);
    }
    forwarders
}

#[tokio::test(start_paused = true)]
async fn upstream_that_leads_back_is_left_out_as_long_as_it_does() {
    let bench = bench(2, |config| config.cache = None);
    bench.fakes[0].behave(Manner::LeadsBack);
    let forwarders = forwarders(&bench);
    assert!(forwarders.look_for_loops().await);
    let before = bench.queries();
    assert_eq!(kind(&bench.ask("www.example").await), Kind::Success);
    assert_eq!(bench.queries(), [before[0], before[1] + 1]);
    assert_eq!(bench.metric(r#"podway_dns_upstream_loops_total{to="127.0.0.1:53"}"#), "1");
    // Silence and failures are no loops.
    for manner in [Manner::Silent, Manner::Gone, Manner::Says(ResponseCode::Refused), GOOD] {
        bench.fakes[0].behave(manner);
        assert!(!forwarders.look_for_loops().await, "{manner:?}");
    }
    let before = bench.queries();
    bench.ask("www.example").await;
    assert_eq!(bench.queries(), [before[0] + 1, before[1]]);
}

#[tokio::test(start_paused = true)]
async fn when_all_lead_back_clients_get_servfail_at_once() {
    let bench = bench(2, |config| config.cache = None);
    bench.fakes.iter().for_each(|fake| fake.behave(Manner::LeadsBack));
    let forwarders = forwarders(&bench);
    assert!(forwarders.look_for_loops().await);
    let (given, waited) = bench.ask_timed("www.example").await;
    assert_eq!((kind(&given), waited), (Kind::Failure, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_again_until_none_leads_back_and_when_something_changes() {
    let bench = bench(1, |config| config.cache = None);
    bench.fakes[0].behave(Manner::LeadsBack);
    let forwarders = forwarders(&bench);
    let stop = watch::Sender::new(false);
    let avoiding = tokio::spawn(Arc::clone(&forwarders).avoid_loops(Stop::of(&stop)));
    let looks = async |time| {
        let before = bench.queries()[0];
        sleep(time).await;
        bench.queries()[0] - before
    };
    assert_eq!(looks(seconds(45)).await, 5, "at the start and every 10 s");
    bench.fakes[0].behave(GOOD);
    looks(seconds(11)).await;
    assert_eq!(looks(seconds(600)).await, 0, "nobody looks for what is not there");
    bench.fakes[0].behave(Manner::LeadsBack);
    forwarders.perhaps_loops();
    assert_eq!(looks(seconds(2)).await, 1);
    assert_eq!(kind(&bench.ask("www.example").await), Kind::Failure);
    stop.send_replace(true);
    avoiding.await.unwrap();
}

#[test]
fn name_that_was_not_sent_did_not_come_back() {
    let loops = Loops::default();
    assert!(!loops.came_back(&Name::from_ascii("1.2.").unwrap()));
}
