//! A Corefile of one's own beside a real API server: names that labels select, and names of Services of
//! other clusters.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use podway_tests_conformance::{answers, in_api_lab, kubectl, web};
use podway_tests_lab::{Family, Place};
use podway_tests_netns::Cluster;
use tempfile::TempDir;

/// The kind as implementations of the API install it, with as much of its schema as decides anything.
const KIND: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: serviceimports.multicluster.x-k8s.io
  annotations: {api-approved.kubernetes.io: unapproved}
spec:
  group: multicluster.x-k8s.io
  scope: Namespaced
  names: {plural: serviceimports, singular: serviceimport, kind: ServiceImport}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const IMPORTS: &str = "
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: default}
spec: {type: ClusterSetIP, ips: [10.112.0.7], ports: [{name: http, port: 80}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: db, namespace: default}
spec: {type: Headless, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: db-east
  namespace: default
  labels:
    multicluster.kubernetes.io/service-name: db
    multicluster.kubernetes.io/source-cluster: east
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], hostname: db-0, conditions: {ready: true}}]
ports: [{name: http, port: 8080, protocol: TCP}]
";

const WEB: &str = "web.default.svc.cluster.local";

/// Puts a Corefile whose `kubernetes` has these zones and options in the place of the one there is.
fn write(path: &Path, zones: &str, options: &str) -> Result<()> {
    let text = format!(".:53 {{\n kubernetes {zones} {{\n {options}\n ttl 5\n }}\n reload\n}}\n");
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(beside, path).context("Corefile")
}

/// Waits until node 1 says that there is no such name.
fn denied(cluster: &Cluster, name: &str) -> Result<()> {
    let server = cluster.node_ip(1, Family::V4);
    let lookup = cluster.lookup(&Place::node(1), &[name]);
    cluster.wait_until(&format!("{name} to be denied"), || {
        let response = lookup.ask_at(server)?;
        ensure!(response.status == "NXDOMAIN", "{response:?}");
        Ok(true)
    })
}

#[test]
fn labels_and_imports_are_followed_as_the_corefile_comes_to_ask_for_them() {
    let folder = TempDir::new().unwrap_or_else(|error| panic!("temporary folder: {error}"));
    let corefile = folder.path().join("Corefile");
    write(&corefile, "cluster.local", "").unwrap_or_else(|error| panic!("{error:#}"));
    let builder = web().podway_argument(format!("--corefile={}", corefile.display()));
    in_api_lab(builder, |cluster| {
        let address = [cluster.cluster_ip("web", Family::V4)?.to_string()];
        let published = || answers(cluster, 1, WEB, &address);
        published()?;

        write(&corefile, "cluster.local", "labels app=web\n namespace_labels team=dns")?;
        denied(cluster, WEB)?;
        denied(cluster, "default.svc.cluster.local")?;
        kubectl(cluster, &["label", "namespace", "default", "team=dns"])?;
        kubectl(cluster, &["label", "service", "web", "app=web"])?;
        published()?;
        kubectl(cluster, &["label", "service", "web", "app=db", "--overwrite"])?;
        denied(cluster, WEB)?;
        kubectl(cluster, &["label", "service", "web", "app=web", "--overwrite"])?;
        published()?;
        kubectl(cluster, &["label", "namespace", "default", "team-"])?;
        denied(cluster, WEB)?;

        // Of the two versions of the kind this server has the older one.
        let create = |objects| cluster.kubectl(&["apply", "-f", "-"], objects)?.checked();
        create(KIND)?;
        let established = ["wait", "--for=condition=Established", "--timeout=60s"];
        let kind = "crd/serviceimports.multicluster.x-k8s.io";
        kubectl(cluster, &[&established[..], &[kind]].concat())?;
        create(IMPORTS)?;
        write(&corefile, "cluster.local clusterset.local", "multicluster clusterset.local")?;
        answers(cluster, 1, "web.default.svc.clusterset.local", &["10.112.0.7".to_owned()])?;
        let member = "db-0.east.db.default.svc.clusterset.local";
        answers(cluster, 1, member, &["10.1.0.1".to_owned()])?;
        published()?;
        kubectl(cluster, &["delete", "serviceimport", "web"])?;
        denied(cluster, "web.default.svc.clusterset.local")?;
        published()
    });
}
