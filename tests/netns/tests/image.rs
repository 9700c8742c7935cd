//! The image of `deploy/`: made, unpacked and started as a container runtime would.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podway_tests_netns::isolated_after;
use podway_tests_netns::manifests::SHOP_WEB;
use serde_json::Value;

/// Starts the image's entry point on a read-only root with what a runtime adds, asks the daemon by
/// its own probe, and prints what it programmed and what it answers.
const CONTAINER: &str = r#"
set -eu
ip link set lo up
mount --bind "$1" "$1"
mount --rbind /proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mount -o remount,bind,ro "$1"
chroot "$1" /podway run --manifests /manifests --hostname-override node-a \
    --cluster-cidr 10.244.0.0/16 --dns-listen 127.0.0.1:53 --probe-socket /run/probe &
daemon=$!
tries=0
until chroot "$1" /podway probe ready --probe-socket /run/probe 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 600 ]
    sleep 0.1
done
nft list table ip podway
dig +short +tries=1 @127.0.0.1 web.shop.svc.cluster.local
kill -TERM $daemon
wait $daemon
echo stopped well
"#;

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the image is unpacked; made before the test goes into its namespaces.
fn unpacked() -> PathBuf {
    repository().join("target/image/unpacked")
}

/// Makes the image and unpacks it; the binary is built without optimization, which takes as long as
/// the rest of the suite.
fn unpack() {
    let archive = repository().join("target/image/test.tar");
    run(Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["xtask", "image", "--profile", "dev", "--output"])
        .arg(&archive));
    let (layers, root) = (repository().join("target/image/layers"), unpacked());
    for folder in [&layers, &root] {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder).unwrap();
    }
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&layers));
    let manifest = fs::read(layers.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let names: Vec<_> = manifest[0]["Layers"].as_array().unwrap().iter().collect();
    let [layer] = names.as_slice() else { panic!("one layer is enough: {names:?}") };
    let layer = layers.join(layer.as_str().unwrap());
    run(Command::new("tar").arg("-xf").arg(layer).arg("-C").arg(&root));
    let files: Vec<_> =
        fs::read_dir(&root).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["podway"], "nothing but the binary");
    for folder in ["proc", "run", "manifests"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("manifests/all.yaml"), SHOP_WEB).unwrap();
}

/// What `command` printed; its complaints are the test's.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
    text.into_owned()
}

#[test]
fn image_of_one_binary_serves_a_node_from_a_read_only_root() {
    if !isolated_after("image_of_one_binary_serves_a_node_from_a_read_only_root", unpack) {
        return;
    }
    let script = ["--mount", "--", "timeout", "120", "sh", "-c", CONTAINER, "container"];
    let text = run(Command::new("unshare").args(script).arg(unpacked()));
    for line in ["10.244.1.5 . 8080", "10.96.0.20", "stopped well"] {
        assert!(text.contains(line), "no {line:?} in\n{text}");
    }
}
