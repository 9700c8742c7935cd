//! A server made from a Corefile, and the cluster that it follows.
#![allow(dead_code, reason = "not every test file uses every helper")]

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::label::LabelKeys;
use podway_dns_zone::ZoneIndex;

use super::corefile::Site;
use super::query;

/// A server, and the cluster that it follows.
pub(crate) struct Followed {
    pub(crate) site: Site,
    pub(crate) builder: Builder,
}

impl Followed {
    /// Starts a server for the Corefile `text`; of the cluster it knows nothing yet.
    pub(crate) async fn start(text: &str) -> Self {
        let site = Site::start(text).await;
        let zone = &site.running.zone;
        let config = zone.load().config().clone();
        zone.store(Arc::new(ZoneIndex::new(config)));
        Self { site, builder: Builder::new() }
    }

    /// Says that every label is known.
    pub(crate) fn with_labels(mut self) -> Self {
        self.builder.keep_labels(LabelKeys::All);
        self
    }

    /// Changes the cluster.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let (snapshot, delta) = self.builder.apply(changes);
        let zone = &self.site.running.zone;
        zone.store(Arc::new(zone.load().update(&snapshot, &delta, 1_700_000_000)));
    }

    /// The reply by UDP.
    pub(crate) async fn ask(&self, name: &str, record_type: RecordType) -> Message {
        self.site.running.udp(&query(1, name, record_type)).await
    }

    /// The data of the answers in order of text, or the response code where there are none.
    pub(crate) async fn said(&self, name: &str, record_type: RecordType) -> String {
        let reply = self.ask(name, record_type).await;
        match (reply.metadata.response_code, &*reply.answers) {
            (ResponseCode::NoError, []) => "NODATA".to_owned(),
            (ResponseCode::NoError, answers) => texts(answers).join(" | "),
            (ResponseCode::NXDomain, _) => "NXDOMAIN".to_owned(),
            (ResponseCode::ServFail, _) => "SERVFAIL".to_owned(),
            (code, _) => code.to_string(),
        }
    }

    /// Compares what is said of names.
    pub(crate) async fn check(&self, when: &str, rows: &[(&str, RecordType, &str)]) {
        for (name, record_type, expected) in rows {
            let said = self.said(name, *record_type).await;
            assert_eq!(said, *expected, "{when}: {name} {record_type}");
        }
    }
}

/// The data of records, in order of text.
pub(crate) fn texts(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<_> = records.iter().map(|record| record.data.to_string()).collect();
    texts.sort_unstable();
    texts
}
