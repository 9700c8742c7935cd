//! What suites against a real API server share.
//!
//! A test runs [`in_api_lab`]: a lab whose etcd, API server and controllers are the real ones, and
//! whose daemons watch that API server by their own account. Where the programs cannot be had, tests
//! fail and say what is missing; `API_SERVER_TESTS=off` leaves them out.

mod chart;
mod ways;

use anyhow::{Context as _, Result};
use podway_tests_lab::{Builder, Component, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::client;
use podway_tests_netns::{Cluster, NODES, Route, in_lab};

pub use chart::{deploy, objects, rendered};
pub use ways::Blocked;

/// Switches off, by name, what needs a real API server; the value is `off`.
const SWITCH: &str = "API_SERVER_TESTS";

/// Last lines of a program's log that a failure shows.
const LOG_LINES: usize = 15;

/// Starts the lab of `builder` with a real API server and runs `test` in it.
///
/// # Panics
/// When the lab does not start or the test fails, with the last lines of the logs.
pub fn in_api_lab(builder: Builder, test: impl FnOnce(&Cluster) -> Result<()>) {
    if is_switched_off() {
        return;
    }
    in_lab(builder.api_server(), |cluster| {
        test(cluster).inspect_err(|_error| {
            for component in [Component::ApiServer, Component::ControllerManager] {
                let log = cluster.component_log(component).unwrap_or_default();
                let lines: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
                eprintln!("-- {component:?}, last lines:");
                lines.into_iter().rev().for_each(|line| eprintln!("{line}"));
            }
        })
    });
}

/// Whether the tests of this crate are left out, which is then said aloud.
#[must_use]
pub fn is_switched_off() -> bool {
    let off = std::env::var(SWITCH).is_ok_and(|value| value == "off");
    if off {
        let thread = std::thread::current();
        eprintln!("NOT RUN: {}: {SWITCH}=off", thread.name().unwrap_or("a test"));
    }
    off
}

/// A lab with a client pod on each node and the Service `web` of the pods `web-1` and `web-2`.
pub fn web() -> Builder {
    use podway_tests_netns::manifests::{clients, pod, service};
    let pods = pod("web-1", 1, "") + &pod("web-2", 2, "");
    Lab::builder().manifests(pods + &service("web", WEB) + &clients())
}

/// `spec` of the Service `web`.
pub const WEB: &str = "ipFamilyPolicy: PreferDualStack, ports: [{port: 80, targetPort: 8080}]";

/// Ways over the rules of both nodes to the Service `web`.
///
/// # Errors
/// When there is no such Service.
pub fn web_routes(cluster: &Cluster) -> Result<Vec<Route<'_>>> {
    let to = cluster.at("web", Family::V4, 80)?;
    Ok(NODES.map(|number| cluster.route(&client(number), Transport::Tcp, to)).into())
}

/// Waits until the daemon of node `number` answers `name` with the data `expected`.
///
/// # Errors
/// When it does not.
pub fn answers(cluster: &Cluster, number: u8, name: &str, expected: &[String]) -> Result<()> {
    let server = cluster.node_ip(number, Family::V4);
    let lookup = cluster.lookup(&Place::node(number), &[name]);
    let mut sorted = expected.to_vec();
    sorted.sort();
    cluster.wait_until(&format!("node {number} to answer {name} with {expected:?}"), || {
        let response = lookup.ask_at(server)?;
        let data: Vec<_> = response.data().into_iter().collect();
        anyhow::ensure!(data == sorted, "it answers {data:?}");
        Ok(true)
    })
}

/// The path of an object in the API.
#[must_use]
pub fn path(kind: &str, name: &str) -> String {
    format!("/api/v1/namespaces/default/{kind}/{name}")
}

/// Applies by `kubectl` and fails with what it says.
///
/// # Errors
/// When it refuses.
pub fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.kubectl(arguments, "")?;
    output.checked().with_context(|| format!("kubectl {}", arguments.join(" ")))
}
