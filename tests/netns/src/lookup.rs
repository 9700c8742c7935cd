//! Queries by dig: what each daemon says, and what a place's own resolver gets.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Family, Place};

use crate::{Cluster, NODES};

/// A record of a response, its parts as dig prints them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Owner name.
    pub name: String,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Type.
    pub kind: String,
    /// Data.
    pub data: String,
}

/// A response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Response code: `NOERROR`, `NXDOMAIN` and so on.
    pub status: String,
    /// Flags in small letters.
    pub flags: BTreeSet<String>,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section.
    pub additional: Vec<Record>,
}

impl Response {
    /// Reads what dig printed.
    fn read(text: &str) -> Result<Self> {
        let mut response = Self::default();
        let mut section = None;
        for line in text.lines() {
            if let Some(header) = line.strip_prefix(";; ->>HEADER<<-") {
                let status =
                    header.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
                status.context("no status")?.clone_into(&mut response.status);
            } else if let Some(flags) = line.strip_prefix(";; flags:") {
                let words = flags.split(';').next().unwrap_or_default();
                response.flags = words.split_whitespace().map(str::to_owned).collect();
            } else if line.starts_with(";; ANSWER SECTION") {
                section = Some(&mut response.answer);
            } else if line.starts_with(";; AUTHORITY SECTION") {
                section = Some(&mut response.authority);
            } else if line.starts_with(";; ADDITIONAL SECTION") {
                section = Some(&mut response.additional);
            } else if line.is_empty() || line.starts_with(';') {
                continue;
            } else if let Some(records) = &mut section {
                records.push(record(line)?);
            }
        }
        ensure!(!response.status.is_empty(), "no response: {text}");
        Ok(response)
    }

    /// Data of the answer's records.
    #[must_use]
    pub fn data(&self) -> BTreeSet<String> {
        self.answer.iter().map(|record| record.data.clone()).collect()
    }
}

/// Reads a record: name, time to live, class, type, data.
fn record(line: &str) -> Result<Record> {
    let mut words = line.split_whitespace();
    let mut word = || words.next().with_context(|| format!("no record: {line}"));
    let (name, ttl, _class, kind) = (word()?, word()?, word()?, word()?);
    let (name, ttl, kind) = (name.to_owned(), ttl.parse()?, kind.to_owned());
    Ok(Record { name, ttl, kind, data: words.collect::<Vec<_>>().join(" ") })
}

/// A question asked from a place.
#[derive(Debug, Clone)]
pub struct Lookup<'a> {
    cluster: &'a Cluster,
    from: Place,
    arguments: Vec<String>,
}

impl fmt::Display for Lookup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, dig {}", self.from, self.arguments.join(" "))
    }
}

impl Cluster {
    /// A question from `from`: name, type and options as dig takes them.
    pub fn lookup(&self, from: &Place, arguments: &[&str]) -> Lookup<'_> {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Lookup { cluster: self, from: from.clone(), arguments }
    }
}

impl Lookup<'_> {
    /// Asks the name server of the place's resolv.conf.
    ///
    /// # Errors
    /// When there is no response.
    pub fn ask(&self) -> Result<Response> {
        self.dig(None)
    }

    /// Asks `server`.
    ///
    /// # Errors
    /// When there is no response.
    pub fn ask_at(&self, server: IpAddr) -> Result<Response> {
        self.dig(Some(server))
    }

    fn dig(&self, server: Option<IpAddr>) -> Result<Response> {
        let server = server.map(|address| format!("@{address}"));
        let options = ["+noall", "+comments", "+answer", "+authority", "+additional", "+search"];
        let patience = ["+tries=1", "+timeout=3"];
        let command: Vec<_> = std::iter::once("dig")
            .chain(options)
            .chain(patience)
            .chain(server.as_deref())
            .chain(self.arguments.iter().map(String::as_str))
            .collect();
        let output = self.cluster.exec(&self.from, &command)?.checked();
        Response::read(&output.with_context(|| self.to_string())?).with_context(|| self.to_string())
    }

    /// Waits until `check` accepts what every daemon says, and what the place's own name server
    /// says, which is one of them by chance; the last of the responses.
    ///
    /// # Errors
    /// When one is not accepted in time; the error has that response.
    pub fn becomes(&self, what: &str, check: impl Fn(&Response) -> bool) -> Result<Response> {
        let daemons = NODES.map(|number| Some(self.cluster.node_ip(number, Family::V4)));
        self.cluster.wait_for(&format!("{self}: {what}"), || {
            let mut last = None;
            for server in daemons.into_iter().chain([None]) {
                let response = self.dig(server)?;
                ensure!(check(&response), "{self}: not {what} but {response:#?}");
                last = Some(response);
            }
            Ok(last)
        })
    }

    /// Waits until the answer has exactly these data.
    ///
    /// # Errors
    /// When it does not get them.
    pub fn answers<D: ToString>(&self, data: impl IntoIterator<Item = D>) -> Result<Response> {
        let expected: BTreeSet<_> = data.into_iter().map(|one| one.to_string()).collect();
        self.becomes(&format!("{expected:?}"), |response| {
            response.status == "NOERROR" && response.data() == expected
        })
    }

    /// Waits until the name is said not to exist.
    ///
    /// # Errors
    /// When it is not.
    pub fn is_no_name(&self) -> Result<Response> {
        self.becomes("NXDOMAIN", |response| response.status == "NXDOMAIN")
    }

    /// Waits until the name is said to have nothing of the type.
    ///
    /// # Errors
    /// When it is not.
    pub fn has_no_data(&self) -> Result<Response> {
        self.becomes("a name without data", |response| {
            response.status == "NOERROR" && response.answer.is_empty()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_with_its_sections() {
        let text = ";; Got answer:\n\
            ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n\
            ;; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2\n\
            \n\
            ;; OPT PSEUDOSECTION:\n\
            ; EDNS: version: 0, flags:; udp: 1232\n\
            ;; ANSWER SECTION:\n\
            _http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.\n\
            \n\
            ;; ADDITIONAL SECTION:\n\
            web.default.svc.cluster.local. 5 IN A 10.96.1.1\n";
        let response = Response::read(text).unwrap();
        assert_eq!(response.status, "NOERROR");
        assert!(response.flags.contains("aa") && !response.flags.contains("tc"));
        assert_eq!(response.data(), ["0 100 80 web.default.svc.cluster.local.".to_owned()].into());
        assert_eq!(response.additional[0].data, "10.96.1.1");
        assert!(Response::read(";; communications error\n").is_err());
    }
}
