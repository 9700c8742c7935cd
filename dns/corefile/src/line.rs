//! Reads the words of one directive or option, and says what is wrong with them.
//!
//! Every plugin reads its lines through [`Line`], so that a wrong word is reported in the same
//! form everywhere: what was read, what was found, what is accepted.

use std::str::FromStr;

use crate::mistake::{Faults, Lenience};
use crate::nearest;
use crate::syntax::{Statement, Word};
use crate::value::{Reach, Refusal, Zone};

/// What a plugin is read in: its server block and the list of mistakes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The zones of the server block.
    pub(crate) zones: &'a [Zone],
    /// Where mistakes go.
    pub(crate) faults: &'a Faults,
}

impl Scope<'_> {
    /// The zones that the rest of `line` lists; those of the block when it lists none.
    ///
    /// Zones that no query of this block can be in are reported.
    pub(crate) fn zones_or_own(&self, line: &mut Line<'_>) -> Vec<Zone> {
        let words = line.rest();
        let zones = line.zones(words);
        for word in words {
            for zone in Zone::list(&word.text).unwrap_or_default() {
                self.warn_if_outside(line, word, &zone);
            }
        }
        if words.is_empty() { self.zones.to_vec() } else { zones }
    }

    /// Warns of a zone that has no name in common with those of the block.
    pub(crate) fn warn_if_outside(&self, line: &Line<'_>, word: &Word, zone: &Zone) {
        let reached = |own: &Zone| own.contains(zone.name()) || zone.contains(own.name());
        if !self.zones.iter().any(reached) {
            let own = self.zones.iter().map(Zone::to_string).collect::<Vec<_>>().join(" ");
            let problem =
                format!("{}: zone {zone} is outside of the block's zones {own}", line.context);
            self.faults.warning(&word.place, problem, "");
        }
    }
}

/// The words of one line, taken one by one.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    statement: &'a Statement,
    /// How messages call the line: `cache`, or `cache prefetch` for an option.
    context: String,
    /// The accepted form of the whole line.
    form: &'a str,
    next: usize,
    body_read: bool,
    faults: &'a Faults,
}

impl<'a> Line<'a> {
    /// The line of a plugin, whose accepted form is `form`.
    pub(crate) fn new(statement: &'a Statement, form: &'a str, faults: &'a Faults) -> Self {
        let context = statement.name.text.clone();
        Self { statement, context, form, next: 0, body_read: false, faults }
    }

