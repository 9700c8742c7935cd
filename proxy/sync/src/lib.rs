//! Keeps the kernel at the latest plan.
//!
//! ```text
//! Subscription --view--+                       +--> Kernel, one transaction per family
//! Monitor ----touched--+--> driver <--> engine |
//! interfaces ----------+     EDGE       PURE   +--> health, metrics, log
//! ```
//!
//! One thread of its own does all of it, so that nothing else waits for the kernel and DNS answers
//! while tables are written. There is no pause between writes: a change costs what it changes, and
//! what comes while a write is under way is merged by the subscription.
//!
//! | module | owns |
//! |---|---|
//! | `engine` | pure: what to write, and when |
//! | `driver` | the loop over it |
//! | `dataplane` | what the loop needs of a kernel |
//! | [`accelerator`] | what the loop needs of a back end at the socket |
//! | [`beacon`] | addresses that this node's DNS server answers at |
//! | `bypass` | pods that speak with each other untracked |
//! | [`conntrack`], `doubts` | which tracked flows the kernel is to forget, and when |
//! | [`refusals`] | packets refused, by Service port |
//! | [`health`] | whether the kernel follows |
//! | [`metrics`], `tally` | what is counted |
//! | `programming` | how long changes of the cluster take to the kernel |
//! | `monitor` | who else touches our tables |
//! | `notices` | Services that use a deprecated field |
//! | [`turn`] | which of two processes writes, while one replaces the other |
//! | [`sysctl`] | kernel settings, looked at once |

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use podway_cluster_watch::publish::Subscription;
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_nft::monitor::Monitor;
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{FrontendKey, ServicePlan};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::{NodeLocalDns, Policy};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::accelerator::{Accelerator, Report, fitting};
use crate::beacon::{Beacon, Said};
use crate::conntrack::Conntrack;
use crate::dataplane::Nftables;
use crate::doubts::Doubts;
use crate::driver::{Driver, Event};
use crate::engine::Engine;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::per_family::PerFamily;
use crate::programming::Programming;
use crate::refusals::{Refusals, Refused};
use crate::tally::Counting;
use crate::turn::Turn;

pub mod accelerator;
pub mod beacon;
mod bypass;
pub mod conntrack;
mod dataplane;
mod doubts;
mod driver;
mod engine;
#[cfg(test)]
mod fixture;
pub mod health;
pub mod metrics;
mod monitor;
mod notices;
pub mod per_family;
mod programming;
pub mod refusals;
pub mod sysctl;
mod tally;
pub mod turn;

pub use driver::Plans;

/// Events that may wait for the loop; more of them say nothing new.
const EVENTS: usize = 16;

/// What the loop is told when it starts.
#[derive(Debug)]
pub struct Settings {
    /// What the operator chose for the whole node.
    pub policy: Policy,
    /// This node.
    pub node: NodeView,
    /// Bit of the packet mark that asks for masquerading.
    pub masquerade_bit: u8,
    /// What the operator chose for the kernel's settings.
    pub kernel: sysctl::Choices,
    /// What keeps two processes from writing at once; without it this one writes whenever it likes.
    pub turn: Option<Turn>,
}

