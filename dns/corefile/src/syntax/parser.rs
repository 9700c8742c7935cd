//! Tokens to statements: which words are one line, and which lines one body.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lexer::{Kind, Token};
use super::{Statement, Word};
use crate::mistake::{Faults, Place};

/// Deepest nesting of braces that is read; the deepest that means something is three.
const DEEPEST: usize = 16;

/// What stands at the level of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The Corefile: server blocks.
    Corefile,
    /// A file imported beside server blocks.
    Imported,
    /// Plugins and options.
    Inner,
}

/// Reads the tokens of one whole file.
pub(super) fn statements(tokens: Vec<Token>, level: Level, faults: &Faults) -> Vec<Statement> {
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), faults };
    parser.sequence(level, 0, None)
}

/// Reads statements from tokens.
struct Parser<'a> {
    tokens: Peekable<IntoIter<Token>>,
    faults: &'a Faults,
}

impl Parser<'_> {
    /// Reads statements to the end of the file, or to the brace that closes the one at `opened`.
    fn sequence(&mut self, level: Level, depth: usize, opened: Option<&Place>) -> Vec<Statement> {
        let mut statements = Vec::new();
        while let Some(token) = self.tokens.next() {
            match token.kind {
                Kind::Word { quoted } => {
                    // In a Corefile of one server block the braces may be left out.
                    let whole_file = level == Level::Corefile && statements.is_empty();
                    let mut statement = self.statement(token.word, level, depth);
                    let is_import = statement.name.text == "import" && !quoted;
                    if whole_file && statement.body.is_none() && !is_import {
                        statement.body = Some(self.sequence(Level::Inner, depth + 1, None));
                    }
                    statements.push(statement);
                }
                Kind::Open => {
                    let problem = "\"{\" begins a line and belongs to none";
                    self.faults.mistake(
                        &token.word.place,
                        problem,
                        "\"{\" after the words it belongs to",
                    );
                    self.body(&token.word.place, depth);
                }
                Kind::Close if opened.is_some() => return statements,
                Kind::Close => self.faults.mistake(&token.word.place, "\"}\" closes nothing", ""),
            }
        }
        if let Some(place) = opened {
            self.faults.mistake(place, "\"{\" is never closed", "");
        }
        statements
    }

    /// Reads the line that begins with `name`, and its body.
    fn statement(&mut self, name: Word, level: Level, depth: usize) -> Statement {
        let outer = level != Level::Inner;
        let mut goes_on = outer && name.text.ends_with(',');
        let mut arguments = Vec::new();
        while let Some(token) = self.tokens.next_if(|token| {
            matches!(token.kind, Kind::Word { .. }) && (!token.begins_line || goes_on)
        }) {
            // Keys may go on after a comma.
            goes_on = outer && token.word.text.ends_with(',');
            arguments.push(token.word);
        }
        // The brace of a server block may stand on the next line.
        let open =
            self.tokens.next_if(|token| token.kind == Kind::Open && (!token.begins_line || outer));
        let body = open.map(|open| self.body(&open.word.place, depth));
        Statement { name, arguments, body }
    }

    /// Reads what stands between the brace at `opened` and the one that closes it.
    fn body(&mut self, opened: &Place, depth: usize) -> Vec<Statement> {
        if depth < DEEPEST {
            return self.sequence(Level::Inner, depth + 1, Some(opened));
        }
        self.faults.mistake(opened, format!("braces are nested deeper than {DEEPEST}"), "");
        let mut open = 1_usize;
        for token in self.tokens.by_ref() {
            match token.kind {
                Kind::Open => open += 1,
                Kind::Close => open -= 1,
                Kind::Word { .. } => {}
            }
            if open == 0 {
                break;
            }
        }
        Vec::new()
    }
}
