//! `cache`: answers kept for a while.

use std::time::Duration;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number, one_of};
use crate::value::{Reach, Refusal, Ttl, Zone, duration, shown};

/// `cache`: answers of the plugins behind it are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// For names in these zones.
    pub zones: Vec<Zone>,
    /// Answers with data.
    pub success: CacheStore,
    /// NXDOMAIN and NODATA.
    pub denial: CacheStore,
    /// What is asked for again before it expires.
    pub prefetch: Option<Prefetch>,
    /// How expired answers are given.
    pub serve_stale: Option<ServeStale>,
    /// How long SERVFAIL is kept, at most 5 min; zero for not at all.
    pub servfail: Duration,
    /// Whether times to live stay as they were instead of counting down.
    pub keep_ttl: bool,
}

/// One kind of kept answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStore {
    /// How many are kept.
    pub capacity: usize,
    /// Longest time that one is kept.
    pub longest: Ttl,
    /// Shortest time that one is kept; never more than the longest.
    pub shortest: Ttl,
    /// Names whose answers are not kept.
    pub disabled: Reach,
}

/// What is asked for again before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Names asked at least so often ...
    pub queries: u32,
    /// ... without a pause as long as this ...
    pub pause: Duration,
    /// ... once less than this part of the time to live is left, 10..=90.
    pub percent: u8,
}

/// How expired answers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeStale {
    /// How long after they expired.
    pub longest: Duration,
    /// When a fresh answer is looked for.
    pub refresh: Refresh,
    /// Their time to live.
    pub ttl: Ttl,
    /// How long after a failure no fresh answer is looked for; `None` leaves it to the server.
    pub recheck: Option<Duration>,
    /// What is given when there is a positive and a later negative answer.
    pub policy: StalePolicy,
}

/// When a fresh answer is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// After the expired one was given.
    Afterwards,
    /// Before; the expired one is given when that fails.
    Before {
        /// How long is waited; `None` is as long as the upstream takes.
        wait: Option<Duration>,
    },
}

/// What is given when a positive answer has expired and a negative one is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StalePolicy {
    /// The fresh one.
    #[default]
    Newest,
    /// The positive one.
    PreferPositive,
}

/// Defaults of CoreDNS: 9984 answers, 1 h for data and 30 min for denials, at least 5 s.
const CAPACITY: usize = 9984;
const LONGEST_SUCCESS: Ttl = Ttl::from_seconds(3600);
const LONGEST_DENIAL: Ttl = Ttl::from_seconds(1800);
const SHORTEST: Ttl = Ttl::from_seconds(5);

/// CoreDNS keeps answers in 256 shards, each of 4 or more; capacities are rounded to that.
const SHARDS: usize = 256;
const LEAST_CAPACITY: usize = 4 * SHARDS;

/// Largest capacity taken: more would not fit a node.
const MOST_CAPACITY: usize = 10_000_000;

/// Longest time that SERVFAIL may be kept (RFC 2308, section 7.1).
const LONGEST_SERVFAIL: Duration = Duration::from_secs(300);

/// Options of `cache`.
const OPTIONS: &[&str] = &[
    "success CAPACITY [TTL] [MINTTL]",
    "denial CAPACITY [TTL] [MINTTL]",
    "prefetch AMOUNT [DURATION] [PERCENT%, 10%..=90%]",
    "serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]",
    "serve_stale_policy prefer_positive",
    "servfail DURATION, 0s..=5m",
    "disable success|denial [ZONE...]",
    "keepttl",
];

