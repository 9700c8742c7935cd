//! Counts what plugins do with queries, under CoreDNS's names.

use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::Query;
use podway_dns_corefile::value::Zone;
use podway_dns_plugin::{acl, template};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{LabelText, qtype_label, qtype_place};

/// The counters of all plugins; clones share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageMetrics {
    acl_blocked: Family<ZoneLabels, Counter>,
    acl_filtered: Family<ZoneLabels, Counter>,
    acl_dropped: Family<ZoneLabels, Counter>,
    acl_allowed: Family<ViewLabels, Counter>,
    template_matches: Family<MatchLabels, Counter>,
    template_failures: Family<FailureLabels, Counter>,
    translated: Family<ServerLabels, Counter>,
    searches: Family<ServerLabels, Counter>,
    localhost: Counter,
    hosts_entries: Family<HostsLabels, Gauge>,
    hosts_reload: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: LabelText,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViewLabels {
    server: LabelText,
    view: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ZoneLabels {
    server: LabelText,
    zone: LabelText,
    view: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MatchLabels {
    server: LabelText,
    zone: LabelText,
    view: &'static str,
    class: String,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    server: LabelText,
    zone: LabelText,
    view: &'static str,
    class: String,
    r#type: &'static str,
    section: &'static str,
    template: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostsLabels {
    hostsfile: LabelText,
}

/// A zone of the configuration as a label.
fn label(zone: &Zone) -> LabelText {
    LabelText::from(&*zone.name().to_ascii())
}

impl StageMetrics {
    /// Makes the metrics visible in `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let zones = [
            ("blocked", &self.acl_blocked),
            ("filtered", &self.acl_filtered),
            ("dropped", &self.acl_dropped),
        ];
        for (what, family) in zones {
            let (name, help) = (format!("coredns_acl_{what}_requests"), format!("Queries {what}"));
            registry.register(name, help, family.clone());
        }
        registry.register(
            "coredns_acl_allowed_requests",
            "Queries that no rule keeps from being answered",
            self.acl_allowed.clone(),
        );
        registry.register(
            "coredns_template_matches",
            "Queries that a template was for",
            self.template_matches.clone(),
        );
        registry.register(
            "coredns_template_rr_failures",
            "Times that a template made no record",
            self.template_failures.clone(),
        );
        registry.register(
            "coredns_dns64_requests_translated",
            "Replies with IPv6 addresses made of IPv4 addresses",
            self.translated.clone(),
        );
        registry.register(
            "coredns_autopath_success",
            "Queries answered with what the rest of the client's search path finds",
            self.searches.clone(),
        );
        registry.register(
            "coredns_local_localhost_requests",
            "Queries for names below localhost",
            self.localhost.clone(),
        );
        registry.register(
            "coredns_hosts_entries",
            "Pairs of an address and a name",
            self.hosts_entries.clone(),
        );
        registry.register(
            "coredns_hosts_reload_timestamp_seconds",
            "When a hosts file was last read",
            self.hosts_reload.clone(),
        );
    }

    /// Records what `acl` decided at `server`.
    pub(crate) fn ruled(&self, server: &LabelText, ruling: &acl::Ruling<'_>) {
        let family = match ruling.decision {
            acl::Decision::Answer => {
                let labels = ViewLabels { server: server.clone(), view: "" };
                self.acl_allowed.get_or_create(&labels).inc();
                return;
            }
            acl::Decision::Block(_) => &self.acl_blocked,
            acl::Decision::Filter(_) => &self.acl_filtered,
            acl::Decision::Drop => &self.acl_dropped,
        };
        let zone = ruling.zone.map_or_else(|| LabelText::from(""), label);
        family.get_or_create(&ZoneLabels { server: server.clone(), zone, view: "" }).inc();
    }

    /// Records that a template was for `question`, and which of its records could not be made.
    pub(crate) fn matched(
        &self,
        server: &LabelText,
        question: &Query,
        found: &template::Matched<'_>,
    ) {
        let (server, zone) = (server.clone(), label(found.zone));
        let class = question.query_class.to_string();
        let r#type = qtype_label(qtype_place(Some(question.query_type)));
        if let Some((section, template)) = found.failed {
            let template = template.to_string();
            let (server, zone, class) = (server.clone(), zone.clone(), class.clone());
            let labels = FailureLabels { server, zone, view: "", class, r#type, section, template };
            self.template_failures.get_or_create(&labels).inc();
        }
        let labels = MatchLabels { server, zone, view: "", class, r#type };
        self.template_matches.get_or_create(&labels).inc();
    }

    /// Records a reply whose addresses were made of others.
    pub(crate) fn translated(&self, server: &LabelText) {
        self.translated.get_or_create(&ServerLabels { server: server.clone() }).inc();
    }

    /// Records a query that was answered by way of its client's search path.
    pub(crate) fn search_succeeded(&self, server: &LabelText) {
        self.searches.get_or_create(&ServerLabels { server: server.clone() }).inc();
    }

    /// Records a query for a name below `localhost`, which search paths make.
    pub(crate) fn asked_below_localhost(&self) {
        self.localhost.inc();
    }

    /// Records that a hosts file was read, and how much is known with it.
    pub(crate) fn hosts_read(&self, file: &str, entries: usize) {
        let labels = HostsLabels { hostsfile: LabelText::from(file) };
        self.hosts_entries.get_or_create(&labels).set(i64::try_from(entries).unwrap_or(i64::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.hosts_reload.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }
}
