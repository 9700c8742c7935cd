//! What the daemon tells about itself on a node.

use anyhow::{Result, ensure};
use podway_tests_lab::{Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{deployment, service};
use podway_tests_netns::{Cluster, NODES, in_lab};

/// Status and body that `url` gives in `place`.
fn get(cluster: &Cluster, place: &Place, url: &str) -> Result<(String, String)> {
    let command = ["curl", "-gsS", "--max-time", "5", "-w", "\n%{http_code}", url];
    let text = cluster.exec(place, &command)?.checked()?;
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", &text));
    Ok((status.to_owned(), body.to_owned()))
}

#[test]
fn health_is_told_to_everybody_and_metrics_to_the_node() {
    in_lab(Lab::builder(), |cluster| {
        for number in NODES {
            let node = cluster.node_ip(number, Family::V4);
            for (place, host) in
                [(Place::node(number), "127.0.0.1".to_owned()), (Place::Outside, node.to_string())]
            {
                for path in ["healthz", "livez", "readyz"] {
                    let url = format!("http://{host}:10256/{path}");
                    let (status, body) = get(cluster, &place, &url)?;
                    ensure!(status == "200", "{url} from {place}: {status} {body}");
                }
            }
            let (_, health) =
                get(cluster, &Place::Outside, &format!("http://{node}:10256/healthz"))?;
            ensure!(health.contains("lastUpdated"), "as kube-proxy's: {health}");
            let mode = if cluster.is_on_ebpf() { "ebpf" } else { "nftables" };
            ensure!(cluster.admin(number, "/proxyMode")? == mode);
            let metrics = cluster.node_port(number, Family::V4, 10249);
            cluster.route(&Place::Outside, Transport::Tcp, metrics).is_refused()?;
        }
        Ok(())
    });
}

#[test]
fn metrics_count_what_is_programmed() {
    let spec = "ipFamilyPolicy: PreferDualStack, ports: [{name: a, port: 80}, {name: b, port: 81}]";
    in_lab(Lab::builder(), |cluster| {
        let named = |name| cluster.metric(1, name);
        let before = named("podway_programmed_services")?;
        let changes = named("kubeproxy_sync_proxy_rules_service_changes_total")?;
        cluster.apply(&(deployment("web", 3) + &service("web", spec)))?;
        cluster.wait_settled()?;
        cluster.metric_becomes(1, "podway_programmed_services", before + 1.0)?;
        ensure!(named("kubeproxy_sync_proxy_rules_service_changes_total")? > changes);
        for family in ["IPv4", "IPv6"] {
            let failures = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total";
            cluster.metric_becomes(1, &format!("{failures}{{ip_family=\"{family}\"}}"), 0.0)?;
            let repairs = "podway_table_repairs_total";
            cluster.metric_becomes(1, &format!("{repairs}{{ip_family=\"{family}\"}}"), 0.0)?;
        }
        cluster.delete_object("service/web")?;
        cluster.metric_becomes(1, "podway_programmed_services", before)
    });
}

#[test]
fn daemon_that_is_started_again_is_ready_once_it_has_programmed() {
    let manifests = deployment("web", 2) + &service("web", "ports: [{port: 80}]");
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.stop_podway(1)?;
        cluster.nft(1, &["flush", "ruleset"])?;
        // The lab takes it for ready when /readyz says so.
        cluster.start_podway(1)?;
        let table = cluster.nft(1, &["list", "table", "ip", "podway"])?;
        let address = cluster.cluster_ip("web", Family::V4)?.to_string();
        ensure!(table.contains(&address), "ready, but {address} is not in\n{table}");
        let lookup = cluster.lookup(&Place::node(1), &["web.default.svc.cluster.local", "A"]);
        let response = lookup.ask_at(cluster.node_ip(1, Family::V4))?;
        ensure!(response.data() == [address].into(), "{response:?}");
        Ok(())
    });
}
