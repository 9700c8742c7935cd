//! The SCTP side: each greeting is answered by one that carries the answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;

use rustix::net::{RecvFlags, SendFlags, bind, recvfrom, sendto};

use super::Identity;
use crate::address::Family;
use crate::sctp::{Content, Packet, payload, raw, socket};

/// Serves `port` on `addresses`, beside the caller.
pub(super) fn serve(identity: &Arc<Identity>, addresses: &[IpAddr], port: u16) -> io::Result<()> {
    for address in addresses {
        let server = SocketAddr::new(*address, port);
        let socket = socket(Family::of(*address))?;
        bind(&socket, &raw(*address))?;
        let identity = Arc::clone(identity);
        thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            loop {
                // An error is that of a client who has gone.
                let received = recvfrom(&socket, &mut buffer[..], RecvFlags::empty());
                let Ok((length, _, Some(from))) = received else { continue };
                let Ok(from) = SocketAddr::try_from(from) else { continue };
                let bytes = payload(Family::of(from.ip()), &buffer[..length]);
                if let Some(reply) = answer(&identity, server, from.ip(), bytes) {
                    sendto(&socket, &reply, SendFlags::empty(), &raw(from.ip()))
                        .unwrap_or_default();
                }
            }
        });
    }
    Ok(())
}

/// The answer to a greeting; `None` to anything else.
fn answer(identity: &Identity, server: SocketAddr, from: IpAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::read(bytes).filter(|packet| packet.destination_port == server.port())?;
    let Content::Init { tag } = packet.content else { return None };
    let client = SocketAddr::new(from, packet.source_port);
    let cookie = identity.answer(server, client, &[("protocol", "sctp")]).into_bytes();
    let content = Content::InitAck { tag, cookie };
    let reply =
        Packet { source_port: server.port(), destination_port: packet.source_port, content };
    Some(reply.bytes())
}
