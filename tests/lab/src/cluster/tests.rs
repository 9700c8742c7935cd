//! Manifests in, pods and files out.

use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

/// A cluster of two nodes without daemon, with the objects of `text`, after its controllers ran.
fn cluster(text: &str) -> Cluster {
    let mut cluster = Cluster::new(2, false).unwrap();
    assert_eq!(cluster.apply(text).unwrap().rejected, Vec::<String>::new());
    settle(&mut cluster);
    cluster
}

/// Plays a kubelet that does everything at once.
fn settle(cluster: &mut Cluster) {
    loop {
        let actions = cluster.reconcile(NOW);
        if actions.is_empty() {
            return;
        }
        for action in actions {
            match action {
                Action::Start(name) => {
                    cluster.pod_event(&name, PodEvent::Started);
                    cluster.pod_event(&name, PodEvent::Ready(true));
                }
                Action::Terminate(name) => cluster.pod_event(&name, PodEvent::Gone),
            }
        }
    }
}

/// Names of the pods of namespace `default`.
fn pods(cluster: &Cluster) -> Vec<String> {
    let own = cluster.pods().filter(|pod| pod.name.namespace == "default");
    own.map(|pod| pod.name.name.clone()).collect()
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// The slices of `service` in namespace `default`.
fn slices(cluster: &Cluster, service: &str) -> Vec<Value> {
    let files = cluster.files();
    let file = files.get(&format!("endpointslices_default_{service}.json"));
    file.map(|list| list["items"].as_array().unwrap().clone()).unwrap_or_default()
}

const STATEFUL: &str = "
kind: StatefulSet
metadata: {name: myapp}
spec:
  serviceName: myapp-svc
  replicas: 3
  selector: {matchLabels: {app: myapp}}
  template:
    metadata: {labels: {app: myapp}}
    spec: {containers: [{name: a, ports: [{containerPort: 80, name: web}]}]}
---
kind: Service
metadata: {name: myapp-svc}
spec: {clusterIP: None, selector: {app: myapp}, ports: [{name: web, port: 80, targetPort: web}]}
---
kind: Service
metadata: {name: other}
spec: {selector: {app: myapp}, ports: [{port: 80, targetPort: web}]}
";

#[test]
fn a_stateful_set_pod_has_its_host_name_in_the_slice_of_its_own_service_only() {
    let cluster = cluster(STATEFUL);
    assert_eq!(pods(&cluster), ["myapp-0", "myapp-1", "myapp-2"]);
    let slices_of = |service| {
        let slices = slices(&cluster, service);
        assert_eq!(slices.len(), 1);
        slices.into_iter().next().unwrap()
    };
    let own = slices_of("myapp-svc");
    assert_eq!(own["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let endpoint = &own["endpoints"][1];
    assert_eq!(endpoint["hostname"], "myapp-1");
    assert_eq!(endpoint["targetRef"]["name"], "myapp-1");
    assert_eq!(endpoint["addresses"], json!(["10.244.2.2"]));
    assert_eq!(endpoint["nodeName"], "node-2");
    assert_eq!(endpoint["zone"], "zone-b");
    let all = json!({"ready": true, "serving": true, "terminating": false});
    assert_eq!(endpoint["conditions"], all);
    let other = slices_of("other");
    assert!(other["endpoints"][1]["hostname"].is_null());
    assert_eq!(other["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
}

#[test]
fn a_deleted_stateful_set_pod_comes_back_under_its_name_with_another_address() {
    let mut cluster = cluster(STATEFUL);
    let before = cluster.pod(&name("myapp-1")).unwrap().clone();
    cluster.remove(&Kind::Pod, &name("myapp-1"), NOW).unwrap();
    assert_eq!(cluster.reconcile(NOW), [Action::Terminate(name("myapp-1"))]);
    let ending = &slices(&cluster, "myapp-svc")[0]["endpoints"][1];
    let conditions = json!({"ready": false, "serving": true, "terminating": true});
    assert_eq!(ending["conditions"], conditions);
    let file = &cluster.files()["pod_default_myapp-1.json"];
    assert_eq!(file["metadata"]["deletionTimestamp"], NOW);

    cluster.pod_event(&name("myapp-1"), PodEvent::Gone);
    settle(&mut cluster);
    let after = cluster.pod(&name("myapp-1")).unwrap();
    assert_ne!(after.addresses, before.addresses);
    assert_ne!(after.uid, before.uid);
}

#[test]
fn scaling_adds_and_removes_from_the_top() {
    let mut cluster = cluster(STATEFUL);
    cluster.scale("sts", &name("myapp"), 4).unwrap();
    settle(&mut cluster);
    assert_eq!(pods(&cluster), ["myapp-0", "myapp-1", "myapp-2", "myapp-3"]);
    cluster.scale("StatefulSet", &name("myapp"), 2).unwrap();
    settle(&mut cluster);
    assert_eq!(pods(&cluster), ["myapp-0", "myapp-1"]);
    assert!(cluster.scale("deployment", &name("myapp"), 2).is_err());
}

const DEPLOYMENT: &str = "
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, ports: [{containerPort: 8080, name: http}]}]}
---
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
";

#[test]
fn pods_spread_over_nodes_and_their_names_tell_their_owner() {
    let cluster = cluster(DEPLOYMENT);
    let on =
        |node| cluster.pods().filter(|pod| pod.owner.is_some() && pod.node == Some(node)).count();
    assert_eq!((on(1), on(2)), (2, 2));
    for pod in cluster.pods().filter(|pod| pod.owner.is_some()) {
        let parts: Vec<_> = pod.name.name.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("web", 10, 5));
        assert_eq!(pod.labels["pod-template-hash"], parts[1]);
    }
}

#[test]
fn pods_that_give_a_port_name_different_numbers_land_in_different_slices() {
    let mut cluster = cluster(DEPLOYMENT);
    assert_eq!(slices(&cluster, "web").len(), 2, "one a family");
    cluster
        .apply(
            "{kind: Pod, metadata: {name: odd, labels: {app: web}}, spec: {containers: \
             [{name: a, ports: [{containerPort: 9090, name: http}]}]}}",
        )
        .unwrap();
    settle(&mut cluster);
    let slices = slices(&cluster, "web");
    let rows: Vec<_> = slices
        .iter()
        .map(|slice| {
            let count = slice["endpoints"].as_array().unwrap().len();
            (slice["addressType"].as_str().unwrap(), slice["ports"][0]["port"].clone(), count)
        })
        .collect();
    let expected = [
        ("IPv4", json!(8080), 4),
        ("IPv4", json!(9090), 1),
        ("IPv6", json!(8080), 4),
        ("IPv6", json!(9090), 1),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn an_unready_pod_is_not_ready_unless_the_service_wants_it_published() {
    let mut cluster = cluster(DEPLOYMENT);
    cluster
        .apply(
            "{kind: Service, metadata: {name: all}, spec: {clusterIP: None, selector: \
             {app: web}, publishNotReadyAddresses: true}}",
        )
        .unwrap();
    let first = cluster.pods().find(|pod| pod.owner.is_some()).unwrap().name.clone();
    cluster.pod_event(&first, PodEvent::Ready(false));
    let condition = |service: &str| {
        let endpoints = slices(&cluster, service)[0]["endpoints"].as_array().unwrap().clone();
        let own = endpoints.into_iter().find(|it| it["targetRef"]["name"] == first.name).unwrap();
        (own["conditions"]["ready"].clone(), own["conditions"]["serving"].clone())
    };
    assert_eq!(condition("web"), (json!(false), json!(false)));
    assert_eq!(condition("all"), (json!(true), json!(false)));
}

#[test]
fn a_slice_holds_a_hundred_endpoints_and_addresses_do_not_repeat() {
    let cluster = cluster(&DEPLOYMENT.replace("replicas: 4", "replicas: 250"));
    let counts: Vec<_> = slices(&cluster, "web")
        .iter()
        .map(|slice| slice["endpoints"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [100, 100, 50, 100, 100, 50]);
    let addresses: BTreeSet<_> = cluster.pods().filter_map(|pod| Some(pod.addresses?.v4)).collect();
    assert_eq!(addresses.len(), 251, "the API server's included");
}

#[test]
fn deleting_a_workload_or_a_namespace_ends_its_pods() {
    let mut cluster = cluster(DEPLOYMENT);
    let deleted = cluster.delete(DEPLOYMENT, NOW).unwrap();
    assert_eq!(deleted.accepted, ["Deployment default/web", "Service default/web"]);
    settle(&mut cluster);
    assert_eq!(pods(&cluster), Vec::<String>::new());
    assert!(!cluster.files().contains_key("service_default_web.json"));

    cluster.apply("{kind: Pod, metadata: {name: a, namespace: shop}}").unwrap();
    assert!(cluster.files().contains_key("namespace_shop.json"));
    cluster.delete("{kind: Namespace, metadata: {name: shop}}", NOW).unwrap();
    settle(&mut cluster);
    assert!(!cluster.files().keys().any(|file| file.contains("shop")));
}

#[test]
fn node_selectors_are_honored_and_what_fits_nowhere_waits() {
    let mut cluster = cluster(
        "
kind: Pod
metadata: {name: second}
spec: {nodeSelector: {kubernetes.io/hostname: node-2}}
---
kind: Pod
metadata: {name: nowhere}
spec: {nodeName: k8s-node1}
---
kind: Pod
metadata: {name: host}
spec: {nodeName: node-2, hostNetwork: true}
",
    );
    assert_eq!(cluster.pod(&name("second")).unwrap().node, Some(2));
    assert_eq!(cluster.pod(&name("host")).unwrap().addresses, Some(crate::address::node(2)));
    let nowhere = cluster.pod(&name("nowhere")).unwrap();
    assert_eq!((nowhere.node, nowhere.phase, nowhere.notes.len()), (None, PodPhase::Pending, 1));
    cluster.remove(&Kind::Pod, &name("nowhere"), NOW).unwrap();
    assert!(cluster.pod(&name("nowhere")).is_none());
}

#[test]
fn one_bad_object_loses_nothing_else() {
    let mut cluster = Cluster::new(2, false).unwrap();
    let applied = cluster
        .apply(
            "
kind: Service
metadata: {name: bad}
spec: {clusterIP: 1.2.3.4}
---
kind: ConfigMap
metadata: {name: settings}
---
kind: Service
metadata: {name: good}
---
kind: Deployment
metadata: {name: odd}
spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}}}
",
        )
        .unwrap();
    assert_eq!(applied.accepted, ["Service default/good"]);
    assert_eq!(applied.ignored, ["ConfigMap default/settings"]);
    assert_eq!(applied.rejected.len(), 2, "{:?}", applied.rejected);
    assert!(applied.rejected[1].contains("spec.selector"));
}

#[test]
fn endpoints_of_the_user_are_mirrored_by_family_and_readiness() {
    let cluster = cluster(
        "
kind: Service
metadata: {name: database}
spec: {ports: [{port: 3306}]}
---
kind: Endpoints
metadata: {name: database}
subsets:
- addresses: [{ip: 192.168.77.200}, {ip: 'fd77::200'}]
  notReadyAddresses: [{ip: 192.168.77.201}]
  ports: [{port: 3306}]
",
    );
    let list = &cluster.files()["endpoints_default_database.json"]["items"];
    let endpoints: Vec<_> = list[0]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["addresses"][0].clone(), it["conditions"]["ready"].clone()))
        .collect();
    assert_eq!(
        endpoints,
        [(json!("192.168.77.200"), json!(true)), (json!("192.168.77.201"), json!(false))]
    );
    assert_eq!(list[1]["addressType"], "IPv6");
}

