use super::*;
use crate::cluster::{Action, PodEvent};

const NOW: &str = "2026-01-01T00:00:00Z";

fn pod(name: &str, uid: &str, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": uid, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "web"}]},
    });
    for (path, value) in more.as_object().into_iter().flatten() {
        *object.pointer_mut(path).expect("the path leads to an object") = value.clone();
    }
    object
}

fn name() -> ObjectName {
    ObjectName::new("shop", "web")
}

#[test]
fn an_observed_pod_is_placed_started_and_reported() {
    let mut cluster = Cluster::observed(2);
    cluster.observe_pod(pod("web", "u1", json!({})), NOW).expect("pod is taken");
    assert_eq!(cluster.reconcile(NOW), [Action::Start(name())]);
    let status = |cluster: &Cluster| cluster.pod_status(cluster.pod(&name()).expect("pod"));
    assert_eq!(status(&cluster)["phase"], "Pending");
    cluster.pod_event(&name(), PodEvent::Started);
    cluster.pod_event(&name(), PodEvent::Ready(true));
    let status = status(&cluster);
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], status["podIPs"][0]["ip"]);
    assert_eq!(status["hostIP"], status["hostIPs"][0]["ip"]);
    assert_eq!(status["conditions"][1], json!({"type": "Ready", "status": "True"}));
}

#[test]
fn a_pod_of_a_daemon_set_goes_to_the_node_that_its_controller_pinned() {
    let mut cluster = Cluster::observed(2);
    let affinity = json!({"containers": [], "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]},
        ]},
    }}});
    cluster.observe_pod(pod("web", "u1", json!({"/spec": affinity})), NOW).expect("pod is taken");
    assert_eq!(cluster.pod(&name()).and_then(|pod| pod.node), Some(2));
}

#[test]
fn a_deleted_pod_terminates_once_within_the_grace_that_was_asked_for() {
    let mut cluster = Cluster::observed(1);
    cluster.observe_pod(pod("web", "u1", json!({})), NOW).expect("pod is taken");
    drop(cluster.reconcile(NOW));
    let metadata = json!({
        "name": "web", "namespace": "shop", "uid": "u1",
        "deletionTimestamp": NOW, "deletionGracePeriodSeconds": 7,
    });
    for _ in 0..2 {
        let object = pod("web", "u1", json!({"/metadata": metadata}));
        cluster.observe_pod(object, NOW).expect("pod is taken");
    }
    assert_eq!(cluster.reconcile(NOW), [Action::Terminate(name())]);
    assert_eq!(cluster.pod(&name()).map(|pod| pod.spec.grace_seconds()), Some(7));
}

#[test]
fn what_is_no_longer_there_goes_and_a_successor_is_another() {
    let mut cluster = Cluster::observed(1);
    cluster.observe_pod(pod("web", "u1", json!({})), NOW).expect("pod is taken");
    drop(cluster.reconcile(NOW));
    cluster.lose_pod(&name(), "u0", NOW);
    assert!(cluster.reconcile(NOW).is_empty());
    cluster.keep_pods(&BTreeSet::from(["u1".to_owned()]), NOW);
    assert!(cluster.reconcile(NOW).is_empty());
    // One of the same name waits for the end of the first.
    let uid = |cluster: &Cluster| cluster.pod(&name()).map(|pod| pod.uid.clone());
    cluster.observe_pod(pod("web", "u2", json!({})), NOW).expect("pod is taken");
    assert_eq!(cluster.take_successors(NOW), []);
    assert_eq!(uid(&cluster).as_deref(), Some("u1"));
    cluster.keep_pods(&BTreeSet::from(["u2".to_owned()]), NOW);
    assert_eq!(cluster.reconcile(NOW), [Action::Terminate(name())]);
    cluster.pod_event(&name(), PodEvent::Gone);
    // What the API server had still to say of the first is no news.
    cluster.observe_pod(pod("web", "u1", json!({})), NOW).expect("pod is taken");
    assert_eq!(uid(&cluster), None);
    assert_eq!(cluster.take_successors(NOW), []);
    assert_eq!(uid(&cluster).as_deref(), Some("u2"));
}

#[test]
fn a_load_balancer_gets_an_address_that_is_reported() {
    let mut cluster = Cluster::observed(1);
    let service = |kind: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "type": kind, "clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30777}],
            },
        })
    };
    cluster.observe_service(service("LoadBalancer")).expect("Service is taken");
    let [(found, status)] = &cluster.service_statuses()[..] else { panic!("one status expected") };
    assert_eq!(*found, name());
    assert!(status["loadBalancer"]["ingress"][0]["ip"].is_string(), "{status}");
    cluster.observe_service(service("NodePort")).expect("Service is taken");
    assert!(cluster.service_statuses().is_empty());
}
