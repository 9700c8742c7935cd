//! What forwarding is told: which names, whom to ask, and how.
//!
//! Made to be filled from the `forward` and `cache` lines of a Corefile; the defaults are what an
//! upstream of a usual `resolv.conf` needs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Name;
use podway_dns_cache::{CachePolicy, Kind};
use thiserror::Error;

use super::Next;

/// Names of one zone are asked of these upstreams.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardConfig {
    /// Names in this zone; of several the longest counts.
    pub from: Name,
    /// Names below these are left to the next shorter zone.
    pub except: Vec<Name>,
    /// Whom to ask.
    pub to: Vec<Target>,
    /// Who is asked first.
    pub selection: Selection,
    /// How long and how often is asked.
    pub limits: ForwardLimits,
    /// How it is found out that an upstream is back.
    pub health: HealthCheck,
    /// What happens while none of them is well.
    pub all_unhealthy: AllUnhealthy,
    /// Whether the letters of names are mixed at random in datagrams.
    pub mixed_case: MixedCase,
    /// How connections are used.
    pub streams: StreamReuse,
    /// The address that queries come from; `None` leaves it to the routes.
    pub source: Option<IpAddr>,
    /// How upstreams are known by TLS.
    pub tls: TlsTrust,
    /// What is kept of their answers; `None` keeps nothing.
    pub cache: Option<CachePolicy>,
    /// Which answers are kept, and how their times are shown.
    pub keep: Keep,
    /// Replies after which the next upstream is asked, beside those that say nothing of the name.
    pub failover: Vec<ResponseCode>,
    /// Replies that another forwarder may better.
    pub next: NextOn,
    /// Whether upstreams that lead back here are looked for.
    pub loops: LoopDetection,
}

/// Whether upstreams that lead back here are looked for, to be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoopDetection {
    /// They are not.
    #[default]
    Off,
    /// They are asked a question that nobody else asks.
    On,
}

/// Which answers are kept, and how their times are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keep {
    /// Names outside these zones are not kept; empty: all are.
    pub zones: Vec<Name>,
    /// Names in these zones have no answers with data kept.
    pub no_success: Vec<Name>,
    /// Names in these zones have no denials kept.
    pub no_denial: Vec<Name>,
    /// What clients see of the time that an answer was kept.
    pub shown: ShownTtl,
}

/// Times to live in answers that were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShownTtl {
    /// What is left of them.
    #[default]
    Left,
    /// What they were at first.
    Original,
}

/// Replies that the next forwarder may better.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NextOn {
    /// Those with these codes.
    pub rcodes: Vec<ResponseCode>,
    /// Those without an error and without answers.
    pub nodata: bool,
}

impl NextOn {
    /// Whether no reply is.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.rcodes.is_empty() && !self.nodata
    }

    /// What to do after `reply`.
    pub(crate) fn after(&self, reply: &Message) -> Next {
        let rcode = reply.metadata.response_code;
        let empty = rcode == ResponseCode::NoError && reply.answers.is_empty();
        if self.rcodes.contains(&rcode) || (self.nodata && empty) { Next::Ask } else { Next::Stay }
    }
}

impl Keep {
    /// Whether `name` may be kept with an answer of `kind`.
    pub(crate) fn admits(&self, name: &Name, kind: Kind) -> bool {
        let within = |zones: &[Name]| zones.iter().any(|zone| zone.zone_of(name));
        let listed = self.zones.is_empty() || within(&self.zones);
        listed
            && !match kind {
                Kind::Success => within(&self.no_success),
                Kind::Denial => within(&self.no_denial),
                Kind::Failure => false,
            }
    }

    /// Whether every answer is kept.
    pub(crate) fn is_everything(&self) -> bool {
        self.zones.is_empty() && self.no_success.is_empty() && self.no_denial.is_empty()
    }
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This upstream.
    Upstream(Upstream),
    /// The name servers of this file, followed as it changes.
    ResolvConf(PathBuf),
}

/// A server to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Where it is.
    pub address: SocketAddr,
    /// How it is asked.
    pub protocol: Protocol,
}

/// How an upstream is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// By UDP, and by TCP where a datagram has no room.
    Udp,
    /// By TCP.
    Tcp,
    /// By TLS (RFC 7858).
    Tls {
        /// The name in its certificate; `None`: the one for all, else its address.
        name: Option<String>,
    },
}

/// Who is asked first among the upstreams that are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// Any.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
    /// The first one.
    Sequential,
}

/// Limits of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardLimits {
    /// How long one upstream is waited for before the next one is asked beside it.
    pub patience: Duration,
    /// How long one try lasts.
    pub per_try: Duration,
    /// How long a client is kept waiting for all of them.
    pub total: Duration,
    /// Tries for one question; `None`: as many as there is time for.
    pub attempts: Option<NonZeroUsize>,
    /// Queries forwarded at the same time; further ones get SERVFAIL at once.
    pub in_flight: usize,
}

/// How it is found out that an upstream is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Time between two probes, which are sent only while an upstream fails.
    pub interval: Duration,
    /// How long a probe waits for a reply.
    pub timeout: Duration,
    /// Probes that may fail before an upstream counts as down; 0: it never does.
    pub max_fails: u32,
    /// Whether probes ask for recursion.
    pub recursion_desired: bool,
    /// Whose name servers probes ask for.
    pub domain: Name,
}

/// What happens while no upstream is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AllUnhealthy {
    /// They are asked all the same.
    #[default]
    AskAnyway,
    /// Clients get SERVFAIL at once.
    Fail,
}

/// Whether the letters of names are mixed at random in datagrams, which makes forged replies rarer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MixedCase {
    /// They are, with every upstream that repeats them.
    #[default]
    WhereRepeated,
    /// They are not.
    Never,
}

