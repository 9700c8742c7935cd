//! One flag's text in, its value or what is wrong with it out.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::SignedDuration;
use podway_cluster_model::name::NodeName;
use podway_dns_server::resolv_conf;
use podway_dns_zone::ZoneConfig;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::policy::{PodDetection, Policy, UnknownPorts};
use tracing_subscriber::filter::Targets;

use super::{FlagError, LogFormat, ProxyMode};

/// Highest bit of a packet mark.
const MAX_MARK_BIT: u8 = 31;

/// Makes the errors of one flag.
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) accepted: &'static str,
}

impl Flag {
    pub(super) fn error(&self, value: &str, reason: impl ToString) -> FlagError {
        FlagError {
            flag: self.name,
            value: value.to_owned(),
            reason: reason.to_string(),
            accepted: self.accepted,
            place: None,
        }
    }
}

/// The words of a list flag without white space and without empty ones, as kube-proxy reads lists.
pub(super) fn words(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty())
}

pub(super) fn manifests(folder: Option<&OsStr>) -> Result<PathBuf, FlagError> {
    let flag =
        Flag { name: "--manifests", accepted: "a folder of *.yaml, *.yml and *.json manifests" };
    match folder {
        Some(folder) if !folder.is_empty() => Ok(PathBuf::from(folder)),
        _ => Err(flag.error("", "is required")),
    }
}

/// As kube-proxy does it: the override or the host name, without white space, in lower case.
pub(super) fn node_name(
    chosen: Option<&str>,
    host_name: &io::Result<String>,
) -> Result<NodeName, FlagError> {
    let flag =
        Flag { name: "--hostname-override", accepted: "the name of this node's Node object" };
    let text = match (chosen, host_name) {
        (Some(text), _) => text,
        (None, Ok(text)) => text.as_str(),
        (None, Err(error)) => {
            return Err(flag.error("", format!("the host name cannot be read ({error})")));
        }
    };
    let text = text.trim().to_lowercase();
    NodeName::new(&text).map_err(|error| flag.error(&text, error))
}

pub(super) fn cluster_domain(text: &str) -> Result<ZoneConfig, FlagError> {
    let flag = Flag { name: "--cluster-domain", accepted: "a domain such as cluster.local" };
    ZoneConfig::new(text).map_err(|error| flag.error(text, error))
}

pub(super) fn proxy_mode(text: &str) -> Result<ProxyMode, FlagError> {
    let flag = Flag { name: "--proxy-mode", accepted: "auto, nftables, ebpf" };
    match text {
        "auto" => Ok(ProxyMode::Auto),
        "nftables" => Ok(ProxyMode::Nftables),
        "ebpf" => Ok(ProxyMode::Ebpf),
        "iptables" | "ipvs" => Err(flag.error(text, "is a mode of kube-proxy that podway lacks")),
        _ => Err(flag.error(text, "is not a mode")),
    }
}

pub(super) fn cluster_cidrs(text: Option<&str>) -> Result<Vec<IpNet>, FlagError> {
    const ACCEPTED: &str = "one CIDR, or one of each family with a comma between, such as \
                            10.244.0.0/16,fd00:10:244::/56";
    let flag = Flag { name: "--cluster-cidr", accepted: ACCEPTED };
    let text = text.unwrap_or_default();
    let cidrs = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| cidr(flag.name, word, ACCEPTED))
        .collect::<Result<Vec<_>, _>>()?;
    let family = |cidr: &IpNet| Family::of(cidr.addr());
    match cidrs.as_slice() {
        [] | [_] => Ok(cidrs),
        [first, second] if family(first) != family(second) => Ok(cidrs),
        [_, _] => Err(flag.error(text, "both are of one family")),
        more => Err(flag.error(text, format!("has {} CIDRs", more.len()))),
    }
}

