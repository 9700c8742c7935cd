//! The TCP side: accepts, tells HTTP from plain lines, answers.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Identity, http};

/// Longest line or request head that is read.
const LONGEST: u64 = 16 << 10;

/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(10);

/// Serves `port` on every address, beside the caller.
pub(super) fn serve(identity: &Arc<Identity>, port: u16) -> io::Result<TcpListener> {
    // An IPv6 socket takes IPv4 as well.
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let (accepting, identity) = (listener.try_clone()?, Arc::clone(identity));
    thread::spawn(move || {
        loop {
            match accepting.accept() {
                Ok((stream, client)) => {
                    let identity = Arc::clone(&identity);
                    thread::spawn(move || {
                        // A client may leave at any point; that is its right, and health checks do.
                        converse(&identity, &stream, client).unwrap_or_default();
                    });
                }
                // It was shut down: the server finishes.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
                // That one connection's, or for want of something that others give back.
                Err(error) => {
                    eprintln!("port {port}: no connection is accepted: {error}");
                    thread::sleep(PAUSE);
                }
            }
        }
    });
    Ok(listener)
}

/// Serves one connection until its client closes it or asks for that.
fn converse(identity: &Identity, stream: &TcpStream, client: SocketAddr) -> io::Result<()> {
    let server = stream.local_addr()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        if reader.by_ref().take(LONGEST).read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
        let _request = identity.busy.begin();
        if http::is_request_line(&head) {
            let request = http::Request::read(head, &mut reader, LONGEST)?;
            request.wait();
            let path = [("protocol", "http"), ("path", request.path())];
            let line = identity.answer(server, client, &path);
            (&*stream).write_all(request.respond(&line).as_bytes())?;
            if request.is_last() {
                return Ok(());
            }
        } else {
            let line = identity.answer(server, client, &[("protocol", "tcp")]);
            (&*stream).write_all(format!("{line}\n").as_bytes())?;
        }
    }
}
