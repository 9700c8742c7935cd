//! Tries the programs out on sockets of a helper process, in a cgroup made for that.
//!
//! All addresses are loopback: where nothing is translated, nothing leaves the machine.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use podway_cluster_model::chain::Chain;
use podway_cluster_model::port::Protocol;
use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::table::Range;

use crate::entries::Write;
use crate::load;
use crate::maps::Maps;
use crate::wanted::address;

/// Address that stands for a Service, port 1 with an endpoint and port 2 without.
const SERVICE: Ipv4Addr = Ipv4Addr::new(127, 254, 254, 254);

/// Longest time that the helper gets.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two looks at the helper.
const GLANCE: Duration = Duration::from_millis(5);

/// What the helper sends.
const WORD: &[u8] = b"podway";

/// Tries everything out below `cgroup`.
///
/// # Errors
/// What went wrong, with its causes.
pub(crate) fn run(cgroup: &Path, helper: &(PathBuf, String)) -> Result<(), String> {
    let scratch = Scratch::create(cgroup).map_err(|error| format!("trial cgroup: {error}"))?;
    let (_programs, mut maps) =
        load::try_out(&scratch.0).map_err(|error| Chain(&error).to_string())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    fill(&mut maps, &listener, &socket)?;
    let child = Command::new(&helper.0)
        .arg(&helper.1)
        .arg(&scratch.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("helper {}: {error}", helper.0.display()))?;
    attend(child, &socket)
}

/// Answers the helper's datagram and waits for its end.
fn attend(mut child: Child, socket: &UdpSocket) -> Result<(), String> {
    let started = Instant::now();
    let trouble = |error: io::Error| error.to_string();
    socket.set_read_timeout(Some(GLANCE)).map_err(trouble)?;
    loop {
        let mut buffer = [0; 16];
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(buffer.get(..length).unwrap_or_default(), from).map_err(trouble)?;
        }
        if let Some(status) = child.try_wait().map_err(trouble)? {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                io::Read::read_to_string(&mut stderr, &mut said).map_err(trouble)?;
            }
            return if status.success() { Ok(()) } else { Err(said.trim().to_owned()) };
        }
        if started.elapsed() > PATIENCE {
            child.kill().map_err(trouble)?;
            child.wait().map_err(trouble)?;
            return Err("the helper does not come to an end".to_owned());
        }
    }
}

/// Leads the Service's address to the two sockets.
fn fill(maps: &mut Maps, listener: &TcpListener, socket: &UdpSocket) -> Result<(), String> {
    let trouble = |error: io::Error| error.to_string();
    let place = |endpoint, protocol| address(endpoint, protocol).ok_or("no such protocol");
    let tcp = place(listener.local_addr().map_err(trouble)?, Protocol::Tcp)?;
    let udp = place(socket.local_addr().map_err(trouble)?, Protocol::Udp)?;
    let mut writes = Vec::new();
    for (pool, endpoint, protocol) in [(0, tcp, Protocol::Tcp), (1, udp, Protocol::Udp)] {
        let frontend = place((SERVICE, 1).into(), protocol)?;
        writes.extend(pool_of_one(pool, endpoint));
        writes.push(Write::Frontend(frontend, pool));
    }
    writes.push(Write::Range { pool: 2, range: Range::EMPTY });
    writes.push(Write::Frontend(place((SERVICE, 2).into(), Protocol::Udp)?, 2));
    writes.iter().try_for_each(|write| maps.write(write)).map_err(|error| Chain(&error).to_string())
}

fn pool_of_one(pool: u32, endpoint: Address) -> [Write; 2] {
    [
        Write::Slots { base: pool, pool, endpoints: vec![endpoint] },
        Write::Range { pool, range: Range { base: pool, count: 1 } },
    ]
}

/// What the helper does in the cgroup `cgroup`: uses the Service as any program would.
///
/// # Errors
/// What is not as it should be, for a person.
pub fn help(cgroup: &Path) -> Result<(), String> {
    fs::write(cgroup.join("cgroup.procs"), "0").map_err(|error| format!("cgroup: {error}"))?;
    let service = SocketAddr::from((SERVICE, 1));
    let stream = TcpStream::connect(service).map_err(|error| format!("connect: {error}"))?;
    match stream.peer_addr() {
        Ok(peer) if peer == service => {}
        other => return Err(format!("getpeername gives {other:?}")),
    }
    let datagrams = |error: io::Error| format!("datagrams: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(datagrams)?;
    socket.set_read_timeout(Some(PATIENCE / 2)).map_err(datagrams)?;
    socket.send_to(WORD, service).map_err(datagrams)?;
    let mut buffer = [0; 16];
    match socket.recv_from(&mut buffer) {
        Ok((length, from)) if buffer.get(..length) == Some(WORD) && from == service => {}
        other => return Err(format!("the answer to a datagram is {other:?}")),
    }
    match socket.connect((SERVICE, 2)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        other => return Err(format!("without an endpoint connect gives {other:?}")),
    }
    mapped(service)
}

/// The same from a socket of IPv6, where there are any.
fn mapped(service: SocketAddr) -> Result<(), String> {
    let SocketAddr::V4(service) = service else { return Ok(()) };
    if UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)).is_err() {
        return Ok(());
    }
    let mapped = SocketAddr::from((service.ip().to_ipv6_mapped(), service.port()));
    let stream = TcpStream::connect(mapped).map_err(|error| format!("connect6: {error}"))?;
    match stream.peer_addr() {
        Ok(peer) if peer == mapped => Ok(()),
        other => Err(format!("getpeername6 gives {other:?}")),
    }
}

/// A cgroup that is gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn create(cgroup: &Path) -> io::Result<Self> {
        let folder = cgroup.join(format!("podway-trial-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The helper has ended; an empty folder that stays harms nobody.
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!(folder = %self.0.display(), %error, "trial cgroup stays");
        }
    }
}
