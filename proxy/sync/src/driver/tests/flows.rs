//! Flows that are forgotten: after the rules, and only where an endpoint went.

use super::*;

#[tokio::test(start_paused = true)]
async fn flows_are_looked_at_after_the_rules_and_only_when_an_endpoint_went() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![udp(service(1, Stack::V4)), udp(slice(1, 2))]).await;
    assert_eq!(bench.log(), ["ip whole written", "ip6 whole written"], "nothing at the start");
    bench.publish(vec![udp(slice(1, 3)), service(2, Stack::V4), slice(2, 2)]).await;
    bench.publish(vec![slice(2, 1)]).await;
    assert_eq!(bench.log(), ["ip change written", "ip change written"], "one came, TCP went");

    bench.publish(vec![udp(slice(1, 2))]).await;
    assert_eq!(bench.log(), ["ip change written", "ip 10.96.0.1:80/udp looked at"]);
    bench.assert_metric(
        "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"} 1",
    );
    bench.pass(100 * SECOND).await;
    assert_eq!(bench.log(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn flows_are_looked_at_only_once_the_rules_are_written() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![udp(service(1, Stack::V4)), udp(slice(1, 3))]).await;
    bench.log();
    bench.fake.refusals.store(2, Ordering::SeqCst);
    bench.publish(vec![udp(slice(1, 2))]).await;
    bench.pass(SECOND).await;
    assert_eq!(bench.log(), ["ip change refused", "ip whole refused"]);
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.log(), ["ip whole written", "ip 10.96.0.1:80/udp looked at"]);
}

#[tokio::test(start_paused = true)]
async fn look_at_flows_that_fails_is_tried_again() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![udp(service(1, Stack::V4)), udp(slice(1, 3))]).await;
    bench.log();
    bench.fake.deaf.store(1, Ordering::SeqCst);
    bench.publish(vec![udp(slice(1, 2))]).await;
    assert_eq!(bench.log(), ["ip change written", "ip 10.96.0.1:80/udp not looked at"]);
    bench.assert_metric("podway_conntrack_failures_total{ip_family=\"IPv4\"} 1");
    bench.pass(4 * SECOND).await;
    assert_eq!(bench.log(), [""; 0]);
    bench.pass(SECOND).await;
    assert_eq!(bench.log(), ["ip 10.96.0.1:80/udp looked at"]);
}
