//! A decision as it is printed.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

use jiff::Timestamp;
use podway_ebpf_backend::events::{Decision, Hook};
use serde::Serialize;

use super::names::{Client, Names};
use crate::args::EventOutput;

/// A decision with its names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// To the microsecond, in UTC.
    time: String,
    /// Whose network the socket is of: a pod's, the node's, or unknown.
    network: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    /// Cookie of its network namespace.
    network_namespace: u64,
    command: String,
    process: u32,
    hook: &'static str,
    protocol: &'static str,
    frontend: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_pod: Option<String>,
}

impl Line {
    /// `decision`, with what `names` knows.
    pub(super) fn of(decision: &Decision, names: &mut Names) -> Self {
        let owner = names.frontend(decision.protocol, decision.frontend);
        let service = owner.map(|owner| owner.service.clone());
        let port = owner.map(|owner| owner.port.clone()).filter(|port| !port.is_empty());
        let endpoint_pod =
            decision.endpoint.and_then(|endpoint| owner?.endpoints.get(&endpoint).cloned());
        let (network, pod) = match names.client(decision.netns) {
            Client::Pod(pod) => ("pod", Some(pod)),
            Client::Node => ("node", None),
            Client::Unknown => ("unknown", None),
        };
        Self {
            time: format!("{:.6}", Timestamp::try_from(decision.time).unwrap_or_default()),
            network,
            pod,
            network_namespace: decision.netns,
            command: decision.command.clone(),
            process: decision.process,
            hook: match decision.hook {
                Hook::Connect => "connect",
                Hook::Send => "send",
            },
            protocol: decision.protocol.name(),
            frontend: decision.frontend,
            service,
            port,
            outcome: if decision.endpoint.is_some() { "endpoint" } else { "refused" },
            endpoint: decision.endpoint,
            endpoint_pod,
        }
    }

    /// Prints it in one line.
    pub(super) fn write(&self, out: &mut impl Write, output: EventOutput) -> io::Result<()> {
        match output {
            EventOutput::Text => writeln!(out, "{self}"),
            EventOutput::Json => {
                serde_json::to_writer(&mut *out, self)?;
                writeln!(out)
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, command, process, hook, protocol, frontend, .. } = self;
        match (&self.pod, self.network) {
            (Some(pod), _) => write!(formatter, "{time} {pod} ")?,
            (None, "node") => write!(formatter, "{time} node ")?,
            (None, _) => write!(formatter, "{time} netns-{} ", self.network_namespace)?,
        }
        let service = self.service.as_deref().unwrap_or("?");
        write!(formatter, "{command}[{process}] {hook} {protocol} {frontend} {service}")?;
        if let Some(port) = &self.port {
            write!(formatter, ":{port}")?;
        }
        match self.endpoint {
            Some(endpoint) => write!(formatter, " -> {endpoint}")?,
            None => formatter.write_str(" refused")?,
        }
        match &self.endpoint_pod {
            Some(pod) => write!(formatter, " {pod}"),
            None => Ok(()),
        }
    }
}

/// Tells programs that decisions were lost between two lines; people are told elsewhere.
pub(super) fn write_lost(out: &mut impl Write, output: EventOutput, lost: u64) -> io::Result<()> {
    match output {
        EventOutput::Text => Ok(()),
        EventOutput::Json => writeln!(out, "{{\"lost\":{lost}}}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use podway_cluster_model::port::Protocol;

    use super::*;

    fn line(endpoint: Option<&str>) -> Line {
        let decision = Decision {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000),
            hook: Hook::Connect,
            protocol: Protocol::Tcp,
            frontend: "[fd00::1]:80".parse().unwrap(),
            endpoint: endpoint.map(|text| text.parse().unwrap()),
            netns: 7,
            socket: 9,
            process: 42,
            command: "curl".to_owned(),
        };
        Line::of(&decision, &mut Names::new(None))
    }

    #[test]
    fn what_nobody_names_is_told_by_its_address() {
        let text = "1970-01-01T00:00:01.500000Z netns-7 curl[42] connect tcp [fd00::1]:80 ?";
        assert_eq!(line(None).to_string(), format!("{text} refused"));
        assert_eq!(line(Some("[fd01::1]:8080")).to_string(), format!("{text} -> [fd01::1]:8080"));
    }

    #[test]
    fn json_says_the_outcome_and_leaves_out_what_is_unknown() {
        let mut out = Vec::new();
        line(None).write(&mut out, EventOutput::Json).unwrap();
        let expected = "{\"time\":\"1970-01-01T00:00:01.500000Z\",\"network\":\"unknown\",\
            \"networkNamespace\":7,\"command\":\"curl\",\"process\":42,\"hook\":\"connect\",\"protocol\":\"tcp\",\
            \"frontend\":\"[fd00::1]:80\",\"outcome\":\"refused\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
