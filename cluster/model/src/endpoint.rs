//! `EndpointSlice`s and their endpoints.
//!
//! A slice is kept as the API gives it: its own ports for all of its endpoints. Merging the slices
//! of a Service is up to the reader, since the proxy and DNS merge differently.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::import::SliceOrigin;
use crate::name::{Hostname, LocalName, NodeName, ObjectName, PortName, ServiceName};
use crate::port::{Port, Protocol};

/// One `EndpointSlice` of address type IPv4 or IPv6.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// Namespace and name of the slice.
    pub name: ObjectName,
    /// The Service it belongs to (label `kubernetes.io/service-name`); `None` where it was imported
    /// and serves no Service of this cluster.
    pub service: Option<ServiceName>,
    /// What it was imported for, if it was and somebody wants to know.
    pub origin: Option<Arc<SliceOrigin>>,
    /// Ports of every endpoint in the slice.
    pub ports: Vec<EndpointPort>,
    /// The endpoints, all of one address family.
    pub endpoints: Endpoints,
}

/// The endpoints of a slice: one list for everybody who keeps the slice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoints(Arc<[Endpoint]>);

impl Deref for Endpoints {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.0
    }
}

/// Copies a list that somebody else has too.
impl DerefMut for Endpoints {
    fn deref_mut(&mut self) -> &mut [Endpoint] {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<Endpoint>> for Endpoints {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        Self(endpoints.into())
    }
}

impl FromIterator<Endpoint> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self(endpoints.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Endpoints {
    type Item = &'a Endpoint;
    type IntoIter = std::slice::Iter<'a, Endpoint>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One port of a slice: where the endpoints listen for a Service port of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPort {
    /// Name of the Service port; empty for an unnamed one.
    pub name: PortName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port at the endpoint.
    pub port: Port,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address (`addresses[0]`; the API gives the others no meaning).
    pub address: IpAddr,
    /// Whether it may get traffic.
    pub condition: Condition,
    /// Host name under the Service, when the pod claims one.
    pub hostname: Option<Hostname>,
    /// Node it runs on, when known.
    pub node: Option<NodeName>,
    /// Name of the Pod behind it (`targetRef` of kind Pod).
    pub pod: Option<LocalName>,
    /// Zone it runs in.
    pub zone: Option<Arc<str>>,
    /// Who should prefer it.
    pub hints: Hints,
}

/// Whether an endpoint may get traffic: `ready`, `serving` and `terminating` of the API as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Ready. (`publishNotReadyAddresses` makes every endpoint so.)
    Ready {
        /// Also on its way out; only with `publishNotReadyAddresses`.
        terminating: bool,
    },
    /// On its way out but still answering: used when no endpoint is ready (KEP-1669).
    ServingTerminating,
    /// Not to be used: neither ready nor both serving and terminating.
    NotReady,
}

impl Condition {
    /// Combines the conditions of the API; absent ones mean ready, serving, not terminating.
    #[must_use]
    pub fn from_api(ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>) -> Self {
        let ready = ready.unwrap_or(true);
        let terminating = terminating.unwrap_or(false);
        // An absent `serving` follows the API documentation: treat as true.
        let serving = serving.unwrap_or(true);
        match (ready, serving && terminating) {
            (true, _) => Self::Ready { terminating },
            (false, true) => Self::ServingTerminating,
            (false, false) => Self::NotReady,
        }
    }

    /// Whether new connections may be sent to it.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Whether it is on its way out.
    #[must_use]
    pub const fn is_terminating(self) -> bool {
        matches!(self, Self::Ready { terminating: true } | Self::ServingTerminating)
    }
}

/// Topology hints of an endpoint: nothing where it has none, and one copy for all that have the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "HintSets", into = "HintSets")]
pub struct Hints(Option<Arc<HintSets>>);

/// What an endpoint without hints shows.
static NO_HINTS: HintSets = HintSets { zones: BTreeSet::new(), nodes: BTreeSet::new() };

impl Hints {
    /// Those for these zones and nodes.
    #[must_use]
    pub fn new(zones: BTreeSet<Arc<str>>, nodes: BTreeSet<NodeName>) -> Self {
        HintSets { zones, nodes }.into()
    }

    /// The shared sets, to be replaced by equal ones.
    pub(crate) const fn shared_mut(&mut self) -> Option<&mut Arc<HintSets>> {
        self.0.as_mut()
    }
}

impl Deref for Hints {
    type Target = HintSets;

    fn deref(&self) -> &HintSets {
        self.0.as_deref().unwrap_or(&NO_HINTS)
    }
}

impl From<HintSets> for Hints {
    fn from(sets: HintSets) -> Self {
        Self((sets != NO_HINTS).then(|| Arc::new(sets)))
    }
}

impl From<Hints> for HintSets {
    fn from(hints: Hints) -> Self {
        Self::clone(&hints)
    }
}

/// Whom topology hints name (KEP-2433, KEP-3015).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct HintSets {
    /// Zones whose clients should prefer it; empty where it has no zone hint.
    pub zones: BTreeSet<Arc<str>>,
    /// Nodes whose clients should prefer it; empty where it has no node hint.
    pub nodes: BTreeSet<NodeName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_conditions_mean_ready() {
        assert_eq!(Condition::from_api(None, None, None), Condition::Ready { terminating: false });
    }

    #[test]
    fn terminating_endpoint_serves_only_while_serving() {
        assert_eq!(
            Condition::from_api(Some(false), Some(true), Some(true)),
            Condition::ServingTerminating
        );
        assert_eq!(Condition::from_api(Some(false), Some(false), Some(true)), Condition::NotReady);
        assert_eq!(Condition::from_api(Some(false), Some(true), Some(false)), Condition::NotReady);
    }
}
