//! The API server followed for real: TLS, HTTP and everything that goes wrong with them.
//!
//! No test looks at a clock: each waits for its condition, and only a lost event can reach the limit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podway_cluster_model::import::{ImportKind, Imports};
use podway_cluster_model::label::{LabelKeys, Labels};
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_cluster_watch::api::{Access, ApiConfig, ApiWatch, Endpoint, Timing, spawn};
use podway_cluster_watch::publish::{NoView, Publisher, Subscription};
use podway_cluster_watch::rejection::ObjectKind;
use podway_cluster_watch::report::Problem;
use podway_cluster_watch::wanted::{Extras, Wanted};
use serde_json::json;

use fake::{
    Fake, IMPORTS, NAMESPACES, OLDER_IMPORTS, PODS, SERVICE_CIDRS, SERVICES, SLICES, StreamedLists,
};

#[path = "api/fake.rs"]
mod fake;
#[path = "api/wanted.rs"]
mod wanted;

/// Long enough for the slowest machine; only a lost event gets here.
const LIMIT: Duration = Duration::from_secs(60);

/// A watch that patience ends soon, where the test is about patience.
const SHORT: Duration = Duration::from_millis(300);

/// A watch that follows a fake server.
struct Fixture {
    fake: Fake,
    watch: ApiWatch,
    wanted: Wanted,
    subscription: Subscription,
    snapshot: Arc<Snapshot>,
}

fn patient() -> Timing {
    Timing { list_silence: LIMIT, answer: LIMIT, ..Timing::default() }
}

impl Fixture {
    fn of(fake: Fake) -> Self {
        Self::with(fake, &[], patient())
    }

    fn with(fake: Fake, endpoints: &[String], timing: Timing) -> Self {
        let publisher = Publisher::new();
        let (subscription, wanted) = (publisher.subscribe(), Wanted::default());
        let config = ApiConfig {
            access: Access::Kubeconfig(fake.path("kubeconfig")),
            endpoints: endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect(),
            node: "node-1".parse_name(),
            wanted: wanted.clone(),
            timing,
        };
        let watch = spawn(config, publisher, None).unwrap();
        Self { fake, watch, wanted, subscription, snapshot: Arc::default() }
    }

    /// Waits until the newest snapshot is as wanted; gives what changed on the way.
    fn wait(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Delta {
        let (mut merged, begin) = (Delta::default(), Instant::now());
        while !wanted(&self.snapshot) {
            match self.subscription.next_timeout(Duration::from_secs(1)) {
                Ok(view) => {
                    self.snapshot = view.snapshot;
                    merged.merge(view.delta);
                }
                Err(error) => {
                    let kinds = self.watch.status().kinds();
                    assert_eq!(error, NoView::TimedOut, "waiting for {what}: {kinds:#?}");
                    assert!(begin.elapsed() < LIMIT, "waiting for {what}: {kinds:#?}");
                }
            }
        }
        merged
    }

    fn wait_for_services(&mut self, names: &[&str]) -> Delta {
        let wanted: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.wait(&format!("{names:?}"), |snapshot| services(snapshot) == wanted)
    }

    /// Waits until the state of the watches is as wanted.
    fn wait_for_status(&self, what: &str, wanted: impl Fn(&ApiWatch) -> bool) {
        let begin = Instant::now();
        while !wanted(&self.watch) {
            let kinds = self.watch.status().kinds();
            assert!(begin.elapsed() < LIMIT, "waiting for {what}: {kinds:#?}");
            std::thread::yield_now();
        }
    }

    fn lists(&self, kind: ObjectKind) -> u64 {
        self.watch.status().kinds()[&kind].lists
    }

    fn published(&mut self) -> bool {
        self.subscription.try_next().is_ok()
    }
}

/// Names in tests are good.
trait ParseName<T> {
    fn parse_name(&self) -> T;
}

impl ParseName<podway_cluster_model::name::NodeName> for str {
    fn parse_name(&self) -> podway_cluster_model::name::NodeName {
        podway_cluster_model::name::NodeName::new(self).unwrap()
    }
}

/// Names of the Services that exist as objects.
fn services(snapshot: &Snapshot) -> Vec<String> {
    let present = snapshot.services.iter().filter(|(_, entry)| entry.service.is_some());
    present.map(|(name, _)| name.to_string()).collect()
}

fn endpoints(snapshot: &Snapshot, service: &str) -> Vec<String> {
    let (namespace, name) = service.split_once('/').unwrap();
    let entry = snapshot.services.get(&ServiceName::new(namespace, name).unwrap());
    let slices = entry.into_iter().flat_map(|entry| entry.slices.values());
    slices.flat_map(|slice| &slice.endpoints).map(|one| one.address.to_string()).collect()
}

fn has_failed(watch: &ApiWatch, kind: ObjectKind) -> bool {
    watch.status().kinds().get(&kind).is_some_and(|status| status.failures > 0)
}

#[test]
fn the_whole_view_comes_at_once_and_then_each_change() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    fake.put(SLICES, "shop/web-a", fake::slice("web", &["10.244.1.1"]));
    fake.put(SERVICE_CIDRS, "kubernetes", json!({"spec": {"cidrs": ["10.96.0.0/16"]}}));
    fake.put(
        PODS,
        "shop/web-0",
        json!({"spec": {"nodeName": "node-1"}, "status": {"podIP": "10.244.1.1"}}),
    );
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    let snapshot = Arc::clone(&fixture.snapshot);
    assert_eq!(endpoints(&snapshot, "shop/web"), ["10.244.1.1"]);
    assert_eq!((snapshot.namespaces.size(), snapshot.nodes.size()), (1, 1));
    assert_eq!((snapshot.pods.size(), snapshot.service_cidrs.size()), (1, 1));

