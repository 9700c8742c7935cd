//! What is written about replies: the lines of `log` and `errors`.
//!
//! Both stand before all plugins that answer, so they see what the client sees, and are made from
//! the octets of query and reply, whichever way these went.

mod errors;
mod line;

use std::net::SocketAddr;
use std::time::Duration;

use podway_dns_corefile::plugin;

use self::errors::Errors;
use self::line::{Facts, Kind};
use crate::respond::{Source, Transport};

/// A query and its reply, as they went over the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'m> {
    /// The query.
    pub(crate) query: &'m [u8],
    /// The reply.
    pub(crate) reply: &'m [u8],
    /// Who asked.
    pub(crate) client: SocketAddr,
    /// The address that was asked.
    pub(crate) server: SocketAddr,
    /// By what means.
    pub(crate) transport: Transport,
    /// From reception to the reply.
    pub(crate) duration: Duration,
    /// Who made the reply.
    pub(crate) source: Source,
}

/// Everybody who writes about the replies of a block.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    logs: Vec<plugin::Log>,
    errors: Option<Errors>,
}

impl Observers {
    /// The `log`s and the `errors` of a block.
    pub(crate) fn new(logs: Vec<plugin::Log>, errors: Option<&plugin::Errors>) -> Self {
        Self { logs, errors: errors.map(Errors::new) }
    }

    /// Whether there is nobody.
    pub(crate) fn is_nobody(&self) -> bool {
        self.logs.is_empty() && self.errors.is_none()
    }

    /// Writes about a reply what is to be written.
    pub(crate) fn see(&self, seen: &Seen<'_>) {
        let failed = seen.reply.get(3).is_some_and(|flags| flags & 0xF == 2);
        if self.logs.is_empty() && !failed {
            return;
        }
        let Some(facts) = Facts::read(seen) else { return };
        for log in &self.logs {
            let zone = log.zones.iter().any(|zone| zone.contains(&facts.name));
            let class = facts.kind.class();
            let all = log.classes.contains(&plugin::ResponseClass::All);
            if zone && (all || log.classes.contains(&class)) {
                tracing::info!(target: "podway_dns_log", "{}", facts.line(&log.format));
            }
        }
        if let Some(errors) = &self.errors
            && facts.kind == Kind::Error
            && failed
        {
            errors.note(&facts.failure());
        }
    }
}
