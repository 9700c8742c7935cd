//! Zones with their keys, and the signatures of RRsets.
//!
//! Signatures are kept, since most answers are given again and again: within a bound of their number,
//! the one unused for longest goes first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hickory_proto::ProtoError;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_proto::rr::{Name, RData, Record, RecordType, SerialNumber};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use lru::LruCache;
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::canonical::CanonicalSet;
use crate::key::{Key, Unsigned};

/// Seconds since the start of 1970.
pub type UnixSeconds = u64;

/// How long before it is made a signature is valid: clocks of resolvers may be slow.
const BACKDATED: UnixSeconds = 3 * 3600;

/// How long a signature is valid after it was made.
const VALID: UnixSeconds = 8 * 24 * 3600;

/// A signature that is valid no longer than this is made anew: resolvers keep what they get.
const RENEWED: UnixSeconds = 2 * 24 * 3600;

/// Octets of the digest that stands for what is signed.
const DIGEST_OCTETS: usize = 16;

/// Why zones cannot be signed with some keys.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignerError {
    /// A zone has no key.
    #[error("zone {0}: no key belongs to it or to a zone within it")]
    NoKey(Name),
    /// A key belongs to none of the zones.
    #[error("key {tag} of {owner}: it is within none of the zones to sign")]
    NoZone {
        /// The zone that the key belongs to.
        owner: Name,
        /// The tag of the key.
        tag: u16,
    },
}

/// How signatures were come by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Signatures that were kept.
    pub hits: u64,
    /// Signatures that had to be made.
    pub misses: u64,
    /// Signatures that are kept now.
    pub entries: usize,
}

/// A zone with its keys.
#[derive(Debug)]
pub(crate) struct SignedZone {
    pub(crate) apex: Name,
    /// Never empty.
    keys: Vec<Key>,
    /// Whether some keys sign keys only, and the others the rest.
    split: bool,
}

/// A signature and its time.
#[derive(Debug, Clone)]
struct Kept {
    inception: UnixSeconds,
    signature: Vec<u8>,
}

