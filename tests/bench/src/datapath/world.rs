//! The nodes, one for each way that packets are treated, and what is programmed on each.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Builder, Family, Lab, Place, Running};
use podway_tests_synthetic::{Cluster, cluster_ip};
use tempfile::TempDir;

use super::Way;
use super::load::{Amount, Figures};
use crate::program::shape::{Release, Ruleset};

/// Place of the program for pods, which have a `/tmp` of their own; it outlives a restart of the
/// machine, so programs may lie there.
const PROGRAMS: &str = "/var/tmp";

/// The two pods, both on the only node.
const PODS: &str = "{apiVersion: v1, kind: Pod, metadata: {name: client}, \
    spec: {nodeName: node-1, containers: [{name: main}]}}\n---\n\
    {apiVersion: v1, kind: Pod, metadata: {name: server}, \
    spec: {nodeName: node-1, containers: [{name: main}]}}\n";

/// Ports of the servers: the one that shares the client's processor, and the other.
const PORTS: [u16; 2] = [9000, 9001];

/// Ports of the Service for them.
const SERVICE_PORTS: [u16; 2] = [80, 81];

/// The Service that is used, outside of the range of the made-up ones.
const SERVICE: &str = "10.96.200.7";

/// The processors: of client and near server, and of the far server.
const PROCESSORS: [usize; 2] = [1, 0];

/// The nodes of one size.
pub(super) struct World {
    plain: Node,
    ebpf: Node,
    untracked: Node,
    nftables: Node,
    kube_proxy: Node,
    program: Program,
}

/// A lab of one node, with its servers.
struct Node {
    lab: Lab,
    server: IpAddr,
    _servers: Vec<Running>,
}

/// This program where pods see it.
struct Program {
    _folder: TempDir,
    path: String,
}

impl World {
    /// Starts the nodes with `services` Services beside the one that is used.
    pub(super) fn start(services: u32) -> Result<Self> {
        let program = Program::copy()?;
        let cluster = Cluster { services, endpoints: 1 };
        let node = |builder: Builder| Node::start(builder, &program);
        let plain = node(Lab::builder().nftables().without_podway())?;
        let kube_proxy = node(Lab::builder().nftables().without_podway())?;
        kube_proxy.load(&ruleset(cluster, kube_proxy.server)?)?;
        let ebpf = node(Lab::builder().ebpf())?;
        ebpf.apply(cluster)?;
        let untracked = node(Lab::builder().ebpf().podway_argument("--conntrack-bypass"))?;
        untracked.apply(cluster)?;
        let nftables = node(Lab::builder().nftables())?;
        nftables.apply(cluster)?;
        Ok(Self { plain, ebpf, untracked, nftables, kube_proxy, program })
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
            Way::KubeProxy => (&self.kube_proxy, service, SERVICE_PORTS),
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

    /// Makes sure that what was measured as eBPF was eBPF, and tracked or not as the way says.
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
        Ok(())
    }
}

impl Node {
    fn start(builder: Builder, program: &Program) -> Result<Self> {
        let lab = builder.nodes(1).manifests(PODS).start()?;
        let server = lab.pod_addresses("server")?.of(Family::V4);
        let servers = PORTS.iter().zip(PROCESSORS).map(|(port, processor)| {
            let (port, processor) = (port.to_string(), processor.to_string());
            let command =
                [&*program.path, "datapath-serve", "--port", &port, "--processor", &processor];
            let mut running = lab.spawn(&Place::pod("server"), &command)?;
            let mut line = String::new();
            let output = running.stdout.take().context("server without output")?;
            BufReader::new(output).read_line(&mut line)?;
            ensure!(line.trim() == "ready", "the server does not start");
            Ok(running)
        });
        let servers = servers.collect::<Result<Vec<_>>>()?;
        Ok(Self { server, _servers: servers, lab })
    }

    /// Gives the daemon the Services, and waits until it has programmed them.
    fn apply(&self, cluster: Cluster) -> Result<()> {
        let folder = self.lab.manifests_folder();
        for service in 0..cluster.services {
            let put = |name: String, value: serde_json::Value| {
                let file = folder.join(name);
                fs::write(&file, value.to_string()).with_context(|| file.display().to_string())
            };
            put(format!("bench-{service}.json"), cluster.service_manifest(service))?;
            put(format!("bench-{service}-x.json"), cluster.slice_manifest(service, 0))?;
        }
        let [near, far] = SERVICE_PORTS;
        let port = |name: &str, protocol: &str, port: u16| {
            format!("{{name: {name}, protocol: {protocol}, port: {port}}}")
        };
        let ports = |near: u16, far: u16| {
            let ports =
                [port("tcp", "TCP", near), port("udp", "UDP", near), port("far", "TCP", far)];
            ports.join(", ")
        };
        self.lab.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: used}}, \
             spec: {{clusterIP: {SERVICE}, ports: [{}]}}}}\n---\n\
             {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
             metadata: {{name: used-x, labels: {{kubernetes.io/service-name: used}}}}, \
             ports: [{}], endpoints: [{{addresses: [{}], conditions: {{ready: true}}}}]}}\n",
            ports(near, far),
            ports(PORTS[0], PORTS[1]),
            self.server,
        ))?;
        let last = cluster_ip(cluster.services - 1).to_string();
        let planned = |plan: &str| {
            plan.contains(&format!("{}:{}", self.server, PORTS[1])) && has_address(plan, &last)
        };
        self.lab.wait_until("the daemon to follow", || Ok(planned(&self.ask("/debug/plan")?)))
    }

    /// Loads a ruleset on the node.
    fn load(&self, ruleset: &str) -> Result<()> {
        let mut nft = self.lab.spawn(&Place::node(1), &["nft", "-f", "-"])?;
        let mut input = nft.stdin.take().context("nft without input")?;
        input.write_all(ruleset.as_bytes())?;
        drop(input);
        nft.output()?.checked().map(drop)
    }

    /// How many flows the node tracks whose clients sent to `address`.
    fn flows_to(&self, address: &str) -> Result<usize> {
        let list = ["conntrack", "-L", "--orig-dst", address];
        let listed = self.lab.exec(&Place::node(1), &list)?.checked()?;
        Ok(listed.lines().filter(|line| line.contains(address)).count())
    }

    fn ask(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:10249{path}");
        self.lab.exec(&Place::node(1), &["curl", "-gsSf", "--max-time", "20", &url])?.checked()
    }
}

/// Whether a frontend of `plan` is at `address`.
fn has_address(plan: &str, address: &str) -> bool {
    plan.split(|c: char| !(c.is_ascii_digit() || c == '.')).any(|word| word == address)
}

/// A ruleset in kube-proxy's shape with the Service that is used.
fn ruleset(cluster: Cluster, server: IpAddr) -> Result<String> {
    const TABLE: &str = "ip kube-proxy";
    let mut text = Vec::new();
    Ruleset { cluster, release: Release::V1_37 }.write_everything(&mut text)?;
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

impl Program {
    fn copy() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("podway-bench-").tempdir_in(PROGRAMS)?;
        let path = folder.path().join("bench");
        fs::copy(std::env::current_exe()?, &path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self { path: text(&path), _folder: folder })
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
