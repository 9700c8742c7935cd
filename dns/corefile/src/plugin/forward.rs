//! `forward`: questions passed on to other servers.

mod health;
mod tls;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use hickory_proto::op::ResponseCode;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number, one_of, text};
use crate::syntax::Word;
use crate::value::{Refusal, Zone, duration, host_and_port, rcode, rcode_name, shown};

pub use health::{HealthCheck, Recursion};
pub use tls::{ClientIdentity, UpstreamTls};
pub use upstream::{Upstream, UpstreamProtocol};

/// `forward`: names in a zone are asked of other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Names in this zone.
    pub from: Zone,
    /// The servers, 1 to 15; a file counts as one here.
    pub to: Vec<Upstream>,
    /// Names that are not passed on, but left to the next plugin.
    pub except: Vec<Zone>,
    /// By which transport servers without TLS are asked.
    pub transport: Transport,
    /// In which order servers are asked.
    pub policy: Policy,
    /// How failing servers are found and left out.
    pub health: HealthCheck,
    /// What happens when all servers fail.
    pub all_unhealthy: AllUnhealthy,
    /// Longest wait for one reply.
    pub read_timeout: Duration,
    /// How often one question is tried.
    pub attempts: Attempts,
    /// How long an unused connection is kept.
    pub expire: Duration,
    /// How long any connection is kept; `None` is as long as it is used.
    pub longest_connection: Option<Duration>,
    /// Unused connections kept for each server; `None` is any number.
    pub most_idle: Option<NonZeroU32>,
    /// Questions under way at the same time; `None` is any number.
    pub most_concurrent: Option<NonZeroU32>,
    /// Replies for which the next server is asked.
    pub failover: Vec<ResponseCode>,
    /// Replies for which the next `forward` of the block is asked.
    pub next: Vec<ResponseCode>,
    /// Whether a reply without data is one of them.
    pub next_on_nodata: bool,
    /// How servers are known by TLS.
    pub tls: UpstreamTls,
    /// The address that questions come from; `None` leaves it to the system.
    pub source: Option<IpAddr>,
    /// Servers that know the addresses of upstreams given by name; those of the system when empty.
    pub resolvers: Vec<SocketAddr>,
}

/// By which transport a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// By the one the client used.
    #[default]
    AsAsked,
    /// By TCP.
    ForceTcp,
    /// By UDP first, by TCP when that is truncated.
    PreferUdp,
}

/// In which order servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// At random.
    #[default]
    Random,
    /// One after the other, each question beginning with the next one.
    RoundRobin,
    /// Always from the first one on.
    Sequential,
}

/// What happens when all servers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AllUnhealthy {
    /// One of them is asked all the same.
    #[default]
    TryAnyway,
    /// SERVFAIL at once.
    FailFast,
}

/// How often one question is tried, over all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attempts {
    /// Twice for each server.
    #[default]
    TwiceEach,
    /// So often at most.
    AtMost(NonZeroU32),
    /// Until time is up.
    Unlimited,
}

/// Options of `forward`.
const OPTIONS: &[&str] = &[
    "except NAME...",
    "force_tcp",
    "prefer_udp",
    "expire DURATION",
    "max_age DURATION",
    "max_idle_conns NUMBER",
    "read_timeout DURATION",
    "max_fails NUMBER",
    "max_connect_attempts NUMBER",
    "doh_method GET|POST",
    "tls [[CERT KEY] [CA]]",
    "tls_servername NAME",
    "policy random|round_robin|sequential",
    "health_check DURATION [no_rec] [domain NAME]",
    "max_concurrent NUMBER",
    "next RCODE...",
    "next_on_nodata",
    "failfast_all_unhealthy_upstreams",
    "failover RCODE...",
    "source_address IP",
    "resolver IP[:PORT]...",
];

/// Words for policies.
const POLICIES: &[(&str, Policy)] = &[
    ("random", Policy::Random),
    ("round_robin", Policy::RoundRobin),
    ("sequential", Policy::Sequential),
];

