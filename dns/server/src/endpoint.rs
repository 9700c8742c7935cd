//! Datagrams in and out of one UDP socket, by the batch.
//!
//! A reply leaves from the address that was asked. On a socket bound to the unspecified address the
//! kernel would choose one by its routes, and a client that asked another would drop the reply; so
//! such a socket is told the address of every datagram (`IP_PKTINFO`, RFC 3542 §6.1) and gives it
//! back with the reply.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::mmsg::{self, Addresses, BATCH, Datagram, Slot};

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    socket: UdpSocket,
    addresses: Addresses,
}

impl Endpoint {
    /// Takes over a bound, non-blocking socket.
    ///
    /// # Errors
    /// The socket cannot be waited for.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        let wildcard = socket.local_addr()?.ip().is_unspecified();
        let addresses = if wildcard { Addresses::Told } else { Addresses::One };
        Ok(Self { socket, addresses })
    }

    /// The address that the socket is bound to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits until a datagram is there.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes what is waiting into the first of `slots`, or says that nothing is
    /// ([`io::ErrorKind::WouldBlock`]).
    pub(crate) fn receive(&self, slots: &mut [Slot]) -> io::Result<usize> {
        let mut received = 0;
        let outcome = self.socket.try_io(Interest::READABLE, || {
            received = mmsg::receive(self.socket.as_fd(), slots, self.addresses)?;
            // With room left the socket is empty: a further call would say no more than that. What
            // comes from now on is told anew.
            if received < slots.len().min(BATCH) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if received > 0 { Ok(received) } else { outcome.map(|()| 0) }
    }

    /// Sends all `datagrams`, waiting for room if need be; `failed` hears of each that cannot be.
    pub(crate) async fn send(
        &self,
        mut datagrams: &[Datagram<'_>],
        mut failed: impl FnMut(&Datagram<'_>, io::Error),
    ) {
        while let Some(first) = datagrams.first() {
            let send = || mmsg::send(self.socket.as_fd(), datagrams);
            // There is nearly always room.
            let outcome = match self.socket.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.async_io(Interest::WRITABLE, send).await
                }
                outcome => outcome,
            };
            let gone = match outcome {
                Ok(sent) => sent,
                Err(error) => {
                    failed(first, error);
                    1
                }
            };
            datagrams = datagrams.get(gone..).unwrap_or_default();
        }
    }
}
