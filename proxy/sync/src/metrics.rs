//! What the sync loop counts, under kube-proxy's names where the meaning is the same.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use podway_proxy_nft::program::MAX_TRANSLATED_CLIENTS;
use podway_proxy_nft::transaction::{Change, Transaction};
use podway_proxy_plan::plan::Family;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labeled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::per_family::label;
use crate::tally::{NoLocalEndpoints, ObjectChanges, Tally};

/// All metrics of the sync loop; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    duration: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    full_duration: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    partial_duration: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    change_latency: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    last_sync: Labeled<FamilyLabel, Timestamp>,
    last_queued: Labeled<FamilyLabel, Timestamp>,
    failures: Labeled<FamilyLabel, Counter>,
    repairs: Labeled<FamilyLabel, Counter>,
    elements_written: Labeled<FamilyLabel, Counter>,
    forgetting: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    forgotten: Labeled<FamilyLabel, Counter>,
    forgetting_failures: Labeled<FamilyLabel, Counter>,
    service_changes: Counter,
    endpoint_changes: Counter,
    services: Gauge,
    frontends: Gauge,
    endpoints: Gauge,
    conflicts: Gauge,
    no_local_endpoints: Labeled<PolicyLabel, Gauge>,
    translated_clients: Labeled<FamilyLabel, Gauge>,
    programming: Labeled<FamilyLabel, Histogram, fn() -> Histogram>,
    services_pending: Gauge,
    slices_pending: Gauge,
    generation: Gauge,
    snapshot_time: Timestamp,
}

/// Seconds since the Unix epoch.
type Timestamp = Gauge<f64, AtomicU64>;

/// An address family as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FamilyLabel {
    ip_family: &'static str,
}

impl FamilyLabel {
    fn new(family: Family) -> Self {
        Self { ip_family: label(family) }
    }
}

/// A traffic policy and an address family as labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabel {
    traffic_policy: &'static str,
    ip_family: &'static str,
}

/// kube-proxy's buckets for how long the cluster's changes take, in seconds: a quarter to 300.
fn programming_latencies() -> Histogram {
    let seconds = |from: u32, to: u32, step: usize| (from..=to).step_by(step).map(f64::from);
    let fine = [0.25, 0.5].into_iter().chain(seconds(1, 59, 1));
    Histogram::new(fine.chain(seconds(60, 115, 5)).chain(seconds(120, 300, 30)))
}

/// kube-proxy's buckets for durations of syncs: 1 ms times powers of two.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// Buckets from 0.1 ms to 13 s: a small change takes less than kube-proxy's smallest bucket.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            duration: Labeled::new_with_constructor(durations),
            full_duration: Labeled::new_with_constructor(durations),
            partial_duration: Labeled::new_with_constructor(durations),
            change_latency: Labeled::new_with_constructor(latencies),
            last_sync: Labeled::default(),
            last_queued: Labeled::default(),
            failures: Labeled::default(),
            repairs: Labeled::default(),
            elements_written: Labeled::default(),
            forgetting: Labeled::new_with_constructor(durations),
            forgotten: Labeled::default(),
            forgetting_failures: Labeled::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            services: Gauge::default(),
            frontends: Gauge::default(),
            endpoints: Gauge::default(),
            conflicts: Gauge::default(),
            no_local_endpoints: Labeled::default(),
            translated_clients: Labeled::default(),
            programming: Labeled::new_with_constructor(programming_latencies),
            services_pending: Gauge::default(),
            slices_pending: Gauge::default(),
            generation: Gauge::default(),
            snapshot_time: Timestamp::default(),
        };
        // A counter that is absent until it first counts cannot be watched for its first count.
        for family in Family::ALL {
            let label = FamilyLabel::new(family);
            for counter in [
                &metrics.failures,
                &metrics.repairs,
                &metrics.elements_written,
                &metrics.forgotten,
                &metrics.forgetting_failures,
            ] {
                drop(counter.get_or_create(&label));
            }
        }
        metrics
    }
}

