//! What the hooks do with a socket, on maps of the host.

use podway_ebpf_abi::address::{Address, TCP, UDP};
use podway_ebpf_abi::event::{CONNECT, SEND, Sampling};
use podway_ebpf_abi::state::{CONNECTED, PeerKey};
use podway_ebpf_abi::table::{FrontendValue, Range};
use podway_ebpf_backend::entries::Write;
use podway_ebpf_datapath::tables::Outcome;
use podway_ebpf_datapath::tell::NO_ADDRESS;
use podway_ebpf_datapath::translate::{Verdict, connect, peer_name, receive, send};

use crate::support::Host;

const SECOND_NS: u64 = 1_000_000_000;

fn frontend(protocol: u8) -> Address {
    Address::v4(u32::from_ne_bytes([10, 96, 0, 1]), 80_u16.to_be(), protocol)
}

fn endpoint(last: u8, protocol: u8) -> Address {
    Address::v4(u32::from_ne_bytes([10, 244, 1, last]), 8080_u16.to_be(), protocol)
}

/// A Service of pool 7 with endpoints 1 to `count`, at slots 8 and up.
fn service(protocol: u8, count: u8, affinity_seconds: u32) -> Host {
    let mut host = Host::default();
    let endpoints: Vec<_> = (1..=count).map(|last| endpoint(last, protocol)).collect();
    let range = Range { base: 8, count: count.into() };
    host.write(&Write::Pool { pool: 7, affinity_seconds, is_new: true });
    for endpoint in &endpoints {
        host.write(&Write::AddMember(*endpoint, 7));
    }
    host.write(&Write::Slots { base: 8, pool: 7, endpoints });
    host.write(&Write::Range { pool: 7, range });
    host.write(&Write::Frontend(frontend(protocol), 7));
    host.now_ns.set(SECOND_NS);
    host
}

fn outcomes(host: &Host) -> Vec<Outcome> {
    host.outcomes.borrow().clone()
}

#[test]
fn sockets_of_a_namespace_that_opts_out_are_left_alone() {
    for protocol in [TCP, UDP] {
        let host = service(protocol, 2, 60);
        host.netns.set(5);
        host.left_alone.borrow_mut().insert(5);
        assert_eq!(connect(&host, &frontend(protocol)), Verdict::Leave);
        assert_eq!(send(&host, &frontend(protocol)), Verdict::Leave);
        assert!(host.affinity.borrow().is_empty() && host.peers.borrow().is_empty());
        host.netns.set(6);
        assert!(matches!(connect(&host, &frontend(protocol)), Verdict::Rewrite(_)));
    }
}

#[test]
fn connected_socket_believes_that_it_speaks_to_the_frontend() {
    let host = service(TCP, 3, 0);
    host.lot.set(u32::MAX);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(3, TCP)));
    assert_eq!(peer_name(&host, &endpoint(3, TCP)), Verdict::Rewrite(frontend(TCP)));
    assert_eq!(peer_name(&host, &endpoint(2, TCP)), Verdict::Leave, "not its peer");
    assert_eq!(outcomes(&host), [Outcome::Connected]);
    assert!(host.peers.borrow().is_empty(), "only sockets of datagrams have peers");
}

#[test]
fn socket_that_is_connected_elsewhere_later_is_forgotten() {
    let host = service(TCP, 1, 0);
    connect(&host, &frontend(TCP));
    let elsewhere = endpoint(9, TCP);
    assert_eq!(connect(&host, &elsewhere), Verdict::Leave);
    assert_eq!(peer_name(&host, &endpoint(1, TCP)), Verdict::Leave);
}

#[test]
fn service_without_endpoints_refuses_at_once() {
    for (protocol, call) in [(TCP, connect as fn(&Host, &Address) -> Verdict), (UDP, send)] {
        let host = service(protocol, 0, 0);
        assert_eq!(call(&host, &frontend(protocol)), Verdict::Refuse);
        assert_eq!(outcomes(&host), [Outcome::Refused]);
    }
}

#[test]
fn socket_without_memory_for_its_state_is_left_alone() {
    let host = service(TCP, 1, 0);
    host.out_of_memory.set(true);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Leave);
    assert_eq!(outcomes(&host), []);
}

#[test]
fn answers_to_datagrams_come_from_the_frontend() {
    let host = service(UDP, 2, 0);
    let Verdict::Rewrite(first) = send(&host, &frontend(UDP)) else { panic!("not sent on") };
    assert_eq!(receive(&host, &first), Verdict::Rewrite(frontend(UDP)));
    assert_eq!(send(&host, &frontend(UDP)), Verdict::Rewrite(first), "one socket, one partner");
    host.socket.set(1);
    assert_eq!(receive(&host, &first), Verdict::Leave, "another socket knows it by its own name");
    assert_eq!(outcomes(&host), [Outcome::Sent, Outcome::Sent]);
}

