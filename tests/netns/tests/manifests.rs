//! The folder of manifests: what a file does, and what a bad one does not.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use podway_tests_lab::{Failure, Lab, Transport};
use podway_tests_netns::manifests::{client, clients, pod_with};
use podway_tests_netns::{Cluster, NODES, Route, in_lab};

/// Pods that answer on port 8080 although no Service of the lab selects them.
fn pods() -> String {
    let listening = "containers: [{name: main, ports: [{containerPort: 8080}]}]";
    pod_with("one-1", 1, listening) + &pod_with("two-2", 2, listening) + &clients()
}

/// A Service with the address and one endpoint, as two documents.
fn service(name: &str, address: &str, endpoint: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: files\nspec:\n  \
         clusterIP: {address}\n  clusterIPs: [{address}]\n  ports:\n  - name: http\n    port: 80\n    \
         targetPort: 8080\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  \
         name: {name}-1\n  namespace: files\n  labels: {{kubernetes.io/service-name: {name}}}\n\
         addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\n\
         endpoints:\n- addresses: [{endpoint}]\n  conditions: {{ready: true}}\n"
    )
}

const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: files}}\n";

fn file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.manifests_folder().join(name)
}

fn address(cluster: &Cluster, pod: &str) -> Result<String> {
    Ok(cluster.pod_addresses(pod)?.v4.to_string())
}

/// The ways from both nodes to `address`.
fn routes<'a>(cluster: &'a Cluster, address: &str) -> Result<[Route<'a>; 2]> {
    let to = format!("{address}:80").parse()?;
    Ok(NODES.map(|number| cluster.route(&client(number), Transport::Tcp, to)))
}

fn all_reach(routes: &[Route<'_>], pod: &str) -> Result<()> {
    routes.iter().try_for_each(|route| route.reaches_pod(pod).map(drop))
}

#[test]
fn file_takes_effect_when_it_comes_changes_moves_and_goes() {
    in_lab(Lab::builder().manifests(pods()), |cluster| {
        let (one, two) = (address(cluster, "one-1")?, address(cluster, "two-2")?);
        let web = routes(cluster, "10.96.0.80")?;
        let path = file(cluster, "web.yaml");
        let named = cluster.lookup(&client(1), &["web.files.svc.cluster.local.", "A"]);
        fs::write(&path, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &one))?;
        all_reach(&web, "one-1")?;
        named.answers(["10.96.0.80"])?;
        // Written in place.
        fs::write(&path, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &two))?;
        all_reach(&web, "two-2")?;
        // Replaced by another file, as editors do it.
        let other = file(cluster, ".web.yaml.swap");
        fs::write(&other, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &one))?;
        fs::rename(&other, &path)?;
        all_reach(&web, "one-1")?;
        // Renamed: the same objects from another file.
        let renamed = file(cluster, "renamed.yml");
        fs::rename(&path, &renamed)?;
        fs::write(&renamed, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &two))?;
        all_reach(&web, "two-2")?;
        // What is no manifest by its name is none.
        let noted = file(cluster, "web.txt");
        fs::rename(&renamed, &noted)?;
        named.is_no_name()?;
        web[0].ends_with(Failure::Silent)?;
        // JSON.
        let list = format!(
            r#"{{"apiVersion": "v1", "kind": "List", "items": [
                {{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "files"}}}},
                {{"apiVersion": "v1", "kind": "Service",
                  "metadata": {{"name": "web", "namespace": "files"}},
                  "spec": {{"clusterIP": "10.96.0.80", "clusterIPs": ["10.96.0.80"],
                    "ports": [{{"name": "http", "port": 80, "targetPort": 8080}}]}}}},
                {{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                  "metadata": {{"name": "web-1", "namespace": "files",
                    "labels": {{"kubernetes.io/service-name": "web"}}}},
                  "addressType": "IPv4",
                  "ports": [{{"name": "http", "port": 8080, "protocol": "TCP"}}],
                  "endpoints": [{{"addresses": ["{one}"], "conditions": {{"ready": true}}}}]}}
            ]}}"#
        );
        fs::write(file(cluster, "list.json"), list)?;
        all_reach(&web, "one-1")?;
        fs::remove_file(file(cluster, "list.json"))?;
        named.is_no_name()?;
        Ok(())
    });
}

