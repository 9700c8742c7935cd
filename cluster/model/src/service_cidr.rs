//! Ranges that ClusterIPs are given out of (KEP-1880).

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::LocalName;

/// One `ServiceCIDR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCidr {
    /// Its name.
    pub name: LocalName,
    /// `spec.cidrs`, at most one of each family.
    pub cidrs: Vec<IpNet>,
}
