//! Which zones are answered, which names exist in them, and how long records live.
//!
//! The options are those of CoreDNS's `kubernetes` plugin. Reading them from a file or from flags is
//! up to the caller; a configuration that exists is valid.

use hickory_proto::ProtoError;
use hickory_proto::rr::Name;
use podway_cluster_model::label::{LabelKeys, Labels, Selector};
use podway_cluster_model::name::{NameError, ServiceName};
use thiserror::Error;

use crate::qname::QName;
use crate::search::SearchPaths;
use crate::service::{ServiceKey, service_key};
use crate::zones::{MissingPointer, ReverseZone, Zone, ZoneKind};

mod rules;

pub use self::rules::{
    EmptyServices, EndpointUse, Exposure, PodMode, PodNames, ServiceRules, ZonalNames,
};

/// Why a configuration cannot be.
#[derive(Debug, Clone, Error)]
pub enum ConfigError {
    /// The text is no domain name.
    #[error("zone {text:?} is no domain name")]
    Malformed {
        /// The text found.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ProtoError,
    },
    /// The root cannot be a zone of ours.
    #[error("zone {text:?} is the root of the name space")]
    Root {
        /// The text found.
        text: String,
    },
    /// Names below the zone would not fit in 255 octets.
    #[error("zone {text:?} leaves no room for the names below it")]
    TooLong {
        /// The text found.
        text: String,
    },
    /// A reverse zone outside `in-addr.arpa` and `ip6.arpa`, or a forward zone inside.
    #[error("zone {text:?} is not what it should be: {expected}")]
    WrongTree {
        /// The text found.
        text: String,
        /// Where the zone should be.
        expected: &'static str,
    },
    /// The same zone twice.
    #[error("zone {text:?} is given twice")]
    Duplicate {
        /// The text found.
        text: String,
    },
    /// A time to live out of range.
    #[error("ttl {seconds} is not in 0..=3600")]
    Ttl {
        /// The seconds found.
        seconds: u32,
    },
    /// The name of the name-server Service is malformed.
    #[error("name of the name-server Service is malformed")]
    Nameserver {
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
}

/// How long a record may be kept, in whole seconds, 0..=3600.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// Longest time that cluster records may be kept: 1 h, the limit of the `kubernetes` plugin.
    const MAX_SECONDS: u32 = 3600;

    /// Checks the range and makes the time.
    ///
    /// # Errors
    /// [`ConfigError::Ttl`]: over an hour.
    pub const fn from_seconds(seconds: u32) -> Result<Self, ConfigError> {
        if seconds > Self::MAX_SECONDS {
            return Err(ConfigError::Ttl { seconds });
        }
        Ok(Self(seconds))
    }

    /// The time in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for Ttl {
    /// 5 s: the plugin's default; short enough that a client follows a rollout.
    fn default() -> Self {
        Self(5)
    }
}

/// Everything that is fixed about the zones; valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneConfig {
    /// The forward zone that PTR records name.
    primary: Zone,
    /// Every other zone, forward and reverse.
    others: Vec<Zone>,
    /// Zones in which a name that does not exist may be somebody else's.
    shared: Vec<QName>,
    ttl: Ttl,
    pods: PodMode,
    services: ServiceRules,
    namespaces: Exposure,
    labels: Option<Selector>,
    nameserver: ServiceName,
    nameserver_key: ServiceKey,
    search_paths: Option<SearchPaths>,
}

impl ZoneConfig {
    /// The configuration of the usual cluster, with `domain` as its zone.
    ///
    /// All reverse zones with [`MissingPointer::NotOurs`], [`PodMode::Insecure`],
    /// [`PodNames::Answered`], every namespace, a TTL of 5 s, and the Service `kube-system/kube-dns` as name server.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with `domain`.
    pub fn new(domain: &str) -> Result<Self, ConfigError> {
        let nameserver = ServiceName::new("kube-system", "kube-dns")
            .map_err(|source| ConfigError::Nameserver { source })?;
        Self {
            primary: Zone::forward(domain)?,
            others: Vec::new(),
            shared: Vec::new(),
            ttl: Ttl::default(),
            pods: PodMode::default(),
            services: ServiceRules::default(),
            namespaces: Exposure::default(),
            labels: None,
            nameserver_key: service_key(&nameserver),
            nameserver,
            search_paths: None,
        }
        .with_reverse_zones([
            ReverseZone::new("in-addr.arpa", MissingPointer::NotOurs)?,
            ReverseZone::new("ip6.arpa", MissingPointer::NotOurs)?,
        ])
    }

