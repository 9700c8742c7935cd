//! `podway plan`: what would be programmed, without a kernel and without privileges.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use podway_cluster_model::snapshot::Delta;
use podway_cluster_watch::report::Reports;
use podway_dns_zone::ZoneIndex;
use podway_ebpf_backend::carry::Site;
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::planner::Planner;

use crate::args::{Output, PlanArgs, ReplayArgs};
use crate::config::{ClusterConfig, ProxyConfig, ProxyMode, resolve_plan, resolve_replay};
use crate::environment::Environment;
use crate::source;

mod json;
mod table;

/// Prints what the view in a file comes to on this node.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let ReplayArgs { file, plan } = args;
    let flags = (&plan.proxy, &plan.node_local);
    let (cluster, proxy) = resolve_replay(&plan.cluster, flags, &Environment::read()?)?;
    print(file, cluster, proxy, plan.output)
}

/// Prints what the manifests come to on this node.
pub(crate) fn plan(args: &PlanArgs) -> anyhow::Result<()> {
    let (path, cluster, proxy) =
        resolve_plan(&args.cluster, (&args.proxy, &args.node_local), &Environment::read()?)?;
    print(&path, cluster, proxy, args.output)
}

fn print(
    path: &Path,
    cluster: ClusterConfig,
    proxy: ProxyConfig,
    output: Output,
) -> anyhow::Result<()> {
    let ClusterConfig { node, zone } = cluster;
    let ProxyConfig { mode, policy, masquerade_bit, interfaces, .. } = proxy;
    let (snapshot, reports) = source::load(path)?;

    let carriers = (mode != ProxyMode::Nftables).then(|| Site::new(&policy));
    let options = Options::new(&policy, masquerade_bit);
    let mut planner = Planner::new(policy, NodeView::bare(node).with_interfaces(interfaces));
    planner.replan(&snapshot);

    complain(&reports, &planner)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match output {
        Output::Table => table::write(&mut out, &planner, carriers.as_ref())?,
        Output::Json => json::write(&mut out, &planner, carriers.as_ref())?,
        Output::Nft => nft(&mut out, &planner, options)?,
        Output::Zone => {
            let zone = ZoneIndex::new(zone).update(&snapshot, &Delta::everything(&snapshot), 1);
            write!(out, "{zone}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Tells on standard error what is not used, and why.
fn complain(reports: &Reports, planner: &Planner) -> io::Result<()> {
    let mut err = io::stderr().lock();
    for problem in reports.problems() {
        writeln!(err, "not used: {problem}")?;
    }
    for conflict in planner.conflicts() {
        writeln!(err, "conflict at {conflict}")?;
    }
    for (kind, count) in reports.counts().ignored {
        writeln!(err, "ignored: {count} of kind {kind}")?;
    }
    Ok(())
}

/// Writes both tables as commands that `nft -f` takes.
fn nft(out: &mut impl Write, planner: &Planner, options: Options) -> io::Result<()> {
    let mut program = Program::new(options);
    program.take(planner.plans().map(|plan| (plan.name.clone(), Some(Arc::clone(plan)))));
    Family::ALL.into_iter().try_for_each(|family| write!(out, "{}", program.full(family)))
}
