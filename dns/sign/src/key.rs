//! Keys of zones, from the files that BIND's tools write.

use std::fmt;

use data_encoding::BASE64;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey, PublicKeyBuf};
use hickory_proto::rr::{Name, RData, Record};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use thiserror::Error;

/// Seconds that DNSKEY and DS records may be kept.
///
/// An hour: a new key is seen soon, and hardly anybody asks for it in between.
const KEY_TTL: u32 = 3600;

/// The protocol field of every DNSKEY record (RFC 4034 §2.1.2).
const PROTOCOL: &str = "3";

/// Octet before an uncompressed point, which DNSKEY records leave out (SEC 1 §2.3.3, RFC 6605 §4).
const UNCOMPRESSED: u8 = 4;

/// Algorithms that a key can have.
const ACCEPTED: &str = "13 (ECDSAP256SHA256), 14 (ECDSAP384SHA384), 15 (ED25519)";

/// Why a key cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The public part has no DNSKEY record.
    #[error("the public key has no record `NAME IN DNSKEY FLAGS 3 ALGORITHM KEY`")]
    NoRecord,
    /// A field of the DNSKEY record is not as it should be.
    #[error("{field} of the public key is {text:?}; accepted: {accepted}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What may stand there.
        accepted: &'static str,
    },
    /// The private part lacks a line.
    #[error("the private key has no line `{0}: ...`")]
    NoLine(&'static str),
    /// The parts have different algorithms.
    #[error("the private key has algorithm {private}, the public key {public}")]
    Algorithms {
        /// That of the private part.
        private: String,
        /// That of the public part.
        public: u8,
    },
    /// The parts do not belong together, or one is no key.
    #[error("the private key does not fit the public one: {0}")]
    Unfit(String),
}

/// The secret part.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key of a zone.
pub struct Key {
    owner: Name,
    dnskey: DNSKEY,
    tag: u16,
    pair: Pair,
}

impl fmt::Debug for Key {
    /// Shows nothing secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({} {} {})", self.owner, self.algorithm(), self.tag)
    }
}

/// A signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsigned;

impl Key {
    /// Reads the texts of a `K*.key` file and of the `K*.private` file beside it.
    ///
    /// # Errors
    /// [`KeyError`]: what is wrong, without the name of the file.
    pub fn read(public: &str, private: &str) -> Result<Self, KeyError> {
        let (owner, dnskey) = read_public(public)?;
        let algorithm = dnskey.public_key().algorithm();
        let stated = field(private, "Algorithm")?;
        if stated.split_whitespace().next() != Some(&u8::from(algorithm).to_string()) {
            let (private, public) = (stated.to_owned(), u8::from(algorithm));
            return Err(KeyError::Algorithms { private, public });
        }
        let secret = field(private, "PrivateKey")?;
        let secret = BASE64.decode(secret.as_bytes()).map_err(unfit)?;
        let point = dnskey.public_key().public_bytes();
        let pair = if algorithm == Algorithm::ED25519 {
            let pair = Ed25519KeyPair::from_seed_and_public_key(&secret, point);
            Pair::Ed25519(pair.map_err(unfit)?)
        } else {
            let larger = algorithm == Algorithm::ECDSAP384SHA384;
            let curve = if larger {
                &ECDSA_P384_SHA384_FIXED_SIGNING
            } else {
                &ECDSA_P256_SHA256_FIXED_SIGNING
            };
            let (point, random) = ([&[UNCOMPRESSED], point].concat(), SystemRandom::new());
            let pair =
                EcdsaKeyPair::from_private_key_and_public_key(curve, &secret, &point, &random);
            Pair::Ecdsa(pair.map_err(unfit)?)
        };
        let tag = dnskey.calculate_key_tag().map_err(unfit)?;
        Ok(Self { owner, dnskey, tag, pair })
    }

    /// The zone that it belongs to, in lower case.
    #[must_use]
    pub fn owner(&self) -> &Name {
        &self.owner
    }

