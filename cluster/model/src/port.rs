//! Transport protocols and port numbers.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Transport protocol of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP, IP protocol 6; the default where an object names none.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// SCTP, IP protocol 132.
    Sctp,
}

impl Protocol {
    /// Every protocol a Service port may have.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Protocol number in the IP header (IANA protocol numbers).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Name in lower case, as nft and DNS write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that names no protocol of a Service port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{text:?} is not one of TCP, UDP, SCTP")]
pub struct UnknownProtocol {
    /// The text found.
    pub text: String,
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    /// Reads the upper-case spelling of the Kubernetes API.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            _ => Err(UnknownProtocol { text: text.to_owned() }),
        }
    }
}

/// A port number, 1..=65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(NonZeroU16);

impl Port {
    /// Makes a port of `number`; `None` for 0.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The port number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A number that is no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{number} is not in 1..=65535")]
pub struct PortOutOfRange {
    /// The number found.
    pub number: i64,
}

impl TryFrom<i64> for Port {
    type Error = PortOutOfRange;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u16::try_from(number).ok().and_then(Self::new).ok_or(PortOutOfRange { number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_range_is_1_to_65535() {
        assert_eq!(Port::try_from(0), Err(PortOutOfRange { number: 0 }));
        assert_eq!(Port::try_from(65_536), Err(PortOutOfRange { number: 65_536 }));
        assert_eq!(Port::try_from(-1), Err(PortOutOfRange { number: -1 }));
        assert_eq!(Port::try_from(1).map(Port::number), Ok(1));
        assert_eq!(Port::try_from(65_535).map(Port::number), Ok(65_535));
    }

    #[test]
    fn protocols_are_spelled_as_in_the_api() {
        assert_eq!("SCTP".parse(), Ok(Protocol::Sctp));
        assert!("tcp".parse::<Protocol>().is_err());
    }
}
