//! The folder of a running lab: its socket, lock, logs and the manifests that daemons watch.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Folder of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateDir(PathBuf);

/// Prefix of the names of labs that belong to one process and end with it.
const OWNED: &str = "owned-";

impl StateDir {
    /// The folder of the lab `name`; it need not exist.
    pub(crate) fn of(name: &str) -> Result<Self> {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !name.is_empty() && name.len() <= 40 && name.chars().all(valid),
            "lab name {name:?}: 1 to 40 letters, digits, '-' or '_' are accepted"
        );
        Ok(Self(base().join(name)))
    }

    /// The folder at `path`, which another process made.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// A name for a lab that ends with this process.
    pub(crate) fn owned_name(number: u32) -> String {
        format!("{OWNED}{}-{number}", std::process::id())
    }

    /// Makes the folder, and the base folder of all labs if it is missing.
    pub(crate) fn create(&self) -> Result<()> {
        let base = base();
        make_private(&base)?;
        let metadata = fs::symlink_metadata(&base)?;
        let me = nix::unistd::geteuid().as_raw();
        // Under /tmp anybody could have made it first.
        if !metadata.is_dir() || metadata.uid() != me || metadata.permissions().mode() & 0o077 != 0
        {
            bail!("{} must be a folder of user {me} with mode 0700", base.display());
        }
        remove_dead_owned(&base);
        make_private(&self.0)?;
        make_private(&self.logs())?;
        make_private(&self.manifests())
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the supervisor listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What the supervisor was started with.
    pub(crate) fn settings(&self) -> PathBuf {
        self.0.join("settings.json")
    }

    /// The folder that the daemons watch.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.0.join("manifests")
    }

    /// The folder of logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The log of the supervisor.
    pub(crate) fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }

    /// The log of the daemon on `node`.
    pub(crate) fn podway_log(&self, node: &str) -> PathBuf {
        self.logs().join(format!("podway-{node}.log"))
    }

    /// The folder of a real control plane.
    pub(crate) fn control_plane(&self) -> PathBuf {
        self.0.join("control-plane")
    }

    /// Where the API server is spoken to.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }

    /// The log of queries that reached the name server outside.
    pub(crate) fn upstream_log(&self) -> PathBuf {
        self.logs().join("upstream.log")
    }

    /// Takes the lock that a running lab holds; `None` if another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>> {
        lock(&self.0)
    }

    /// Process that started the lab, if it runs.
    ///
    /// The number is trusted only while the lock is held: then its writer is alive.
    pub(crate) fn launcher(&self) -> Result<Option<nix::unistd::Pid>> {
        if !self.0.exists() || self.try_lock()?.is_some() {
            return Ok(None);
        }
        let text = fs::read_to_string(self.0.join("lock"))?;
        Ok(text.trim().parse().ok().map(nix::unistd::Pid::from_raw))
    }

    /// Removes the folder of a lab that does not run.
    pub(crate) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.0.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Folder of all labs of this user.
fn base() -> PathBuf {
    if let Some(base) = std::env::var_os("PODWAY_LAB_DIR") {
        return base.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(run) if run.is_dir() => run.join("podway-lab"),
        Some(_) | None => {
            let user = nix::unistd::geteuid();
            std::env::temp_dir().join(format!("podway-lab-{user}"))
        }
    }
}

/// Makes a folder that only its owner can enter.
fn make_private(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("{} cannot be made", path.display()))
}

/// Opens and locks the lock file of the lab in `folder`.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("lab cannot be locked"),
    }
}

/// Removes what labs left behind whose owner was killed. Their processes are gone already.
fn remove_dead_owned(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(OWNED)) else { continue };
        let owner = rest.split('-').next().unwrap_or_default();
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        if let Ok(Some(_lock)) = lock(&entry.path()) {
            // Another process may do the same at this moment; both want it gone.
            fs::remove_dir_all(entry.path()).unwrap_or_default();
        }
    }
}
