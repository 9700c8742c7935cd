//! Changes that are the API server's to make, by `kubectl` as a person would make them.

use anyhow::Result;
use serde_json::Value;

use super::super::engine::object_name;
use super::ControlPlane;
use crate::api::Api;
use crate::exec::Output;
use crate::place::ObjectName;
use crate::protocol::{Applied, Change, Reply};

/// Workloads, and the fields that say how many pods there should be and how many are as they
/// should.
const WORKLOADS: [(&str, &str, &[&str]); 4] = [
    ("deployments", "/spec/replicas", &["/status/readyReplicas", "/status/updatedReplicas"]),
    ("replicasets", "/spec/replicas", &["/status/readyReplicas"]),
    ("statefulsets", "/spec/replicas", &["/status/readyReplicas", "/status/replicas"]),
    ("daemonsets", "/status/desiredNumberScheduled", &["/status/numberReady"]),
];

/// What became of a change.
pub(in crate::supervisor) enum Outcome {
    /// It was made, or refused.
    Made(Reply),
    /// It is the lab's own to make.
    Ours(Change),
}

/// Makes `change` where it is the API server's or the control plane's.
pub(in crate::supervisor) fn change(
    control_plane: &ControlPlane,
    change: Change,
) -> Result<Outcome> {
    let reply = match change {
        Change::Apply { manifests } => {
            let output = control_plane.kubectl(&["apply", "-o", "name", "-f", "-"], &manifests)?;
            Reply::Applied(applied(&output))
        }
        Change::Delete { manifests } => {
            let arguments = ["delete", "--wait=false", "-o", "name", "-f", "-"];
            Reply::Applied(applied(&control_plane.kubectl(&arguments, &manifests)?))
        }
        Change::DeleteObject(object) => {
            let arguments = [
                "delete",
                "--wait=false",
                "-n",
                &object.name.namespace,
                &object.kind,
                &object.name.name,
            ];
            control_plane.kubectl(&arguments, "")?.checked()?;
            Reply::Done
        }
        Change::Scale { workload, replicas } => {
            let replicas = format!("--replicas={replicas}");
            let name = &workload.name;
            let arguments = ["scale", "-n", &name.namespace, &replicas, &workload.kind, &name.name];
            control_plane.kubectl(&arguments, "")?.checked()?;
            Reply::Done
        }
        Change::ControlPlane { component, action } => {
            control_plane.command(component, action)?;
            Reply::Done
        }
        Change::RotateToken => {
            control_plane.rotate_token()?;
            Reply::Done
        }
        Change::RotateCertificate => {
            control_plane.rotate_certificate()?;
            Reply::Done
        }
        ours @ (Change::SetReady { .. } | Change::Daemon { .. }) => return Ok(Outcome::Ours(ours)),
    };
    Ok(Outcome::Made(reply))
}

/// Reads what `kubectl` did: a name a line, and a line for each object that was refused.
fn applied(output: &Output) -> Applied {
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    };
    let rejected = if output.success() { Vec::new() } else { lines(&output.stderr) };
    Applied { accepted: lines(&output.stdout), ignored: Vec::new(), rejected }
}

/// The workloads that the controllers have not seen as they are, or have not the pods for.
pub(in crate::supervisor) fn unsettled(api: &Api) -> Result<Vec<String>> {
    let mut unsettled = Vec::new();
    for (kind, wanted, counts) in WORKLOADS {
        let list = api.get(&format!("/apis/apps/v1/{kind}"))?;
        let items = list["items"].as_array().into_iter().flatten();
        for workload in items.filter(|workload| !is_settled(workload, wanted, counts)) {
            unsettled.push(format!("{kind} {} {}", object_name(workload), workload["status"]));
        }
    }
    Ok(unsettled)
}

/// The pods that the API server has, and whether they are being deleted.
pub(in crate::supervisor) fn pods(api: &Api) -> Result<Vec<(ObjectName, bool)>> {
    let list = api.get("/api/v1/pods")?;
    let pods = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| (object_name(pod), pod["metadata"]["deletionTimestamp"].is_string()));
    Ok(pods.collect())
}

fn is_settled(workload: &Value, wanted: &str, counts: &[&str]) -> bool {
    let number = |path: &str| workload.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    number("/status/observedGeneration") >= number("/metadata/generation")
        && counts.iter().all(|count| number(count) == number(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_is_settled_when_it_was_seen_and_has_its_pods() {
        let rows = [
            ("as it should be", json!({"observedGeneration": 2, "readyReplicas": 3}), true),
            ("not seen yet", json!({"observedGeneration": 1, "readyReplicas": 3}), false),
            ("one is missing", json!({"observedGeneration": 2, "readyReplicas": 2}), false),
            ("one too many", json!({"observedGeneration": 2, "readyReplicas": 4}), false),
            ("no status", json!({}), false),
        ];
        for (name, status, settled) in rows {
            let workload = json!({
                "metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status,
            });
            let found = is_settled(&workload, "/spec/replicas", &["/status/readyReplicas"]);
            assert_eq!(found, settled, "{name}");
        }
    }

    #[test]
    fn what_kubectl_refuses_is_told_by_its_own_words() {
        let output = Output {
            code: 1,
            stdout: "service/web\n".to_owned(),
            stderr: "The Service \"bad\" is invalid\n".to_owned(),
        };
        let applied = applied(&output);
        assert_eq!(applied.accepted, ["service/web"]);
        assert_eq!(applied.rejected, ["The Service \"bad\" is invalid"]);
    }
}