impl Metrics {
    /// Makes the metrics visible in `registry`, under names without a further prefix.
    pub fn register(&self, registry: &mut Registry) {
        self.register_kube_proxy(registry);
        self.register_own(registry);
        self.register_flows(registry);
        self.register_bypass(registry);
    }

    fn register_bypass(&self, registry: &mut Registry) {
        registry.register(
            "podway_bypass_translated_clients",
            "Pods that --conntrack-bypass keeps tracked because rules translate what they send",
            self.translated_clients.clone(),
        );
        let limit = Gauge::<i64>::default();
        limit.set(MAX_TRANSLATED_CLIENTS.into());
        registry.register(
            "podway_bypass_translated_clients_limit",
            "Most of them in a family; what rules translate for a pod that finds no room fails",
            limit,
        );
    }

    fn register_flows(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "Time one look at tracked flows took",
            self.forgetting.clone(),
        );
        registry.register(
            "kubeproxy_conntrack_reconciler_deleted_entries",
            "Tracked flows forgotten because their endpoint may not have them any more",
            self.forgotten.clone(),
        );
        registry.register(
            "podway_conntrack_failures",
            "Looks at tracked flows that failed and are tried again",
            self.forgetting_failures.clone(),
        );
    }

    fn register_kube_proxy(&self, registry: &mut Registry) {
        registry.register(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "Time one write to the kernel took",
            self.duration.clone(),
        );
        registry.register(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "Time one write of a whole table took",
            self.full_duration.clone(),
        );
        registry.register(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "Time one write of changed elements took",
            self.partial_duration.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "When the kernel was last brought up to date",
            self.last_sync.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "When a change was last seen",
            self.last_queued.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures",
            "Writes that the kernel refused",
            self.failures.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_service_changes",
            "Services that came, changed or went",
            self.service_changes.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_endpoint_changes",
            "EndpointSlices that came, changed or went",
            self.endpoint_changes.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_service_changes_pending",
            "Services that changed and whose change the kernel does not have",
            self.services_pending.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
            "EndpointSlices that changed and whose change the kernel does not have",
            self.slices_pending.clone(),
        );
        registry.register(
            "kubeproxy_network_programming_duration_seconds",
            "Time from a change of a Pod or Service, as its EndpointSlice tells it, to the kernel",
            self.programming.clone(),
        );
        registry.register(
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
            "Service ports with a Local traffic policy and endpoints on other nodes only",
            self.no_local_endpoints.clone(),
        );
    }

    fn register_own(&self, registry: &mut Registry) {
        registry.register(
            "podway_change_latency_seconds",
            "Time from the oldest change of a write, as it was seen, to the write's end",
            self.change_latency.clone(),
        );
        registry.register(
            "podway_table_repairs",
            "Times a table was put back after another process had touched it",
            self.repairs.clone(),
        );
        registry.register(
            "podway_elements_written",
            "Elements put into tables or taken out of them",
            self.elements_written.clone(),
        );
        registry.register(
            "podway_programmed_services",
            "Services with a frontend on this node",
            self.services.clone(),
        );
        registry.register(
            "podway_programmed_frontends",
            "Addresses and ports where Services are reached",
            self.frontends.clone(),
        );
        registry.register(
            "podway_programmed_endpoints",
            "Endpoints that serve, once for each Service port and family",
            self.endpoints.clone(),
        );
        registry.register(
            "podway_frontend_conflicts",
            "Frontends that a Service port wants and another has",
            self.conflicts.clone(),
        );
        registry.register(
            "podway_snapshot_generation",
            "Number of the newest snapshot of the cluster",
            self.generation.clone(),
        );
        registry.register(
            "podway_snapshot_timestamp_seconds",
            "When the newest snapshot of the cluster came",
            self.snapshot_time.clone(),
        );
    }

    /// A snapshot came.
    pub(crate) fn snapshot(&self, generation: u64, objects: ObjectChanges, now: SystemTime) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.snapshot_time.set(unix_seconds(now));
        self.service_changes.inc_by(objects.services);
        self.endpoint_changes.inc_by(objects.slices);
        self.services_pending.inc_by(i64::try_from(objects.services).unwrap_or(i64::MAX));
        self.slices_pending.inc_by(i64::try_from(objects.slices).unwrap_or(i64::MAX));
    }

    /// The kernel has every change.
    pub(crate) fn nothing_pending(&self) {
        self.services_pending.set(0);
        self.slices_pending.set(0);
    }

    /// The kernel has changes of the cluster that took so long.
    pub(crate) fn programmed(&self, family: Family, took: &[Duration]) {
        for took in took {
            let label = FamilyLabel::new(family);
            self.programming.get_or_create(&label).observe(took.as_secs_f64());
        }
    }

    /// A change concerns `family`.
    pub(crate) fn queued(&self, family: Family, now: SystemTime) {
        self.last_queued.get_or_create(&FamilyLabel::new(family)).set(unix_seconds(now));
    }

    /// The plan has this much in it.
    pub(crate) fn planned(&self, tally: Tally) {
        let Tally { services, frontends, endpoints, conflicts, no_local_endpoints } = tally;
        for (family, NoLocalEndpoints { internal, external }) in no_local_endpoints.iter() {
            for (traffic_policy, ports) in [("internal", internal), ("external", external)] {
                let label = PolicyLabel { traffic_policy, ip_family: label(family) };
                let gauge = self.no_local_endpoints.get_or_create(&label);
                gauge.set(i64::try_from(*ports).unwrap_or(i64::MAX));
            }
        }
        for (gauge, value) in [
            (&self.services, services),
            (&self.frontends, frontends),
            (&self.endpoints, endpoints),
            (&self.conflicts, conflicts),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    /// So many pods of `family` are kept tracked because rules translate what they send, if that is
    /// known.
    pub(crate) fn translated(&self, family: Family, clients: Option<u32>) {
        let label = FamilyLabel::new(family);
        match clients {
            Some(clients) => {
                self.translated_clients.get_or_create(&label).set(clients.into());
            }
            None => drop(self.translated_clients.remove(&label)),
        }
    }

    /// `transaction` was written.
    pub(crate) fn written(&self, transaction: &Transaction, took: Duration) {
        let label = FamilyLabel::new(transaction.family);
        let kind = match transaction.change {
            Change::Replace { .. } => &self.full_duration,
            Change::Elements { .. } => &self.partial_duration,
        };
        for histogram in [kind, &self.duration] {
            histogram.get_or_create(&label).observe(took.as_secs_f64());
        }
        let elements = u64::try_from(transaction.elements()).unwrap_or(u64::MAX);
        self.elements_written.get_or_create(&label).inc_by(elements);
    }

    /// The kernel has everything of `family`; the oldest change of it was seen at `since`.
    pub(crate) fn in_step(&self, family: Family, since: Option<Instant>, now: SystemTime) {
        let label = FamilyLabel::new(family);
        self.last_sync.get_or_create(&label).set(unix_seconds(now));
        if let Some(since) = since {
            self.change_latency.get_or_create(&label).observe(since.elapsed().as_secs_f64());
        }
    }

    /// The kernel refused a write.
    pub(crate) fn failed(&self, family: Family) {
        self.failures.get_or_create(&FamilyLabel::new(family)).inc();
    }

    /// Tracked flows of `family` were looked at, and so many of them forgotten.
    pub(crate) fn forgot(&self, family: Family, flows: usize, took: Duration) {
        let label = FamilyLabel::new(family);
        self.forgetting.get_or_create(&label).observe(took.as_secs_f64());
        let flows = u64::try_from(flows).unwrap_or(u64::MAX);
        self.forgotten.get_or_create(&label).inc_by(flows);
    }

    /// Tracked flows of `family` could not be looked at.
    pub(crate) fn forgetting_failed(&self, family: Family) {
        self.forgetting_failures.get_or_create(&FamilyLabel::new(family)).inc();
    }

    /// A table was found touched by somebody else and is being put back.
    pub(crate) fn repaired(&self, family: Family) {
        self.repairs.get_or_create(&FamilyLabel::new(family)).inc();
    }
}

/// A time as Prometheus wants it; 0 before the epoch.
fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
