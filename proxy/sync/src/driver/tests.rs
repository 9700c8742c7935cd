use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use podway_cluster_model::builder::Builder;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_watch::publish::Publisher;
use podway_proxy_nft::fake::{FakeKernel, Refusal};
use podway_proxy_nft::transaction::Change;
use podway_proxy_plan::plan::FrontendKey;
use podway_proxy_plan::stale_flows::Permitted;
use thiserror::Error;
use tokio::task::JoinHandle;

use super::*;
use crate::accelerator::Unaccelerated;
use crate::fixture::{self, Stack, publish, service, slice, udp};
use crate::refusals::Verdict;

mod flows;
mod told;

const SECOND: Duration = Duration::from_secs(1);

/// A kernel in memory that can be told to refuse.
#[derive(Clone, Default)]
struct Fake {
    kernel: Arc<Mutex<FakeKernel>>,
    log: Arc<Mutex<Vec<String>>>,
    refusals: Arc<AtomicU32>,
    /// How many whole writes somebody else writes beside.
    strangers: Arc<AtomicU32>,
    /// How many looks at flows fail.
    deaf: Arc<AtomicU32>,
    /// What every refused frontend has counted.
    counted: Arc<Mutex<Vec<(FrontendKey, u64)>>>,
    /// How many pods of each family rules translate.
    translated: Arc<Mutex<PerFamily<Option<u32>>>>,
    lacks_ip6: bool,
}

#[derive(Debug, Error)]
enum FakeError {
    #[error("told to refuse")]
    Told,
    #[error("no such family")]
    NoFamily,
    #[error("the fake kernel refuses it")]
    Refused(#[source] Refusal),
}

impl Dataplane for Fake {
    type Error = FakeError;

    fn commit(&mut self, transaction: &Transaction) -> Result<Alone, FakeError> {
        if self.lacks_ip6 && transaction.family == Family::Ip6 {
            return Err(FakeError::NoFamily);
        }
        let told = self
            .refusals
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let kind = match &transaction.change {
            Change::Replace { .. } => "whole",
            Change::Elements { .. } => "change",
        };
        let outcome = if told.is_ok() { "refused" } else { "written" };
        self.log.lock().unwrap().push(format!("{} {kind} {outcome}", transaction.family));
        match told {
            Ok(_) => Err(FakeError::Told),
            Err(_) => {
                let committed = self.kernel.lock().unwrap().commit(transaction);
                committed.map_err(FakeError::Refused)?;
                let stranger = kind == "whole"
                    && self
                        .strangers
                        .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok();
                Ok(if stranger { Alone::No } else { Alone::Yes })
            }
        }
    }

    fn lacks_family(error: &FakeError) -> bool {
        matches!(error, FakeError::NoFamily)
    }

    fn forget(&mut self, family: Family, permitted: &Permitted) -> io::Result<usize> {
        let mut frontends: Vec<_> = permitted.frontends().map(ToString::to_string).collect();
        frontends.sort();
        let told =
            self.deaf.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let outcome = if told.is_ok() { "not looked at" } else { "looked at" };
        self.log.lock().unwrap().push(format!("{family} {} {outcome}", frontends.join(" ")));
        if told.is_ok() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(1) }
    }

    fn counted(
        &mut self,
        family: Family,
        verdict: Verdict,
    ) -> Result<Vec<(FrontendKey, u64)>, FakeError> {
        let mut counted = self.counted.lock().unwrap().clone();
        let of_family = |key: &FrontendKey| Family::of(key.address) == family;
        counted.retain(|(key, _)| of_family(key) && verdict == Verdict::Reject);
        Ok(counted)
    }

    fn counted_at(
        &mut self,
        verdict: Verdict,
        key: &FrontendKey,
    ) -> Result<Option<u64>, FakeError> {
        let counted = self.counted(Family::of(key.address), verdict)?;
        Ok(counted.iter().find(|(found, _)| found == key).map(|(_, packets)| *packets))
    }

    fn translated_clients(&self, family: Family) -> Result<Option<u32>, FakeError> {
        Ok(*self.translated.lock().unwrap().of(family))
    }
}

