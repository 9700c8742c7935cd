//! Signs the records of answers while they are given, and proves what does not exist.
//!
//! Input is an answer with its records, the keys of the zones and the time; output is the same
//! answer with signatures. Which names exist is decided elsewhere; nothing here knows sockets, files
//! or clocks. The one thing not passed in is the randomness of ECDSA, which `ring` takes from the
//! system.
//!
//! Rules: RFC 4033, 4034 and 4035 (DNSSEC), RFC 6605 (ECDSA), RFC 8080 (Ed25519), RFC 6840
//! (clarifications), RFC 9077 (lifetime of NSEC records), RFC 9824 (compact denial of existence).
//! Keys are the files of BIND, as CoreDNS's `dnssec` takes them; so are the lifetimes of signatures.
//!
//! | module | owns |
//! |---|---|
//! | `key` | key files and signatures by their keys |
//! | `canonical` | the octets that are signed |
//! | `denial` | the NSEC record of a name |
//! | `signer` | zones with their keys, the signatures of RRsets |
//! | `answer` | which records of an answer are signed, what is proved |
#![forbid(unsafe_code)]

mod answer;
mod canonical;
mod denial;
mod key;
mod signer;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Asked, Types};
pub use key::{Key, KeyError};
pub use signer::{Counts, Signer, SignerError, UnixSeconds};