    fixture.fake.put(SLICES, "shop/web-a", fake::slice("web", &["10.244.1.1", "10.244.1.2"]));
    let delta =
        fixture.wait("second endpoint", |snapshot| endpoints(snapshot, "shop/web").len() == 2);
    assert_eq!(delta.services.len(), 1);
    fixture.fake.delete(SERVICES, "shop/web");
    fixture.wait_for_services(&[]);
    let asked = fixture.fake.state().asked.clone();
    assert!(asked.iter().all(|query| query.contains("sendInitialEvents")), "{asked:#?}");
    let selected = |selector| asked.iter().filter(|query| query.ends_with(selector)).count();
    assert_eq!(selected("fieldSelector=spec.nodeName%3Dnode-1"), 1, "{asked:#?}");
    assert_eq!(selected("fieldSelector=metadata.name%3Dnode-1"), 1, "{asked:#?}");
}

#[test]
fn nothing_is_published_before_every_kind_was_listed() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    fake.state().refused.insert(SLICES, 403);
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_status("the refusal", |watch| has_failed(watch, ObjectKind::EndpointSlice));
    fixture.wait_for_status("the others", |watch| {
        let kinds = watch.status().kinds();
        // Nobody wants to know of imports.
        kinds.values().filter(|kind| kind.heard.is_some()).count() == ObjectKind::ALL.len() - 2
    });
    assert!(!fixture.published());
    assert!(!fixture.watch.status().is_complete());
    let kinds = fixture.watch.status().kinds();
    let failure = kinds[&ObjectKind::EndpointSlice].failure.clone().unwrap_or_default();
    assert!(failure.contains("403 Forbidden: /apis/discovery"), "{failure}");
    fixture.fake.state().refused.clear();
    fixture.wait_for_services(&["shop/web"]);
    assert!(fixture.watch.status().is_complete());
}

