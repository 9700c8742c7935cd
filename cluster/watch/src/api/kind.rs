//! What is watched: one resource of the API for each kind of objects.
//!
//! kube-proxy's selectors leave out headless Services, their slices, and Services of other proxies.
//! DNS answers for all of these, so only the Node and the Pods are selected by the server: this
//! node's own.

use podway_cluster_model::name::NodeName;

use crate::rejection::ObjectKind;
use crate::wanted::Extras;

/// How the server names the objects of a kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource {
    /// `apiVersion` of an object, which lists leave out.
    pub(super) api_version: &'static str,
    /// `kind` of an object, which lists leave out.
    pub(super) kind: &'static str,
    /// Where all of them are found.
    pub(super) path: &'static str,
    /// Where servers have them that do not know that one.
    pub(super) older_path: Option<&'static str>,
    /// Name in rules of RBAC.
    pub(super) resource: &'static str,
}

/// What it means that the server refuses to show a kind, or does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Without it there is no view of the cluster.
    Required,
    /// The view does without.
    Optional,
    /// The view does not wait for it, and has it only where somebody asks.
    Extra,
}

/// The resource of `kind`.
pub(super) const fn resource(of: ObjectKind) -> Resource {
    let (api_version, kind, path, resource) = match of {
        ObjectKind::Service => ("v1", "Service", "/api/v1/services", "services"),
        ObjectKind::EndpointSlice => (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "/apis/discovery.k8s.io/v1/endpointslices",
            "endpointslices.discovery.k8s.io",
        ),
        ObjectKind::Import => (
            "multicluster.x-k8s.io/v1beta1",
            "ServiceImport",
            "/apis/multicluster.x-k8s.io/v1beta1/serviceimports",
            "serviceimports.multicluster.x-k8s.io",
        ),
        ObjectKind::Namespace => ("v1", "Namespace", "/api/v1/namespaces", "namespaces"),
        ObjectKind::Node => ("v1", "Node", "/api/v1/nodes", "nodes"),
        ObjectKind::Pod => ("v1", "Pod", "/api/v1/pods", "pods"),
        ObjectKind::ServiceCidr => (
            "networking.k8s.io/v1",
            "ServiceCIDR",
            "/apis/networking.k8s.io/v1/servicecidrs",
            "servicecidrs.networking.k8s.io",
        ),
    };
    let older_path = match of {
        ObjectKind::Import => Some("/apis/multicluster.x-k8s.io/v1alpha1/serviceimports"),
        ObjectKind::Service
        | ObjectKind::EndpointSlice
        | ObjectKind::Namespace
        | ObjectKind::Node
        | ObjectKind::Pod
        | ObjectKind::ServiceCidr => None,
    };
    Resource { api_version, kind, path, older_path, resource }
}

/// Whether there is a view of the cluster without objects of `kind`.
///
/// Servers before 1.33 have no `ServiceCIDR`s, and what they change is a refinement; Pods only say
/// what else runs on this node.
pub(super) const fn need(kind: ObjectKind) -> Need {
    match kind {
        ObjectKind::Service
        | ObjectKind::EndpointSlice
        | ObjectKind::Namespace
        | ObjectKind::Node => Need::Required,
        ObjectKind::Pod | ObjectKind::ServiceCidr => Need::Optional,
        ObjectKind::Import => Need::Extra,
    }
}

/// The kinds that are always followed, whose labels are kept where they are wanted.
pub(super) const LABELED: [ObjectKind; 3] =
    [ObjectKind::Service, ObjectKind::Namespace, ObjectKind::Pod];

/// The field selector that the server applies; `node` is this node.
pub(super) fn field_selector(kind: ObjectKind, node: &NodeName) -> Option<String> {
    match kind {
        ObjectKind::Node => Some(format!("metadata.name={node}")),
        ObjectKind::Pod => Some(format!("spec.nodeName={node}")),
        ObjectKind::Service
        | ObjectKind::EndpointSlice
        | ObjectKind::Import
        | ObjectKind::Namespace
        | ObjectKind::ServiceCidr => None,
    }
}

/// Whether a list of `kind` has to be read again when somebody comes to want more.
pub(super) fn concerns(kind: ObjectKind, before: &Extras, after: &Extras) -> bool {
    let (labels, imports) = (before.labels != after.labels, before.imports != after.imports);
    match kind {
        ObjectKind::Service | ObjectKind::Namespace | ObjectKind::Pod => labels,
        ObjectKind::EndpointSlice => imports,
        ObjectKind::Import => labels || imports,
        ObjectKind::Node | ObjectKind::ServiceCidr => false,
    }
}
