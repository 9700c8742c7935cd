//! Where queries are answered, as numbers.

use std::net::IpAddr;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Clones share the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    active: Family<AddressLabel, Gauge>,
    handovers: Family<AddressLabel, Counter>,
}

/// An address as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabel {
    address: String,
}

impl Metrics {
    /// Makes the metrics visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "podway_dns_node_local_active",
            "Whether queries to the address are answered on this node",
            self.active.clone(),
        );
        registry.register(
            "podway_dns_node_local_handovers",
            "How often queries to the address were left to other nodes",
            self.handovers.clone(),
        );
    }

    /// Notes where queries to `address` are answered now.
    pub(super) fn set(&self, address: IpAddr, here: bool) {
        let label = AddressLabel { address: address.to_string() };
        let before = self.active.get_or_create(&label).set(i64::from(here));
        if before == 1 && !here {
            self.handovers.get_or_create(&label).inc();
        }
    }
}