impl Directive for Cache {
    const FORM: &'static str = "cache [TTL] [ZONE...]";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let ttl = match line.peek() {
            Some(word) if numeric(&word.text) => line.value("TTL", positive_ttl),
            Some(_) | None => None,
        };
        let mut cache = Self {
            zones: scope.zones_or_own(&mut line),
            success: CacheStore::new(ttl.unwrap_or(LONGEST_SUCCESS)),
            denial: CacheStore::new(ttl.unwrap_or(LONGEST_DENIAL)),
            prefetch: None,
            serve_stale: None,
            servfail: Duration::from_secs(5),
            keep_ttl: false,
        };
        let mut policy = StalePolicy::default();
        for option in line.options(OPTIONS) {
            match option.name().text.as_str() {
                "success" => cache.success.read(option),
                "denial" => cache.denial.read(option),
                "prefetch" => cache.prefetch = prefetch(option),
                "serve_stale" => cache.serve_stale = Some(serve_stale(option)),
                "serve_stale_policy" => {
                    let policies = one_of(&[("prefer_positive", StalePolicy::PreferPositive)]);
                    option.set(&mut policy, "policy", policies);
                }
                "servfail" => option.set(&mut cache.servfail, "duration", servfail),
                "disable" => cache.disable(option),
                "keepttl" => option.switch(&mut cache.keep_ttl, true),
                _ => option.unknown(OPTIONS),
            }
        }
        match &mut cache.serve_stale {
            Some(stale) => stale.policy = policy,
            None if policy != StalePolicy::default() => {
                line.warn(line.name(), "serve_stale_policy has no effect without serve_stale");
            }
            None => {}
        }
        line.end();
        Some(cache)
    }

    fn effects(&self, say: &mut Effects) {
        let zones = joined(&self.zones);
        for (what, store) in [("data", &self.success), ("denials", &self.denial)] {
            let CacheStore { capacity, longest, shortest, disabled } = store;
            say.line(format!("{capacity} {what} in {zones} are kept for {shortest} to {longest}"));
            if *disabled != Reach::Nowhere {
                say.line(format!("{what} are not kept {disabled}"));
            }
        }
        say.line(match self.servfail {
            Duration::ZERO => "failures are not kept".to_owned(),
            time => format!("failures are kept for {}", shown(time)),
        });
        if let Some(Prefetch { queries, pause, percent }) = self.prefetch {
            say.line(format!(
                "what was asked {queries} times without a pause of {} is asked for again when \
                 {percent}% of its time are left",
                shown(pause)
            ));
        }
        if let Some(stale) = self.serve_stale {
            stale.effects(say);
        }
        say.line_if(self.keep_ttl, "times to live do not count down");
    }
}

impl CacheStore {
    /// A store of default size.
    fn new(longest: Ttl) -> Self {
        let shortest = SHORTEST.min(longest);
        Self { capacity: CAPACITY, longest, shortest, disabled: Reach::Nowhere }
    }

    /// Reads `CAPACITY [TTL] [MINTTL]`.
    fn read(&mut self, mut line: Line<'_>) {
        if let Some(capacity) = line.value("capacity", number(0, MOST_CAPACITY)) {
            self.capacity = (capacity - capacity % SHARDS).max(LEAST_CAPACITY);
        }
        if let Some(longest) = line.value_if_any("TTL", positive_ttl) {
            self.longest = longest;
            self.shortest = self.shortest.min(longest);
        }
        if let Some(word) = line.take()
            && let Some(shortest) = line.check("MINTTL", word, number(0, Ttl::MAX.seconds()))
        {
            if shortest > self.longest.seconds() {
                let problem = format!("MINTTL {shortest} is more than the TTL {}", self.longest);
                line.fault(word, problem, "");
            }
            self.shortest = Ttl::from_seconds(shortest).min(self.longest);
        }
        line.end();
    }
}

impl Cache {
    /// Reads `disable success|denial [ZONE...]`.
    fn disable(&mut self, mut line: Line<'_>) {
        let denial = line.value("kind", one_of(&[("success", false), ("denial", true)]));
        match denial {
            Some(false) => line.set_reach(&mut self.success.disabled),
            Some(true) => line.set_reach(&mut self.denial.disabled),
            None => {}
        }
    }
}

