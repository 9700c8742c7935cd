//! How a configuration is used: access to plugins, lenience, imports, matching.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use hickory_proto::rr::Name;
use podway_dns_corefile::plugin::{NameMatch, RewriteRule, TemplateField, TemplatePart, Upstream};
use podway_dns_corefile::value::Reach;
use podway_dns_corefile::{Lenience, MemorySources, Mistake, Plugin, Reading, Scheme, read};

/// Reads a valid Corefile.
fn reading(text: &str, lenience: Lenience) -> Reading {
    let mut sources = MemorySources::default();
    for (path, text) in [
        ("/etc/dns/custom/b.override", "import ../shared.conf"),
        ("/etc/dns/custom/a.override", "log"),
        ("/etc/dns/custom/.hidden.override", "nonsense"),
        ("/etc/dns/custom/../shared.conf", "errors"),
        ("/etc/dns/custom/x.server", "(late) {\n any\n}\nlab.example {\n import late\n}"),
    ] {
        sources.files.insert(path.to_owned(), text.as_bytes().to_vec());
    }
    for (name, value) in [("PORT", "5353"), ("EMPTY", "")] {
        sources.variables.insert(name.to_owned(), value.to_owned());
    }
    match read("/etc/dns/Corefile", text.as_bytes(), &sources, lenience) {
        Ok(reading) => reading,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn texts(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().map(Mistake::to_string).collect()
}

#[test]
fn plugins_of_a_block_are_found_by_their_types() {
    let text = "tls://example.org .:54 {\n tls c k\n forward a.example 192.0.2.1\n cache 20\n \
                forward . tls://192.0.2.2\n kubernetes cluster.local { fallthrough }\n}";
    let config = reading(text, Lenience::Strict).config;
    let block = &config.blocks[0];
    let keys: Vec<_> = block.keys.iter().map(|key| (key.scheme, key.port)).collect();
    assert_eq!(keys, [(Scheme::Tls, 853), (Scheme::Dns, 54)]);
    assert_eq!(block.cache().unwrap().servfail, Duration::from_secs(5));
    assert_eq!(block.kubernetes().unwrap().fallthrough, Reach::Everywhere);
    assert!(block.hosts().is_none());
    let zones: Vec<String> = block.forwards().map(|forward| forward.from.to_string()).collect();
    assert_eq!(zones, ["a.example", "."], "in the order of the file");
    assert!(block.forwards().flat_map(|forward| &forward.to).any(Upstream::is_encrypted));
    let names: Vec<&str> = block.plugins.iter().map(|placed| placed.plugin.name()).collect();
    assert_eq!(names, ["cache", "tls", "kubernetes", "forward", "forward"]);
    assert!(matches!(block.plugins[0].plugin, Plugin::Cache(_)));
    assert_eq!(block.plugins[0].place.to_string(), "/etc/dns/Corefile:4:2");
}

#[test]
fn what_is_not_supported_is_left_out_when_lenient() {
    let text = ".:53 https://. {\n etcd { path /x }\n whoami\n template IN A { expr true }\n}\n\
                grpc://. {\n erratic\n}";
    let Reading { config, warnings } = reading(text, Lenience::Lenient);
    assert_eq!(config.blocks.len(), 1);
    assert_eq!(config.blocks[0].plugins.len(), 1);
    assert_eq!(
        texts(&warnings),
        [
            "/etc/dns/Corefile:1:6: answering by https:// is not supported by Podway and left out; \
             accepted: dns://, tls://",
            "/etc/dns/Corefile:2:2: plugin etcd is not supported by Podway and left out",
            "/etc/dns/Corefile:4:18: template expr: an expression in a template is not supported by \
             Podway and left out; accepted: match REGEX",
            "/etc/dns/Corefile:6:1: answering by grpc:// is not supported by Podway and left out; \
             accepted: dns://, tls://",
            "/etc/dns/Corefile:7:2: plugin erratic is not supported by Podway and left out",
        ]
    );
}

#[test]
fn lenience_does_not_excuse_mistakes() {
    for text in
        [". {\n cashe\n}", "https://. {\n whoami\n}", ". {\n forward . https://192.0.2.1\n}"]
    {
        let sources = MemorySources::default();
        assert!(read("f", text.as_bytes(), &sources, Lenience::Lenient).is_err(), "{text}");
    }
}

#[test]
fn imports_are_looked_for_beside_the_file_that_names_them() {
    let text = ". {\n import custom/*.override\n import none/*.conf\n}\nimport custom/*.server";
    let Reading { config, warnings } = reading(text, Lenience::Strict);
    assert_eq!(config.blocks.len(), 2);
    assert!(config.blocks[0].errors().is_some() && config.blocks[0].logs().count() == 1);
    let any = &config.blocks[1].plugins[0];
    assert_eq!(any.place.to_string(), "/etc/dns/custom/x.server:2:2");
    assert!(config.blocks[1].any().is_some());
    assert_eq!(texts(&warnings), [""; 0]);
}

#[test]
fn variables_are_replaced_and_missing_ones_are_empty() {
    let text = ".:{$PORT} {\n {$EMPTY} log {$NONE} \"{$PORT}.example\" a{%PORT%}b\n}";
    let Reading { config, warnings } = reading(text, Lenience::Strict);
    assert_eq!(config.blocks[0].keys[0].port, 5353);
    let zones: Vec<String> =
        config.blocks[0].logs().flat_map(|log| &log.zones).map(ToString::to_string).collect();
    assert_eq!(zones, ["5353.example", "a5353b"]);
    assert_eq!(
        texts(&warnings),
        ["/etc/dns/Corefile:2:15: environment variable \"NONE\" is not set"]
    );
}

#[test]
fn quotes_hold_blanks_braces_and_escaped_quotes() {
    let text = ". {\n nsid \"a { } # \\\"b\\\" \\n\" c#d\n whoami\n}";
    let config = reading(text, Lenience::Strict).config;
    let identifier = config.blocks[0].nsid().unwrap().identifier.clone().unwrap();
    assert_eq!(identifier, "a { } # \"b\" \\n c");
}

#[test]
fn zones_and_reaches_hold_names_in_any_letter_case() {
    let text = "Example.ORG {\n file db { fallthrough sub.example.org }\n}";
    let config = reading(text, Lenience::Strict).config;
    let file = config.blocks[0].zone_files().next().unwrap();
    assert!(file.zones[0].contains(&name("WWW.example.org.")));
    assert!(!file.zones[0].contains(&name("www.example.net.")));
    assert!(file.fallthrough.covers(&name("a.SUB.example.org.")));
    assert!(!file.fallthrough.covers(&name("a.example.org.")));
}

#[test]
fn rewritten_names_and_records_can_be_made() {
    let text = ". {\n rewrite name regex (.*)-x\\.example {1}.svc answer name (.*)\\.svc {1}-x\n \
                template IN A { \n match ^(?P<host>a+)\\.\n answer \"{{ .Name }} 60 IN A {{.Remote}}\"\n}\n}";
    let config = reading(text, Lenience::Strict).config;
    let block = &config.blocks[0];
    let RewriteRule::Name(rewrite) = &block.rewrites().next().unwrap().rule else {
        panic!("a rule for names")
    };
    let NameMatch::Regex(pattern) = &rewrite.question.from else { panic!("an expression") };
    let captures = pattern.regex().captures("web-x.example").unwrap();
    assert_eq!(rewrite.question.to.expand(&captures), "web.svc");
    assert_eq!(rewrite.answer_names.len(), 1);
    assert!(!rewrite.answer_auto);
    let template = block.templates().next().unwrap();
    assert_eq!(
        template.answer[0].parts(),
        [
            TemplatePart::Field(TemplateField::Name),
            TemplatePart::Text(" 60 IN A ".to_owned()),
            TemplatePart::Field(TemplateField::Remote),
        ]
    );
}

#[test]
fn binds_of_a_block_add_up_and_part_equal_zones() {
    let text = ". {\n bind 192.0.2.1\n bind eth0\n whoami\n}\n. {\n bind 192.0.2.2\n whoami\n}";
    let config = reading(text, Lenience::Strict).config;
    let addresses: Vec<String> = config.blocks[0]
        .binds()
        .flat_map(|bind| &bind.addresses)
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses, ["192.0.2.1", "interface eth0"]);
}