/// Signs answers of some zones.
#[derive(Debug)]
pub struct Signer {
    /// The longest names first.
    zones: Vec<SignedZone>,
    kept: Mutex<LruCache<[u8; DIGEST_OCTETS], Kept>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// An RRset that stays without signature: it cannot be encoded, or the system has no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotSigned;

impl From<ProtoError> for NotSigned {
    fn from(_unencodable: ProtoError) -> Self {
        Self
    }
}

impl From<Unsigned> for NotSigned {
    fn from(Unsigned: Unsigned) -> Self {
        Self
    }
}

impl Signer {
    /// Makes a signer with the `keys` of zones within `zones`, which keeps so many signatures.
    ///
    /// # Errors
    /// [`SignerError`]: a zone without key, or a key without zone.
    pub fn new(
        zones: &[Name],
        keys: Vec<Key>,
        kept: std::num::NonZeroUsize,
    ) -> Result<Self, SignerError> {
        if let Some(key) =
            keys.iter().find(|key| !zones.iter().any(|zone| zone.zone_of(key.owner())))
        {
            return Err(SignerError::NoZone { owner: key.owner().clone(), tag: key.tag() });
        }
        let has_key = |zone: &Name| keys.iter().any(|key| zone.zone_of(key.owner()));
        if let Some(zone) = zones.iter().find(|zone| !has_key(zone)) {
            return Err(SignerError::NoKey(zone.clone()));
        }
        let mut signed: Vec<SignedZone> = Vec::new();
        for key in keys {
            match signed.iter_mut().find(|zone| zone.apex == *key.owner()) {
                Some(zone) => zone.keys.push(key),
                None => {
                    let apex = key.owner().clone();
                    signed.push(SignedZone { apex, keys: vec![key], split: false });
                }
            }
        }
        for zone in &mut signed {
            let signing_keys = zone.keys.iter().filter(|key| key.signs_keys()).count();
            zone.split = signing_keys > 0 && signing_keys < zone.keys.len();
        }
        signed.sort_by_key(|zone| std::cmp::Reverse(zone.apex.num_labels()));
        Ok(Self {
            zones: signed,
            kept: Mutex::new(LruCache::new(kept)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// Whether `name` is in a zone that is signed here.
    #[must_use]
    pub fn signs(&self, name: &Name) -> bool {
        self.zone(name).is_some()
    }

    /// The keys, for whoever has to publish them.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.zones.iter().flat_map(|zone| &zone.keys)
    }

    /// The DNSKEY records at `name`, if that is the apex of a signed zone.
    #[must_use]
    pub fn dnskeys(&self, name: &Name) -> Option<Vec<Record>> {
        let zone = self.zone(name).filter(|zone| zone.apex == *name)?;
        Some(zone.keys.iter().map(|key| key.record(name.clone())).collect())
    }

    /// How signatures were come by so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.kept.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }

    /// The zone of ours with the longest name that `name` is in.
    pub(crate) fn zone(&self, name: &Name) -> Option<&SignedZone> {
        self.zones.iter().find(|zone| zone.apex.zone_of(name))
    }

    /// The signatures of one RRset of `zone`, whose times to live are made equal.
    pub(crate) fn signatures(
        &self,
        zone: &SignedZone,
        set: &[Record],
        now: UnixSeconds,
    ) -> Result<Vec<Record>, NotSigned> {
        let (owner, rtype, ttl) = (&set[0].name, set[0].record_type(), set[0].ttl);
        if matches!(rtype, RecordType::RRSIG | RecordType::OPT | RecordType::SIG) {
            return Ok(Vec::new());
        }
        let canonical = CanonicalSet::new(owner, rtype, set)?;
        let is_key = rtype == RecordType::DNSKEY;
        let keys = zone.keys.iter().filter(|key| !zone.split || key.signs_keys() == is_key);
        let signatures = keys.map(|key| {
            let input = SigInput {
                type_covered: rtype,
                algorithm: key.algorithm(),
                num_labels: owner.num_labels(),
                original_ttl: ttl,
                sig_expiration: SerialNumber::new(0),
                sig_inception: SerialNumber::new(0),
                key_tag: key.tag(),
                signer_name: zone.apex.clone(),
            };
            let signature = self.signature(key, input, &canonical, now)?;
            let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
            let mut record = Record::from_rdata(owner.clone(), ttl, data);
            record.dns_class = set[0].dns_class;
            Ok(record)
        });
        signatures.collect()
    }

    /// One signature, kept or new.
    fn signature(
        &self,
        key: &Key,
        mut input: SigInput,
        canonical: &CanonicalSet,
        now: UnixSeconds,
    ) -> Result<RRSIG, NotSigned> {
        // With the times at zero what is signed is the same every time.
        let stands_for = digest_of(&signed_octets(&input, canonical)?);
        let found = self.lock().get(&stands_for).filter(|kept| kept.serves(now)).cloned();
        let kept = match found {
            Some(kept) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                kept
            }
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                set_times(&mut input, now);
                let signature = key.sign(&signed_octets(&input, canonical)?)?;
                let kept = Kept { inception: now, signature };
                self.lock().put(stands_for, kept.clone());
                kept
            }
        };
        set_times(&mut input, kept.inception);
        Ok(RRSIG::from_sig(input, kept.signature))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; DIGEST_OCTETS], Kept>> {
        // What is inside is whole at any time, also after a panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Whether it is still to be given at `now`; a clock that went back makes it wait for a new one.
    fn serves(&self, now: UnixSeconds) -> bool {
        let valid_until = self.inception + VALID;
        self.inception <= now + BACKDATED && now + RENEWED < valid_until
    }
}

/// Sets the times of a signature that is made at `now`.
fn set_times(input: &mut SigInput, now: UnixSeconds) {
    input.sig_inception = serial(now.saturating_sub(BACKDATED));
    input.sig_expiration = serial(now + VALID);
}

/// A time in 32 bits, which begin anew every 136 years (RFC 4034 §3.1.5).
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are not sent")]
fn serial(time: UnixSeconds) -> SerialNumber {
    SerialNumber::new(time as u32)
}

/// What a signature covers: its own fields, then the RRset.
fn signed_octets(input: &SigInput, canonical: &CanonicalSet) -> Result<Vec<u8>, ProtoError> {
    let mut octets = Vec::with_capacity(canonical.octets().len() + 64);
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    input.emit(&mut encoder)?;
    octets.extend_from_slice(canonical.octets());
    Ok(octets)
}

/// Stands for octets.
fn digest_of(octets: &[u8]) -> [u8; DIGEST_OCTETS] {
    let digest = digest(&SHA256, octets);
    std::array::from_fn(|at| digest.as_ref()[at])
}
