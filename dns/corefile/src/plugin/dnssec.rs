//! `dnssec`: answers signed when they are given.

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number};
use crate::value::Zone;

/// `dnssec`: answers in these zones are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnssec {
    /// The zones.
    pub zones: Vec<Zone>,
    /// Files of keys, without the ending `.key` or `.private`; never empty.
    pub keys: Vec<String>,
    /// Signatures that are kept.
    pub cache_capacity: usize,
}

/// Options of `dnssec`.
const OPTIONS: &[&str] = &["key file KEY...", "cache_capacity NUMBER"];

impl Directive for Dnssec {
    const FORM: &'static str = "dnssec [ZONE...] { key file KEY... }";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        let zones = scope.zones_or_own(&mut line);
        // The default of CoreDNS.
        let mut dnssec = Self { zones, keys: Vec::new(), cache_capacity: 10_000 };
        let mut elsewhere = false;
        for mut option in line.options(OPTIONS) {
            match option.name().text.as_str() {
                "key" => match option.need("key file") {
                    Some(word) if word.text == "file" => {
                        dnssec.keys.extend(option.need_rest("key").iter().map(|word| {
                            let name = word.text.as_str();
                            let stem =
                                name.strip_suffix(".key").or_else(|| name.strip_suffix(".private"));
                            stem.unwrap_or(name).to_owned()
                        }));
                        option.end();
                    }
                    Some(word) if word.text == "aws_secretsmanager" => {
                        elsewhere = true;
                        option.unsupported(word, "a key in AWS Secrets Manager", "key file KEY...");
                    }
                    Some(word) => {
                        let problem = format!("{:?} is no place of keys", word.text);
                        option.fault(word, problem, "key file KEY...");
                    }
                    None => {}
                },
                "cache_capacity" => {
                    option.set(&mut dnssec.cache_capacity, "number", number(1, 10_000_000));
                }
                _ => option.unknown(OPTIONS),
            }
        }
        if dnssec.keys.is_empty() && !elsewhere {
            line.fault(line.name(), "has no key", Self::FORM);
        }
        line.end();
        (!dnssec.keys.is_empty()).then_some(dnssec)
    }

    fn effects(&self, say: &mut Effects) {
        let (zones, keys) = (joined(&self.zones), joined(&self.keys));
        say.line(format!("answers in {zones} are signed with {keys}"));
        say.line(format!("{} signatures are kept", self.cache_capacity));
    }
}
