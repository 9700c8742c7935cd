//! A question to a running daemon: one request over HTTP on a stream that is then closed.

use std::io::{Read, Write};

use anyhow::{Context, bail};

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks for `path`, and reads at most `max` octets of the reply.
///
/// # Errors
/// The stream breaks, or what comes is no reply.
pub(crate) fn ask(mut stream: impl Read + Write, path: &str, max: u64) -> anyhow::Result<Reply> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: podway\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.take(max).read_to_end(&mut reply)?;
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&reply).context("reply is no HTTP")?;
    let (httparse::Status::Complete(body), Some(status)) = (parsed, response.code) else {
        bail!("reply breaks off");
    };
    Ok(Reply { status, body: reply.get(body..).unwrap_or_default().to_vec() })
}
