//! What an operator must see, told to the cluster as events on this node's Node object
//! (`events.k8s.io/v1`). Only with the API server as source, and only what a person may have to act
//! on; the log has the rest.
//!
//! Each kind of occasion is told when it begins and when it ends, and a kind that comes and goes is
//! told at most once in [`QUIET`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{Timestamp, Unit};
use podway_cluster_model::chain::Chain;
use podway_cluster_model::name::NodeName;
use podway_cluster_watch::api::Requester;
use podway_cluster_watch::report::Reports;
use podway_proxy_sync::health::Health;
use podway_proxy_sync::per_family::label;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

/// Where events of cluster-wide objects are made.
const PATH: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// Who tells them.
const CONTROLLER: &str = "podway.dev/podway";

/// How often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(5);

/// Shortest time between two events of one reason.
const QUIET: Duration = Duration::from_secs(600);

/// How urgent an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Normal,
    Warning,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    severity: Severity,
    /// Why, in one word.
    reason: &'static str,
    /// What was being done.
    action: &'static str,
    /// For people.
    note: String,
}

/// Which occasions hold, and when each reason was last told.
#[derive(Debug, Default)]
struct Occasions {
    holding: BTreeMap<&'static str, bool>,
    told: BTreeMap<&'static str, Instant>,
}

/// How things are, as far as there may be something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Standing {
    /// Families that the kernel does not follow.
    behind: Vec<&'static str>,
    /// Objects that are not used, or not all of them.
    rejected: usize,
}

/// Tells occasions for ever.
pub(crate) async fn tell(requester: Requester, node: NodeName, health: Health, reports: Reports) {
    let started = Event {
        severity: Severity::Normal,
        reason: "Starting",
        action: "Starting",
        note: format!("podway {} starts", env!("CARGO_PKG_VERSION")),
    };
    let mut waiting = vec![started];
    let mut occasions = Occasions::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let standing = standing(&health, &reports);
        waiting.extend(occasions.look(&standing, Instant::now()));
        // What cannot be told now is told when it can; there are few kinds of it.
        while let Some(event) = waiting.first() {
            let content = body(event, &node, Timestamp::now()).to_string();
            match requester.post(PATH, &content).await {
                Ok(()) => {
                    debug!(reason = event.reason, "event told");
                    waiting.remove(0);
                }
                Err(error) => {
                    debug!(reason = event.reason, error = %Chain(&error), "event not told");
                    forgo(&mut waiting);
                    break;
                }
            }
        }
    }
}

/// Drops the oldest events when too many could not be told.
fn forgo(waiting: &mut Vec<Event>) {
    /// More than there are kinds of occasions.
    const MOST: usize = 8;
    if waiting.len() > MOST {
        let lost = waiting.len() - MOST;
        waiting.drain(..lost);
        warn!(lost, "events could not be told and are forgotten");
    }
}

fn standing(health: &Health, reports: &Reports) -> Standing {
    let report = health.report(Instant::now());
    let behind = report.iter().filter(|(_, report)| !report.healthy);
    Standing {
        behind: behind.map(|(family, _)| label(family)).collect(),
        rejected: reports.counts().rejected.values().sum(),
    }
}

impl Occasions {
    /// What there is to tell of `standing`.
    fn look(&mut self, standing: &Standing, now: Instant) -> Vec<Event> {
        let Standing { behind, rejected } = standing;
        let families = behind.join(" and ");
        let programming = Event {
            severity: Severity::Warning,
            reason: "ProgrammingFailed",
            action: "Programming",
            note: format!(
                "{families}: rules in the kernel are older than the cluster; see the log"
            ),
        };
        let recovered = Event {
            severity: Severity::Normal,
            reason: "ProgrammingRecovered",
            action: "Programming",
            note: "rules in the kernel are those of the cluster again".to_owned(),
        };
        let objects = Event {
            severity: Severity::Warning,
            reason: "ObjectsNotUsed",
            action: "Reading",
            note: format!(
                "{rejected} objects are not used, or not all of them; the log names them"
            ),
        };
        let mut events = Vec::new();
        events.extend(self.turned(!behind.is_empty(), programming, Some(recovered), now));
        events.extend(self.turned(*rejected > 0, objects, None, now));
        events
    }

