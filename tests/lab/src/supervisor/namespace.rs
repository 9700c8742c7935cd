//! Linux namespaces as values: making them, running code and processes in them.
//!
//! A namespace belongs to a thread, so everything here happens on short-lived threads of the
//! supervisor, and a process is put into a place by being started from a thread that is there.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

/// The namespaces of a place: network, host name and mounts.
#[derive(Debug)]
pub(super) struct Namespace {
    network: File,
    host_name: File,
    mounts: File,
    /// Where to write the number of a process that is to be in the place's cgroup.
    cgroup: Option<File>,
}

impl Namespace {
    /// Makes new namespaces and runs `prepare` in them.
    pub(super) fn create(
        host_name: &str,
        prepare: impl FnOnce() -> Result<()> + Send,
    ) -> Result<Self> {
        on_thread(|| {
            let flags =
                CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS;
            unshare(flags).context("namespaces cannot be made")?;
            nix::unistd::sethostname(host_name).context("host name cannot be set")?;
            prepare()?;
            Self::of_this_thread()
        })
    }

    /// Makes a mount namespace beside the network and host name of `self`, and runs `prepare`
    /// in it.
    pub(super) fn beside(&self, prepare: impl FnOnce() -> Result<()> + Send) -> Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNS).context("mount namespace cannot be made")?;
            setns(&self.network, CloneFlags::CLONE_NEWNET)?;
            setns(&self.host_name, CloneFlags::CLONE_NEWUTS)?;
            prepare()?;
            Self::of_this_thread()
        })
    }

    /// The namespaces that the calling thread is in.
    pub(super) fn of_this_thread() -> Result<Self> {
        let open = |name: &str| {
            let path = format!("/proc/thread-self/ns/{name}");
            File::open(&path).with_context(|| format!("{path} cannot be opened"))
        };
        Ok(Self {
            network: open("net")?,
            host_name: open("uts")?,
            mounts: open("mnt")?,
            cgroup: None,
        })
    }

    /// Runs `work` in these namespaces.
    pub(super) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            // Threads share their root and working directory until this; a mount namespace can
            // only be entered with ones of one's own.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.network, CloneFlags::CLONE_NEWNET)?;
            setns(&self.host_name, CloneFlags::CLONE_NEWUTS)?;
            setns(&self.mounts, CloneFlags::CLONE_NEWNS)?;
            work()
        })
    }

    /// The same with processes in the cgroup `folder`, if one is given.
    pub(super) fn in_cgroup(self, folder: Option<&Path>) -> Result<Self> {
        let open = |folder: &Path| {
            let path = folder.join("cgroup.procs");
            let file = File::options().write(true).open(&path);
            file.with_context(|| format!("{} cannot be opened", path.display()))
        };
        Ok(Self { cgroup: folder.map(open).transpose()?, ..self })
    }

    /// Puts the process that `command` becomes into the cgroup of the place, if it has one.
    #[expect(unsafe_code, reason = "the new process itself has to enter, before its program runs")]
    pub(super) fn place_process(&self, command: &mut Command) -> Result<()> {
        use std::os::unix::process::CommandExt as _;
        let Some(cgroup) = &self.cgroup else { return Ok(()) };
        let cgroup = cgroup.try_clone().context("cgroup cannot be opened again")?;
        // SAFETY: between fork and exec there is one system call and nothing that allocates.
        unsafe {
            command.pre_exec(move || {
                rustix::io::write(&cgroup, b"0")?;
                Ok(())
            });
        }
        Ok(())
    }

    /// Path by which a process of the lab can name the network namespace.
    pub(super) fn network_path(&self) -> String {
        use std::os::fd::AsRawFd;
        // The supervisor is process 1 here.
        format!("/proc/1/fd/{}", self.network.as_raw_fd())
    }
}

/// Runs `work` on a thread of its own and waits for it.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(anyhow!("work in a namespace panicked")))
    })
}
