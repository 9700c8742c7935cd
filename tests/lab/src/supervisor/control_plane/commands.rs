//! Command lines of the control plane's programs.
//!
//! Everything that the programs would guess is said: a machine may lack what they guess from.

use std::path::Path;
use std::process::Command;

use super::Component;
use super::layout::Layout;
use crate::address::{self, API_PORT, SERVICE_CIDRS};
use crate::settings::ControlPlanePrograms;

/// Controllers that this project's users meet: slices, workloads, and what keeps namespaces alive.
/// The scheduler and kubelets are the lab's, and with them all that watches over nodes.
const CONTROLLERS: [&str; 11] = [
    "daemonset-controller",
    "deployment-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "endpoints-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
];

/// The command of `component`.
pub(super) fn command(
    component: Component,
    programs: &ControlPlanePrograms,
    layout: &Layout,
) -> Command {
    let mut command = match component {
        Component::Etcd => etcd(&programs.etcd, layout),
        Component::ApiServer => api_server(&programs.kube_apiserver, layout),
        Component::ControllerManager => {
            controller_manager(&programs.kube_controller_manager, layout)
        }
        Component::Proxy => proxy(&programs.kubectl, layout),
    };
    command.current_dir("/").env("HOME", layout.folder());
    command
}

fn etcd(program: &Path, layout: &Layout) -> Command {
    const CLIENTS: &str = "http://127.0.0.1:2379";
    const PEERS: &str = "http://127.0.0.1:2380";
    let mut command = Command::new(program);
    command
        .args(["--name", "lab", "--unsafe-no-fsync", "--log-level", "warn", "--data-dir"])
        .arg(layout.etcd())
        .args(["--listen-client-urls", CLIENTS, "--advertise-client-urls", CLIENTS])
        .args(["--listen-peer-urls", PEERS, "--initial-advertise-peer-urls", PEERS])
        .args(["--initial-cluster", &format!("lab={PEERS}")])
        .args(["--quota-backend-bytes", "4294967296"]);
    command
}

fn api_server(program: &Path, layout: &Layout) -> Command {
    let mut command = Command::new(program);
    let file = |name: &str| layout.pki().join(name).display().to_string();
    for (flag, value) in [
        ("advertise-address", address::control_plane().v4.to_string()),
        ("allow-privileged", "true".to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("bind-address", "::".to_owned()),
        ("cert-dir", layout.folder().display().to_string()),
        ("client-ca-file", file("ca.crt")),
        // Pods of the lab mount no tokens, and need not wait for their namespace's account. Nodes
        // are ready from the beginning, and nobody is there who would take a taint away.
        ("disable-admission-plugins", "ServiceAccount,TaintNodesByCondition".to_owned()),
        ("etcd-servers", "http://127.0.0.1:2379".to_owned()),
        ("secure-port", API_PORT.to_string()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
        ("service-account-key-file", file("accounts.pub")),
        ("service-account-signing-key-file", file("accounts.key")),
        ("service-cluster-ip-range", SERVICE_CIDRS.join(",")),
        ("tls-cert-file", file("api-server.crt")),
        ("tls-private-key-file", file("api-server.key")),
    ] {
        command.arg(format!("--{flag}={value}"));
    }
    command
}

fn controller_manager(program: &Path, layout: &Layout) -> Command {
    let mut command = Command::new(program);
    let file = |name: &str| layout.pki().join(name).display().to_string();
    for (flag, value) in [
        ("bind-address", "127.0.0.1".to_owned()),
        ("cert-dir", layout.folder().display().to_string()),
        ("controllers", CONTROLLERS.join(",")),
        ("kube-api-burst", "2000".to_owned()),
        ("kube-api-qps", "1000".to_owned()),
        ("kubeconfig", layout.kubeconfig("controller-manager").display().to_string()),
        ("leader-elect", "false".to_owned()),
        ("root-ca-file", file("ca.crt")),
        ("service-account-private-key-file", file("accounts.key")),
    ] {
        command.arg(format!("--{flag}={value}"));
    }
    command
}

fn proxy(program: &Path, layout: &Layout) -> Command {
    let mut command = Command::new(program);
    command.arg("--kubeconfig").arg(layout.kubeconfig("admin"));
    // It checks who calls by the Host header; the socket's folder is the lab's owner's alone.
    command.args(["proxy", "--accept-hosts", ".*", "--unix-socket"]).arg(layout.socket());
    command
}
