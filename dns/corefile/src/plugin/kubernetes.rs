//! `kubernetes`: names of the cluster.

mod api;

use std::collections::BTreeSet;
use std::time::Duration;

use podway_cluster_model::label::Selector;
use podway_cluster_model::name::Namespace;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, number, one_of};
use api::Access;
pub use api::{ApiAccess, ApiLimits};

use crate::value::{Reach, Refusal, Ttl, Zone, duration, shown};

/// `kubernetes`: names of Services, endpoints and pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// The zones: names of the first forward one stand in PTR records.
    pub zones: Vec<Zone>,
    /// How the API server is reached.
    pub api: ApiAccess,
    /// How much is asked of it.
    pub limits: ApiLimits,
    /// Which namespaces have names.
    pub namespaces: NamespaceSelection,
    /// Labels that Services, EndpointSlices and pods must have.
    pub labels: Option<Selector>,
    /// Which names of pod addresses exist.
    pub pods: Pods,
    /// How endpoints without a host name are called.
    pub endpoint_names: EndpointNames,
    /// Whether endpoints are watched.
    pub endpoints: Endpoints,
    /// How long records live, 0..=3600 s.
    pub ttl: Ttl,
    /// For which names that do not exist the next plugin is asked.
    pub fallthrough: Reach,
    /// What a Service without ready endpoints is.
    pub empty_services: EmptyServices,
    /// Zones whose names come from imported Services.
    pub multicluster: Vec<Zone>,
    /// Whether endpoints can be asked for by topology zone.
    pub zonal: ZonalNames,
    /// How long the start waits for the first complete state.
    pub startup_timeout: Duration,
}

/// Which namespaces have names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NamespaceSelection {
    /// All.
    #[default]
    All,
    /// These.
    Only(BTreeSet<Namespace>),
    /// Those with labels.
    Labeled(Selector),
}

/// Which names `<address>.<namespace>.pod.<zone>` exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pods {
    /// None.
    #[default]
    Disabled,
    /// Every address in an existing namespace.
    Insecure,
    /// Those of pods that have the address.
    Verified,
}

/// How endpoints without a host name are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointNames {
    /// By their address.
    #[default]
    Address,
    /// By the name of their pod.
    PodName,
}

/// Whether endpoints are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endpoints {
    /// They are.
    #[default]
    Watched,
    /// They are not: headless Services have no names.
    Ignored,
}

/// What a Service with a cluster address and without ready endpoints is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyServices {
    /// A name like any other.
    #[default]
    Answered,
    /// No name.
    Ignored,
}

/// Whether endpoints can be asked for by topology zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZonalNames {
    /// They cannot.
    #[default]
    Off,
    /// By `<topology zone>.pin._zone.` and `.prefer._zone.` before a headless Service.
    On,
}

/// Options of `kubernetes`.
const OPTIONS: &[&str] = &[
    "endpoint URL",
    "tls CERT KEY CACERT",
    "kubeconfig FILE [CONTEXT]",
    "apiserver_qps NUMBER",
    "apiserver_burst NUMBER",
    "apiserver_max_inflight NUMBER",
    "namespaces NAMESPACE...",
    "namespace_labels SELECTOR",
    "labels SELECTOR",
    "pods disabled|insecure|verified",
    "endpoint_pod_names",
    "ttl SECONDS, 0..=3600",
    "noendpoints",
    "fallthrough [ZONE...]",
    "ignore empty_service",
    "multicluster ZONE...",
    "zonal",
    "startup_timeout DURATION",
];

/// Words of `pods`.
const PODS: &[(&str, Pods)] =
    &[("disabled", Pods::Disabled), ("insecure", Pods::Insecure), ("verified", Pods::Verified)];

impl Directive for Kubernetes {
    const FORM: &'static str = "kubernetes [ZONE...]";

    fn parse(mut line: Line<'_>, scope: Scope<'_>) -> Option<Self> {
        // The defaults of CoreDNS.
        let mut kubernetes = Self {
            zones: scope.zones_or_own(&mut line),
            api: ApiAccess::default(),
            limits: ApiLimits::default(),
            namespaces: NamespaceSelection::default(),
            labels: None,
            pods: Pods::default(),
            endpoint_names: EndpointNames::default(),
            endpoints: Endpoints::default(),
            ttl: Ttl::from_seconds(5),
            fallthrough: Reach::default(),
            empty_services: EmptyServices::default(),
            multicluster: Vec::new(),
            zonal: ZonalNames::default(),
            startup_timeout: Duration::from_secs(5),
        };
        let mut access = Access::default();
        for option in line.options(OPTIONS) {
            kubernetes.option(option, &mut access);
        }
        kubernetes.api = access.resolve(&line);
        kubernetes.check_together(&line);
        line.end();
        Some(kubernetes)
    }

