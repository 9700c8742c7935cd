//! The setups that users describe, from `kubectl apply` to packets and names.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use podway_tests_conformance::{answers, in_api_lab, kubectl};
use podway_tests_lab::{Family, Lab, Place, Transport};
use podway_tests_netns::{Cluster, FAMILIES, NODES, all_reach, undisturbed};

const BACKEND: &str = include_str!("../../lab/scenarios/1-backend.yaml");
const NODE_PORT: &str = include_str!("../../lab/scenarios/2-node-port.yaml");
const MAGEDU: &str = include_str!("../../lab/scenarios/4-magedu.yaml");
const STATEFUL_SET: &str = include_str!("../../lab/scenarios/5-stateful-set.yaml");
const BUSYBOX: &str = include_str!("../../lab/scenarios/6-busybox.yaml");
const READINESS: &str = include_str!("../../lab/scenarios/7-readiness.yaml");

/// IPv4 addresses of the ready pods that begin with `prefix`.
fn addresses(cluster: &Cluster, prefix: &str) -> Result<Vec<String>> {
    let pods = cluster.pods(prefix)?.into_iter().filter(|pod| pod.ready);
    Ok(pods.filter_map(|pod| Some(pod.addresses?.v4.to_string())).collect())
}

/// Every node answers `name` with `expected`.
fn all_answer(cluster: &Cluster, name: &str, expected: &[String]) -> Result<()> {
    NODES.into_iter().try_for_each(|number| answers(cluster, number, name, expected))
}

#[test]
fn services_node_ports_probes_and_names_work_from_kubectl_apply() {
    in_api_lab(Lab::builder(), |cluster| {
        for manifests in [BACKEND, NODE_PORT, BUSYBOX, READINESS] {
            cluster.apply(manifests)?;
        }
        cluster.wait_settled()?;
        // 1: a backend behind a ClusterIP.
        let backend = cluster.at("k8sdemo/backend", Family::V4, 8080)?;
        let client = Place::pod_in("k8sdemo", "client");
        let pods = cluster.pod_names("k8sdemo/backend-")?;
        ensure!(pods.len() == 3, "{pods:?}");
        cluster.route(&client, Transport::Tcp, backend).reaches(&pods)?;
        // 2: node ports, one of them given out by the API server.
        let pods = cluster.pod_names("httpd-")?;
        let given = cluster.service("nginx-service")?.ports;
        let given = given.first().and_then(|port| port.split([':', '/']).nth(1));
        let given: u16 = given.context("nginx-service has no node port")?.parse()?;
        for number in NODES {
            for family in FAMILIES {
                let node = cluster.node_port(number, family, 30001);
                cluster.route(&Place::Outside, Transport::Tcp, node).reaches(&pods)?;
            }
            let node = cluster.node_port(number, Family::V4, given);
            let nginx = cluster.pod_names("nginx-deployment-")?;
            cluster.route(&Place::Outside, Transport::Tcp, node).reaches(&nginx)?;
        }
        // 6: names as they are looked up from busybox.
        let busybox = Place::pod("busybox");
        let nginx = cluster.cluster_ip("nginx-service", Family::V4)?;
        cluster.lookup(&busybox, &["+search", "nginx-service"]).answers([nginx])?;
        cluster.lookup(&busybox, &["+search", "kubernetes"]).answers(["10.96.0.1"])?;
        cluster
            .lookup(&busybox, &["-x", "10.96.0.10"])
            .answers(["kube-dns.kube-system.svc.cluster.local."])?;
        // 7: a readiness probe decides who serves.
        let ready = cluster.at("readiness", Family::V4, 80)?;
        let pods = cluster.pod_names("readiness-")?;
        let route = cluster.route(&busybox, Transport::Tcp, ready);
        route.reaches(&pods)?;
        let failing = pods.first().context("no pod")?.clone();
        cluster.exec(&Place::pod(&failing), &["touch", "/tmp/failing"])?.checked()?;
        let rest: BTreeSet<_> = pods.iter().filter(|pod| **pod != failing).cloned().collect();
        route.reaches(&rest)?;
        cluster.exec(&Place::pod(&failing), &["rm", "/tmp/failing"])?.checked()?;
        route.reaches(&pods).map(drop)
    });
}

