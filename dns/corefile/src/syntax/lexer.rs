//! Characters to tokens.
//!
//! Words are parted by white space. A word that begins with `"` runs to the next `"` and may hold
//! anything, newlines too; in it `\"` is a quote and every other backslash is itself. `#` outside of
//! quotes begins a comment, also in the middle of a word.

use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

use super::Word;
use crate::mistake::{Faults, Place};

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything but a brace.
    Word {
        /// Whether it stood in quotes.
        quoted: bool,
    },
    /// `{` alone.
    Open,
    /// `}` alone.
    Close,
}

/// A word or brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) word: Word,
    /// Whether it is the first of its line.
    pub(super) begins_line: bool,
}

/// Splits the contents of `file` into tokens.
pub(super) fn tokens(file: &Arc<str>, contents: &[u8], faults: &Faults) -> Vec<Token> {
    let text = match str::from_utf8(contents) {
        Ok(text) => text,
        Err(error) => {
            let (valid, _) = contents.split_at(error.valid_up_to());
            let mut cursor = Cursor::new(file, str::from_utf8(valid).unwrap_or_default());
            while cursor.next().is_some() {}
            faults.mistake(&cursor.place(), "the file is not text", "UTF-8");
            return Vec::new();
        }
    };
    let mut cursor = Cursor::new(file, text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut tokens = Vec::new();
    while let Some(token) = cursor.token(faults) {
        tokens.push(token);
    }
    tokens
}

/// Walks over the characters and knows where it is.
struct Cursor<'a> {
    file: &'a Arc<str>,
    characters: Peekable<Chars<'a>>,
    line: u32,
    column: u32,
    at_line_start: bool,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a Arc<str>, text: &'a str) -> Self {
        let characters = text.chars().peekable();
        Self { file, characters, line: 1, column: 1, at_line_start: true }
    }

    /// The place of the next character.
    fn place(&self) -> Place {
        Place { file: Arc::clone(self.file), line: self.line, column: self.column }
    }

    /// Takes one character.
    fn next(&mut self) -> Option<char> {
        let character = self.characters.next()?;
        if character == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(character)
    }

    /// Takes the next token.
    fn token(&mut self, faults: &Faults) -> Option<Token> {
        self.skip_blanks();
        let place = self.place();
        let begins_line = std::mem::replace(&mut self.at_line_start, false);
        let (kind, text) = match *self.characters.peek()? {
            '"' => (Kind::Word { quoted: true }, self.quoted(&place, faults)),
            _ => {
                let text = self.bare();
                let kind = match text.as_str() {
                    "{" => Kind::Open,
                    "}" => Kind::Close,
                    _ => Kind::Word { quoted: false },
                };
                (kind, text)
            }
        };
        Some(Token { kind, word: Word { text, place }, begins_line })
    }

    /// Goes over white space and comments.
    fn skip_blanks(&mut self) {
        let mut comment = false;
        while let Some(&character) = self.characters.peek() {
            match character {
                '\n' => {
                    comment = false;
                    self.at_line_start = true;
                }
                '#' => comment = true,
                _ if comment || character.is_whitespace() => {}
                _ => return,
            }
            self.next();
        }
    }

    /// Takes a word without quotes.
    fn bare(&mut self) -> String {
        let mut text = String::new();
        while let Some(&character) = self.characters.peek() {
            if character.is_whitespace() || character == '#' {
                break;
            }
            text.push(character);
            self.next();
        }
        text
    }

    /// Takes a word in quotes, which began at `place`.
    fn quoted(&mut self, place: &Place, faults: &Faults) -> String {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return text,
                Some('\\') if self.characters.peek() == Some(&'"') => {}
                Some(character) => {
                    text.push(character);
                    continue;
                }
                None => {
                    faults.mistake(place, "quote is never closed", "\"...\"");
                    return text;
                }
            }
            // The quote after a backslash.
            text.extend(self.next());
        }
    }
}
