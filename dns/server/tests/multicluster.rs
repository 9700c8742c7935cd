//! `multicluster` of `kubernetes`, over real sockets: the golden Corefile, asked what KEP-1645 says.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::import::Imports;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Protocol;

use self::support::corefile::Site;
use self::support::objects::{PortSpec, cluster_ip, import, imported_slice, named, namespace};
use self::support::{FakeUpstream, query};

const COREFILE: &str = include_str!("../../corefile/tests/data/multicluster.Corefile");

const HTTP: PortSpec<'_> = ("http", Protocol::Tcp, 80);

/// A server with the golden Corefile, and the cluster that it follows.
struct Followed {
    site: Site,
    builder: Builder,
    upstream: FakeUpstream,
}

impl Followed {
    async fn start() -> Self {
        let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
        let text = COREFILE
            .replace(":53 {", ":PORT {")
            .replace("/etc/resolv.conf", &upstream.address.to_string());
        Self { site: Site::start(&text).await, builder: Builder::new(), upstream }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        let (snapshot, delta) = self.builder.apply(changes);
        let zone = &self.site.running.zone;
        zone.store(Arc::new(zone.load().update(&snapshot, &delta, 1_700_000_000)));
    }

    async fn ask(&self, name: &str, record_type: RecordType) -> Message {
        self.site.running.udp(&query(1, name, record_type)).await
    }

    /// The data of the answers in order of text, or the response code where there are none.
    async fn said(&self, name: &str, record_type: RecordType) -> String {
        let reply = self.ask(name, record_type).await;
        match (reply.metadata.response_code, &*reply.answers) {
            (ResponseCode::NoError, []) => "NODATA".to_owned(),
            (ResponseCode::NoError, answers) => texts(answers).join(" | "),
            (ResponseCode::NXDomain, _) => "NXDOMAIN".to_owned(),
            (ResponseCode::ServFail, _) => "SERVFAIL".to_owned(),
            (code, _) => code.to_string(),
        }
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<_> = records.iter().map(|record| record.data.to_string()).collect();
    texts.sort_unstable();
    texts
}

fn objects() -> Vec<Change> {
    vec![
        namespace("shop"),
        cluster_ip(("shop", "web"), &["10.96.1.1"], &[HTTP]),
        import(("shop", "web"), Some(&["10.112.0.7"]), &[HTTP]),
        import(("shop", "db"), None, &[HTTP]),
        imported_slice(("shop", "db"), "east", &[HTTP], vec![named("10.1.0.1", "db-0")]),
        imported_slice(("shop", "db"), "west", &[HTTP], vec![named("10.2.0.1", "db-0")]),
    ]
}

#[tokio::test]
async fn names_of_imported_services_are_answered_in_their_zone() {
    use RecordType::{A, PTR, SRV};
    let mut followed = Followed::start().await;
    followed.apply(objects());
    // Before imports are known, only their zone fails.
    let web = "web.shop.svc.clusterset.local.";
    assert_eq!(followed.said(web, A).await, "SERVFAIL");
    assert_eq!(followed.said("web.shop.svc.cluster.local.", A).await, "10.96.1.1");

    followed.builder.know_imports(Imports::Known);
    followed.apply([]);
    for (name, record_type, expected) in [
        (web, A, "10.112.0.7"),
        (
            "_http._tcp.web.shop.svc.clusterset.local.",
            SRV,
            "0 100 80 web.shop.svc.clusterset.local.",
        ),
        ("db.shop.svc.clusterset.local.", A, "10.1.0.1 | 10.2.0.1"),
        ("db-0.east.db.shop.svc.clusterset.local.", A, "10.1.0.1"),
        ("db-0.west.db.shop.svc.clusterset.local.", A, "10.2.0.1"),
        ("east.db.shop.svc.clusterset.local.", A, "NODATA"),
        (
            "_http._tcp.db.shop.svc.clusterset.local.",
            SRV,
            "0 50 80 db-0.east.db.shop.svc.clusterset.local. | \
             0 50 80 db-0.west.db.shop.svc.clusterset.local.",
        ),
        ("db-0.db.shop.svc.clusterset.local.", A, "NXDOMAIN"),
        ("nosuch.shop.svc.clusterset.local.", A, "NXDOMAIN"),
        ("shop.svc.clusterset.local.", A, "NODATA"),
        // This cluster's zone is as it was, and the one that PTR records name.
        ("web.shop.svc.cluster.local.", A, "10.96.1.1"),
        ("db.shop.svc.cluster.local.", A, "NXDOMAIN"),
        ("1.1.96.10.in-addr.arpa.", PTR, "web.shop.svc.cluster.local."),
    ] {
        assert_eq!(followed.said(name, record_type).await, expected, "{name} {record_type}");
    }
    let reply = followed.ask("_http._tcp.db.shop.svc.clusterset.local.", SRV).await;
    assert_eq!(texts(&reply.additionals), ["10.1.0.1", "10.2.0.1"]);
    assert!(reply.answers.iter().all(|record| record.ttl == 30), "{reply}");
    assert_eq!(followed.upstream.seen().len(), 0, "none of it is anybody else's");

    let gone = |name| ServiceName::new("shop", name).map(Change::ImportGone);
    followed.apply(gone("web"));
    assert_eq!(followed.said(web, A).await, "NXDOMAIN");
    followed.site.running.stop().await;
}
