//! The benchmark at a small size, whole: it cannot rot unseen. No time is judged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use podway_tests_netns::isolated;
use podway_tests_peers::Peer;

const BENCH: &str = env!("CARGO_BIN_EXE_podway-tests-bench");

/// Builds the daemon that lies beside the benchmark: a stale one would be measured otherwise.
fn build_daemon() {
    let folder = Path::new(BENCH).parent().unwrap();
    // Whoever names it has just built it.
    if std::env::var_os("PODWAY_BIN").is_some_and(|named| *named == *folder.join("podway")) {
        return;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "podway-proxy-daemon", "--target-dir"]);
    cargo.arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
}

#[test]
fn program_measures_both_sides_and_prints_one_table() {
    if !isolated("program_measures_both_sides_and_prints_one_table") {
        return;
    }
    build_daemon();
    let output = Command::new(BENCH)
        .args(["program", "--services", "20,50", "--endpoints", "3"])
        .args(["--runs", "2", "--changes", "5"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for size in ["20 x 3", "50 x 3"] {
        let rows: Vec<_> =
            text.lines().filter(|line| line.starts_with(&format!("| {size} "))).collect();
        assert_eq!(rows.len(), 12, "{text}");
        assert!(rows.iter().all(|row| row.matches('|').count() == 8), "{text}");
        // Both sides of what is compared have figures, so there are ratios.
        assert_eq!(rows.iter().filter(|row| row.matches(" x |").count() == 2).count(), 5, "{text}");
    }
    for aim in ["from nothing under 1.00 s", "100 times faster", "under 5.00 ms", "no longer with"]
    {
        assert!(text.contains(aim), "{aim}: {text}");
    }
}

#[test]
fn datapath_measures_every_way_and_prints_one_table() {
    build_daemon();
    let output = Command::new(BENCH)
        .args([
            "datapath",
            "--services",
            "2,3",
            "--rounds",
            "1",
            "--count",
            "10",
            "--bulk-ms",
            "10",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    // The real kube-proxy is measured where it and its API server are built, and else its absence told.
    let is_built =
        [Peer::KubeProxy].iter().chain(&Peer::CONTROL_PLANE).all(|peer| peer.find().is_ok());
    let ways = if is_built { 7 } else { 6 };
    assert_eq!(text.contains("The real kube-proxy was left out"), !is_built, "{text}");
    for size in ["| 2 ", "| 3 "] {
        assert_eq!(text.lines().filter(|line| line.starts_with(size)).count(), ways, "{text}");
    }
    assert!(text.contains("3 Services: a connect by eBPF takes"), "{text}");
}

#[test]
fn daemon_that_is_not_there_is_named_with_the_way_to_get_it() {
    if !isolated("daemon_that_is_not_there_is_named_with_the_way_to_get_it") {
        return;
    }
    let output =
        Command::new(BENCH).args(["program", "--daemon", "/nonexistent/podway"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("/nonexistent/podway") && errors.contains("cargo"), "{errors}");
}
