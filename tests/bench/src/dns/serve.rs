//! Podway's DNS as a process of its own: what the daemon makes of a cluster, and nothing else of it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::label::Labels;
use podway_cluster_model::name::Namespace;
use podway_cluster_model::snapshot::Snapshot;
use podway_dns_server::{ClientLimits, Server, ServerConfig};
use podway_dns_zone::{ZoneConfig, ZoneIndex};
use podway_tests_synthetic::{Cluster, NAMESPACE};

/// Queries per second of one client: all come from one address here, so the limit is out of reach
/// but at work.
const CLIENT_LIMIT: NonZeroU32 = NonZeroU32::new(100_000_000).unwrap();

/// Arguments of the process that serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    services: u32,
    #[arg(long)]
    endpoints: u32,
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until it is killed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cluster = Cluster { services: args.services, endpoints: args.endpoints };
    // The daemon keeps the snapshot too.
    let (index, _snapshot) = index(cluster)?;
    let clients = ClientLimits {
        queries_per_second: Some(CLIENT_LIMIT),
        burst: CLIENT_LIMIT,
        ..ClientLimits::default()
    };
    let config = ServerConfig { clients, ..ServerConfig::new(vec![args.listen], Vec::new()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(config, Arc::new(ArcSwap::from_pointee(index)))?;
        server.run(std::future::pending()).await.context("serve")
    })
}

/// The index of `cluster`, and its snapshot.
pub(super) fn index(cluster: Cluster) -> Result<(ZoneIndex, Arc<Snapshot>)> {
    let mut builder = Builder::new();
    let namespace = Change::Namespace(Namespace::new(NAMESPACE)?, Labels::default());
    let (mut snapshot, mut delta) = builder.apply([namespace]);
    let mut index = ZoneIndex::new(ZoneConfig::new(super::questions::ZONE)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    index = index.update(&snapshot, &delta, now);
    for service in 0..cluster.services {
        let changes =
            [Change::Service(cluster.service(service)?), Change::Slice(cluster.slice(service, 0)?)];
        (snapshot, delta) = builder.apply(changes);
        index = index.update(&snapshot, &delta, now);
    }
    Ok((index, snapshot))
}