/// Why the loop cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The kernel cannot be reached.
    #[error("nftables cannot be reached")]
    Kernel(#[from] BackendError),
    /// The table of tracked flows cannot be reached.
    #[error("connection tracking cannot be reached")]
    Conntrack(#[source] io::Error),
    /// A thread or its runtime cannot be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// The running loop.
#[derive(Debug)]
pub struct Syncer {
    events: mpsc::Sender<Event>,
    ended: oneshot::Receiver<()>,
    health: Health,
    metrics: Metrics,
    beacon: Option<Beacon>,
}

/// Asks the running loop.
#[derive(Debug, Clone)]
pub struct Inquirer {
    events: mpsc::Sender<Event>,
}

impl Syncer {
    /// Starts the loop on the snapshots of `subscription`; `programmed` is called once, when every
    /// table was written for the first time.
    ///
    /// # Errors
    /// [`StartError`]; nothing was written.
    pub fn start(
        settings: Settings,
        subscription: Subscription,
        accelerator: Box<dyn Accelerator>,
        programmed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StartError> {
        let Settings { policy, node, masquerade_bit, kernel: choices, turn } = settings;
        let policy = fitting(&*accelerator, policy);
        let kernel = Kernel::open()?;
        let mut monitor = Monitor::open(&kernel)?;
        let said = Said::default();
        let beacon = match policy.node_local_dns {
            NodeLocalDns::Off => None,
            NodeLocalDns::On { .. } => {
                let kernel = Kernel::open()?;
                monitor.disregard(&kernel)?;
                Some(Beacon::new(kernel, said.clone()))
            }
        };
        let flows = Conntrack::open().map_err(StartError::Conntrack)?;
        let spoken = said.clone();
        let dataplane = Nftables { kernel, silencer: monitor.silencer(), flows, said };
        sysctl::check_forwarding(&choices);
        let programmed = move || {
            // Only rules that track make the kernel load what tracks.
            sysctl::check_conntrack(&choices);
            programmed();
        };
        let options = Options::new(&policy, masquerade_bit);
        let (events, receiver) = mpsc::channel(EVENTS);
        let (health, metrics) = (Health::new(SystemTime::now()), Metrics::default());
        let driver = Driver {
            subscription,
            events: receiver,
            dataplane,
            engine: Engine::new(Planner::new(policy, node), Program::new(options)),
            health: health.clone(),
            metrics: metrics.clone(),
            programmed: Some(Box::new(programmed)),
            unsynced_since: PerFamily::default(),
            counting: Counting::default(),
            doubts: Doubts::default(),
            refusals: Refusals::default(),
            notices: Notices::default(),
            stands_by: turn.is_some(),
            accelerator,
            accelerated: false,
            programming: Programming::new(SystemTime::now()),
        };
        if let Some(turn) = turn {
            // Until it is our turn another may speak.
            spoken.silence();
            turn::follow(turn, events.clone(), spoken).map_err(StartError::Thread)?;
        }
        monitor::follow(monitor, events.clone()).map_err(StartError::Thread)?;
        let ended = run_in_thread(driver).map_err(StartError::Thread)?;
        Ok(Self { events, ended, health, metrics, beacon })
    }

    /// Whether the kernel follows.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Says which addresses are answered at on this node; only where the policy has that, and once.
    pub fn beacon(&mut self) -> Option<Beacon> {
        self.beacon.take()
    }

    /// What the loop counts.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A way to ask the loop from elsewhere.
    #[must_use]
    pub fn inquirer(&self) -> Inquirer {
        Inquirer { events: self.events.clone() }
    }

    /// Waits until the loop has ended, which it does only when it is told to, or by a panic.
    pub async fn ended(&mut self) {
        // The sender is never used: it is dropped with the thread's work.
        drop((&mut self.ended).await);
    }

    /// Tells the loop to end and waits until it has; what is in the kernel stays there.
    pub async fn stop(mut self) {
        // A loop that is gone needs no order.
        drop(self.events.send(Event::Stop).await);
        self.ended().await;
    }
}

impl Default for Inquirer {
    /// Asks nobody, as if the loop had ended.
    fn default() -> Self {
        Self { events: mpsc::channel(1).0 }
    }
}

impl Inquirer {
    /// What is planned; `None` when the loop has ended.
    pub async fn plans(&self) -> Option<Plans> {
        let (reply, plans) = oneshot::channel();
        self.events.send(Event::Plans(reply)).await.ok()?;
        plans.await.ok()
    }

    /// The plan of the Service that has the frontend `key`, if one has it; `None` outside when the
    /// loop has ended.
    pub async fn plan_at(&self, key: FrontendKey) -> Option<Option<Arc<ServicePlan>>> {
        let (reply, plan) = oneshot::channel();
        self.events.send(Event::PlanAt(key, reply)).await.ok()?;
        plan.await.ok()
    }

    /// What was refused so far; `None` when the loop has ended.
    pub async fn refusals(&self) -> Option<Vec<Refused>> {
        let (reply, refusals) = oneshot::channel();
        self.events.send(Event::Refusals(reply)).await.ok()?;
        refusals.await.ok()
    }

    /// What the accelerator has counted so far; `None` when the loop has ended.
    pub async fn sockets(&self) -> Option<Report> {
        let (reply, report) = oneshot::channel();
        self.events.send(Event::Sockets(reply)).await.ok()?;
        report.await.ok()
    }

    /// Tells the loop what the operator chose instead of what it was told before; says whether the
    /// loop is still there.
    pub async fn set_policy(&self, policy: Policy, masquerade_bit: u8) -> bool {
        self.events.send(Event::Policy(Box::new(policy), masquerade_bit)).await.is_ok()
    }

    /// Tells the loop, from a plain thread, which addresses the node's interfaces have now; says
    /// whether the loop is still there.
    #[must_use]
    pub fn set_interfaces(&self, interfaces: Vec<IpAddr>) -> bool {
        self.events.blocking_send(Event::Interfaces(interfaces)).is_ok()
    }
}

/// Runs the loop on a thread with a runtime of its own; the receiver tells when it ends.
fn run_in_thread(driver: Driver<Nftables>) -> io::Result<oneshot::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (running, ended) = oneshot::channel();
    thread::Builder::new().name("sync".to_owned()).spawn(move || {
        let _running: oneshot::Sender<()> = running;
        runtime.block_on(driver.run());
    })?;
    Ok(ended)
}