    /// What tells it from most other keys of the zone.
    #[must_use]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// Whether it is meant to sign keys: the SEP flag.
    #[must_use]
    pub fn signs_keys(&self) -> bool {
        self.dnskey.secure_entry_point()
    }

    /// The record that tells it to everybody, owned by `owner`, which is its own name as somebody
    /// spelled it.
    pub(crate) fn record(&self, owner: Name) -> Record {
        let data = DNSSECRData::DNSKEY(self.dnskey.clone());
        Record::from_rdata(owner, KEY_TTL, RData::DNSSEC(data))
    }

    /// The DS record that the parent zone has to publish, with a SHA-256 digest.
    ///
    /// # Errors
    /// [`KeyError::Unfit`]: the digest cannot be made.
    pub fn ds(&self) -> Result<Record, KeyError> {
        let digest = self.dnskey.to_digest(&self.owner, DigestType::SHA256).map_err(unfit)?;
        let digest = digest.as_ref().to_vec();
        let ds = DS::new(self.tag, self.algorithm(), DigestType::SHA256, digest);
        let data = RData::DNSSEC(DNSSECRData::DS(ds));
        Ok(Record::from_rdata(self.owner.clone(), KEY_TTL, data))
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.dnskey.public_key().algorithm()
    }

    /// Signs octets.
    pub(crate) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, Unsigned> {
        match &self.pair {
            Pair::Ecdsa(pair) => match pair.sign(&SystemRandom::new(), octets) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(ring::error::Unspecified) => Err(Unsigned),
            },
            Pair::Ed25519(pair) => Ok(pair.sign(octets).as_ref().to_vec()),
        }
    }
}

/// Any reason why two parts make no key.
fn unfit(reason: impl fmt::Display) -> KeyError {
    KeyError::Unfit(reason.to_string())
}

/// Reads the DNSKEY record of a zone, wherever it stands in the text.
fn read_public(text: &str) -> Result<(Name, DNSKEY), KeyError> {
    let lines = text.lines().map(|line| line.split(';').next().unwrap_or_default());
    let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || "()".contains(c)));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("DNSKEY"));
    let Some((at, [flags, protocol, algorithm, key @ ..])) =
        at.map(|at| (at, &words[at + 1..])).filter(|(at, _)| *at > 0)
    else {
        return Err(KeyError::NoRecord);
    };
    let wrong = |field, text: &str, accepted| {
        let text = text.to_owned();
        KeyError::Field { field, text, accepted }
    };
    let owner = words[..at].first().copied().unwrap_or_default();
    let mut name = Name::from_ascii(owner)
        .map_err(|_malformed| wrong("the owner", owner, "the name of a zone"))?
        .to_lowercase();
    name.set_fqdn(true);
    // 256 is the flag of keys of zones; 1 says that the key signs keys.
    let number = flags.parse().ok().filter(|flags: &u16| *flags == 256 || *flags == 257);
    let flags = number.ok_or_else(|| wrong("the flags field", flags, "256, 257"))?;
    if *protocol != PROTOCOL {
        return Err(wrong("the protocol field", protocol, PROTOCOL));
    }
    let number = match algorithm.to_ascii_uppercase().as_str() {
        "13" | "ECDSAP256SHA256" => Algorithm::ECDSAP256SHA256,
        "14" | "ECDSAP384SHA384" => Algorithm::ECDSAP384SHA384,
        "15" | "ED25519" => Algorithm::ED25519,
        _ => return Err(wrong("the algorithm field", algorithm, ACCEPTED)),
    };
    let key = key.concat();
    let octets = BASE64
        .decode(key.as_bytes())
        .map_err(|_malformed| wrong("the key field", &key, "base64"))?;
    Ok((name, DNSKEY::with_flags(flags, PublicKeyBuf::new(octets, number))))
}

/// What stands behind the name of a field in a private key.
fn field<'t>(text: &'t str, name: &'static str) -> Result<&'t str, KeyError> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(field, _)| field.trim() == name);
    found.map(|(_, value)| value.trim()).ok_or(KeyError::NoLine(name))
}
