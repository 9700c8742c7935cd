//! Names of network interfaces, by which rules may tell pods from other sources.

use std::fmt;

/// Name of an interface, or the beginning of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    octets: [u8; Self::MAX_OCTETS],
    length: u8,
    is_prefix: bool,
}

impl InterfaceName {
    /// Longest name (`IFNAMSIZ` less the terminating zero).
    const MAX_OCTETS: usize = 15;

    /// The interface called `name`; `None` when no interface can be called so.
    #[must_use]
    pub fn exactly(name: &str) -> Option<Self> {
        Self::new(name, false)
    }

    /// The interfaces whose names begin with `name`; `None` when none can.
    #[must_use]
    pub fn beginning_with(name: &str) -> Option<Self> {
        Self::new(name, true)
    }

    fn new(name: &str, is_prefix: bool) -> Option<Self> {
        let usable = |octet: &u8| octet.is_ascii_graphic() && !b"/\"*".contains(octet);
        if name.is_empty() || name.len() > Self::MAX_OCTETS || !name.as_bytes().iter().all(usable) {
            return None;
        }
        let mut octets = [0; Self::MAX_OCTETS];
        octets[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self { octets, length: u8::try_from(name.len()).ok()?, is_prefix })
    }

    /// The name or prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.octets[..usize::from(self.length)]).unwrap_or_default()
    }

    /// Whether an interface of the name `other` is meant.
    #[must_use]
    pub fn covers(&self, other: Self) -> bool {
        if self.is_prefix {
            other.as_str().starts_with(self.as_str())
        } else {
            self.as_str() == other.as_str()
        }
    }

    /// Whether longer names count too.
    #[must_use]
    pub const fn is_prefix(&self) -> bool {
        self.is_prefix
    }
}

impl fmt::Display for InterfaceName {
    /// Writes the name, a prefix with `*` behind it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.as_str(), if self.is_prefix() { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        for name in ["", "a/b", "a b", "cali*", "a\"b", "sixteen-octets-x"] {
            assert_eq!(InterfaceName::exactly(name), None, "{name:?}");
        }
        let prefix = InterfaceName::beginning_with("cali").map(|name| name.to_string());
        assert_eq!(prefix.as_deref(), Some("cali*"));
    }

    #[test]
    fn name_covers_itself_and_a_prefix_what_is_longer() {
        let name = |text| InterfaceName::exactly(text).unwrap();
        let prefix = InterfaceName::beginning_with("cali").unwrap();
        for (interface, by_name, by_prefix) in
            [("cali", true, true), ("cali12", false, true), ("eth0", false, false)]
        {
            assert_eq!(name("cali").covers(name(interface)), by_name, "{interface}");
            assert_eq!(prefix.covers(name(interface)), by_prefix, "{interface}");
        }
    }
}
