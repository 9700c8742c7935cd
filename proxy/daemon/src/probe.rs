//! `podway probe`: asks the daemon of this container, for kubelet's exec probes.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::args::{ProbeArgs, Question};
use crate::asking::{Reply, ask};

/// How long the daemon may take to reply: as long as kubelet waits for a probe by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most octets of a reply that are read: health takes a few hundred.
const MAX_REPLY: u64 = 64 * 1024;

/// Prints the reply, and fails unless it is a yes.
pub(crate) fn probe(args: &ProbeArgs) -> anyhow::Result<()> {
    let Reply { status, body } = inquire(args).with_context(|| {
        format!("--probe-socket {} does not answer", args.probe_socket.display())
    })?;
    io::stdout().write_all(&body)?;
    match status {
        200 => Ok(()),
        status => bail!("no: status {status}"),
    }
}

fn inquire(args: &ProbeArgs) -> anyhow::Result<Reply> {
    let path = match args.question {
        Question::Live => "/livez",
        Question::Ready => "/readyz",
    };
    let stream = UnixStream::connect(&args.probe_socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    ask(stream, path, MAX_REPLY)
}
