use std::net::IpAddr;

use podway_cluster_model::builder::Builder;
use podway_cluster_model::name::{Namespace, ServiceName};
use podway_cluster_model::snapshot::{Delta, Snapshot};

use super::*;

/// The manifests with a builder behind them, and what the last edits did.
#[derive(Default)]
struct Source {
    manifests: Manifests,
    builder: Builder,
    outcome: Outcome,
    snapshot: Arc<Snapshot>,
    delta: Delta,
}

impl Source {
    fn apply(&mut self, edits: Vec<(FileName, Edit)>) -> &mut Self {
        self.outcome = self.manifests.apply(edits);
        (self.snapshot, self.delta) = self.builder.apply(self.outcome.changes.clone());
        self
    }

    fn put(&mut self, file: &str, content: &str) -> &mut Self {
        self.apply(vec![(file.into(), Edit::Content(content.into()))])
    }

    fn remove(&mut self, file: &str) -> &mut Self {
        self.apply(vec![(file.into(), Edit::Gone)])
    }

    fn appeared(&self) -> Vec<String> {
        self.outcome.update.appeared.iter().map(ToString::to_string).collect()
    }

    fn healed(&self) -> Vec<String> {
        self.outcome.update.healed.iter().map(ToString::to_string).collect()
    }

    /// Names of the objects that the last edits changed, without namespaces.
    fn changed(&self) -> Vec<String> {
        let keys = self.outcome.changes.iter().map(ObjectKey::of);
        keys.filter(|key| !matches!(key, ObjectKey::Namespace(_)))
            .map(|key| key.to_string())
            .collect()
    }

    /// The namespaces that there are.
    fn namespaces(&self) -> Vec<&str> {
        self.snapshot.namespaces.keys().map(Namespace::as_str).collect()
    }

    fn cluster_ip(&self, name: &str) -> Option<String> {
        let entry = self.snapshot.services.get(&ServiceName::new("shop", name).unwrap())?;
        entry.service.as_ref()?.cluster_ips().first().map(IpAddr::to_string)
    }

    /// Fails if something changed or was reported.
    fn assert_quiet(&self) {
        assert_eq!(self.changed(), Vec::<String>::new());
        assert_eq!(self.outcome.update, Update::default());
        assert!(self.delta.is_empty());
    }
}

fn service(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
    )
}

#[test]
fn a_file_gives_its_objects_and_takes_them_along() {
    let mut source = Source::default();
    source.put("a.yaml", &(service("web", "10.96.0.1") + &service("db", "10.96.0.2")));
    assert_eq!(source.changed(), ["service shop/db", "service shop/web"]);
    source.remove("a.yaml");
    assert_eq!(source.changed(), ["service shop/db", "service shop/web"]);
    assert!(source.snapshot.services.is_empty());
    assert_eq!(source.manifests.file_names().count(), 0);
    assert!(source.manifests.holders.is_empty());
}

#[test]
fn objects_keep_the_labels_that_are_wanted() {
    const SHOP: &str = "---\napiVersion: v1\nkind: Namespace\n\
                        metadata: {name: shop, labels: {team: dns, stage: test}}\n";
    const NAME: &str = "kubernetes.io/metadata.name";
    let keys = |texts: &[&str]| Extras {
        labels: texts.iter().map(|text| (*text).into()).collect(),
        imports: false,
    };
    let shop = Namespace::new("shop").unwrap();
    let labels = |source: &Source| -> Vec<(String, String)> {
        let labels = source.snapshot.namespaces.get(&shop).unwrap();
        labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let web = service("web", "10.96.0.1");
    let mut source = Source::default();
    source.put("a.yaml", &(web.clone() + SHOP));
    assert_eq!(labels(&source), []);
    source.manifests.keep(keys(&["team", NAME]));
    source.put("a.yaml", &(web.clone() + SHOP));
    assert_eq!(labels(&source), [pair(NAME, "shop"), pair("team", "dns")]);
    source.put("a.yaml", &(web.clone() + &SHOP.replace("dns", "web")));
    assert_eq!(labels(&source), [pair(NAME, "shop"), pair("team", "web")]);
    assert_eq!(source.delta.namespaces.len(), 1);

    // The object goes, and what is in the namespace still proves it.
    source.put("a.yaml", &web);
    assert_eq!(labels(&source), [pair(NAME, "shop")]);
    source.put("b.yaml", SHOP);
    assert_eq!(labels(&source), [pair(NAME, "shop"), pair("team", "dns")]);
    source.remove("b.yaml");
    assert_eq!(labels(&source), [pair(NAME, "shop")]);

    // A namespace without an object has its name for a label as soon as that is wanted.
    let mut source = Source::default();
    source.put("a.yaml", &web);
    assert_eq!(labels(&source), []);
    source.manifests.keep(keys(&[NAME]));
    source.put("a.yaml", &web);
    assert_eq!(labels(&source), [pair(NAME, "shop")]);
}

#[test]
fn an_object_proves_its_namespace_as_long_as_it_is_there() {
    const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: dev}\n";
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "10.96.0.1"));
    assert_eq!(source.namespaces(), ["shop"]);
    source.put("b.yaml", POD).put("c.yaml", &service("db", "10.96.0.2"));
    assert_eq!(source.namespaces(), ["dev", "shop"]);
    source.remove("a.yaml");
    assert_eq!(source.namespaces(), ["dev", "shop"]);
    assert!(source.delta.namespaces.is_empty());
    source.remove("b.yaml").remove("c.yaml");
    assert_eq!(source.namespaces(), [""; 0]);

    source.put("a.yaml", NAMESPACE).put("b.yaml", &service("web", "10.96.0.1"));
    source.remove("b.yaml");
    assert_eq!(source.namespaces(), ["shop"], "its own object is proof enough");
    source.put("b.yaml", &service("web", "10.96.0.1")).remove("a.yaml");
    assert_eq!(source.namespaces(), ["shop"], "a dump without Namespaces has them all the same");
    source.put("b.yaml", &service("web", "x"));
    assert_eq!(source.namespaces(), [""; 0], "what is rejected proves nothing");
}