#[test]
fn connected_datagram_sockets_are_marked_as_such() {
    let host = service(UDP, 1, 0);
    host.socket.set(5);
    assert_eq!(connect(&host, &frontend(UDP)), Verdict::Rewrite(endpoint(1, UDP)));
    let key = PeerKey::new(5, endpoint(1, UDP));
    assert_eq!(host.peers.borrow().get(&key).map(|value| value.connected), Some(CONNECTED));
    assert_eq!(receive(&host, &endpoint(1, UDP)), Verdict::Rewrite(frontend(UDP)));
}

#[test]
fn client_keeps_its_endpoint_until_the_timeout() {
    let host = service(TCP, 3, 10);
    host.lot.set(0);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(1, TCP)));
    host.lot.set(u32::MAX);
    for second in [10, 19, 28] {
        host.now_ns.set(second * SECOND_NS);
        let verdict = connect(&host, &frontend(TCP));
        assert_eq!(verdict, Verdict::Rewrite(endpoint(1, TCP)), "each connection renews it");
    }
    host.netns.set(2);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(3, TCP)), "another pod");
    host.netns.set(0);
    host.now_ns.set(38 * SECOND_NS);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(3, TCP)), "timed out");
}

#[test]
fn client_of_an_endpoint_that_is_gone_gets_another() {
    let mut host = service(TCP, 2, 10);
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(1, TCP)));
    host.write(&Write::Slots { base: 16, pool: 7, endpoints: vec![endpoint(2, TCP)] });
    host.write(&Write::Range { pool: 7, range: Range { base: 16, count: 1 } });
    host.write(&Write::RemoveMember(endpoint(1, TCP), 7));
    assert_eq!(connect(&host, &frontend(TCP)), Verdict::Rewrite(endpoint(2, TCP)));
}

#[test]
fn whatever_is_torn_or_recycled_is_left_to_nftables() {
    let mut host = service(TCP, 1, 0);
    let key = frontend(TCP);
    let right = FrontendValue::new(&key, 7);
    let other = FrontendValue::new(&endpoint(1, TCP), 7);
    for torn in [other, FrontendValue { pool: 6, ..right }, FrontendValue { check: 0, ..right }] {
        host.frontends.insert(key, torn);
        assert_eq!(connect(&host, &key), Verdict::Leave);
    }
    host.frontends.insert(key, right);
    // Slots that were given to another pool meanwhile.
    host.write(&Write::Slots { base: 8, pool: 6, endpoints: vec![endpoint(9, TCP)] });
    assert_eq!(connect(&host, &key), Verdict::Leave);
}

/// Nothing is told yet; from then on one of `one_in`, until the second after this one.
fn listen(host: &Host, one_in: u32) {
    host.told.borrow_mut().clear();
    host.sampling.set(Sampling { one_in, until_ns: 2 * SECOND_NS, ..Sampling::default() });
}

#[test]
fn decisions_are_told_while_somebody_listens() {
    for (hook, protocol, call) in
        [(CONNECT, TCP, connect as fn(&Host, &Address) -> Verdict), (SEND, UDP, send)]
    {
        for (count, expected) in [(1, endpoint(1, protocol)), (0, NO_ADDRESS)] {
            let host = service(protocol, count, 0);
            host.netns.set(5);
            call(&host, &frontend(protocol));
            assert!(host.told.borrow().is_empty(), "nobody listens");
            listen(&host, 1);
            call(&host, &frontend(protocol));
            call(&host, &endpoint(9, protocol));
            let told = host.told.borrow().clone();
            let [event] = told[..] else {
                panic!("a frontend and an address that is none: {told:?}")
            };
            assert_eq!((event.hook, event.frontend), (hook, frontend(protocol)));
            assert_eq!(event.endpoint, expected);
            assert_eq!((event.time_ns, event.netns, event.process), (SECOND_NS, 5, 42));
            host.now_ns.set(2 * SECOND_NS);
            call(&host, &frontend(protocol));
            assert_eq!(host.told.borrow().len(), 1, "the listener did not renew its time");
        }
    }
}

#[test]
fn one_decision_of_so_many_is_told() {
    let host = service(TCP, 1, 0);
    for (one_in, lots, told) in [(1, [0, u32::MAX], 2), (4, [(1 << 30) - 1, 1 << 30], 1)] {
        listen(&host, one_in);
        for lot in lots {
            host.lot.set(lot);
            connect(&host, &frontend(TCP));
        }
        assert_eq!(host.told.borrow().len(), told, "1 in {one_in}");
    }
}
