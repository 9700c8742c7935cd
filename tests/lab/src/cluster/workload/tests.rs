use super::*;
use crate::cluster::manifest;
use crate::cluster::spec::PodSpec;
use crate::protocol::PodPhase;

/// A workload of `kind` with `spec` beside a template.
fn workload(kind: &str, spec: &str) -> Workload {
    let text = format!(
        "kind: {kind}\nmetadata: {{name: web}}\nspec: {{{spec}, template: {{spec: {{}}}}}}\n"
    );
    let manifest = manifest::parse(&text).unwrap().remove(0).unwrap();
    let manifest::Kind::Workload(kind) = manifest.kind.clone() else { panic!("{kind}") };
    Workload::read(kind, &manifest).unwrap()
}

/// A pod of `workload`: `R` ready, `N` not ready, `T` terminating; small letters: of an older
/// template.
fn pod(workload: &Workload, index: u32, state: char) -> Pod {
    let revision = if state.is_ascii_lowercase() { "old" } else { &workload.revision };
    let phase = match state.to_ascii_uppercase() {
        'T' => PodPhase::Terminating,
        _ => PodPhase::Running,
    };
    Pod {
        name: ObjectName::new("default", format!("web-{index}")),
        uid: index.to_string(),
        owner: Some(workload.owner(Some(index))),
        revision: revision.to_owned(),
        labels: spec::Labels::new(),
        annotations: spec::Labels::new(),
        spec: PodSpec::default(),
        node: Some(u8::try_from(index).unwrap() + 1),
        addresses: None,
        phase,
        ready: state.eq_ignore_ascii_case(&'R'),
        deleted_at: None,
        notes: Vec::new(),
        sequence: index.into(),
    }
}

/// The steps for pods in `states`; `.` leaves an ordinal out. `+` is any pod made, `+2` one with
/// that ordinal, `-2` the deletion of the pod of that index.
fn steps(workload: &Workload, states: &str) -> Vec<String> {
    let pods: Vec<_> = (0..)
        .zip(states.chars())
        .filter(|(_, state)| *state != '.')
        .map(|(index, state)| pod(workload, index, state))
        .collect();
    let steps = workload.steps(&pods.iter().collect::<Vec<_>>(), &[1, 2, 3]);
    steps
        .into_iter()
        .map(|step| match step {
            Step::Create { ordinal: Some(ordinal), .. } => format!("+{ordinal}"),
            Step::Create { node: Some(node), .. } => format!("+node-{node}"),
            Step::Create { .. } => "+".to_owned(),
            Step::Delete(name) => name.name.replace("web", ""),
        })
        .collect()
}

fn check(kind: &str, spec: &str, rows: &[(&str, &str, &[&str])]) {
    let workload = workload(kind, spec);
    for (what, states, expected) in rows {
        assert_eq!(steps(&workload, states), *expected, "{what}");
    }
}

#[test]
fn a_deployment_keeps_its_replicas_and_rolls_within_its_tolerance() {
    check(
        "Deployment",
        "replicas: 4",
        &[
            ("from nothing", "", &["+", "+", "+", "+"]),
            ("at rest", "RRRR", &[]),
            ("a deleted pod is replaced at once", "RRRT", &["+"]),
            ("too many: the unready one goes", "RNRRR", &["-1"]),
            ("too many: else the youngest", "RRRRR", &["-4"]),
            ("an update surges by one and takes one away", "rrrr", &["+", "-0"]),
            ("it waits for the new pod", "trrrN", &["+"]),
            ("it goes on when that is ready", "trrrRN", &["-1"]),
            ("old pods that do not serve cost nothing", "nnnn", &["+", "-0", "-1", "-2", "-3"]),
            ("the last old pod", "...rRRRR", &["-3"]),
        ],
    );
}

#[test]
fn a_deployment_can_be_told_to_end_all_pods_before_it_makes_new_ones() {
    check(
        "Deployment",
        "replicas: 2, strategy: {type: Recreate}",
        &[("ends", "rr", &["-0", "-1"]), ("waits", "tt", &[]), ("makes", "", &["+", "+"])],
    );
}

#[test]
fn a_stateful_set_goes_by_ordinals_one_at_a_time() {
    check(
        "StatefulSet",
        "replicas: 3",
        &[
            ("the first", "", &["+0"]),
            ("waits until it is ready", "N", &[]),
            ("the next", "R", &["+1"]),
            ("a hole is filled", "R.R", &["+1"]),
            ("not while the old pod is there", "RTR", &[]),
            ("shrinks from the top", "RRRRR", &["-4"]),
            ("one at a time", "RRRRT", &[]),
            ("updates from the top", "rrr", &["-2"]),
            ("the next one", "rrR", &["-1"]),
            ("waits for the new pod", "rrN", &[]),
            ("an old pod that is stuck is replaced", "rnR", &["-1"]),
        ],
    );
    check(
        "StatefulSet",
        "replicas: 3, podManagementPolicy: Parallel",
        &[
            ("all at once", "", &["+0", "+1", "+2"]),
            ("not over a pod that ends", "NT", &["+2"]),
            ("shrinks at once", "RRRRR", &["-3", "-4"]),
        ],
    );
}

#[test]
fn a_daemon_set_has_one_pod_a_node() {
    let workload = workload("DaemonSet", "selector: {}");
    let mut pods: Vec<_> = [1, 3].map(|index| pod(&workload, index, 'R')).into();
    for pod in &mut pods {
        pod.owner = Some(workload.owner(None));
    }
    let found = workload.steps(&pods.iter().collect::<Vec<_>>(), &[1, 2, 3]);
    let create = |node| Step::Create { ordinal: None, node: Some(node) };
    let expected = [create(1), create(3), Step::Delete(ObjectName::new("default", "web-3"))];
    assert_eq!(found, expected);
}

#[test]
fn replicas_are_one_unless_told() {
    check("ReplicaSet", "selector: {}", &[("none", "", &["+"]), ("one", "r", &[])]);
    check("ReplicaSet", "replicas: 0", &[("some", "RR", &["-0", "-1"])]);
}
