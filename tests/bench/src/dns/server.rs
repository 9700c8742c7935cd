//! The servers that are measured, as processes on one processor.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::Name;
use podway_tests_synthetic::Cluster;

use super::questions::{Question, ZONE};
use crate::measure;

/// File of the zone, in the folder of the benchmark.
pub(super) const ZONE_FILE: &str = "zone";

/// Where every server listens, one at a time.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);

/// Longest time to be ready.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// How long one reply is waited for.
const REPLY_LIMIT: Duration = Duration::from_millis(500);

/// Times that a question is asked until a server is held to be silent.
const TRIES: usize = 5;

/// How much of the log is shown of a server that failed.
const LOG_BYTES: usize = 2_000;

/// Programs that the benchmark runs, and the Debian packages that have them.
const TOOLS: [(&str, &str); 3] =
    [("dnsperf", "dnsperf"), ("knotd", "knot"), ("taskset", "util-linux")];

/// A kind of server.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Ours, for a cluster.
    Podway(Cluster),
    /// Knot DNS.
    Knot,
    /// CoreDNS, by its program.
    CoreDns(PathBuf),
}

/// A server that answers; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    log: PathBuf,
}

/// Fails if a program is missing, with the names of all that are.
pub(super) fn require(kinds: &[Kind]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    let is_there = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| *package).collect();
    // The package of Knot starts a server of its own, so it is not installed unasked.
    ensure!(
        missing.is_empty(),
        "programs are missing: `apt-get install {}` (where systemd runs, then stop Knot's own \
         server: `systemctl disable --now knot`)",
        missing.join(" ")
    );
    for kind in kinds {
        if let Kind::CoreDns(program) = kind {
            ensure!(program.is_file(), "{} is not there", program.display());
        }
    }
    Ok(())
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Podway(_) => "podway",
            Self::Knot => "Knot",
            Self::CoreDns(_) => "CoreDNS",
        }
    }

    /// What the program says of its version.
    pub(super) fn version(&self) -> Result<String> {
        let mut command = match self {
            Self::Podway(_) => return Ok(format!("podway {}", env!("CARGO_PKG_VERSION"))),
            Self::Knot => Command::new("knotd"),
            Self::CoreDns(program) => Command::new(program),
        };
        let output = command.arg(match self {
            Self::Podway(_) | Self::Knot => "--version",
            Self::CoreDns(_) => "-version",
        });
        let output = output.output().with_context(|| format!("version of {}", self.name()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// How it is started; what it reads stands in `folder`.
    fn command(&self, folder: &Path) -> Result<Vec<String>> {
        let own = std::env::current_exe()?.to_string_lossy().into_owned();
        let file = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok(path.to_string_lossy().into_owned())
        };
        let command = match self {
            Self::Podway(cluster) => [
                own,
                "dns-serve".to_owned(),
                format!("--services={}", cluster.services),
                format!("--endpoints={}", cluster.endpoints),
                format!("--listen={ADDRESS}"),
            ]
            .to_vec(),
            Self::Knot => {
                let config = file("knot.conf", knot_config(folder))?;
                ["knotd".to_owned(), "--config".to_owned(), config].to_vec()
            }
            Self::CoreDns(program) => {
                let config = file("Corefile", corefile(folder))?;
                [program.to_string_lossy().into_owned(), "-conf".to_owned(), config].to_vec()
            }
        };
        Ok(command)
    }
}

/// One worker, no journal, and the zone held in memory as it is.
fn knot_config(folder: &Path) -> String {
    let (address, port, folder) = (ADDRESS.ip(), ADDRESS.port(), folder.display());
    format!(
        "server:\n  rundir: \"{folder}\"\n  listen: {address}@{port}\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\n  automatic-acl: off\n\
         log:\n  - target: stderr\n    any: warning\n\
         database:\n  storage: \"{folder}\"\n\
         zone:\n  - domain: {ZONE}\n    file: \"{folder}/{ZONE_FILE}\"\n    zonefile-sync: -1\n    \
         journal-content: none\n    semantic-checks: off\n"
    )
}

fn corefile(folder: &Path) -> String {
    // At every address: the CoreDNS of `cargo xtask peers` has no plugin `bind`.
    let port = ADDRESS.port();
    format!("{ZONE}:{port} {{\n  file {}/{ZONE_FILE}\n}}\n", folder.display())
}

impl Server {
    /// Starts a server on `processor` and waits until it answers.
    pub(super) fn start(kind: &Kind, folder: &Path, processor: u32) -> Result<Self> {
        let log = folder.join(format!("{}.log", kind.name()));
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        // The server goes when we go, however that happens.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "--"])
            .args(["taskset", "--cpu-list", &processor.to_string()])
            .args(kind.command(folder)?)
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("setpriv (package util-linux) cannot be started")?;
        let mut server = Self { child, log };
        server.wait_until_ready().with_context(|| format!("start {}", kind.name()))?;
        Ok(server)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        ADDRESS
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let apex = Question { name: ZONE.to_owned(), qtype: "SOA" };
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}\n{}", self.last_words());
            }
            if exchange(&apex).is_ok_and(|reply| !reply.answers.is_empty()) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it is not ready:\n{}", self.last_words());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it says to a question, as a line that can be compared.
    pub(super) fn ask(&self, question: &Question) -> Result<String> {
        let mut last = None;
        for _ in 0..TRIES {
            match exchange(question) {
                Ok(reply) => return Ok(line(question, &reply)),
                Err(error) => last = Some(error),
            }
        }
        bail!("no answer to {question:?}: {last:?}\n{}", self.last_words());
    }

    /// Processor time used so far.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        measure::processor_time(self.child.id())
    }

    /// Memory held now.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        measure::resident_bytes(&self.child.id().to_string())
    }

    /// Most memory that it has held.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        measure::peak_bytes(&self.child.id().to_string())
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_BYTES);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks once.
fn exchange(question: &Question) -> Result<Message> {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(&question.name)?, question.qtype.parse()?));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(ADDRESS)?;
    socket.set_read_timeout(Some(REPLY_LIMIT))?;
    socket.send(&message.to_vec()?)?;
    let mut reply = [0; 4096];
    let octets = socket.recv(&mut reply)?;
    Ok(Message::from_vec(&reply[..octets])?)
}

/// Question, response code and answers; servers differ rightly in weights and in what they add.
fn line(question: &Question, reply: &Message) -> String {
    let mut answers: Vec<String> = reply
        .answers
        .iter()
        .map(|record| format!("{} {} {}", record.name, record.record_type(), record.data))
        .collect();
    answers.sort_unstable();
    let (rcode, aa) = (reply.metadata.response_code, reply.metadata.authoritative);
    format!("{} {} {rcode} AA={aa} {answers:?}", question.name, question.qtype)
}
