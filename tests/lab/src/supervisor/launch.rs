//! Makes the namespaces that a lab lives in, and explains what is missing where it cannot.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::state_dir::StateDir;

/// Folders of administrators' programs, which are not on everybody's path.
const ADMIN_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Starts the supervisor of the lab in `state` and waits for its end.
///
/// # Errors
/// When namespaces cannot be made; the error names what is missing and how to get it.
pub fn launch(state: &Path) -> Result<ExitCode> {
    let state = StateDir::at(state);
    let Some(mut lock) = state.try_lock()? else { bail!("the lab is up already") };
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    // A terminal that closes, or Ctrl-C on it, is not meant for the lab.
    nix::unistd::setsid().context("no session of its own")?;
    enter_namespaces()?;
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new("/proc/self/exe")
        .arg0("podway-lab")
        .arg("supervise")
        .arg(state.path())
        .env("PATH", format!("{path}:{ADMIN_PATH}"))
        .status()
        .context("supervisor cannot be started")?;
    drop(lock);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Moves this process into new namespaces; its next child is process 1 there.
fn enter_namespaces() -> Result<()> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // root of a container may lack the right; a user namespace gives it there too.
    if user.is_root() && unshare(flags).is_ok() {
        return Ok(());
    }
    unshare(flags | CloneFlags::CLONE_NEWUSER).map_err(explain)?;
    fs::write("/proc/self/setgroups", "deny").context("groups cannot be given up")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).context("user cannot be mapped")?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).context("group cannot be mapped")?;
    // Distributions that restrict user namespaces let them be made and take the rights away.
    nix::unistd::sethostname("podway-lab").map_err(explain)
}

/// What is missing, in one line with how to get it.
fn explain(error: Errno) -> anyhow::Error {
    let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let remedy = if setting("kernel/apparmor_restrict_unprivileged_userns").trim() == "1" {
        "this system restricts user namespaces: \
         `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run this as root"
    } else if setting("kernel/unprivileged_userns_clone").trim() == "0" {
        "this system forbids user namespaces: \
         `sudo sysctl -w kernel.unprivileged_userns_clone=1`, or run this as root"
    } else if setting("user/max_user_namespaces").trim() == "0" {
        "this system allows no user namespaces: \
         `sudo sysctl -w user.max_user_namespaces=10000`, or run this as root"
    } else {
        "the kernel or a container refuses namespaces: run this as root, and in a container \
         with `--privileged`"
    };
    anyhow::Error::new(error).context(remedy)
}
