//! The loop over one socket, without the tasks around it.

use std::net::UdpSocket;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use hickory_proto::rr::Name;
use podway_cluster_model::snapshot::Snapshot;
use podway_dns_zone::{ZoneConfig, ZoneIndex};

use super::*;
use crate::clients::Clients;
use crate::config::{ClientLimits, StreamLimits};
use crate::forward::Fleet;
use crate::metrics::Metrics;
use crate::reply::Policy;
use crate::site::{Block, Site};

/// A worker for the zone of a cluster without Services.
fn worker() -> Worker {
    let zone = ZoneIndex::new(ZoneConfig::new("cluster.local").unwrap());
    let zone = Arc::new(ArcSwap::from_pointee(zone.rebuild(&Snapshot::default(), 1)));
    let policy = Policy { udp_payload_octets: 1232, recursion: false };
    let metrics = Metrics::default();
    let fleet = Fleet::new(Vec::new(), Vec::new(), metrics.forward(), &[]).unwrap();
    let block = Arc::new(Block::usual(zone, policy, fleet));
    let site = Site::new(vec![(vec![Name::root()], block)], StreamLimits::default(), &metrics);
    let clients = Arc::new(Clients::new(ClientLimits::default(), std::time::Instant::now()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let handler = Handler::new(Arc::new(site), (address, false), clients, metrics);
    socket.set_nonblocking(true).unwrap();
    Worker::new(Endpoint::new(socket).unwrap(), Arc::new(handler)).unwrap()
}

#[test]
fn batch_of_plain_questions_is_answered_without_allocation() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut worker = runtime.block_on(async { worker() });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(worker.endpoint.address().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // `svc.cluster.local. A IN` of an id and RD.
    let question = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
        \x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";
    let mut round = || {
        for _ in 0..BATCH {
            client.send(&question).unwrap();
        }
        let cost = runtime.block_on(async {
            worker.endpoint.readable().await.unwrap();
            allocation_counter::measure(|| {
                let batch = pin!(worker.take_batch());
                let outcome = batch.poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(outcome, Poll::Ready(Queue::PerhapsMore));
            })
        });
        let mut reply = [0; 512];
        for _ in 0..BATCH {
            let octets = client.recv(&mut reply).unwrap();
            assert!(octets > question.len() && reply[..2] == question[..2]);
        }
        cost.count_total
    };
    // The first round makes the room that later ones use again.
    assert!(round() > 0);
    assert_eq!(round(), 0);
}
