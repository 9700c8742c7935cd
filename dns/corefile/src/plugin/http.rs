//! What is told by HTTP: `health`, `ready`, `prometheus`.

use std::time::Duration;

use super::{Directive, Effects};
use crate::line::{Line, Scope, one_of};
use crate::value::{ListenAddress, duration, shown};

/// `health`: whether the process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Where `/health` is served.
    pub address: ListenAddress,
    /// How long questions are still answered after the order to stop.
    pub lameduck: Duration,
}

/// Options of `health`.
const HEALTH_OPTIONS: &[&str] = &["lameduck DURATION"];

/// The address that may stand after the name of a plugin.
fn address(line: &mut Line<'_>, default: ListenAddress) -> ListenAddress {
    let port = default.port;
    line.value_if_any("address", |text| ListenAddress::parse(text, port)).unwrap_or(default)
}

impl Directive for Health {
    const FORM: &'static str = "health [[HOST]:PORT]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let address = address(&mut line, ListenAddress::any(8080));
        let mut health = Self { address, lameduck: Duration::ZERO };
        for option in line.options(HEALTH_OPTIONS) {
            match option.name().text.as_str() {
                "lameduck" => option.set(&mut health.lameduck, "duration", duration),
                _ => option.unknown(HEALTH_OPTIONS),
            }
        }
        line.end();
        Some(health)
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("/health at {} says that the process runs", self.address));
        if !self.lameduck.is_zero() {
            let time = shown(self.lameduck);
            say.line(format!("questions are answered for {time} after the order to stop"));
        }
    }
}

/// `ready`: whether every plugin has what it needs to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where `/ready` is served.
    pub address: ListenAddress,
    /// How long a plugin is asked.
    pub monitor: Monitor,
}

/// How long a plugin is asked whether it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Monitor {
    /// Until it says so once.
    #[default]
    UntilReady,
    /// Always: what was ready may be unready again.
    Continuously,
}

/// Options of `ready`.
const READY_OPTIONS: &[&str] = &["monitor until-ready|continuously"];

/// Words of `monitor`.
const MONITORS: &[(&str, Monitor)] =
    &[("until-ready", Monitor::UntilReady), ("continuously", Monitor::Continuously)];

impl Directive for Ready {
    const FORM: &'static str = "ready [[HOST]:PORT]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let address = address(&mut line, ListenAddress::any(8181));
        let mut ready = Self { address, monitor: Monitor::default() };
        for option in line.options(READY_OPTIONS) {
            match option.name().text.as_str() {
                "monitor" => option.set(&mut ready.monitor, "word", one_of(MONITORS)),
                _ => option.unknown(READY_OPTIONS),
            }
        }
        line.end();
        Some(ready)
    }

    fn effects(&self, say: &mut Effects) {
        let when = match self.monitor {
            Monitor::UntilReady => "once every plugin was ready",
            Monitor::Continuously => "while every plugin is ready",
        };
        say.line(format!("/ready at {} says yes {when}", self.address));
    }
}

/// `prometheus`: metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// Where `/metrics` is served.
    pub address: ListenAddress,
}

/// Options of `prometheus`.
const PROMETHEUS_OPTIONS: &[&str] = &["runtime_metrics", "tls CERT KEY [CA]"];

impl Directive for Prometheus {
    const FORM: &'static str = "prometheus [[HOST]:PORT]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let address = address(&mut line, ListenAddress::localhost(9153));
        for option in line.options(PROMETHEUS_OPTIONS) {
            let name = option.name();
            match name.text.as_str() {
                "runtime_metrics" => {
                    option.warn(name, "has no effect: there is no Go runtime to measure");
                    option.end();
                }
                "tls" => option.unsupported(name, "metrics by HTTPS", "metrics by HTTP"),
                _ => option.unknown(PROMETHEUS_OPTIONS),
            }
        }
        line.end();
        Some(Self { address })
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("/metrics at {} counts the queries of this block", self.address));
    }
}
