//! The language of Corefiles: words, lines, nested braces, snippets and imports.
//!
//! Nothing here knows a plugin. A file is a sequence of [`Statement`]s: words on one line, and
//! perhaps a body in braces. Rules: the manual pages corefile(5) and coredns-import(7).
//!
//! | module | owns |
//! |---|---|
//! | [`lexer`] | characters to tokens: quotes, escapes, comments |
//! | [`environment`] | `{$VAR}` and `{%VAR%}` |
//! | [`parser`] | tokens to statements: lines and braces |
//! | [`import`] | snippets, imported files, and the way they refer to each other |

mod environment;
mod import;
mod lexer;
mod parser;

use std::sync::Arc;

use crate::mistake::{Faults, Place};
use crate::sources::Sources;

/// A word with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The characters, without quotes and escapes.
    pub(crate) text: String,
    /// Where it begins.
    pub(crate) place: Place,
}

/// The words of one line, and the statements in braces after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The first word.
    pub(crate) name: Word,
    /// The words after it.
    pub(crate) arguments: Vec<Word>,
    /// What stands in the braces, if there are any.
    pub(crate) body: Option<Vec<Statement>>,
}

/// Reads a Corefile and everything it imports into statements, each of them a server block.
pub(crate) fn statements(
    file: &str,
    contents: &[u8],
    sources: &dyn Sources,
    faults: &Faults,
) -> Vec<Statement> {
    import::Expansion::new(sources, faults).corefile(&Arc::from(file), contents)
}
