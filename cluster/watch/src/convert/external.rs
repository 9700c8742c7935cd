//! Addresses of a Service besides its ClusterIP.

use std::net::IpAddr;

use ipnet::IpNet;
use podway_cluster_model::port::Port;
use podway_cluster_model::service::{
    External, LoadBalancerAddress, LoadBalancerMode, TrafficPolicy,
};

use crate::field::{Field, List};
use crate::object::{Ingress, Spec, Status};
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::Checker;
use super::address::{self, Use};
use super::service::{ServiceType, optional_port, policy};

/// Converts what `spec` and `status` say of addresses from outside the cluster.
pub(super) fn external(
    spec: Spec,
    status: Field<Status>,
    service_type: ServiceType,
    checker: &mut Checker,
) -> External {
    let path = Path::root("spec");
    let addresses = external_ips(spec.external_ips, checker);
    let (source_ranges, all_read) = source_ranges(spec.load_balancer_source_ranges, checker);
    let mut load_balancer = ingress(status, checker);
    if !all_read {
        // Fewer ranges admit fewer clients, but no range at all admits everybody. A family that may
        // have lost its only range is not served.
        load_balancer.retain(|balancer| {
            source_ranges.iter().any(|range| same_family(range.addr(), balancer.address))
        });
    }
    let policy = policy(spec.external_traffic_policy, path.field("externalTrafficPolicy"), checker);
    let health_check_node_port =
        health_check(spec.health_check_node_port, service_type, policy, checker);
    External { addresses, load_balancer, source_ranges, policy, health_check_node_port }
}

const fn same_family(left: IpAddr, right: IpAddr) -> bool {
    left.is_ipv4() == right.is_ipv4()
}

fn external_ips(list: List<String>, checker: &mut Checker) -> Vec<IpAddr> {
    let spec = Path::root("spec");
    let mut addresses = checker.each(list, spec.field("externalIPs"), |_, text, path| {
        address::address(&text, Use::Frontend, path)
    });
    let mut seen = Vec::with_capacity(addresses.len());
    addresses.retain(|address| {
        let new = !seen.contains(address);
        if new {
            seen.push(*address);
        }
        new
    });
    addresses
}

/// The networks of `loadBalancerSourceRanges`, and whether every one could be read.
fn source_ranges(list: List<String>, checker: &mut Checker) -> (Vec<IpNet>, bool) {
    let spec = Path::root("spec");
    let faults_before = checker.faults.len();
    let ranges = checker.each(list, spec.field("loadBalancerSourceRanges"), |_, text, path| {
        address::network(text.trim(), path)
    });
    (ranges, checker.faults.len() == faults_before)
}

fn ingress(status: Field<Status>, checker: &mut Checker) -> Vec<LoadBalancerAddress> {
    let path = Path::root("status");
    let status = checker.keep(status.or_default(path)).unwrap_or_default();
    let path = path.field("loadBalancer");
    let balancer = checker.keep(status.load_balancer.or_default(path)).unwrap_or_default();
    let one = |_: &mut Checker, entry: Ingress, path: Path<'_>| balancer_address(entry, path);
    checker.each(balancer.ingress, path.field("ingress"), one).into_iter().flatten().collect()
}

/// An address of a load balancer; `None` where it has only a host name.
fn balancer_address(entry: Ingress, path: Path<'_>) -> Result<Option<LoadBalancerAddress>, Fault> {
    let address_path = path.field("ip");
    let Some(text) = entry.ip.non_empty(address_path)? else { return Ok(None) };
    let address = address::address(&text, Use::Frontend, address_path)?;
    let mode_path = path.field("ipMode");
    let mode = match entry.ip_mode.non_empty(mode_path)?.as_deref() {
        None | Some("VIP") => LoadBalancerMode::Vip,
        Some("Proxy") => LoadBalancerMode::Proxy,
        Some(text) => {
            let accepted = "VIP, Proxy";
            return Err(mode_path.fault(Reason::UnknownValue { text: quotable(text), accepted }));
        }
    };
    Ok(Some(LoadBalancerAddress { address, mode }))
}

/// The health check port, which only a load balancer asks and only where the policy is Local.
fn health_check(
    field: Field<i64>,
    service_type: ServiceType,
    policy: TrafficPolicy,
    checker: &mut Checker,
) -> Option<Port> {
    if service_type != ServiceType::LoadBalancer || policy != TrafficPolicy::Local {
        return None;
    }
    let spec = Path::root("spec");
    checker.keep(optional_port(field, spec.field("healthCheckNodePort"))).flatten()
}
