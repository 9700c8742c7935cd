//! What becomes of pods, endpoints, Services and namespaces.

use std::collections::BTreeSet;

use podway_cluster_model::label::{Labels, Selector};
use podway_cluster_model::name::Namespace;

/// Which names `<address>.<namespace>.pod.<zone>` exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodMode {
    /// None.
    Disabled,
    /// Every address in an existing namespace, whether or not a pod has it.
    ///
    /// Lets any client obtain a name for any address; it is the default because pods of existing
    /// clusters count on it.
    #[default]
    Insecure,
    /// Those of pods that have the address.
    Verified,
}

/// What the name of a pod (`targetRef`) is to an endpoint without a host name.
///
/// An endpoint with a host name is known by that alone. One without always answers to its dashed
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodNames {
    /// Nothing: only the dashed address is a name, as in CoreDNS without `endpoint_pod_names`.
    Unused,
    /// One more name with addresses; SRV and PTR records keep naming the dashed address, so that
    /// whoever compares them with another server's sees no difference.
    #[default]
    Answered,
    /// The name that SRV and PTR records give, as in CoreDNS with `endpoint_pod_names`.
    Published,
}

/// Whether endpoints have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointUse {
    /// They have, and headless Services are made of them.
    #[default]
    Named,
    /// They have not, nor have headless Services (`noendpoints` in CoreDNS).
    Ignored,
}

/// What a Service with an address of its own and without ready endpoints is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EmptyServices {
    /// A name like any other.
    #[default]
    Named,
    /// No name (`ignore empty_service` in CoreDNS).
    Ignored,
}

/// How Services become names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceRules {
    /// What the name of a pod is to an endpoint.
    pub pod_names: PodNames,
    /// Whether endpoints have names.
    pub endpoints: EndpointUse,
    /// What a Service without ready endpoints is.
    pub empty: EmptyServices,
    /// Whether endpoints can be asked for by topology zone.
    pub zonal: ZonalNames,
}

/// Whether endpoints of headless Services can be asked for by topology zone.
///
/// `<topology zone>.pin._zone.<service>.<namespace>.svc.<zone>` has those of the topology zone, and
/// with `prefer` for `pin` all where there are none in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZonalNames {
    /// There are no such names.
    #[default]
    Off,
    /// They can.
    On,
}

/// Which namespaces have names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Exposure {
    /// All that exist.
    #[default]
    All,
    /// Those listed, when they exist.
    Only(BTreeSet<Namespace>),
    /// Those whose labels are selected, when they exist.
    Labeled(Selector),
}

impl Exposure {
    /// Whether names of `namespace` may exist, whatever its labels.
    #[must_use]
    pub fn includes(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All | Self::Labeled(_) => true,
            Self::Only(listed) => listed.contains(namespace),
        }
    }

    /// Whether a namespace with these labels has names, if it may have any.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        match self {
            Self::All | Self::Only(_) => true,
            Self::Labeled(selector) => selector.matches(labels),
        }
    }
}
