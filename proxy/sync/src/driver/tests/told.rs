//! What whoever asks is told.

use super::*;

#[tokio::test(start_paused = true)]
async fn refusals_are_read_before_their_element_goes_and_told_on_demand() {
    let mut bench = Bench::start(Fake::default());
    let address = "10.96.0.1".parse().unwrap();
    let (protocol, port) = (Protocol::Tcp, Port::new(80).unwrap());
    let key = FrontendKey { address, protocol, port };
    let count = |bench: &Bench, packets| {
        *bench.fake.counted.lock().unwrap() = vec![(key, packets)];
    };
    count(&bench, 99);
    bench.publish(vec![service(1, Stack::V4), service(2, Stack::V4)]).await;
    count(&bench, 3);
    let told = async |bench: &Bench| {
        let (reply, refusals) = oneshot::channel();
        bench.events.send(Event::Refusals(reply)).await.unwrap();
        let refusals = refusals.await.unwrap();
        refusals.iter().map(|one| (one.service.to_string(), one.packets)).collect::<Vec<_>>()
    };
    let web = |packets| vec![("shop/web-1".to_owned(), packets)];
    assert_eq!(told(&bench).await, web(3), "not what an earlier run has counted");
    // Nobody asks between the last refusal and the first endpoint.
    count(&bench, 8);
    bench.publish(vec![slice(1, 1)]).await;
    count(&bench, 0);
    bench.publish(vec![slice(1, 0)]).await;
    count(&bench, 4);
    assert_eq!(told(&bench).await, web(12));
    // A whole write makes all elements new.
    count(&bench, 5);
    bench.pass(SECOND).await;
    let touch = Touch { families: vec![Family::Ip], by: "nft (pid 1)".to_owned() };
    bench.tell(Event::Touched(touch)).await;
    count(&bench, 5);
    assert_eq!(told(&bench).await, web(18));
}

#[tokio::test(start_paused = true)]
async fn pods_that_rules_translate_are_counted_on_demand_beside_their_limit() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4)]).await;
    let counted = async |bench: &Bench, clients| {
        *bench.fake.translated.lock().unwrap().of_mut(Family::Ip) = clients;
        let (reply, refusals) = oneshot::channel();
        bench.tell(Event::Refusals(reply)).await;
        assert_eq!(refusals.await.unwrap(), []);
    };
    for clients in [0, 3] {
        counted(&bench, Some(clients)).await;
        let told = format!("podway_bypass_translated_clients{{ip_family=\"IPv4\"}} {clients}");
        bench.assert_metric(&told);
    }
    bench.assert_metric("podway_bypass_translated_clients_limit 131072");
    let unknown = "podway_bypass_translated_clients{ip_family=\"IPv6\"}";
    assert!(!bench.exposition().contains(unknown), "nobody knows");
    // Switched off.
    counted(&bench, None).await;
    assert!(!bench.exposition().contains("podway_bypass_translated_clients{"));
}

#[tokio::test(start_paused = true)]
async fn plans_are_told_to_whoever_asks() {
    let mut bench = Bench::start(Fake::default());
    assert!(bench.plans().await.services.is_empty());
    // Two Services that want one address: the first by name has it.
    let podway_cluster_model::builder::Change::Service(mut rival) = service(1, Stack::V4) else {
        unreachable!()
    };
    rival.name = fixture::name(9);
    let rival = podway_cluster_model::builder::Change::Service(rival);
    bench.publish(vec![service(1, Stack::V4), slice(1, 2), rival]).await;
    let plans = bench.plans().await;
    let names: Vec<_> = plans.services.iter().map(|plan| plan.name.to_string()).collect();
    assert_eq!(names, ["shop/web-1"]);
    assert_eq!(plans.conflicts.len(), 1, "{:?}", plans.conflicts);
    bench.assert_metric("podway_frontend_conflicts 1");
    // By a frontend, of nobody but the one that has it.
    let frontend = plans.services[0].ports[0].frontends[0].key;
    let at = async |key| {
        let (reply, plan) = oneshot::channel();
        bench.events.send(Event::PlanAt(key, reply)).await.unwrap();
        plan.await.unwrap().map(|plan| plan.name.to_string())
    };
    assert_eq!(at(frontend).await.as_deref(), Some("shop/web-1"));
    let other = FrontendKey { protocol: Protocol::Sctp, ..frontend };
    assert_eq!(at(other).await, None);
}