#[test]
fn every_pod_of_a_stateful_set_keeps_its_name_while_it_is_scaled() {
    const SERVICE: &str = "myapp-svc.default.svc.cluster.local";
    in_api_lab(Lab::builder().manifests(STATEFUL_SET).manifests(BUSYBOX), |cluster| {
        let each = |count: usize| -> Result<()> {
            cluster.wait_settled()?;
            all_answer(cluster, SERVICE, &addresses(cluster, "myapp-")?)?;
            (0..count).try_for_each(|number| {
                let pod = format!("myapp-{number}");
                let address = cluster.pod_addresses(&pod)?.v4.to_string();
                all_answer(cluster, &format!("{pod}.{SERVICE}"), &[address])
            })
        };
        each(3)?;
        cluster.scale("statefulset/myapp", 4)?;
        each(4)?;
        kubectl(cluster, &["patch", "statefulset", "myapp", "-p", "{\"spec\":{\"replicas\":2}}"])?;
        cluster.wait_until("two pods", || Ok(cluster.pods("myapp-")?.len() == 2))?;
        each(2)?;
        let gone = format!("myapp-3.{SERVICE}");
        cluster.lookup(&Place::pod("busybox"), &[&gone]).is_no_name()?;
        // A pod that is made again has its name at once, at its new address.
        let before = cluster.pod_addresses("myapp-1")?;
        cluster.delete_pod("myapp-1")?;
        cluster.wait_until("myapp-1 to be made again", || {
            Ok(cluster.pod_addresses("myapp-1").is_ok_and(|now| now != before))
        })?;
        each(2)?;
        let short = cluster.pod_addresses("nginx-statefulset-0")?.v4;
        cluster
            .lookup(&Place::pod("busybox"), &["+search", "nginx-statefulset-0.nginx"])
            .answers([short])
            .map(drop)
    });
}

#[test]
fn a_cluster_domain_of_ones_own_is_served() {
    let builder = Lab::builder().cluster_domain("magedu.local").manifests(MAGEDU);
    in_api_lab(builder, |cluster| {
        let name = "magedu-tomcat-app1-service.magedu.svc.magedu.local";
        let address = cluster.cluster_ip("magedu/magedu-tomcat-app1-service", Family::V4)?;
        all_answer(cluster, name, &[address.to_string()])?;
        let pods = cluster.pod_names("magedu/magedu-tomcat-app1-deployment-")?;
        let from = Place::pod_in("magedu", "magedu-nginx");
        cluster.route(&from, Transport::Tcp, (address, 80).into()).reaches(&pods)?;
        let node = cluster.node_port(2, Family::V4, 30092);
        cluster.route(&Place::Outside, Transport::Tcp, node).reaches(&pods).map(drop)
    });
}

#[test]
fn no_client_sees_an_error_while_a_deployment_is_rolled() {
    in_api_lab(Lab::builder().manifests(NODE_PORT).manifests(BUSYBOX), |cluster| {
        let address = cluster.at("http-svc", Family::V4, 8080)?;
        let node = cluster.node_port(1, Family::V4, 30001);
        let before = cluster.pod_names("httpd-")?;
        let routes = [
            cluster.route(&Place::pod("busybox"), Transport::Tcp, address),
            cluster.route(&Place::Outside, Transport::Tcp, node),
        ];
        routes.iter().try_for_each(|route| route.reaches(&before).map(drop))?;
        let roll = |number: usize| -> Result<()> {
            let patch = format!(
                "{{\"spec\":{{\"template\":{{\"metadata\":{{\"annotations\":{{\"roll\":\"{number}\"}}}},\
                 \"spec\":{{\"containers\":[{{\"name\":\"httpd\",\"lifecycle\":{{\"preStop\":{{\
                 \"sleep\":{{\"seconds\":5}}}}}}}}]}}}}}}}}"
            );
            kubectl(cluster, &["patch", "deployment", "httpd", "-p", &patch])?;
            let wait = ["rollout", "status", "--timeout=170s", "deployment/httpd"];
            kubectl(cluster, &wait).map(drop)
        };
        // From then on pods serve on for a moment after they were deleted, as tutorials have it.
        roll(0)?;
        cluster.wait_settled()?;
        undisturbed(&routes, || (1..=2).try_for_each(roll))?;
        cluster.wait_settled()?;
        let after = cluster.pod_names("httpd-")?;
        ensure!(after.is_disjoint(&before), "{before:?} then {after:?}");
        routes.iter().try_for_each(|route| route.reaches(&after).map(drop))
    });
}

#[test]
fn an_unready_pod_gets_nothing_and_a_terminating_one_finishes_what_it_has() {
    in_api_lab(podway_tests_conformance::web(), |cluster| {
        let client = podway_tests_netns::manifests::client(1);
        let routes: Vec<_> = FAMILIES
            .into_iter()
            .map(|family| {
                Ok(cluster.route(&client, Transport::Tcp, cluster.at("web", family, 80)?))
            })
            .collect::<Result<_>>()?;
        all_reach(&routes, &["web-1", "web-2"])?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])?;
        cluster.ready("web-2")?;
        all_reach(&routes, &["web-1", "web-2"])?;
        let stays = podway_tests_netns::manifests::pod_that_stays("web-3", 2);
        cluster.apply(&stays)?;
        cluster.unready("web-1")?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-3"])?;
        let mut held = routes[0].hold()?;
        cluster.ready("web-1")?;
        cluster.delete_pod("web-3")?;
        all_reach(&routes, &["web-1"])?;
        held.goes_on().map(drop)
    });
}
