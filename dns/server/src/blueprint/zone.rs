//! `kubernetes` as the configuration of an index.

use std::time::Duration;

use hickory_proto::rr::Name;
use podway_dns_corefile::Place;
use podway_dns_corefile::plugin::{self, Kubernetes, NamespaceSelection};
use podway_dns_corefile::value::{Reach, Zone};
use podway_dns_zone::{
    ConfigError, EmptyServices, EndpointUse, Exposure, MissingPointer, PodMode, PodNames,
    ReverseZone, ServiceRules, Ttl, ZonalNames, ZoneConfig,
};

use super::reports::Reports;

/// What is meant where nothing is said, as in CoreDNS.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of the zones of `kubernetes`; `None` where something is wrong with it.
pub(super) fn config(
    kubernetes: &Kubernetes,
    place: &Place,
    reports: &Reports,
) -> Option<ZoneConfig> {
    note(kubernetes, place, reports);
    match convert(kubernetes) {
        Ok(config) => config,
        Err(error) => {
            reports.mistake(place, format!("kubernetes: {error}"), "");
            None
        }
    }
}

/// Names what has no effect.
fn note(kubernetes: &Kubernetes, place: &Place, reports: &Reports) {
    let Kubernetes { api, limits, startup_timeout, .. } = kubernetes;
    if *startup_timeout != STARTUP_TIMEOUT {
        let text = "kubernetes: startup_timeout has no effect: until the cluster is known its names are \
                    SERVFAIL, and /ready says so";
        reports.note(place, text);
    }
    if *api != plugin::ApiAccess::default() || *limits != plugin::ApiLimits::default() {
        let text = "kubernetes: the cluster is watched as the flags of podway say, so that how the \
                    API server is reached has no effect here";
        reports.note(place, text);
    }
}

/// The configuration; `None` where there is no zone of names.
fn convert(kubernetes: &Kubernetes) -> Result<Option<ZoneConfig>, ConfigError> {
    let (reverse, mut forward): (Vec<_>, Vec<_>) =
        kubernetes.zones.iter().partition(|zone| zone.is_reverse());
    // PTR records name the first zone, and it has to have the names of this cluster's Services.
    let imported = |zone: &&Zone| {
        kubernetes.multicluster.iter().any(|outer| outer.name().zone_of(zone.name()))
    };
    forward.sort_by_key(imported);
    let Some((primary, further)) = forward.split_first() else { return Ok(None) };
    let missing = |apex: &Name| {
        if kubernetes.fallthrough.covers(apex) {
            MissingPointer::NotOurs
        } else {
            MissingPointer::NxDomain
        }
    };
    let reverse = reverse
        .into_iter()
        .map(|zone| ReverseZone::new(&zone.name().to_ascii(), missing(zone.name())))
        .collect::<Result<Vec<_>, _>>()?;
    let mut config = ZoneConfig::new(&primary.name().to_ascii())?.with_reverse_zones(reverse)?;
    for zone in further {
        config = config.with_further_domain(&zone.name().to_ascii())?;
    }
    let root = [Name::root()];
    let shared: Vec<&Name> = match &kubernetes.fallthrough {
        Reach::Nowhere => Vec::new(),
        Reach::Everywhere => root.iter().collect(),
        Reach::Within(zones) => zones.iter().map(|zone| zone.name()).collect(),
    };
    let config = config
        .with_imported_zones(kubernetes.multicluster.iter().map(Zone::name))
        .with_fallthrough(shared)
        .with_ttl(Ttl::from_seconds(kubernetes.ttl.seconds())?)
        .with_pods(match kubernetes.pods {
            plugin::Pods::Disabled => PodMode::Disabled,
            plugin::Pods::Insecure => PodMode::Insecure,
            plugin::Pods::Verified => PodMode::Verified,
        })
        .with_service_rules(rules(kubernetes))
        .with_namespaces(match &kubernetes.namespaces {
            NamespaceSelection::All => Exposure::All,
            NamespaceSelection::Only(names) => Exposure::Only(names.clone()),
            NamespaceSelection::Labeled(selector) => Exposure::Labeled(selector.clone()),
        })
        .with_labels(kubernetes.labels.clone());
    Ok(Some(config))
}

/// How Services become names.
fn rules(kubernetes: &Kubernetes) -> ServiceRules {
    ServiceRules {
        pod_names: match kubernetes.endpoint_names {
            plugin::EndpointNames::Address => PodNames::Answered,
            plugin::EndpointNames::PodName => PodNames::Published,
        },
        endpoints: match kubernetes.endpoints {
            plugin::Endpoints::Watched => EndpointUse::Named,
            plugin::Endpoints::Ignored => EndpointUse::Ignored,
        },
        empty: match kubernetes.empty_services {
            plugin::EmptyServices::Answered => EmptyServices::Named,
            plugin::EmptyServices::Ignored => EmptyServices::Ignored,
        },
        zonal: match kubernetes.zonal {
            plugin::ZonalNames::Off => ZonalNames::Off,
            plugin::ZonalNames::On => ZonalNames::On,
        },
    }
}
