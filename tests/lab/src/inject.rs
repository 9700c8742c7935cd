//! Sends TCP segments that belong to a connection by its addresses and to no window of it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with,
};

use crate::checksum;

/// Segments sent; of as many, spread over all sequence numbers, one at most is in a window.
pub const SEGMENTS: u32 = 16;

/// The protocol's number among those above IP.
const TCP: u8 = 6;

/// Arguments of the sender.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// One end of the connection, which is here.
    from: SocketAddr,
    /// The other end.
    to: SocketAddr,
}

/// Sends the segments.
///
/// # Errors
/// When there is no raw socket to be had, or no way.
pub fn run(args: &Args) -> Result<()> {
    let Args { from, to } = *args;
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::TCP))
        .context("no raw socket")?;
    bind(&socket, &SocketAddr::new(from.ip(), 0))?;
    for number in 0..SEGMENTS {
        // Half a step away from 0, where the peers' own numbers are no likelier than elsewhere.
        let sequence = (u32::MAX / SEGMENTS) * number + (1 << 27);
        sendto(
            &socket,
            &segment(from, to, sequence),
            SendFlags::empty(),
            &SocketAddr::new(to.ip(), 0),
        )?;
    }
    Ok(())
}

/// A segment without data that acknowledges something.
fn segment(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let mut bytes = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((!sequence).to_be_bytes());
    // Header of five words, ACK, window, no checksum yet.
    bytes.extend([0x50, 0x10, 0x10, 0, 0, 0, 0, 0]);
    let sum = checksum::transport(from.ip(), to.ip(), TCP, &bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    bytes
}
