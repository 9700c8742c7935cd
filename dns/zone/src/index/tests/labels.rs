//! What has names where labels are selected: Services and pods by their own, namespaces by theirs.

use super::*;

const APP: &str = "app.kubernetes.io/part-of";

fn selector(text: &str) -> Option<Selector> {
    Some(Selector::parse(text).unwrap())
}

/// An index that follows a builder whose objects have all labels.
struct Followed {
    builder: Builder,
    index: ZoneIndex,
}

impl Followed {
    fn new(config: ZoneConfig, changes: Vec<Change>) -> Self {
        let mut followed = Self { builder: builder(), index: ZoneIndex::new(config) };
        followed.apply(changes);
        followed
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let (snapshot, delta) = self.builder.apply(changes);
        self.index = self.index.update(&snapshot, &delta, NOW);
    }

    /// Answers to questions about names below the zone.
    fn check(&self, when: &str, rows: &[(&str, RecordType, &str)]) {
        for (name, record_type, expected) in rows {
            let name = match name.strip_suffix(".arpa") {
                Some(_) => format!("{name}."),
                None => format!("{name}.cluster.local."),
            };
            assert_eq!(ask(&self.index, &name, *record_type), *expected, "{when}: {name}");
        }
    }
}

#[test]
fn services_have_names_while_their_labels_are_selected() {
    use RecordType::{A, PTR, SRV};
    let http = [("http", Protocol::Tcp, 80)];
    let web =
        |value| labeled(&[(APP, value)], cluster_ip(("default", "web"), &["10.96.5.5"], &http));
    let set = |value| labeled(&[(APP, value)], crate::fixture::headless(("default", "set"), &http));
    let alias = |value| {
        labeled(&[(APP, value)], crate::fixture::external_name(("default", "ext"), "example.com"))
    };
    let config = config().with_labels(selector("app.kubernetes.io/part-of in (shop),!internal"));
    let mut followed = Followed::new(
        config,
        vec![
            namespace("default"),
            web("shop"),
            cluster_ip(("default", "bare"), &["10.96.5.6"], &http),
            set("shop"),
            slice(("default", "set"), "a", &http, vec![named("10.244.1.1", "set-0")]),
            alias("shop"),
        ],
    );
    let rows = |web, endpoint, alias, pointer| {
        [
            ("web.default.svc", A, web),
            ("set-0.set.default.svc", A, endpoint),
            ("ext.default.svc", A, alias),
            ("5.5.96.10.in-addr.arpa", PTR, pointer),
            ("bare.default.svc", A, "NXDOMAIN"),
            ("_http._tcp.bare.default.svc", SRV, "NXDOMAIN"),
            ("6.5.96.10.in-addr.arpa", PTR, "NOT OURS"),
            // The namespace is there whatever is in it.
            ("default.svc", A, "NODATA"),
        ]
    };
    let (is, gone) = (
        rows(
            "web.D 5 A 10.96.5.5",
            "set-0.set.D 5 A 10.244.1.1",
            "ext.D 5 CNAME example.com. ...",
            "5.5.96.10.in-addr.arpa. 5 PTR web.D",
        ),
        rows("NXDOMAIN", "NXDOMAIN", "NXDOMAIN", "NOT OURS"),
    );
    followed.check("at first", &is);
    let serial = followed.index.serial();
    followed.apply([web("other"), set("other"), alias("other")]);
    followed.check("with another value", &gone);
    assert_ne!(followed.index.serial(), serial);
    followed.apply([web("shop"), set("shop"), alias("shop")]);
    followed.check("with the first value", &is);
    let hidden = [(APP, "shop"), ("internal", "")];
    followed.apply([labeled(&hidden, cluster_ip(("default", "web"), &["10.96.5.5"], &http))]);
    followed.check("with the other label", &[("web.default.svc", A, "NXDOMAIN")]);
}

#[test]
fn endpoints_of_any_slice_follow_the_service() {
    // A slice that is written by hand has no labels but the one that names its Service.
    let http = [("http", Protocol::Tcp, 80)];
    let changes = vec![
        namespace("default"),
        labeled(&[(APP, "shop")], crate::fixture::headless(("default", "db"), &http)),
        slice(("default", "db"), "by-hand", &http, vec![endpoint("192.0.2.7")]),
    ];
    let followed = Followed::new(config().with_labels(selector(APP)), changes);
    followed.check("", &[("db.default.svc", RecordType::A, "db.D 5 A 192.0.2.7")]);
}

