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

/// A Service with labels.
fn labeled_service(labels: serde_json::Value) -> serde_json::Value {
    let mut service = fake::service("10.96.0.1");
    service["metadata"]["labels"] = labels;
    service
}

#[test]
fn labels_that_are_wanted_are_kept_and_more_are_learned_by_a_new_list() {
    let fake = Fake::start();
    fake.put(NAMESPACES, "shop", json!({"metadata": {"labels": {"team": "dns", "x": "y"}}}));
    fake.put(SERVICES, "shop/web", labeled_service(json!({"app": "web", "x": "y"})));
    let mut fixture = Fixture::of(fake);
    fixture.wait_for_services(&["shop/web"]);
    let shop = podway_cluster_model::name::Namespace::new("shop").unwrap();
    let web = ServiceName::new("shop", "web").unwrap();
    let labels = |snapshot: &Snapshot| {
        let service = snapshot.services.get(&web).and_then(|entry| entry.service.as_ref());
        let of = |labels: &Labels| labels.iter().map(|(_, value)| value.to_owned()).collect();
        let service: Vec<String> = service.map(|service| of(&service.labels)).unwrap_or_default();
        (snapshot.namespaces.get(&shop).map(of).unwrap_or_default(), service)
    };
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(ToString::to_string).collect() };
    assert_eq!(labels(&fixture.snapshot), (texts(&[]), texts(&[])), "nobody wants any");
    let keys: LabelKeys = ["team".into(), "app".into()].into_iter().collect();
    fixture.wanted.add(&Extras { labels: keys.clone(), imports: false });
    let delta = fixture.wait("the labels", |snapshot| snapshot.label_keys == keys);
    assert!(delta.label_keys);
    assert_eq!(labels(&fixture.snapshot), (texts(&["dns"]), texts(&["web"])));
    let lists = [ObjectKind::Service, ObjectKind::Namespace, ObjectKind::EndpointSlice];
    assert_eq!(lists.map(|kind| fixture.lists(kind)), [2, 2, 1], "slices are not asked for again");

    // Each change comes with the labels that it leaves.
    fixture.fake.put(SERVICES, "shop/web", labeled_service(json!({"app": "db"})));
    let other = (texts(&["dns"]), texts(&["db"]));
    let delta = fixture.wait("the Service", |snapshot| labels(snapshot) == other);
    assert_eq!(delta.services.len(), 1);
    fixture.fake.put(NAMESPACES, "shop", json!({"metadata": {"labels": {"team": "web"}}}));
    let other = (texts(&["web"]), texts(&["db"]));
    let delta = fixture.wait("the Namespace", |snapshot| labels(snapshot) == other);
    assert_eq!((delta.namespaces.len(), delta.services.len()), (1, 0));
    // What nobody wants changes nothing.
    fixture.fake.put(SERVICES, "shop/web", labeled_service(json!({"app": "db", "z": "z"})));
    fixture.fake.put(NAMESPACES, "later", json!({}));
    let delta = fixture.wait("what came later", |snapshot| snapshot.namespaces.size() == 2);
    assert_eq!(delta.services.len(), 0);
}

/// An imported slice with one endpoint.
fn imported_slice(service: &str, address: &str) -> serde_json::Value {
    let mut slice = fake::slice("", &[address]);
    slice["metadata"]["labels"] = json!({
        "multicluster.kubernetes.io/service-name": service,
        "multicluster.kubernetes.io/source-cluster": "east",
    });
    slice
}

/// Imports by name, each with the number of its addresses and of its slices.
fn imports(snapshot: &Snapshot) -> Vec<(String, usize, usize)> {
    let imported = snapshot.services.iter().filter_map(|(name, entry)| {
        let imported = entry.imported.as_ref()?;
        let import = imported.import.as_ref()?;
        let ImportKind::ClusterSetIp(addresses) = &import.kind else { return None };
        Some((name.to_string(), addresses.len(), imported.slices.size()))
    });
    imported.collect()
}

const WANTED_IMPORTS: Extras = Extras { labels: LabelKeys::Only(BTreeSet::new()), imports: true };

