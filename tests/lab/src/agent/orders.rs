//! Takes orders from the kubelet and from signals.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

use super::{Args, Identity, sctp, tcp, udp};

/// Serves until the standard input ends or SIGTERM comes.
///
/// Each line of the input is a port to listen on, `TCP 80` or `UDP 53`; each is answered by
/// `listening TCP 80` or `failed TCP 80 why`.
///
/// # Errors
/// When the standard streams cannot be used.
pub fn run(args: Args) -> Result<()> {
    // Before any thread is started, so that all of them leave the signal to one.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    let Args { pod, node, addresses, ignore_sigterm } = args;
    let identity = Identity::new(pod, node);
    let listeners: Arc<Mutex<Vec<TcpListener>>> = Arc::default();
    let (served, shared) = (Arc::clone(&identity), Arc::clone(&listeners));
    thread::spawn(move || {
        loop {
            if signals.wait().is_ok() && !ignore_sigterm {
                finish(&served, &shared);
            }
        }
    });
    for line in io::stdin().lines() {
        let line = line?;
        let outcome = listen(&identity, &addresses, &listeners, &line);
        let mut output = io::stdout();
        match outcome {
            Ok(()) => writeln!(output, "listening {line}")?,
            Err(error) => writeln!(output, "failed {line} {error:#}")?,
        }
        output.flush()?;
    }
    Ok(())
}

fn listen(
    identity: &Arc<Identity>,
    addresses: &[std::net::IpAddr],
    listeners: &Mutex<Vec<TcpListener>>,
    order: &str,
) -> Result<()> {
    let (protocol, port) = order.split_once(' ').context("not PROTOCOL PORT")?;
    let port = port.parse().context("no port")?;
    match protocol {
        "TCP" => {
            let listener = tcp::serve(identity, port)?;
            listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        }
        "UDP" => udp::serve(identity, addresses, port)?,
        "SCTP" => sctp::serve(identity, addresses, port)?,
        _ => bail!("neither TCP nor UDP nor SCTP"),
    }
    Ok(())
}

/// Takes no new connections, finishes the requests that came, and ends the process.
fn finish(identity: &Identity, listeners: &Mutex<Vec<TcpListener>>) -> ! {
    for listener in listeners.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // Ends its accept; one that fails ends with the process.
        rustix::net::shutdown(listener, rustix::net::Shutdown::Both).unwrap_or_default();
    }
    identity.busy.wait_idle();
    process::exit(0)
}
