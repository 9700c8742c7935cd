//! The sets and maps that hold the cluster.

use crate::names::{Bank, SetName, SizeClass};
use crate::ruleset::{Key, Set, SetKind};

/// Every set but those of affinity and of DNS on the node.
pub(super) fn sets() -> Vec<Set> {
    let frontends = |kind| move |name| Set { name, key: Key::Frontend, kind };
    let members =
        [SetName::Frontends, SetName::Masqueraded, SetName::PreserveSource, SetName::Guarded];
    let counted = [SetName::Rejected, SetName::Dropped, SetName::RefusedSources];
    let sized = Bank::ALL
        .into_iter()
        .flat_map(|bank| SizeClass::ALL.into_iter().map(move |size| SetName::Sized(bank, size)));
    let backends = Bank::ALL.into_iter().map(|bank| Set {
        name: SetName::Backends(bank),
        key: Key::Slot { modulus: 1 << 16 },
        kind: SetKind::Endpoints,
    });
    let others = [
        Set { name: SetName::Hairpin, key: Key::Hairpin, kind: SetKind::Members },
        Set { name: SetName::ClusterIps, key: Key::Destination, kind: SetKind::Members },
        Set { name: SetName::PodCidrs, key: Key::Source, kind: SetKind::Ranges },
        Set { name: SetName::ServiceCidrs, key: Key::Destination, kind: SetKind::Ranges },
        Set {
            name: SetName::AllowedSources,
            key: Key::FrontendAndSource,
            kind: SetKind::ConcatenatedRanges,
        },
    ];
    members
        .into_iter()
        .map(frontends(SetKind::Members))
        .chain(counted.into_iter().map(frontends(SetKind::Counted)))
        .chain(sized.chain(Bank::ALL.map(SetName::Hashed)).map(frontends(SetKind::Members)))
        .chain(backends)
        .chain(others)
        .collect()
}