#[test]
fn namespaces_have_names_while_their_labels_are_selected() {
    use RecordType::{A, PTR};
    let shop = |team| labeled_namespace("shop", &[("team", team)]);
    let config = config()
        .with_pods(PodMode::Insecure)
        .with_namespaces(Exposure::Labeled(Selector::parse("team=dns").unwrap()));
    let mut followed = Followed::new(
        config,
        vec![
            shop("dns"),
            namespace("other"),
            cluster_ip(("shop", "web"), &["10.96.5.5"], &[]),
            cluster_ip(("other", "web"), &["10.96.5.6"], &[]),
        ],
    );
    let rows = |web, namespace, pod, pointer| {
        [
            ("web.shop.svc", A, web),
            ("nosuch.shop.svc", A, "NXDOMAIN"),
            ("shop.svc", A, namespace),
            ("shop.pod", A, namespace),
            ("10-1-2-3.shop.pod", A, pod),
            ("5.5.96.10.in-addr.arpa", PTR, pointer),
            ("web.other.svc", A, "NXDOMAIN"),
            ("other.svc", A, "NXDOMAIN"),
            ("10-1-2-3.other.pod", A, "NXDOMAIN"),
            ("6.5.96.10.in-addr.arpa", PTR, "NOT OURS"),
        ]
    };
    let is = rows(
        "web.shop.svc.cluster.local. 5 A 10.96.5.5",
        "NODATA",
        "10-1-2-3.shop.pod.cluster.local. 5 A 10.1.2.3",
        "5.5.96.10.in-addr.arpa. 5 PTR web.shop.svc.cluster.local.",
    );
    let gone = rows("NXDOMAIN", "NXDOMAIN", "NXDOMAIN", "NOT OURS");
    followed.check("at first", &is);
    let serial = followed.index.serial();
    followed.apply([shop("other")]);
    followed.check("with another value", &gone);
    assert_ne!(followed.index.serial(), serial);
    followed.apply([shop("dns")]);
    followed.check("with the first value", &is);
    followed.apply([Change::NamespaceGone(Namespace::new("shop").unwrap())]);
    followed.check("without the namespace", &gone);
}

#[test]
fn changed_labels_of_a_namespace_cost_nothing_of_its_services() {
    let config = config().with_namespaces(Exposure::Labeled(Selector::parse("team").unwrap()));
    let mut followed = Followed::new(
        config,
        vec![
            labeled_namespace("shop", &[("team", "dns")]),
            cluster_ip(("shop", "web"), &["10.96.5.5"], &[]),
        ],
    );
    let records = |index: &ZoneIndex| {
        let key = service_key(&service_name("shop", "web"));
        Arc::clone(index.tables().unwrap().services.get(&key).unwrap())
    };
    let before = records(&followed.index);
    followed.apply([namespace("shop")]);
    followed.check("without the label", &[("web.shop.svc", RecordType::A, "NXDOMAIN")]);
    assert!(Arc::ptr_eq(&before, &records(&followed.index)));
}

#[test]
fn pods_are_verified_among_those_whose_labels_are_selected() {
    let config = config().with_pods(PodMode::Verified).with_labels(selector("app=web"));
    let pod = |value| labeled(&[("app", value)], pod(("default", "a"), &["10.244.1.1"]));
    let mut followed = Followed::new(config, vec![namespace("default"), pod("web")]);
    let name = "10-244-1-1.default.pod";
    let found = "10-244-1-1.default.pod.cluster.local. 5 A 10.244.1.1";
    followed.check("selected", &[(name, RecordType::A, found)]);
    followed.apply([pod("db")]);
    followed.check("not selected", &[(name, RecordType::A, "NXDOMAIN")]);
}

#[test]
fn nothing_is_answered_before_the_labels_are_known() {
    let both = config()
        .with_labels(selector("app,!internal"))
        .with_namespaces(Exposure::Labeled(Selector::parse("team=dns").unwrap()));
    let keys = |texts: &[&str]| -> LabelKeys { texts.iter().map(|text| (*text).into()).collect() };
    assert_eq!(both.label_keys(), keys(&["app", "internal", "team"]));
    assert_eq!(config().label_keys(), LabelKeys::default());

    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply([namespace("default")]);
    let index = ZoneIndex::new(both).update(&snapshot, &delta, NOW);
    let web = "web.default.svc.cluster.local.";
    assert_eq!(ask(&index, web, RecordType::A), "NOT SYNCED");
    assert!(!index.is_synced());
    builder.keep_labels(keys(&["app", "internal", "team", "more"]));
    let (snapshot, delta) = builder.apply([]);
    let index = index.update(&snapshot, &delta, NOW);
    assert_eq!(ask(&index, web, RecordType::A), "NXDOMAIN");
    // A view of somebody who does not know them makes the index forget.
    builder.keep_labels(keys(&["app"]));
    let (snapshot, delta) = builder.apply([]);
    let index = index.update(&snapshot, &delta, NOW);
    assert_eq!(ask(&index, web, RecordType::A), "NOT SYNCED");
    assert_eq!(ask(&index.rebuild(&snapshot, NOW), web, RecordType::A), "NOT SYNCED");
}