impl Directive for Forward {
    const FORM: &'static str = "forward FROM TO...";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let (from, to) = origin_and_upstreams(&mut line, scope);
        let mut forward = Self::new(from.unwrap_or_else(Zone::root), to);
        for option in line.options(OPTIONS) {
            forward.option(option);
        }
        forward.check_together(&line);
        line.end();
        (!forward.to.is_empty()).then_some(forward)
    }

    fn effects(&self, say: &mut Effects) {
        let order = match self.policy {
            Policy::Random => "in random order",
            Policy::RoundRobin => "in turn",
            Policy::Sequential => "the first that works",
        };
        let to = joined(&self.to);
        say.line(format!("names in {} are asked of {to}, {order}", self.from));
        if !self.except.is_empty() {
            say.line(format!("names in {} are not", joined(&self.except)));
        }
        self.transport_effects(say);
        self.health_effects(say);
        let codes = |codes: &[ResponseCode]| joined(codes.iter().map(|code| rcode_name(*code)));
        if !self.failover.is_empty() {
            say.line(format!("the next server is asked after {}", codes(&self.failover)));
        }
        if !self.next.is_empty() {
            say.line(format!("the next forward is asked after {}", codes(&self.next)));
        }
        say.line_if(self.next_on_nodata, "the next forward is asked after replies without data");
        if let Some(most) = self.most_concurrent {
            say.line(format!("{most} questions are under way at most"));
        }
    }
}

/// Reads `FROM TO...`.
fn origin_and_upstreams(line: &mut Line<'_>, scope: Scope<'_>) -> (Option<Zone>, Vec<Upstream>) {
    let origin = line.need("FROM");
    let zones = origin.and_then(|word| line.check("FROM", word, Zone::list)).unwrap_or_default();
    if let (Some(word), [zone, rest @ ..]) = (origin, zones.as_slice()) {
        scope.warn_if_outside(line, word, zone);
        if !rest.is_empty() {
            let problem = format!("network {:?} is several reverse zones", word.text);
            line.fault(word, problem, "a network that ends at an octet, IPv6 at half an octet");
        }
    }
    let words = if origin.is_some() { line.need_rest("upstream") } else { &[] };
    let to: Vec<_> = words.iter().filter_map(|word| upstream::read(line, word)).collect();
    if to.is_empty() && !words.is_empty() && line.is_lenient() {
        line.fault(line.name(), "no upstream is left", Forward::FORM);
    }
    // CoreDNS takes no more, and nobody needs them.
    if let Some(word) = words.get(upstream::MOST) {
        let problem = format!("{} upstreams", words.len());
        line.fault(word, problem, &format!("1 to {} upstreams", upstream::MOST));
    }
    (zones.into_iter().next(), to)
}

impl Forward {
    /// The defaults of CoreDNS.
    fn new(from: Zone, to: Vec<Upstream>) -> Self {
        Self {
            from,
            to,
            except: Vec::new(),
            transport: Transport::default(),
            policy: Policy::default(),
            health: HealthCheck::default(),
            all_unhealthy: AllUnhealthy::default(),
            read_timeout: Duration::from_secs(2),
            attempts: Attempts::default(),
            expire: Duration::from_secs(10),
            longest_connection: None,
            most_idle: None,
            most_concurrent: None,
            failover: Vec::new(),
            next: Vec::new(),
            next_on_nodata: false,
            tls: UpstreamTls::default(),
            source: None,
            resolvers: Vec::new(),
        }
    }

    /// Reads one option.
    fn option(&mut self, mut line: Line<'_>) {
        let name = line.name();
        match name.text.as_str() {
            "except" => {
                let words = line.need_rest("name");
                self.except.extend(line.zones(words));
            }
            "force_tcp" => line.switch(&mut self.transport, Transport::ForceTcp),
            // CoreDNS: force_tcp holds when both are given.
            "prefer_udp" if self.transport == Transport::ForceTcp => line.end(),
            "prefer_udp" => line.switch(&mut self.transport, Transport::PreferUdp),
            "expire" => line.set(&mut self.expire, "duration", duration),
            "max_age" => {
                line.set(&mut self.longest_connection, "duration", |text| {
                    duration(text).map(|age| Some(age).filter(|age| !age.is_zero()))
                });
            }
            "max_idle_conns" => line.set(&mut self.most_idle, "number", number_or_any),
            "max_concurrent" => line.set(&mut self.most_concurrent, "number", number_or_any),
            "read_timeout" => line.set(&mut self.read_timeout, "duration", |text| {
                duration(text).and_then(|time| match time {
                    Duration::ZERO => Err(Refusal::new("is no time at all", "more than 0s")),
                    time => Ok(time),
                })
            }),
            "max_fails" => line.set(&mut self.health.max_fails, "number", number(0, u32::MAX)),
            "max_connect_attempts" => line.set(&mut self.attempts, "number", |text| {
                let most = NonZeroU32::new(number(0, u32::MAX)(text)?);
                Ok(most.map_or(Attempts::Unlimited, Attempts::AtMost))
            }),
            "doh_method" => line.unsupported(name, "asking servers by HTTPS", "no doh_method"),
            "tls" => self.tls.read(line),
            "tls_servername" => line.set_some(&mut self.tls.server_name, "name", text),
            "policy" => line.set(&mut self.policy, "policy", one_of(POLICIES)),
            "health_check" => self.health.read(line),
            "next" => self.next.extend(rcodes(line)),
            "next_on_nodata" => line.switch(&mut self.next_on_nodata, true),
            "failover" => self.failover.extend(failover_rcodes(line)),
            "failfast_all_unhealthy_upstreams" => {
                line.switch(&mut self.all_unhealthy, AllUnhealthy::FailFast);
            }
            "source_address" => line.set_some(&mut self.source, "address", ip_address),
            "resolver" => {
                let words = line.need_rest("resolver");
                let resolver = |word| line.check("resolver", word, resolver);
                self.resolvers.extend(words.iter().filter_map(resolver));
                line.end();
            }
            _ => line.unknown(OPTIONS),
        }
    }

