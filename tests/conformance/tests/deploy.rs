//! Every manifest that users are given, the chart's among them, is one that the API server takes; and
//! what a cluster is configured by is read from it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use podway_tests_conformance::{deploy, in_api_lab, rendered};
use podway_tests_lab::{Binaries, Lab, Place};
use podway_tests_netns::Cluster;
use serde_json::json;

/// Kinds that only some clusters have; without them there is nobody to judge.
const OPTIONAL: [&str; 1] = ["PodMonitor"];

/// The plain manifests under `folder`; charts are templates and no manifests.
fn manifests(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.join("Chart.yaml").exists() {
            manifests(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// A file of the repository.
fn repository_file(path: &str) -> String {
    deploy().join("..").join(path).display().to_string()
}

/// `podway migrate` says the same of the ConfigMaps that kubeadm makes as of the files in them.
fn migrates(cluster: &Cluster) -> Result<()> {
    let kube_proxy = repository_file("proxy/daemon/tests/data/kubeadm-kube-proxy.yaml");
    let corefile = repository_file("dns/corefile/tests/data/kubeadm.Corefile");
    for (name, key, path) in
        [("kube-proxy", "config.conf", &kube_proxy), ("coredns", "Corefile", &corefile)]
    {
        let from = format!("--from-file={key}={path}");
        let command = ["create", "configmap", "--namespace", "kube-system", name, &from];
        cluster.kubectl(&command, "")?.checked()?;
    }
    let program = Binaries::find()?.podway;
    let program = program.to_str().context("path")?;
    let kubeconfig = cluster.kubeconfig("admin").display().to_string();
    let migrate = |flags: &[&str]| {
        let command = [&[program, "migrate"], flags].concat();
        cluster.exec(&Place::ControlPlane, &command)?.checked()
    };
    let of_cluster = migrate(&["--kubeconfig", &kubeconfig])?;
    let of_files = migrate(&["--kube-proxy", &kube_proxy, "--coredns", &corefile])?;
    ensure!(of_cluster == of_files, "of the cluster:\n{of_cluster}\nof files:\n{of_files}");
    ensure!(of_cluster.contains("10.244.0.0/16"), "{of_cluster}");
    Ok(())
}

#[test]
fn every_manifest_is_accepted_and_the_configuration_of_a_cluster_is_read() {
    in_api_lab(Lab::builder().without_podway(), |cluster| {
        let mut found = Vec::new();
        manifests(&deploy(), &mut found)?;
        let mut texts = Vec::new();
        for path in found {
            texts.push((path.display().to_string(), fs::read_to_string(&path)?));
        }
        ensure!(texts.len() > 2, "no manifests in {}", deploy().display());
        for values in [json!({"kubeDNS": {"create": true}}), json!({"proxyMode": "ebpf"})] {
            texts.push((format!("the chart with {values}"), rendered(&values)?));
        }
        for (title, text) in texts {
            if OPTIONAL.iter().any(|kind| text.contains(&format!("kind: {kind}"))) {
                continue;
            }
            let arguments = ["apply", "--server-side", "--dry-run=server", "--force-conflicts"];
            let arguments = [&arguments[..], &["--validate=strict", "-f", "-"]].concat();
            cluster.kubectl(&arguments, &text)?.checked().context(title)?;
        }
        migrates(cluster)
    });
}
