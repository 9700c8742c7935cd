//! The plan as text.

use std::time::Duration;

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::TrafficPolicy::{Cluster, Local};
use podway_cluster_model::service::{Affinity, Service, ServiceKind};

use crate::support::*;

#[test]
fn plan_reads_as_text() {
    let mut front = web_with(Cluster, Local);
    front.kind = ServiceKind::ClusterIp(vec![ip("10.96.0.10"), ip("fd00:96::10")]);
    front.affinity = Affinity::ClientIp { timeout: Duration::from_secs(10_800) };
    front.created_unix_seconds = Some(1);
    let mut local = plain("default/local", "10.96.0.30");
    local.internal_policy = Local;
    local.ports = vec![service_port("", Protocol::Udp, 53)];
    let mut late = plain("default/late", "10.96.0.40");
    late.ports[0].node_port = Some(port(30080));
    let mut slice_of_local = slice("default/local", "local-1", vec![there("10.244.2.9")]);
    slice_of_local.ports[0].name = port_name("");
    slice_of_local.ports[0].protocol = Protocol::Udp;

    let world = World::new(
        policy(),
        [
            Change::Service(front),
            web_slice(vec![there("10.244.2.5"), here("10.244.1.5")]),
            Change::Service(local),
            Change::Slice(slice_of_local),
            Change::Service(Service { created_unix_seconds: Some(2), ..late }),
        ],
    );
    assert_eq!(
        world.planner.to_string(),
        r#"default/late
  ip tcp "http"
    10.96.0.40:80/tcp ClusterIP: reject
default/local
  ip udp ""
    10.96.0.30:53/udp ClusterIP: drop
default/web
  ip tcp "http", client keeps its endpoint for 10800 s
    10.96.0.10:80/tcp ClusterIP: balance over cluster, masquerade off-cluster
    192.0.2.1:30080/tcp NodePort: preserve source
    203.0.113.10:80/tcp ExternalIP: preserve source
    203.0.113.20:80/tcp LoadBalancer: preserve source
    cluster
      10.244.1.5:8080 here
      10.244.2.5:8080
    local
      10.244.1.5:8080 here
  ip6 tcp "http", client keeps its endpoint for 10800 s
    [2001:db8:1::1]:30080/tcp NodePort: reject
    [fd00:96::10]:80/tcp ClusterIP: reject
conflict at 192.0.2.1:30080/tcp: service default/late port "http" yields to service default/web port "http"
"#
    );
}
