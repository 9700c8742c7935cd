//! A small cluster for tests: the Services of every tutorial, one of each kind.

#[path = "../tests/support/objects.rs"]
mod objects;

use std::sync::Arc;

use hickory_proto::rr::Record;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::snapshot::{Delta, Snapshot};

pub(crate) use self::objects::{
    address, cluster_ip, endpoint, external_name, headless, import, imported_slice, labeled,
    labeled_namespace, named, namespace, of_pod, pod, service, service_name, slice, unready,
};
use crate::answer::Answer;
use crate::config::ZoneConfig;
use crate::index::ZoneIndex;

/// When the fixture's index was made: the serial of its SOA records.
pub(crate) const NOW: u64 = 1_700_000_000;

/// The cluster that the examples speak of.
pub(crate) fn cluster() -> Vec<Change> {
    use Protocol::{Tcp, Udp};
    let dns = [("dns", Udp, 53), ("dns-tcp", Tcp, 53), ("metrics", Tcp, 9153)];
    let myapp = |index: u8, text: &str| {
        let name = format!("myapp-{index}");
        of_pod(&name, named(text, &name))
    };
    vec![
        namespace("default"),
        namespace("kube-system"),
        cluster_ip(("default", "kubernetes"), &["10.96.0.1"], &[("https", Tcp, 443)]),
        cluster_ip(("kube-system", "kube-dns"), &["10.96.0.10"], &dns),
        cluster_ip(("default", "web"), &["10.96.5.5", "fd00:96::55"], &[("http", Tcp, 80)]),
        cluster_ip(("default", "one"), &["10.96.7.7"], &[("", Tcp, 8080)]),
        headless(("default", "myapp-svc"), &[("web", Tcp, 8080)]),
        slice(
            ("default", "myapp-svc"),
            "a",
            &[("web", Tcp, 8080)],
            vec![
                myapp(0, "10.244.1.10"),
                myapp(1, "10.244.2.11"),
                unready(myapp(2, "10.244.3.12")),
            ],
        ),
        headless(("default", "plain"), &[("http", Tcp, 80)]),
        slice(
            ("default", "plain"),
            "v4",
            &[("http", Tcp, 80)],
            vec![
                of_pod("plain-a", endpoint("10.244.1.20")),
                of_pod("plain-b", endpoint("10.244.2.21")),
            ],
        ),
        slice(
            ("default", "plain"),
            "v6",
            &[("http", Tcp, 80)],
            vec![of_pod("plain-b", endpoint("fd00:244::7"))],
        ),
        headless(("default", "empty"), &[("http", Tcp, 80)]),
        external_name(("default", "ext"), "www.example.com"),
        external_name(("default", "extin"), "web.default.svc.cluster.local"),
        pod(("default", "myapp-0"), &["10.244.1.10"]),
        pod(("default", "plain-b"), &["10.244.2.21", "fd00:244::7"]),
    ]
}

/// The zone of the examples.
pub(crate) fn config() -> ZoneConfig {
    ZoneConfig::new("cluster.local").unwrap()
}

pub(crate) fn snapshot(changes: Vec<Change>) -> (Arc<Snapshot>, Delta) {
    Builder::new().apply(changes)
}

pub(crate) fn index(config: ZoneConfig, changes: Vec<Change>) -> ZoneIndex {
    let (snapshot, delta) = snapshot(changes);
    ZoneIndex::new(config).update(&snapshot, &delta, NOW)
}

/// An answer as rows of tests write it: answers, and behind `+` additionals, with `D` for
/// `default.svc.cluster.local.`; or what there is instead of records.
pub(crate) fn shown(answer: &Answer) -> String {
    let records = |records: &[Record]| -> String {
        let lines: Vec<String> = records
            .iter()
            .map(|record| {
                let data = record.data.to_string();
                format!("{} {} {} {data}", record.name, record.ttl, record.record_type())
            })
            .collect();
        lines.join("; ").replace("default.svc.cluster.local.", "D")
    };
    match answer {
        Answer::NotOurs => "NOT OURS".to_owned(),
        Answer::NotSynced { .. } => "NOT SYNCED".to_owned(),
        Answer::Records { answers, additionals } if additionals.is_empty() => records(answers),
        Answer::Records { answers, additionals } => {
            format!("{} + {}", records(answers), records(additionals))
        }
        Answer::Alias { cname, .. } => format!("{} ...", records(std::slice::from_ref(cname))),
        Answer::NoData { .. } => "NODATA".to_owned(),
        Answer::NxDomain { .. } => "NXDOMAIN".to_owned(),
        Answer::Refused => "REFUSED".to_owned(),
    }
}
