use serde_json::json;

use super::*;
use crate::cluster::manifest;

fn apply(services: &mut BTreeMap<ObjectName, Service>, text: &str) -> Result<Value, ClusterError> {
    let manifest = manifest::parse(text).unwrap().remove(0).unwrap();
    let service = complete(&manifest, services)?;
    let published = service.published();
    services.insert(manifest.name, service);
    Ok(published)
}

fn service(spec: &str) -> String {
    format!("kind: Service\nmetadata: {{name: web}}\nspec: {spec}\n")
}

#[test]
fn a_bare_service_gets_the_defaults_of_the_api() {
    let mut services = BTreeMap::new();
    let published = apply(&mut services, &service("{ports: [{port: 80}]}")).unwrap();
    assert_eq!(published["metadata"]["namespace"], "default");
    let expected = json!({
        "type": "ClusterIP", "clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    });
    assert_eq!(published["spec"], expected);
}

#[test]
fn addresses_and_node_ports_survive_a_second_apply() {
    let mut services = BTreeMap::new();
    let text = service("{type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}");
    let first = apply(&mut services, &text).unwrap();
    assert_eq!(first["spec"]["clusterIPs"], json!(["10.96.1.1", "fd00:10:96::101"]));
    assert_eq!(first["spec"]["ports"][0]["nodePort"], 31000);
    let other = "kind: Service\nmetadata: {name: b}\nspec: {type: NodePort, ports: [{port: 80}]}";
    let other = apply(&mut services, other).unwrap();
    assert_eq!(other["spec"]["clusterIP"], "10.96.1.2");
    assert_eq!(other["spec"]["ports"][0]["nodePort"], 31001);
    assert_eq!(apply(&mut services, &text).unwrap(), first);
}

#[test]
fn families_follow_policy_and_order() {
    let rows = [
        ("{}", vec!["IPv4"]),
        ("{ipFamilies: [IPv6]}", vec!["IPv6"]),
        ("{ipFamilies: [IPv6], ipFamilyPolicy: PreferDualStack}", vec!["IPv6", "IPv4"]),
        ("{clusterIP: 'fd00:10:96::77'}", vec!["IPv6"]),
        ("{clusterIP: None, selector: {app: a}}", vec!["IPv4"]),
        ("{clusterIP: None}", vec!["IPv4", "IPv6"]),
    ];
    for (spec, families) in rows {
        let published = apply(&mut BTreeMap::new(), &service(spec)).unwrap();
        assert_eq!(published["spec"]["ipFamilies"], json!(families), "{spec}");
    }
}

#[test]
fn what_the_api_server_refuses_is_refused_by_field() {
    let taken = "kind: Service\nmetadata: {name: taken}\nspec: {type: NodePort, \
                 clusterIP: 10.96.0.7, ports: [{port: 80, nodePort: 30001}]}";
    let rows = [
        ("{type: Nodeport}", "spec.type"),
        ("{clusterIP: 10.97.0.1}", "spec.clusterIPs: 10.97.0.1 is not in the Service range"),
        ("{clusterIP: 10.96.0.7}", "belongs to Service default/taken"),
        ("{clusterIP: banana}", "is no IP address"),
        ("{type: NodePort, ports: [{port: 80, nodePort: 30001}]}", "belongs to Service"),
        ("{type: NodePort, ports: [{port: 80, nodePort: 80}]}", "is not in 30000..=32767"),
        ("{ports: [{port: 80, nodePort: 30002}]}", "only for node ports"),
        ("{ports: [{port: 80}, {port: 81}]}", "name: required"),
        ("{ports: [{name: a, port: 80}, {name: b, port: 80}]}", "80/TCP stands twice"),
        ("{ports: [{port: 0}]}", "spec.ports[0].port"),
        ("{ports: [{port: 99999}]}", "spec"),
    ];
    for (spec, reason) in rows {
        let mut services = BTreeMap::new();
        apply(&mut services, taken).unwrap();
        let error = apply(&mut services, &service(spec)).unwrap_err().to_string();
        assert!(error.starts_with("Service default/web: "), "{spec}: {error}");
        assert!(error.contains(reason), "{spec}: {error}");
    }
}

#[test]
fn a_load_balancer_gets_addresses_node_ports_and_a_health_check_port() {
    let text = service(
        "{type: LoadBalancer, externalTrafficPolicy: Local, ipFamilyPolicy: RequireDualStack, \
          ports: [{port: 443}]}",
    );
    let published = apply(&mut BTreeMap::new(), &text).unwrap();
    let ingress = &published["status"]["loadBalancer"]["ingress"];
    assert_eq!(ingress[0]["ip"], "192.168.79.1");
    assert_eq!(ingress[1]["ip"], "fd79::1");
    assert_eq!(published["spec"]["ports"][0]["nodePort"], 31000);
    assert_eq!(published["spec"]["healthCheckNodePort"], 31001);
}
