//! For which names an option holds.

use std::fmt;

use hickory_proto::rr::Name;

use super::Zone;

/// For which names an option such as `fallthrough` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// For none: the option is not given.
    #[default]
    Nowhere,
    /// For all that the plugin handles.
    Everywhere,
    /// For those in these zones.
    Within(Vec<Zone>),
}

impl Reach {
    /// Whether it holds for `name`.
    #[must_use]
    pub fn covers(&self, name: &Name) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::Within(zones) => zones.iter().any(|zone| zone.contains(name)),
        }
    }

    /// Everywhere when no zone is listed, as options have it.
    pub(crate) fn of(zones: Vec<Zone>) -> Self {
        if zones.is_empty() { Self::Everywhere } else { Self::Within(zones) }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => formatter.write_str("nowhere"),
            Self::Everywhere => formatter.write_str("everywhere"),
            Self::Within(zones) => {
                let zones: Vec<String> = zones.iter().map(Zone::to_string).collect();
                write!(formatter, "in {}", zones.join(", "))
            }
        }
    }
}
