//! What single plugins do, and how they work together.

use super::*;

#[tokio::test]
async fn simple_plugins_do_their_work_in_their_order() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let text = format!(
        ".:PORT {{
            any
            local
            nsid served by podway
            header {{
                response clear ra
            }}
            acl {{
                block type TXT
                filter type MX
                drop type NAPTR
            }}
            minimal
            dns64 {{
                allow_ipv4
            }}
            kubernetes cluster.local
            forward . {}
        }}",
        upstream.address
    );
    let site = Site::start(&text).await;
    let asked = |name: &str, qtype| query(9, name, qtype);
    let any = site.running.udp(&asked("www.example.com.", RecordType::ANY)).await;
    assert_eq!(any.answers[0].record_type(), RecordType::HINFO);
    let own = site.running.udp(&asked("localhost.", RecordType::A)).await;
    assert_eq!(addresses(&own), [Ipv4Addr::LOCALHOST]);
    let web = site.running.udp(&asked(&local("web"), RecordType::A)).await;
    assert!(!web.metadata.recursion_available, "header says so");
    for (qtype, expected) in
        [(RecordType::TXT, ResponseCode::Refused), (RecordType::MX, ResponseCode::NoError)]
    {
        let denied = site.running.udp(&edns_query(9, &local("web"), qtype, 1232)).await;
        assert_eq!((rcode(&denied), denied.answers.len()), (expected, 0));
        let options = denied.edns.unwrap();
        assert!(options.option(EdnsCode::Unknown(15)).is_some(), "{options}");
    }
    // What is dropped gets no reply; the one that comes is for the next query.
    let client = support::UdpClient::connect(site.running.address).await;
    client.send(&query(1, &local("web"), RecordType::NAPTR).to_vec().unwrap()).await;
    client.send(&query(2, &local("web"), RecordType::A).to_vec().unwrap()).await;
    assert_eq!(client.receive_message().await.metadata.id, 2);
    // 64:ff9b::/96 with the IPv4 address behind it.
    let made = site.running.udp(&asked("www.example.com.", RecordType::AAAA)).await;
    assert_eq!(addresses(&made), ["64:ff9b::c000:201".parse::<std::net::Ipv6Addr>().unwrap()]);
    let mut who = edns_query(4, &local("web"), RecordType::A, 1232);
    let options = who.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(3, Vec::new()));
    let reply = site.running.udp(&who).await;
    let identity = reply.edns.as_ref().unwrap().option(EdnsCode::NSID).unwrap();
    assert_eq!(Vec::<u8>::try_from(identity).unwrap(), b"served by podway");
    let ports = site.running.udp(&asked(&local("_http._tcp.web"), RecordType::SRV)).await;
    assert_eq!((ports.answers.len(), ports.additionals.len()), (1, 0), "minimal");
    site.running.stop().await;
}

#[tokio::test]
async fn next_forward_is_asked_after_the_replies_that_are_listed() {
    let (first, second) = (
        FakeUpstream::replying(|reply| reply.metadata.response_code = ResponseCode::NXDomain).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 2)).await,
    );
    let text = format!(
        ".:PORT {{\n forward . {} {{\n next NXDOMAIN\n }}\n forward . {}\n}}",
        first.address, second.address
    );
    let site = Site::start(&text).await;
    assert_eq!(addresses(&ask(&site, "a.example.").await), [Ipv4Addr::new(192, 0, 2, 2)]);
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    site.running.stop().await;
}

