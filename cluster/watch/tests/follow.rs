//! The folder of manifests followed for real: files on a disk, inotify, a thread.
//!
//! No test looks at a clock: each waits for its condition, and only a lost event can reach the limit.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use podway_cluster_model::endpoint::Condition;
use podway_cluster_model::import::Imports;
use podway_cluster_model::label::LabelKeys;
use podway_cluster_model::name::{NodeName, ObjectName, ServiceName};
use podway_cluster_model::node::Eligibility;
use podway_cluster_model::service::{Affinity, ServiceKind};
use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_cluster_watch::manifests::{FollowError, ManifestWatch, load, spawn};
use podway_cluster_watch::publish::{NoView, Publisher, Subscription};
use podway_cluster_watch::rejection::ObjectKind;
use podway_cluster_watch::report::Problem;
use podway_cluster_watch::wanted::{Extras, Wanted};
use tempfile::TempDir;

const DUMP: &str = include_str!("data/dump.yaml");

/// Long enough for the slowest machine; only a lost event gets here.
const LIMIT: Duration = Duration::from_secs(60);

/// A followed folder.
struct Fixture {
    parent: TempDir,
    watch: ManifestWatch,
    wanted: Wanted,
    subscription: Subscription,
    snapshot: Arc<Snapshot>,
}

impl Fixture {
    fn with(files: &[(&str, &str)]) -> Self {
        let parent = TempDir::new().unwrap();
        let folder = parent.path().join("manifests");
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let publisher = Publisher::new();
        let mut subscription = publisher.subscribe();
        let wanted = Wanted::default();
        let watch = spawn(&folder, &wanted, publisher).unwrap();
        let snapshot = subscription.try_next().expect("published when spawn returns").snapshot;
        Self { parent, watch, wanted, subscription, snapshot }
    }

    fn folder(&self) -> PathBuf {
        self.parent.path().join("manifests")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Waits until the newest snapshot is as wanted; gives what changed on the way.
    fn wait(&mut self, what: &str, wanted: impl Fn(&Snapshot) -> bool) -> Delta {
        let mut merged = Delta::default();
        while !wanted(&self.snapshot) {
            let view = self.subscription.next_timeout(LIMIT);
            let view = view.unwrap_or_else(|error| panic!("waiting for {what}: {error}"));
            self.snapshot = view.snapshot;
            merged.merge(view.delta);
        }
        merged
    }

    fn wait_for_address(&mut self, service: &str, address: Option<&str>) -> Delta {
        let what = format!("{service} at {address:?}");
        self.wait(&what, |snapshot| cluster_ip(snapshot, service).as_deref() == address)
    }

    /// Waits until the reported problems are as wanted.
    fn wait_for_problems(&self, what: &str, wanted: impl Fn(&[Problem]) -> bool) {
        let reports = self.watch.reports();
        let deadline = std::time::Instant::now() + LIMIT;
        while !wanted(&reports.problems()) {
            assert!(std::time::Instant::now() < deadline, "{what}: {:?}", reports.problems());
            std::thread::yield_now();
        }
    }
}

fn service(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
    )
}

fn cluster_ip(snapshot: &Snapshot, name: &str) -> Option<String> {
    let entry = snapshot.services.get(&ServiceName::new("default", name).unwrap())?;
    entry.service.as_ref()?.cluster_ips().first().map(ToString::to_string)
}

fn address_of(problem: &Problem) -> &str {
    match problem {
        Problem::File { file, .. }
        | Problem::Object { file, .. }
        | Problem::Shadowed { file, .. } => file,
        Problem::Folder { .. } | Problem::Served { .. } | Problem::Unavailable { .. } => "",
    }
}

