//! The zones that are answered: of names, and of addresses.

use hickory_proto::rr::Name;

use crate::config::ConfigError;
use crate::qname::QName;

/// What an address without a name gets in a reverse zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingPointer {
    /// It is somebody else's: [`Answer::NotOurs`](crate::Answer::NotOurs), so that the question can
    /// be forwarded (`fallthrough` in CoreDNS).
    #[default]
    NotOurs,
    /// It does not exist: the zone is ours alone.
    NxDomain,
}

/// One zone of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseZone {
    apex: Name,
    missing: MissingPointer,
}

impl ReverseZone {
    /// Checks that `zone` is in `in-addr.arpa` or `ip6.arpa` and makes the zone.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with the name.
    pub fn new(zone: &str, missing: MissingPointer) -> Result<Self, ConfigError> {
        let apex = parse_zone(zone)?;
        if !is_reverse(&apex) {
            return Err(ConfigError::WrongTree {
                text: zone.to_owned(),
                expected: "a reverse zone is in in-addr.arpa or ip6.arpa",
            });
        }
        Ok(Self { apex, missing })
    }
}

/// What stands behind an apex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZoneKind {
    /// Names of Services and pods.
    Forward,
    /// Names of Services of other clusters, and of pods (KEP-1645).
    Imported,
    /// Names of addresses.
    Reverse(MissingPointer),
}

/// One zone in the form that look-ups need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// The apex in the configured spelling.
    pub(crate) apex: Name,
    /// The apex in lower case, to compare with.
    pub(crate) lowered: QName,
    /// What stands behind it.
    pub(crate) kind: ZoneKind,
}

impl Zone {
    /// Checks that `domain` is not among the trees of addresses and makes the zone.
    pub(crate) fn forward(domain: &str) -> Result<Self, ConfigError> {
        let apex = parse_zone(domain)?;
        if is_reverse(&apex) {
            return Err(ConfigError::WrongTree {
                text: domain.to_owned(),
                expected: "a cluster domain is not in in-addr.arpa or ip6.arpa",
            });
        }
        Ok(Self { lowered: QName::new(&apex), apex, kind: ZoneKind::Forward })
    }
}

impl From<ReverseZone> for Zone {
    fn from(ReverseZone { apex, missing }: ReverseZone) -> Self {
        Self { lowered: QName::new(&apex), apex, kind: ZoneKind::Reverse(missing) }
    }
}

/// Reads the name of a zone; a missing final dot is added.
fn parse_zone(text: &str) -> Result<Name, ConfigError> {
    let mut apex = Name::from_ascii(text)
        .map_err(|source| ConfigError::Malformed { text: text.to_owned(), source })?;
    apex.set_fqdn(true);
    if apex.is_root() {
        return Err(ConfigError::Root { text: text.to_owned() });
    }
    // The longest name that must exist below every apex.
    match apex.prepend_label("hostmaster") {
        Ok(_) => Ok(apex),
        Err(_) => Err(ConfigError::TooLong { text: text.to_owned() }),
    }
}

/// Whether the name is in one of the two trees of addresses.
fn is_reverse(name: &Name) -> bool {
    let lowered = QName::new(name);
    ["in-addr.arpa.", "ip6.arpa."]
        .iter()
        .filter_map(|tree| Name::from_ascii(tree).ok())
        .any(|tree| lowered.is_within(&QName::new(&tree)))
}
