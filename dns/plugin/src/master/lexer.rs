//! Octets of a master file to words, and words to entries.
//!
//! An entry is a line, or several that parentheses hold together. After a mistake reading goes on
//! with the next line.

use super::Fault;

/// A word of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'t> {
    /// What stands there, quotes taken away and escapes left.
    pub(crate) raw: &'t [u8],
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
    /// Its line and column.
    pub(crate) place: (u32, u32),
}

impl Token<'_> {
    /// The word for a message, cut where it is long.
    pub(crate) fn shown(&self) -> String {
        const MOST: usize = 60;
        let text = String::from_utf8_lossy(self.raw);
        let short: String = text.chars().take(MOST).collect();
        let end = if short.len() < text.len() { "..." } else { "" };
        format!("{short:?}{end}")
    }

    /// A fault at the word.
    pub(crate) fn fault(&self, text: impl Into<String>, accepted: &str) -> Fault {
        Fault::at(self.place, text, accepted)
    }
}

/// One directive or record; it has at least one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'t> {
    /// Whether its line begins with a blank, so that the owner is that of the entry before.
    pub(crate) indented: bool,
    /// The words.
    pub(crate) tokens: Vec<Token<'t>>,
    /// The line on which it begins.
    pub(crate) line: u32,
}

/// Reads entries one after the other.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    line_begin: usize,
}

impl<'t> Lexer<'t> {
    /// Reads `text`.
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, line: 1, line_begin: 0 }
    }

    /// The next entry, or what is wrong with it; `None` at the end of the text.
    pub(crate) fn next_entry(&mut self) -> Option<Result<Entry<'t>, Fault>> {
        loop {
            if self.at >= self.text.len() {
                return None;
            }
            match self.entry() {
                Ok(entry) if entry.tokens.is_empty() => {}
                Ok(entry) => return Some(Ok(entry)),
                Err(fault) => {
                    self.skip_line();
                    return Some(Err(fault));
                }
            }
        }
    }

    /// Reads up to the end of a line outside parentheses.
    fn entry(&mut self) -> Result<Entry<'t>, Fault> {
        let indented = matches!(self.text.get(self.at), Some(b' ' | b'\t'));
        let mut entry = Entry { indented, tokens: Vec::new(), line: self.line };
        let mut open = Vec::new();
        while let Some(octet) = self.text.get(self.at) {
            match octet {
                b'\n' => {
                    self.newline();
                    if open.is_empty() {
                        return Ok(entry);
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.skip_comment(),
                b'(' => {
                    open.push(self.place());
                    self.at += 1;
                }
                b')' => {
                    if open.pop().is_none() {
                        return Err(Fault::at(self.place(), ") without (", ""));
                    }
                    self.at += 1;
                }
                b'"' => entry.tokens.push(self.quoted()?),
                _ => entry.tokens.push(self.word()),
            }
            if let ([], Some(token)) = (open.as_slice(), entry.tokens.first()) {
                entry.line = token.place.0;
            }
        }
        match open.first() {
            Some(place) => Err(Fault::at(*place, "( without )", "")),
            None => Ok(entry),
        }
    }

    /// A word in quotes.
    fn quoted(&mut self) -> Result<Token<'t>, Fault> {
        let place = self.place();
        let begin = self.at + 1;
        self.at = begin;
        while let Some(octet) = self.text.get(self.at) {
            match octet {
                b'"' => {
                    let raw = self.text.get(begin..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Token { raw, quoted: true, place });
                }
                b'\n' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = begin;
        Err(Fault::at(place, "\" without another on its line", ""))
    }

    /// A word without quotes.
    fn word(&mut self) -> Token<'t> {
        let place = self.place();
        let begin = self.at;
        while let Some(octet) = self.text.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                // An escaped end of line is none.
                b'\\' if !matches!(self.text.get(self.at + 1), None | Some(b'\n')) => self.at += 2,
                _ => self.at += 1,
            }
        }
        let raw = self.text.get(begin..self.at).unwrap_or_default();
        Token { raw, quoted: false, place }
    }

    fn place(&self) -> (u32, u32) {
        let column = self.at - self.line_begin + 1;
        (self.line, u32::try_from(column).unwrap_or(u32::MAX))
    }

    fn newline(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
        self.line_begin = self.at;
    }

    fn skip_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        self.skip_comment();
        if self.at < self.text.len() {
            self.newline();
        }
    }
}