#[test]
fn imports_are_asked_for_once_somebody_wants_them_by_either_version() {
    for (path, missing) in [(IMPORTS, None), (OLDER_IMPORTS, Some(IMPORTS))] {
        let fake = Fake::start();
        let spec = json!({"spec": {"type": "ClusterSetIP", "ips": ["10.112.0.7"], "ports": []}});
        fake.put(path, "shop/web", spec.clone());
        fake.put(SLICES, "shop/web-east", imported_slice("web", "10.1.0.1"));
        fake.state().refused.extend(missing.map(|path| (path, 404)));
        let mut fixture = Fixture::of(fake);
        fixture.wait("the view", |snapshot| snapshot.namespaces.size() == 1);
        assert_eq!(fixture.snapshot.services.size(), 0, "nobody wants them");
        let asked_for = |fixture: &Fixture, path: &str| {
            fixture.fake.state().asked.iter().filter(|query| query.starts_with(path)).count()
        };
        assert_eq!(asked_for(&fixture, "/apis/multicluster"), 0);
        fixture.wanted.add(&WANTED_IMPORTS);
        let delta = fixture.wait("imports", |snapshot| snapshot.imports == Imports::Known);
        assert!(delta.imports);
        assert_eq!(imports(&fixture.snapshot), [("shop/web".to_owned(), 1, 1)]);
        assert_eq!(fixture.watch.reports().problems(), []);
        assert_eq!(fixture.lists(ObjectKind::Service), 1, "Services are not asked for again");

        let other = json!({"spec": {"type": "ClusterSetIP", "ips": ["10.112.0.7", "fd00::7"], "ports": []}});
        fixture.fake.put(path, "shop/web", other);
        fixture.fake.delete(SLICES, "shop/web-east");
        let expected = [("shop/web".to_owned(), 2, 0)];
        fixture.wait("the changes", |snapshot| imports(snapshot) == expected);
        fixture.fake.delete(path, "shop/web");
        fixture.wait("the end of it", |snapshot| snapshot.services.size() == 0);
    }
}

#[test]
fn without_their_kind_there_are_no_imports_and_without_the_right_none_are_known() {
    let fake = Fake::start();
    fake.state().refused.extend([(IMPORTS, 404), (OLDER_IMPORTS, 404)]);
    let mut fixture = Fixture::with(fake, &[], Timing { absent: SHORT, ..patient() });
    fixture.wanted.add(&WANTED_IMPORTS);
    fixture.wait("that there are none", |snapshot| snapshot.imports == Imports::Known);
    let unavailable = |watch: &ApiWatch| watch.reports().counts().unavailable.len();
    fixture.wait_for_status("the problem", |watch| unavailable(watch) == 1);
    // The kind is looked for now and then.
    let spec = json!({"spec": {"type": "ClusterSetIP", "ips": ["10.112.0.7"], "ports": []}});
    fixture.fake.put(IMPORTS, "shop/web", spec);
    fixture.fake.state().refused.clear();
    fixture.wait("the import", |snapshot| imports(snapshot).len() == 1);
    fixture.wait_for_status("its end", |watch| unavailable(watch) == 0);

    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    fake.state().refused.extend([(IMPORTS, 403)]);
    let mut fixture = Fixture::with(fake, &[], Timing { absent: SHORT, ..patient() });
    fixture.wanted.add(&WANTED_IMPORTS);
    fixture.wait_for_services(&["shop/web"]);
    fixture.wait_for_status("the problem", |watch| unavailable(watch) == 1);
    assert_eq!(fixture.snapshot.imports, Imports::Unknown);
    fixture.fake.state().refused.clear();
    fixture.wait("the right", |snapshot| snapshot.imports == Imports::Known);
}

#[test]
fn a_server_that_fails_at_imports_keeps_nobody_waiting() {
    let fake = Fake::start();
    fake.put(SERVICES, "shop/web", fake::service("10.96.0.1"));
    // As where what converts versions of the kind is down.
    fake.state().refused.extend([(IMPORTS, 500)]);
    let mut fixture = Fixture::of(fake);
    fixture.wanted.add(&WANTED_IMPORTS);
    fixture.wait_for_services(&["shop/web"]);
    fixture.wait_for_status("the failure", |watch| has_failed(watch, ObjectKind::Import));
    assert!(fixture.watch.status().is_complete());
    assert_eq!(fixture.snapshot.imports, Imports::Unknown);
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
