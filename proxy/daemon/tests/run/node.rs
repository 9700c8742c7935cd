//! A node of one network namespace with a daemon in it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for anything; a healthy daemon needs a small part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(10);

/// A node: its loopback interface is up, and it has a folder of manifests.
pub(crate) struct Node {
    folder: TempDir,
    state: TempDir,
}

/// A running daemon, ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: tempfile::NamedTempFile,
}

/// An answer to an HTTP request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Node {
    /// Brings up the namespace that the test runs in.
    pub(crate) fn new() -> Self {
        ip(&["link", "set", "lo", "up"]);
        Self { folder: TempDir::new().unwrap(), state: TempDir::new().unwrap() }
    }

    /// Puts a manifest into the folder, whole at once.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let hidden = self.folder.path().join(format!(".{name}"));
        std::fs::write(&hidden, text).unwrap();
        std::fs::rename(hidden, self.folder.path().join(name)).unwrap();
    }

    /// The folder of manifests.
    pub(crate) fn manifests(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Starts the daemon with these further flags.
    pub(crate) fn start(&self, flags: &[&str]) -> Daemon {
        let usual = ["--cluster-cidr=10.244.0.0/16", "--manifests", self.manifests()];
        self.start_bare(&[&usual, flags].concat())
    }

    /// The folder of what outlives the daemon.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// Starts the daemon with these flags and no more than the node's name and that folder.
    pub(crate) fn start_bare(&self, flags: &[&str]) -> Daemon {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_podway"))
            .args(["run", "--hostname-override=node-a", "--state-dir"])
            .arg(self.state.path())
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Daemon { child, log }
    }
}

impl Daemon {
    /// Waits until `/readyz` says so.
    pub(crate) fn wait_until_ready(&self) {
        wait_for(&format!("readiness; log: {}", self.log.path().display()), || {
            try_get(10256, "/readyz").is_some_and(|answer| answer.status == 200)
        });
    }

    /// Everything that was logged so far.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        File::open(self.log.path()).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        run("kill", &["-s", name, &self.child.id().to_string()]).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(&mut self, name: &str) -> ExitStatus {
        self.signal(name);
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the end of the daemon", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}

/// Waits until `condition` holds.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// Asks the daemon over HTTP.
pub(crate) fn get(port: u16, path: &str) -> Answer {
    try_get(port, path).unwrap_or_else(|| panic!("no answer from port {port}"))
}

/// Asks the daemon over HTTP; nothing where nobody listens.
pub(crate) fn try_get(port: u16, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer { status, body: body.to_owned() })
}

/// Changes the namespace's network.
pub(crate) fn ip(arguments: &[&str]) {
    run("ip", arguments).unwrap();
}

/// What `nft` prints.
pub(crate) fn nft(arguments: &[&str]) -> String {
    try_nft(arguments).unwrap_or_else(|error| panic!("nft {arguments:?}: {error}"))
}

/// What `nft` prints, or its complaint.
pub(crate) fn try_nft(arguments: &[&str]) -> Result<String, String> {
    run("nft", arguments)
}

/// What the daemon's binary prints when it runs to its end.
pub(crate) fn podway(arguments: &[&str]) -> String {
    try_podway(arguments).unwrap()
}

/// What the daemon's binary prints when it runs to its end, or its complaint.
pub(crate) fn try_podway(arguments: &[&str]) -> Result<String, String> {
    run(env!("CARGO_BIN_EXE_podway"), arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot run: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
