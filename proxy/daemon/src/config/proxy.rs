//! How traffic is treated.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use podway_proxy_plan::policy::{
    ConntrackBypass, DeadTcp, NodeLocalDns, NodePortAddresses, PodDetection, Policy,
};

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
    let node_ports = node_ports(&args.nodeport_addresses, errors);
    let mut policy = policy(args, node_ports.addresses, errors);
    let bypass = errors.keep(parse::switch("--conntrack-bypass", &args.conntrack_bypass));
    if let (Some(true), Some(mode), Some(policy)) = (bypass, mode, &mut policy) {
        errors.keep(parse::conntrack_bypass(mode, policy));
        policy.conntrack_bypass = ConntrackBypass::On;
    }
    let loopback = errors.keep(parse::switch("--localhost-node-ports", &args.localhost_node_ports));
    Some(ProxyConfig {
        mode: mode?,
        cgroup_root: args.cgroup_root.clone(),
        bpffs_root: args.bpffs_root.clone(),
        policy: policy?,
        masquerade_bit: masquerade_bit?,
        interfaces: environment.interfaces.clone(),
        loopback: if loopback? { LoopbackNodePorts::Forwarded } else { node_ports.loopback },
    })
}

fn policy(
    args: &ProxyArgs,
    node_ports: NodePortAddresses,
    errors: &mut FlagErrors,
) -> Option<Policy> {
    let cluster_cidrs = errors.keep(parse::cluster_cidrs(args.cluster_cidr.as_deref()));
    let pods = pod_detection(args, errors);
    let masquerade_all = errors.keep(parse::switch("--masquerade-all", &args.masquerade_all));
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
        service_cidrs: IpNet::aggregate(&service_cidrs),
        unknown_ports: unknown_ports?,
        dead_tcp: if reset_dead_tcp? { DeadTcp::Reset } else { DeadTcp::Keep },
        // The flag has a module of its own.
        node_local_dns: NodeLocalDns::Off,
        // It depends on others.
        conntrack_bypass: ConntrackBypass::Off,
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

/// Where node ports are open.
struct NodePorts {
    addresses: NodePortAddresses,
    loopback: LoopbackNodePorts,
}

/// As kube-proxy reads the flag since 1.37: keywords and CIDRs in any mixture, and nothing is
/// "primary".
fn node_ports(texts: &[String], errors: &mut FlagErrors) -> NodePorts {
    let mut cidrs = Vec::new();
    let (mut is_primary, mut loopback) = (false, LoopbackNodePorts::Closed);
    let everything: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    let words: Vec<&str> = parse::words(texts).collect();
    for word in &words {
        match *word {
            "primary" => is_primary = true,
            "all" => cidrs.extend(everything),
            "localhost" => loopback = LoopbackNodePorts::Forwarded,
            text => cidrs.extend(errors.keep(parse::cidr(
                "--nodeport-addresses",
                text,
                "CIDRs, \"primary\", \"all\" or \"localhost\"",
            ))),
        }
    }
    let addresses = match (is_primary || words.is_empty(), cidrs.is_empty()) {
        (true, true) => NodePortAddresses::Primary,
        (true, false) => NodePortAddresses::PrimaryAnd(cidrs),
        (false, _) => NodePortAddresses::Cidrs(cidrs),
    };
    NodePorts { addresses, loopback }
}
