//! A network namespace of our own: everything is measured there, and goes with it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// Set in the environment of the process inside: the namespace that it is not in.
const OUTSIDE: &str = "PODWAY_BENCH_OUTSIDE";

/// The network namespace of this process, namespaces(7).
const OWN: &str = "/proc/self/ns/net";

/// Where this process is.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a namespace of our own.
    Inside,
    /// Not there; it ran again inside, and ended so.
    Outside(ExitCode),
}

/// Who this process is to the kernel, which limits what it may send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Root of the first user namespace.
    Root,
    /// Root of a user namespace of its own.
    Mapped,
}

/// Runs this very program again in a network namespace of its own, unless it runs there already.
pub(crate) fn enter() -> Result<Place> {
    let own = fs::read_link(OWN).context(OWN)?;
    if let Some(outside) = std::env::var_os(OUTSIDE) {
        ensure!(
            own.as_os_str() != outside,
            "{OUTSIDE} is set, but this is no namespace of its own"
        );
        return Ok(Place::Inside);
    }
    // The owner of one's own folder in /proc is who one is.
    let is_root = fs::metadata("/proc/self").context("/proc/self")?.uid() == 0;
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    let status = Command::new("unshare")
        .args(user)
        .args(["--net", "--kill-child", "--fork", "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(OUTSIDE, OsString::from(own))
        .status()
        .context("unshare (package util-linux) cannot be started")?;
    // A code beyond 255 does not exist; none at all means a signal.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Place::Outside(code.map_or(ExitCode::FAILURE, ExitCode::from)))
}

/// Makes the loopback interface work, which a new namespace has switched off.
pub(crate) fn raise_loopback() -> Result<()> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .context("ip (package iproute2) cannot be started")?;
    ensure!(status.success(), "ip link set lo up: {status}");
    Ok(())
}

/// Who this process is to the kernel.
pub(crate) fn user() -> Result<User> {
    const MAP: &str = "/proc/self/uid_map";
    let map = fs::read_to_string(MAP).context(MAP)?;
    Ok(if maps_everybody(&map) { User::Root } else { User::Mapped })
}

/// Whether `map`, user_namespaces(7), is that of the first user namespace.
fn maps_everybody(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_user_namespace_maps_everybody() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
    }
}
