//! `cache` as what is kept of the answers of upstreams.
//!
//! Names of the cluster, of hosts and zone files are answered from what is known now, wherever
//! `cache` stands: keeping them would only make them old.

use hickory_proto::rr::Name;
use podway_dns_cache::{CachePolicy, Preference, Prefetch, ServeStale, TtlRange};
use podway_dns_corefile::plugin::{Cache, CacheStore, Refresh, StalePolicy};
use podway_dns_corefile::value::{Reach, Zone};

use crate::forward::config::{ForwardLimits, Keep, ShownTtl};

/// Octets that one answer takes.
///
/// Capacities are numbers of answers; memory is what is bounded. Usual answers take half of this.
const ANSWER_OCTETS: usize = 420;

/// What is kept, and of which names.
pub(super) fn policy(cache: &Cache) -> (CachePolicy, Keep) {
    let range = |store: &CacheStore| TtlRange {
        min: store.shortest.seconds(),
        max: store.longest.seconds(),
    };
    let usual = CachePolicy::default();
    let stale = cache.serve_stale.as_ref();
    let policy = CachePolicy {
        bytes: (cache.success.capacity + cache.denial.capacity).saturating_mul(ANSWER_OCTETS),
        success: range(&cache.success),
        denial: range(&cache.denial),
        failure: cache.servfail,
        serve_stale: match stale.map(|stale| stale.refresh) {
            None => ServeStale::Never,
            Some(Refresh::Afterwards) => ServeStale::AtOnce,
            Some(Refresh::Before { wait }) => {
                let patience = wait.unwrap_or(ForwardLimits::default().total);
                ServeStale::AfterFailure { patience }
            }
        },
        stale_for: stale.map_or(usual.stale_for, |stale| stale.longest),
        stale_ttl: stale.map_or(usual.stale_ttl, |stale| stale.ttl.seconds()),
        recheck: stale.and_then(|stale| stale.recheck).unwrap_or(usual.recheck),
        preference: match stale.map(|stale| stale.policy) {
            Some(StalePolicy::PreferPositive) => Preference::Data,
            Some(StalePolicy::Newest) | None => Preference::Newest,
        },
        prefetch: cache.prefetch.map(|prefetch| Prefetch {
            hits: prefetch.queries,
            pause: prefetch.pause,
            percent: prefetch.percent,
        }),
    };
    let keep = Keep {
        zones: names(&cache.zones),
        no_success: reach(&cache.success.disabled),
        no_denial: reach(&cache.denial.disabled),
        shown: if cache.keep_ttl { ShownTtl::Original } else { ShownTtl::Left },
    };
    (policy, keep)
}

/// The zones as names; the root alone is as good as none, which means all.
fn names(zones: &[Zone]) -> Vec<Name> {
    if zones.contains(&Zone::root()) {
        return Vec::new();
    }
    zones.iter().map(|zone| zone.name().clone()).collect()
}

/// The zones in which an option holds.
fn reach(reach: &Reach) -> Vec<Name> {
    match reach {
        Reach::Nowhere => Vec::new(),
        Reach::Everywhere => vec![Name::root()],
        Reach::Within(zones) => zones.iter().map(|zone| zone.name().clone()).collect(),
    }
}
