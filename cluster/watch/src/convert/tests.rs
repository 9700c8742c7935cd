use crate::document::{Format, parse};

use super::*;

mod import;
mod node;
mod service;
mod service_cidr;
mod slice;

/// Converts the one object in `yaml`; gives what it became and what was rejected, as text.
fn converted(yaml: &str) -> (Option<Change>, Vec<String>) {
    let mut conversions = parse(Format::Yaml, yaml.as_bytes()).unwrap();
    assert_eq!(conversions.len(), 1, "one object in:\n{yaml}");
    match conversions.remove(0) {
        Conversion::Read { change, rejections } => {
            (change, rejections.iter().map(ToString::to_string).collect())
        }
        Conversion::Ignored { kind } => panic!("{kind} was ignored:\n{yaml}"),
    }
}

/// Shifts `yaml` to the right.
fn indented(yaml: &str, columns: usize) -> String {
    let margin = " ".repeat(columns);
    yaml.lines().map(|line| format!("{margin}{line}\n")).collect()
}

#[test]
fn kinds_of_other_groups_and_versions_are_ignored() {
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("serving.knative.dev/v1", "Service"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice"),
        ("v1", "Endpoints"),
        ("v2", "Service"),
    ] {
        let yaml = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n");
        let ignored = Conversion::Ignored { kind: format!("{version} {kind}") };
        assert_eq!(parse(Format::Yaml, yaml.as_bytes()).unwrap(), [ignored]);
    }
}

#[test]
fn an_object_without_kind_is_ignored() {
    let ignored = Conversion::Ignored { kind: "no apiVersion no kind".to_owned() };
    assert_eq!(parse(Format::Yaml, b"metadata: {name: x}\n").unwrap(), [ignored]);
}

#[test]
fn a_namespace_is_its_name_and_labels() {
    let (change, rejections) =
        converted("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
    let named = |labels: &[(&str, &str)]| {
        let own = [("kubernetes.io/metadata.name", "shop")];
        let labels = labels.iter().chain(&own);
        let labels = labels.map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Some(Change::Namespace(Namespace::new("shop").unwrap(), labels))
    };
    assert_eq!(change, named(&[]), "the API server adds the name to the labels");
    assert!(rejections.is_empty());
    let (change, rejections) = converted(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: dns, old: 1, \
         none: null}}\n",
    );
    assert_eq!(change, named(&[("team", "dns")]));
    let expected = "namespace shop: metadata.labels[old]: 1 is not a text";
    assert_eq!(rejections, [expected]);
}

#[test]
fn an_object_without_a_usable_name_is_rejected() {
    let rejected = |yaml: &str| {
        let (change, rejections) = converted(yaml);
        assert_eq!(change, None, "{yaml}");
        rejections
    };
    assert_eq!(
        rejected("apiVersion: v1\nkind: Namespace\n"),
        ["namespace (no name): metadata: is missing"]
    );
    assert_eq!(
        rejected("apiVersion: v1\nkind: Node\nmetadata: {}\n"),
        ["node (no name): metadata.name: is missing"]
    );
    assert_eq!(
        rejected("apiVersion: v1\nkind: Pod\nmetadata: {name: [a]}\n"),
        ["pod default/(no name): metadata.name: a list is not a text"]
    );
    assert_eq!(
        rejected(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: Shop}\nspec: {clusterIP: None}\n"
        ),
        [concat!(
            "service Shop/web: metadata.namespace: \"Shop\" must be lower-case letters, digits ",
            "and '-', starting and ending with a letter or digit"
        )]
    );
}
