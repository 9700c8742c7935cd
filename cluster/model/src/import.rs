//! Services of other clusters, as the Multi-Cluster Services API brings them in (KEP-1645).
//!
//! An import stands for Services of one namespace and name in any clusters of the set. What reaches
//! them is up to whoever implements the API; here is what names need to know.

use std::net::IpAddr;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::endpoint::{EndpointPort, EndpointSlice};
use crate::label::Labels;
use crate::name::{Hostname, LocalName, ServiceName};

/// One `ServiceImport`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceImport {
    /// Namespace and name, which are those of the Services that it stands for.
    pub name: ServiceName,
    /// What stands for it.
    pub kind: ImportKind,
    /// Its ports, in the order of the object.
    pub ports: Vec<EndpointPort>,
    /// Those of its labels that are kept.
    pub labels: Labels,
}

/// What stands for an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImportKind {
    /// Addresses of its own, at most one of each family; none until they are given.
    ClusterSetIp(Vec<IpAddr>),
    /// Its endpoints.
    Headless,
}

/// What a slice was imported for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceOrigin {
    /// The import (label `multicluster.kubernetes.io/service-name`).
    pub service: ServiceName,
    /// The cluster that its endpoints are in (label `multicluster.kubernetes.io/source-cluster`).
    pub cluster: Hostname,
}

/// An import with the slices that were imported for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The import; `None` while only slices name it.
    pub import: Option<Arc<ServiceImport>>,
    /// Its slices by name.
    pub slices: RedBlackTreeMapSync<LocalName, Arc<EndpointSlice>>,
}

impl Imported {
    /// Whether nothing is left that this stands for.
    pub(crate) fn is_empty(&self) -> bool {
        self.import.is_none() && self.slices.is_empty()
    }
}

/// What is known of imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Imports {
    /// Nothing: nobody asked for them, or they cannot be read.
    #[default]
    Unknown,
    /// All that there are.
    Known,
}
