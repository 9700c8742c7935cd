//! The nodes, one for each way that packets are treated, and what is programmed on each.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Builder, CLUSTER_CIDRS, Lab, Place};
use podway_tests_synthetic::Cluster;

use super::Way;
use super::kube_proxy::KubeProxy;
use super::load::{Amount, Figures};
use super::node::{Node, PORTS, PROCESSORS, Program, SERVICE, SERVICE_PORTS};
use crate::program::shape::{Release, Ruleset};

/// The nodes of one size.
pub(super) struct World {
    plain: Node,
    ebpf: Node,
    untracked: Node,
    nftables: Node,
    shape: Node,
    /// Absent where the real one is not built.
    kube_proxy: Option<Node>,
    program: Program,
}

impl World {
    /// Starts the nodes with `services` Services beside the one that is used, and one for the real
    /// kube-proxy if there is any.
    pub(super) fn start(services: u32, kube_proxy: Option<&KubeProxy>) -> Result<Self> {
        let program = Program::copy()?;
        let cluster = Cluster { services, endpoints: 1 };
        let node = |builder: Builder| Node::start(builder, &program);
        // First: it is the one that has work of its own until it is ready.
        let kube_proxy = kube_proxy.map(|one| one.node(cluster, &program)).transpose()?;
        let plain = node(Lab::builder().nftables().without_podway())?;
        let shape = node(Lab::builder().nftables().without_podway())?;
        shape.load(&ruleset(cluster, shape.server)?)?;
        let ebpf = node(Lab::builder().ebpf())?;
        ebpf.apply(cluster)?;
        let untracked = node(Lab::builder().ebpf().podway_argument("--conntrack-bypass"))?;
        untracked.apply(cluster)?;
        let nftables = node(Lab::builder().nftables())?;
        nftables.apply(cluster)?;
        Ok(Self { plain, ebpf, untracked, nftables, shape, kube_proxy, program })
    }

    /// Measures one way.
    pub(super) fn measure(&self, way: Way, amount: Amount) -> Result<Figures> {
        let service: IpAddr = SERVICE.parse()?;
        let (node, address, ports) = match way {
            Way::Pod => (&self.plain, self.plain.server, PORTS),
            Way::PodTracked => (&self.nftables, self.nftables.server, PORTS),
            Way::Ebpf => (&self.ebpf, service, SERVICE_PORTS),
            Way::EbpfUntracked => (&self.untracked, service, SERVICE_PORTS),
            Way::Nftables => (&self.nftables, service, SERVICE_PORTS),
            Way::KubeProxyShape => (&self.shape, service, SERVICE_PORTS),
            Way::KubeProxy => {
                (self.kube_proxy.as_ref().context("no such node")?, service, SERVICE_PORTS)
            }
        };
        let [near, far] = ports.map(|port| SocketAddr::new(address, port).to_string());
        let (count, bulk_ms) = (amount.count.to_string(), amount.bulk_ms.to_string());
        let processor = PROCESSORS[0].to_string();
        let command = [
            &*self.program.path,
            "datapath-load",
            "--near",
            &near,
            "--far",
            &far,
            "--processor",
            &processor,
            "--count",
            &count,
            "--bulk-ms",
            &bulk_ms,
        ];
        let text = node.lab.exec(&Place::pod("client"), &command)?.checked();
        Ok(serde_json::from_str(&text.with_context(|| way.name())?)?)
    }

    /// The ways that there are, in the order of a round.
    pub(super) fn ways(&self) -> impl Iterator<Item = Way> {
        Way::ALL.into_iter().filter(|way| *way != Way::KubeProxy || self.kube_proxy.is_some())
    }

    /// Makes sure that what was measured as eBPF was eBPF, and tracked or not as the way says, and
    /// that rules were met where they are what is measured.
    pub(super) fn check_carried(&self) -> Result<()> {
        for node in [&self.ebpf, &self.untracked] {
            let metrics = node.ask("/metrics")?;
            let name =
                "podway_ebpf_service_connects_total{namespace=\"default\",service=\"used\"} ";
            let count = metrics.lines().find_map(|line| line.strip_prefix(name));
            let count: u64 = count.context("no socket was counted")?.parse()?;
            ensure!(count > 0, "no socket was translated");
            let flows = node.flows_to(SERVICE)?;
            ensure!(flows == 0, "{flows} flows met the rules");
        }
        let tracked = self.ebpf.flows_to(&self.ebpf.server.to_string())?;
        ensure!(tracked > 0, "no connection was tracked");
        let tracked = self.untracked.flows_to(&self.untracked.server.to_string())?;
        ensure!(tracked == 0, "{tracked} connections were tracked");
        for node in [&self.nftables, &self.shape].into_iter().chain(&self.kube_proxy) {
            let flows = node.flows_to(SERVICE)?;
            ensure!(flows > 0, "no flow met the rules");
        }
        Ok(())
    }
}

/// A ruleset in kube-proxy's shape with the Service that is used.
fn ruleset(cluster: Cluster, server: IpAddr) -> Result<String> {
    const TABLE: &str = "ip kube-proxy";
    let mut text = Vec::new();
    let ruleset = Ruleset { cluster, release: Release::V1_37, pods: CLUSTER_CIDRS[0] };
    ruleset.write_everything(&mut text)?;
    writeln!(text, "add element {TABLE} cluster-ips {{ {SERVICE} }}")?;
    for (protocol, place) in [("tcp", 0), ("udp", 0), ("tcp", 1)] {
        let (port, target) = (SERVICE_PORTS[place], PORTS[place]);
        let chain = format!("service-USEDUSED-default/used/{protocol}/{port}");
        writeln!(
            text,
            "add chain {TABLE} {chain}\n\
             add rule {TABLE} {chain} meta l4proto {protocol} dnat ip to {server}:{target}\n\
             add element {TABLE} service-ips {{ {SERVICE} . {protocol} . {port} : goto {chain} }}"
        )?;
    }
    Ok(String::from_utf8(text)?)
}
