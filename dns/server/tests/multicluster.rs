//! `multicluster` of `kubernetes`, over real sockets: the golden Corefile, asked what KEP-1645 says.

mod support;

use std::net::Ipv4Addr;

use hickory_proto::rr::RecordType;
use podway_cluster_model::builder::Change;
use podway_cluster_model::import::Imports;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Protocol;

use self::support::FakeUpstream;
use self::support::followed::{Followed, texts};
use self::support::objects::{PortSpec, cluster_ip, import, imported_slice, named, namespace};

const COREFILE: &str = include_str!("../../corefile/tests/data/multicluster.Corefile");

const HTTP: PortSpec<'_> = ("http", Protocol::Tcp, 80);

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
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let text = COREFILE
        .replace(":53 {", ":PORT {")
        .replace("/etc/resolv.conf", &upstream.address.to_string());
    let mut followed = Followed::start(&text).await;
    followed.apply(objects());
    // Before imports are known, only their zone fails.
    let web = "web.shop.svc.clusterset.local.";
    assert_eq!(followed.said(web, A).await, "SERVFAIL");
    assert_eq!(followed.said("web.shop.svc.cluster.local.", A).await, "10.96.1.1");

    followed.builder.know_imports(Imports::Known);
    followed.apply([]);
    let rows = [
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
    ];
    followed.check("all are known", &rows).await;
    let reply = followed.ask("_http._tcp.db.shop.svc.clusterset.local.", SRV).await;
    assert_eq!(texts(&reply.additionals), ["10.1.0.1", "10.2.0.1"]);
    assert!(reply.answers.iter().all(|record| record.ttl == 30), "{reply}");
    assert_eq!(upstream.seen().len(), 0, "none of it is anybody else's");

    let gone = |name| ServiceName::new("shop", name).map(Change::ImportGone);
    followed.apply(gone("web"));
    assert_eq!(followed.said(web, A).await, "NXDOMAIN");
    followed.site.running.stop().await;
}