/// Host bits are dropped, as kube-proxy does.
pub(super) fn cidr(
    name: &'static str,
    text: &str,
    accepted: &'static str,
) -> Result<IpNet, FlagError> {
    let flag = Flag { name, accepted };
    text.parse::<IpNet>().map(|cidr| cidr.trunc()).map_err(|error| {
        flag.error(text, format!("is no CIDR ({})", error.to_string().to_lowercase()))
    })
}

/// The spellings of Go's flags, which kube-proxy's users know.
pub(super) fn switch(name: &'static str, text: &str) -> Result<bool, FlagError> {
    let flag = Flag { name, accepted: "true, false" };
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
        _ => Err(flag.error(text, "is neither true nor false")),
    }
}

/// How pods are told from other clients, by kube-proxy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DetectLocalMode {
    ClusterCidr,
    NodeCidr,
    BridgeInterface,
    InterfaceNamePrefix,
}

pub(super) fn detect_local_mode(text: &str) -> Result<DetectLocalMode, FlagError> {
    let flag = Flag {
        name: "--detect-local-mode",
        accepted: "ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
    };
    match text {
        "ClusterCIDR" => Ok(DetectLocalMode::ClusterCidr),
        "NodeCIDR" => Ok(DetectLocalMode::NodeCidr),
        "BridgeInterface" => Ok(DetectLocalMode::BridgeInterface),
        "InterfaceNamePrefix" => Ok(DetectLocalMode::InterfaceNamePrefix),
        _ => Err(flag.error(text, "is not a mode")),
    }
}

pub(super) fn bridge_interface(text: Option<&str>) -> Result<InterfaceName, FlagError> {
    let flag = Flag {
        name: "--pod-bridge-interface",
        accepted: "the name of the bridge, of at most 15 characters, such as cni0",
    };
    let text = text.unwrap_or_default();
    InterfaceName::exactly(text).ok_or_else(|| flag.error(text, "no interface is called so"))
}

pub(super) fn interface_name_prefix(text: Option<&str>) -> Result<InterfaceName, FlagError> {
    let flag = Flag {
        name: "--pod-interface-name-prefix",
        accepted: "what interfaces begin with, of at most 15 characters, such as veth",
    };
    let text = text.unwrap_or_default();
    InterfaceName::beginning_with(text)
        .ok_or_else(|| flag.error(text, "no interface begins like that"))
}

pub(super) fn unknown_ports(text: &str) -> Result<UnknownPorts, FlagError> {
    let flag = Flag { name: "--unknown-service-ports", accepted: "reject, ignore" };
    match text {
        "reject" => Ok(UnknownPorts::Reject),
        "ignore" => Ok(UnknownPorts::Ignore),
        _ => Err(flag.error(text, "is not an action")),
    }
}

pub(super) fn number(name: &'static str, text: &str) -> Result<u32, FlagError> {
    let flag = Flag { name, accepted: "a number from 0 to 2147483647" };
    // The kernel keeps such limits as signed numbers.
    match text.parse::<u32>() {
        Ok(number) if i32::try_from(number).is_ok() => Ok(number),
        Ok(_) => Err(flag.error(text, "is too large")),
        Err(error) => Err(flag.error(text, error)),
    }
}

/// Go's spelling of a time, which kube-proxy's users know.
pub(super) fn time(name: &'static str, text: &str) -> Result<Duration, FlagError> {
    let flag = Flag { name, accepted: "0, or a time such as 1h30m or 3600s" };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let time = text.parse::<SignedDuration>().map_err(|error| flag.error(text, error))?;
    match Duration::try_from(time) {
        Ok(time) if time.as_secs() <= u64::from(u32::MAX) => Ok(time),
        Ok(_) => Err(flag.error(text, "is too long")),
        Err(_) => Err(flag.error(text, "is negative")),
    }
}

pub(super) fn masquerade_bit(text: &str) -> Result<u8, FlagError> {
    let flag = Flag { name: "--masquerade-bit", accepted: "a number from 0 to 31" };
    let bit = text.parse::<u8>().map_err(|error| flag.error(text, error))?;
    if bit > MAX_MARK_BIT {
        return Err(flag.error(text, "a packet mark has no such bit"));
    }
    Ok(bit)
}

