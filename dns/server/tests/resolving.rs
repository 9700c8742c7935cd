//! Keeping answers, choosing upstreams and following their files, over real sockets.
//!
//! The same rules are held to the millisecond under a paused clock in `src/forward/tests`; here nothing
//! is measured: what is waited for is a condition.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_server::{
    CachePolicy, ForwardConfig, Metrics, Prefetch, Selection, ServeStale, ServerConfig, Target,
};

use self::support::{
    FakeUpstream, UdpClient, addresses, config, query, reply_to, start, within, zone,
};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// Gives every name the address `ADDRESS` for so many seconds.
fn for_seconds(ttl: u32) -> impl Fn(&mut Message) + Send + Sync + 'static {
    move |message| {
        let name = message.queries[0].name().clone();
        message.add_answer(Record::from_rdata(name, ttl, RData::A(ADDRESS.into())));
    }
}

/// A server that asks `upstreams` with a changed configuration.
fn server(
    upstreams: &[&FakeUpstream],
    change: impl FnOnce(&mut ForwardConfig),
) -> support::Running {
    let mut config = config(upstreams);
    change(&mut config.forward[0]);
    start(config, zone())
}

/// The value of one metric.
fn metric(metrics: &Metrics, name: &str) -> f64 {
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let values = text.lines().filter(|line| line.starts_with(name));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Asks for an address until the reply is as wanted.
async fn ask_until(
    server: &support::Running,
    name: &str,
    wanted: impl Fn(&Message) -> bool,
) -> Message {
    within("the reply that is wanted", async {
        loop {
            let reply = server.udp(&query(1, name, RecordType::A)).await;
            if wanted(&reply) {
                return reply;
            }
        }
    })
    .await
}

#[tokio::test]
async fn identical_questions_at_once_cost_one_query() {
    let upstream = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut config = support::asking([upstream.local_addr().unwrap()]);
    let limits = &mut config.forward[0].limits;
    // Nothing is sent a second time.
    (limits.patience, limits.per_try, limits.total) =
        (support::PATIENCE, support::PATIENCE, support::PATIENCE);
    let server = start(config, zone());
    let mut clients = Vec::new();
    for id in 0..50 {
        let client = UdpClient::connect(server.address).await;
        client.send(&query(id, "www.example.com.", RecordType::A).to_vec().unwrap()).await;
        // Behind it in the same socket: once this is answered, the other has been read.
        client.send(&query(id, &support::local("web"), RecordType::A).to_vec().unwrap()).await;
        assert_eq!(client.receive_message().await.metadata.id, id);
        clients.push(client);
    }
    let mut buffer = [0; 512];
    let (octets, from) = within("the query", upstream.recv_from(&mut buffer)).await.unwrap();
    let reply = reply_to(&Message::from_vec(&buffer[..octets]).unwrap(), for_seconds(60));
    upstream.send_to(&reply, from).await.unwrap();
    for (id, client) in clients.iter().enumerate() {
        let reply = client.receive_message().await;
        assert_eq!((usize::from(reply.metadata.id), addresses(&reply).len()), (id, 1));
    }
    assert!(upstream.try_recv_from(&mut buffer).is_err(), "a second query went out");
    server.stop().await;
}

#[tokio::test]
async fn answer_is_kept_and_spelled_as_each_client_asks() {
    let upstream = FakeUpstream::replying(for_seconds(300)).await;
    let server = server(&[&upstream], |_| {});
    for name in ["www.example.com.", "WWW.Example.COM.", "wWw.eXaMpLe.cOm."] {
        let reply = server.udp(&query(1, name, RecordType::A)).await;
        assert_eq!(reply.answers[0].name.to_ascii(), name);
        assert!(!reply.metadata.authoritative && reply.answers[0].ttl <= 300);
    }
    assert_eq!(upstream.seen().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn rfc2308_5_denial_is_kept_for_the_smaller_time_of_its_soa() {
    for (rcode, minimum, ttl) in [(ResponseCode::NXDomain, 20, 25), (ResponseCode::NoError, 25, 20)]
    {
        let upstream = FakeUpstream::replying(move |message| {
            let name = || Name::from_ascii("example.com.").unwrap();
            let soa = SOA::new(name(), name(), 1, 2, 3, 4, minimum);
            message.add_authority(Record::from_rdata(name(), ttl, RData::SOA(soa)));
            message.metadata.response_code = rcode;
        })
        .await;
        let server = server(&[&upstream], |_| {});
        for _ in 0..3 {
            let reply = server.udp(&query(1, "nosuch.example.com.", RecordType::A)).await;
            assert_eq!(reply.metadata.response_code, rcode);
            assert!(reply.authorities[0].ttl <= 20, "{}", reply.authorities[0].ttl);
        }
        assert_eq!(upstream.seen().len(), 1, "{rcode}");
        server.stop().await;
    }
}

#[tokio::test]
async fn denial_without_soa_is_not_kept() {
    let upstream = FakeUpstream::replying(|message| {
        message.metadata.response_code = ResponseCode::NXDomain;
    })
    .await;
    let server = server(&[&upstream], |_| {});
    for _ in 0..2 {
        server.udp(&query(1, "nosuch.example.com.", RecordType::A)).await;
    }
    assert_eq!(upstream.seen().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn answer_past_its_time_is_given_when_its_upstream_is_gone() {
    let gone = Arc::new(AtomicBool::new(false));
    let upstream = {
        let gone = Arc::clone(&gone);
        FakeUpstream::start(move |query, _| {
            if gone.load(Ordering::Relaxed) {
                return vec![reply_to(query, |message| {
                    message.metadata.response_code = ResponseCode::ServFail;
                })];
            }
            vec![reply_to(query, for_seconds(1))]
        })
        .await
    };
    let server = server(&[&upstream], |forward| {
        let patience = Duration::from_millis(100);
        let serve_stale = ServeStale::AfterFailure { patience };
        forward.cache = Some(CachePolicy { serve_stale, ..CachePolicy::default() });
    });
    let name = "www.example.com.";
    assert_eq!(addresses(&server.udp(&query(1, name, RecordType::A)).await), [ADDRESS]);
    gone.store(true, Ordering::Relaxed);
    let reply = ask_until(&server, name, |reply| reply.answers[0].ttl == 30).await;
    assert_eq!(addresses(&reply), [IpAddr::from(ADDRESS)]);
    gone.store(false, Ordering::Relaxed);
    assert!(metric(&server.metrics, "coredns_cache_served_stale_total") >= 1.0);
    server.stop().await;
}

#[tokio::test]
async fn popular_answer_is_fetched_before_its_time_is_over() {
    let upstream = FakeUpstream::replying(for_seconds(2)).await;
    let server = server(&[&upstream], |forward| {
        let pause = Duration::from_secs(60);
        let prefetch = Some(Prefetch { hits: 2, pause, percent: 90 });
        forward.cache = Some(CachePolicy { prefetch, ..CachePolicy::default() });
    });
    within("a renewal", async {
        while metric(&server.metrics, "coredns_cache_prefetch_total") == 0.0 {
            let reply = server.udp(&query(1, "www.example.com.", RecordType::A)).await;
            assert_eq!(addresses(&reply), [ADDRESS]);
        }
    })
    .await;
    upstream.wait_for(2).await;
    server.stop().await;
}

#[tokio::test]
async fn upstreams_are_chosen_as_told() {
    for (selection, expected) in
        [(Selection::Sequential, [24, 0, 0]), (Selection::RoundRobin, [8, 8, 8])]
    {
        let mut upstreams = Vec::new();
        for _ in 0..3 {
            upstreams.push(FakeUpstream::replying(for_seconds(60)).await);
        }
        let all: Vec<_> = upstreams.iter().collect();
        let server = server(&all, |forward| forward.selection = selection);
        for index in 0..24 {
            let name = format!("n{index}.example.com.");
            server.udp(&query(index, &name, RecordType::A)).await;
        }
        let seen: Vec<_> = upstreams.iter().map(|upstream| upstream.seen().len()).collect();
        assert_eq!(seen, expected, "{selection:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn at_random_every_upstream_is_asked() {
    let (one, two) = (
        FakeUpstream::replying(for_seconds(60)).await,
        FakeUpstream::replying(for_seconds(60)).await,
    );
    let server = server(&[&one, &two], |forward| forward.selection = Selection::Random);
    within("queries at both", async {
        for index in 0_u64.. {
            if !one.seen().is_empty() && !two.seen().is_empty() {
                return;
            }
            let name = format!("n{index}.example.com.");
            server.udp(&query(1, &name, RecordType::A)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn upstream_that_died_is_left_alone_until_a_probe_finds_it_well() {
    let dead = Arc::new(AtomicBool::new(true));
    let first = {
        let dead = Arc::clone(&dead);
        FakeUpstream::start(move |query, _| match dead.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => vec![reply_to(query, for_seconds(60))],
        })
        .await
    };
    let second = FakeUpstream::replying(for_seconds(60)).await;
    let server = server(&[&first, &second], |forward| {
        forward.health.interval = Duration::from_millis(20);
        forward.health.timeout = Duration::from_millis(200);
        // On a busy machine nobody shall pass for dead who is not.
        forward.limits.patience = Duration::from_secs(1);
    });
    for index in 0..20 {
        let name = format!("a{index}.example.com.");
        let reply = server.udp(&query(index, &name, RecordType::A)).await;
        assert_eq!(addresses(&reply), [ADDRESS]);
    }
    // The one client who met the failure was answered too, and nobody else met it.
    assert_eq!((first.seen().len(), second.seen().len()), (1, 20));
    dead.store(false, Ordering::Relaxed);
    within("the first upstream to be asked again", async {
        for index in 0_u64.. {
            if first.seen().len() > 1 {
                return;
            }
            let name = format!("b{index}.example.com.");
            server.udp(&query(1, &name, RecordType::A)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn memory_of_the_cache_is_bounded() {
    let upstream = FakeUpstream::replying(for_seconds(3000)).await;
    let server = server(&[&upstream], |forward| {
        forward.cache = Some(CachePolicy { bytes: 64 << 10, ..CachePolicy::default() });
    });
    for index in 0..600_u16 {
        let name = format!("n{index}.example.com.");
        server.udp(&query(index, &name, RecordType::A)).await;
    }
    let entries = metric(&server.metrics, "coredns_cache_entries");
    let evictions = metric(&server.metrics, "coredns_cache_evictions_total");
    assert!((10.0..400.0).contains(&entries), "{entries} entries in 64 KiB");
    assert!((entries + evictions - 600.0).abs() < 0.5, "{entries} + {evictions}");
    server.stop().await;
}

#[tokio::test]
async fn resolv_conf_is_followed_when_it_changes() {
    let port53 = |host: u8| SocketAddr::from(([127, 0, 53, host], 53));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let write = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    write("nameserver 127.0.53.1\n");
    let mut config = ServerConfig::new(vec!["127.0.0.1:0".parse().unwrap()], Vec::new());
    config.forward = vec![ForwardConfig::new(vec![Target::ResolvConf(file.clone())])];
    config.forward[0].limits.total = Duration::from_millis(300);
    let server = start(config, zone());
    // Whom it asks is told by its metrics, since a test may not have port 53.
    let asks = |host: u8| {
        let label = format!("to=\"{}\"", port53(host));
        let mut registry = prometheus_client::registry::Registry::default();
        server.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.contains(&label)
    };
    assert!(asks(1) && !asks(2));
    write("nameserver 127.0.53.2\n");
    within("the other name server", async {
        while !asks(2) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}
