//! Which plain questions a plugin has something to say to, so that all others go straight to the
//! index.

use hickory_proto::rr::{Name, RecordType};
use podway_dns_corefile::plugin::{Hosts, NameMatch, RewriteRule, Template};
use podway_dns_corefile::value::Zone;

/// What a plugin looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// No plain question.
    Nothing,
    /// Questions of this type.
    Type(RecordType),
    /// Names in this zone.
    Zone(Name),
    /// Any question.
    Everything,
}

/// What a rule of `rewrite` looks at.
pub(super) fn of_rewrite(rule: &RewriteRule) -> Interest {
    match rule {
        RewriteRule::Name(rewrite) => of_names(&rewrite.question.from),
        RewriteRule::Ttl { names, .. } | RewriteRule::Rcode { names, .. } => of_names(names),
        RewriteRule::Type(change) => Interest::Type(change.from),
        RewriteRule::Class(change) if change.from == hickory_proto::rr::DNSClass::CH => {
            Interest::Nothing
        }
        RewriteRule::Class(_) => Interest::Everything,
        // Aliases are never answered straight from the index, nor are options passed on.
        RewriteRule::Cname(_) | RewriteRule::Edns(_) => Interest::Nothing,
    }
}

/// The zone that all names that fit are in.
fn of_names(names: &NameMatch) -> Interest {
    let zone = match names {
        NameMatch::Exact(name) => Some(name.name().clone()),
        // The text may begin within a label, so only what comes behind its first dot is sure.
        NameMatch::Suffix(text) => text
            .split_once('.')
            .and_then(|(_, zone)| Name::from_ascii(zone).ok())
            .filter(|zone| zone.num_labels() > 0),
        NameMatch::Prefix(_) | NameMatch::Substring(_) | NameMatch::Regex(_) => None,
    };
    zone.map_or(Interest::Everything, |mut zone| {
        zone.set_fqdn(true);
        Interest::Zone(zone)
    })
}

/// What a template looks at in its zones.
pub(super) fn of_template(template: &Template) -> Interest {
    if template.record_type == RecordType::ANY {
        return Interest::Everything;
    }
    Interest::Type(template.record_type)
}

/// Whether some name of a hosts file, or of the Corefile beside it, is in one of `zones`.
pub(super) fn hosts_meet(hosts: &Hosts, text: &[u8], zones: &[Zone]) -> bool {
    let meets = |name: &Name| zones.iter().any(|zone| zone.contains(name));
    let inline = hosts.inline.iter().flat_map(|entry| &entry.names);
    if inline.into_iter().any(|zone| meets(zone.name())) {
        return true;
    }
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    // What is no name here is none for the plugin either.
    lines.flat_map(|line| line.split_whitespace().skip(1)).any(|word| {
        let name = Name::from_ascii(word.trim_end_matches('.').trim_start_matches("*."));
        name.is_ok_and(|mut name| {
            name.set_fqdn(true);
            meets(&name)
        })
    })
}

#[cfg(test)]
mod tests {
    use podway_dns_corefile::{Lenience, MemorySources, read};

    use super::*;

    fn block(lines: &str) -> podway_dns_corefile::ServerBlock {
        let text = format!(".:53 {{\n{lines}\nforward . 192.0.2.1\n}}\n");
        let sources = MemorySources::default();
        let reading = read("Corefile", text.as_bytes(), &sources, Lenience::Strict).unwrap();
        reading.config.blocks.into_iter().next().unwrap()
    }

    #[test]
    fn rules_are_interested_in_what_they_may_change() {
        let zone = |text: &str| Interest::Zone(text.parse().unwrap());
        for (line, expected) in [
            ("rewrite name a.example b.example", zone("a.example.")),
            ("rewrite name suffix .old.example. .example.", zone("old.example.")),
            ("rewrite name suffix x.old.example. .example.", zone("old.example.")),
            ("rewrite name suffix old. .example.", Interest::Everything),
            ("rewrite name prefix a- b-", Interest::Everything),
            ("rewrite name regex (.*) {1}.example", Interest::Everything),
            ("rewrite ttl exact a.example 5", zone("a.example.")),
            ("rewrite type ANY HINFO", Interest::Type(RecordType::ANY)),
            ("rewrite class CH IN", Interest::Nothing),
            ("rewrite class IN CH", Interest::Everything),
        ] {
            let found = block(line);
            let rule = &found.rewrites().next().unwrap().rule;
            assert_eq!(of_rewrite(rule), expected, "{line}");
        }
        for (line, expected) in [
            ("template ANY AAAA {\n rcode NOERROR\n}", Interest::Type(RecordType::AAAA)),
            ("template ANY ANY {\n rcode NOERROR\n}", Interest::Everything),
        ] {
            let found = block(line);
            assert_eq!(of_template(found.templates().next().unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn hosts_meet_the_cluster_where_a_name_is_in_its_zones() {
        let cluster = block("kubernetes cluster.local");
        let zones = &cluster.kubernetes().unwrap().zones;
        let hosts = block("hosts {\n 192.0.2.1 node-a\n}");
        let hosts = hosts.hosts().unwrap();
        assert!(!hosts_meet(hosts, b"192.0.2.2 node-b node-b.example # x.cluster.local", zones));
        assert!(hosts_meet(hosts, b"192.0.2.2 node-b\n192.0.2.3 X.Cluster.Local.", zones));
        assert!(hosts_meet(hosts, b"192.0.2.2 *.cluster.local", zones));
        let inline = block("hosts {\n 192.0.2.1 a.cluster.local\n}");
        assert!(hosts_meet(inline.hosts().unwrap(), b"", zones));
    }
}
