//! Where and how a block listens: `bind`, `multisocket`, `timeouts`, `tls`.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number, one_of};
use crate::syntax::Word;
use crate::value::{Refusal, duration_or_seconds, shown};

/// `bind`: the addresses at which a block answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where it answers; never empty.
    pub addresses: Vec<BindAddress>,
    /// Where it does not, although it would by `addresses`.
    pub except: Vec<BindAddress>,
}

/// An address, or all addresses of an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindAddress {
    /// One address; the unspecified one is all of its family.
    Address(IpAddr),
    /// The addresses of the interface of this name.
    Interface(String),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Interface(name) => write!(formatter, "interface {name}"),
        }
    }
}

impl BindAddress {
    /// Reads an address; what is none is the name of an interface.
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        // Linux: 15 octets at most, neither blanks nor slashes; no name of an interface has colons.
        let fits = (1..=15).contains(&text.len())
            && !text.contains(|sign: char| sign.is_whitespace() || "/:{}".contains(sign));
        // What has only the signs of an address is a wrong one.
        let like_address = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if fits && !like_address {
            return Ok(Self::Interface(text.to_owned()));
        }
        let problem = "is neither an IP address nor the name of an interface";
        Err(Refusal::new(problem, "IP addresses and names of interfaces"))
    }

    /// Reads all of `words`.
    fn all(line: &Line<'_>, words: &[Word]) -> Vec<Self> {
        words.iter().filter_map(|word| line.check("address", word, Self::parse)).collect()
    }
}

/// Options of `bind`.
const BIND_OPTIONS: &[&str] = &["except ADDRESS|INTERFACE..."];

impl Directive for Bind {
    const FORM: &'static str = "bind ADDRESS|INTERFACE...";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let words = line.need_rest("address");
        let addresses = BindAddress::all(&line, words);
        let mut except = Vec::new();
        for mut option in line.options(BIND_OPTIONS) {
            match option.name().text.as_str() {
                "except" => {
                    let words = option.need_rest("address");
                    except.extend(BindAddress::all(&option, words));
                    option.end();
                }
                _ => option.unknown(BIND_OPTIONS),
            }
        }
        line.end();
        (!addresses.is_empty()).then_some(Self { addresses, except })
    }

    fn effects(&self, say: &mut Effects) {
        let except = match self.except.as_slice() {
            [] => String::new(),
            except => format!(" except {}", joined(except)),
        };
        say.line(format!("answers at {}{except} only", joined(&self.addresses)));
    }
}

/// `multisocket`: how many sockets share each address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multisocket {
    /// The number, 1..=1024; `None` is one for each processor.
    pub sockets: Option<NonZeroU16>,
}

impl Directive for Multisocket {
    const FORM: &'static str = "multisocket [NUMBER, 1..=1024]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let sockets = line.value_if_any("number", number(1, 1024)).and_then(NonZeroU16::new);
        line.end();
        Some(Self { sockets })
    }

    fn effects(&self, say: &mut Effects) {
        say.line(match self.sockets {
            Some(sockets) => format!("{sockets} sockets share each address"),
            None => "one socket for each processor shares each address".to_owned(),
        });
    }
}

/// `timeouts`: limits of streams; `None` keeps the default of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// How long a client may take to send a query.
    pub read: Option<Duration>,
    /// How long a client may take to accept a reply.
    pub write: Option<Duration>,
    /// How long a connection may be silent.
    pub idle: Option<Duration>,
    /// How many queries one connection may bring; `None` is any number.
    pub most_queries: Option<NonZeroU32>,
}

/// Options of `timeouts`.
const TIMEOUTS_OPTIONS: &[&str] =
    &["read DURATION", "write DURATION", "idle DURATION", "maxtcpqueries NUMBER, -1 for any"];