#[test]
fn the_same_content_again_changes_nothing() {
    let mut source = Source::default();
    let content = service("web", "10.96.0.1") + &service("bad", "x") + "---\nkind: Other\n";
    source.put("a.yaml", &content);
    source.put("a.yaml", &content).assert_quiet();
    source.remove("nonsuch.yaml").assert_quiet();
}

#[test]
fn only_what_differs_in_a_file_is_a_change() {
    let mut source = Source::default();
    source.put("a.yaml", &(service("web", "10.96.0.1") + &service("db", "10.96.0.2")));
    source.put("a.yaml", &(service("web", "10.96.0.1") + &service("db", "10.96.0.3")));
    assert_eq!(source.changed(), ["service shop/db"]);
    assert_eq!(source.delta.services.len(), 1);
}

#[test]
fn a_broken_file_keeps_its_last_good_content_until_it_is_mended() {
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "10.96.0.1"));
    source.put("a.yaml", "kind: Service\nmetadata: [\n");
    assert_eq!(source.changed(), Vec::<String>::new());
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
    let appeared = source.appeared();
    assert_eq!(appeared.len(), 1);
    assert!(appeared[0].starts_with("a.yaml: line "), "{appeared:?}");
    source.put("a.yaml", "kind: Service\nmetadata: [\n").assert_quiet();
    source.put("a.yaml", &service("web", "10.96.0.2"));
    assert_eq!(source.healed(), appeared);
    assert_eq!(source.appeared(), Vec::<String>::new());
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.2"));
}

#[test]
fn rejections_of_the_last_good_content_stand_while_the_file_is_broken() {
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "x"));
    let rejections = source.appeared();
    assert_eq!(rejections.len(), 1);
    source.put("a.yaml", "[");
    assert_eq!(source.healed(), Vec::<String>::new());
    source.remove("a.yaml");
    assert_eq!(source.healed().len(), 2);
}

#[test]
fn a_file_broken_from_the_start_is_reported_and_then_read() {
    let mut source = Source::default();
    source.put("a.json", "{\"kind\": }");
    assert_eq!(source.appeared(), ["a.json: line 1, column 10: expected value"]);
    source.put("a.json", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#);
    assert_eq!(source.healed().len(), 1);
    assert!(source.snapshot.namespaces.contains_key(&Namespace::new("shop").unwrap()));
}

#[test]
fn an_unreadable_file_keeps_its_last_content() {
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "10.96.0.1"));
    let edit = Edit::Unreadable { reason: "permission denied".to_owned() };
    source.apply(vec![("a.yaml".into(), edit)]);
    assert_eq!(source.appeared(), ["a.yaml: permission denied"]);
    assert!(source.delta.is_empty());
    source.put("a.yaml", &service("web", "10.96.0.1"));
    assert_eq!(source.healed(), ["a.yaml: permission denied"]);
    assert!(source.delta.is_empty());
}