    fn effects(&self, say: &mut Effects) {
        let zones = joined(&self.zones);
        say.line(format!("names of the cluster in {zones} are answered for {}", self.ttl));
        self.api.effects(say);
        self.limits.effects(say);
        match &self.namespaces {
            NamespaceSelection::All => {}
            NamespaceSelection::Only(only) => {
                say.line(format!("only the namespaces {} have names", joined(only)));
            }
            NamespaceSelection::Labeled(selector) => {
                say.line(format!("only namespaces with the labels {selector} have names"));
            }
        }
        if let Some(labels) = &self.labels {
            say.line(format!("only objects with the labels {labels} have names"));
        }
        say.line(match self.pods {
            Pods::Disabled => "addresses of pods have no names",
            Pods::Insecure => "any address in a namespace has the name of a pod",
            Pods::Verified => "addresses of pods have names",
        });
        let by_pod = self.endpoint_names == EndpointNames::PodName;
        say.line_if(by_pod, "endpoints are called by their pods");
        let ignored = self.endpoints == Endpoints::Ignored;
        say.line_if(ignored, "headless Services and endpoints have no names");
        let empty = self.empty_services == EmptyServices::Ignored;
        say.line_if(empty, "Services without ready endpoints have no names");
        if !self.multicluster.is_empty() {
            let zones = joined(&self.multicluster);
            say.line(format!("names in {zones} are those of imported Services"));
        }
        let zonal = self.zonal == ZonalNames::On;
        say.line_if(zonal, "endpoints of headless Services can be asked for by topology zone");
        if self.fallthrough != Reach::Nowhere {
            say.line(format!("names that do not exist fall through {}", self.fallthrough));
        }
        let wait = shown(self.startup_timeout);
        say.line(format!("the start waits {wait} for the cluster"));
    }
}

impl Kubernetes {
    /// Reads one option.
    fn option<'a>(&mut self, mut line: Line<'a>, access: &mut Access<'a>) {
        let name = line.name();
        match name.text.as_str() {
            "endpoint" | "tls" | "kubeconfig" => access.option(line),
            "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" => {
                self.limits.option(line)
            }
            "namespaces" => {
                let words = line.need_rest("namespace");
                let read = |word| line.check("namespace", word, namespace);
                let namespaces = words.iter().filter_map(read).collect();
                self.select(&line, NamespaceSelection::Only(namespaces));
                line.end();
            }
            "namespace_labels" => {
                if let Some(selector) = selector(&mut line) {
                    self.select(&line, NamespaceSelection::Labeled(selector));
                }
                line.end();
            }
            "labels" => {
                self.labels = selector(&mut line);
                line.end();
            }
            "pods" => line.set(&mut self.pods, "mode", one_of(PODS)),
            "endpoint_pod_names" => line.switch(&mut self.endpoint_names, EndpointNames::PodName),
            "ttl" => line
                .set(&mut self.ttl, "seconds", |text| number(0, 3600)(text).map(Ttl::from_seconds)),
            "noendpoints" => line.switch(&mut self.endpoints, Endpoints::Ignored),
            "fallthrough" => line.set_reach(&mut self.fallthrough),
            "ignore" => {
                let empty = one_of(&[("empty_service", EmptyServices::Ignored)]);
                line.set(&mut self.empty_services, "word", empty);
            }
            "multicluster" => {
                let words = line.rest();
                if words.is_empty() {
                    line.warn(name, "has no effect without a zone");
                }
                self.multicluster = line.zones(words);
                line.end();
            }
            "zonal" => line.switch(&mut self.zonal, ZonalNames::On),
            "startup_timeout" => line.set(&mut self.startup_timeout, "duration", duration),
            "upstream" | "resyncperiod" => line.warn(name, "has no effect any more"),
            "transfer" => line.unsupported(name, "transfer of zones", "no transfer"),
            _ => line.unknown(OPTIONS),
        }
    }

    /// Selects namespaces, by one of both ways only.
    fn select(&mut self, line: &Line<'_>, selection: NamespaceSelection) {
        use NamespaceSelection::{All, Labeled, Only};
        match (&mut self.namespaces, selection) {
            (Only(names), Only(more)) => names.extend(more),
            (Only(_), Labeled(_)) | (Labeled(_), Only(_)) => {
                let problem = "namespaces and namespace_labels do not go together";
                line.fault(line.name(), problem, "either of both");
            }
            (All | Labeled(_), selection) | (Only(_), selection @ All) => {
                self.namespaces = selection;
            }
        }
    }

    /// Finds options that do not go together.
    fn check_together(&self, line: &Line<'_>) {
        if self.zones.contains(&Zone::root()) {
            line.fault(
                line.name(),
                "the zone is the root of all names",
                "a zone such as cluster.local",
            );
        }
        let reverse_only = !self.zones.is_empty() && self.zones.iter().all(Zone::is_reverse);
        if reverse_only {
            line.fault(line.name(), "has only reverse zones", "one other zone or more");
        }
        if self.zonal == ZonalNames::On && self.endpoints == Endpoints::Ignored {
            line.fault(line.name(), "zonal and noendpoints do not go together", "either of both");
        }
        for zone in &self.multicluster {
            if !self.zones.contains(zone) {
                let problem = format!("multicluster zone {zone} is none of the plugin's zones");
                line.fault(line.name(), problem, &joined(&self.zones));
            }
        }
    }
}

/// Reads a namespace.
fn namespace(text: &str) -> Result<Namespace, Refusal> {
    Namespace::new(text).map_err(|error| {
        Refusal::new(format!("is no namespace: {error}"), "a name such as default")
    })
}

/// Reads the rest of the line as a label selector.
fn selector(line: &mut Line<'_>) -> Option<Selector> {
    let words = line.need_rest("selector");
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let text = texts.join(" ");
    line.check("selector", words.first()?, |_| {
        Selector::parse(&text).map_err(|error| Refusal::new(error.to_string(), Selector::FORM))
    })
}
