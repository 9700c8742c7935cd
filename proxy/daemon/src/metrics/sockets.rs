//! What eBPF at the socket has counted.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use podway_proxy_sync::accelerator::{Carried, Report};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use super::gauge;

/// Most Services with series of their own.
///
/// 10,000: as many as large clusters have, and about 2 MB of text. Services beyond, in the order of
/// their names, are counted by a gauge.
const MOST_SERVICES: usize = 10_000;

/// What is told of one Service.
type Value = fn(&Carried) -> u64;

/// Name, description and value of what is told by Service.
const BY_SERVICE: [(&str, &str, Value); 3] = [
    (
        "podway_ebpf_service_connects",
        "Sockets that eBPF connected to an endpoint, by Service",
        |carried| carried.connects,
    ),
    (
        "podway_ebpf_service_datagrams",
        "Datagrams of unconnected sockets that eBPF sent to an endpoint, by Service",
        |carried| carried.datagrams,
    ),
    (
        "podway_ebpf_service_refusals",
        "Sockets and datagrams that eBPF refused for lack of an endpoint, by Service",
        |carried| carried.refusals,
    ),
];

/// What eBPF has counted, as it was last read; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketCounts(Arc<Mutex<Report>>);

impl SocketCounts {
    /// Makes the counts visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Takes over what was read.
    pub(crate) fn set(&self, report: Report) {
        // A report is whole after each assignment, so a poisoned lock holds no half state.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

impl Collector for SocketCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, help, value) in BY_SERVICE {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for carried in report.services.iter().take(MOST_SERVICES) {
                let labels = [
                    ("namespace", carried.service.namespace.as_str()),
                    ("service", carried.service.name.as_str()),
                ];
                let count = ConstCounter::new(value(carried));
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in [
            (
                "podway_ebpf_write_failures",
                "Writes to eBPF maps that the kernel refused",
                report.write_failures,
            ),
            ("podway_ebpf_repairs", "Differences found in eBPF maps and repaired", report.repairs),
            (
                "podway_ebpf_sockets_destroyed",
                "Connected sockets destroyed because their endpoint is gone",
                report.destroyed,
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let frontends = "Frontends that eBPF carries";
        gauge(&mut encoder, "podway_ebpf_frontends", frontends, report.frontends)?;
        let without_room = "Services left to nftables because eBPF maps are full";
        let count = report.without_room;
        gauge(&mut encoder, "podway_ebpf_services_without_room", without_room, count)?;
        let untold = report.services.len().saturating_sub(MOST_SERVICES);
        let help = "Services with sockets carried by eBPF that have no series of their own";
        gauge(&mut encoder, "podway_ebpf_services_untold", help, untold)
    }
}

#[cfg(test)]
mod tests {
    use podway_cluster_model::name::ServiceName;
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn told(services: Vec<Carried>) -> String {
        let counts = SocketCounts::default();
        counts.set(Report { services, destroyed: 2, ..Report::default() });
        let mut registry = Registry::default();
        counts.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        text
    }

    fn carried(name: &str) -> Carried {
        let service = ServiceName::new("shop", name).expect("a name");
        Carried { service, connects: 7, datagrams: 0, refusals: 3 }
    }

    #[test]
    fn each_service_has_its_counts() {
        let text = told(vec![carried("web")]);
        for line in [
            "podway_ebpf_service_connects_total{namespace=\"shop\",service=\"web\"} 7",
            "podway_ebpf_service_refusals_total{namespace=\"shop\",service=\"web\"} 3",
            "podway_ebpf_sockets_destroyed_total 2",
            "podway_ebpf_services_untold 0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn series_are_bounded_and_what_is_left_out_is_told() {
        let text = told((0..MOST_SERVICES + 3).map(|n| carried(&format!("web-{n}"))).collect());
        assert_eq!(text.matches("podway_ebpf_service_connects_total{").count(), MOST_SERVICES);
        assert!(text.contains("\npodway_ebpf_services_untold 3\n"));
    }
}
