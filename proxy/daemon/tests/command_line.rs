//! The binary without a kernel: help, flags, versions, and what it says without privileges.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The daemon under test.
const PODWAY: &str = env!("CARGO_BIN_EXE_podway");

/// User and group that own nothing (`nobody`).
const NOBODY: &str = "65534";

fn podway(arguments: &[&str]) -> Output {
    Command::new(PODWAY).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with one manifest.
fn folder(manifest: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("all.yaml"), manifest).unwrap();
    folder
}

fn plan(folder: &TempDir, more: &[&str]) -> Output {
    let path = folder.path().to_str().unwrap();
    let arguments = ["plan", "--hostname-override", "node-a", "--manifests", path];
    podway(&[&arguments, more].concat())
}

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  ports: [{name: http, port: 80, targetPort: 8080}]
"#;

#[test]
fn help_names_every_command_and_flag() {
    let help = podway(&["--help"]);
    assert!(help.status.success());
    for command in ["run", "plan", "cleanup", "events", "version"] {
        let listed = stdout(&help).lines().any(|line| line.trim().starts_with(command));
        assert!(listed, "no {command} in\n{}", stdout(&help));
    }
    let help = stdout(&podway(&["run", "--help"]));
    for flag in [
        "--manifests <DIR>",
        "--hostname-override <NAME>",
        "--cluster-domain <DOMAIN>",
        "--proxy-mode <MODE>",
        "--cluster-cidr <CIDR[,CIDR]>",
        "--masquerade-all",
        "--masquerade-bit <BIT>",
        "--nodeport-addresses <CIDRS>",
        "--allow-external-ips <CIDR>",
        "--dns-listen <ADDR:PORT>",
        "--dns-upstream <ADDR[:PORT]>",
        "--healthz-bind-address <ADDR[:PORT]>",
        "--metrics-bind-address <ADDR[:PORT]>",
        "--bind-address-hard-fail",
        "--log-level <LEVEL>",
        "--log-format <FORM>",
    ] {
        assert!(help.contains(flag), "no {flag} in\n{help}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let expected = format!("podway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&podway(&["version"])), expected);
    assert_eq!(stdout(&podway(&["--version"])), expected);
}

