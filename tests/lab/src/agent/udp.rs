//! The UDP side: one datagram, one answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::thread;

use super::Identity;

/// Serves `port` on `addresses` and on the loopback ones, beside the caller.
///
/// A socket for each address: one for all would answer from the address that leads to the
/// client, which on a node's network need not be the one that was asked.
pub(super) fn serve(identity: &Arc<Identity>, addresses: &[IpAddr], port: u16) -> io::Result<()> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    for address in addresses.iter().chain(&loopback) {
        let socket = UdpSocket::bind((*address, port))?;
        let identity = Arc::clone(identity);
        thread::spawn(move || answer(&identity, &socket));
    }
    Ok(())
}

fn answer(identity: &Identity, socket: &UdpSocket) -> io::Result<()> {
    let server = socket.local_addr()?;
    let mut datagram = vec![0; 64 << 10];
    loop {
        // A client that has gone shows as an error of the next call; the others go on.
        let Ok((length, client)) = socket.recv_from(&mut datagram) else { continue };
        let bytes = length.to_string();
        let rest = [("protocol", "udp"), ("bytes", bytes.as_str())];
        let line = identity.answer(server, client, &rest) + "\n";
        socket.send_to(line.as_bytes(), client).map(drop).unwrap_or_default();
    }
}
