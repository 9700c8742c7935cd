//! Environment variables in words: `{$NAME}`, and `{%NAME%}` as on other systems.

use super::lexer::{Kind, Token};
use crate::mistake::Faults;
use crate::sources::Sources;

/// Puts the values of variables in the place of their names.
///
/// As in CoreDNS a variable that is not set is empty. A word left without quotes and without
/// characters is gone.
pub(super) fn substitute(tokens: Vec<Token>, sources: &dyn Sources, faults: &Faults) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    // A line keeps its beginning when its first word goes.
    let mut begins_line = false;
    for mut token in tokens {
        begins_line |= token.begins_line;
        if let Some(text) = replaced(&token, sources, faults) {
            token.word.text = text;
        }
        if token.word.text.is_empty() && token.kind == (Kind::Word { quoted: false }) {
            continue;
        }
        token.begins_line = std::mem::take(&mut begins_line);
        kept.push(token);
    }
    kept
}

/// The text of `token` with values instead of names; `None` when it names no variable.
fn replaced(token: &Token, sources: &dyn Sources, faults: &Faults) -> Option<String> {
    let mut rest = token.word.text.as_str();
    let mut text = String::new();
    let mut found = false;
    while let Some((before, name, after)) = first_reference(rest) {
        found = true;
        text.push_str(before);
        match sources.variable(name) {
            Some(value) => text.push_str(&value),
            None => {
                let problem = format!("environment variable {name:?} is not set");
                faults.warning(&token.word.place, problem, "");
            }
        }
        rest = after;
    }
    text.push_str(rest);
    found.then_some(text)
}

/// The first `{$NAME}` or `{%NAME%}`: what stands before it, its name, what stands after it.
fn first_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find('{') {
        let begin = from + at;
        let (before, reference) = text.split_at(begin);
        let parts = reference
            .strip_prefix("{$")
            .and_then(|rest| rest.split_once('}'))
            .or_else(|| reference.strip_prefix("{%").and_then(|rest| rest.split_once("%}")));
        match parts {
            Some((name, after)) if !name.is_empty() => return Some((before, name, after)),
            Some(_) | None => from = begin + 1,
        }
    }
    None
}
