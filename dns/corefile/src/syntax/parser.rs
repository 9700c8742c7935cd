//! Tokens to statements: which words are one line, and which lines one body.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lexer::{Kind, Token};
use super::{Statement, Word};
use crate::mistake::{Faults, Place};

/// Deepest nesting of braces that is read; the deepest that means something is three.
const DEEPEST: usize = 16;

/// Where a brace may open.
const OPEN_FORM: &str = "\"{\" after the words that it belongs to";

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
                Kind::Word { .. } => {
                    // In a Corefile of one server block the braces may be left out.
                    let alone = level == Level::Corefile
                        && statements.is_empty()
                        && !token.word.text.starts_with('(')
                        && token.word.text != "import";
                    let mut statement = self.statement(token, level, depth);
                    if alone && statement.body.is_none() {
                        statement.body = Some(self.sequence(Level::Inner, depth + 1, None));
                    }
                    statements.push(statement);
                }
                Kind::Open => {
                    let problem = "\"{\" begins a line and belongs to none";
                    self.faults.mistake(&token.word.place, problem, OPEN_FORM);
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

    /// Reads the line that begins with `first`, and its body.
    fn statement(&mut self, first: Token, level: Level, depth: usize) -> Statement {
        let outer = level != Level::Inner;
        // Keys may go on after a comma.
        let goes_on = |word: &Word| outer && word.text.ends_with(',');
        let mut last_kind = first.kind;
        let mut name = first.word;
        let mut arguments: Vec<Word> = Vec::new();
        while let Some(token) = self.tokens.next_if(|token| {
            let word = matches!(token.kind, Kind::Word { .. });
            word && (!token.begins_line || goes_on(arguments.last().unwrap_or(&name)))
        }) {
            last_kind = token.kind;
            arguments.push(token.word);
        }
        // The brace of a server block may stand on the next line.
        let open =
            self.tokens.next_if(|token| token.kind == Kind::Open && (!token.begins_line || outer));
        let opened = open.map(|open| open.word.place).or_else(|| {
            let bare = last_kind == Kind::Word { quoted: false };
            let last = arguments.last_mut().unwrap_or(&mut name);
            if bare { self.glued_brace(last) } else { None }
        });
        let body = opened.map(|place| self.body(&place, depth));
        Statement { name, arguments, body }
    }

    /// Parts a brace from the word that it follows without a blank.
    fn glued_brace(&self, word: &mut Word) -> Option<Place> {
        let stem = word.text.strip_suffix('{').filter(|stem| !stem.contains(['{', '}']))?;
        let problem = format!("{:?} ends with a brace", word.text);
        self.faults.mistake(&word.place, problem, "a blank before the brace");
        word.text = stem.to_owned();
        Some(word.place.clone())
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
