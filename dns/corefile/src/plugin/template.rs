//! `template`: answers made of the question.

mod text;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number};
use crate::syntax::Word;
use crate::value::{Pattern, Reach, Zone, class, pattern, rcode, rcode_name, record_type};

pub use text::{TemplateField, TemplatePart, TemplateText};

/// `template`: questions of a class and type in some zones are answered by rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The class; ANY is every class.
    pub class: DNSClass,
    /// The type; ANY is every type.
    pub record_type: RecordType,
    /// For names in these zones.
    pub zones: Vec<Zone>,
    /// Names that match one of these, each with the dot at its end; all names when there is none.
    pub matches: Vec<Pattern>,
    /// Records of the answer.
    pub answer: Vec<TemplateText>,
    /// Additional records.
    pub additional: Vec<TemplateText>,
    /// Records of authority.
    pub authority: Vec<TemplateText>,
    /// The response code.
    pub rcode: ResponseCode,
    /// Why there is no better answer (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// For which names that do not match the next plugin is asked; the others get SERVFAIL.
    pub fallthrough: Reach,
}

/// An extended error of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedError {
    /// Its code.
    pub code: u16,
    /// What it says, perhaps nothing.
    pub reason: String,
}

/// Options of `template`.
const OPTIONS: &[&str] = &[
    "match REGEX...",
    "answer RECORD",
    "additional RECORD",
    "authority RECORD",
    "rcode RCODE",
    "ederror CODE [REASON]",
    "fallthrough [ZONE...]",
    "var NAME EXPRESSION",
    "expr EXPRESSION",
];

impl Directive for Template {
    const FORM: &'static str = "template CLASS TYPE [ZONE...]";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let class = line.value("class", class);
        let record_type = class.and_then(|_| line.value("type", record_type));
        let mut template = Self {
            class: class.unwrap_or(DNSClass::IN),
            record_type: record_type.unwrap_or(RecordType::ANY),
            zones: scope.zones_or_own(&mut line),
            matches: Vec::new(),
            answer: Vec::new(),
            additional: Vec::new(),
            authority: Vec::new(),
            rcode: ResponseCode::NoError,
            extended_error: None,
            fallthrough: Reach::default(),
        };
        let mut records = Vec::new();
        let mut whole = true;
        for option in line.options(OPTIONS) {
            whole &= template.option(option, &mut records);
        }
        let groups = template.groups();
        for (section, word) in records {
            let read = |text: &str| TemplateText::parse(text, &groups);
            match line.check("record", word, read) {
                Some(text::Parsed::Supported(text)) => match section {
                    Section::Answer => template.answer.push(text),
                    Section::Additional => template.additional.push(text),
                    Section::Authority => template.authority.push(text),
                },
                Some(text::Parsed::Unsupported(action)) => {
                    whole = false;
                    let what = format!("the action {{{{{action}}}}} of templates");
                    line.unsupported(word, &what, text::ACCEPTED);
                }
                None => whole = false,
            }
        }
        line.end();
        // Half of a template would answer something else.
        whole.then_some(template)
    }

    fn effects(&self, say: &mut Effects) {
        let names = match self.matches.as_slice() {
            [] => "names".to_owned(),
            matches => format!("names that match {}", joined(matches)),
        };
        let (class, record_type, zones) = (self.class, self.record_type, joined(&self.zones));
        let rcode = rcode_name(self.rcode);
        say.line(format!("{names} in {zones} of class {class} and type {record_type} get {rcode}"));
        for (section, records) in [
            ("answer", &self.answer),
            ("additional section", &self.additional),
            ("authority section", &self.authority),
        ] {
            for record in records {
                say.line(format!("the {section} holds {record}"));
            }
        }
        if let Some(ExtendedError { code, reason }) = &self.extended_error {
            say.line(format!("the reply gives the extended error {code} {reason:?}"));
        }
        if !self.matches.is_empty() {
            match &self.fallthrough {
                Reach::Nowhere => say.line("other names get SERVFAIL"),
                reach @ (Reach::Everywhere | Reach::Within(_)) => {
                    say.line(format!("other names fall through {reach}, else get SERVFAIL"))
                }
            }
        }
    }
}

/// Where a record of a template stands.
#[derive(Debug, Clone, Copy)]
enum Section {
    Answer,
    Additional,
    Authority,
}

impl Template {
    /// Reads one option; false when it cannot be left out without changing the others.
    fn option<'a>(&mut self, mut line: Line<'a>, records: &mut Vec<(Section, &'a Word)>) -> bool {
        let name = line.name();
        match name.text.as_str() {
            "match" => {
                let words = line.need_rest("expression");
                let read = |word| line.check("expression", word, pattern);
                self.matches.extend(words.iter().filter_map(read));
                line.end();
            }
            "answer" => record(line, Section::Answer, records),
            "additional" => record(line, Section::Additional, records),
            "authority" => record(line, Section::Authority, records),
            "rcode" => line.set(&mut self.rcode, "response code", rcode),
            "ederror" => {
                let code = line.value("code", number(0, u16::MAX));
                let reason = line.take().map(|word| word.text.clone()).unwrap_or_default();
                line.end();
                self.extended_error = code.map(|code| ExtendedError { code, reason });
            }
            "fallthrough" => line.set_reach(&mut self.fallthrough),
            "var" | "expr" => {
                line.unsupported(name, "an expression in a template", "match REGEX");
                return false;
            }
            "upstream" => line.warn(name, "has no effect any more"),
            _ => line.unknown(OPTIONS),
        }
        true
    }

    /// The named groups of the expressions, and the most groups that one has.
    fn groups(&self) -> text::Groups {
        let names = self.matches.iter().flat_map(|pattern| pattern.regex().capture_names());
        let most = self.matches.iter().map(|pattern| pattern.regex().captures_len()).max();
        text::Groups {
            names: names.flatten().map(str::to_owned).collect(),
            count: most.unwrap_or(1),
        }
    }
}

/// Takes the records of one section, each one word.
fn record<'a>(mut line: Line<'a>, section: Section, records: &mut Vec<(Section, &'a Word)>) {
    for word in line.need_rest("record") {
        // CoreDNS takes several words as several records; one that is no record lacks its quotes.
        if word.text.contains(char::is_whitespace) {
            records.push((section, word));
        } else {
            line.fault(word, format!("{:?} is no record", word.text), "a record in quotes");
            break;
        }
    }
    line.end();
}
