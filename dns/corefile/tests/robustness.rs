//! What holds for any bytes: reading ends without a panic, and layout does not matter.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and reads what was found before"
)]

mod support;

use std::path::Path;

use podway_dns_corefile::{Lenience, MemorySources, read};
use proptest::prelude::*;

use self::support::invariants::check as survives;

/// Corefiles in use.
const VALID: &[&str] = &[
    include_str!("data/aks.Corefile"),
    include_str!("data/hosts.Corefile"),
    include_str!("data/k3s.Corefile"),
    include_str!("data/kubeadm.Corefile"),
    include_str!("data/multicluster.Corefile"),
    include_str!("data/nodelocal.Corefile"),
    include_str!("data/rewrite.Corefile"),
    include_str!("data/stub-domains.Corefile"),
    include_str!("data/zones.Corefile"),
];

/// Words with which a mutation may hit a nerve.
const WORDS: &[&str] = &[
    " { ",
    " } ",
    "\n",
    "\"",
    "\\\"",
    "#",
    "{$X}",
    "{%X%}",
    "{$",
    "import x\n",
    "(s) {\n",
    ",",
    "://",
    ":",
    "/",
    "%",
    "*",
    "-1",
    "99999999999999999999",
    "0",
    "1h",
    "(((",
    "[",
    "{{",
    "{99}",
    "é",
    "\r\n",
    "\u{feff}",
    "\0",
    "tls://",
    "10.0.0.0/9",
    "::/1",
    "@kubernetes",
    "answer",
];

/// Replaces a part of `text`, given by two fractions of its length, with `insert`.
fn mutated(text: &str, cuts: &[(usize, usize, usize)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, remove, word) in cuts {
        let begin = at % (characters.len() + 1);
        let end = (begin + remove).min(characters.len());
        characters.splice(begin..end, WORDS[word % WORDS.len()].chars());
    }
    characters.into_iter().collect()
}

/// What a valid text means.
fn meaning(text: &str) -> String {
    let mut sources = MemorySources::default();
    sources.variables.insert("UPSTREAM_ONE".to_owned(), "192.0.2.1".to_owned());
    sources.variables.insert("UPSTREAM_TWO".to_owned(), "192.0.2.2".to_owned());
    match read("Corefile", text.as_bytes(), &sources, Lenience::Strict) {
        Ok(reading) => reading.config.to_string(),
        Err(mistakes) => panic!("{mistakes}\n{text}"),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        survives(text.as_bytes());
        survives(format!(". {{\n{text}\n}}").as_bytes());
    }

    #[test]
    fn any_words_after_a_plugin_are_read_without_a_panic(
        plugin in prop::sample::select(vec![
            "acl", "autopath", "bind", "cache", "dns64", "dnssec", "errors", "file", "forward",
            "header", "health", "hosts", "kubernetes", "loadbalance", "log", "prometheus", "reload",
            "rewrite name", "rewrite ttl", "template IN A", "timeouts", "tls",
        ]),
        words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..8),
    ) {
        let words = words.join(" ");
        survives(format!(". {{\n{plugin} {words} {{\n{words}\n}}\n}}").as_bytes());
    }

    #[test]
    fn a_mutated_corefile_is_read_without_a_panic(
        file in prop::sample::select(VALID.to_vec()),
        cuts in prop::collection::vec((any::<usize>(), 0_usize..40, any::<usize>()), 1..6),
    ) {
        survives(mutated(file, &cuts).as_bytes());
    }

    #[test]
    fn comments_blanks_and_line_ends_do_not_matter(
        file in prop::sample::select(VALID.to_vec()),
        ends in prop::collection::vec(
            prop::sample::select(vec!["\n", "\r\n", "\n\n", " # {\n", "\t\n  # \"\n    "]),
            1..20,
        ),
    ) {
        let mut ends = ends.iter().cycle();
        let other: String =
            file.lines().map(|line| format!("{line}{}", ends.next().unwrap())).collect();
        prop_assert_eq!(meaning(file), meaning(&other));
    }

    #[test]
    fn the_order_of_plugins_in_the_file_does_not_matter(
        plugins in Just(vec![
            "errors", "health {\nlameduck 5s\n}", "ready", "prometheus :9153", "cache 30", "loop",
            "kubernetes cluster.local {\nttl 30\n}", "forward . /etc/resolv.conf", "reload",
            "loadbalance", "hosts {\nfallthrough\n}", "log", "nsid", "bufsize", "any", "whoami",
        ]).prop_shuffle(),
    ) {
        let mut ordered = plugins.clone();
        ordered.sort_unstable();
        let block = |plugins: &[&str]| meaning(&format!(".:53 {{\n{}\n}}", plugins.join("\n")));
        prop_assert_eq!(block(&plugins), block(&ordered));
    }
}

#[test]
fn every_corefile_of_the_data_is_mutated_here_or_the_same_as_one_that_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let corefiles = names.filter(|name| name.to_string_lossy().ends_with(".Corefile")).count();
    // Those of EKS and of the add-on are the kubeadm one with less.
    assert_eq!(corefiles, VALID.len() + 2);
}

#[test]
fn what_was_found_before_is_read_without_a_panic() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/regressions/corefile");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        survives(&std::fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "nothing was found");
}

#[test]
fn deep_nesting_is_a_mistake_and_no_overflow() {
    for text in ["a {\n".repeat(200_000), ". { ".repeat(200_000) + &"} ".repeat(200_000)] {
        survives(text.as_bytes());
    }
}

#[test]
fn imports_that_grow_without_end_are_stopped() {
    // Each snippet imports the next one twice: 2^30 lines.
    let mut text = String::from("(s30) {\nwhoami\n}\n");
    for level in (0..30).rev() {
        let next = level + 1;
        text.push_str(&format!("(s{level}) {{\nimport s{next}\nimport s{next}\n}}\n"));
    }
    text.push_str(". {\nimport s0\n}\n");
    let read = read("f", text.as_bytes(), &MemorySources::default(), Lenience::Strict);
    let mistakes = read.unwrap_err().to_string();
    assert!(mistakes.contains("more than 10000 imports"), "{mistakes}");
}

#[test]
fn a_file_that_is_no_text_says_where() {
    let read = read("f", b". {\n  \xff\n}", &MemorySources::default(), Lenience::Strict);
    let mistakes = read.unwrap_err().to_string();
    assert_eq!(mistakes, "f:2:3: the file is not text; accepted: UTF-8");
}
