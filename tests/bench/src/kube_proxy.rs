//! How the real kube-proxy is started with its nftables back end, and when it has written its rules.

use std::path::Path;

use podway_tests_lab::{CLUSTER_CIDRS, Lab, node_name};

/// When it last wrote IPv4 rules: zero or absent until it has written them all once.
const LAST_SYNC: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} ";

/// Where it tells its metrics, in its node's namespace.
pub(crate) const METRICS: &str = "http://127.0.0.1:10249/metrics";

/// Command line of `program` on node `number` of `lab`, which has an API server.
pub(crate) fn command(program: &Path, lab: &Lab, number: u8) -> Vec<String> {
    let mut command = vec![
        program.display().to_string(),
        "--proxy-mode=nftables".to_owned(),
        format!("--kubeconfig={}", lab.kubeconfig("admin").display()),
        // The lab's kernel settings are the lab's.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0s".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
    ];
    command.extend(common_flags(number));
    command
}

/// Flags that Podway has too: the node, its pods, and where health and metrics are told.
pub(crate) fn common_flags(number: u8) -> [String; 4] {
    [
        format!("--hostname-override={}", node_name(number)),
        format!("--cluster-cidr={}", CLUSTER_CIDRS.join(",")),
        "--healthz-bind-address=0.0.0.0:10256".to_owned(),
        "--metrics-bind-address=127.0.0.1:10249".to_owned(),
    ]
}

/// Whether its metrics say that it has written its rules.
pub(crate) fn has_synced(metrics: &str) -> bool {
    let value = metrics.lines().find_map(|line| line.strip_prefix(LAST_SYNC)?.parse::<f64>().ok());
    value.is_some_and(|time| time > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_proxy_is_ready_when_it_has_written_its_rules_once() {
        let rows = [
            ("# TYPE a gauge", false),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 0", false),
            (
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"} 1.7e+09",
                false,
            ),
            ("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 1.7e+09", true),
        ];
        for (metrics, ready) in rows {
            assert_eq!(has_synced(metrics), ready, "{metrics}");
        }
    }
}