/// A running driver, and everything around it.
struct Bench {
    fake: Fake,
    builder: Builder,
    publisher: Publisher,
    events: mpsc::Sender<Event>,
    health: Health,
    metrics: Metrics,
    programmed: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Bench {
    fn start(fake: Fake) -> Self {
        let publisher = Publisher::new();
        let (events, receiver) = mpsc::channel(4);
        let (health, metrics) = (Health::new(SystemTime::now()), Metrics::default());
        let programmed = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&programmed);
        let driver = Driver {
            subscription: publisher.subscribe(),
            events: receiver,
            dataplane: fake.clone(),
            engine: fixture::engine(),
            health: health.clone(),
            metrics: metrics.clone(),
            programmed: Some(Box::new(move || tell.store(true, Ordering::SeqCst))),
            unsynced_since: PerFamily::default(),
            counting: Counting::default(),
            doubts: Doubts::default(),
            refusals: Refusals::default(),
            notices: Notices::default(),
            stands_by: false,
            accelerator: Box::new(Unaccelerated),
            accelerated: false,
            programming: Programming::new(SystemTime::now()),
        };
        let task = tokio::spawn(driver.run());
        let builder = Builder::new();
        Self { fake, builder, publisher, events, health, metrics, programmed, task }
    }

    async fn publish(&mut self, changes: Vec<podway_cluster_model::builder::Change>) {
        publish(&self.publisher, &mut self.builder, changes);
        self.settle().await;
    }

    async fn tell(&self, event: Event) {
        self.events.send(event).await.unwrap();
        self.settle().await;
    }

    /// Waits until the driver has done what is due now: an answered question is proof of it.
    async fn settle(&self) {
        // Twice: the first question may be taken before a view that is there already.
        for _ in 0..2 {
            self.plans().await;
        }
    }

    async fn plans(&self) -> Plans {
        let (reply, plans) = oneshot::channel();
        self.events.send(Event::Plans(reply)).await.unwrap();
        plans.await.unwrap()
    }

    /// Lets `time` pass, as far as the driver can tell.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.settle().await;
    }

    /// What was asked of the kernel since the last time.
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.fake.log.lock().unwrap())
    }

    fn healthy(&self) -> bool {
        self.health.report(now()).iter().all(|(_, report)| report.healthy)
    }

    fn exposition(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn assert_metric(&self, line: &str) {
        let text = self.exposition();
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_snapshot_is_written_whole_and_later_ones_as_changes() {
    let mut bench = Bench::start(Fake::default());
    bench.settle().await;
    assert_eq!(bench.log(), [""; 0]);
    assert!(!bench.programmed.load(Ordering::SeqCst));

    bench.publish(vec![service(1, Stack::Dual), slice(1, 2), service(2, Stack::V4)]).await;
    assert_eq!(bench.log(), ["ip whole written", "ip6 whole written"]);
    assert!(bench.programmed.load(Ordering::SeqCst));

    bench.publish(vec![slice(1, 3)]).await;
    assert_eq!(bench.log(), ["ip change written"]);
    bench.assert_metric("podway_programmed_services 2");
    bench.assert_metric("podway_programmed_frontends 3");
    bench.assert_metric("podway_programmed_endpoints 3");
    bench.assert_metric("podway_snapshot_generation 2");
    bench.assert_metric("kubeproxy_sync_proxy_rules_service_changes_total 2");
    bench.assert_metric("kubeproxy_sync_proxy_rules_endpoint_changes_total 2");
    bench.assert_metric(
        "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 1",
    );
    bench.assert_metric(
        "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} 1",
    );
}

#[tokio::test(start_paused = true)]
async fn refused_change_is_counted_and_followed_by_a_whole_write() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4), slice(1, 2)]).await;
    bench.log();

    bench.fake.refusals.store(2, Ordering::SeqCst);
    bench.publish(vec![slice(1, 3)]).await;
    assert_eq!(bench.log(), ["ip change refused"]);
    bench.pass(SECOND).await;
    assert_eq!(bench.log(), ["ip whole refused"]);
    bench.publish(vec![slice(1, 4)]).await;
    assert_eq!(bench.log(), [""; 0], "a change does not cut the wait short");
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.log(), ["ip whole written"]);
    bench.assert_metric(
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"} 2",
    );
    bench.publish(vec![slice(1, 1)]).await;
    assert_eq!(bench.log(), ["ip change written"]);
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_a_write_is_unhealthy_until_the_next_one() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4), slice(1, 2)]).await;
    bench.fake.refusals.store(u32::MAX, Ordering::SeqCst);
    bench.publish(vec![slice(1, 3)]).await;
    bench.pass(59 * SECOND).await;
    assert!(bench.healthy());
    bench.pass(3 * SECOND).await;
    assert!(!bench.healthy());

    bench.fake.refusals.store(0, Ordering::SeqCst);
    bench.pass(30 * SECOND).await;
    assert!(bench.healthy());
}