#[test]
fn labels_that_come_to_be_wanted_are_read_from_every_file() {
    let labeled = |name: &str, value: &str| {
        let service = service(name, "10.96.0.1");
        service.replace(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}, labels: {{app: {value}, x: y}}}}"),
        )
    };
    let mut fixture =
        Fixture::with(&[("a.yaml", &labeled("a", "web")), ("b.yaml", &labeled("b", "db"))]);
    let labels = |snapshot: &Snapshot| -> Vec<String> {
        let services = snapshot.services.values().filter_map(|entry| entry.service.as_ref());
        let pairs = services.flat_map(|service| service.labels.iter());
        pairs.map(|(key, value)| format!("{key}={value}")).collect()
    };
    assert!(labels(&fixture.snapshot).is_empty(), "nobody wants them");
    let keys: LabelKeys = ["app".into()].into_iter().collect();
    fixture.wanted.add(&Extras { labels: keys.clone(), imports: false });
    let delta = fixture.wait("the labels", |snapshot| snapshot.label_keys == keys);
    assert!(delta.label_keys);
    assert_eq!(labels(&fixture.snapshot), ["app=web", "app=db"]);
    fs::write(fixture.file("a.yaml"), labeled("a", "other")).unwrap();
    fixture.wait("the change", |snapshot| labels(snapshot) == ["app=other", "app=db"]);
}

#[test]
fn imports_are_read_from_files_once_somebody_wants_them() {
    const IMPORT: &str = "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ServiceImport\n\
        metadata: {name: web}\nspec: {type: Headless, ports: [{name: http, port: 80}]}\n---\n\
        apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
        metadata: {name: web-east, labels: {multicluster.kubernetes.io/service-name: web, \
        multicluster.kubernetes.io/source-cluster: east}}\naddressType: IPv4\n\
        endpoints: [{addresses: [10.1.0.1], hostname: web-0}]\nports: [{name: http, port: 8080}]\n";
    let mut fixture = Fixture::with(&[("import.yaml", IMPORT)]);
    assert_eq!(fixture.watch.reports().problems(), []);
    let imported = |snapshot: &Snapshot| {
        let entry = snapshot.services.get(&ServiceName::new("default", "web").unwrap())?;
        let imported = entry.imported.as_ref()?;
        Some((imported.import.is_some(), imported.slices.size()))
    };
    assert_eq!(imported(&fixture.snapshot), None, "nobody wants them");
    fixture.wanted.add(&Extras { imports: true, ..Extras::default() });
    fixture.wait("imports", |snapshot| snapshot.imports == Imports::Known);
    assert_eq!(imported(&fixture.snapshot), Some((true, 1)));
    fs::remove_file(fixture.file("import.yaml")).unwrap();
    fixture.wait("their end", |snapshot| imported(snapshot).is_none());
}

#[test]
fn a_dump_of_a_cluster_is_read_whole() {
    let fixture = Fixture::with(&[("all.yaml", DUMP)]);
    assert_eq!(fixture.watch.reports().problems(), []);
    assert_eq!(fixture.watch.reports().counts().ignored, [].into());
    let snapshot = &fixture.snapshot;
    assert_eq!(
        snapshot.services.keys().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "default/ext",
            "default/kubernetes",
            "default/myapp-svc",
            "kube-system/kube-dns",
            "shop/web"
        ]
    );
    let web = &snapshot.services[&ServiceName::new("shop", "web").unwrap()];
    let object = web.service.as_ref().unwrap();
    assert_eq!(object.cluster_ips().len(), 2);
    assert_eq!(object.affinity, Affinity::ClientIp { timeout: Duration::from_secs(10_800) });
    assert_eq!(object.external.load_balancer.len(), 1);
    assert_eq!(object.external.source_ranges.len(), 1);
    assert_eq!(object.external.health_check_node_port.unwrap().number(), 32_100);
    assert_eq!(object.ports[0].node_port.unwrap().number(), 30_001);
    let endpoints: Vec<_> = web.slices.values().flat_map(|slice| &slice.endpoints).collect();
    assert_eq!(
        endpoints.iter().map(|endpoint| endpoint.condition).collect::<Vec<_>>(),
        [
            Condition::Ready { terminating: false },
            Condition::ServingTerminating,
            Condition::Ready { terminating: false },
        ]
    );
    let headless = &snapshot.services[&ServiceName::new("default", "myapp-svc").unwrap()];
    assert_eq!(headless.service.as_ref().unwrap().kind, ServiceKind::Headless);
    let slice = headless.slices.values().next().unwrap();
    let hostnames = slice.endpoints.iter().map(|endpoint| endpoint.hostname.as_ref().unwrap());
    assert_eq!(
        hostnames.map(ToString::to_string).collect::<Vec<_>>(),
        ["myapp-0", "myapp-1", "myapp-2"]
    );
    let node = |name: &str| &snapshot.nodes[&NodeName::new(name).unwrap()];
    assert_eq!(node("node-1").addresses.len(), 2);
    assert_eq!(node("node-1").eligibility, Eligibility::Eligible);
    assert_eq!(node("node-2").eligibility, Eligibility::Leaving);
    let pod =
        |namespace: &str, name: &str| &snapshot.pods[&ObjectName::new(namespace, name).unwrap()];
    assert_eq!(pod("default", "myapp-0").addresses.len(), 1);
    assert!(pod("shop", "backup-29475960-7gq2m").addresses.is_empty());
}