    /// The event of an occasion that began or ended, unless its reason was told a moment ago.
    fn turned(
        &mut self,
        holds: bool,
        begins: Event,
        ends: Option<Event>,
        now: Instant,
    ) -> Option<Event> {
        let held = self.holding.insert(begins.reason, holds).unwrap_or(false);
        let event = match (held, holds) {
            (false, true) => begins,
            (true, false) => ends?,
            (true, true) | (false, false) => return None,
        };
        let told = self.told.get(event.reason);
        if told.is_some_and(|told| now.saturating_duration_since(*told) < QUIET) {
            return None;
        }
        self.told.insert(event.reason, now);
        Some(event)
    }
}

/// The event as the API has it; the Node's name stands for its UID, as with kube-proxy.
fn body(event: &Event, node: &NodeName, now: Timestamp) -> Value {
    let Event { severity, reason, action, note } = event;
    let now = now.round(Unit::Microsecond).unwrap_or(now);
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "podway-", "namespace": "default"},
        "eventTime": format!("{now:.6}"),
        "type": match severity { Severity::Normal => "Normal", Severity::Warning => "Warning" },
        "reason": reason,
        "action": action,
        "note": note,
        "regarding": {"kind": "Node", "name": node.as_str(), "uid": node.as_str()},
        "reportingController": CONTROLLER,
        "reportingInstance": node.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(events: &[Event]) -> Vec<&'static str> {
        events.iter().map(|event| event.reason).collect()
    }

    #[test]
    fn occasions_are_told_when_they_begin_and_end_and_not_again_and_again() {
        let (mut occasions, start) = (Occasions::default(), Instant::now());
        let well = Standing::default();
        let ill = Standing { behind: vec!["IPv6"], rejected: 0 };
        let mut look = |standing: &Standing, after: Duration| {
            reasons(&occasions.look(standing, start + after))
        };
        assert_eq!(look(&well, Duration::ZERO), [""; 0]);
        assert_eq!(look(&ill, LOOK), ["ProgrammingFailed"]);
        assert_eq!(look(&ill, LOOK * 2), [""; 0]);
        assert_eq!(look(&well, LOOK * 3), ["ProgrammingRecovered"]);
        assert_eq!(look(&ill, LOOK * 4), [""; 0], "told a moment ago");
        assert_eq!(look(&well, LOOK * 5), [""; 0]);
        assert_eq!(look(&ill, LOOK * 5 + QUIET), ["ProgrammingFailed"]);
        let rejected = Standing { rejected: 3, ..ill };
        assert_eq!(look(&rejected, QUIET * 2), ["ObjectsNotUsed"]);
    }

    #[test]
    fn an_event_is_about_the_node_and_has_microseconds() {
        let event =
            Event { severity: Severity::Warning, reason: "R", action: "A", note: "n".to_owned() };
        let now: Timestamp = "2026-01-31T12:00:00.123456789Z".parse().unwrap();
        let body = body(&event, &NodeName::new("node-1").unwrap(), now);
        assert_eq!(body["eventTime"], "2026-01-31T12:00:00.123457Z");
        assert_eq!(
            (&body["type"], &body["regarding"]["name"]),
            (&json!("Warning"), &json!("node-1"))
        );
    }

    #[test]
    fn events_that_cannot_be_told_do_not_pile_up() {
        let event =
            Event { severity: Severity::Normal, reason: "R", action: "A", note: String::new() };
        let mut waiting = vec![event; 20];
        forgo(&mut waiting);
        assert_eq!(waiting.len(), 8);
    }
}