    /// The first word, which names the directive or option.
    pub(crate) fn name(&self) -> &'a Word {
        &self.statement.name
    }

    /// The next word, not taken.
    pub(crate) fn peek(&self) -> Option<&'a Word> {
        self.statement.arguments.get(self.next)
    }

    /// Takes the next word.
    pub(crate) fn take(&mut self) -> Option<&'a Word> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }

    /// Takes the next word if it is `text`.
    pub(crate) fn take_if(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.text == text);
        self.next += usize::from(found);
        found
    }

    /// Takes the next word; without one that is a mistake.
    pub(crate) fn need(&mut self, what: &str) -> Option<&'a Word> {
        let word = self.take();
        if word.is_none() {
            self.fault(self.name(), format!("{what} is missing"), self.form);
        }
        word
    }

    /// Takes all words that are left.
    pub(crate) fn rest(&mut self) -> &'a [Word] {
        let rest = self.statement.arguments.get(self.next..).unwrap_or_default();
        self.next = self.statement.arguments.len();
        rest
    }

    /// Takes all words that are left; none is a mistake.
    pub(crate) fn need_rest(&mut self, what: &str) -> &'a [Word] {
        let rest = self.rest();
        if rest.is_empty() {
            self.fault(self.name(), format!("{what} is missing"), self.form);
        }
        rest
    }

    /// Reads zones; one that comes twice is a mistake.
    pub(crate) fn zones(&self, words: &[Word]) -> Vec<Zone> {
        let mut zones = Vec::new();
        for word in words {
            for zone in self.check("zone", word, Zone::list).unwrap_or_default() {
                if zones.contains(&zone) {
                    self.fault(word, format!("zone {zone} is listed twice"), "");
                } else {
                    zones.push(zone);
                }
            }
        }
        zones
    }

    /// Takes the zones that an option such as `fallthrough` holds for.
    pub(crate) fn set_reach(mut self, reach: &mut Reach) {
        let words = self.rest();
        *reach = Reach::of(self.zones(words));
        self.end();
    }

    /// Reads `word` by `parse`, and reports what that refuses.
    pub(crate) fn check<T>(
        &self,
        what: &str,
        word: &Word,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        match parse(&word.text) {
            Ok(value) => Some(value),
            Err(Refusal { problem, accepted }) => {
                let accepted = if accepted.is_empty() { self.form } else { &accepted };
                self.fault(word, format!("{what} {:?} {problem}", word.text), accepted);
                None
            }
        }
    }

    /// Takes the next word and reads it by `parse`; reports that it is missing or refused.
    pub(crate) fn value<T>(
        &mut self,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let word = self.need(what)?;
        self.check(what, word, parse)
    }

    /// Like [`Line::value`], but nothing is wrong when no word is left.
    pub(crate) fn value_if_any<T>(
        &mut self,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let word = self.take()?;
        self.check(what, word, parse)
    }

    /// Takes the one value of an option and puts it into `place`, which keeps its default when the
    /// word is wrong.
    pub(crate) fn set<T>(
        mut self,
        place: &mut T,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) {
        if let Some(value) = self.value(what, parse) {
            *place = value;
        }
        self.end();
    }

    /// Like [`Line::set`], for an option that need not be given.
    pub(crate) fn set_some<T>(
        self,
        place: &mut Option<T>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) {
        self.set(place, what, |text| parse(text).map(Some));
    }

    /// Switches an option that takes no words.
    pub(crate) fn switch<T>(self, place: &mut T, value: T) {
        *place = value;
        self.end();
    }

    /// The options in the braces of this line; `forms` are those accepted, each by its first word.
    pub(crate) fn options(&mut self, forms: &'static [&'static str]) -> Vec<Line<'a>> {
        self.body_read = true;
        let statements = self.statement.body.as_deref().unwrap_or_default();
        let line = |statement: &'a Statement| {
            let name = statement.name.text.as_str();
            let form = forms.iter().find(|form| first_word(form) == name).copied();
            Line {
                statement,
                context: format!("{} {name}", self.context),
                form: form.unwrap_or_default(),
                next: 0,
                body_read: false,
                faults: self.faults,
            }
        };
        statements.iter().map(line).collect()
    }

    /// All words of the braces of this line, as if they stood on one line after it.
    pub(crate) fn body_words(&mut self) -> Vec<Word> {
        self.body_read = true;
        let mut words = Vec::new();
        for statement in self.statement.body.as_deref().unwrap_or_default() {
            words.push(statement.name.clone());
            words.extend(statement.arguments.iter().cloned());
            if statement.body.is_some() {
                self.fault(&statement.name, "takes no braces", self.form);
            }
        }
        words
    }

    /// Reports that this option is none of `forms`.
    pub(crate) fn unknown(&self, forms: &[&str]) {
        let name = &self.name().text;
        let plugin = self.context.strip_suffix(name.as_str()).unwrap_or(&self.context).trim_end();
        let known: Vec<&str> = forms.iter().map(|form| first_word(form)).collect();
        let hint = nearest::of(name, known.iter().copied())
            .map(|nearest| format!(", did you mean {nearest}?"))
            .unwrap_or_default();
        let problem = format!("{plugin} has no option {name:?}{hint}");
        self.faults.mistake(&self.name().place, problem, &known.join(", "));
    }

    /// Reports words that are left over, and braces that were not asked for.
    pub(crate) fn end(self) {
        if let Some(word) = self.peek() {
            let accepted = if self.form.is_empty() { &self.name().text } else { self.form };
            self.fault(word, format!("{:?} is one word too many", word.text), accepted);
        }
        if self.statement.body.is_some() && !self.body_read {
            self.fault(self.name(), "takes no braces", self.form);
        }
    }

    /// Reports something about one word of the line.
    pub(crate) fn fault(&self, word: &Word, problem: impl AsRef<str>, accepted: &str) {
        let text = format!("{}: {}", self.context, problem.as_ref());
        self.faults.mistake(&word.place, text, accepted);
    }

    /// Reports that something is not supported.
    pub(crate) fn unsupported(&self, word: &Word, what: &str, instead: &str) {
        self.faults.unsupported(&word.place, format!("{}: {what}", self.context), instead);
    }

    /// Whether what is not supported is left out.
    pub(crate) fn is_lenient(&self) -> bool {
        self.faults.lenience() == Lenience::Lenient
    }

    /// Warns that something has no effect.
    pub(crate) fn warn(&self, word: &Word, problem: &str) {
        self.faults.warning(&word.place, format!("{}: {problem}", self.context), "");
    }
}

/// The word by which a form is found.
fn first_word(form: &str) -> &str {
    form.split_whitespace().next().unwrap_or_default()
}

/// A parser for whole numbers from `least` to `most`.
pub(crate) fn number<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, Refusal>
where
    T: FromStr + PartialOrd + Copy + std::fmt::Display,
{
    move |text| {
        let range = || format!("{least}..={most}");
        match text.parse::<T>() {
            Ok(value) if value >= least && value <= most => Ok(value),
            Ok(_) => Err(Refusal::new(format!("is not in {}", range()), range())),
            Err(_) if is_integer(text) => {
                Err(Refusal::new(format!("is not in {}", range()), range()))
            }
            Err(_) => Err(Refusal::new("is no whole number", range())),
        }
    }
}

/// Whether `text` is digits, perhaps with a sign.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A parser for one of a few words.
pub(crate) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&str) -> Result<T, Refusal> {
    move |text| {
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            Refusal::new("is not known", words.join(", "))
        })
    }
}

/// A parser that takes any text.
pub(crate) fn text(text: &str) -> Result<String, Refusal> {
    Ok(text.to_owned())
}