#[test]
fn a_fresh_cluster_has_its_nodes_dns_and_api_server() {
    let mut cluster = Cluster::new(2, true).unwrap();
    settle(&mut cluster);
    let files = cluster.files();
    assert_eq!(files["node_node-2.json"]["spec"]["podCIDRs"][0], "10.244.2.0/24");
    assert_eq!(files["service_default_kubernetes.json"]["spec"]["clusterIP"], "10.96.0.1");
    let dns = &files["service_kube-system_kube-dns.json"]["spec"];
    assert_eq!(dns["clusterIPs"], json!(["10.96.0.10", "fd00:10:96::a"]));
    let slices = &files["endpointslices_kube-system_kube-dns.json"]["items"];
    assert_eq!(slices[0]["endpoints"][0]["addresses"][0], "192.168.77.11");
    assert_eq!(slices[0]["endpoints"].as_array().unwrap().len(), 2);
}

#[test]
fn servers_listen_on_declared_ports_and_on_what_services_send_to() {
    let cluster = cluster(
        "
kind: Pod
metadata: {name: a, labels: {app: a}}
spec:
  containers:
  - name: a
    ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}, {containerPort: 9, protocol: SCTP}]
    readinessProbe: {tcpSocket: {port: 8081}}
---
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: x, port: 9000}, {name: y, port: 1, targetPort: http}]}
---
kind: Service
metadata: {name: b}
spec: {selector: {app: b}, ports: [{port: 9001}]}
",
    );
    let ports = cluster.ports(cluster.pod(&name("a")).unwrap());
    let tcp = |port| (Protocol::Tcp, port);
    let others = [(Protocol::Udp, 53), (Protocol::Sctp, 9)];
    let expected = BTreeSet::from_iter([tcp(80), tcp(8081), tcp(9000)].into_iter().chain(others));
    assert_eq!(ports, expected);
}