#[test]
fn broken_file_keeps_its_last_good_content_in_force() {
    in_lab(Lab::builder().manifests(pods()), |cluster| {
        let (one, two) = (address(cluster, "one-1")?, address(cluster, "two-2")?);
        let (web, other) = (routes(cluster, "10.96.0.80")?, routes(cluster, "10.96.0.81")?);
        let (path, beside) = (file(cluster, "web.yaml"), file(cluster, "other.yaml"));
        fs::write(&path, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &one))?;
        fs::write(&beside, service("other", "10.96.0.81", &one))?;
        all_reach(&web, "one-1")?;
        all_reach(&other, "one-1")?;

        let broken = service("web", "10.96.0.80", &two) + "---\nkind: [\n";
        let line = broken.lines().count().to_string();
        fs::write(&path, &broken)?;
        for number in NODES {
            cluster.metric_becomes(number, "podway_manifest_files_unread", 1.0)?;
            cluster.logged(number, &["WARN", "web.yaml", &format!("line={line}")])?;
        }
        all_reach(&web, "one-1")?;
        // Others go on.
        fs::write(&beside, service("other", "10.96.0.81", &two))?;
        all_reach(&other, "two-2")?;
        all_reach(&web, "one-1")?;
        // So does this one once it is whole.
        fs::write(&path, NAMESPACE.to_owned() + &service("web", "10.96.0.80", &two))?;
        all_reach(&web, "two-2")?;
        for number in NODES {
            cluster.metric_becomes(number, "podway_manifest_files_unread", 0.0)?;
            cluster.logged(number, &["problem of the source healed", "web.yaml"])?;
        }
        Ok(())
    });
}

#[test]
fn bad_object_is_named_and_the_others_work() {
    in_lab(Lab::builder().manifests(pods()), |cluster| {
        let one = address(cluster, "one-1")?;
        let good = routes(cluster, "10.96.0.80")?;
        let text = NAMESPACE.to_owned()
            + &service("bad", "10.96.0.300", &one)
            + &service("good", "10.96.0.80", &one)
            + &service("half", "10.96.0.82", "10.244.1.999");
        fs::write(file(cluster, "all.yaml"), text)?;
        all_reach(&good, "one-1")?;
        for number in NODES {
            let parts = ["WARN", "all.yaml", "service files/bad: spec.clusterIP", "10.96.0.300"];
            cluster.logged(number, &parts)?;
            let parts = ["endpointslice files/half-1: endpoints[0].addresses[0]", "10.244.1.999"];
            cluster.logged(number, &parts)?;
            for kind in ["service", "endpointslice"] {
                let metric = format!("podway_rejected_objects{{kind=\"{kind}\"}}");
                cluster.metric_becomes(number, &metric, 1.0)?;
            }
        }
        cluster.lift_icmp_limits()?;
        // The Service whose only endpoint is bad has none.
        routes(cluster, "10.96.0.82")?.iter().try_for_each(Route::is_refused)?;
        // Mended.
        let text = NAMESPACE.to_owned()
            + &service("bad", "10.96.0.83", &one)
            + &service("good", "10.96.0.80", &one)
            + &service("half", "10.96.0.82", &one);
        fs::write(file(cluster, "all.yaml"), text)?;
        for address in ["10.96.0.80", "10.96.0.82", "10.96.0.83"] {
            all_reach(&routes(cluster, address)?, "one-1")?;
        }
        for kind in ["service", "endpointslice"] {
            let metric = format!("podway_rejected_objects{{kind=\"{kind}\"}}");
            cluster.metric_becomes(1, &metric, 0.0)?;
        }
        Ok(())
    });
}

#[test]
fn address_that_two_services_want_belongs_to_the_older() {
    let made = |text: String, time: &str| {
        text.replacen(
            "namespace: files\n",
            &format!("namespace: files\n  creationTimestamp: {time}\n"),
            1,
        )
    };
    in_lab(Lab::builder().manifests(pods()), |cluster| {
        let (one, two) = (address(cluster, "one-1")?, address(cluster, "two-2")?);
        let shared = routes(cluster, "10.96.0.80")?;
        let younger = made(service("a-young", "10.96.0.80", &two), "\"2026-02-01T00:00:00Z\"");
        let older = made(service("b-old", "10.96.0.80", &one), "\"2026-01-01T00:00:00Z\"");
        fs::write(file(cluster, "a.yaml"), NAMESPACE.to_owned() + &younger)?;
        all_reach(&shared, "two-2")?;
        fs::write(file(cluster, "b.yaml"), older)?;
        all_reach(&shared, "one-1")?;
        for number in NODES {
            cluster.logged(
                number,
                &["WARN", "two Services want the same frontend", "files/a-young", "files/b-old"],
            )?;
            ensure!(
                cluster.admin(number, "/debug/plan")?.contains("conflict at 10.96.0.80:80/tcp")
            );
        }
        fs::remove_file(file(cluster, "b.yaml"))?;
        all_reach(&shared, "two-2")?;
        for number in NODES {
            cluster.logged(number, &["no longer want the same frontend"])?;
        }
        Ok(())
    });
}
