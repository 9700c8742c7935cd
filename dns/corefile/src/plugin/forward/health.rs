//! How failing upstreams are found and left out.

use std::time::Duration;

use crate::line::Line;
use crate::plugin::Effects;
use crate::value::{Zone, duration, shown};

/// How failing servers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Failed probes after which a server is left out; 0 never leaves it out.
    pub max_fails: u32,
    /// Time between probes.
    pub interval: Duration,
    /// Whether probes ask for recursion.
    pub recursion: Recursion,
    /// The name that probes ask for.
    pub domain: Zone,
}

/// Whether probes ask for recursion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recursion {
    /// They do.
    #[default]
    Desired,
    /// They do not.
    NotDesired,
}

impl Default for HealthCheck {
    /// The defaults of CoreDNS.
    fn default() -> Self {
        Self {
            max_fails: 2,
            interval: Duration::from_millis(500),
            recursion: Recursion::default(),
            domain: Zone::root(),
        }
    }
}

impl HealthCheck {
    /// Reads `DURATION [no_rec] [domain NAME]`.
    pub(super) fn read(&mut self, mut line: Line<'_>) {
        if let Some(interval) = line.value("duration", duration) {
            self.interval = interval;
        }
        while let Some(word) = line.take() {
            match word.text.as_str() {
                "no_rec" => self.recursion = Recursion::NotDesired,
                "domain" => {
                    if let Some(domain) = line.value("name", Zone::named) {
                        self.domain = domain;
                    }
                }
                _ => line.fault(word, format!("{:?} is not known", word.text), "no_rec, domain"),
            }
        }
        line.end();
    }

    /// Says when a server is left out.
    pub(super) fn effects(&self, say: &mut Effects) {
        let HealthCheck { max_fails, interval, recursion, domain } = self;
        if *max_fails == 0 {
            say.line("no server is ever left out");
        } else {
            let interval = shown(*interval);
            let recursion = match recursion {
                Recursion::Desired => "",
                Recursion::NotDesired => " without recursion",
            };
            say.line(format!(
                "a server that fails {max_fails} probes, one for {domain}{recursion} each \
                 {interval}, is left out"
            ));
        }
    }
}
