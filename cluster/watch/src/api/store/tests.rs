use podway_cluster_model::arbitrary;
use podway_cluster_model::label::Labels;
use podway_cluster_model::name::{Namespace, NodeName};
use podway_cluster_model::node::{Eligibility, Node};
use proptest::prelude::*;

use super::*;
use crate::rejection::{Reason, Rejection};

fn entry(change: Change) -> Entry {
    let key = ObjectKey::of(&change);
    let described = key.to_string();
    let change = (key.clone().gone() != change).then_some(change);
    Entry { key: Some(key), described, change, rejections: Vec::new(), trigger: None }
}

fn kind(change: &Change) -> ObjectKind {
    match change {
        Change::Service(_) | Change::ServiceGone(_) => ObjectKind::Service,
        Change::Slice(_) | Change::SliceGone(_) => ObjectKind::EndpointSlice,
        Change::Import(_) | Change::ImportGone(_) => ObjectKind::Import,
        Change::Namespace(..) | Change::NamespaceGone(_) => ObjectKind::Namespace,
        Change::Node(_) | Change::NodeGone(_) => ObjectKind::Node,
        Change::Pod(_) | Change::PodGone(_) => ObjectKind::Pod,
        Change::ServiceCidr(_) | Change::ServiceCidrGone(_) => ObjectKind::ServiceCidr,
    }
}

fn namespace(name: &str) -> Change {
    Change::Namespace(Namespace::new(name).unwrap(), Labels::default())
}

fn list_begins() -> Input {
    Input::ListBegins { kept: Extras::default() }
}

fn object(change: Change) -> (ObjectKind, Input) {
    (kind(&change), Input::Object(Box::new(entry(change))))
}

/// A list of every kind with these objects.
fn lists(changes: &[Change]) -> Vec<(ObjectKind, Input)> {
    let mut inputs = Vec::new();
    for of in ObjectKind::ALL {
        inputs.push((of, list_begins()));
        inputs.extend(changes.iter().filter(|change| kind(change) == of).cloned().map(object));
        inputs.push((of, Input::ListEnds));
    }
    inputs
}

fn same(left: &Snapshot, right: &Snapshot) -> bool {
    left.services == right.services
        && left.namespaces == right.namespaces
        && left.nodes == right.nodes
        && left.pods == right.pods
        && left.service_cidrs == right.service_cidrs
}

#[test]
fn the_view_is_complete_when_every_kind_was_listed() {
    let mut store = Store::default();
    let (last, inputs) = {
        let mut inputs = lists(&[namespace("shop")]);
        (inputs.pop().unwrap(), inputs)
    };
    for input in inputs {
        assert!(store.apply([input]).complete.is_none());
    }
    assert_eq!(store.awaited(), [ObjectKind::ServiceCidr]);
    let step = store.apply([last]);
    assert_eq!(step.complete.unwrap().namespaces.size(), 1);
    assert_eq!(step.delta.namespaces.len(), 1, "what came before is in the delta");
}

#[test]
fn a_kind_that_is_not_shown_is_not_waited_for() {
    let mut store = Store::default();
    let mut inputs = lists(&[]);
    inputs.truncate(inputs.len() - 2);
    let reason = "403".to_owned();
    inputs.push((ObjectKind::ServiceCidr, Input::Unavailable { reason, absent: false }));
    let step = store.apply(inputs);
    assert!(step.complete.is_some());
    let [problem] = Vec::from_iter(step.update.appeared).try_into().unwrap();
    assert_eq!(problem.to_string(), "no object of kind servicecidr is shown: 403");
    let shown = [list_begins(), Input::ListEnds].map(|input| (ObjectKind::ServiceCidr, input));
    assert_eq!(Vec::from_iter(store.apply(shown).update.healed), [problem]);
}

#[test]
fn what_a_later_list_lacks_is_gone_when_it_ends_and_not_before() {
    let mut store = Store::default();
    store.apply(lists(&[namespace("shop"), namespace("old")]));
    let kind = ObjectKind::Namespace;
    let step = store.apply([(kind, list_begins()), object(namespace("shop"))]);
    assert_eq!(step.complete.unwrap().namespaces.size(), 2);
    let step = store.apply([(kind, Input::ListEnds)]);
    assert_eq!(step.complete.unwrap().namespaces.size(), 1);
    assert_eq!(step.delta.namespaces.len(), 1);
}

#[test]
fn what_an_earlier_run_knew_counts_until_the_lists_say_otherwise() {
    let node = |zone: &str| {
        Change::Node(Node {
            name: NodeName::new("node-1").unwrap(),
            addresses: Vec::new(),
            pod_cidrs: Vec::new(),
            zone: Some(Arc::from(zone)),
            eligibility: Eligibility::Eligible,
        })
    };
    let (mut store, snapshot) = Store::restored(
        (LabelKeys::default(), Imports::Unknown),
        [namespace("shop"), namespace("old"), node("zone-a")],
    );
    assert_eq!(snapshot.namespaces.size(), 2);
    assert!(store.apply([object(node("zone-b"))]).complete.is_none());
    let step = store.apply(lists(&[namespace("shop"), node("zone-b")]));
    assert_eq!(step.complete.unwrap().namespaces.size(), 1);
    assert_eq!((step.delta.namespaces.len(), step.delta.nodes.len()), (1, 1));
}

