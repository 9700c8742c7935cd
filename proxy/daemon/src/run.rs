//! `podway run`, in order: configuration, log, privileges, parts, work, drain.

use std::ffi::OsString;
use std::process;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::args::RunArgs;
use crate::build::App;
use crate::config::Config;
use crate::environment::{Environment, require_network_administration};
use crate::live::{self, Origin};
use crate::logging;

/// Most threads that answer queries.
///
/// 4: a core answers some hundred thousand queries a second, and each thread costs memory.
const MAX_WORKERS: usize = 4;

/// Time to finish what is under way when told to stop; the whole stop takes less than 2 s.
const DRAIN: Duration = Duration::from_millis(1500);

/// Time for tasks that were not told to stop, once the rest has.
const LEFTOVERS: Duration = Duration::from_millis(100);

/// Exit status after a second signal: killed without drain.
const KILLED: i32 = 1;

/// Runs until a signal comes or a part fails.
pub(crate) fn run(args: &RunArgs, line: Vec<OsString>) -> anyhow::Result<()> {
    let (config, origin) = live::resolve(args, line, &Environment::read()?)?;
    require_network_administration("run")?;
    logging::start(config.log.clone())?;
    info!(version = env!("CARGO_PKG_VERSION"), node = %config.cluster.node, "podway starts");
    origin.log();
    let runtime = runtime().context("threads cannot be started")?;
    let result = runtime.block_on(serve(config, origin));
    runtime.shutdown_timeout(LEFTOVERS);
    result
}

fn runtime() -> std::io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(workers)
        .thread_name("podway")
        .enable_all()
        .build()
}

async fn serve(config: Config, origin: Origin) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be awaited")?;
    let app = App::build(config).await?;
    // Ends with the runtime.
    drop(tokio::spawn(origin.follow(app.live())));
    let mut app = app.start();
    let failure = tokio::select! {
        name = signals.next() => {
            let lameduck = app.lameduck();
            if !lameduck.is_zero() {
                app.stopping();
                info!(signal = name, ?lameduck, "stopping soon; names are answered meanwhile");
                tokio::select! {
                    () = tokio::time::sleep(lameduck) => {}
                    _ = signals.next() => {}
                }
            }
            info!(signal = name, "stopping; rules stay in the kernel");
            None
        }
        failure = app.failed() => Some(failure),
    };
    tokio::spawn(async move {
        let name = signals.next().await;
        warn!(signal = name, "stopping at once");
        process::exit(KILLED);
    });
    if tokio::time::timeout(DRAIN, app.drain()).await.is_err() {
        warn!("not everything was finished in time");
    }
    match failure {
        None => {
            info!("stopped");
            Ok(())
        }
        Some(failure) => Err(failure),
    }
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
