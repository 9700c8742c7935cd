//! Zone files of a Corefile, over real sockets: answers, referrals, aliases in and out, changes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::Ipv4Addr;
use std::path::Path;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use self::support::corefile::Site;
use self::support::{FakeUpstream, addresses, query};

/// A zone with an address that changes.
fn zone(serial: u32, address: &str) -> String {
    format!(
        "$TTL 300
@ SOA ns hostmaster {serial} 3600 600 86400 60
  NS ns
ns A 192.0.2.53
web A {address}
www CNAME web
cluster CNAME web.default.svc.cluster.local.
abroad CNAME www.example.com.
*.wild A 192.0.2.99
sub NS ns.sub
ns.sub A 192.0.2.54
old DNAME new
x.new A 192.0.2.61
$INCLUDE more hosts
"
    )
}

/// A server for the zone `corp.example` from files in `folder`.
async fn site(folder: &Path, upstream: &FakeUpstream) -> Site {
    std::fs::write(folder.join("db"), zone(7, "192.0.2.80")).unwrap();
    std::fs::write(folder.join("more"), "a A 192.0.2.7\n").unwrap();
    let second = "@ SOA ns hostmaster 1 3600 600 86400 60\n NS ns.corp.example.\n$INCLUDE part\n";
    std::fs::write(folder.join("second"), second).unwrap();
    std::fs::write(folder.join("part"), "a A 192.0.2.8\n").unwrap();
    let text = format!(
        ".:PORT {{
            kubernetes cluster.local
            file {} corp.example {{
                reload 1s
                fallthrough free.corp.example
            }}
            file {} second.example {{
                reload 1s
                reload_by_mtime
            }}
            file {} never.example
            forward . {}
        }}",
        folder.join("db").display(),
        folder.join("second").display(),
        folder.join("none").display(),
        upstream.address
    );
    Site::start(&text).await
}

/// Asks for addresses.
async fn ask(site: &Site, name: &str) -> Message {
    site.running.udp(&query(7, name, RecordType::A)).await
}

#[tokio::test]
async fn zone_files_are_answered_beside_the_cluster_and_the_rest_is_forwarded() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), &upstream).await;
    for (name, address, authoritative) in [
        ("Web.corp.example.", [192, 0, 2, 80], true),
        ("www.corp.example.", [192, 0, 2, 80], true),
        ("x.wild.corp.example.", [192, 0, 2, 99], true),
        ("a.hosts.corp.example.", [192, 0, 2, 7], true),
        ("x.old.corp.example.", [192, 0, 2, 61], true),
        ("cluster.corp.example.", [10, 96, 5, 5], true),
        ("abroad.corp.example.", [192, 0, 2, 1], true),
        ("x.free.corp.example.", [192, 0, 2, 1], false),
        ("www.example.org.", [192, 0, 2, 1], false),
    ] {
        let reply = ask(&site, name).await;
        assert_eq!(addresses(&reply), [Ipv4Addr::from(address)], "{name}: {reply}");
        assert_eq!(reply.metadata.authoritative, authoritative, "{name}");
        assert_eq!(reply.queries[0].name().to_string(), name);
        let by_stream = site.running.tcp(&query(7, name, RecordType::A)).await;
        assert_eq!(addresses(&by_stream), addresses(&reply), "{name} by TCP");
    }
    for (name, rcode, soas) in [
        ("nosuch.corp.example.", ResponseCode::NXDomain, 1),
        ("hosts.corp.example.", ResponseCode::NoError, 1),
        ("corp.example.", ResponseCode::NoError, 1),
        // A file that is not there leaves its zone without answers, and the others alone.
        ("a.never.example.", ResponseCode::ServFail, 0),
    ] {
        let reply = ask(&site, name).await;
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (rcode, 0), "{name}");
        assert_eq!(reply.authorities.len(), soas, "{name}");
    }
    let referral = ask(&site, "deep.sub.corp.example.").await;
    assert!(!referral.metadata.authoritative && referral.answers.is_empty(), "{referral}");
    assert_eq!(
        referral.authorities[0].to_string(),
        "sub.corp.example. 300 IN NS ns.sub.corp.example."
    );
    assert_eq!(referral.additionals[0].to_string(), "ns.sub.corp.example. 300 IN A 192.0.2.54");
    site.running.stop().await;
}

#[tokio::test]
async fn changed_zone_file_is_answered_from_and_a_wrong_one_changes_nothing() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), &upstream).await;
    let file = folder.path().join("db");
    // The first is wrong, the second has the serial of the one in force.
    std::fs::write(&file, zone(8, "192.0.2.nothing")).unwrap();
    std::fs::write(&file, zone(7, "192.0.2.81")).unwrap();
    assert_eq!(addresses(&ask(&site, "web.corp.example.").await), [Ipv4Addr::new(192, 0, 2, 80)]);
    std::fs::write(&file, zone(9, "192.0.2.82")).unwrap();
    support::within("the changed file", async {
        while addresses(&ask(&site, "web.corp.example.").await) != [Ipv4Addr::new(192, 0, 2, 82)] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    site.running.stop().await;
}

#[tokio::test]
async fn included_file_is_followed_too() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path(), &upstream).await;
    let is_now = async |address: [u8; 4]| {
        support::within("the changed part", async {
            while addresses(&ask(&site, "a.second.example.").await) != [Ipv4Addr::from(address)] {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    is_now([192, 0, 2, 8]).await;
    std::fs::write(folder.path().join("part"), "a A 192.0.2.9\n$INCLUDE deeper\n").unwrap();
    std::fs::write(folder.path().join("deeper"), "b A 192.0.2.9\n").unwrap();
    is_now([192, 0, 2, 9]).await;
    // One that is included for the first time is followed from then on; a wrong one changes nothing.
    std::fs::write(folder.path().join("deeper"), "b A nonsense\n").unwrap();
    std::fs::write(folder.path().join("part"), "a A 192.0.2.10\n$INCLUDE deeper\n").unwrap();
    assert_eq!(addresses(&ask(&site, "a.second.example.").await), [Ipv4Addr::new(192, 0, 2, 9)]);
    std::fs::write(folder.path().join("deeper"), "b A 192.0.2.10\n").unwrap();
    is_now([192, 0, 2, 10]).await;
    site.running.stop().await;
}
