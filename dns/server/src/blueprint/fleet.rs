//! All `forward` lines of one block as its forwarders.

use std::net::SocketAddr;
use std::sync::Arc;

use podway_dns_corefile::{Placed, Plugin, ServerBlock};

use super::forward::Common;
use super::reports::Reports;
use super::{Ground, cache, forward};
use crate::forward::Fleet;

/// The forwarders of a block, with what is kept of their answers.
pub(super) fn fleet(
    block: &ServerBlock,
    ground: &Ground<'_>,
    (own, known): (Vec<SocketAddr>, &[Arc<Fleet>]),
    reports: &Reports,
) -> Option<Arc<Fleet>> {
    let cache = block.plugins.iter().find_map(|Placed { place, plugin }| {
        let Plugin::Cache(own) = plugin else { return None };
        Some(cache::policy(own, place, reports))
    });
    let longest = block.cancel().map(|cancel| cancel.timeout);
    let common = Common { cache, longest, own };
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
            reports.mistake(&block.place, format!("forward: {}", chain(&error)), "");
            None
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