/// Reads `ADDR` or `ADDR:PORT`; an IPv6 address with a port stands in brackets.
fn socket_address(flag: &Flag, text: &str, port: u16) -> Result<SocketAddr, FlagError> {
    let bare = || text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare().parse::<IpAddr>().map(|address| SocketAddr::new(address, port)))
        .map_err(|error| flag.error(text, error))
}

/// An address that is not among `before`.
pub(super) fn dns_listen(
    text: &str,
    port: u16,
    before: &[SocketAddr],
) -> Result<SocketAddr, FlagError> {
    let flag =
        Flag { name: "--dns-listen", accepted: "ADDR:PORT such as 127.0.0.1:53 or [::1]:53" };
    let address = socket_address(&flag, text, port)?;
    if address.port() == 0 {
        return Err(flag.error(text, "0 is no port"));
    }
    if before.contains(&address) {
        return Err(flag.error(text, "is given twice"));
    }
    Ok(address)
}

/// An address that does not lead back to one of `own`.
pub(super) fn dns_upstream(
    text: &str,
    port: u16,
    own: &[SocketAddr],
) -> Result<SocketAddr, FlagError> {
    let flag = Flag {
        name: "--dns-upstream",
        accepted: "ADDR or ADDR:PORT of a name server that is not this one",
    };
    let address = socket_address(&flag, text, port)?;
    if address.ip().is_unspecified() || address.port() == 0 {
        return Err(flag.error(text, "nobody can be asked there"));
    }
    if resolv_conf::is_own(address, own) {
        return Err(flag.error(text, "podway itself listens there"));
    }
    Ok(address)
}

/// Empty for nowhere, as with kube-proxy.
pub(super) fn bind_address(
    name: &'static str,
    text: &str,
    port: u16,
) -> Result<Option<SocketAddr>, FlagError> {
    let flag = Flag { name, accepted: "ADDR or ADDR:PORT, or nothing to turn it off" };
    if text.is_empty() { Ok(None) } else { socket_address(&flag, text, port).map(Some) }
}

/// Whether pods may speak with each other untracked in `mode`, with `policy` for the rest.
pub(super) fn conntrack_bypass(mode: ProxyMode, policy: &Policy) -> Result<(), FlagError> {
    let flag = Flag {
        name: "--conntrack-bypass",
        accepted: "false, or true with --proxy-mode ebpf or auto, --detect-local-mode ClusterCIDR \
                   and --cluster-cidr",
    };
    match (mode, policy.pods) {
        (ProxyMode::Nftables, _) => {
            Err(flag.error("true", "rules translate packets, which takes connection tracking"))
        }
        (ProxyMode::Auto | ProxyMode::Ebpf, PodDetection::ClusterCidrs)
            if !policy.cluster_cidrs.is_empty() =>
        {
            Ok(())
        }
        (ProxyMode::Auto | ProxyMode::Ebpf, _) => {
            Err(flag.error("true", "the pods of all nodes have to be told by their addresses"))
        }
    }
}

pub(super) fn log_levels(text: &str) -> Result<Targets, FlagError> {
    let flag = Flag {
        name: "--log-level",
        accepted: "error, warn, info, debug or trace, and module=level, with commas between",
    };
    // A word that is no level would be taken for a module with everything on.
    let unknown = text.split(',').map(str::trim).find(|word| {
        let level = word.rsplit_once('=').map_or(*word, |(_, level)| level);
        level.parse::<tracing::level_filters::LevelFilter>().is_err()
    });
    match unknown {
        Some(word) => Err(flag.error(text, format!("{word:?} names no level"))),
        None => text.parse().map_err(|error| flag.error(text, error)),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, FlagError> {
    let flag = Flag { name: "--log-format", accepted: "text, json" };
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(flag.error(text, "is not a form of log lines")),
    }
}
