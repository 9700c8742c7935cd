//! `dns64`: IPv6 addresses for names that have only IPv4 addresses (RFC 6147).

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Directive, Effects};
use crate::line::{Line, Scope};
use crate::value::Refusal;

/// `dns64`: AAAA records made of A records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dns64 {
    /// What stands before the IPv4 address: 32, 40, 48, 56, 64 or 96 bits.
    pub prefix: Ipv6Net,
    /// Whose queries.
    pub from: TranslateFrom,
    /// Which names.
    pub what: TranslateWhat,
}

/// Whose queries are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranslateFrom {
    /// Those that come by IPv6.
    #[default]
    Ipv6,
    /// All.
    Everyone,
}

/// Which names are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranslateWhat {
    /// Those without an IPv6 address.
    #[default]
    WithoutAaaa,
    /// All.
    Everything,
}

/// Options of `dns64`.
const OPTIONS: &[&str] = &["prefix PREFIX", "translate_all", "allow_ipv4"];

impl Directive for Dns64 {
    const FORM: &'static str = "dns64 [PREFIX]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        // 64:ff9b::/96, the well-known prefix (RFC 6052, section 2.1).
        let well_known = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
        let mut dns64 = Self {
            prefix: Ipv6Net::new_assert(well_known, 96),
            from: TranslateFrom::default(),
            what: TranslateWhat::default(),
        };
        if let Some(given) = line.value_if_any("prefix", prefix) {
            dns64.prefix = given;
        }
        for option in line.options(OPTIONS) {
            match option.name().text.as_str() {
                "prefix" => option.set(&mut dns64.prefix, "prefix", prefix),
                "translate_all" => option.switch(&mut dns64.what, TranslateWhat::Everything),
                "allow_ipv4" => option.switch(&mut dns64.from, TranslateFrom::Everyone),
                _ => option.unknown(OPTIONS),
            }
        }
        line.end();
        Some(dns64)
    }

    fn effects(&self, say: &mut Effects) {
        let names = match self.what {
            TranslateWhat::WithoutAaaa => "names without an IPv6 address",
            TranslateWhat::Everything => "all names",
        };
        let clients = match self.from {
            TranslateFrom::Ipv6 => "clients on IPv6",
            TranslateFrom::Everyone => "all clients",
        };
        let prefix = self.prefix;
        say.line(format!("{clients} get for {names} IPv6 addresses in {prefix} made of IPv4 ones"));
    }
}

/// Reads a prefix of a length of RFC 6052, section 2.2.
fn prefix(text: &str) -> Result<Ipv6Net, Refusal> {
    let accepted = "an IPv6 network of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b::/96";
    let network = text
        .parse::<Ipv6Net>()
        .map_err(|error| Refusal::new(format!("is no IPv6 network: {error}"), accepted))?;
    match network.prefix_len() {
        32 | 40 | 48 | 56 | 64 | 96 => Ok(network.trunc()),
        _ => Err(Refusal::new("is not of a length that can hold an IPv4 address", accepted)),
    }
}
