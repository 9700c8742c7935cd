//! What one imported Service contributes to the zones that have such (KEP-1645, "DNS").
//!
//! Names are those of a Service of this cluster, but for endpoints: `<hostname>.<cluster>` stands
//! before the Service, since host names are unique in one cluster only. Addresses lead to no name
//! here: those of the cluster set may belong to Services of this cluster as well.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podway_cluster_model::endpoint::{EndpointPort, EndpointSlice};
use podway_cluster_model::import::{ImportKind, Imported};
use podway_cluster_model::name::{Hostname, ServiceName};
use podway_cluster_model::port::Protocol;
use smallvec::SmallVec;

use crate::config::{EmptyServices, EndpointUse, ZonalNames, ZoneConfig};
use crate::endpoints::{Endpoints, ReadyEndpoint};
use crate::ports;
use crate::service::{Addresses, service_key};
use crate::table::Keyed;

/// Everything that questions about one imported Service need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportRecords {
    key: SmallVec<[u8; 40]>,
    /// Namespace and name.
    pub(crate) name: ServiceName,
    /// Its own ports, where it has addresses of its own.
    ports: Option<Box<[EndpointPort]>>,
    /// What its name resolves to.
    pub(crate) addresses: Addresses,
    /// The ready endpoints of each cluster that has any, in the order of the clusters' names.
    clusters: Box<[(Hostname, Endpoints)]>,
}

/// Where an SRV record of an import leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target<'i> {
    /// The import itself.
    Import,
    /// An endpoint of a cluster, by its label.
    Member(&'i Hostname, String),
}

impl Keyed for ImportRecords {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

impl ImportRecords {
    /// What `imported` contributes; `None` where the name does not exist.
    pub(crate) fn build(imported: &Imported, config: &ZoneConfig) -> Option<Self> {
        let import = imported.import.as_deref()?;
        if !config.selects(&import.labels) {
            return None;
        }
        let rules = config.service_rules();
        let mut slices: BTreeMap<&Hostname, Vec<&EndpointSlice>> = BTreeMap::new();
        if rules.endpoints == EndpointUse::Named {
            for slice in imported.slices.values() {
                if let Some(origin) = &slice.origin {
                    slices.entry(&origin.cluster).or_default().push(slice);
                }
            }
        }
        let clusters: Box<[(Hostname, Endpoints)]> = slices
            .into_iter()
            .map(|(cluster, slices)| {
                let rules = (rules.pod_names, ZonalNames::Off);
                (cluster.clone(), Endpoints::build(slices.into_iter(), rules))
            })
            .filter(|(_, endpoints)| !endpoints.is_empty())
            .collect();
        let (ports, addresses) = match &import.kind {
            ImportKind::ClusterSetIp(addresses) => {
                let ignored = rules.empty == EmptyServices::Ignored
                    && rules.endpoints == EndpointUse::Named
                    && clusters.is_empty();
                if ignored {
                    return None;
                }
                let ports = import.ports.clone().into_boxed_slice();
                (Some(ports), Addresses::new(addresses.iter().copied()))
            }
            // As with a Service of this cluster, there is no name without a ready endpoint.
            ImportKind::Headless if clusters.is_empty() => return None,
            ImportKind::Headless => {
                let endpoints = clusters.iter().flat_map(|(_, endpoints)| endpoints.ready());
                (None, Addresses::new(endpoints.map(|endpoint| endpoint.address)))
            }
        };
        let name = import.name.clone();
        let key = SmallVec::from_slice(&service_key(&name));
        Some(Self { key, name, ports, addresses, clusters })
    }

    /// Whether endpoints of a cluster have names.
    pub(crate) fn has_cluster(&self, cluster: &[u8]) -> bool {
        self.cluster(cluster).is_some()
    }

    fn cluster(&self, cluster: &[u8]) -> Option<&(Hostname, Endpoints)> {
        self.clusters.iter().find(|(name, _)| name.as_str().as_bytes() == cluster)
    }