    /// Adds a zone in which every name exists as in the first; PTR records name the first only.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with `domain`.
    pub fn with_further_domain(mut self, domain: &str) -> Result<Self, ConfigError> {
        let zone = Zone::forward(domain)?;
        self.refuse_duplicate(&zone)?;
        self.others.push(zone);
        Ok(self)
    }

    /// Makes those forward zones that are in one of `zones` have names of imported Services instead
    /// (`multicluster` in CoreDNS).
    #[must_use]
    pub fn with_imported_zones<'n>(mut self, zones: impl IntoIterator<Item = &'n Name>) -> Self {
        let imported: Vec<_> = zones.into_iter().map(QName::new).collect();
        for zone in std::iter::once(&mut self.primary).chain(&mut self.others) {
            let is_imported = imported.iter().any(|outer| zone.lowered.is_within(outer));
            if zone.kind == ZoneKind::Forward && is_imported {
                zone.kind = ZoneKind::Imported;
            }
        }
        self
    }

    /// Replaces the reverse zones.
    ///
    /// # Errors
    /// [`ConfigError::Duplicate`]: two of them are the same.
    pub fn with_reverse_zones(
        mut self,
        zones: impl IntoIterator<Item = ReverseZone>,
    ) -> Result<Self, ConfigError> {
        self.others.retain(|zone| !matches!(zone.kind, ZoneKind::Reverse(_)));
        for zone in zones.into_iter().map(Zone::from) {
            self.refuse_duplicate(&zone)?;
            self.others.push(zone);
        }
        Ok(self)
    }

    /// Replaces the zones in which a name that does not exist is [`Answer::NotOurs`], so that others
    /// can be asked (`fallthrough` in CoreDNS); the root stands for all names.
    ///
    /// Names without data of the type asked exist, and stay ours.
    ///
    /// [`Answer::NotOurs`]: crate::Answer::NotOurs
    #[must_use]
    pub fn with_fallthrough<'n>(self, zones: impl IntoIterator<Item = &'n Name>) -> Self {
        Self { shared: zones.into_iter().map(QName::new).collect(), ..self }
    }

    /// Replaces the time to live.
    #[must_use]
    pub fn with_ttl(self, ttl: Ttl) -> Self {
        Self { ttl, ..self }
    }

    /// Replaces the mode of pod names.
    #[must_use]
    pub fn with_pods(self, pods: PodMode) -> Self {
        Self { pods, ..self }
    }

    /// Replaces what pod names are to endpoints.
    #[must_use]
    pub fn with_pod_names(self, pod_names: PodNames) -> Self {
        Self { services: ServiceRules { pod_names, ..self.services }, ..self }
    }

    /// Replaces how Services become names.
    #[must_use]
    pub fn with_service_rules(self, services: ServiceRules) -> Self {
        Self { services, ..self }
    }

    /// Replaces whether endpoints can be asked for by topology zone.
    #[must_use]
    pub fn with_zonal_names(self, zonal: ZonalNames) -> Self {
        Self { services: ServiceRules { zonal, ..self.services }, ..self }
    }

    /// Replaces which namespaces have names.
    #[must_use]
    pub fn with_namespaces(self, namespaces: Exposure) -> Self {
        Self { namespaces, ..self }
    }

    /// Replaces which Services and pods have names: those whose labels are selected.
    #[must_use]
    pub fn with_labels(self, labels: Option<Selector>) -> Self {
        Self { labels, ..self }
    }

    /// Replaces the Service that NS records name.
    #[must_use]
    pub fn with_nameserver(self, nameserver: ServiceName) -> Self {
        Self { nameserver_key: service_key(&nameserver), nameserver, ..self }
    }

    /// Replaces whose search paths are walked.
    #[must_use]
    pub fn with_search_paths(self, search_paths: Option<SearchPaths>) -> Self {
        Self { search_paths, ..self }
    }

    /// Whose search paths are walked, if any are.
    #[must_use]
    pub fn search_paths(&self) -> Option<&SearchPaths> {
        self.search_paths.as_ref()
    }

    /// The apex of the primary zone, in the configured spelling.
    #[must_use]
    pub fn domain(&self) -> &Name {
        &self.primary.apex
    }

    /// The time to live of records.
    #[must_use]
    pub fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// The mode of pod names.
    #[must_use]
    pub fn pods(&self) -> PodMode {
        self.pods
    }

    /// How Services become names.
    #[must_use]
    pub fn service_rules(&self) -> ServiceRules {
        self.services
    }

    /// Which namespaces have names.
    #[must_use]
    pub fn namespaces(&self) -> &Exposure {
        &self.namespaces
    }

    /// Whether a Service or a pod with these labels has names.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.labels.as_ref().is_none_or(|selector| selector.matches(labels))
    }

    /// Whether there are names of imported Services.
    #[must_use]
    pub fn has_imports(&self) -> bool {
        self.zones().any(|zone| zone.kind == ZoneKind::Imported)
    }

    /// Whether there are names of this cluster's own Services.
    pub(crate) fn has_services(&self) -> bool {
        self.zones().any(|zone| zone.kind == ZoneKind::Forward)
    }

    /// The labels that have to be known, before it is known what has names.
    #[must_use]
    pub fn label_keys(&self) -> LabelKeys {
        let of_namespaces = match &self.namespaces {
            Exposure::All | Exposure::Only(_) => None,
            Exposure::Labeled(selector) => Some(selector),
        };
        let selectors = self.labels.iter().chain(of_namespaces);
        selectors.fold(LabelKeys::default(), |keys, selector| keys.union(&selector.keys()))
    }

    /// The Service that NS records name.
    #[must_use]
    pub fn nameserver(&self) -> &ServiceName {
        &self.nameserver
    }

    /// The key of that Service.
    pub(crate) fn nameserver_key(&self) -> &[u8] {
        &self.nameserver_key
    }

    /// All zones, the primary one first.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &Zone> {
        std::iter::once(&self.primary).chain(&self.others)
    }

    /// The innermost zone that `name` is in.
    pub(crate) fn zone_of(&self, name: &QName) -> Option<&Zone> {
        self.zones()
            .filter(|zone| name.is_within(&zone.lowered))
            .max_by_key(|zone| zone.lowered.label_count())
    }

    /// Whether others are asked for `name` where it does not exist.
    pub(crate) fn falls_through(&self, name: &QName) -> bool {
        self.shared.iter().any(|zone| name.is_within(zone))
    }

    fn refuse_duplicate(&self, zone: &Zone) -> Result<(), ConfigError> {
        if self.zones().any(|other| other.lowered == zone.lowered) {
            return Err(ConfigError::Duplicate { text: zone.apex.to_ascii() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_must_be_a_name_below_the_root() {
        assert!(matches!(ZoneConfig::new("a..b"), Err(ConfigError::Malformed { .. })));
        assert!(matches!(ZoneConfig::new(&"a".repeat(64)), Err(ConfigError::Malformed { .. })));
        assert!(matches!(ZoneConfig::new("."), Err(ConfigError::Root { .. })));
        assert!(matches!(ZoneConfig::new(""), Err(ConfigError::Root { .. })));
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(59)].join(".");
        assert!(matches!(ZoneConfig::new(&long), Err(ConfigError::TooLong { .. })));
    }

    #[test]
    fn zone_may_end_in_a_dot_and_keeps_its_spelling() {
        for text in ["Cluster.Local", "Cluster.Local."] {
            assert_eq!(ZoneConfig::new(text).unwrap().domain().to_ascii(), "Cluster.Local.");
        }
    }

    #[test]
    fn forward_and_reverse_zones_are_in_their_own_trees() {
        assert!(matches!(ZoneConfig::new("10.IN-ADDR.arpa"), Err(ConfigError::WrongTree { .. })));
        assert!(matches!(
            ReverseZone::new("cluster.local", MissingPointer::NxDomain),
            Err(ConfigError::WrongTree { .. })
        ));
    }

    #[test]
    fn zone_is_given_once() {
        let config = ZoneConfig::new("cluster.local").unwrap();
        assert!(matches!(
            config.clone().with_further_domain("CLUSTER.local."),
            Err(ConfigError::Duplicate { .. })
        ));
        let twice = || ReverseZone::new("ip6.arpa", MissingPointer::NotOurs).unwrap();
        assert!(matches!(
            config.with_reverse_zones([twice(), twice()]),
            Err(ConfigError::Duplicate { .. })
        ));
    }

    #[test]
    fn ttl_is_at_most_an_hour() {
        assert!(Ttl::from_seconds(3600).is_ok());
        assert!(matches!(Ttl::from_seconds(3601), Err(ConfigError::Ttl { seconds: 3601 })));
    }
}
