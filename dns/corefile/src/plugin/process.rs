//! What concerns the whole process: `cancel`, `debug`, `reload`.

use std::time::Duration;

use super::{Directive, Effects};
use crate::line::{Line, Scope};
use crate::value::{duration, shown};

/// `cancel`: how long one query may take in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// After this time nothing more is done for a query.
    pub timeout: Duration,
}

impl Directive for Cancel {
    const FORM: &'static str = "cancel [DURATION]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let timeout = line.value_if_any("timeout", duration);
        line.end();
        // A stub resolver gives up after 5 s.
        Some(Self { timeout: timeout.unwrap_or(Duration::from_millis(5001)) })
    }

    fn effects(&self, say: &mut Effects) {
        say.line(format!("a query is given up after {}", shown(self.timeout)));
    }
}

/// `debug`: more messages in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debug;

impl Directive for Debug {
    const FORM: &'static str = "debug";

    fn parse(line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        line.end();
        Some(Self)
    }

    fn effects(&self, say: &mut Effects) {
        say.line("messages for developers are logged, by the whole process");
    }
}

/// `reload`: how the Corefile is looked at for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// How often, at least 2 s.
    pub interval: Duration,
    /// By how much the interval may differ, so that servers with one file do not reload together;
    /// at most half of it, zero for not at all.
    pub jitter: Duration,
}

impl Reload {
    /// Shortest interval and default of both, as in CoreDNS.
    const LEAST_INTERVAL: Duration = Duration::from_secs(2);
    const LEAST_JITTER: Duration = Duration::from_secs(1);
}

impl Default for Reload {
    /// 30 s and 15 s, as in CoreDNS.
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), jitter: Duration::from_secs(15) }
    }
}

impl Directive for Reload {
    const FORM: &'static str = "reload [INTERVAL, 2s or longer] [JITTER, 0s or 1s or longer]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut reload = Self::default();
        if let Some(word) = line.take()
            && let Some(interval) = line.check("interval", word, duration)
        {
            if interval < Self::LEAST_INTERVAL {
                line.fault(word, format!("interval {:?} is too short", word.text), "2s or longer");
            }
            reload.interval = interval.max(Self::LEAST_INTERVAL);
        }
        if let Some(word) = line.take()
            && let Some(jitter) = line.check("jitter", word, duration)
        {
            if !jitter.is_zero() && jitter < Self::LEAST_JITTER {
                let problem = format!("jitter {:?} is too short", word.text);
                line.fault(word, problem, "0s, or 1s or longer");
            }
            reload.jitter = jitter;
        }
        line.end();
        reload.jitter = reload.jitter.min(reload.interval / 2);
        Some(reload)
    }

    fn effects(&self, say: &mut Effects) {
        let (interval, jitter) = (shown(self.interval), shown(self.jitter));
        say.line(format!("a changed Corefile is read within {interval}, give or take {jitter}"));
    }
}
