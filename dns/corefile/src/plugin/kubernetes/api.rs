//! The way to the API server, and how much is asked of it.

use crate::line::{Line, number};
use crate::plugin::Effects;
use crate::syntax::Word;
use crate::value::Refusal;

/// How the API server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ApiAccess {
    /// As the service account of the pod.
    #[default]
    InCluster,
    /// At a URL.
    Endpoint {
        /// The URL.
        url: String,
        /// Files of certificate, key and authority.
        tls: Option<[String; 3]>,
    },
    /// As a kubeconfig file says.
    Kubeconfig {
        /// The file.
        file: String,
        /// The context in it; `None` is its current one.
        context: Option<String>,
    },
}

/// How much is asked of the API server; `None` keeps the default of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiLimits {
    /// Requests in a thousand seconds.
    pub millirequests_per_second: Option<u64>,
    /// Requests at once.
    pub burst: Option<u32>,
    /// Requests under way at the same time.
    pub in_flight: Option<u32>,
}

impl ApiAccess {
    /// Says how the API server is reached.
    pub(super) fn effects(&self, say: &mut Effects) {
        match self {
            ApiAccess::InCluster => {}
            ApiAccess::Endpoint { url, .. } => say.line(format!("the API server is at {url}")),
            ApiAccess::Kubeconfig { file, context } => {
                let context = context.as_deref().unwrap_or("current");
                say.line(format!("the API server is that of the {context} context in {file}"));
            }
        }
    }
}

impl ApiLimits {
    /// Reads one of the limits.
    pub(super) fn option(&mut self, line: Line<'_>) {
        match line.name().text.as_str() {
            "apiserver_qps" => line.set(&mut self.millirequests_per_second, "number", rate),
            "apiserver_burst" => line.set(&mut self.burst, "number", number_or_default),
            _ => line.set(&mut self.in_flight, "number", number_or_default),
        }
    }

    /// Says what the limits are.
    pub(super) fn effects(&self, say: &mut Effects) {
        let ApiLimits { millirequests_per_second, burst, in_flight } = *self;
        if let Some(rate) = millirequests_per_second {
            let (whole, part) = (rate / 1000, rate % 1000);
            say.line(format!("{whole}.{part:03} requests per second go to the API server at most"));
        }
        if let Some(burst) = burst {
            say.line(format!("{burst} requests at once go to the API server at most"));
        }
        if let Some(in_flight) = in_flight {
            say.line(format!("{in_flight} requests to the API server are under way at most"));
        }
    }
}

/// What is said about the way to the API server, while it is read.
#[derive(Debug, Default)]
pub(super) struct Access<'a> {
    endpoint: Option<String>,
    tls: Option<([String; 3], &'a Word)>,
    kubeconfig: Option<(String, Option<String>)>,
}

impl<'a> Access<'a> {
    /// Reads one of its options.
    pub(super) fn option(&mut self, mut line: Line<'a>) {
        let name = line.name();
        match name.text.as_str() {
            "endpoint" => self.endpoint = line.value("URL", url),
            "kubeconfig" => {
                let file = line.need("file").map(|word| word.text.clone());
                let context = line.take().map(|word| word.text.clone());
                self.kubeconfig = file.map(|file| (file, context));
            }
            _ => match line.rest() {
                [certificate, key, authority] => {
                    let files = [certificate, key, authority].map(|word| word.text.clone());
                    self.tls = Some((files, name));
                }
                _ => line.fault(name, "takes three files", "tls CERT KEY CACERT"),
            },
        }
        line.end();
    }

    /// The way to the API server; a kubeconfig goes before an endpoint, as in CoreDNS.
    pub(super) fn resolve(self, line: &Line<'_>) -> ApiAccess {
        let Self { endpoint, tls, kubeconfig } = self;
        if let (Some((_, word)), true) = (&tls, kubeconfig.is_some() || endpoint.is_none()) {
            line.warn(word, "tls has no effect without endpoint or beside kubeconfig");
        }
        match (kubeconfig, endpoint) {
            (Some((file, context)), _) => ApiAccess::Kubeconfig { file, context },
            (None, Some(url)) => ApiAccess::Endpoint { url, tls: tls.map(|(files, _)| files) },
            (None, None) => ApiAccess::InCluster,
        }
    }
}

/// Reads a URL of the API server.
fn url(text: &str) -> Result<String, Refusal> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(text.to_owned()),
        Some(_) | None => Err(Refusal::new("is no URL", "https://HOST[:PORT]")),
    }
}

/// Reads a number; 0 is the default.
fn number_or_default(text: &str) -> Result<Option<u32>, Refusal> {
    number(0, u32::MAX)(text).map(|value| Some(value).filter(|value| *value > 0))
}

/// Reads a decimal number in thousandths; 0 is the default.
fn rate(text: &str) -> Result<Option<u64>, Refusal> {
    let refused = || Refusal::new("is no rate", "a number of requests such as 20 or 0.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|d| d.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(refused());
    }
    let padded: String = fraction.chars().chain("00".chars()).take(3).collect();
    let part = padded.parse::<u64>().or(Err(refused()))?;
    let rate = whole.parse::<u64>().or(Err(refused()))? * 1000 + part;
    Ok(Some(rate).filter(|rate| *rate > 0))
}
