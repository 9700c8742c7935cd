//! `labels` and `namespace_labels` of `kubernetes`, over real sockets: what is published, and what
//! changed labels do to it.

mod support;

use hickory_proto::rr::RecordType;
use podway_cluster_model::port::Protocol;

use self::support::followed::Followed;
use self::support::objects::{
    PortSpec, cluster_ip, endpoint, headless, labeled, labeled_namespace, slice,
};

const HTTP: PortSpec<'_> = ("http", Protocol::Tcp, 80);

/// A server whose `kubernetes` has these options.
async fn start(options: &str) -> Followed {
    let text = format!(
        ".:PORT {{
            kubernetes cluster.local in-addr.arpa {{
                {options}
            }}
        }}"
    );
    Followed::start(&text).await
}

#[tokio::test]
async fn only_services_with_selected_labels_are_published() {
    use RecordType::{A, PTR, SRV};
    let mut followed = start("labels environment in (staging, qa),!hidden").await;
    followed.apply([labeled_namespace("shop", &[])]);
    let web = "web.shop.svc.cluster.local.";
    let missing = "NXDOMAIN";
    assert_eq!(
        followed.said(web, A).await,
        "SERVFAIL",
        "nothing is denied before the labels are known"
    );
    let mut followed = followed.with_labels();
    let labels = |value| [("environment", value)];
    let service =
        |value| labeled(&labels(value), cluster_ip(("shop", "web"), &["10.96.1.1"], &[HTTP]));
    let set = |value| labeled(&labels(value), headless(("shop", "db"), &[HTTP]));
    followed.apply([
        labeled_namespace("shop", &[]),
        service("qa"),
        set("staging"),
        slice(("shop", "db"), "a", &[HTTP], vec![endpoint("10.244.1.1")]),
        cluster_ip(("shop", "bare"), &["10.96.1.2"], &[HTTP]),
    ]);
    let rows = |address, port, member, pointer| {
        [
            (web, A, address),
            ("_http._tcp.web.shop.svc.cluster.local.", SRV, port),
            ("db.shop.svc.cluster.local.", A, member),
            ("10-244-1-1.db.shop.svc.cluster.local.", A, member),
            ("1.1.96.10.in-addr.arpa.", PTR, pointer),
            ("bare.shop.svc.cluster.local.", A, missing),
            ("2.1.96.10.in-addr.arpa.", PTR, missing),
            ("shop.svc.cluster.local.", A, "NODATA"),
        ]
    };
    let published = rows("10.96.1.1", "0 100 80 web.shop.svc.cluster.local.", "10.244.1.1", web);
    let hidden = rows(missing, missing, missing, missing);
    followed.check("published", &published).await;
    followed.apply([service("production"), set("production")]);
    followed.check("with another label", &hidden).await;
    followed.apply([service("qa"), set("qa")]);
    followed.check("with the label again", &published).await;
    let both = [("environment", "qa"), ("hidden", "yes")];
    followed.apply([labeled(&both, cluster_ip(("shop", "web"), &["10.96.1.1"], &[HTTP]))]);
    followed.check("hidden", &[(web, A, missing)]).await;
    followed.site.running.stop().await;
}

#[tokio::test]
async fn only_namespaces_with_selected_labels_are_published() {
    use RecordType::{A, PTR};
    let mut followed = start("namespace_labels team=dns\n pods insecure\n labels app!=internal")
        .await
        .with_labels();
    let missing = "NXDOMAIN";
    let web = "web.shop.svc.cluster.local.";
    followed.apply([
        labeled_namespace("shop", &[("team", "dns")]),
        labeled_namespace("other", &[]),
        cluster_ip(("shop", "web"), &["10.96.1.1"], &[HTTP]),
        labeled(&[("app", "internal")], cluster_ip(("shop", "inside"), &["10.96.1.2"], &[HTTP])),
        cluster_ip(("other", "web"), &["10.96.1.3"], &[HTTP]),
    ]);
    let rows = |address, namespace, pod, pointer| {
        [
            (web, A, address),
            ("shop.svc.cluster.local.", A, namespace),
            ("10-1-2-3.shop.pod.cluster.local.", A, pod),
            ("1.1.96.10.in-addr.arpa.", PTR, pointer),
            ("inside.shop.svc.cluster.local.", A, missing),
            ("web.other.svc.cluster.local.", A, missing),
            ("other.svc.cluster.local.", A, missing),
            ("10-1-2-3.other.pod.cluster.local.", A, missing),
        ]
    };
    let published = rows("10.96.1.1", "NODATA", "10.1.2.3", web);
    let hidden = rows(missing, missing, missing, missing);
    followed.check("published", &published).await;
    followed.apply([labeled_namespace("shop", &[("team", "shop")])]);
    followed.check("with another label", &hidden).await;
    followed.apply([labeled_namespace("shop", &[("team", "dns")])]);
    followed.check("with the label again", &published).await;
    followed.apply([labeled_namespace("other", &[("team", "dns")])]);
    followed.check("another namespace", &[("web.other.svc.cluster.local.", A, "10.96.1.3")]).await;
    followed.site.running.stop().await;
}