    /// The endpoints of a cluster that answer to a lower-case label.
    pub(crate) fn named<'i>(
        &'i self,
        cluster: &[u8],
        label: &[u8],
    ) -> impl Iterator<Item = &'i ReadyEndpoint> {
        self.cluster(cluster).into_iter().flat_map(|(_, endpoints)| endpoints.named(label))
    }

    /// Whether a port of this name and protocol exists.
    pub(crate) fn has_port(&self, name: &[u8], protocol: Protocol) -> bool {
        ports::has(self.all_ports(), name, protocol)
    }

    /// Whether a named port of this protocol exists, so that names below the protocol's do.
    pub(crate) fn has_named_port(&self, protocol: Protocol) -> bool {
        ports::has_any(self.all_ports(), protocol)
    }

    /// The ports that names below the import can name; one may stand here twice.
    pub(crate) fn all_ports(&self) -> impl Iterator<Item = &EndpointPort> {
        let of_endpoints = self.ports.is_none().then_some(&self.clusters);
        let of_endpoints = of_endpoints.into_iter().flatten();
        let own = self.ports.iter().flatten();
        own.chain(of_endpoints.flat_map(|(_, endpoints)| endpoints.ports()))
    }

    /// The addresses of a port: its own, or those of the endpoints that have it.
    pub(crate) fn addresses_of(&self, name: &[u8], protocol: Protocol) -> Vec<IpAddr> {
        if self.ports.is_some() {
            return self.addresses.iter().collect();
        }
        let endpoints =
            self.clusters.iter().flat_map(|(_, endpoints)| endpoints.with_port(name, protocol));
        endpoints.map(|endpoint| endpoint.address).collect()
    }

    /// The ports that are asked, each with its target; one stands here as often as the target has
    /// addresses.
    pub(crate) fn targets(
        &self,
        is_asked: impl Fn(&EndpointPort) -> bool,
    ) -> Vec<(Target<'_>, u16)> {
        if let Some(ports) = &self.ports {
            let asked = ports.iter().filter(|port| is_asked(port));
            let one = |port: &EndpointPort| {
                let pair = (Target::Import, port.port.number());
                std::iter::repeat_n(pair, self.addresses.len())
            };
            return asked.flat_map(one).collect();
        }
        let all = self.clusters.iter().flat_map(|(cluster, endpoints)| {
            endpoints.ready().iter().map(move |endpoint| (cluster, endpoints, endpoint))
        });
        all.flat_map(|member| Self::ports_of(member, &is_asked)).collect()
    }

    /// The ports of the endpoints of a cluster that answer to a lower-case label.
    pub(crate) fn member_targets(&self, cluster: &[u8], label: &[u8]) -> Vec<(Target<'_>, u16)> {
        let members = self.cluster(cluster).into_iter().flat_map(|(cluster, endpoints)| {
            endpoints.named(label).map(move |endpoint| (cluster, endpoints, endpoint))
        });
        members.flat_map(|member| Self::ports_of(member, &|_| true)).collect()
    }

    fn ports_of<'i>(
        (cluster, endpoints, endpoint): (&'i Hostname, &'i Endpoints, &'i ReadyEndpoint),
        is_asked: &impl Fn(&EndpointPort) -> bool,
    ) -> Vec<(Target<'i>, u16)> {
        let asked = endpoints.ports_of(endpoint).iter().filter(|port| is_asked(port));
        asked.map(|port| (Target::Member(cluster, endpoint.label()), port.port.number())).collect()
    }

    /// The addresses of a target.
    pub(crate) fn addresses_at(&self, target: &Target<'_>) -> Vec<IpAddr> {
        match target {
            Target::Import => self.addresses.iter().collect(),
            Target::Member(cluster, label) => {
                let members = self.named(cluster.as_str().as_bytes(), label.as_bytes());
                members.map(|endpoint| endpoint.address).collect()
            }
        }
    }

    /// The clusters with their labels that endpoints answer to, in order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Hostname, String)> {
        self.clusters.iter().flat_map(|(cluster, endpoints)| {
            endpoints.labels().into_iter().map(move |label| (cluster, label))
        })
    }
}
