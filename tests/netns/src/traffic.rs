//! Tables of requests: who asks where, who has to answer, and whose address the server sees.
//!
//! All rows of a table run at once, since a row that shows silence takes as long as its time-out.
//! They run once: whoever changed the cluster before calls [`programmed`], and after that every
//! packet has to go its way.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use podway_tests_lab::{Failure, Family, Outcome, Place, PodPhase, Transport};

use crate::{Cluster, NODES, requests_that_meet};

/// Service and namespace that [`programmed`] uses.
const MARKER: &str = "traffic-marker/marker";

/// Where a daemon tells its plan.
const PLAN: &str = "http://127.0.0.1:10249/debug/plan";

/// A Service of the pods with the label `app: APP` in both families, with the port 80 over TCP and
/// UDP; `more` has other fields of its spec in flow style.
#[must_use]
pub fn service(name: &str, app: &str, more: &str) -> String {
    labelled_service(name, app, "", more)
}

/// As [`service`] with the port `node_port` of the nodes.
#[must_use]
pub fn node_port_service(name: &str, app: &str, node_port: u16, more: &str) -> String {
    let ports = ports(&format!(", nodePort: {node_port}"));
    document(name, "", &format!("type: NodePort, selector: {{app: {app}}}, {ports}, {more}"))
}

/// As [`service`] with labels in flow style.
#[must_use]
pub fn labelled_service(name: &str, app: &str, labels: &str, more: &str) -> String {
    document(name, labels, &format!("selector: {{app: {app}}}, {}, {more}", ports("")))
}

fn ports(more: &str) -> String {
    format!("ports: [{{name: tcp, port: 80{more}}}, {{name: udp, port: 80, protocol: UDP{more}}}]")
}

fn document(name: &str, labels: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, labels: {{{labels}}}}}, \
         spec: {{ipFamilyPolicy: RequireDualStack, {spec}}}}}\n"
    )
}

/// `port` at `address`.
#[must_use]
pub fn at(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// Lets the client outside send what is for `address` to node `number`.
///
/// # Errors
/// When the route cannot be set.
pub fn way_outside(cluster: &Cluster, address: IpAddr, number: u8) -> Result<()> {
    let family = Family::of(address);
    let option = if family == Family::V4 { "-4" } else { "-6" };
    let (address, node) = (address.to_string(), cluster.node_ip(number, family).to_string());
    let command = ["ip", option, "route", "replace", &address, "via", &node];
    cluster.exec(&Place::Outside, &command)?.checked().map(drop)
}

/// Waits until every daemon has programmed all that was applied before.
///
/// A Service without endpoints is added and removed again. Daemons take files in the order in which
/// they were written, and removed ones in the order of removal.
///
/// # Errors
/// When that does not come about.
pub fn programmed(cluster: &Cluster) -> Result<()> {
    let (namespace, name) = MARKER.split_once('/').context("marker without namespace")?;
    let marker = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}}}, \
         spec: {{ports: [{{port: 1}}]}}}}"
    );
    for present in [true, false] {
        if present {
            cluster.apply(&marker)?
        } else {
            cluster.delete(&marker)?
        };
        for number in NODES {
            cluster.wait_until(&format!("podway on node {number} to follow"), || {
                let command = ["curl", "-gsS", "--max-time", "5", PLAN];
                let plan = cluster.exec(&Place::node(number), &command)?.checked()?;
                Ok(plan.contains(MARKER) == present)
            })?;
        }
    }
    Ok(())
}

/// Deletes `pod` and waits until it terminates; every daemon knows so then.
///
/// # Errors
/// When there is no such pod, or it is gone at once.
pub fn terminate(cluster: &Cluster, pod: &str) -> Result<()> {
    cluster.delete_pod(pod)?;
    let phase = cluster.pod(pod)?.phase;
    ensure!(phase == PodPhase::Terminating, "pod {pod}: {phase:?}");
    programmed(cluster)
}

