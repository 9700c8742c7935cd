//! The lab without the daemon under test: what it promises to those who test with it.

use podway_tests_lab::{Family, Lab, Place};

const ECHO: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 4
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        ports:
        - {containerPort: 80}
        - {containerPort: 53, protocol: UDP}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: node-1, containers: [{name: client}]}
";

#[test]
fn pods_reach_each_other_on_both_nodes_and_families() {
    let lab = Lab::builder().without_podway().manifests(ECHO).start().unwrap();
    let client = lab.pod_addresses("client").unwrap();
    let pods = lab.pods("echo-").unwrap();
    assert_eq!(pods.len(), 4);
    for pod in pods {
        for family in [Family::V4, Family::V6] {
            let address = pod.addresses.unwrap().of(family);
            let url = match family {
                Family::V4 => format!("http://{address}/"),
                Family::V6 => format!("http://[{address}]/"),
            };
            let answers = lab.ask(&Place::pod("client"), &url, 2).unwrap();
            for answer in &answers.0 {
                assert_eq!(answer.pod, pod.name);
                assert_eq!(answer.client.ip(), client.of(family));
            }
            lab.ask(&Place::Outside, &url, 1).unwrap();
            lab.ask(&Place::node(2), &url, 1).unwrap();
        }
    }
}
