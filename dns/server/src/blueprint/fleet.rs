//! All `forward` lines of one block as its forwarders.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use podway_cluster_model::chain::Chain;
use podway_dns_corefile::{Placed, Plugin, ServerBlock};

use super::forward::Common;
use super::reports::Reports;
use super::{Ground, cache, forward};
use crate::forward::Fleet;
use crate::forward::config::LoopDetection;

/// The forwarders of a block, with what is kept of their answers.
pub(super) fn fleet(
    block: &ServerBlock,
    ground: &Ground<'_>,
    (own, known): (Vec<SocketAddr>, &[Arc<Fleet>]),
    reports: &Reports,
) -> Option<Arc<Fleet>> {
    let cache = block.cache().map(cache::policy);
    let longest = block.cancel().map(|cancel| cancel.timeout);
    let at_port = |port| move |ip: &IpAddr| SocketAddr::new(*ip, port);
    let ports: BTreeSet<u16> = own.iter().map(SocketAddr::port).collect();
    let intercepted: Vec<_> =
        ports.iter().flat_map(|port| ground.intercepted.iter().map(at_port(*port))).collect();
    let own = own.into_iter().chain(intercepted.iter().copied()).collect();
    let loops = match block.loop_detection() {
        Some(_) => LoopDetection::On,
        None => LoopDetection::Off,
    };
    let common = Common { cache, longest, own, intercepted, loops };
    let configs = block
        .plugins
        .iter()
        .filter_map(|Placed { place, plugin }| {
            let Plugin::Forward(own) = plugin else { return None };
            Some(forward::config(own, place, &common, reports))
        })
        .collect();
    match Fleet::new(configs, common.own, ground.metrics.forward(), known) {
        Ok(fleet) => Some(fleet),
        Err(error) => {
            reports.mistake(&block.place, format!("forward: {}", Chain(&error)), "");
            None
        }
    }
}