/// Whose address a server sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The client's own.
    Client,
    /// One of this node's.
    Node(u8),
    /// One of this node's, at which the frontend is; where eBPF sends sockets straight to pods, the
    /// node's own pods are seen as themselves.
    Entered(u8),
    /// This one.
    Address(IpAddr),
}

/// What has to become of requests.
#[derive(Debug, Clone)]
enum Expected {
    /// Each of these pods answers some, nobody else does.
    Pods(BTreeSet<String>, Seen),
    /// They end in one of these ways.
    Fails(&'static [Failure]),
}

/// Requests from one place to one address.
#[derive(Debug, Clone)]
struct Row {
    from: Place,
    transport: Transport,
    to: SocketAddr,
    expected: Expected,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: ", self.from, self.transport.as_str(), self.to)?;
        match &self.expected {
            Expected::Pods(pods, seen) => write!(f, "{pods:?} seeing {seen:?}"),
            Expected::Fails(failures) => write!(f, "{failures:?}"),
        }
    }
}

/// Requests that are made at once, over TCP and over UDP each.
#[derive(Debug)]
pub struct Traffic<'a> {
    cluster: &'a Cluster,
    transports: &'static [Transport],
    rows: Vec<Row>,
}

impl<'a> Traffic<'a> {
    /// An empty table.
    #[must_use]
    pub fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, transports: &Transport::ALL, rows: Vec::new() }
    }

    /// An empty table whose requests are made over one transport.
    #[must_use]
    pub fn over(cluster: &'a Cluster, transport: Transport) -> Self {
        let transports = match transport {
            Transport::Tcp => &[Transport::Tcp][..],
            Transport::Udp => &[Transport::Udp][..],
            Transport::Sctp => &[Transport::Sctp][..],
        };
        Self { cluster, transports, rows: Vec::new() }
    }

    /// Requests from `from` to `to` reach each of `pods`, which see the address of `seen`.
    pub fn reaches(&mut self, from: &Place, to: SocketAddr, pods: &[&str], seen: Seen) {
        let pods = pods.iter().map(|&pod| pod.to_owned()).collect();
        self.row(from, to, &Expected::Pods(pods, seen));
    }

    /// Requests from `from` to `to` are refused at once.
    pub fn refused(&mut self, from: &Place, to: SocketAddr) {
        self.row(from, to, &Expected::Fails(&[Failure::Refused]));
    }

    /// Requests from `from` to `to` are dropped in silence.
    pub fn dropped(&mut self, from: &Place, to: SocketAddr) {
        self.row(from, to, &Expected::Fails(&[Failure::Silent]));
    }

    /// Requests from `from` to `to` are left to routing, by which nobody answers: they end at the
    /// client outside, which is the nodes' router and knows no further way.
    pub fn untouched(&mut self, from: &Place, to: SocketAddr) {
        self.row(from, to, &Expected::Fails(&[Failure::Silent, Failure::Unreachable]));
    }

    fn row(&mut self, from: &Place, to: SocketAddr, expected: &Expected) {
        let row = |transport: &Transport| Row {
            from: from.clone(),
            transport: *transport,
            to,
            expected: expected.clone(),
        };
        self.rows.extend(self.transports.iter().map(row));
    }

    /// Makes all requests.
    ///
    /// # Errors
    /// When the table is empty or a row does not hold; the error has all that do not.
    pub fn check(self) -> Result<()> {
        ensure!(!self.rows.is_empty(), "a table without rows shows nothing");
        let (cluster, rows) = (self.cluster, &self.rows);
        let fails = |row: &Row| matches!(row.expected, Expected::Fails(_));
        if rows.iter().any(fails) {
            cluster.lift_icmp_limits()?;
        }
        let outcomes: Vec<Result<()>> = thread::scope(|scope| {
            let running: Vec<_> =
                rows.iter().map(|row| scope.spawn(move || row.check(cluster))).collect();
            let ended = running.into_iter().map(|one| match one.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ended.collect()
        });
        let mut wrong = String::new();
        for (row, outcome) in rows.iter().zip(outcomes) {
            if let Err(error) = outcome {
                // Writing to a string cannot fail.
                write!(wrong, "\n  {row}\n    {error:#}").unwrap_or_default();
            }
        }
        ensure!(wrong.is_empty(), "these rows of {} do not hold:{wrong}", rows.len());
        Ok(())
    }
}