impl Directive for Timeouts {
    const FORM: &'static str = "timeouts { read DURATION; write DURATION; idle DURATION; \
                                maxtcpqueries NUMBER }";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut timeouts = Self::default();
        let options = line.options(TIMEOUTS_OPTIONS);
        if options.is_empty() {
            line.fault(line.name(), "has no option", Self::FORM);
        }
        for option in options {
            match option.name().text.as_str() {
                "read" => option.set_some(&mut timeouts.read, "duration", some_time),
                "write" => option.set_some(&mut timeouts.write, "duration", some_time),
                "idle" => option.set_some(&mut timeouts.idle, "duration", some_time),
                "maxtcpqueries" => {
                    option.set(&mut timeouts.most_queries, "number", most_queries);
                }
                _ => option.unknown(TIMEOUTS_OPTIONS),
            }
        }
        line.end();
        Some(timeouts)
    }

    fn effects(&self, say: &mut Effects) {
        let mut limit = |what: &str, time: Option<Duration>| {
            if let Some(time) = time {
                say.line(format!("{what} {}", shown(time)));
            }
        };
        limit("a client on a stream may take to send a query", self.read);
        limit("a client on a stream may take to accept a reply", self.write);
        limit("a stream may be silent for", self.idle);
        if let Some(most) = self.most_queries {
            say.line(format!("a stream is closed after {most} queries"));
        }
    }
}

/// Reads a duration that is not zero.
fn some_time(text: &str) -> Result<Duration, Refusal> {
    match duration_or_seconds(text)? {
        Duration::ZERO => Err(Refusal::new("is no time at all", "a duration such as 5s")),
        time => Ok(time),
    }
}

/// Reads the most queries of a connection.
fn most_queries(text: &str) -> Result<Option<NonZeroU32>, Refusal> {
    match text {
        "-1" => Ok(None),
        _ => number(1, u32::MAX)(text).map(NonZeroU32::new),
    }
}

/// `tls`: the keys of the encrypted transports of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// File of the certificate.
    pub certificate: String,
    /// File of its key.
    pub key: String,
    /// File of the authorities that sign clients' certificates; `None` is those of the system.
    pub client_authorities: Option<String>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
}

/// What a server asks of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// No certificate.
    #[default]
    None,
    /// A certificate is asked for, and may be missing or anyone's.
    Request,
    /// Any certificate must be shown.
    RequireAny,
    /// One that is shown must be good.
    VerifyIfGiven,
    /// A good one must be shown.
    Verify,
}

/// Options of `tls`.
const TLS_OPTIONS: &[&str] = &[
    "client_auth nocert|request|require|verify_if_given|require_and_verify",
    "keylog FILE",
    "acme DOMAIN...",
];

/// Words of `client_auth`.
const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("nocert", ClientAuth::None),
    ("request", ClientAuth::Request),
    ("require", ClientAuth::RequireAny),
    ("verify_if_given", ClientAuth::VerifyIfGiven),
    ("require_and_verify", ClientAuth::Verify),
];

impl Directive for Tls {
    const FORM: &'static str = "tls CERT KEY [CA]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut client_auth = ClientAuth::None;
        let mut acme = false;
        for option in line.options(TLS_OPTIONS) {
            let name = option.name();
            match name.text.as_str() {
                "client_auth" => option.set(&mut client_auth, "policy", one_of(CLIENT_AUTH)),
                "keylog" => option.unsupported(name, "writing session keys", "no key log"),
                "acme" => {
                    acme = true;
                    option.unsupported(name, "ACME", Self::FORM);
                }
                // They configure what is not supported.
                "email" | "ca" | "storage" | "ca_root" | "resolver" if acme => {}
                _ => option.unknown(TLS_OPTIONS),
            }
        }
        if acme {
            return None;
        }
        let certificate = line.need("certificate");
        let key = certificate.and_then(|_| line.need("key"));
        let client_authorities = line.take().map(|word| word.text.clone());
        line.end();
        Some(Self {
            certificate: certificate?.text.clone(),
            key: key?.text.clone(),
            client_authorities,
            client_auth,
        })
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("clients are shown {}, with its key {}", self.certificate, self.key));
        let authorities =
            self.client_authorities.as_deref().unwrap_or("an authority of the system");
        match self.client_auth {
            ClientAuth::None => {}
            ClientAuth::Request => say.line("clients are asked for a certificate"),
            ClientAuth::RequireAny => {
                say.line("clients must show a certificate, whoever signed it")
            }
            ClientAuth::VerifyIfGiven => {
                say.line(format!("a client's certificate must be signed by {authorities}"));
            }
            ClientAuth::Verify => {
                say.line(format!("clients must show a certificate signed by {authorities}"));
            }
        }
    }
}
