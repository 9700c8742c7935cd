//! Which DNS addresses are answered on the node, and whom.

use std::net::IpAddr;

use ipnet::IpNet;
use podway_cluster_model::name::ServiceName;
use podway_proxy_plan::policy::NodeLocalDns;

use super::parse::{self, Flag};
use super::{FlagError, FlagErrors, ProxyConfig};
use crate::args::NodeLocalArgs;
use crate::node_local::NodeLocalConfig;

/// Ranges that nobody outside can send from and get replies at: RFC 1918, RFC 6598, RFC 3927,
/// RFC 4193, RFC 4291 and loopback.
const PRIVATE: [&str; 9] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Stands for those ranges.
const PRIVATE_WORD: &str = "private";

/// What a word of `--dns-node-local` means.
enum Word {
    Service(ServiceName),
    Address(IpAddr),
}

/// Resolves the flag, and tells the proxy what follows from it.
pub(super) fn node_local(
    args: &NodeLocalArgs,
    proxy: &mut Option<ProxyConfig>,
    errors: &mut FlagErrors,
) -> Option<NodeLocalConfig> {
    let mut config = NodeLocalConfig::default();
    for text in parse::words(&args.dns_node_local) {
        match errors.keep(word(text, &config)) {
            Some(Word::Service(service)) => config.service = Some(service),
            Some(Word::Address(address)) => config.addresses.push(address),
            None => {}
        }
    }
    let config = Some(config).filter(|config| *config != NodeLocalConfig::default())?;
    if let Some(proxy) = proxy {
        proxy.policy.node_local_dns = NodeLocalDns::On {
            service: config.service.clone(),
            addresses: config.addresses.clone(),
        };
    }
    Some(config)
}

fn word(text: &str, before: &NodeLocalConfig) -> Result<Word, FlagError> {
    let flag = Flag {
        name: "--dns-node-local",
        accepted: "one Service as NAMESPACE/NAME, and addresses such as 169.254.20.10",
    };
    if let Some((namespace, name)) = text.split_once('/') {
        let service = ServiceName::new(namespace, name).map_err(|error| flag.error(text, error))?;
        return match before.service {
            Some(_) => Err(flag.error(text, "a second Service")),
            None => Ok(Word::Service(service)),
        };
    }
    let address: IpAddr =
        text.parse().map_err(|_error| flag.error(text, "is neither a Service nor an address"))?;
    if before.addresses.contains(&address) {
        return Err(flag.error(text, "is given twice"));
    }
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(flag.error(text, "no pod can ask there"));
    }
    Ok(Word::Address(address))
}

/// Resolves `--dns-allow-from`.
pub(super) fn allow_from(texts: &[String], errors: &mut FlagErrors) -> Vec<IpNet> {
    let accepted = "CIDRs such as 10.0.0.0/8, or \"private\"";
    let mut networks = Vec::new();
    for text in parse::words(texts) {
        if text == PRIVATE_WORD {
            networks.extend(PRIVATE.iter().filter_map(|range| range.parse::<IpNet>().ok()));
        } else {
            networks.extend(errors.keep(parse::cidr("--dns-allow-from", text, accepted)));
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(words: &[&str]) -> Result<Option<NodeLocalConfig>, FlagErrors> {
        let args =
            NodeLocalArgs { dns_node_local: words.iter().map(|&word| word.to_owned()).collect() };
        let mut errors = FlagErrors::default();
        let config = node_local(&args, &mut None, &mut errors);
        errors.unless_any(Some(config))
    }

    #[test]
    fn service_and_addresses_are_told_apart() {
        assert_eq!(resolved(&[]), Ok(None));
        let config = resolved(&["kube-system/kube-dns", " 169.254.20.10", "fd00::a"]).unwrap();
        let config = config.unwrap();
        assert_eq!(config.service, ServiceName::new("kube-system", "kube-dns").ok());
        let addresses: Vec<_> = config.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["169.254.20.10", "fd00::a"]);
    }

    #[test]
    fn every_word_that_cannot_be_is_told_with_its_reason() {
        let words =
            ["kube-dns", "a/b", "c/d", "UPPER/x", "10.96.0.10", "10.96.0.10", "127.0.0.1", "::"];
        let text = resolved(&words).unwrap_err().to_string();
        for reason in [
            "--dns-node-local \"kube-dns\": is neither a Service nor an address",
            "--dns-node-local \"c/d\": a second Service",
            "--dns-node-local \"UPPER/x\"",
            "--dns-node-local \"10.96.0.10\": is given twice",
            "--dns-node-local \"127.0.0.1\": no pod can ask there",
            "--dns-node-local \"::\": no pod can ask there",
        ] {
            assert!(text.contains(reason), "{reason} not in {text}");
        }
        assert_eq!(text.matches("--dns-node-local").count(), 6, "{text}");
    }

    #[test]
    fn private_is_short_for_every_private_range() {
        let mut errors = FlagErrors::default();
        let texts = ["private", "203.0.113.7/24", "nonsense"].map(str::to_owned);
        let networks = allow_from(&texts, &mut errors);
        assert_eq!(networks.len(), PRIVATE.len() + 1);
        assert_eq!(networks.last().unwrap().to_string(), "203.0.113.0/24");
        let text = errors.to_string();
        assert!(text.starts_with("--dns-allow-from \"nonsense\": is no CIDR"), "{text}");
    }
}
