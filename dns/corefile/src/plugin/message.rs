//! What is done to messages: `bufsize`, `nsid`, `header`, `minimal`, `loadbalance`.

use std::time::Duration;

use ipnet::IpNet;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number, one_of};
use crate::value::{duration, network, shown};

/// `bufsize`: the largest datagram, whatever a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bufsize {
    /// Octets, 512..=4096.
    pub octets: u16,
}

impl Directive for Bufsize {
    const FORM: &'static str = "bufsize [SIZE, 512..=4096]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let octets = line.value_if_any("size", number(512, 4096));
        line.end();
        // 1232 octets pass every IPv6 path without fragments (DNS Flag Day 2020).
        Some(Self { octets: octets.unwrap_or(1232) })
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("datagrams hold at most {} octets", self.octets));
    }
}

/// `nsid`: who answered, for those who ask (RFC 5001).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nsid {
    /// The text; `None` is the name of this host.
    pub identifier: Option<String>,
}

impl Directive for Nsid {
    const FORM: &'static str = "nsid [TEXT...]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let words: Vec<&str> = line.rest().iter().map(|word| word.text.as_str()).collect();
        line.end();
        Some(Self { identifier: (!words.is_empty()).then(|| words.join(" ")) })
    }

    fn effects(&self, say: &mut Effects) {
        let who = self.identifier.as_ref().map_or_else(
            || "the name of the host".to_owned(),
            |identifier| format!("{identifier:?}"),
        );
        say.line(format!("a client that asks for the server's identity gets {who}"));
    }
}

/// `header`: flags of queries and replies, changed in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The changes; never empty.
    pub rules: Vec<HeaderRule>,
}

/// One change of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// Of which messages.
    pub side: Side,
    /// Which flags; never empty.
    pub flags: Vec<Flag>,
    /// What they become.
    pub value: bool,
}

/// Which messages are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Queries, before anything else sees them.
    Query,
    /// Replies.
    Response,
}

/// A flag of the header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// `aa`
    AuthoritativeAnswer,
    /// `ra`
    RecursionAvailable,
    /// `rd`
    RecursionDesired,
}

impl std::fmt::Display for Flag {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = FLAGS.iter().find(|(_, flag)| flag == self).map(|(word, _)| *word);
        formatter.write_str(word.unwrap_or_default())
    }
}

/// Options of `header`.
const HEADER_OPTIONS: &[&str] = &["query set|clear FLAG...", "response set|clear FLAG..."];

/// Words for flags.
const FLAGS: &[(&str, Flag)] = &[
    ("aa", Flag::AuthoritativeAnswer),
    ("ra", Flag::RecursionAvailable),
    ("rd", Flag::RecursionDesired),
];

impl Directive for Header {
    const FORM: &'static str = "header { query|response set|clear aa|ra|rd... }";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut rules = Vec::new();
        let options = line.options(HEADER_OPTIONS);
        if options.is_empty() {
            line.fault(line.name(), "has no rule", Self::FORM);
        }
        for mut option in options {
            let side = match option.name().text.as_str() {
                "query" => Side::Query,
                "response" => Side::Response,
                _ => {
                    option.unknown(HEADER_OPTIONS);
                    continue;
                }
            };
            let value = option.value("action", one_of(&[("set", true), ("clear", false)]));
            let words = option.need_rest("flag");
            let flag = |word| option.check("flag", word, one_of(FLAGS));
            let flags: Vec<Flag> = words.iter().filter_map(flag).collect();
            option.end();
            rules.extend(value.map(|value| HeaderRule { side, flags, value }));
        }
        line.end();
        (!rules.is_empty()).then_some(Self { rules })
    }

    fn effects(&self, say: &mut Effects) {
        for HeaderRule { side, flags, value } in &self.rules {
            let side = match side {
                Side::Query => "queries",
                Side::Response => "replies",
            };
            let verb = if *value { "set" } else { "cleared" };
            say.line(format!("in {side} {} is {verb}", joined(flags)));
        }
    }
}

/// `minimal`: positive answers come without authority and additional records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minimal;

impl Directive for Minimal {
    const FORM: &'static str = "minimal";

    fn parse(line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        line.end();
        Some(Self)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("answers hold nothing but what was asked");
    }
}

/// `loadbalance`: the order of addresses in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalance {
    /// How they are ordered.
    pub order: Order,
    /// Addresses in these networks stand first.
    pub prefer: Vec<IpNet>,
}

/// How addresses are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// At random, all equally likely.
    Shuffled,
    /// The first one by weights from a file.
    Weighted {
        /// The file of weights.
        file: String,
        /// How often it is looked at for changes; zero for never.
        reload: Duration,
    },
}

/// Options of `loadbalance`.
const LOADBALANCE_OPTIONS: &[&str] = &["reload DURATION", "prefer CIDR..."];

impl Directive for LoadBalance {
    const FORM: &'static str = "loadbalance [round_robin|weighted FILE]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let policies = one_of(&[("round_robin", false), ("weighted", true)]);
        let weighted = line.value_if_any("policy", policies).unwrap_or(false);
        let file = if weighted { line.need("file of weights") } else { None };
        // How often CoreDNS looks at the weights.
        let mut reload = Duration::from_secs(30);
        let mut prefer = Vec::new();
        for mut option in line.options(LOADBALANCE_OPTIONS) {
            match option.name().text.as_str() {
                "reload" if weighted => option.set(&mut reload, "duration", duration),
                "reload" => option.fault(option.name(), "goes with weighted only", Self::FORM),
                "prefer" => {
                    let words = option.need_rest("network");
                    let net = |word| option.check("network", word, network);
                    prefer.extend(words.iter().filter_map(net));
                    option.end();
                }
                _ => option.unknown(LOADBALANCE_OPTIONS),
            }
        }
        line.end();
        let order = match file {
            Some(file) => Order::Weighted { file: file.text.clone(), reload },
            None => Order::Shuffled,
        };
        Some(Self { order, prefer })
    }

    fn effects(&self, say: &mut Effects) {
        match &self.order {
            Order::Shuffled => say.line("addresses in an answer come in random order"),
            Order::Weighted { file, reload } => say.line(format!(
                "the first address is chosen by the weights in {file}, read again each {}",
                shown(*reload)
            )),
        }
        if !self.prefer.is_empty() {
            say.line(format!("addresses in {} come first", joined(&self.prefer)));
        }
    }
}