#[test]
fn kinds_that_are_not_shown_are_done_without_and_said() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    fake.state().refused.extend([(SERVICE_CIDRS, 404), (PODS, 403)]);
    let mut fixture = Fixture::with(fake, &[], Timing { absent: SHORT, ..patient() });
    fixture.wait_for_services(&["shop/web"]);
    let unavailable = |watch: &ApiWatch| watch.reports().counts().unavailable.len();
    assert_eq!(unavailable(&fixture.watch), 2);
    let problems = fixture.watch.reports().problems();
    assert!(
        problems.iter().any(|problem| problem
            .to_string()
            .contains("kind pod is shown: the API server answers 403 Forbidden")),
        "{problems:#?}"
    );
    // They are looked for now and then.
    fixture.fake.put(PODS, "shop/web-0", json!({"status": {"podIP": "10.244.1.1"}}));
    fixture.fake.state().refused.clear();
    fixture.wait("the Pod", |snapshot| snapshot.pods.size() == 1);
    fixture.wait_for_status("both kinds", |watch| unavailable(watch) == 0);
}

#[test]
fn servers_that_stream_no_lists_are_asked_for_pages() {
    for streamed_lists in [StreamedLists::Refused, StreamedLists::Ignored] {
        let fake = Fake::start();
        fake.state().streamed_lists = streamed_lists;
        let names: Vec<_> = (0..600).map(|number| format!("shop/s{number:03}")).collect();
        for (number, name) in names.iter().enumerate() {
            fake.put(
                SERVICES,
                name,
                fake::service(&format!("10.96.{}.{}", number / 250, number % 250 + 1)),
            );
        }
        let mut fixture = Fixture::with(fake, &[], Timing { list_silence: SHORT, ..patient() });
        fixture.wait_for_services(&names.iter().map(String::as_str).collect::<Vec<_>>());
        fixture.fake.delete(SERVICES, "shop/s300");
        fixture.wait("the change", |snapshot| services(snapshot).len() == 599);
        let asked = fixture.fake.state().asked.clone();
        let pages =
            asked.iter().filter(|query| query.starts_with("/api/v1/services?limit")).count();
        assert!(pages >= 3, "{streamed_lists:?}: {asked:#?}");
    }
}

#[test]
fn a_broken_watch_goes_on_without_a_new_list() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    for round in 0..3_u8 {
        fixture.fake.cut_connections();
        let name = format!("shop/more-{round}");
        fixture.fake.put(SERVICES, &name, fake::service(&format!("10.96.1.{}", round + 1)));
        fixture.wait(&name, |snapshot| services(snapshot).contains(&name));
    }
    assert_eq!(fixture.lists(ObjectKind::Service), 1);
}

#[test]
fn a_forgotten_version_leads_to_a_new_list_that_loses_nothing() {
    let fake = Fake::start();
    for (name, address) in [("shop/a", "10.96.0.1"), ("shop/b", "10.96.0.2")] {
        fake.put(SERVICES, name, fake::service(address));
    }
    fake.put(SLICES, "shop/a-1", fake::slice("a", &["10.244.1.1"]));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/a", "shop/b"]);
    let before = Arc::clone(&fixture.snapshot);
    fixture.fake.stop();
    fixture.fake.delete(SERVICES, "shop/b");
    fixture.fake.put(SERVICES, "shop/c", fake::service("10.96.0.3"));
    fixture.fake.forget();
    fixture.fake.listen();
    let delta = fixture.wait_for_services(&["shop/a", "shop/c"]);
    assert!(fixture.lists(ObjectKind::Service) >= 2);
    let changed: Vec<_> = delta.services.iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["shop/b", "shop/c"], "what is the same is no change");
    let a = ServiceName::new("shop", "a").unwrap();
    assert!(Arc::ptr_eq(&before.services[&a], &fixture.snapshot.services[&a]));
}

#[test]
fn a_server_that_is_away_changes_nothing() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    fixture.fake.stop();
    fixture.wait_for_status("failures of every kind", |watch| {
        watch.status().kinds().values().all(|kind| kind.failures > 1)
    });
    assert!(!fixture.published());
    assert!(fixture.watch.status().kinds().values().all(|kind| !kind.connected));
    assert!(fixture.watch.status().view_age(Instant::now()).is_some());
    fixture.fake.put(NAMESPACES, "more", json!({}));
    fixture.fake.listen();
    fixture.wait("the change", |snapshot| snapshot.namespaces.size() == 2);
    assert_eq!(fixture.lists(ObjectKind::Service), 1);
}

