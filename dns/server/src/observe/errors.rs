//! The plugin `errors`: failures in the log, alike ones gathered, and never more than can be read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use podway_dns_corefile::plugin::{self, Consolidation, FirstError, Severity};

/// Lines that may be written in one second; further ones are counted.
///
/// A pod can ask for what fails as often as it likes, and a log must not be its to fill.
const PER_SECOND: u32 = 10;

/// Writes failures to the log.
#[derive(Debug)]
pub(super) struct Errors {
    rules: Vec<Arc<Gathering>>,
    pace: Mutex<Pace>,
}

/// Errors of one kind, gathered.
#[derive(Debug)]
struct Gathering {
    rule: Consolidation,
    /// How many since the window began.
    count: Mutex<u64>,
}

/// Lines of this second.
#[derive(Debug)]
struct Pace {
    began: Instant,
    written: u32,
    left_out: u64,
}

impl Errors {
    /// Writes as `rules` say.
    pub(super) fn new(rules: &plugin::Errors) -> Self {
        let gathering =
            |rule: &Consolidation| Arc::new(Gathering { rule: rule.clone(), count: Mutex::new(0) });
        let pace = Pace { began: Instant::now(), written: 0, left_out: 0 };
        Self { rules: rules.consolidate.iter().map(gathering).collect(), pace: Mutex::new(pace) }
    }

    /// Writes `text`, or counts it.
    pub(super) fn note(&self, text: &str) {
        if let Some(gathering) =
            self.rules.iter().find(|own| own.rule.pattern.regex().is_match(text))
        {
            return gathering.add(text);
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.began.elapsed() >= Duration::from_secs(1) {
            if pace.left_out > 0 {
                tracing::error!(target: "podway_dns_errors", left_out = pace.left_out,
                    "more queries failed than are listed");
            }
            *pace = Pace { began: Instant::now(), written: 0, left_out: 0 };
        }
        if pace.written < PER_SECOND {
            pace.written += 1;
            tracing::error!(target: "podway_dns_errors", "{text}");
        } else {
            pace.left_out += 1;
        }
    }
}

impl Gathering {
    /// Counts one; the first of a window begins it.
    fn add(self: &Arc<Self>, text: &str) {
        let first = {
            let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            *count == 1
        };
        if !first {
            return;
        }
        match self.rule.first {
            FirstError::Logged => self.write(text),
            FirstError::Gathered => {}
        }
        let gathering = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(gathering.rule.window).await;
            let count = {
                let mut count = gathering.count.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *count)
            };
            let Gathering { rule, .. } = &*gathering;
            let shown = matches!(rule.first, FirstError::Logged);
            if count > u64::from(shown) {
                let (window, pattern) = (rule.window, &rule.pattern);
                gathering
                    .write(&format!("{count} errors like '{pattern}' occurred in last {window:?}"));
            }
        });
    }

    /// Writes a line as severe as the rule says.
    fn write(&self, text: &str) {
        match self.rule.severity {
            Severity::Debug => tracing::debug!(target: "podway_dns_errors", "{text}"),
            Severity::Info => tracing::info!(target: "podway_dns_errors", "{text}"),
            Severity::Warning => tracing::warn!(target: "podway_dns_errors", "{text}"),
            Severity::Error => tracing::error!(target: "podway_dns_errors", "{text}"),
        }
    }
}
