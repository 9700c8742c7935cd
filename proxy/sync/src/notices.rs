//! Services that use the deprecated field `externalIPs`: each is told of once.
//!
//! The field lets anybody who may write a Service take over any address (CVE-2020-8554), so only
//! what the operator allows is honored, and nobody should have to search for why the rest is not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::service::ProxyOwner;
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};
use podway_proxy_plan::policy::Policy;
use tracing::{info, warn};

/// Which Services were told of, and what.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    told: BTreeMap<ServiceName, Use>,
}

/// How a Service uses the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// All its addresses are allowed.
    Allowed,
    /// Some are not, and are ignored.
    Refused,
}

impl Notices {
    /// Tells of the Services in `delta` that were not told of before.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot, delta: &Delta, policy: &Policy) {
        for (service, usage) in self.not_told(snapshot, delta, policy) {
            match usage {
                Use::Allowed => {
                    info!(%service, "Service uses externalIPs, which Kubernetes has deprecated");
                }
                Use::Refused => warn!(
                    %service,
                    flag = "--allow-external-ips",
                    "Service uses externalIPs that are not allowed and are ignored; Kubernetes has \
                     deprecated the field"
                ),
            }
        }
    }

    /// What is to be told, and is not told again while it stays so.
    fn not_told(
        &mut self,
        snapshot: &Snapshot,
        delta: &Delta,
        policy: &Policy,
    ) -> Vec<(ServiceName, Use)> {
        let mut new = Vec::new();
        for name in &delta.services {
            let entry = snapshot.services.get(name).map(AsRef::as_ref);
            let Some(usage) = entry.and_then(|entry| usage(entry, policy)) else {
                self.told.remove(name);
                continue;
            };
            if self.told.insert(name.clone(), usage) != Some(usage) {
                new.push((name.clone(), usage));
            }
        }
        new
    }
}

/// How the Service of `entry` uses the field, if it does.
fn usage(entry: &ServiceEntry, policy: &Policy) -> Option<Use> {
    let service = entry.service.as_deref()?;
    let addresses: &[IpAddr] = &service.external.addresses;
    if service.proxy == ProxyOwner::Other || addresses.is_empty() {
        return None;
    }
    let all_allowed = addresses.iter().all(|address| policy.allows_external_ip(*address));
    Some(if all_allowed { Use::Allowed } else { Use::Refused })
}

#[cfg(test)]
mod tests {
    use podway_cluster_model::builder::{Builder, Change};

    use super::*;
    use crate::fixture::{Stack, service, slice};

    fn with(addresses: &[&str]) -> Change {
        let Change::Service(mut service) = service(1, Stack::V4) else { unreachable!() };
        service.external.addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Change::Service(service)
    }

    #[test]
    fn each_use_is_told_once_until_it_is_another() {
        let policy = Policy {
            allow_external_ips: vec!["203.0.113.0/24".parse().unwrap()],
            ..Policy::default()
        };
        let (mut builder, mut notices) = (Builder::new(), Notices::default());
        for (change, expected, why) in [
            (with(&[]), None, "the field is not used"),
            (with(&["203.0.113.1"]), Some(Use::Allowed), "it is"),
            (slice(1, 2), None, "something else changed"),
            (with(&["203.0.113.2"]), None, "the same use"),
            (with(&["203.0.113.2", "198.51.100.1"]), Some(Use::Refused), "one is not allowed"),
            (slice(1, 1), None, "something else changed"),
            (with(&[]), None, "no more"),
            (with(&["198.51.100.1"]), Some(Use::Refused), "again"),
        ] {
            let (snapshot, delta) = builder.apply([change]);
            let told: Vec<Use> = notices
                .not_told(&snapshot, &delta, &policy)
                .into_iter()
                .map(|(_, usage)| usage)
                .collect();
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{why}");
        }
    }
}
