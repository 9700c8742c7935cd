//! What a cluster has before anybody applies a manifest, as an installer would leave it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cluster;
use crate::settings::Settings;

/// The manifests that are deployed, of which the daemons of a lab have their account and its
/// rights: a right that is missing there is missing here.
const DEPLOYED: &str = include_str!("../../../../../deploy/manifests/podway.yaml");

/// The daemons' account and what it may do.
pub(super) fn access() -> Result<Value> {
    let items = cluster::objects_but_workloads(DEPLOYED)?;
    let has = |kind: &str| items.iter().any(|item| item["kind"] == kind);
    for kind in ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"] {
        ensure!(has(kind), "no {kind} among the manifests that are deployed");
    }
    Ok(list(items))
}

/// Nodes, as their kubelets register themselves; the DNS Service; the daemons, if there are any.
pub(super) fn objects(settings: &Settings) -> Value {
    list(cluster::initial_objects(settings.nodes, settings.podway.is_some()))
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
