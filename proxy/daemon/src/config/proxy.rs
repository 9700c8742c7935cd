//! How traffic is treated.

use podway_proxy_plan::policy::{DeadTcp, NodeLocalDns, NodePortAddresses, PodDetection, Policy};

use super::{FlagErrors, LoopbackNodePorts, ProxyConfig, parse};
use crate::args::ProxyArgs;
use crate::environment::Environment;

pub(super) fn proxy(
    args: &ProxyArgs,
    environment: &Environment,
    errors: &mut FlagErrors,
) -> Option<ProxyConfig> {
    let mode = errors.keep(parse::proxy_mode(&args.proxy_mode));
    let masquerade_bit = errors.keep(parse::masquerade_bit(&args.masquerade_bit));
    let policy = policy(args, errors);
    let loopback = errors.keep(parse::switch("--localhost-node-ports", &args.localhost_node_ports));
    Some(ProxyConfig {
        mode: mode?,
        cgroup_root: args.cgroup_root.clone(),
        bpffs_root: args.bpffs_root.clone(),
        policy: policy?,
        masquerade_bit: masquerade_bit?,
        interfaces: environment.interfaces.clone(),
        loopback: if loopback? { LoopbackNodePorts::Forwarded } else { LoopbackNodePorts::Closed },
    })
}

fn policy(args: &ProxyArgs, errors: &mut FlagErrors) -> Option<Policy> {
    let cluster_cidrs = errors.keep(parse::cluster_cidrs(args.cluster_cidr.as_deref()));
    let pods = pod_detection(args, errors);
    let masquerade_all = errors.keep(parse::switch("--masquerade-all", &args.masquerade_all));
    let node_ports = node_port_addresses(&args.nodeport_addresses, errors);
    let allow_external_ips = errors
        .keep_all(parse::words(&args.allow_external_ips).map(|text| {
            parse::cidr("--allow-external-ips", text, "a CIDR such as 203.0.113.0/24")
        }));
    let service_cidrs = errors.keep_all(
        parse::words(&args.service_cidrs)
            .map(|text| parse::cidr("--service-cidrs", text, "CIDRs such as 10.96.0.0/12")),
    );
    let unknown_ports = errors.keep(parse::unknown_ports(&args.unknown_service_ports));
    let reset_dead_tcp = errors.keep(parse::switch("--reset-dead-tcp", &args.reset_dead_tcp));
    Some(Policy {
        pods: pods?,
        cluster_cidrs: cluster_cidrs?,
        masquerade_all: masquerade_all?,
        node_ports,
        allow_external_ips,
        // The kernel refuses one range inside another.
        service_cidrs: ipnet::IpNet::aggregate(&service_cidrs),
        unknown_ports: unknown_ports?,
        dead_tcp: if reset_dead_tcp? { DeadTcp::Reset } else { DeadTcp::Keep },
        // The flag has a module of its own.
        node_local_dns: NodeLocalDns::Off,
    })
}

/// As kube-proxy reads the flags: a value that the mode does not ask for is not looked at.
fn pod_detection(args: &ProxyArgs, errors: &mut FlagErrors) -> Option<PodDetection> {
    match errors.keep(parse::detect_local_mode(&args.detect_local_mode))? {
        parse::DetectLocalMode::ClusterCidr => Some(PodDetection::ClusterCidrs),
        parse::DetectLocalMode::NodeCidr => Some(PodDetection::NodeCidrs),
        parse::DetectLocalMode::BridgeInterface => {
            let name = parse::bridge_interface(args.pod_bridge_interface.as_deref());
            errors.keep(name).map(PodDetection::Interface)
        }
        parse::DetectLocalMode::InterfaceNamePrefix => {
            let prefix = parse::interface_name_prefix(args.pod_interface_name_prefix.as_deref());
            errors.keep(prefix).map(PodDetection::Interface)
        }
    }
}

/// As kube-proxy reads the flag: nothing is "primary", and the keyword stands alone.
fn node_port_addresses(texts: &[String], errors: &mut FlagErrors) -> NodePortAddresses {
    let words: Vec<&str> = parse::words(texts).collect();
    match words.as_slice() {
        [] | ["primary"] => NodePortAddresses::Primary,
        words => NodePortAddresses::Cidrs(errors.keep_all(words.iter().map(|text| {
            parse::cidr("--nodeport-addresses", text, "CIDRs, or \"primary\" without any")
        }))),
    }
}
