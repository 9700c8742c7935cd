//! Where the view and the configuration come from: a snapshot on disk, and a file that changes.

use std::path::Path;

use podway_tests_netns::isolated;
use tempfile::TempDir;

use super::node::{self, Node, nft, podway, wait_for};
use super::{WEB, address_of};

/// A kubeconfig that leads to a server that is away.
const AWAY: &str = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
    clusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443'}}]\n\
    users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn restart_without_an_api_server_programs_and_answers_from_disk() {
    if !isolated("source::restart_without_an_api_server_programs_and_answers_from_disk") {
        return;
    }
    let node = Node::new();
    let folder = TempDir::new().unwrap();
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("web.yaml"), WEB).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, AWAY).unwrap();
    let snapshot = node.state().join("snapshot");
    podway(&["snapshot", "save", text(&snapshot), "--manifests", text(&manifests)]);

    let flags = ["--kubeconfig", text(&kubeconfig)];
    let mut daemon = node.start_bare(&flags);
    daemon.wait_until_ready();
    let ready = node::get(10256, "/readyz").body;
    assert!(ready.starts_with("ok: the view is of ") && ready.contains("from disk"), "{ready}");
    assert!(nft(&["list", "table", "ip", "podway"]).contains("10.244.1.5 . 8080"));
    assert_eq!(address_of(b"\x03web\x04shop\x03svc\x07cluster\x05local\0"), [10, 96, 0, 20]);
    let metrics = node::get(10249, "/metrics").body;
    assert!(metrics.lines().any(|line| line == "podway_view_from_disk 1"), "{metrics}");
    assert!(metrics.contains("podway_view_age_seconds"), "{metrics}");
    assert_eq!(daemon.stop("TERM").code(), Some(0), "{}", daemon.log());
    assert!(daemon.log().contains("last view found"), "{}", daemon.log());

    // One that was changed is said and ignored: nothing is programmed, no name is denied.
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let daemon = node.start_bare(&flags);
    wait_for("the refusal of the snapshot", || daemon.log().contains("last view not used"));
    assert!(daemon.log().contains("does not have the checksum it says"), "{}", daemon.log());
    wait_for("health", || node::try_get(10256, "/readyz").is_some());
    assert_eq!(node::get(10256, "/readyz").status, 503);
}

#[test]
fn configuration_file_is_taken_over_while_the_daemon_runs() {
    if !isolated("source::configuration_file_is_taken_over_while_the_daemon_runs") {
        return;
    }
    let node = Node::new();
    let folder = TempDir::new().unwrap();
    let (manifests, config) = (folder.path().join("manifests"), folder.path().join("config.yaml"));
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("web.yaml"), WEB).unwrap();
    let write = |fields: &str| {
        let text = format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{fields}\n"
        );
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &config).unwrap();
    };
    write("clusterCIDR: 10.7.0.0/16\nmode: iptables");
    let daemon = node.start_bare(&["--config", text(&config), "--manifests", text(&manifests)]);
    daemon.wait_until_ready();
    let rules = || nft(&["list", "table", "ip", "podway"]);
    assert!(rules().contains("10.7.0.0/16"), "{}", rules());
    assert!(daemon.log().contains("mode has no effect"), "{}", daemon.log());

    write("clusterCIDR: 10.8.0.0/16\nmetricsBindAddress: 127.0.0.1:10300");
    wait_for("the new range", || rules().contains("10.8.0.0/16"));
    wait_for("the note of the rest", || daemon.log().contains("--metrics-bind-address"));

    write("clusterCIDR: 10.9.0.0\nmode: userspace");
    wait_for("the mistakes", || daemon.log().contains("configuration not taken over"));
    let log = daemon.log();
    for mistake in ["config.yaml:3:14: clusterCIDR: --cluster-cidr", "config.yaml:4:7: mode:"] {
        assert!(log.contains(mistake), "no {mistake:?} in\n{log}");
    }
    assert!(rules().contains("10.8.0.0/16"), "what runs stays");
}
