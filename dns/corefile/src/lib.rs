//! The Corefile read into typed configuration: text in, valid [`Config`] or every mistake out.
//!
//! The language and the plugins are those of CoreDNS 1.14; what Podway does not support is refused
//! by name, or left out with a warning. Nothing here reads files or the environment: the caller
//! shows them through [`Sources`].
//!
//! ```
//! use podway_dns_corefile::{Lenience, MemorySources, read};
//!
//! let text = b".:53 {\n    forward . 192.0.2.1\n    cache 30\n}\n";
//! let reading = read("Corefile", text, &MemorySources::default(), Lenience::Strict)?;
//! let block = &reading.config.blocks[0];
//! assert_eq!(block.cache().map(|cache| cache.success.longest.seconds()), Some(30));
//!
//! let text = b".:53 {\n    cashe 30\n}\n";
//! let mistakes = read("Corefile", text, &MemorySources::default(), Lenience::Strict).unwrap_err();
//! assert_eq!(
//!     mistakes.to_string(),
//!     "Corefile:2:5: no plugin is called \"cashe\", did you mean cache?"
//! );
//! # Ok::<(), podway_dns_corefile::Mistakes>(())
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `syntax` | words, lines, braces, snippets, imports, variables |
//! | `read` | statements to server blocks |
//! | `key` | zone, port and protocol of a block |
//! | [`plugin`] | one type for each plugin, with options, ranges and defaults |
//! | [`value`] | zones, durations, expressions, selectors |
//! | `check` | what can only be seen of several blocks or plugins |
//! | `line` | taking words of a line and reporting what is wrong with them |
//! | `mistake` | mistakes and warnings, collected |
//! | `nearest` | the word that a misspelled one was meant to be |
//! | `sources` | other files and the environment, shown by the caller |
//! | `config` | the result, and its meaning in words |
#![forbid(unsafe_code)]

pub mod plugin;
pub mod value;

mod check;
mod config;
mod key;
mod line;
mod mistake;
mod nearest;
mod read;
mod sources;
mod syntax;

pub use config::{Config, Placed, ServerBlock};
pub use key::{Key, Scheme};
pub use mistake::{Lenience, Mistake, Mistakes, Place};
pub use plugin::Plugin;
pub use read::{Reading, read};
pub use sources::{MemorySources, SourceError, Sources};