#[test]
fn reading_once_gives_what_following_starts_with() {
    let fixture = Fixture::with(&[("all.yaml", DUMP), ("bad.yaml", "[")]);
    let (snapshot, reports) = load(&fixture.folder(), Extras::default()).unwrap();
    assert_eq!(snapshot.services, fixture.snapshot.services);
    assert_eq!(snapshot.nodes, fixture.snapshot.nodes);
    assert_eq!(snapshot.pods, fixture.snapshot.pods);
    assert_eq!(reports.problems(), fixture.watch.reports().problems());
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let parent = TempDir::new().unwrap();
    let missing = parent.path().join("manifests");
    assert!(matches!(
        spawn(&missing, &Wanted::default(), Publisher::new()),
        Err(FollowError::Folder(_))
    ));
    assert!(load(&missing, Extras::default()).is_err());
    fs::write(&missing, "").unwrap();
    let error = spawn(&missing, &Wanted::default(), Publisher::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not a folder", missing.display()));
}

#[test]
fn an_empty_folder_is_a_complete_cluster() {
    let mut fixture = Fixture::with(&[]);
    assert!(fixture.snapshot.services.is_empty());
    fs::write(fixture.file("web.yaml"), service("web", "10.96.0.1")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.1"));
}

#[test]
fn files_are_followed_as_they_come_change_and_go() {
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    fs::write(fixture.file("db.json"), r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"db"},"spec":{"clusterIP":"10.96.0.2"}}"#).unwrap();
    let delta = fixture.wait_for_address("db", Some("10.96.0.2"));
    assert_eq!(delta.services.len(), 1, "only the new service changed");
    fs::write(fixture.file("web.yaml"), service("web", "10.96.0.3")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.3"));
    fs::remove_file(fixture.file("web.yaml")).unwrap();
    fixture.wait_for_address("web", None);
    assert_eq!(cluster_ip(&fixture.snapshot, "db").as_deref(), Some("10.96.0.2"));
}

#[test]
fn a_file_moved_in_takes_effect_and_moved_out_takes_its_objects_along() {
    let mut fixture = Fixture::with(&[]);
    let outside = fixture.parent.path().join("web.new");
    fs::write(&outside, service("web", "10.96.0.1")).unwrap();
    fs::rename(&outside, fixture.file("web.yaml")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.1"));
    fs::rename(fixture.file("web.yaml"), fixture.file("web.yaml.off")).unwrap();
    fixture.wait_for_address("web", None);
}

#[test]
fn a_file_renamed_within_the_folder_stays_in_force() {
    let mut fixture = Fixture::with(&[("b.yaml", &service("web", "10.96.0.1"))]);
    fs::rename(fixture.file("b.yaml"), fixture.file("a.yaml")).unwrap();
    fs::write(fixture.file("z.yaml"), service("mark", "10.96.0.9")).unwrap();
    fixture.wait_for_address("mark", Some("10.96.0.9"));
    assert_eq!(cluster_ip(&fixture.snapshot, "web").as_deref(), Some("10.96.0.1"));
    assert_eq!(fixture.watch.reports().problems(), []);
    fs::write(fixture.file("a.yaml"), service("web", "10.96.0.2")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.2"));
}

#[test]
fn a_file_that_stays_open_is_read_when_its_writer_pauses() {
    use std::io::Write;
    let mut fixture = Fixture::with(&[]);
    let mut open = fs::File::create(fixture.file("web.yaml")).unwrap();
    open.write_all(service("web", "10.96.0.1").as_bytes()).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.1"));
    open.write_all(service("db", "10.96.0.2").as_bytes()).unwrap();
    fixture.wait_for_address("db", Some("10.96.0.2"));
    drop(open);
}

#[test]
fn a_file_emptied_by_a_slow_writer_keeps_its_content_until_the_writer_is_done() {
    use std::io::Write;
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    let mut open = fs::File::create(fixture.file("web.yaml")).unwrap();
    // Each turn of the mark takes longer than an open file must be quiet to be read.
    for address in ["10.96.1.1", "10.96.1.2", "10.96.1.3"] {
        let mut mark = fs::File::create(fixture.file("mark.yaml")).unwrap();
        mark.write_all(service("mark", address).as_bytes()).unwrap();
        fixture.wait_for_address("mark", Some(address));
        assert_eq!(cluster_ip(&fixture.snapshot, "web").as_deref(), Some("10.96.0.1"));
    }
    open.write_all(service("web", "10.96.0.2").as_bytes()).unwrap();
    drop(open);
    fixture.wait_for_address("web", Some("10.96.0.2"));
    drop(fs::File::create(fixture.file("web.yaml")).unwrap());
    fixture.wait_for_address("web", None);
}

#[test]
fn broken_yaml_keeps_the_last_good_content_and_is_reported_until_mended() {
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    fs::write(fixture.file("web.yaml"), "kind: Service\nspec:\n  ports: [\n").unwrap();
    fixture.wait_for_problems("the broken file", |problems| {
        matches!(problems, [Problem::File { file, position: Some((line, _)), .. }] if file == "web.yaml" && *line >= 3)
    });
    assert_eq!(fixture.watch.reports().counts().files, 1);
    fs::write(fixture.file("db.yaml"), service("db", "10.96.0.2")).unwrap();
    fixture.wait_for_address("db", Some("10.96.0.2"));
    assert_eq!(cluster_ip(&fixture.snapshot, "web").as_deref(), Some("10.96.0.1"));
    fs::write(fixture.file("web.yaml"), service("web", "10.96.0.3")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.3"));
    fixture.wait_for_problems("healing", <[Problem]>::is_empty);
}

#[test]
fn a_bad_object_is_reported_by_name_and_field_and_counted() {
    let bad = service("web", "10.96.0.1") + &service("bad", "10.96.0.300");
    let fixture =
        Fixture::with(&[("a.yaml", &bad), ("b.yaml", "apiVersion: apps/v1\nkind: Deployment\n")]);
    let problems = fixture.watch.reports().problems();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a.yaml: service default/bad: spec.clusterIP: \"10.96.0.300\" is not an IP address"]
    );
    assert_eq!(address_of(&problems[0]), "a.yaml");
    let counts = fixture.watch.reports().counts();
    assert_eq!(counts.rejected, [(ObjectKind::Service, 1)].into());
    assert_eq!(counts.ignored, [("apps/v1 Deployment".to_owned(), 1)].into());
    assert_eq!(cluster_ip(&fixture.snapshot, "web").as_deref(), Some("10.96.0.1"));
}

#[test]
fn hidden_files_other_names_and_folders_are_no_manifests() {
    let web = service("web", "10.96.0.1");
    let fixture = Fixture::with(&[
        (".web.yaml", &web),
        ("web.yaml~", &web),
        ("web.txt", &web),
        ("mark.yml", &service("mark", "10.96.0.9")),
    ]);
    fs::create_dir(fixture.file("sub.yaml")).unwrap();
    let (snapshot, reports) = load(&fixture.folder(), Extras::default()).unwrap();
    assert_eq!(cluster_ip(&snapshot, "web"), None);
    assert_eq!(cluster_ip(&snapshot, "mark").as_deref(), Some("10.96.0.9"));
    assert_eq!(reports.problems(), []);
}

#[test]
fn a_service_deleted_and_recreated_with_its_address_comes_back() {
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    fs::remove_file(fixture.file("web.yaml")).unwrap();
    fixture.wait_for_address("web", None);
    fs::write(fixture.file("other.yaml"), service("web", "10.96.0.1")).unwrap();
    let delta = fixture.wait_for_address("web", Some("10.96.0.1"));
    assert_eq!(delta.services.len(), 1);
}

#[test]
fn a_folder_moved_away_keeps_its_content_in_force_until_one_is_there_again() {
    let mut fixture = Fixture::with(&[
        ("web.yaml", &service("web", "10.96.0.1")),
        ("db.yaml", &service("db", "10.96.0.2")),
    ]);
    let away = fixture.parent.path().join("away");
    fs::rename(fixture.folder(), &away).unwrap();
    fixture.wait_for_problems("the lost folder", |problems| {
        matches!(problems, [Problem::Folder { .. }])
    });
    assert!(fixture.watch.reports().counts().folder_lost);
    // What happens to the folder elsewhere is no longer of interest.
    fs::write(away.join("web.yaml"), service("web", "10.96.9.9")).unwrap();
    assert_eq!(fixture.subscription.try_next().unwrap_err(), NoView::TimedOut);
    fs::create_dir(fixture.folder()).unwrap();
    fs::write(fixture.file("web.yaml"), service("web", "10.96.0.3")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.3"));
    fixture.wait_for_address("db", None);
    fixture.wait_for_problems("healing", <[Problem]>::is_empty);
    fs::write(fixture.file("db.yaml"), service("db", "10.96.0.4")).unwrap();
    fixture.wait_for_address("db", Some("10.96.0.4"));
}

#[test]
fn a_folder_removed_and_made_again_is_followed() {
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    for address in ["10.96.0.2", "10.96.0.3", "10.96.0.4"] {
        fs::remove_dir_all(fixture.folder()).unwrap();
        fs::create_dir(fixture.folder()).unwrap();
        fs::write(fixture.file("web.yaml"), service("web", address)).unwrap();
        fixture.wait_for_address("web", Some(address));
    }
}

#[test]
fn a_folder_exchanged_for_another_is_followed() {
    let mut fixture = Fixture::with(&[("web.yaml", &service("web", "10.96.0.1"))]);
    let (next, old) = (fixture.parent.path().join("next"), fixture.parent.path().join("old"));
    fs::create_dir(&next).unwrap();
    fs::write(next.join("web.yaml"), service("web", "10.96.0.2")).unwrap();
    fs::rename(fixture.folder(), &old).unwrap();
    fs::rename(&next, fixture.folder()).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.2"));
    fs::write(fixture.file("web.yaml"), service("web", "10.96.0.3")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.3"));
}

#[test]
fn the_files_of_a_config_map_volume_change_all_at_once() {
    use std::os::unix::fs::symlink;
    let mut fixture = Fixture::with(&[]);
    let version = |name: &str, address: &str| {
        let folder = fixture.file(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("web.yaml"), service("web", address)).unwrap();
    };
    version("..1", "10.96.0.1");
    version("..2", "10.96.0.2");
    symlink("..1", fixture.file("..data")).unwrap();
    symlink(Path::new("..data/web.yaml"), fixture.file("web.yaml")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.1"));
    symlink("..2", fixture.file("..data_tmp")).unwrap();
    fs::rename(fixture.file("..data_tmp"), fixture.file("..data")).unwrap();
    fixture.wait_for_address("web", Some("10.96.0.2"));
}

#[test]
fn dropping_the_watch_ends_the_subscription() {
    let Fixture { parent, watch, mut subscription, .. } = Fixture::with(&[]);
    drop(watch);
    assert_eq!(subscription.next_timeout(LIMIT).unwrap_err(), NoView::PublisherGone);
    drop(parent);
}
