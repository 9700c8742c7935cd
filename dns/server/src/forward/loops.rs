//! Finds upstreams that lead back here.
//!
//! A question that nobody else asks goes to each upstream by itself. Where it comes in here, the
//! upstream is this server or asks it, and every query sent there would go round until its time is
//! up; such an upstream is left out until the question comes in no more. CoreDNS's `loop` asks once,
//! all upstreams together, and ends the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use podway_dns_cache::{Key, KeyFlags};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::outgoing::{Outgoing, Spelling};
use super::upstream::Upstream;
use super::{Forwarders, lock};
use crate::query::CLASS_IN;
use crate::server::Stop;

/// Type of the questions: one that hardly anybody asks for, as in CoreDNS.
pub(crate) const LOOP_TYPE: RecordType = RecordType::HINFO;

/// How long a question may be on its way round.
///
/// 2 s: as long as one try of a query, after which going round costs nobody anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after a change upstreams are looked at: a new address is given to the node first.
const SETTLE: Duration = Duration::from_secs(1);

/// Time between two looks while some upstream leads back.
const PAUSE: Duration = Duration::from_secs(10);

/// Questions on their way, by name in wire form, each with who waits for it to come in.
type Sent = HashMap<Box<[u8]>, oneshot::Sender<()>>;

/// What is known of loops.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    sent: Mutex<Sent>,
    changed: Notify,
}

impl Loops {
    /// Says that upstreams may lead elsewhere than before.
    pub(crate) fn perhaps_changed(&self) {
        self.changed.notify_one();
    }

    /// Whether `name` is that of a question sent from here, which thus has come back.
    pub(crate) fn came_back(&self, name: &Name) -> bool {
        let key = Key::new(name.iter(), LOOP_TYPE.into(), CLASS_IN, KeyFlags::default());
        // Nobody waits any more for one that comes in twice.
        lock(&self.sent).remove(key.name()).is_some_and(|waiting| waiting.send(()).is_ok())
    }

    /// Whether a question about a name in `zone`, sent to `upstream`, comes back.
    async fn leads_back(&self, upstream: &Upstream, zone: &Name) -> bool {
        let own = [rand::random::<u64>(), rand::random()].map(|number| number.to_string());
        let labels = own.iter().map(|label| label.as_bytes()).chain(zone.iter());
        let flags = KeyFlags { recursion_desired: true, ..KeyFlags::default() };
        let key = Key::new(labels, LOOP_TYPE.into(), CLASS_IN, flags);
        let (came_back, coming_back) = oneshot::channel();
        let name = Box::from(key.name());
        lock(&self.sent).insert(Box::clone(&name), came_back);
        let outgoing = Outgoing { key, spelling: Spelling::Small, edns: false };
        let came_back = timeout(PATIENCE, async {
            tokio::select! {
                biased;
                Ok(()) = coming_back => true,
                _ = upstream.ask_as_is(&outgoing) => false,
            }
        });
        let came_back = came_back.await.unwrap_or(false);
        // It came in, and the reply to that was faster than the news of it.
        came_back || lock(&self.sent).remove(&name).is_none()
    }
}

impl Forwarders {
    /// Whether `name` is that of a question sent from here to find loops.
    pub(crate) fn came_back(&self, name: &Name) -> bool {
        self.loops.as_ref().is_some_and(|loops| loops.came_back(name))
    }

    /// Leaves out upstreams that lead back, at the start and whenever that may have changed, until
    /// `stop`.
    pub(crate) async fn avoid_loops(self: Arc<Self>, mut stop: Stop) {
        let Some(loops) = &self.loops else { return };
        loop {
            let found = tokio::select! {
                () = stop.ordered() => return,
                found = self.look_for_loops() => found,
            };
            let again = async {
                if !found {
                    std::future::pending::<()>().await;
                }
                sleep(PAUSE).await;
            };
            tokio::select! {
                () = stop.ordered() => return,
                () = loops.changed.notified() => sleep(SETTLE).await,
                () = again => {}
            }
        }
    }

    /// Asks all upstreams, and says whether one of them leads back.
    pub(super) async fn look_for_loops(self: &Arc<Self>) -> bool {
        let mut looks = JoinSet::new();
        for (place, route) in self.routes.iter().enumerate() {
            for upstream in &**route.resolver.upstreams.load() {
                let (forwarders, upstream) = (Arc::clone(self), Arc::clone(upstream));
                looks.spawn(async move {
                    let zone = forwarders.routes[place].zone();
                    match &forwarders.loops {
                        Some(loops) => upstream.led_back(loops.leads_back(&upstream, zone).await),
                        None => false,
                    }
                });
            }
        }
        looks.join_all().await.contains(&true)
    }
}
