//! `errors`: the log of queries that failed.

use std::fmt;
use std::time::Duration;

use super::{Directive, Effects};
use crate::line::{Line, Scope, one_of};
use crate::value::{Pattern, duration, pattern, shown};

/// `errors`: every error of a query is logged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors {
    /// Errors that are gathered instead; the first that matches holds.
    pub consolidate: Vec<Consolidation>,
}

/// Errors of one kind that become one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consolidation {
    /// How long they are gathered.
    pub window: Duration,
    /// What their text matches.
    pub pattern: Pattern,
    /// How severe the line is.
    pub severity: Severity,
    /// Whether the first one is logged at once.
    pub first: FirstError,
}

/// How severe a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// For developers.
    Debug,
    /// For the record.
    Info,
    /// A person may have to act.
    Warning,
    /// Something failed.
    #[default]
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What happens to the first of the errors that are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstError {
    /// It is gathered like the others.
    #[default]
    Gathered,
    /// It is logged at once.
    Logged,
}

/// Options of `errors`.
const OPTIONS: &[&str] =
    &["stacktrace", "consolidate DURATION REGEXP [warning|error|info|debug] [show_first]"];

/// Words for severities.
const SEVERITIES: &[(&str, Severity)] = &[
    ("warning", Severity::Warning),
    ("error", Severity::Error),
    ("info", Severity::Info),
    ("debug", Severity::Debug),
];

impl Directive for Errors {
    const FORM: &'static str = "errors";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        // `errors stdout` is an old form with the same meaning.
        line.take_if("stdout");
        let mut errors = Self::default();
        for option in line.options(OPTIONS) {
            match option.name().text.as_str() {
                "stacktrace" => option.end(),
                "consolidate" => errors.consolidate.extend(consolidation(option)),
                _ => option.unknown(OPTIONS),
            }
        }
        line.end();
        Some(errors)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("queries that fail are logged");
        for Consolidation { window, pattern, severity, first } in &self.consolidate {
            let first = match first {
                FirstError::Gathered => "",
                FirstError::Logged => " after the first",
            };
            let window = shown(*window);
            say.line(format!("errors that match {pattern}{first}: one {severity} each {window}"));
        }
    }
}

/// Reads what follows `consolidate`.
fn consolidation(mut line: Line<'_>) -> Option<Consolidation> {
    let window = line.value("duration", duration);
    let pattern = line.value("expression", pattern);
    let level = line.peek().filter(|word| word.text != "show_first");
    let severity = level.and_then(|_| line.value("level", one_of(SEVERITIES)));
    let first = match line.take_if("show_first") {
        true => FirstError::Logged,
        false => FirstError::Gathered,
    };
    line.end();
    Some(Consolidation {
        window: window?,
        pattern: pattern?,
        severity: severity.unwrap_or_default(),
        first,
    })
}