    /// Finds options that do not go together.
    fn check_together(&self, line: &Line<'_>) {
        if self.longest_connection.is_some_and(|age| age < self.expire) {
            line.fault(line.name(), "max_age is less than expire", "max_age of expire or more");
        }
        let own_name = self.to.iter().any(Upstream::has_own_server_name);
        if self.tls.server_name.is_some() && own_name {
            let problem = "tls_servername is given, and upstreams bring names of their own";
            line.fault(line.name(), problem, "either of both");
        }
        let encrypted = self.to.iter().any(Upstream::is_encrypted);
        if self.tls != UpstreamTls::default() && !encrypted && !self.to.is_empty() {
            line.warn(line.name(), "tls has no effect without an upstream of tls://");
        }
    }

    fn transport_effects(&self, say: &mut Effects) {
        match self.transport {
            Transport::AsAsked => {}
            Transport::ForceTcp => say.line("servers are asked by TCP"),
            Transport::PreferUdp => say.line("servers are asked by UDP first"),
        }
        self.tls.effects(say);
        if let Some(source) = self.source {
            say.line(format!("questions come from {source}"));
        }
        if !self.resolvers.is_empty() {
            say.line(format!("addresses of servers are asked of {}", joined(&self.resolvers)));
        }
        let expire = shown(self.expire);
        say.line(format!("connections are kept for {expire} without use"));
        if let Some(longest) = self.longest_connection {
            say.line(format!("connections are kept for {} at most", shown(longest)));
        }
        if let Some(most) = self.most_idle {
            say.line(format!("{most} unused connections to each server are kept at most"));
        }
        let wait = shown(self.read_timeout);
        say.line(match self.attempts {
            Attempts::TwiceEach => {
                format!("one question is tried twice for each server, for {wait}")
            }
            Attempts::AtMost(most) => format!("one question is tried {most} times, for {wait}"),
            Attempts::Unlimited => {
                format!("one question is tried until its time is up, for {wait}")
            }
        });
    }

    fn health_effects(&self, say: &mut Effects) {
        self.health.effects(say);
        let fail_fast = self.all_unhealthy == AllUnhealthy::FailFast;
        say.line_if(fail_fast, "when all servers are left out questions fail at once");
    }
}

/// Reads a number; 0 is any.
fn number_or_any(text: &str) -> Result<Option<NonZeroU32>, Refusal> {
    number(0, u32::MAX)(text).map(NonZeroU32::new)
}

/// Reads response codes.
fn rcodes(mut line: Line<'_>) -> Vec<ResponseCode> {
    let words = line.need_rest("response code");
    let codes = words.iter().filter_map(|word| line.check("code", word, rcode)).collect();
    line.end();
    codes
}

/// Reads response codes, of which NOERROR is none that fails over.
fn failover_rcodes(line: Line<'_>) -> Vec<ResponseCode> {
    let no_error = |word: &&Word| rcode(&word.text) == Ok(ResponseCode::NoError);
    if let Some(word) = line.peek().filter(no_error) {
        line.fault(word, "NOERROR is no failure", "a response code such as SERVFAIL");
    }
    rcodes(line)
}

/// Reads an IP address.
fn ip_address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().or(Err(Refusal::new("is no IP address", "")))
}

/// Reads `IP[:PORT]`.
fn resolver(text: &str) -> Result<SocketAddr, Refusal> {
    let accepted = "IP[:PORT]";
    let (host, port) = host_and_port(text, accepted)?;
    let address = host.parse().or(Err(Refusal::new("has no IP address", accepted)))?;
    Ok(SocketAddr::new(address, port.unwrap_or(53)))
}
