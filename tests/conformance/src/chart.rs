//! The chart of `deploy/`, rendered by Helm's own engine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use podway_tests_peers::Peer;
use serde_json::Value;

/// Namespace that charts are rendered for.
const NAMESPACE: &str = "kube-system";

/// The folder `deploy`.
#[must_use]
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The manifests that the chart gives with `values` in place of its own.
///
/// # Errors
/// When Helm's engine cannot be had, or refuses the chart.
pub fn rendered(values: &Value) -> Result<String> {
    podway_tests_peers::require(&[Peer::HelmTemplate])?;
    let mut helm = Command::new(Peer::HelmTemplate.find()?)
        .arg(deploy().join("chart/podway"))
        .arg(NAMESPACE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    helm.stdin.take().context("no input")?.write_all(values.to_string().as_bytes())?;
    let output = helm.wait_with_output()?;
    ensure!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a manifest text, by kind and name: an order is nobody's business.
///
/// # Errors
/// When it is no YAML.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    let mut objects: Vec<_> = documents.into_iter().filter(|object| !object.is_null()).collect();
    objects.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    Ok(objects)
}
