//! The keys of a server block: `[SCHEME://]ZONE[:PORT]`.

use std::fmt;

use crate::mistake::{Faults, Place};
use crate::syntax::Word;
use crate::value::Zone;

/// What a key may look like.
const ACCEPTED: &str = "[dns://|tls://]ZONE[:PORT], with a network such as 10.0.0.0/8 as ZONE for \
                        its reverse zones";

/// What a server block answers: names in a zone, at a port, by a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it stands.
    pub place: Place,
    /// The protocol.
    pub scheme: Scheme,
    /// The zone.
    pub zone: Zone,
    /// The port.
    pub port: u16,
}

/// The protocol of a server block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// DNS by UDP and TCP.
    Dns,
    /// DNS by TLS (RFC 7858).
    Tls,
}

impl Scheme {
    /// The usual port.
    fn port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Tls => 853,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dns => "dns",
            Self::Tls => "tls",
        })
    }
}

/// The form in which metrics and logs name it: `dns://cluster.local:53`.
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}:{}", self.scheme, self.zone, self.port)
    }
}

impl Key {
    /// Reads one word before the brace of a block; several keys in it are separated by commas.
    pub(crate) fn read(word: &Word, faults: &Faults) -> Vec<Self> {
        let texts = word.text.split(',').filter(|text| !text.is_empty());
        texts.flat_map(|text| Self::read_one(text, &word.place, faults)).collect()
    }

    /// Reads one key; a network may be several.
    fn read_one(text: &str, place: &Place, faults: &Faults) -> Vec<Self> {
        let fault = |problem: &str| {
            faults.mistake(place, format!("server block key {text:?} {problem}"), ACCEPTED);
            Vec::new()
        };
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Dns, text),
            Some(("dns", rest)) => (Scheme::Dns, rest),
            Some(("tls", rest)) => (Scheme::Tls, rest),
            Some((scheme @ ("https" | "https3" | "quic" | "grpc"), _)) => {
                faults.unsupported(place, format!("answering by {scheme}://"), "dns://, tls://");
                return Vec::new();
            }
            Some(_) => return fault("has an unknown scheme"),
        };
        let (zone, port) = match port_of(rest) {
            (zone, None) => (zone, Ok(scheme.port())),
            (zone, Some(digits)) => (zone, digits.parse::<u16>()),
        };
        let Some(port) = port.ok().filter(|port| *port > 0) else {
            return fault("has no port in 1..=65535 after the colon");
        };
        // `:53` is every zone at that port.
        let zones = if zone.is_empty() { Ok(vec![Zone::root()]) } else { Zone::list(zone) };
        match zones {
            Ok(zones) => {
                let key = |zone| Self { place: place.clone(), scheme, zone, port };
                zones.into_iter().map(key).collect()
            }
            Err(refusal) => fault(&refusal.problem),
        }
    }
}

/// Parts a zone from the port after its last colon; colons of IPv6 networks stand before a slash.
fn port_of(text: &str) -> (&str, Option<&str>) {
    let network_end = text.find('/').unwrap_or(0);
    match text.get(network_end..).and_then(|tail| tail.rfind(':')) {
        Some(at) => {
            let (zone, port) = text.split_at(network_end + at);
            (zone, port.strip_prefix(':'))
        }
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mistake::Lenience;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let faults = Faults::new(Lenience::Strict);
        let place = Place { file: "f".into(), line: 1, column: 1 };
        let keys = Key::read(&Word { text: text.to_owned(), place }, &faults);
        let keys = keys.iter().map(Key::to_string).collect();
        faults.into_warnings().map(|_| keys).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn keys_are_zones_with_schemes_and_ports() {
        for (text, keys) in [
            (".", vec!["dns://.:53"]),
            (".:53", vec!["dns://.:53"]),
            (":1053", vec!["dns://.:1053"]),
            ("Example.org.:54", vec!["dns://example.org:54"]),
            ("tls://example.org", vec!["tls://example.org:853"]),
            ("a.example,b.example:54,", vec!["dns://a.example:53", "dns://b.example:54"]),
            ("10.0.0.0/24:54", vec!["dns://0.0.10.in-addr.arpa:54"]),
            ("2001:db8::/32", vec!["dns://8.b.d.0.1.0.0.2.ip6.arpa:53"]),
            ("2001:db8::/32:54", vec!["dns://8.b.d.0.1.0.0.2.ip6.arpa:54"]),
        ] {
            assert_eq!(read(text).unwrap(), keys, "{text}");
        }
    }

    #[test]
    fn other_words_are_mistakes() {
        for text in
            [".:", ".:0", ".:x", ".:65536", "udp://.", "grpc://.", "a..b", ".:53{", "::1", "1/2/3"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
