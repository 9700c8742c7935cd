//! Leaves sockets of some pods alone: their packets then have the Service's address and meet nftables.
//!
//! A pod is known by its addresses, a program knows the network namespace of a socket by a cookie.
//! Which cookie a pod's is says a look into every network namespace, in a thread of its own. A pod
//! has its addresses before the API tells them, so it is found at the first look; sockets that it
//! connected before that were translated.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::load;
use crate::netns;

/// Wait before pods that were not found are looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often they are looked for.
///
/// 30: half a minute. What has no network namespace here then, such as a virtual machine's pod, has
/// no sockets here either.
const TRIES: u32 = 30;

/// Tells the thread whose sockets are left alone.
#[derive(Debug)]
pub struct OptOut {
    orders: mpsc::Sender<BTreeSet<IpAddr>>,
}

impl OptOut {
    /// Starts the thread; `pins` is where the maps are pinned.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(pins: PathBuf) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel();
        thread::Builder::new().name("opt-out".to_owned()).spawn(move || {
            let (mut wanted, mut tries, mut before) = (BTreeSet::new(), 0, 0);
            loop {
                let wait = if tries > 0 { AGAIN } else { Duration::MAX };
                match orders.recv_timeout(wait) {
                    // Only the newest order counts.
                    Ok(order) => {
                        (wanted, tries) = (orders.try_iter().last().unwrap_or(order), TRIES);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let Sought { cookies, all_found } = seek(&wanted);
                tries = if all_found { 0 } else { tries.saturating_sub(1) };
                leave_alone(&pins, &cookies);
                if std::mem::replace(&mut before, cookies.len()) != cookies.len() {
                    info!(pods = cookies.len(), "sockets of so many pods are left to nftables");
                }
            }
        })?;
        Ok(Self { orders: sender })
    }

    /// Sockets of the pods that have these addresses are left alone, and of no others.
    pub fn set(&self, addresses: BTreeSet<IpAddr>) {
        if self.orders.send(addresses).is_err() {
            warn!("the thread that leaves pods alone is gone");
        }
    }
}

/// What was found of pods.
struct Sought {
    /// Cookies of their network namespaces.
    cookies: BTreeSet<u64>,
    all_found: bool,
}

/// Looks for the network namespaces that have addresses of `wanted`.
fn seek(wanted: &BTreeSet<IpAddr>) -> Sought {
    let (mut cookies, mut found) = (BTreeSet::new(), BTreeSet::new());
    let namespaces = if wanted.is_empty() { BTreeMap::new() } else { netns::addresses() };
    for (cookie, there) in namespaces {
        let before = found.len();
        found.extend(there.intersection(wanted).copied());
        if found.len() > before {
            cookies.insert(cookie);
        }
    }
    Sought { cookies, all_found: found.len() == wanted.len() }
}

fn leave_alone(pins: &Path, cookies: &BTreeSet<u64>) {
    match load::pinned(pins).map(|mut maps| maps.leave_alone(cookies)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "pods that opt out cannot be left alone"),
        Err(error) => debug!(%error, "maps are gone; no pod is left alone"),
    }
}