#[test]
fn an_object_with_a_bad_address_is_named_and_the_rest_goes_on() {
    let mut source = Source::default();
    let all = service("bad", "10.96.0.999") + &service("web", "10.96.0.1");
    source.put("a.yaml", &all);
    assert_eq!(
        source.appeared(),
        ["a.yaml: service shop/bad: spec.clusterIP: \"10.96.0.999\" is not an IP address"]
    );
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
    source.put("a.yaml", &all.replace("999", "99"));
    assert_eq!(source.healed().len(), 1);
    assert_eq!(source.changed(), ["service shop/bad"]);
}

#[test]
fn an_object_that_goes_bad_is_gone() {
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "10.96.0.1"));
    source.put("a.yaml", &service("web", "127.0.0.1"));
    assert_eq!(source.cluster_ip("web"), None);
    assert_eq!(source.changed(), ["service shop/web"]);
}

#[test]
fn the_first_file_in_name_order_wins_whichever_came_first() {
    let mut source = Source::default();
    let shadowed = "b.yaml: service shop/web: stands in a.yaml too, which is used";
    source.put("b.yaml", &service("web", "10.96.0.2"));
    source.put("a.yaml", &service("web", "10.96.0.1"));
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
    assert_eq!(source.appeared(), [shadowed]);
    source.put("b.yaml", &service("web", "10.96.0.3"));
    assert_eq!(source.changed(), Vec::<String>::new());
    assert_eq!(source.outcome.update, Update::default());
    source.remove("a.yaml");
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.3"));
    assert_eq!(source.healed(), [shadowed]);
}

#[test]
fn a_third_holder_moves_up_with_the_second() {
    let mut source = Source::default();
    for (file, address) in
        [("a.yaml", "10.96.0.1"), ("b.yaml", "10.96.0.2"), ("c.yaml", "10.96.0.3")]
    {
        source.put(file, &service("web", address));
    }
    source.remove("a.yaml");
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.2"));
    assert_eq!(
        source.appeared(),
        ["c.yaml: service shop/web: stands in b.yaml too, which is used"]
    );
    assert_eq!(
        source.healed(),
        [
            "b.yaml: service shop/web: stands in a.yaml too, which is used",
            "c.yaml: service shop/web: stands in a.yaml too, which is used",
        ]
    );
}

#[test]
fn an_object_that_stands_twice_in_a_file_is_taken_once() {
    let mut source = Source::default();
    source.put("a.yaml", &(service("web", "10.96.0.1") + &service("web", "10.96.0.2")));
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
    assert_eq!(source.appeared(), ["a.yaml: service shop/web: stands twice; the first is used"]);
}

#[test]
fn renaming_a_file_changes_nothing() {
    let mut source = Source::default();
    let content = service("web", "10.96.0.1");
    source.put("b.yaml", &content);
    for (from, to) in [("b.yaml", "a.yaml"), ("a.yaml", "c.yaml")] {
        let edits =
            vec![(from.into(), Edit::Gone), (to.into(), Edit::Content(content.clone().into()))];
        source.apply(edits).assert_quiet();
    }
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
}

#[test]
fn a_service_deleted_and_recreated_with_its_address_is_followed() {
    let mut source = Source::default();
    source.put("web.yaml", &service("web", "10.96.0.1"));
    source.remove("web.yaml");
    assert_eq!(source.delta.services.len(), 1);
    assert_eq!(source.cluster_ip("web"), None);
    source.put("web.yaml", &service("web", "10.96.0.1"));
    assert_eq!(source.delta.services.len(), 1);
    assert_eq!(source.cluster_ip("web").as_deref(), Some("10.96.0.1"));
}

#[test]
fn a_service_replaced_by_another_with_its_address_is_two_changes_at_once() {
    let mut source = Source::default();
    source.put("a.yaml", &service("web", "10.96.0.1"));
    source.put("a.yaml", &service("shop-front", "10.96.0.1"));
    assert_eq!(source.changed(), ["service shop/shop-front", "service shop/web"]);
    assert_eq!(source.cluster_ip("web"), None);
    assert_eq!(source.cluster_ip("shop-front").as_deref(), Some("10.96.0.1"));
}

#[test]
fn ignored_kinds_are_counted_over_all_files() {
    let mut source = Source::default();
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    source.put("a.yaml", &deployment.repeat(2));
    source.put("b.yaml", &(deployment.to_owned() + "---\napiVersion: v1\nkind: Secret\n"));
    let expected = [("apps/v1 Deployment".to_owned(), 3), ("v1 Secret".to_owned(), 1)];
    assert_eq!(source.manifests.ignored(), &expected.into());
    source.put("a.yaml", deployment).remove("b.yaml");
    assert_eq!(source.manifests.ignored(), &[("apps/v1 Deployment".to_owned(), 1)].into());
}
