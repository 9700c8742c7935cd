//! `cargo xtask peers` with a `go` that is played: what is built, kept, and said when it cannot be.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A `go` that says who it is, notes what it is asked to build, and makes that file.
const GO: &str = "#!/bin/sh
if [ \"$1\" = env ]; then echo go1.26.0; echo linux; echo amd64; exit 0; fi
echo \"$CGO_ENABLED $*\" >>\"$GO_LOG\"
while [ \"$1\" != -o ]; do shift; done
echo program >\"$2\"
exit \"${GO_STATUS:-0}\"
";

struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(go: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        if let Some(text) = go {
            let program = folder.path().join("bin/go");
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn peers(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let tools = if self.path("bin/go").exists() { ":/usr/bin:/bin" } else { "" };
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .arg("peers")
            .args(arguments)
            .env("PATH", format!("{}{tools}", self.path("bin").display()))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("GO_LOG", self.path("log"))
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn builds(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn what_was_built_lies_in_the_cache_and_is_not_built_again() {
    let machine = Machine::new(Some(GO));
    let output = machine.peers(&["coredns", "kubectl"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let programs: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(PathBuf::from)
        .collect();
    assert_eq!(programs.len(), 2, "{}", text(&output));
    for program in &programs {
        assert!(program.starts_with(machine.path("cache/podway/peers")), "{}", program.display());
        assert_eq!(fs::read_to_string(program).unwrap(), "program\n");
    }
    let builds = machine.builds();
    assert_eq!(builds.len(), 2, "{builds:?}");
    for build in &builds {
        assert!(build.starts_with("0 build -trimpath -mod=readonly"), "{build}");
    }
    assert!(builds[1].contains("version.gitVersion=v1."), "{builds:?}");
    assert!(machine.peers(&["coredns", "kubectl"], &[]).status.success());
    assert_eq!(machine.builds(), builds, "the second time builds nothing");
    // A program that somebody removed is built again, and no other.
    fs::remove_file(&programs[0]).unwrap();
    assert!(machine.peers(&["coredns", "kubectl"], &[]).status.success());
    assert_eq!(machine.builds().len(), 3);
}

#[test]
fn another_go_builds_anew() {
    let machine = Machine::new(Some(GO));
    assert!(machine.peers(&["coredns"], &[]).status.success());
    fs::write(machine.path("bin/go"), GO.replace("go1.26.0", "go1.27.0")).unwrap();
    assert!(machine.peers(&["coredns"], &[]).status.success());
    assert_eq!(machine.builds().len(), 2);
}

#[test]
fn a_build_that_fails_leaves_no_program_behind() {
    let machine = Machine::new(Some(GO));
    let output = machine.peers(&["coredns"], &[("GO_STATUS", "1")]);
    assert!(!output.status.success());
    assert!(text(&output).contains("go cannot build coredns"), "{}", text(&output));
    assert!(machine.peers(&["coredns"], &[]).status.success());
    assert_eq!(machine.builds().len(), 2, "what failed is tried again");
}

#[test]
fn a_machine_without_go_is_told_what_to_get() {
    let machine = Machine::new(None);
    let output = machine.peers(&["etcd"], &[]);
    assert!(!output.status.success());
    let text = text(&output);
    assert!(text.contains("Go 1.26") && text.contains("https://go.dev/dl"), "{text}");
    assert!(!Path::new(&machine.path("cache")).exists(), "nothing was begun");
}

#[test]
fn a_name_that_is_no_peer_is_refused_with_those_that_are() {
    let output = Machine::new(None).peers(&["kubelet"], &[]);
    assert!(!output.status.success());
    assert!(text(&output).contains("kube-controller-manager"), "{}", text(&output));
}
