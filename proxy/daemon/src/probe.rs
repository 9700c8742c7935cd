//! `podway probe`: asks the daemon of this container, for kubelet's exec probes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::args::{ProbeArgs, Question};

/// How long the daemon may take to reply: as long as kubelet waits for a probe by default.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most octets of a reply that are read: health takes a few hundred.
const MAX_REPLY: u64 = 64 * 1024;

/// Prints the reply, and fails unless it is a yes.
pub(crate) fn probe(args: &ProbeArgs) -> anyhow::Result<()> {
    let reply = ask(args).with_context(|| {
        format!("--probe-socket {} does not answer", args.probe_socket.display())
    })?;
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body) = response.parse(&reply).context("reply is no HTTP")?
    else {
        bail!("reply breaks off");
    };
    io::stdout().write_all(&reply[body..])?;
    match response.code {
        Some(200) => Ok(()),
        code => bail!("no: status {}", code.unwrap_or_default()),
    }
}

/// The whole reply.
fn ask(args: &ProbeArgs) -> io::Result<Vec<u8>> {
    let path = match args.question {
        Question::Live => "/livez",
        Question::Ready => "/readyz",
    };
    let mut stream = UnixStream::connect(&args.probe_socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: podway\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.take(MAX_REPLY).read_to_end(&mut reply)?;
    Ok(reply)
}