#[test]
fn labels_are_known_once_every_kind_that_has_them_was_listed_with_them() {
    let keys = |texts: &[&str]| -> LabelKeys { texts.iter().map(|text| (*text).into()).collect() };
    let team = || [("team".into(), "dns".into())].into_iter().collect::<Labels>();
    let name = Namespace::new("shop").unwrap();
    let mut store = Store::default();
    let step = store.apply(lists(&[namespace("shop")]));
    assert_eq!(step.complete.unwrap().label_keys, LabelKeys::default());

    let mut relist = |kind, changes: &[Change]| {
        let kept = Extras { labels: keys(&["team", "app"]), imports: false };
        let begins = Input::ListBegins { kept };
        let objects = changes.iter().cloned().map(object);
        let inputs = [(kind, begins)].into_iter().chain(objects).chain([(kind, Input::ListEnds)]);
        let step = store.apply(inputs);
        (step.complete.unwrap(), step.delta)
    };
    let (snapshot, delta) =
        relist(ObjectKind::Namespace, &[Change::Namespace(name.clone(), team())]);
    assert_eq!(snapshot.namespaces[&name], team());
    assert_eq!(snapshot.label_keys, LabelKeys::default(), "Services and Pods are still to come");
    assert_eq!(delta.namespaces, [name].into());
    relist(ObjectKind::Service, &[]);
    let (snapshot, delta) = relist(ObjectKind::Pod, &[]);
    assert_eq!(snapshot.label_keys, keys(&["app", "team"]));
    assert!(delta.label_keys, "readers that wait for the labels are told");
}

#[test]
fn pods_that_are_not_shown_keep_no_labels_from_being_known() {
    let mut store = Store::default();
    let mut inputs = lists(&[]);
    let labels: LabelKeys = ["team".into()].into_iter().collect();
    inputs.retain(|(kind, _)| *kind != ObjectKind::Pod);
    for (_, input) in &mut inputs {
        if *input == list_begins() {
            *input = Input::ListBegins { kept: Extras { labels: labels.clone(), imports: false } };
        }
    }
    inputs.push((ObjectKind::Pod, Input::Unavailable { reason: "403".to_owned(), absent: false }));
    assert_eq!(store.apply(inputs).complete.unwrap().label_keys, labels);
}

#[test]
fn problems_go_with_their_objects() {
    let mut store = Store::default();
    store.apply(lists(&[]));
    let rejection = Rejection {
        kind: ObjectKind::Service,
        object: "shop/web".to_owned(),
        field: "spec".to_owned(),
        reason: Reason::Missing,
    };
    let mut bad = entry(namespace("x"));
    (bad.key, bad.change) = (ObjectKey::named(ObjectKind::Service, "shop", "web"), None);
    bad.described = "shop/web".to_owned();
    bad.rejections = vec![rejection];
    let input = |entry: &Entry| (ObjectKind::Service, Input::Object(Box::new(entry.clone())));
    assert_eq!(store.apply([input(&bad)]).update.appeared.len(), 1);
    assert_eq!(store.apply([input(&bad)]).update, Update::default());
    // A list without the object.
    assert_eq!(store.apply(lists(&[])).update.healed.len(), 1);
    assert_eq!(store.apply([input(&bad)]).update.appeared.len(), 1);
    bad.rejections.clear();
    assert_eq!(store.apply([input(&bad)]).update.healed.len(), 1);
}

proptest! {
    #[test]
    fn lists_and_changes_in_any_batches_end_where_the_builder_does(
        listed in arbitrary::cluster(),
        changed in arbitrary::changes(30),
        batch in 1..20_usize,
        relisted in any::<bool>(),
    ) {
        let mut builder = Builder::new();
        builder.apply(listed.clone());
        let expected = builder.apply(changed.clone()).0;
        let mut inputs = lists(&listed);
        inputs.extend(changed.into_iter().map(object));
        if relisted {
            let all = lists(&[]).into_iter().filter(|(_, input)| *input == list_begins());
            inputs.splice(0..0, all);
        }
        let mut store = Store::default();
        let mut last = None;
        let mut merged = Delta::default();
        while !inputs.is_empty() {
            let rest = inputs.split_off(batch.min(inputs.len()));
            let step = store.apply(std::mem::replace(&mut inputs, rest));
            merged.merge(step.delta);
            last = step.complete.or(last);
        }
        let last = last.unwrap();
        prop_assert!(same(&last, &expected));
        let all = Delta::everything(&expected);
        prop_assert!(all.services.is_subset(&merged.services));
        prop_assert!(all.namespaces.is_subset(&merged.namespaces));
    }
}