#[test]
fn dead_half_open_and_failing_servers_are_passed_over() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let half_open = Fake::start();
    half_open.state().half_open = true;
    let failing = Fake::start();
    failing.state().refused.extend(
        [SERVICES, SLICES, NAMESPACES, PODS, SERVICE_CIDRS, fake::NODES].map(|path| (path, 503)),
    );
    let good = Fake::start();
    good.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let endpoints = [dead, half_open.address, failing.address].map(|address| address.to_string());
    let mut fixture = Fixture::with(good, &endpoints, Timing { answer: SHORT * 3, ..patient() });
    fixture.wait_for_services(&["shop/web"]);
    let endpoint = fixture.watch.status().endpoint().unwrap();
    assert_eq!(*endpoint, format!("https://{}/", fixture.fake.address));
}

#[test]
fn a_watch_that_says_nothing_is_given_up_and_resumed() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let mut fixture = Fixture::with(fake, &[], Timing { watch_silence: SHORT, ..patient() });
    fixture.wait_for_services(&["shop/web"]);
    fixture.fake.state().silent = true;
    fixture.fake.put(SERVICES, "shop/more", fake::service("10.96.0.2"));
    fixture.wait_for_status("a second watch", |watch| {
        watch.status().kinds()[&ObjectKind::Service].watches >= 1
    });
    fixture.fake.state().silent = false;
    fixture.wait_for_services(&["shop/more", "shop/web"]);
    assert_eq!(fixture.lists(ObjectKind::Service), 1);
}

#[test]
fn tokens_and_authorities_are_replaced_without_a_restart() {
    let fake = Fake::start();
    fake.require_token("first");
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    // The kubelet replaces the file; later the old token is refused.
    std::fs::write(fixture.fake.path("token"), "second").unwrap();
    fixture.fake.require_token("second");
    fixture.fake.cut_connections();
    fixture.fake.put(SERVICES, "shop/more", fake::service("10.96.0.2"));
    fixture.wait_for_services(&["shop/more", "shop/web"]);
    // The cluster changes its authority: certificate and kubeconfig are new.
    fixture.fake.stop();
    fixture.fake.change_authority();
    fixture.fake.listen();
    fixture.fake.put(SERVICES, "shop/third", fake::service("10.96.0.3"));
    fixture.wait_for_services(&["shop/more", "shop/third", "shop/web"]);
}

#[test]
fn an_authority_that_is_not_trusted_is_said() {
    let mut fake = Fake::start();
    let kubeconfig = std::fs::read(fake.path("kubeconfig")).unwrap();
    fake.stop();
    fake.change_authority();
    fake.listen();
    std::fs::write(fake.path("kubeconfig"), kubeconfig).unwrap();
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_status("the refusal", |watch| has_failed(watch, ObjectKind::Service));
    let kinds = fixture.watch.status().kinds();
    let failure = kinds[&ObjectKind::Service].failure.clone().unwrap_or_default();
    assert!(failure.contains("invalid peer certificate"), "{failure}");
    assert!(!fixture.published());
}

#[test]
fn one_bad_object_stops_nothing_and_is_forgotten_with_it() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/bad", fake::service("10.96.0.300"));
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    let problems = |watch: &ApiWatch| -> Vec<String> {
        watch.reports().problems().iter().map(Problem::to_string).collect()
    };
    let found = problems(&fixture.watch);
    assert!(
        found.len() == 1 && found[0].starts_with("service shop/bad: spec.clusterIPs[0]"),
        "{found:?}"
    );
    fixture.fake.delete(SERVICES, "shop/bad");
    fixture.wait_for_status("no problem", |watch| problems(watch).is_empty());
    // An object in use that turns bad is one that is gone.
    fixture.fake.put(SERVICES, "shop/web", fake::service("nowhere"));
    fixture.wait_for_services(&[]);
    assert_eq!(problems(&fixture.watch).len(), 1);
}
