//! `hosts`: names and addresses from hosts files and from the Corefile itself.

use std::net::IpAddr;
use std::time::Duration;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number};
use crate::value::{Reach, Ttl, Zone, duration, shown};

/// `hosts`: addresses of names, and names of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// The file.
    pub file: String,
    /// For names in these zones.
    pub zones: Vec<Zone>,
    /// Entries of the Corefile; they hold beside those of the file.
    pub inline: Vec<HostsEntry>,
    /// How long records live.
    pub ttl: Ttl,
    /// How often the file is looked at for changes; zero for never.
    pub reload: Duration,
    /// Whether addresses have names.
    pub reverse: ReverseRecords,
    /// For which unknown names the next plugin is asked.
    pub fallthrough: Reach,
    /// Whether the next plugin is asked for other types of known names, where names fall through.
    pub fallthrough_unsupported: bool,
}

/// One line of hosts: an address and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsEntry {
    /// The address.
    pub address: IpAddr,
    /// Its names; `*` is any first label.
    pub names: Vec<Zone>,
}

/// Whether addresses have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReverseRecords {
    /// PTR records are made of the entries.
    #[default]
    Made,
    /// There are none.
    None,
}

/// Options of `hosts`.
const OPTIONS: &[&str] = &[
    "IP NAME...",
    "ttl SECONDS, 1..=65535",
    "no_reverse",
    "reload DURATION",
    "fallthrough [ZONE...]",
    "fallthrough_unsupported",
];

impl Directive for Hosts {
    const FORM: &'static str = "hosts [FILE [ZONE...]]";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let file = line.take().map_or("/etc/hosts", |word| &word.text);
        // The defaults of CoreDNS.
        let mut hosts = Self {
            file: file.to_owned(),
            zones: scope.zones_or_own(&mut line),
            inline: Vec::new(),
            ttl: Ttl::from_seconds(3600),
            reload: Duration::from_secs(5),
            reverse: ReverseRecords::default(),
            fallthrough: Reach::default(),
            fallthrough_unsupported: false,
        };
        for option in line.options(OPTIONS) {
            if let Ok(address) = option.name().text.parse() {
                hosts.inline.extend(entry(address, option));
                continue;
            }
            match option.name().text.as_str() {
                "ttl" => option.set(&mut hosts.ttl, "seconds", |text| {
                    number(1, 65535)(text).map(Ttl::from_seconds)
                }),
                "no_reverse" => option.switch(&mut hosts.reverse, ReverseRecords::None),
                "reload" => option.set(&mut hosts.reload, "duration", duration),
                "fallthrough" => option.set_reach(&mut hosts.fallthrough),
                "fallthrough_unsupported" => {
                    option.switch(&mut hosts.fallthrough_unsupported, true);
                }
                _ => option.unknown(OPTIONS),
            }
        }
        if hosts.fallthrough_unsupported && hosts.fallthrough == Reach::Nowhere {
            line.fault(line.name(), "fallthrough_unsupported needs fallthrough", "fallthrough");
        }
        line.end();
        Some(hosts)
    }

    fn effects(&self, say: &mut Effects) {
        let (zones, ttl) = (joined(&self.zones), self.ttl);
        say.line(format!("names in {zones} that {} lists are answered for {ttl}", self.file));
        for HostsEntry { address, names } in &self.inline {
            say.line(format!("{} is {address}", joined(names)));
        }
        say.line(match self.reload {
            Duration::ZERO => "the file is never read again".to_owned(),
            interval => format!("the file is looked at for changes each {}", shown(interval)),
        });
        if self.reverse == ReverseRecords::None {
            say.line("their addresses have no names");
        }
        match &self.fallthrough {
            Reach::Nowhere => say.line("other names do not fall through"),
            reach @ (Reach::Everywhere | Reach::Within(_)) => {
                say.line(format!("other names fall through {reach}"))
            }
        }
        let unsupported = self.fallthrough_unsupported;
        say.line_if(unsupported, "other types of listed names fall through too");
    }
}

/// Reads the names after an address.
fn entry(address: IpAddr, mut line: Line<'_>) -> Option<HostsEntry> {
    let words = line.need_rest("name");
    let names: Vec<Zone> =
        words.iter().filter_map(|word| line.check("name", word, Zone::named)).collect();
    line.end();
    (!names.is_empty()).then_some(HostsEntry { address, names })
}
