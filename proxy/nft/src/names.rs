//! Names of the table, its sets and its chains.
//!
//! The names are closed enums, so a rule cannot name what the schema does not declare. All are far
//! below the kernel's limits (`NFT_NAME_MAXLEN`, 256 octets).

use std::fmt;

/// Name of our table in each family; nothing outside it is ever written.
pub const TABLE: &str = "podway";

/// How many slots a frontend's endpoints are spread over: a power of two.
///
/// A frontend with N endpoints has the smallest size that is not below N, so more than half of its
/// slots are filled (see [`crate::slots`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeClass(u8);

impl SizeClass {
    /// Every size, smallest first: 1, 2, 4 … 65,536.
    pub const ALL: [Self; 17] = {
        let mut all = [Self(0); 17];
        let mut exponent = 0;
        while exponent < 17 {
            all[exponent as usize] = Self(exponent);
            exponent += 1;
        }
        all
    };

    /// Most endpoints one frontend can have.
    pub const MAX_SLOTS: usize = 1 << 16;

    /// The smallest size for `endpoints` endpoints; `None` for 0.
    ///
    /// More than [`Self::MAX_SLOTS`] get the largest size.
    #[must_use]
    pub fn for_endpoints(endpoints: usize) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|size| endpoints <= size.slots())
            .or(Some(Self(16)))
            .filter(|_| endpoints > 0)
    }

    /// Number of slots.
    #[must_use]
    pub const fn slots(self) -> usize {
        1 << self.0
    }

    /// Number of slots as the modulus of a random number.
    #[must_use]
    pub const fn modulus(self) -> u32 {
        1 << self.0
    }
}

impl fmt::Display for SizeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.slots(), formatter)
    }
}

/// Which of the two endpoint tables of a frontend is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bank {
    /// The one that every frontend uses.
    Main,
    /// Endpoints of this node, for clients from outside under `externalTrafficPolicy: Local`.
    Local,
}

impl Bank {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Main, Self::Local];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Local => "local-",
        }
    }
}

/// Name of a set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetName {
    /// Every balanced frontend; its elements name the Service in a comment.
    Frontends,
    /// Frontends refused for want of endpoints.
    Rejected,
    /// Frontends whose policy keeps this node from the endpoints.
    Dropped,
    /// Frontends whose connections always get the node's source address.
    Masqueraded,
    /// Frontends with `externalTrafficPolicy: Local`.
    PreserveSource,
    /// Frontends of which a bank has this size.
    Sized(Bank, SizeClass),
    /// Frontends of which a bank chooses by the client's address.
    Hashed(Bank),
    /// Frontend and slot to endpoint.
    Backends(Bank),
    /// Addresses of this node's endpoints, as pairs of source and destination.
    Hairpin,
    /// Addresses of the cluster's pods.
    PodCidrs,
    /// Every ClusterIP.
    ClusterIps,
    /// Ranges that ClusterIPs are given out of.
    ServiceCidrs,
    /// Frontends that only some sources may use.
    Guarded,
    /// The sources that may use them.
    AllowedSources,
    /// The same frontends as in [`Self::Guarded`], with a count of the packets dropped.
    RefusedSources,
    /// Frontend to the number that the clients of its bank are remembered under.
    AffinityIds(Bank),
    /// Those numbers, by how long a client is remembered (in seconds).
    AffinityTimeout(u32),
    /// Client to the endpoint that it was sent to.
    Affinity,
    /// Frontends that a DNS server on this node answers at, while it proves that it does.
    NodeLocalDns,
    /// Addresses of pods that speak with each other without being tracked.
    UntrackedPods,
    /// Pods that a translation was seen of, or will be sent replies that need one.
    TranslatedClients,
}

impl fmt::Display for SetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frontends => formatter.write_str("frontends"),
            Self::Rejected => formatter.write_str("rejected"),
            Self::Dropped => formatter.write_str("dropped"),
            Self::Masqueraded => formatter.write_str("masqueraded"),
            Self::PreserveSource => formatter.write_str("preserve-source"),
            Self::Sized(bank, size) => write!(formatter, "{}size-{size}", bank.prefix()),
            Self::Hashed(bank) => write!(formatter, "{}hashed", bank.prefix()),
            Self::Backends(bank) => write!(formatter, "{}backends", bank.prefix()),
            Self::Hairpin => formatter.write_str("hairpin"),
            Self::PodCidrs => formatter.write_str("pod-cidrs"),
            Self::ClusterIps => formatter.write_str("cluster-ips"),
            Self::ServiceCidrs => formatter.write_str("service-cidrs"),
            Self::Guarded => formatter.write_str("guarded"),
            Self::AllowedSources => formatter.write_str("allowed-sources"),
            Self::RefusedSources => formatter.write_str("refused-sources"),
            Self::AffinityIds(bank) => write!(formatter, "{}affinity-ids", bank.prefix()),
            Self::AffinityTimeout(seconds) => write!(formatter, "affinity-{seconds}s"),
            Self::Affinity => formatter.write_str("affinity"),
            Self::NodeLocalDns => formatter.write_str("node-local-dns"),
            Self::UntrackedPods => formatter.write_str("untracked-pods"),
            Self::TranslatedClients => formatter.write_str("translated-clients"),
        }
    }
}

