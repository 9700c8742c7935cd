//! Programs that the lab needs from the system: installs what is missing, or says how to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Programs and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("dig", "dnsutils"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
];

/// Folders of administrators' programs, which are not on everybody's path.
const ADMIN_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Makes sure that every program is there: as root on a Debian system it installs the packages.
///
/// # Errors
/// When a program is missing; the error names the command that installs it.
pub(crate) fn programs() -> Result<()> {
    let packages = missing(PROGRAMS, is_installed);
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let is_root = process_is_root()?;
    if !(is_root && is_installed("apt-get")) {
        let sudo = if is_root { "" } else { "sudo " };
        bail!("missing programs; install them with `{sudo}apt-get install {list}`");
    }
    eprintln!("installing {list}");
    for arguments in [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends"]]
    {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        if arguments[0] == "install" {
            command.args(&packages);
        }
        let status = command.status().context("apt-get cannot be started")?;
        if !status.success() {
            bail!("apt-get cannot install {list}: {status}");
        }
    }
    Ok(())
}

/// The packages of those `programs` that are not installed.
fn missing<'a>(programs: &[(&str, &'a str)], is_installed: impl Fn(&str) -> bool) -> Vec<&'a str> {
    programs
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect()
}

/// Whether `program` is found where the lab will look for it.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ADMIN_FOLDERS.map(|folder| Path::new(folder).to_path_buf()))
        .any(|folder| folder.join(program).is_file())
}

/// Whether this process runs as root.
fn process_is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata("/proc/self").context("/proc cannot be read")?;
    Ok(metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_missing_programs_are_named_in_order() {
        let present = |program: &str| program != "dig" && program != "nft";
        assert_eq!(missing(PROGRAMS, present), ["dnsutils", "nftables"]);
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program-anywhere"));
    }
}
