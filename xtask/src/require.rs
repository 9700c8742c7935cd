//! Programs that the lab and the netns tier run: found, installed, or named.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use podway_tests_peers::Peer;

/// Each program and the Debian package that has it.
const TOOLS: &[(&str, &str)] = &[
    ("bpftool", "bpftool"),
    ("busybox", "busybox"),
    ("conntrack", "conntrack"),
    ("curl", "curl"),
    ("delv", "dnsutils"),
    ("dig", "dnsutils"),
    ("gcc", "gcc"),
    ("go", "golang-go"),
    ("ip", "iproute2"),
    ("kdig", "knot-dnsutils"),
    ("musl-gcc", "musl-tools"),
    ("nft", "nftables"),
    ("python3", "python3-minimal"),
    ("unshare", "util-linux"),
];

/// Makes sure that every program is there, and returns the search path that finds them.
///
/// `purpose` says in messages who needs them, in the plural.
///
/// As root on a machine with apt-get the packages are installed.
///
/// # Errors
/// Something is missing and was not installed; the message has the command to run.
pub(crate) fn programs(purpose: &str) -> Result<OsString> {
    more_programs(purpose, TOOLS)
}

/// [`programs`] for others than those of the lab: each with the Debian package that has it.
///
/// # Errors
/// As there.
pub(crate) fn more_programs(purpose: &str, tools: &[(&str, &'static str)]) -> Result<OsString> {
    let path = search_path(std::env::var_os("PATH").unwrap_or_default())?;
    let packages = missing(tools, &path);
    if packages.is_empty() {
        return Ok(path);
    }
    let command = format!("apt-get install {}", packages.join(" "));
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root || find("apt-get", &path).is_none() {
        bail!("{purpose} need more programs; as root: `{command}`");
    }
    eprintln!("{purpose} need more programs: {command}");
    for arguments in [vec!["update", "-qq"], [vec!["install", "-y", "-qq"], packages].concat()] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        if !apt.status().context("apt-get cannot be started")?.success() {
            bail!("{purpose} need more programs and `{command}` failed");
        }
    }
    match missing(tools, &path).as_slice() {
        [] => Ok(path),
        packages => bail!("`{command}` ran, but did not bring {}", packages.join(", ")),
    }
}

/// Makes sure that the programs of a real control plane are there; builds those that are not.
///
/// # Errors
/// Go is missing or cannot build one; the message has what to do, and how to do without.
pub(crate) fn api_server() -> Result<()> {
    podway_tests_peers::require(&[&Peer::CONTROL_PLANE[..], &[Peer::HelmTemplate]].concat())
        .context("the tests against a real API server (API_SERVER_TESTS=off leaves them out)")
}

/// `path` with the folders of administration, which people who are not root often lack.
fn search_path(path: OsString) -> Result<OsString> {
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    std::env::join_paths(folders).context("extend PATH")
}

/// Packages of the programs among `tools` that `path` does not find.
fn missing(tools: &[(&str, &'static str)], path: &OsString) -> Vec<&'static str> {
    let absent = tools.iter().filter(|(program, _)| find(program, path).is_none());
    absent.map(|(_, package)| *package).collect()
}

/// Where `path` finds `program`.
fn find(program: &str, path: &OsString) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_path_lacks_is_named_by_its_package() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (program, _) in TOOLS.iter().filter(|(program, _)| *program != "dig") {
            std::fs::write(folder.path().join(program), "").expect("program is written");
        }
        assert_eq!(missing(TOOLS, &folder.path().into()), ["dnsutils"]);
    }

    #[test]
    fn the_folders_of_administration_come_last() {
        let path = search_path("/opt/bin:/usr/bin".into()).expect("path is extended");
        assert_eq!(path, "/opt/bin:/usr/bin:/usr/sbin:/sbin");
    }
}
