//! Reads Rust source as tokens, so that comments and strings are never taken for code.

use std::ops::RangeInclusive;

use anyhow::{Result, anyhow};
use cargo_metadata::camino::Utf8Path;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Tokens of `text`, each with its line.
pub(super) fn parse(file: &Utf8Path, text: &str) -> Result<TokenStream> {
    text.parse().map_err(|error| anyhow!("{file}: no Rust source: {error}"))
}

/// Every line on which one of `names` stands as a word of the code, macros included.
pub(super) fn lines_naming<'a>(source: TokenStream, names: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut lines = Vec::new();
    let mut open = vec![source.into_iter()];
    while let Some(tokens) = open.last_mut() {
        match tokens.next() {
            None => {
                open.pop();
            }
            Some(TokenTree::Group(group)) => open.push(group.stream().into_iter()),
            Some(TokenTree::Ident(word)) => {
                let named = names.iter().find(|name| word == **name);
                lines.extend(named.map(|name| (word.span().start().line, *name)));
            }
            Some(TokenTree::Punct(_) | TokenTree::Literal(_)) => {}
        }
    }
    lines
}

/// Lines of the items under `#[cfg(test)]` at the top level of a file.
pub(super) fn test_items(source: TokenStream) -> Vec<RangeInclusive<usize>> {
    let mut items = Vec::new();
    let mut hash = None;
    let mut test_from = None;
    for token in source {
        let span = token.span();
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                hash = Some(span.start().line);
                continue;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                if is_cfg_test(group.stream()) {
                    test_from = test_from.or(hash);
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                items.extend(test_from.take().map(|first| first..=span.end().line));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                items.extend(test_from.take().map(|first| first..=span.end().line));
            }
            TokenTree::Group(_)
            | TokenTree::Ident(_)
            | TokenTree::Punct(_)
            | TokenTree::Literal(_) => {}
        }
        hash = None;
    }
    items
}

/// Whether an attribute's content is exactly `cfg(test)`.
fn is_cfg_test(attribute: TokenStream) -> bool {
    let mut tokens = attribute.into_iter();
    let cfg = matches!(tokens.next(), Some(TokenTree::Ident(word)) if word == "cfg");
    let Some(TokenTree::Group(condition)) = tokens.next() else { return false };
    cfg && condition.stream().to_string() == "test"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> TokenStream {
        parse(Utf8Path::new("planted.rs"), text).expect("planted source is Rust")
    }

    #[test]
    fn a_name_is_found_in_imports_paths_and_macros_with_its_line() {
        let source = "use netlink_sys::Socket;\n\nfn f() {\n    assert!(netlink_sys::open());\n}\n";
        let lines = lines_naming(tokens(source), &["netlink_sys"]);
        assert_eq!(lines, [(1, "netlink_sys"), (4, "netlink_sys")]);
    }

    #[test]
    fn a_name_in_comments_strings_and_longer_words_is_not_code() {
        let source = "// libc\n/// libc\nconst A: &str = \"libc\";\nfn libc_free() {}\n";
        assert_eq!(lines_naming(tokens(source), &["libc"]), []);
    }

    #[test]
    fn only_items_under_cfg_test_are_test_items() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(unix)]\nfn c() {}\n\
                      #[cfg(test)]\n#[path = \"x.rs\"]\nmod far;\nfn d() {}\n";
        assert_eq!(test_items(tokens(source)), [2..=5, 8..=10]);
    }

    #[test]
    fn a_condition_that_also_holds_outside_tests_is_code() {
        let source = "#[cfg(any(test, feature = \"arbitrary\"))]\nmod arbitrary {\n}\n";
        assert_eq!(test_items(tokens(source)), []);
    }
}
