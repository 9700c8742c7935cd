//! Tells the sync loop when addresses of the node's interfaces change, since node ports follow them.
//!
//! The kernel tells of a change by rtnetlink; what counts is read anew, so no message is decoded.

use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{ENOBUFS, MSG_DONTWAIT};
use podway_proxy_sync::Inquirer;
use tokio::sync::watch;
use tracing::warn;

use crate::environment::interface_addresses;

/// `RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`: the groups that hear of addresses.
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

/// Room for one message; a longer one is cut, which does not matter here.
const MESSAGE_BYTES: usize = 4096;

/// Pause after a failure, so that a lasting one does not keep a core busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the addresses on a thread of its own until the loop is gone.
pub(crate) fn follow(inquirer: Inquirer, told: watch::Sender<Vec<IpAddr>>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, ADDRESS_GROUPS))?;
    thread::Builder::new().name("interfaces".to_owned()).spawn(move || {
        // Once unasked: addresses may have changed before the socket heard of it.
        while tell(&inquirer, &told) {
            wait(&socket);
        }
    })?;
    Ok(())
}

/// Tells the loop, and whoever else listens, the addresses there are; says whether the loop is still
/// there.
fn tell(inquirer: &Inquirer, told: &watch::Sender<Vec<IpAddr>>) -> bool {
    match interface_addresses() {
        Ok(addresses) => {
            told.send_replace(addresses.clone());
            inquirer.set_interfaces(addresses)
        }
        Err(error) => {
            warn!(%error, "addresses of the interfaces cannot be read; the last ones count");
            true
        }
    }
}

/// Waits for a change, and takes in all that came with it.
fn wait(socket: &Socket) {
    let mut message = Vec::with_capacity(MESSAGE_BYTES);
    let mut flags = 0;
    loop {
        match socket.recv(&mut message, flags) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Some changes were not told; reading anew takes them in.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => {}
            Err(error) => {
                warn!(%error, "changes of addresses cannot be heard");
                thread::sleep(PAUSE);
                return;
            }
        }
        message.clear();
        flags = MSG_DONTWAIT;
    }
}
