//! What a place sees of the file system: the machine's, with a few files of its own laid over.
//!
//! Every mount is made in a private mount namespace and is gone with it.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};

/// Where the lab keeps files that only its own namespaces see.
const PRIVATE: &str = "/run/podway-lab";

/// Folder inside a pod with its readiness file.
pub(super) const POD_FOLDER: &str = "/run/pod";

/// Name lookups that ask files and DNS and nothing of the machine, such as its resolver daemon.
const NAME_SERVICES: &str =
    "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n";

/// Separates the supervisor's mounts from the machine's.
///
/// `/run` becomes empty: name-service daemons of the machine would answer for it through sockets
/// there, and `ip netns` would leave its files.
pub(super) fn separate(state: &Path) -> Result<()> {
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("mounts cannot be made private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), NONE)
        .context("/proc cannot be mounted for the lab's processes")?;
    let kept = File::open(state)?;
    tmpfs(Path::new("/run"), "mode=0755")?;
    if !state.exists() {
        // The state folder lay under /run.
        fs::create_dir_all(state)?;
        let source = format!("/proc/self/fd/{}", kept.as_raw_fd());
        bind(Path::new(&source), state)?;
    }
    fs::create_dir_all("/run/netns")?;
    fs::create_dir_all("/run/lock")?;
    fs::create_dir_all(PRIVATE)?;
    let name_services = Path::new(PRIVATE).join("nsswitch.conf");
    fs::write(&name_services, NAME_SERVICES)?;
    let target = Path::new("/etc/nsswitch.conf");
    // Without it the C library asks files and DNS anyway.
    if target.exists() { bind(&name_services, target) } else { Ok(()) }
}

/// Where the daemon of node `number` pins what outlives it.
pub(super) fn pins(number: u8) -> PathBuf {
    Path::new(PRIVATE).join(format!("bpf-{number}"))
}

/// Mounts a file system for pins of node `number`; it is gone with the lab.
pub(super) fn mount_pins(number: u8) -> Result<()> {
    const NONE: Option<&str> = None;
    let at = pins(number);
    fs::create_dir_all(&at)?;
    mount(Some("bpf"), &at, Some("bpf"), MsFlags::empty(), NONE)
        .with_context(|| format!("no bpffs can be mounted on {}, which needs root", at.display()))
}

/// Files of one place, kept outside of it.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

impl Files {
    /// Makes the folder of the place that is unique by `name`.
    pub(super) fn create(name: &str) -> Result<Self> {
        let files = Self(Path::new(PRIVATE).join(name));
        fs::create_dir_all(files.pod())?;
        Ok(files)
    }

    /// What the pod sees as [`POD_FOLDER`].
    pub(super) fn pod(&self) -> PathBuf {
        self.0.join("pod")
    }

    /// The file whose existence makes a pod ready.
    pub(super) fn ready(&self) -> PathBuf {
        self.pod().join("ready")
    }

    /// Name of the place whose pod folder holds the file `path`.
    pub(super) fn owner(path: &Path) -> Option<String> {
        let inside = path.strip_prefix(PRIVATE).ok()?;
        Some(inside.components().next()?.as_os_str().to_str()?.to_owned())
    }

    /// Lays resolv.conf and hosts over the calling thread's mounts.
    pub(super) fn lay_names(&self, resolv_conf: &str, hosts: &str) -> Result<()> {
        for (name, text) in [("resolv.conf", resolv_conf), ("hosts", hosts)] {
            let file = self.0.join(name);
            fs::write(&file, text)?;
            lay_over(&file, &Path::new("/etc").join(name))?;
        }
        Ok(())
    }

    /// Gives the calling thread's mounts a `/tmp` of their own and the pod's folder.
    pub(super) fn lay_pod(&self) -> Result<()> {
        fs::create_dir_all(POD_FOLDER)?;
        bind(&self.pod(), Path::new(POD_FOLDER))?;
        tmpfs(Path::new("/tmp"), "mode=1777")
    }

    /// Removes them.
    pub(super) fn remove(&self) {
        // They lie in memory that the lab owns; what cannot be removed now goes with it.
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// Mounts an empty file system in memory.
fn tmpfs(at: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))
        .with_context(|| format!("no file system in memory can be mounted on {}", at.display()))
}

/// Mounts `source` on `target`.
fn bind(source: &Path, target: &Path) -> Result<()> {
    const NONE: Option<&str> = None;
    mount(Some(source), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .with_context(|| format!("{} cannot be mounted", target.display()))
}

/// Mounts the file `source` on `target`, following links of the machine into the empty `/run`.
fn lay_over(source: &Path, target: &Path) -> Result<()> {
    let mut real = target.to_path_buf();
    while let Ok(next) = fs::read_link(&real) {
        real = real.parent().unwrap_or(Path::new("/")).join(next);
    }
    if !real.exists() {
        let in_run = ["/run", "/var/run"].iter().any(|run| real.starts_with(run));
        // Only what the lab has emptied is its own to write to.
        ensure!(in_run, "{} does not exist on this machine; create it empty", target.display());
        if let Some(folder) = real.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create(&real)?;
    }
    bind(source, &real)
}