impl ServeStale {
    fn effects(&self, say: &mut Effects) {
        let Self { longest, refresh, ttl, recheck, policy } = self;
        let longest = shown(*longest);
        say.line(match refresh {
            Refresh::Afterwards => {
                format!("expired answers are given for {longest}, and then asked for again")
            }
            Refresh::Before { wait: None } => {
                format!("expired answers are given for {longest} when no new one can be had")
            }
            Refresh::Before { wait: Some(wait) } => {
                let wait = shown(*wait);
                format!("expired answers are given for {longest} when no new one came in {wait}")
            }
        });
        say.line(format!("expired answers live for {ttl}"));
        if let Some(recheck) = recheck {
            say.line(format!("after a failure no new answer is tried for {}", shown(*recheck)));
        }
        let positive = *policy == StalePolicy::PreferPositive;
        say.line_if(positive, "an expired positive answer is preferred to a new denial");
    }
}

/// Reads a time to live that is not zero.
fn positive_ttl(text: &str) -> Result<Ttl, Refusal> {
    number(1, Ttl::MAX.seconds())(text).map(Ttl::from_seconds)
}

/// Reads how long SERVFAIL is kept.
fn servfail(text: &str) -> Result<Duration, Refusal> {
    let time = duration(text)?;
    if time > LONGEST_SERVFAIL {
        return Err(Refusal::new("is longer than 5 m", "0s to 5m"));
    }
    Ok(time)
}

/// Reads `AMOUNT [DURATION] [PERCENT%]`.
fn prefetch(mut line: Line<'_>) -> Option<Prefetch> {
    let queries = line.value("amount", number(0, u32::MAX));
    let pause = line.value_if_any("duration", duration);
    let percent = line.value_if_any("percentage", |text| {
        let accepted = "10% to 90%";
        let digits = text.strip_suffix('%');
        let digits = digits.ok_or_else(|| Refusal::new("has no % at its end", accepted))?;
        number(10, 90)(digits).map_err(|refusal| Refusal::new(refusal.problem, accepted))
    });
    line.end();
    // The defaults of CoreDNS.
    Some(Prefetch {
        queries: queries?,
        pause: pause.unwrap_or(Duration::from_secs(60)),
        percent: percent.unwrap_or(10),
    })
}

/// Reads `[DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]`.
fn serve_stale(mut line: Line<'_>) -> ServeStale {
    // The defaults of CoreDNS.
    let mut stale = ServeStale {
        longest: Duration::from_secs(3600),
        refresh: Refresh::Afterwards,
        ttl: Ttl::from_seconds(0),
        recheck: None,
        policy: StalePolicy::default(),
    };
    let mode = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "immediate" | "verify");
    if line.peek().is_some_and(|word| !mode(&word.text))
        && let Some(longest) = line.value("duration", duration)
    {
        stale.longest = longest;
    }
    let modes = one_of(&[("immediate", false), ("verify", true)]);
    if line.value_if_any("mode", |text| modes(&text.to_ascii_lowercase())) == Some(true) {
        let wait = line.value_if_any("timeout", duration);
        stale.refresh = Refresh::Before { wait: wait.filter(|wait| !wait.is_zero()) };
    }
    if let Some(ttl) = line.value_if_any("TTL", stale_ttl) {
        stale.ttl = ttl;
    }
    if let Some(recheck) = line.value_if_any("recheck", duration) {
        stale.recheck = Some(recheck);
    }
    line.end();
    stale
}

/// Reads a time to live written as a duration.
fn stale_ttl(text: &str) -> Result<Ttl, Refusal> {
    let time = duration(text)?;
    match u32::try_from(time.as_secs()) {
        Ok(seconds) if time.subsec_nanos() == 0 && seconds <= Ttl::MAX.seconds() => {
            Ok(Ttl::from_seconds(seconds))
        }
        Ok(_) | Err(_) => Err(Refusal::new("is no whole number of seconds", "30s")),
    }
}
