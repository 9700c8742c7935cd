//! What is kept only where somebody wants it: labels, and Services of other clusters.

use super::*;

const WANTED_IMPORTS: Extras = Extras { labels: LabelKeys::Only(BTreeSet::new()), imports: true };

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