impl Row {
    fn check(&self, cluster: &Cluster) -> Result<()> {
        let count = match &self.expected {
            Expected::Pods(pods, _) => requests_that_meet(pods.len()),
            Expected::Fails(_) => 1,
        };
        let call = |count| cluster.call(&self.from, self.transport, self.to, count);
        let mut outcomes = match call(1) {
            Err(error) if self.is_not_sent(&error) => return Ok(()),
            outcomes => outcomes?,
        };
        if outcomes.iter().all(Result::is_ok) {
            outcomes.extend(call(count - 1)?);
        }
        match &self.expected {
            Expected::Pods(pods, seen) => self.check_answers(cluster, outcomes, pods, *seen),
            Expected::Fails(failures) => {
                let fails =
                    |outcome: &&Outcome| matches!(outcome, Err(one) if failures.contains(one));
                let wrong = outcomes.iter().find(|outcome| !fails(outcome));
                wrong.map_or(Ok(()), |outcome| bail!("{outcome:?}"))
            }
        }
    }

    /// Whether the kernel would not send what is to fail.
    ///
    /// The sender of a datagram that the rules of its own node drop or refuse is told so at once.
    fn is_not_sent(&self, error: &anyhow::Error) -> bool {
        matches!(self.expected, Expected::Fails(_))
            && self.transport != Transport::Tcp
            && format!("{error:#}").contains("PermissionDenied")
    }

    fn check_answers(
        &self,
        cluster: &Cluster,
        outcomes: Vec<Outcome>,
        pods: &BTreeSet<String>,
        seen: Seen,
    ) -> Result<()> {
        let mut reached = BTreeSet::new();
        let mut clients = BTreeSet::new();
        for outcome in outcomes {
            let Ok(answer) = outcome else { bail!("{outcome:?}") };
            reached.insert(answer.pod.name);
            clients.insert(answer.client.ip());
        }
        ensure!(reached == *pods, "{reached:?} answered");
        for client in clients {
            let right = match seen {
                Seen::Client => client == source(cluster, &self.from, self.to)?,
                Seen::Entered(number) if self.is_carried(cluster, number)? => {
                    client == source(cluster, &self.from, self.to)?
                }
                Seen::Node(number) | Seen::Entered(number) => cluster.is_of_node(number, client)?,
                Seen::Address(address) => client == address,
            };
            ensure!(right, "{client} was seen");
        }
        Ok(())
    }
}

impl Row {
    /// Whether the socket is one of a pod of node `number` whose sockets eBPF carries.
    fn is_carried(&self, cluster: &Cluster, number: u8) -> Result<bool> {
        let Place::Pod(name) = &self.from else { return Ok(false) };
        let is_inet = self.transport != Transport::Sctp;
        let node = cluster.pod(&name.to_string())?.node;
        Ok(is_inet && cluster.is_on_ebpf() && node == Some(format!("node-{number}")))
    }
}

/// The address that `place` sends from towards `to`.
fn source(cluster: &Cluster, place: &Place, to: SocketAddr) -> Result<IpAddr> {
    let family = Family::of(to.ip());
    Ok(match place {
        Place::Outside => cluster.outside_ip(family),
        Place::Node(_) | Place::ControlPlane => {
            let option = if family == Family::V4 { "-4" } else { "-6" };
            let target = to.ip().to_string();
            let route = cluster.exec(place, &["ip", option, "-o", "route", "get", &target])?;
            let route = route.checked()?;
            let source = route.split_once(" src ").context("no source")?.1;
            source.split_whitespace().next().context("no source")?.parse()?
        }
        Place::Pod(name) => cluster.pod_addresses(&name.to_string())?.of(family),
    })
}
