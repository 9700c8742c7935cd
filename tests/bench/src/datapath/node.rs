//! A node of the benchmark: a lab with the client, the server, and the Services.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use podway_tests_lab::{Builder, Family, Lab, Place, Running};
use podway_tests_synthetic::{Cluster, cluster_ip};
use tempfile::TempDir;

/// Place of the program for pods, which have a `/tmp` of their own; it outlives a restart of the
/// machine, so programs may lie there.
const PROGRAMS: &str = "/var/tmp";

/// The two pods, both on the only node.
const PODS: &str = "{apiVersion: v1, kind: Pod, metadata: {name: client}, \
    spec: {nodeName: node-1, containers: [{name: main, image: lab}]}}\n---\n\
    {apiVersion: v1, kind: Pod, metadata: {name: server}, \
    spec: {nodeName: node-1, containers: [{name: main, image: lab}]}}\n";

/// Ports of the servers: the one that shares the client's processor, and the other.
pub(super) const PORTS: [u16; 2] = [9000, 9001];

/// Ports of the Service for them.
pub(super) const SERVICE_PORTS: [u16; 2] = [80, 81];

/// The Service that is used, outside of the range of the made-up ones.
pub(super) const SERVICE: &str = "10.96.200.7";

/// The processors: of client and near server, and of the far server.
pub(super) const PROCESSORS: [usize; 2] = [1, 0];

/// A lab of one node, with its servers.
pub(super) struct Node {
    pub(super) lab: Lab,
    pub(super) server: IpAddr,
    _servers: Vec<Running>,
}

/// This program where pods see it.
pub(super) struct Program {
    _folder: TempDir,
    pub(super) path: String,
}

impl Node {
    pub(super) fn start(builder: Builder, program: &Program) -> Result<Self> {
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
            if line.trim() != "ready" {
                bail!("the server does not start: {}", running.output()?);
            }
            Ok(running)
        });
        let servers = servers.collect::<Result<Vec<_>>>()?;
        Ok(Self { server, _servers: servers, lab })
    }

    /// Gives the daemon the Services, and waits until it has programmed them.
    pub(super) fn apply(&self, cluster: Cluster) -> Result<()> {
        let folder = self.lab.manifests_folder();
        for service in 0..cluster.services {
            let put = |name: String, value: serde_json::Value| {
                let file = folder.join(name);
                fs::write(&file, value.to_string()).with_context(|| file.display().to_string())
            };
            put(format!("bench-{service}.json"), cluster.service_manifest(service))?;
            put(format!("bench-{service}-x.json"), cluster.slice_manifest(service, 0))?;
        }
        self.lab.apply(&used(self.server))?;
        let last = cluster_ip(cluster.services - 1).to_string();
        let planned = |plan: &str| {
            plan.contains(&format!("{}:{}", self.server, PORTS[1])) && has_address(plan, &last)
        };
        self.lab.wait_until("the daemon to follow", || Ok(planned(&self.ask("/debug/plan")?)))
    }

    /// Loads a ruleset on the node.
    pub(super) fn load(&self, ruleset: &str) -> Result<()> {
        let mut nft = self.lab.spawn(&Place::node(1), &["nft", "-f", "-"])?;
        let mut input = nft.stdin.take().context("nft without input")?;
        input.write_all(ruleset.as_bytes())?;
        drop(input);
        nft.output()?.checked().map(drop)
    }

    /// How many flows the node tracks whose clients sent to `address`.
    pub(super) fn flows_to(&self, address: &str) -> Result<usize> {
        let list = ["conntrack", "-L", "--orig-dst", address];
        let listed = self.lab.exec(&Place::node(1), &list)?.checked()?;
        Ok(listed.lines().filter(|line| line.contains(address)).count())
    }

    pub(super) fn ask(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:10249{path}");
        self.lab.exec(&Place::node(1), &["curl", "-gsSf", "--max-time", "20", &url])?.checked()
    }
}

/// Manifests of the Service that is used, with the pod `server` as its endpoint.
pub(super) fn used(server: IpAddr) -> String {
    let ports = |[near, far]: [u16; 2]| {
        let port = |name: &str, protocol: &str, port: u16| {
            format!("{{name: {name}, protocol: {protocol}, port: {port}}}")
        };
        [port("tcp", "TCP", near), port("udp", "UDP", near), port("far", "TCP", far)].join(", ")
    };
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: used}}, \
         spec: {{clusterIP: {SERVICE}, ports: [{}]}}}}\n---\n\
         {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
         metadata: {{name: used-x, labels: {{kubernetes.io/service-name: used}}}}, \
         ports: [{}], endpoints: [{{addresses: [{server}], conditions: {{ready: true}}}}]}}\n",
        ports(SERVICE_PORTS),
        ports(PORTS),
    )
}

/// Whether a frontend of `plan` is at `address`.
fn has_address(plan: &str, address: &str) -> bool {
    plan.split(|c: char| !(c.is_ascii_digit() || c == '.')).any(|word| word == address)
}

impl Program {
    pub(super) fn copy() -> Result<Self> {
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
