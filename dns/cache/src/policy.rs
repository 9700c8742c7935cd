//! What the operator chose about keeping answers.

use std::time::Duration;

/// How long answers of one kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlRange {
    /// Shorter times are raised to this, in seconds.
    pub min: u32,
    /// Longer times are lowered to this, in seconds.
    pub max: u32,
}

impl TtlRange {
    /// Brings `ttl` into the range; the maximum wins where the two contradict.
    pub(crate) fn clamp(self, ttl: u32) -> u32 {
        ttl.max(self.min).min(self.max)
    }
}

/// When an answer past its time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeStale {
    /// Never.
    Never,
    /// When the upstreams failed, or said nothing for `patience` (RFC 8767 §5).
    AfterFailure {
        /// How long a client waits for a new answer.
        patience: Duration,
    },
    /// At once; a new answer is fetched for the next client.
    AtOnce,
}

/// What is given where an answer with data is past its time and a later one denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    /// The later one.
    #[default]
    Newest,
    /// The one with data, as long as it may be given at all.
    Data,
}

/// When an answer is fetched anew before its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Times it must have been asked for.
    pub hits: u32,
    /// Longest pause between two of those.
    pub pause: Duration,
    /// Share of its time that must be left at most, in percent.
    pub percent: u8,
}

/// What is kept, for how long and in how much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Octets of memory for everything that is kept.
    pub bytes: usize,
    /// Times of answers with data.
    pub success: TtlRange,
    /// Times of NXDOMAIN and NODATA.
    pub denial: TtlRange,
    /// How long a failure is remembered; zero for not at all.
    pub failure: Duration,
    /// When an answer past its time is given.
    pub serve_stale: ServeStale,
    /// How far past its time an answer may be given.
    pub stale_for: Duration,
    /// Time to live of an answer past its time, in seconds.
    pub stale_ttl: u32,
    /// Time after a failed renewal in which answers past their time are given without asking.
    pub recheck: Duration,
    /// What is given where an answer with data is past its time and a later one denies.
    pub preference: Preference,
    /// When an answer is fetched before its time is over, if ever.
    pub prefetch: Option<Prefetch>,
}

impl Default for CachePolicy {
    /// 8 MiB; up to an hour, up to 30 s for denials, 5 s for failures; stale after 1.8 s for an
    /// hour with 30 s to live, and for 30 s after a failure without asking; anew below a tenth of the time after 10 hits a minute apart or less.
    ///
    /// A record keeps the time its owner gave it, also none at all: CoreDNS raises 0 to 5 s. 30 s is
    /// the denial time of the usual Corefiles. The stale times are those of RFC 8767 §5 but for the
    /// bound: an hour is CoreDNS's.
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            success: TtlRange { min: 0, max: 3600 },
            denial: TtlRange { min: 0, max: 30 },
            failure: Duration::from_secs(5),
            serve_stale: ServeStale::AfterFailure { patience: Duration::from_millis(1800) },
            stale_for: Duration::from_secs(3600),
            stale_ttl: 30,
            recheck: Duration::from_secs(30),
            preference: Preference::Newest,
            prefetch: Some(Prefetch { hits: 10, pause: Duration::from_secs(60), percent: 10 }),
        }
    }
}
