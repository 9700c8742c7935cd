//! Which pod answered: requests to Services and what the pods' servers say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

use crate::lab::Lab;
use crate::place::{ObjectName, Place};

/// What a pod's server says to every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The pod that answered.
    pub pod: ObjectName,
    /// The node it runs on.
    pub node: String,
    /// The address it was reached at.
    pub server: SocketAddr,
    /// The client address it saw.
    pub client: SocketAddr,
}

impl FromStr for Answer {
    type Err = Error;

    /// Reads a line of words `key=value`; unknown keys are skipped.
    fn from_str(line: &str) -> Result<Self> {
        let words: BTreeMap<_, _> =
            line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let word = |key: &str| {
            words.get(key).copied().with_context(|| format!("answer {line:?} without {key}"))
        };
        Ok(Self {
            pod: word("pod")?.parse()?,
            node: word("node")?.to_owned(),
            server: word("server")?.parse()?,
            client: word("client")?.parse()?,
        })
    }
}

/// The answers to several requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// How often each pod answered, by its name without namespace.
    #[must_use]
    pub fn by_pod(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for answer in &self.0 {
            *counts.entry(answer.pod.name.clone()).or_default() += 1;
        }
        counts
    }
}

impl Lab {
    /// Asks `url` from `place` `count` times, each time over a new connection.
    ///
    /// # Errors
    /// When a request fails or is answered by something else than a pod of the lab.
    pub fn ask(&self, place: &Place, url: &str, count: usize) -> Result<Answers> {
        let mut command = vec!["curl", "-gsS", "--fail-early", "--max-time", "5"];
        command.extend(["-H", "Connection: close"]);
        command.extend(std::iter::repeat_n(url, count));
        let text = self.exec(place, &command)?.checked().with_context(|| url.to_owned())?;
        let answers = text.lines().map(str::parse).collect::<Result<Vec<Answer>>>()?;
        ensure!(answers.len() == count, "{} answers to {count} requests: {text}", answers.len());
        Ok(Answers(answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_from_its_line() {
        let line = "pod=shop/web-0 node=node-1 server=[fd00::1]:80 client=10.244.1.2:4000 path=/";
        let answer: Answer = line.parse().unwrap();
        assert_eq!(answer.pod, ObjectName::new("shop", "web-0"));
        assert_eq!(answer.client.to_string(), "10.244.1.2:4000");
        assert!("pod=a".parse::<Answer>().is_err());
    }
}
