//! `chaos`: questions of class CH about the server itself (RFC 4892).

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use podway_dns_corefile::plugin;

use crate::Reply;
use crate::presentation::lower_text;
use crate::reply::record;

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chaos {
    version: String,
    authors: Vec<String>,
    host: String,
}

impl Chaos {
    /// What the line says, with the version of this server where it names none.
    #[must_use]
    pub fn new(line: &plugin::Chaos, version: &str, host: &str) -> Self {
        Self {
            version: line.version.clone().unwrap_or_else(|| version.to_owned()),
            authors: line.authors.clone(),
            host: host.to_owned(),
        }
    }

    /// Answers a question about the server; `None` for others.
    #[must_use]
    pub fn answer(&self, question: &Query) -> Option<Reply> {
        if question.query_class != DNSClass::CH || question.query_type != RecordType::TXT {
            return None;
        }
        let texts = match lower_text(&question.name).as_str() {
            "version.bind." | "version.server." => std::slice::from_ref(&self.version),
            "authors.bind." => &self.authors,
            "hostname.bind." | "id.server." => std::slice::from_ref(&self.host),
            _ => return None,
        };
        let answer = |text: &String| {
            // A text has at most 255 octets.
            let text: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
            let data = RData::TXT(TXT::from_bytes(text));
            let mut record: Record = record(&question.name, 0, data);
            record.dns_class = DNSClass::CH;
            record
        };
        Some(Reply::of(texts.iter().map(answer).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{plugin, question, shown};

    fn answered(lines: &str, name: &str) -> Option<Vec<String>> {
        let chaos = Chaos::new(&plugin!(Chaos, lines), "Podway-1", "node-1");
        let mut asked = question(name, RecordType::TXT);
        assert_eq!(chaos.answer(&asked), None, "class IN");
        asked.query_class = DNSClass::CH;
        chaos.answer(&asked).map(|reply| shown(&reply.answers))
    }

    #[test]
    fn server_says_who_it_is() {
        for (lines, name, expected) in [
            ("chaos", "Version.bind", Some(vec!["Version.bind. 0 CH TXT Podway-1"])),
            ("chaos X-2 a b", "version.server", Some(vec!["version.server. 0 CH TXT X-2"])),
            ("chaos", "hostname.bind", Some(vec!["hostname.bind. 0 CH TXT node-1"])),
            ("chaos", "id.server", Some(vec!["id.server. 0 CH TXT node-1"])),
            (
                "chaos X-2 a \"b c\"",
                "authors.bind",
                Some(vec!["authors.bind. 0 CH TXT a", "authors.bind. 0 CH TXT b c"]),
            ),
            ("chaos", "authors.bind", Some(vec![])),
            ("chaos", "version.example", None),
        ] {
            let expected =
                expected.map(|lines| lines.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(answered(lines, name), expected, "{lines} {name}");
        }
    }
}