#[tokio::test]
async fn stub_domains_hosts_rewrites_and_templates_work_together() {
    let (stub, rest) = (
        FakeUpstream::with_address(Ipv4Addr::new(198, 51, 100, 7)).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.30 printer.lan printer\n").unwrap();
    let text = format!(
        ".:PORT {{
            errors
            rewrite name exact web.example.com web.default.svc.cluster.local
            rewrite name suffix .old. .default.svc.cluster.local. answer auto
            rewrite cname exact www.example.com. db.acme.local.
            template IN A pods.example {{
                match \"^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)\\.pods\\.example\\.$\"
                answer \"{{{{ .Name }}}} 60 IN A {{{{ .Group.a }}}}.{{{{ .Group.b }}}}.{{{{ .Group.c }}}}.{{{{ .Group.d }}}}\"
                fallthrough
            }}
            template ANY AAAA blocked.example {{
                rcode NOERROR
            }}
            hosts {} lan example.net {{
                192.0.2.10 registry.example.net
                ttl 300
                fallthrough
            }}
            kubernetes cluster.local
            forward . {}
            cache 30
        }}
        acme.local:PORT {{
            forward . {}
        }}",
        hosts.display(),
        rest.address,
        stub.address
    );
    let site = Site::start(&text).await;
    for (name, address) in [
        ("web.example.com.", [10, 96, 5, 5]),
        ("web.old.", [10, 96, 5, 5]),
        ("ip-10-1-2-3.pods.example.", [10, 1, 2, 3]),
        ("other.pods.example.", [192, 0, 2, 1]),
        ("registry.example.net.", [192, 0, 2, 10]),
        ("printer.lan.", [192, 0, 2, 30]),
        ("nobody.lan.", [192, 0, 2, 1]),
        ("db.acme.local.", [198, 51, 100, 7]),
    ] {
        let reply = ask(&site, name).await;
        assert_eq!(addresses(&reply), [Ipv4Addr::from(address)], "{name}");
        assert_eq!(reply.queries[0].name().to_string(), name);
        assert_eq!(reply.answers[0].name.to_string(), name, "the owner is the name asked");
    }
    // The target that the rule gives is looked up in the whole server.
    let alias = ask(&site, &local("ext")).await;
    assert_eq!(addresses(&alias), [Ipv4Addr::new(198, 51, 100, 7)], "{alias}");
    let none = site.running.udp(&query(7, "a.blocked.example.", RecordType::AAAA)).await;
    assert_eq!((rcode(&none), none.answers.len()), (ResponseCode::NoError, 0));

    std::fs::write(&hosts, "192.0.2.31 printer.lan\n").unwrap();
    support::within("the changed file", async {
        while addresses(&ask(&site, "printer.lan.").await) != [Ipv4Addr::new(192, 0, 2, 31)] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    site.running.stop().await;
}

#[tokio::test]
async fn options_that_a_rewrite_sets_go_to_upstreams_and_tell_answers_apart() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let text = format!(
        ".:PORT {{
            rewrite continue edns0 local set 0xffee 0x61626364
            rewrite continue edns0 local set 65001 {{server_port}}
            rewrite edns0 subnet set 32 128
            kubernetes cluster.local
            forward . {}
            cache 60
        }}",
        upstream.address
    );
    let site = Site::start(&text).await;
    let mut question = edns_query(9, "www.example.com.", RecordType::A, 1232);
    let options = question.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(10, b"a cookie".to_vec()));
    for (client, queries) in [("127.0.0.1:0", 1), ("127.0.0.1:0", 1), ("127.0.0.2:0", 2)] {
        let socket = tokio::net::UdpSocket::bind(client).await.unwrap();
        socket.send_to(&question.to_vec().unwrap(), site.running.address).await.unwrap();
        let mut buffer = [0; 1232];
        let octets = support::within("a reply", socket.recv(&mut buffer)).await.unwrap();
        let reply = Message::from_vec(&buffer[..octets]).unwrap();
        assert_eq!(addresses(&reply), [Ipv4Addr::new(192, 0, 2, 1)]);
        assert!(reply.edns.unwrap().options().as_ref().is_empty());
        assert_eq!(upstream.seen().len(), queries, "{client}");
    }
    for (seen, last) in upstream.seen().iter().zip([1, 2]) {
        let edns = seen.message().edns.unwrap();
        let data = |code: u16| {
            edns.option(EdnsCode::from(code)).map(|option| Vec::<u8>::try_from(option).unwrap())
        };
        assert_eq!(data(0xffee).unwrap(), b"abcd");
        assert_eq!(data(65001).unwrap(), site.running.address.port().to_be_bytes());
        assert_eq!(data(8).unwrap(), [0, 1, 32, 0, 127, 0, 0, last]);
        assert_eq!(data(10), None, "the client's own options are about its own hop");
    }
    site.running.stop().await;
}

#[tokio::test]
async fn what_plugins_do_is_counted_by_server_and_zone() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.30 printer.lan\n").unwrap();
    let text = format!(
        "acme.local:PORT {{
            template IN A acme.local {{
                answer \"{{{{ .Name }}}} 60 IN A 192.0.2.7\"
            }}
            template IN TXT acme.local {{
                answer \"{{{{ .Name }}}} 60 IN A nothing\"
            }}
        }}
        .:PORT {{
            local
            dns64 {{
                allow_ipv4
            }}
            acl example.org {{
                block type TXT
                filter type MX
                drop type NAPTR
            }}
            hosts {} lan {{
                fallthrough
            }}
            kubernetes cluster.local
            forward . {}
        }}",
        hosts.display(),
        upstream.address
    );
    let site = Site::start(&text).await;
    let client = support::UdpClient::connect(site.running.address).await;
    client.send(&query(1, "a.example.org.", RecordType::NAPTR).to_vec().unwrap()).await;
    for (name, qtype) in [
        ("a.acme.local.", RecordType::A),
        ("a.acme.local.", RecordType::TXT),
        ("a.example.org.", RecordType::TXT),
        ("a.example.org.", RecordType::MX),
        ("a.example.org.", RecordType::AAAA),
        ("localhost.example.org.", RecordType::A),
    ] {
        site.running.udp(&query(9, name, qtype)).await;
    }
    let text = exposition(&site);
    let server = format!("server=\"dns://{}\"", site.running.address);
    let acme = format!("{server},zone=\"acme.local.\",view=\"\"");
    let org = format!("{server},zone=\"example.org.\",view=\"\"");
    let root = format!("{server},zone=\".\",view=\"\"");
    let failure = r#"class="IN",type="TXT",section="answer",template="<name> 60 IN A nothing""#;
    for line in [
        format!("coredns_dns_requests_total{{{acme},proto=\"udp\",family=\"1\",type=\"A\"}} 1"),
        format!("coredns_dns_requests_total{{{root},proto=\"udp\",family=\"1\",type=\"AAAA\"}} 1"),
        format!("coredns_dns_responses_total{{{acme},rcode=\"SERVFAIL\",plugin=\"other\"}} 1"),
        format!("coredns_dns_request_duration_seconds_count{{{root}}} 4"),
        format!("coredns_template_matches_total{{{acme},class=\"IN\",type=\"A\"}} 1"),
        format!("coredns_template_rr_failures_total{{{acme},{failure}}} 1"),
        format!("coredns_acl_blocked_requests_total{{{org}}} 1"),
        format!("coredns_acl_filtered_requests_total{{{org}}} 1"),
        format!("coredns_acl_dropped_requests_total{{{org}}} 1"),
        format!("coredns_acl_allowed_requests_total{{{server},view=\"\"}} 2"),
        format!("coredns_dns64_requests_translated_total{{{server}}} 1"),
        "coredns_local_localhost_requests_total 1".to_owned(),
        format!("coredns_hosts_entries{{hostsfile=\"{}\"}} 1", hosts.display()),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line}\nin\n{text}");
    }
    assert!(text.contains("\ncoredns_hosts_reload_timestamp_seconds 1"), "{text}");
    site.running.stop().await;
}
