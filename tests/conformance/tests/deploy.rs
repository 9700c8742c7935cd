//! Every manifest that users are given, the chart's among them, is one that the API server takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use podway_tests_conformance::{deploy, in_api_lab, rendered};
use podway_tests_lab::Lab;
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

#[test]
fn every_manifest_is_accepted_by_the_api_server() {
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
        Ok(())
    });
}
