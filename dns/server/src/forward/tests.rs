//! Forwarding with upstreams that live in memory and a clock that stands still unless all wait.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};
use podway_dns_cache::{CachePolicy, Kind, Prefetch, ServeStale, TtlRange};
use tokio::time::{Instant, sleep};

use super::config::{AllUnhealthy, ForwardLimits, MixedCase, Selection, Target, Upstream as Place};
use super::metrics::UpstreamMetrics;
use super::outgoing::Outgoing;
use super::transport::{Asking, Dial, Reply, Transport};
use super::*;

mod caching;
mod failing;
mod following;
mod looping;

/// What an upstream does with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Has an address for every name, good for so many seconds, after so many milliseconds.
    Answers { ttl: u32, after_ms: u64 },
    /// Replies with a code and nothing else.
    Says(ResponseCode),
    /// Says FORMERR to queries with OPT and answers others.
    Old,
    /// Says FORMERR without repeating the question.
    Bare,
    /// Sends what is no message.
    Babbles,
    /// Is silent.
    Silent,
    /// Cannot be reached.
    Gone,
    /// Passes on what it is asked to the server that asks, and is silent.
    LeadsBack,
}

const GOOD: Manner = Manner::Answers { ttl: 60, after_ms: 0 };

/// An upstream in memory.
#[derive(Debug, Default)]
struct Fake {
    manner: Mutex<Option<Manner>>,
    queries: AtomicUsize,
    probes: Mutex<Vec<Instant>>,
    /// The server that asks.
    home: Mutex<std::sync::Weak<Forwarders>>,
}

impl Fake {
    fn behave(&self, manner: Manner) {
        *lock(&self.manner) = Some(manner);
    }

    /// Queries so far, probes left out.
    fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    fn probes(&self) -> usize {
        lock(&self.probes).len()
    }

    async fn reply(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        if outgoing.key.qtype() == 2 {
            lock(&self.probes).push(Instant::now());
        } else {
            self.queries.fetch_add(1, Ordering::Relaxed);
        }
        let manner = lock(&self.manner).unwrap_or(GOOD);
        let sent = outgoing.with_id(7);
        let mut message = Message::from_vec(&sent.octets).unwrap();
        message.metadata.message_type = MessageType::Response;
        let mut answer = |ttl| {
            let name = message.queries[0].name().clone();
            let address = RData::A(Ipv4Addr::new(192, 0, 2, 1).into());
            message.add_answer(Record::from_rdata(name, ttl, address));
        };
        match manner {
            Manner::Answers { ttl, after_ms } => {
                sleep(Duration::from_millis(after_ms)).await;
                answer(ttl);
            }
            Manner::Old if !outgoing.edns => answer(60),
            Manner::Old => message.metadata.response_code = ResponseCode::FormErr,
            Manner::Says(rcode) => message.metadata.response_code = rcode,
            Manner::Bare => {
                message.metadata.response_code = ResponseCode::FormErr;
                message.queries.clear();
            }
            Manner::Babbles => {
                let mut octets = sent.octets.clone();
                (octets[2], octets[7]) = (0x80, 9);
                let judgement = sent.judge(&octets);
                return Ok(Reply { message: octets, judgement });
            }
            Manner::Silent => std::future::pending().await,
            Manner::Gone => return Err(io::ErrorKind::ConnectionRefused.into()),
            Manner::LeadsBack => {
                let home = lock(&self.home).upgrade();
                home.map(|home| home.came_back(message.queries[0].name()));
                std::future::pending().await
            }
        }
        let message = message.to_vec().unwrap();
        let judgement = sent.judge(&message);
        Ok(Reply { message, judgement })
    }
}

/// A way to one of them.
#[derive(Debug)]
struct Way(Arc<Fake>);

impl Transport for Way {
    fn ask<'a>(&'a self, outgoing: &'a Outgoing) -> Asking<'a> {
        Box::pin(self.0.reply(outgoing))
    }
}

/// The ways to all of them.
#[derive(Debug, Default)]
struct Ways(HashMap<SocketAddr, Arc<Fake>>);

impl Dial for Ways {
    fn transport(
        &self,
        place: &Place,
        _metrics: &UpstreamMetrics,
    ) -> Result<Box<dyn Transport>, TlsError> {
        Ok(Box::new(Way(Arc::clone(&self.0[&place.address]))))
    }
}

/// Where this server is.
const OURSELVES: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4)), 53);

/// The address of an upstream by its number.
fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number + 1], 53))
}

/// Upstreams, and a forwarder that asks them.
struct Bench {
    fakes: Vec<Arc<Fake>>,
    forwarder: Arc<Forwarder>,
    renewals: mpsc::Receiver<(usize, Key)>,
    metrics: ForwardMetrics,
}

/// Asks so many upstreams one after the other, as changed by `change`.
fn bench(upstreams: u8, change: impl FnOnce(&mut ForwardConfig)) -> Bench {
    let fakes: Vec<_> = (0..upstreams).map(|_| Arc::<Fake>::default()).collect();
    let ways = (0..upstreams).map(address).zip(fakes.iter().cloned()).collect();
    let to = (0..upstreams).map(address).map(Target::from).collect();
    let mut config = ForwardConfig { selection: Selection::Sequential, ..ForwardConfig::new(to) };
    change(&mut config);
    let metrics = ForwardMetrics::default();
    let (queue, renewals) = mpsc::channel(RENEWALS);
    let queue = Renewals { place: 0, queue };
    let forwarder = Forwarder::new(config, &[OURSELVES], Arc::new(Ways(ways)), queue, &metrics)
        .map(Arc::new)
        .unwrap();
    Bench { fakes, forwarder, renewals, metrics }
}

fn key_of(name: &str) -> Key {
    Key::new(name.split('.').map(str::as_bytes), 1, 1, KeyFlags::default())
}

impl Bench {
    /// What a client gets who asks for `name`.
    async fn ask(&self, name: &str) -> Given {
        match self.forwarder.begin(key_of(name)) {
            Begun::Reply(given) => given,
            Begun::Wait(waiting) => waiting.finish().await,
        }
    }

    /// What a client gets, and how long it waited by the clock of the test.
    async fn ask_timed(&self, name: &str) -> (Given, Duration) {
        let started = Instant::now();
        (self.ask(name).await, started.elapsed())
    }

    /// What a client gets without waiting; `None` if upstreams have to be asked.
    fn at_once(&self, name: &str) -> Option<Given> {
        match self.forwarder.begin(key_of(name)) {
            Begun::Reply(given) => Some(given),
            Begun::Wait(_) => None,
        }
    }

    /// Does the renewals that are due, and lets them end.
    async fn renew(&mut self) -> usize {
        let mut renewals = 0;
        while let Ok((_, key)) = self.renewals.try_recv() {
            self.forwarder.renew(&key);
            renewals += 1;
        }
        sleep(Duration::from_millis(1)).await;
        renewals
    }

    /// Queries so far at each upstream.
    fn queries(&self) -> Vec<usize> {
        self.fakes.iter().map(|fake| fake.queries()).collect()
    }

    /// The value of a metric, labels included in its name as it is written.
    fn metric(&self, name: &str) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| "none".to_owned(), |value| value.trim().to_owned())
    }
}

fn kind(given: &Given) -> Kind {
    given.response.kind()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