/// Name of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainName {
    /// Filter at prerouting, before DNAT.
    FilterPrerouting,
    /// Filter at output, before DNAT.
    FilterOutput,
    /// NAT at prerouting.
    NatPrerouting,
    /// NAT at output.
    NatOutput,
    /// Filter at forward, after DNAT.
    FilterForward,
    /// Filter at output, after DNAT.
    FilterOutputAfterNat,
    /// NAT at postrouting.
    NatPostrouting,
    /// Filter at input, for connections to endpoints that are this node.
    FilterInput,
    /// Filter at postrouting, before SNAT.
    FilterPostrouting,
    /// Filter at input, after DNAT.
    FilterInputAfterNat,
    /// Filter at prerouting, before connection tracking.
    RawPrerouting,
    /// Filter at output, before connection tracking.
    RawOutput,
    /// New connections to frontends that are not balanced.
    Refuse,
    /// New connections to an address of a Service that no frontend took.
    Unknown,
    /// New connections to balanced frontends.
    Services,
    /// The clients of frontends that keep the source address.
    PreserveSource,
    /// Chooses an endpoint of a bank by its size.
    Balance(Bank),
    /// Chooses an endpoint out of so many slots.
    Slots(Bank, SizeClass),
    /// Takes the endpoint that the client's address leads to.
    HashedSlots(Bank),
    /// Marks the connection's first packet for masquerade.
    MarkForMasquerade,
    /// Drops sources that may not use a guarded frontend.
    CheckSource,
    /// Sends a client that is remembered where it was sent before.
    Affinity(Bank),
    /// Remembers where a client was sent.
    Learn,
    /// Packets between pods, before connection tracking.
    Bypass,
    /// Filter at input, for what is translated to this node.
    BypassInput,
    /// Filter at postrouting, before SNAT, for what is translated.
    BypassPostrouting,
    /// Filter at postrouting, after SNAT, for what is translated.
    BypassPostroutingAfterNat,
}

impl fmt::Display for ChainName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FilterPrerouting => formatter.write_str("filter-prerouting"),
            Self::FilterOutput => formatter.write_str("filter-output"),
            Self::NatPrerouting => formatter.write_str("nat-prerouting"),
            Self::NatOutput => formatter.write_str("nat-output"),
            Self::FilterForward => formatter.write_str("filter-forward"),
            Self::FilterOutputAfterNat => formatter.write_str("filter-output-after-nat"),
            Self::NatPostrouting => formatter.write_str("nat-postrouting"),
            Self::FilterInput => formatter.write_str("filter-input"),
            Self::FilterPostrouting => formatter.write_str("filter-postrouting"),
            Self::FilterInputAfterNat => formatter.write_str("filter-input-after-nat"),
            Self::RawPrerouting => formatter.write_str("raw-prerouting"),
            Self::RawOutput => formatter.write_str("raw-output"),
            Self::Refuse => formatter.write_str("refuse"),
            Self::Unknown => formatter.write_str("unknown"),
            Self::Services => formatter.write_str("services"),
            Self::PreserveSource => formatter.write_str("preserve-source"),
            Self::Balance(bank) => write!(formatter, "{}balance", bank.prefix()),
            Self::Slots(bank, size) => write!(formatter, "{}slots-{size}", bank.prefix()),
            Self::HashedSlots(bank) => write!(formatter, "{}hashed-slots", bank.prefix()),
            Self::MarkForMasquerade => formatter.write_str("mark-for-masquerade"),
            Self::CheckSource => formatter.write_str("check-source"),
            Self::Affinity(bank) => write!(formatter, "{}affinity", bank.prefix()),
            Self::Learn => formatter.write_str("learn"),
            Self::Bypass => formatter.write_str("bypass"),
            Self::BypassInput => formatter.write_str("bypass-input"),
            Self::BypassPostrouting => formatter.write_str("bypass-postrouting"),
            Self::BypassPostroutingAfterNat => formatter.write_str("bypass-postrouting-after-nat"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_the_smallest_power_of_two_that_holds_the_endpoints() {
        for (endpoints, slots) in [
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 4),
            (5, 8),
            (65_535, 65_536),
            (65_536, 65_536),
            (70_000, 65_536),
        ] {
            assert_eq!(SizeClass::for_endpoints(endpoints).map(SizeClass::slots), Some(slots));
        }
        assert_eq!(SizeClass::for_endpoints(0), None);
    }
}