#[test]
fn every_wrong_flag_is_named_at_once_and_nothing_is_started() {
    let output = podway(&["run", "--proxy-mode=ipvs", "--cluster-cidr=x", "--log-level=loud"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.starts_with("podway: 4 flags are wrong:\n"), "{text}");
    for flag in ["--kubeconfig", "--proxy-mode", "--cluster-cidr", "--log-level"] {
        assert!(text.lines().any(|line| line.trim().starts_with(flag)), "no {flag} in\n{text}");
    }
    assert!(text.contains("is a mode of kube-proxy that podway lacks"), "{text}");
}

#[test]
fn flag_that_does_not_exist_is_a_usage_error() {
    let output = podway(&["run", "--ipvs-scheduler=rr"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--ipvs-scheduler"));
}

#[test]
fn want_of_privileges_is_one_line_with_the_ways_out() {
    let folder = folder(SERVICE);
    let manifests = folder.path().to_str().unwrap();
    for arguments in [&["run", "--manifests", manifests][..], &["cleanup"]] {
        let output = unprivileged(arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        for word in ["CAP_NET_ADMIN", "sudo", "unshare -rn"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
    }
}

/// Runs the daemon as nobody in particular, whoever runs the test.
fn unprivileged(arguments: &[&str]) -> Output {
    // The owner of one's own folder in /proc is who one is.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return podway(arguments);
    }
    // Nobody may not look into the folders that the binary stands in, so it comes by descriptor.
    let binary = std::fs::File::open(PODWAY).unwrap();
    let ids = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all"];
    Command::new("setpriv")
        .args(ids)
        .args(["--", "/proc/self/fd/0"])
        .args(arguments)
        .stdin(Stdio::from(binary))
        .output()
        .unwrap()
}

#[test]
fn plan_needs_no_privileges() {
    let folder = folder(SERVICE);
    let path = folder.path().to_str().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let output = unprivileged(&["plan", "--hostname-override=node-a", "--manifests", path]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("10.96.0.20:80/tcp"), "{}", stdout(&output));
}

#[test]
fn plan_as_json_is_read_by_programs() {
    let output = plan(&folder(SERVICE), &["-o", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["node"], "node-a");
    let port = &document["services"][0]["ports"][0];
    assert_eq!(port["frontends"][0]["address"], "10.96.0.20");
    assert_eq!(port["frontends"][0]["action"], "reject", "there is no endpoint");
}

#[test]
fn plan_tells_what_is_not_used_and_goes_on() {
    let rival = SERVICE.replace("name: web", "name: web-2");
    let bad = SERVICE.replace("name: web", "name: bad").replace("10.96.0.20", "10.96.0.300");
    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n";
    let folder = folder(&[SERVICE, &rival, &bad, other].join("---\n"));
    let mut file = std::fs::File::create(folder.path().join("broken.yaml")).unwrap();
    file.write_all(b"kind: Service\n  oops: [\n").unwrap();

    let output = plan(&folder, &[]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("shop/web "), "{}", stdout(&output));
    let text = stderr(&output);
    let lines = [
        "not used: all.yaml: service shop/bad: spec.clusterIP",
        "not used: broken.yaml: line ",
        "conflict at 10.96.0.20:80/tcp: service shop/web-2",
        "ignored: 1 of kind apps/v1 Deployment",
    ];
    for expected in lines {
        assert!(text.lines().any(|line| line.starts_with(expected)), "no {expected:?} in\n{text}");
    }
}

#[test]
fn folder_that_is_not_there_is_an_error() {
    let output = podway(&["plan", "--hostname-override=a", "--manifests=/nonexistent/folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent/folder"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn corefile_is_explained_or_every_mistake_is_listed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("Corefile");
    let path = path.to_str().unwrap();
    std::fs::write(folder.path().join("upstream"), "forward . 192.0.2.1\n").unwrap();
    std::fs::write(path, ".:53 {\n    cache 30\n    import upstream\n}\n").unwrap();
    let explained = podway(&["corefile", path]);
    assert!(explained.status.success(), "{}", stderr(&explained));
    assert!(stdout(&explained).contains("192.0.2.1"), "imports are read: {}", stdout(&explained));

    std::fs::write(path, ".:53 {\n    cashe 30\n    forward .\n}\n").unwrap();
    let refused = podway(&["corefile", path]);
    assert_eq!(refused.status.code(), Some(1));
    for mistake in ["Corefile:2:5: no plugin is called \"cashe\"", "Corefile:3:"] {
        assert!(stderr(&refused).contains(mistake), "{}", stderr(&refused));
    }

    let missing = podway(&["corefile", "/nonexistent/Corefile"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("/nonexistent/Corefile"), "{}", stderr(&missing));
}

#[test]
fn snapshots_are_saved_shown_and_replayed_as_the_manifests_they_are_of() {
    let folder = folder(SERVICE);
    let file = folder.path().join("cluster.snapshot");
    let path = file.to_str().unwrap();
    let manifests = folder.path().to_str().unwrap();
    let saved = podway(&["snapshot", "save", path, "--manifests", manifests]);
    assert!(saved.status.success(), "{}", stderr(&saved));
    let shown = stdout(&podway(&["snapshot", "show", path]));
    assert!(shown.contains("services    1 with ClusterIP\n"), "{shown}");
    let node = "--hostname-override=node-a";
    for output in ["table", "zone", "nft"] {
        let planned = stdout(&plan(&folder, &["-o", output]));
        let replayed = podway(&["snapshot", "replay", path, node, "-o", output]);
        assert_eq!(stdout(&replayed), planned, "{}", stderr(&replayed));
        let of_file = podway(&["plan", node, "--manifests", path, "-o", output]);
        assert_eq!(stdout(&of_file), planned, "{}", stderr(&of_file));
    }
    std::fs::write(&file, "apiVersion: v1").unwrap();
    let refused = podway(&["plan", node, "--manifests", path]);
    assert!(stderr(&refused).contains("is a file and no snapshot"), "{}", stderr(&refused));
    let refused = podway(&["snapshot", "show", path]);
    assert!(stderr(&refused).contains("is no snapshot of podway"), "{}", stderr(&refused));
}

#[test]
fn migration_prints_our_configuration_what_changes_and_what_is_not_supported() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
        clusterCIDR: 10.244.0.0/16\nmode: ipvs\nipvs: {strictARP: true}\n\
        nodePortAddresses: [10.0.0.0/8, 192.168.0.0/16]\n";
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kube-proxy}}\ndata:\n  \
         kubeconfig.conf: x\n  config.conf: {config:?}\n"
    );
    let corefile = ".:53 {\n    kubernetes cluster.local\n    forward . 192.0.2.53\n}\n";
    let (kube_proxy, coredns) = (write("map.yaml", &map), write("Corefile", corefile));
    let output = podway(&["migrate", "--kube-proxy", &kube_proxy, "--coredns", &coredns]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    for line in [
        "cluster-cidr: \"10.244.0.0/16\"",
        "nodeport-addresses: [\"10.0.0.0/8\",\"192.168.0.0/16\"]",
        "# - 4:7: mode has no effect: ipvs is a mode of kube-proxy",
        "# - 5:19: ipvs.strictARP has no effect",
        "# Of CoreDNS's configuration:",
    ] {
        assert!(printed.lines().any(|found| found.starts_with(line)), "no {line:?} in\n{printed}");
    }
    // What was printed is a configuration.
    let ours = write("ours.yaml", &printed);
    let again = podway(&["run", "--config", &ours, "--masquerade-bit=x"]);
    let complaint = stderr(&again);
    assert!(complaint.contains("--masquerade-bit"), "{complaint}");
    assert!(!complaint.contains("ours.yaml"), "{complaint}");
    let nothing = podway(&["migrate", "--manifests", folder.path().to_str().unwrap()]);
    assert!(stderr(&nothing).contains("name files with"), "{}", stderr(&nothing));
}
