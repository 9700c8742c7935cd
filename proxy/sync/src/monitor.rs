//! Passes on what the kernel tells about other writers of our tables.

use std::io;
use std::thread;
use std::time::Duration;

use podway_cluster_model::chain::Chain;
use podway_proxy_nft::monitor::{Intrusion, Monitor};
use podway_proxy_plan::plan::Family;
use tokio::sync::mpsc;
use tracing::error;

use crate::driver::{Event, Touch};

/// How long the monitor waits before it looks whether anybody still listens to it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after the monitor's socket failed, so that a lasting failure does not keep a core busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Passes on every intrusion until the loop is gone.
pub(crate) fn follow(mut monitor: Monitor, events: mpsc::Sender<Event>) -> io::Result<()> {
    thread::Builder::new().name("monitor".to_owned()).spawn(move || {
        while !events.is_closed() {
            let touch = match monitor.wait(PATIENCE) {
                Ok(None) => continue,
                Ok(Some(intrusion)) => Touch::from(intrusion),
                Err(error) => {
                    error!(error = %Chain(&error), "changes by other processes cannot be heard");
                    thread::sleep(PAUSE);
                    // Whatever happened unheard, a whole write undoes it.
                    Touch { families: Family::ALL.to_vec(), by: "unknown".to_owned() }
                }
            };
            if events.blocking_send(Event::Touched(touch)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

impl From<Intrusion> for Touch {
    fn from(intrusion: Intrusion) -> Self {
        let Intrusion { families, process } = intrusion;
        let by = process.map_or_else(
            || "unknown".to_owned(),
            |process| format!("{} (pid {})", process.name, process.id),
        );
        Self { families: families.into_iter().collect(), by }
    }
}