/// How connections to upstreams are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReuse {
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long any connection takes new queries; `None`: as long as it lasts.
    pub longest: Option<Duration>,
    /// Unused connections that are kept; `None`: any number.
    pub most_idle: Option<NonZeroUsize>,
    /// Queries under way on one connection before another one is opened.
    pub in_flight: usize,
}

/// How upstreams are known by TLS, and we by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsTrust {
    /// The name in their certificates, unless an upstream brings its own.
    pub name: Option<String>,
    /// File of the authorities that sign them, as PEM; `None`: those of the system.
    pub authorities: Option<PathBuf>,
    /// What they are shown.
    pub identity: Option<TlsIdentity>,
}

/// What the other side is shown by TLS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsIdentity {
    /// File of the certificate and those that lead to it, as PEM.
    pub certificate: PathBuf,
    /// File of its key, as PEM.
    pub key: PathBuf,
}

impl ForwardConfig {
    /// Forwards all names to `to` in the usual way.
    #[must_use]
    pub fn new(to: Vec<Target>) -> Self {
        Self {
            from: Name::root(),
            except: Vec::new(),
            to,
            selection: Selection::default(),
            limits: ForwardLimits::default(),
            health: HealthCheck::default(),
            all_unhealthy: AllUnhealthy::default(),
            mixed_case: MixedCase::default(),
            streams: StreamReuse::default(),
            source: None,
            tls: TlsTrust::default(),
            cache: Some(CachePolicy::default()),
            keep: Keep::default(),
            failover: Vec::new(),
            next: NextOn::default(),
            loops: LoopDetection::default(),
        }
    }
}

impl Default for ForwardLimits {
    /// 300 ms, 2 s, 5 s, any number of tries, and 1000.
    ///
    /// Patience is several times the round trip to a resolver; the others are those of CoreDNS's
    /// `forward`, and 5 s is what a stub resolver waits.
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(300),
            per_try: Duration::from_secs(2),
            total: Duration::from_secs(5),
            attempts: None,
            in_flight: 1000,
        }
    }
}

impl Default for HealthCheck {
    /// The name servers of the root every 0.5 s, for 1 s each; down after the third failure.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            max_fails: 2,
            recursion_desired: true,
            domain: Name::root(),
        }
    }
}

impl Default for StreamReuse {
    /// 10 s, as CoreDNS keeps them, and 64 queries.
    fn default() -> Self {
        Self { idle: Duration::from_secs(10), longest: None, most_idle: None, in_flight: 64 }
    }
}

/// Port of DNS.
const DNS_PORT: u16 = 53;

/// Port of DNS over TLS (RFC 7858 §3.1).
const TLS_PORT: u16 = 853;

/// Why a text names no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an upstream: IP, IP:PORT, tcp://IP or tls://IP#NAME is")]
pub struct UpstreamError;

impl Upstream {
    /// The upstream at `address`, asked by UDP.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::Udp }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Upstream(Upstream::udp(address))
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    /// Reads `IP`, `IP:PORT`, and with `tcp://` or `tls://` before it; TLS takes `#NAME` behind it.
    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let (protocol, place, port) = if let Some(place) = text.strip_prefix("tls://") {
            let (place, name) = match place.split_once('#') {
                Some((_, "")) => return Err(UpstreamError),
                Some((place, name)) => (place, Some(name.to_owned())),
                None => (place, None),
            };
            (Protocol::Tls { name }, place, TLS_PORT)
        } else if let Some(place) = text.strip_prefix("tcp://") {
            (Protocol::Tcp, place, DNS_PORT)
        } else {
            (Protocol::Udp, text.strip_prefix("dns://").unwrap_or(text), DNS_PORT)
        };
        let bare = place.strip_prefix('[').and_then(|place| place.strip_suffix(']'));
        let address = place
            .parse()
            .or_else(|_| bare.unwrap_or(place).parse().map(|ip: IpAddr| (ip, port).into()))
            .map_err(|_unknown| UpstreamError)?;
        Ok(Self { address, protocol })
    }
}

impl fmt::Display for Upstream {
    /// As CoreDNS names it in metrics: the address, and `tls://` before it where that is used.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Udp => "",
            Protocol::Tcp => "tcp://",
            Protocol::Tls { .. } => "tls://",
        };
        write!(formatter, "{scheme}{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_read_in_every_form() {
        let tls = |name: Option<&str>| Protocol::Tls { name: name.map(str::to_owned) };
        for (text, address, protocol) in [
            ("192.0.2.1", "192.0.2.1:53", Protocol::Udp),
            ("192.0.2.1:5353", "192.0.2.1:5353", Protocol::Udp),
            ("dns://192.0.2.1", "192.0.2.1:53", Protocol::Udp),
            ("2001:db8::1", "[2001:db8::1]:53", Protocol::Udp),
            ("[2001:db8::1]", "[2001:db8::1]:53", Protocol::Udp),
            ("[2001:db8::1]:54", "[2001:db8::1]:54", Protocol::Udp),
            ("tcp://192.0.2.1", "192.0.2.1:53", Protocol::Tcp),
            ("tls://192.0.2.1", "192.0.2.1:853", tls(None)),
            ("tls://192.0.2.1:54#dns.example", "192.0.2.1:54", tls(Some("dns.example"))),
            ("tls://[2001:db8::1]#dns.example", "[2001:db8::1]:853", tls(Some("dns.example"))),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(text.parse(), Ok(Upstream { address, protocol }), "{text}");
        }
        for text in ["", "dns.example", "tls://dns.example", "192.0.2.1#name", "tls://192.0.2.1#"] {
            assert_eq!(text.parse::<Upstream>(), Err(UpstreamError), "{text}");
        }
    }
}
