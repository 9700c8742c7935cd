//! One value for each address family.

use podway_proxy_plan::plan::Family;

/// One value for each address family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerFamily<T> {
    ip: T,
    ip6: T,
}

impl<T> PerFamily<T> {
    /// Makes the value of each family.
    pub fn new(mut make: impl FnMut(Family) -> T) -> Self {
        Self { ip: make(Family::Ip), ip6: make(Family::Ip6) }
    }

    /// The value of `family`.
    pub const fn of(&self, family: Family) -> &T {
        match family {
            Family::Ip => &self.ip,
            Family::Ip6 => &self.ip6,
        }
    }

    /// The value of `family`, to change it.
    pub const fn of_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ip => &mut self.ip,
            Family::Ip6 => &mut self.ip6,
        }
    }

    /// Each family with its value, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        Family::ALL.into_iter().map(|family| (family, self.of(family)))
    }
}

/// The family as kube-proxy's health and metrics name it.
#[must_use]
pub const fn label(family: Family) -> &'static str {
    match family {
        Family::Ip => "IPv4",
        Family::Ip6 => "IPv6",
    }
}