#[tokio::test(start_paused = true)]
async fn touched_table_is_put_back_and_counted() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4), slice(1, 2)]).await;
    bench.pass(SECOND).await;
    bench.log();
    let touch = Touch { families: vec![Family::Ip], by: "nft (pid 1)".to_owned() };
    bench.tell(Event::Touched(touch)).await;
    assert_eq!(bench.log(), ["ip whole written"]);
    bench.assert_metric("podway_table_repairs_total{ip_family=\"IPv4\"} 1");
    bench.assert_metric("podway_table_repairs_total{ip_family=\"IPv6\"} 0");
}

#[tokio::test(start_paused = true)]
async fn other_table_is_written_too_when_somebody_wrote_while_nobody_listened() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::Dual), slice(1, 2)]).await;
    bench.pass(SECOND).await;
    bench.log();
    bench.fake.strangers.store(1, Ordering::SeqCst);
    let touch = Touch { families: vec![Family::Ip], by: "nft (pid 1)".to_owned() };
    bench.tell(Event::Touched(touch)).await;
    bench.pass(SECOND).await;
    assert_eq!(bench.log(), ["ip whole written", "ip6 whole written"]);
    bench.pass(SECOND).await;
    assert_eq!(bench.log(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn kernel_without_a_family_serves_the_other() {
    let mut bench = Bench::start(Fake { lacks_ip6: true, ..Fake::default() });
    bench.publish(vec![service(1, Stack::Dual), slice(1, 2)]).await;
    assert_eq!(bench.log(), ["ip whole written"]);
    assert!(bench.programmed.load(Ordering::SeqCst));
    bench.pass(100 * SECOND).await;
    assert!(bench.healthy());
    bench.publish(vec![service(2, Stack::Dual)]).await;
    assert_eq!(bench.log(), ["ip change written"]);
}

#[tokio::test(start_paused = true)]
async fn source_that_goes_away_leaves_tables_that_are_still_kept_up() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4), slice(1, 2)]).await;
    bench.publisher = Publisher::new();
    bench.pass(SECOND).await;
    bench.log();
    let touch = Touch { families: Family::ALL.to_vec(), by: "unknown".to_owned() };
    bench.tell(Event::Touched(touch)).await;
    assert_eq!(bench.log(), ["ip whole written", "ip6 whole written"]);
}

#[tokio::test(start_paused = true)]
async fn order_to_stop_ends_the_loop_without_a_write() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4)]).await;
    bench.log();
    bench.events.send(Event::Stop).await.unwrap();
    bench.task.await.unwrap();
    assert_eq!(bench.fake.log.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn process_that_stands_by_writes_nothing_and_then_everything() {
    let mut bench = Bench::start(Fake::default());
    bench.publish(vec![service(1, Stack::V4), slice(1, 2)]).await;
    assert!(!bench.log().is_empty());
    let (reply, standing_by) = oneshot::channel();
    bench.tell(Event::StandBy(reply)).await;
    standing_by.await.unwrap();

    bench.publish(vec![slice(1, 1), service(2, Stack::V4)]).await;
    let touch = Touch { families: Family::ALL.to_vec(), by: "podway (pid 2)".to_owned() };
    bench.tell(Event::Touched(touch)).await;
    bench.pass(7200 * SECOND).await;
    assert_eq!(bench.log(), [""; 0], "the other one writes");
    assert!(bench.healthy(), "nothing is late");
    assert_eq!(bench.plans().await.services.len(), 2, "the plan is followed all the same");

    bench.tell(Event::OurTurn).await;
    let log = bench.log();
    assert_eq!(log.iter().filter(|line| line.contains("whole")).count(), 2, "{log:?}");
    bench.publish(vec![slice(1, 2)]).await;
    assert!(!bench.log().is_empty(), "changes are written again");

    let (protocol, port) = (Protocol::Tcp, Port::new(80).unwrap());
    let key = FrontendKey { address: "10.96.0.2".parse().unwrap(), protocol, port };
    *bench.fake.counted.lock().unwrap() = vec![(key, 1)];
    let (reply, refusals) = oneshot::channel();
    bench.events.send(Event::Refusals(reply)).await.unwrap();
    let told = refusals.await.unwrap();
    assert_eq!(told.len(), 1, "a Service that came meanwhile is known: {told:?}");
}
