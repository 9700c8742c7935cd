//! A reply as it is kept, and how long it may be.

use std::time::Duration;

use thiserror::Error;

use crate::compose::{Composer, Place};
use crate::key::Key;
use crate::policy::CachePolicy;
use crate::records::{HEADER_OCTETS, Listing, Record, Section, list, rtype, u16_at};

/// Time that an empty reply without SOA is kept, in seconds.
///
/// RFC 2308 §5 would not keep it. Some load balancers reply so to every question for AAAA; CoreDNS
/// keeps it for 5 s, and so do we.
const BARE_DENIAL_TTL: u32 = 5;

/// Why a reply cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It ends within a record.
    #[error("the reply ends within a record")]
    Short,
    /// A name is too long or its pointers run in circles.
    #[error("a name of the reply is malformed")]
    Name,
    /// The data of a record is not what its type demands.
    #[error("the reply has malformed data of type {rtype}")]
    Data {
        /// Number of the type.
        rtype: u16,
    },
    /// Spelled out it would be larger than a message can be.
    #[error("the reply is larger than a message can be")]
    Large,
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is data.
    Success,
    /// There is no such name, or no data of the type.
    Denial,
    /// The upstream could not say.
    Failure,
}

/// A reply, read and laid out anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The message: header but for id and the client's flags, question in small letters, records.
    pub(crate) octets: Box<[u8]>,
    /// Octet after the question.
    pub(crate) question_end: usize,
    /// The records, in order.
    pub(crate) places: Box<[Place]>,
    /// Response code with the extension of OPT.
    rcode: u16,
    kind: Kind,
    /// The AD bit.
    pub(crate) authentic: bool,
    /// The TC bit.
    truncated: bool,
    /// How long it may be kept.
    lifetime: Duration,
}

/// What a list of records comes to.
struct Meaning {
    kind: Kind,
    /// Time it may be kept, in seconds; `None` for not at all.
    ttl: Option<u32>,
}

/// Response codes that say something of the name.
mod rcode {
    pub(super) const NO_ERROR: u16 = 0;
    pub(super) const SERVER_FAILURE: u16 = 2;
    pub(super) const NAME_ERROR: u16 = 3;
    pub(super) const NAME_EXISTS: u16 = 6;
}

impl Response {
    /// Reads `message`, which the caller knows to be a reply to `key`.
    ///
    /// # Errors
    /// [`ReadError`]: the message is malformed and no reply at all.
    pub fn read(message: &[u8], key: &Key, policy: &CachePolicy) -> Result<Self, ReadError> {
        let question_end = HEADER_OCTETS + key.question().len();
        let flags = u16_at(message, 2)?;
        let Listing { mut records, rcode } = list(message, question_end)?;
        let wanted = |record: &Record| is_type(record, key.qtype());
        if !key.flags().dnssec_ok {
            records.retain(|record| !record.is_proof() || wanted(record));
        }
        // Some stub resolvers follow aliases only forward.
        records.sort_by_key(|record| (record.section, !record.is_alias()));
        let denial_ttl = records.iter().find_map(|record| record.denial_ttl(message));
        let denial_ttl = denial_ttl.map(|ttl| policy.denial.clamp(ttl));
        for record in &mut records {
            record.ttl = policy.success.clamp(record.ttl);
            if record.rtype == rtype::SOA && record.section == Section::Authority {
                record.ttl = denial_ttl.unwrap_or(record.ttl);
            }
        }
        let truncated = flags & 0x0200 != 0;
        let meaning = meaning(&records, rcode, key, denial_ttl, policy);
        let ttl = meaning.ttl.filter(|_| !truncated);
        let required = required(meaning.kind, key);
        if let Some(ttl) = ttl {
            // What is beside the point must not outlive its own time.
            records.retain(|record| required(record) || record.ttl >= ttl);
        }
        let mut composer = Composer::new(message, key.question());
        for record in &records {
            composer.record(record, record.ttl)?;
        }
        let lifetime = Duration::from_secs(ttl.unwrap_or(0).into());
        Ok(Self {
            octets: composer.out.into(),
            question_end,
            places: composer.places.into(),
            rcode,
            kind: meaning.kind,
            authentic: flags & 0x0020 != 0,
            truncated,
            lifetime,
        })
    }

    /// What stands for a reply when no upstream had a good one: SERVFAIL, kept for `lifetime`.
    ///
    /// Never another code: some stub resolvers take REFUSED and others for a lost packet and stall.
    #[must_use]
    pub fn failure(key: &Key, lifetime: Duration) -> Self {
        let composer = Composer::new(&[], key.question());
        Self {
            question_end: composer.out.len(),
            octets: composer.out.into(),
            places: Box::default(),
            rcode: rcode::SERVER_FAILURE,
            kind: Kind::Failure,
            authentic: false,
            truncated: false,
            lifetime,
        }
    }

    /// What the reply says.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Response code, with the extension of OPT.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Whether the upstream left something out.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How long the reply may be kept; zero for not at all.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Octets of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.octets.len() + size_of_val(&*self.places)
    }
}

/// Whether `record` is of the type asked for.
fn is_type(record: &Record, qtype: u16) -> bool {
    record.rtype == qtype || qtype == rtype::ANY
}

/// Which records a reply cannot do without.
fn required(kind: Kind, key: &Key) -> impl Fn(&Record) -> bool {
    let with_proofs = key.flags().dnssec_ok;
    move |record| match record.section {
        Section::Answer => true,
        Section::Authority => kind == Kind::Denial || with_proofs,
        Section::Additional => false,
    }
}

/// What `records`, their times clamped already, come to.
fn meaning(
    records: &[Record],
    rcode: u16,
    key: &Key,
    denial_ttl: Option<u32>,
    policy: &CachePolicy,
) -> Meaning {
    let answers = || records.iter().filter(|record| record.section == Section::Answer);
    let has_data = answers().any(|record| is_type(record, key.qtype()));
    let kind = match rcode {
        rcode::NO_ERROR if has_data => Kind::Success,
        rcode::NO_ERROR | rcode::NAME_ERROR => Kind::Denial,
        // The alias that overflowed is in the answer; rare, and not worth keeping.
        rcode::NAME_EXISTS => return Meaning { kind: Kind::Success, ttl: None },
        _ => return Meaning { kind: Kind::Failure, ttl: None },
    };
    let is_required = required(kind, key);
    let shortest = records.iter().filter(|record| is_required(record)).map(|record| record.ttl);
    let shortest = shortest.min();
    let ttl = match (kind, denial_ttl) {
        (Kind::Success | Kind::Failure, _) => shortest,
        (Kind::Denial, Some(denial)) => Some(shortest.map_or(denial, |ttl| ttl.min(denial))),
        // Nothing at all, which is neither a referral nor half a chain of aliases.
        (Kind::Denial, None) if rcode == rcode::NO_ERROR && is_bare(records) => {
            Some(BARE_DENIAL_TTL.min(policy.denial.max))
        }
        (Kind::Denial, None) => None,
    };
    Meaning { kind, ttl }
}

/// Whether a reply says neither anything nor who would.
fn is_bare(records: &[Record]) -> bool {
    !records.iter().any(|record| record.section == Section::Answer || record.rtype == rtype::NS)
}
