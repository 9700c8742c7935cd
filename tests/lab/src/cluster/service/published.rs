//! A Service as the API server returns it: the manifest with defaults and allocations filled in.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Service, ServiceKind};
use crate::address;

impl Service {
    /// The object as the API server would return it.
    pub(crate) fn published(&self) -> Value {
        let mut object = self.object.clone();
        object["apiVersion"] = json!("v1");
        object["metadata"]["namespace"] = json!(self.name.namespace);
        if !object["spec"].is_object() {
            object["spec"] = Value::Object(Map::new());
        }
        let spec = &mut object["spec"];
        spec["type"] = json!(self.kind.type_name());
        default(spec, "sessionAffinity", json!("None"));
        if spec["sessionAffinity"] == "ClientIP" {
            default(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
        self.publish_ports(spec);
        if self.kind == ServiceKind::ExternalName {
            return object;
        }
        let addresses: Vec<_> = if self.kind == ServiceKind::Headless {
            vec!["None".to_owned()]
        } else {
            self.cluster_ips.iter().map(IpAddr::to_string).collect()
        };
        spec["clusterIP"] = json!(addresses.first());
        spec["clusterIPs"] = json!(addresses);
        let families: Vec<_> = self.families.iter().map(|family| family.as_str()).collect();
        let policy = if families.len() > 1 { "RequireDualStack" } else { "SingleStack" };
        spec["ipFamilies"] = json!(families);
        default(spec, "ipFamilyPolicy", json!(policy));
        default(spec, "internalTrafficPolicy", json!("Cluster"));
        if self.kind.is_external() {
            default(spec, "externalTrafficPolicy", json!("Cluster"));
        }
        if let Some(port) = self.health_check_node_port {
            spec["healthCheckNodePort"] = json!(port);
        }
        self.publish_load_balancer(&mut object);
        object
    }

    fn publish_ports(&self, spec: &mut Value) {
        let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) else { return };
        for (published, port) in ports.iter_mut().zip(&self.spec.ports) {
            published["protocol"] = json!(port.protocol);
            default(published, "targetPort", json!(port.port));
            if let Some(number) = port.node_port {
                published["nodePort"] = json!(number);
            }
        }
    }

    fn publish_load_balancer(&self, object: &mut Value) {
        let Some(number) = self.load_balancer else { return };
        default(&mut object["spec"], "allocateLoadBalancerNodePorts", json!(true));
        let ingress: Vec<_> = self
            .families
            .iter()
            .map(|family| json!({"ip": address::load_balancer(*family, number), "ipMode": "VIP"}))
            .collect();
        object["status"] = json!({"loadBalancer": {"ingress": ingress}});
    }
}

/// Sets `key` unless it has a value.
fn default(object: &mut Value, key: &str, value: Value) {
    if object.get(key).is_none_or(Value::is_null) {
        object[key] = value;
    }
}
