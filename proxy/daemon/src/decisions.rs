//! `podway events`: which socket of which pod went to which endpoint of which Service.
//!
//! Decisions come from the programs' pinned maps, so they are told though the daemon be busy; what it
//! knows of Services and pods is asked of it over HTTP. What has no name is told by its address.

use std::io::{self, BufWriter, ErrorKind, Write};

use podway_ebpf_backend::detect;
use podway_ebpf_backend::events::Listener;

use crate::args::EventsArgs;
use crate::config::resolve_metrics_address;
use crate::environment::require_network_administration;

mod line;
mod names;

use line::Line;
use names::Names;

/// Prints decisions until enough were printed, or nobody reads them.
pub(crate) fn events(args: &EventsArgs) -> anyhow::Result<()> {
    let daemon = resolve_metrics_address(&args.metrics_bind_address)?;
    require_network_administration("events")?;
    let mut listener = Listener::start(&detect::pins_on(&args.bpffs_root), args.sample)?;
    let left_behind = listener.left_behind();
    if left_behind > 0 {
        remark(&format!("{left_behind} decisions that nobody has read are thrown away"))?;
    }
    remark(&format!("one decision of {} is told", args.sample))?;
    match listen(&mut listener, args, &mut Names::new(daemon)) {
        // As with `| head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn listen(listener: &mut Listener, args: &EventsArgs, names: &mut Names) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = args.count.map(u64::from);
    loop {
        if listener.wait()? {
            remark("the output was not taken for a while, during which nothing was told")?;
        }
        while left != Some(0)
            && let Some(decision) = listener.next_decision()
        {
            Line::of(&decision, names).write(&mut out, args.output)?;
            left = left.map(|left| left - 1);
        }
        let lost = listener.lost();
        if lost > 0 {
            line::write_lost(&mut out, args.output, lost)?;
            remark(&format!(
                "{lost} decisions found no room and are lost; --sample can tell fewer"
            ))?;
        }
        out.flush()?;
        if left == Some(0) {
            return Ok(());
        }
        if let Some(trouble) = names.trouble() {
            remark(&trouble)?;
        }
    }
}

/// Tells something that is no decision.
fn remark(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "podway: {text}")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
