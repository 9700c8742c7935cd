//! Names of pods behind headless Services.

use anyhow::{Result, ensure};
use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, deployment};
use podway_tests_netns::{Cluster, Lookup, in_lab};

/// A StatefulSet `myapp` with its headless Service `myapp-svc`.
const STATEFUL: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: myapp-svc}
spec: {clusterIP: None, selector: {app: myapp}, ports: [{name: web, port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: myapp}
spec:
  serviceName: myapp-svc
  replicas: 3
  selector: {matchLabels: {app: myapp}}
  template:
    metadata: {labels: {app: myapp}}
    spec:
      containers: [{name: main, ports: [{name: web, containerPort: 80}]}]
";

const SERVICE: &str = "myapp-svc.default.svc.cluster.local";

fn lookup<'a>(cluster: &'a Cluster, name: &str, kind: &str) -> Lookup<'a> {
    cluster.lookup(&client(1), &[name, kind])
}

fn address(cluster: &Cluster, pod: &str) -> Result<String> {
    Ok(cluster.pod_addresses(pod)?.of(Family::V4).to_string())
}

#[test]
fn stateful_pod_keeps_its_name_when_it_comes_back_with_another_address() {
    in_lab(Lab::builder().manifests(STATEFUL.to_owned() + &clients()), |cluster| {
        let name = format!("myapp-1.{SERVICE}");
        let before = address(cluster, "myapp-1")?;
        lookup(cluster, &name, "A").answers([&before])?;
        cluster.delete_pod("myapp-1")?;
        cluster.wait_until("another address", || Ok(address(cluster, "myapp-1")? != before))?;
        let after = address(cluster, "myapp-1")?;
        lookup(cluster, &name, "A").answers([&after])?;
        let all = cluster.addresses("myapp-", Family::V4)?;
        ensure!(all.len() == 3 && !all.iter().any(|one| one.to_string() == before), "{all:?}");
        lookup(cluster, SERVICE, "A").answers(all)?;
        lookup(cluster, "myapp-1.myapp-svc", "A").answers([&after])?;
        let said = cluster.exec(&client(1), &["getent", "ahostsv4", "myapp-1.myapp-svc"])?;
        ensure!(said.checked()?.starts_with(&after));
        // The name leads to that pod.
        let answers = cluster.ask(&client(1), "http://myapp-1.myapp-svc/", 3)?;
        ensure!(answers.by_pod().into_keys().eq(["myapp-1"]), "{answers:?}");
        cluster.lookup(&client(1), &["-x", &after]).answers([format!("{name}.")])?;
        cluster.lookup(&client(1), &["-x", &before]).is_no_name()?;
        Ok(())
    });
}

#[test]
fn names_of_stateful_pods_come_and_go_with_their_number() {
    in_lab(Lab::builder().manifests(STATEFUL.to_owned() + &clients()), |cluster| {
        for replicas in [4, 2, 0, 1] {
            cluster.scale("statefulset/myapp", replicas)?;
            cluster.wait_settled()?;
            for ordinal in 0..4 {
                let name = lookup(cluster, &format!("myapp-{ordinal}.{SERVICE}"), "A");
                if ordinal < replicas {
                    name.answers([address(cluster, &format!("myapp-{ordinal}"))?])?;
                } else {
                    name.is_no_name()?;
                }
            }
            let service = lookup(cluster, SERVICE, "A");
            match replicas {
                // Without a pod there is no name.
                0 => service.is_no_name()?,
                _ => service.answers(cluster.addresses("myapp-", Family::V4)?)?,
            };
        }
        Ok(())
    });
}

#[test]
fn unready_pod_has_no_name_until_it_is_ready_again() {
    in_lab(Lab::builder().manifests(STATEFUL.to_owned() + &clients()), |cluster| {
        let all = cluster.addresses("myapp-", Family::V4)?;
        let own = address(cluster, "myapp-2")?;
        let name = format!("myapp-2.{SERVICE}");
        lookup(cluster, &name, "A").answers([&own])?;
        cluster.unready("myapp-2")?;
        lookup(cluster, &name, "A").is_no_name()?;
        let others = all.iter().map(ToString::to_string).filter(|address| *address != own);
        lookup(cluster, SERVICE, "A").answers(others)?;
        cluster.ready("myapp-2")?;
        lookup(cluster, &name, "A").answers([&own])?;
        lookup(cluster, SERVICE, "A").answers(&all)?;
        // Pods have IPv4 names only where the Service is of IPv4 only.
        lookup(cluster, &name, "AAAA").has_no_data()?;
        lookup(cluster, SERVICE, "AAAA").has_no_data()?;
        Ok(())
    });
}

#[test]
fn ports_of_stateful_pods_are_service_records() {
    in_lab(Lab::builder().manifests(STATEFUL.to_owned() + &clients()), |cluster| {
        let expected = (0..3).map(|ordinal| format!("0 33 80 myapp-{ordinal}.{SERVICE}."));
        let response = lookup(cluster, &format!("_web._tcp.{SERVICE}"), "SRV").answers(expected)?;
        for record in &response.additional {
            let pod = record.name.split('.').next().unwrap_or_default();
            ensure!(record.data == address(cluster, pod)?, "{record:?}");
        }
        ensure!(response.additional.len() == 3, "{response:?}");
        lookup(cluster, &format!("_web._udp.{SERVICE}"), "SRV").is_no_name()?;
        Ok(())
    });
}

#[test]
fn pods_without_host_names_are_named_by_pod_and_by_address() {
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: plain}, \
        spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: plain}, \
        ports: [{name: http, port: 80}]}}\n";
    let manifests = deployment("plain", 2) + service + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let zone = "plain.default.svc.cluster.local";
        lookup(cluster, zone, "A").answers(cluster.addresses("plain-", Family::V4)?)?;
        lookup(cluster, zone, "AAAA").answers(cluster.addresses("plain-", Family::V6)?)?;
        for name in cluster.pod_names("plain-")? {
            let both = cluster.pod_addresses(&name)?;
            let (v4, v6) = (both.v4.to_string(), both.v6.to_string());
            for label in [name, v4.replace('.', "-")] {
                lookup(cluster, &format!("{label}.{zone}"), "A").answers([&v4])?;
            }
            let dashed = format!("{}.{zone}", v6.replace(':', "-"));
            lookup(cluster, &dashed, "AAAA").answers([&v6])?;
        }
        Ok(())
    });
}

#[test]
fn pod_on_its_own_is_named_by_host_name_and_subdomain() {
    let pod = "---\n{apiVersion: v1, kind: Pod, metadata: {name: querier, labels: {app: dns}}, \
        spec: {hostname: dns-querier-2, subdomain: dns-test, containers: [{name: main}]}}\n---\n\
        {apiVersion: v1, kind: Service, metadata: {name: dns-test}, \
        spec: {clusterIP: None, selector: {app: dns}, ports: [{name: http, port: 80}]}}\n";
    in_lab(Lab::builder().manifests(pod.to_owned() + &clients()), |cluster| {
        let name = "dns-querier-2.dns-test.default.svc.cluster.local";
        let own = address(cluster, "querier")?;
        lookup(cluster, name, "A").answers([&own])?;
        // Short, from a pod of the same namespace, and from itself.
        for place in [client(2), Place::pod("querier")] {
            let said = cluster.exec(&place, &["getent", "hosts", "dns-querier-2.dns-test"])?;
            ensure!(said.clone().checked()?.starts_with(&own), "{said}");
        }
        Ok(())
    });
}
