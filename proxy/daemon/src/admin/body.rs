//! Bodies of `/healthz` and `/livez`, field by field as kube-proxy 1.33 and later send them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use podway_cluster_model::node::Eligibility;
use podway_proxy_sync::health::FamilyReport;
use podway_proxy_sync::per_family::{PerFamily, label};
use serde::Serialize;

/// How the node is doing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    /// The oldest of the families' times.
    last_updated: String,
    current_time: String,
    /// Absent from `/livez`.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    /// Whether all families are.
    pub(super) healthy: bool,
    status: BTreeMap<&'static str, Family>,
}

/// How one family is doing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    last_updated: String,
    healthy: bool,
}

impl Health {
    /// The body at `now`; a healthy family counts as updated now, as it always did with kube-proxy.
    pub(super) fn new(
        report: PerFamily<FamilyReport>,
        now: SystemTime,
        eligibility: Option<Eligibility>,
    ) -> Self {
        let updated = |report: &FamilyReport| if report.healthy { now } else { report.updated };
        let oldest = report.iter().map(|(_, report)| updated(report)).min().unwrap_or(now);
        let family = |report: &FamilyReport| Family {
            last_updated: rfc3339(updated(report)),
            healthy: report.healthy,
        };
        Self {
            last_updated: rfc3339(oldest),
            current_time: rfc3339(now),
            node_eligible: eligibility.map(|eligibility| eligibility == Eligibility::Eligible),
            healthy: report.iter().all(|(_, report)| report.healthy),
            status: report.iter().map(|(name, report)| (label(name), family(report))).collect(),
        }
    }
}

/// A time with nanoseconds, in UTC; the epoch where the clock is out of all range.
fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or_default().to_string()
}
