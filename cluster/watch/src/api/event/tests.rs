use std::time::{Duration, UNIX_EPOCH};

use podway_cluster_model::name::ServiceName;

use super::*;

fn decoded(kind: ObjectKind, line: &str) -> Event {
    event(kind, line.as_bytes()).unwrap().unwrap()
}

fn key(kind: ObjectKind, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::named(kind, namespace, name).unwrap()
}

#[test]
fn an_object_is_converted_with_its_version() {
    let event = decoded(
        ObjectKind::Namespace,
        r#"{"type":"ADDED","object":{"metadata":{"name":"shop","resourceVersion":"7"}}}"#,
    );
    let Event::Object { entry, version } = event else { panic!("{event:?}") };
    assert_eq!(version, "7");
    assert!(matches!(&entry.change, Some(Change::Namespace(name, _)) if name.as_str() == "shop"));
    assert_eq!(entry.key, Some(key(ObjectKind::Namespace, "", "shop")));
}

#[test]
fn a_deleted_object_is_its_name_alone() {
    let event = decoded(
        ObjectKind::Service,
        r#"{"type":"DELETED","object":{"metadata":{"name":"web","namespace":"shop","resourceVersion":"8"},"spec":{"clusterIP":"x"}}}"#,
    );
    let Event::Object { entry, .. } = event else { panic!("{event:?}") };
    assert_eq!(entry.key, Some(ObjectKey::Service(ServiceName::new("shop", "web").unwrap())));
    assert_eq!((entry.change, entry.rejections.len()), (None, 0));
}

#[test]
fn an_object_that_cannot_be_used_keeps_its_name() {
    let event = decoded(
        ObjectKind::Service,
        r#"{"type":"MODIFIED","object":{"metadata":{"name":"web","namespace":"shop","resourceVersion":"8"},"spec":7}}"#,
    );
    let Event::Object { entry, .. } = event else { panic!("{event:?}") };
    assert_eq!(entry.key, Some(key(ObjectKind::Service, "shop", "web")));
    assert_eq!(entry.change, None);
    assert_eq!(entry.rejections[0].to_string(), "service shop/web: spec: 7 is not a mapping");
}

#[test]
fn bookmarks_say_whether_they_end_the_list() {
    for (annotations, ends_list) in [
        ("{}", false),
        (r#"{"k8s.io/initial-events-end":"true"}"#, true),
        (r#"{"k8s.io/initial-events-end":"false"}"#, false),
    ] {
        let line = format!(
            r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"9","annotations":{annotations}}}}}}}"#
        );
        let expected = Event::Bookmark { version: "9".to_owned(), ends_list };
        assert_eq!(decoded(ObjectKind::Pod, &line), expected, "{annotations}");
    }
}

#[test]
fn an_error_event_is_a_refusal() {
    let event = decoded(
        ObjectKind::Pod,
        r#"{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#,
    );
    let Event::Failure(refusal) = event else { panic!("{event:?}") };
    assert_eq!(refusal.to_string(), "the API server answers 410 Expired: too old");
    assert!(refusal.is_expired());
}

#[test]
fn what_is_no_event_is_malformed_and_an_unknown_type_is_passed_over() {
    for line in ["", "{", "[]", "7", "{}", r#"{"type":"ADDED"}"#, r#"{"type":"ADDED","object":{}}"#]
    {
        assert!(event(ObjectKind::Pod, line.as_bytes()).is_err(), "{line}");
    }
    let unknown = r#"{"type":"RENAMED","object":{}}"#;
    assert_eq!(event(ObjectKind::Pod, unknown.as_bytes()).unwrap(), None);
}

#[test]
fn pages_give_their_objects_a_kind_and_say_what_follows() {
    let text = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"5","continue":"abc"},
        "items":[{"metadata":{"name":"node-1"}},{"metadata":{"name":"node-2"}}]}"#;
    let read = page(ObjectKind::Node, text.as_bytes()).unwrap();
    assert_eq!((read.version.as_str(), read.next.as_deref()), ("5", Some("abc")));
    let keys: Vec<_> = read.entries.iter().map(|entry| entry.key.clone().unwrap()).collect();
    assert_eq!(keys, [key(ObjectKind::Node, "", "node-1"), key(ObjectKind::Node, "", "node-2")]);
    let last = r#"{"metadata":{"resourceVersion":"5","continue":""},"items":null}"#;
    let read = page(ObjectKind::Node, last.as_bytes()).unwrap();
    assert_eq!((read.entries.len(), read.next), (0, None));
    for malformed in ["[]", "{}", r#"{"metadata":{"resourceVersion":"5"},"items":{}}"#] {
        assert!(page(ObjectKind::Node, malformed.as_bytes()).is_err(), "{malformed}");
    }
}

#[test]
fn slices_say_what_they_were_written_for() {
    let entry = |trigger: &str, family: &str| {
        let line = format!(
            r#"{{"type":"ADDED","object":{{"metadata":{{"name":"a","namespace":"shop","resourceVersion":"1",
            "labels":{{"kubernetes.io/service-name":"web"}},
            "annotations":{{"endpoints.kubernetes.io/last-change-trigger-time":"{trigger}"}}}},
            "addressType":"{family}","endpoints":[],"ports":[]}}}}"#
        );
        let event = decoded(ObjectKind::EndpointSlice, &line);
        let Event::Object { entry, .. } = event else { panic!("{event:?}") };
        entry
    };
    let trigger = entry("1970-01-01T00:00:10Z", "IPv6").trigger;
    let at = UNIX_EPOCH + Duration::from_secs(10);
    assert_eq!(trigger, Some(Trigger { family: SliceFamily::Ipv6, at }));
    assert_eq!(entry("yesterday", "IPv4").trigger, None);
}

#[test]
fn refusals_are_read_from_a_status_or_from_the_code_alone() {
    let status = br#"{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}"#;
    assert_eq!(refusal(403, status).to_string(), "the API server answers 403 Forbidden: no");
    let text = refusal(502, b"<html>").to_string();
    assert_eq!(text, "the API server answers 502: no reason given");
}
