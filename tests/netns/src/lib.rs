//! What suites on the real kernel share.
//!
//! A test that writes to the kernel itself calls [`isolated`] first: the test binary starts itself
//! once more for just this test, under `unshare` with a new network namespace (and, for who is not
//! root, a new user namespace), so nothing of the host is reached. A test of the daemon among nodes,
//! pods and clients runs [`in_lab`]. Where namespaces cannot be had, tests fail.
//!
//! | module | owns |
//! | --- | --- |
//! | `cluster` | a lab for one test |
//! | `route` | requests: whom they reach, and by what chance they would not |
//! | `daemon` | the daemon as its operator sees it |
//! | `lookup` | queries: what the daemons and a pod's resolver say |
//! | `manifests` | workloads to test with |
//! | `resolvers` | the resolvers of programs in pods, built and asked |
//! | `traffic` | tables of requests that are made at once |

mod cluster;
mod daemon;
mod lookup;
pub mod manifests;
pub mod resolvers;
mod route;
pub mod traffic;

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

pub use cluster::{Cluster, FAMILIES, NODES, in_lab};
pub use lookup::{Lookup, Response};
pub use route::{HeldFlow, Route, all_reach, ensure_even, names, requests_that_meet, undisturbed};

/// Set in the environment of the process that runs inside.
const INSIDE: &str = "PODWAY_TEST_INSIDE";

/// Switches off, by name, what needs namespaces; the value is `off`.
const SWITCH: &str = "NETNS_TESTS";

/// Whether the calling test runs inside its own namespaces; when not, it has been run there.
///
/// `test` is the test's full name. A caller returns at once when the answer is `false`:
///
/// ```no_run
/// if !podway_tests_netns::isolated("table_is_written") {
///     return;
/// }
/// ```
///
/// # Panics
/// When the test failed inside, or could not be run there.
#[must_use]
pub fn isolated(test: &str) -> bool {
    isolated_after(test, || ())
}

/// [`isolated`] for a test that needs something made outside before: `prepare` makes it.
///
/// # Panics
/// As there, and when `prepare` does.
#[must_use]
pub fn isolated_after(test: &str, prepare: impl FnOnce()) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if is_switched_off(test) {
        return false;
    }
    prepare();
    let output = run_inside(test).unwrap_or_else(|error| {
        panic!(
            "cannot run unshare (package util-linux): {error}; {SWITCH}=off leaves this test out"
        )
    });
    // What was said inside counts no second test, so it is shown only when it matters.
    assert!(
        output.status.success(),
        "{test} failed inside its namespaces: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    false
}

/// Whether tests that need namespaces are left out, which is then said aloud.
fn is_switched_off(test: &str) -> bool {
    let off = std::env::var(SWITCH).is_ok_and(|value| value == "off");
    if off {
        eprintln!("NOT RUN: {test}: {SWITCH}=off");
    }
    off
}

fn run_inside(test: &str) -> std::io::Result<Output> {
    let binary = std::env::current_exe()?;
    // The owner of one's own folder in /proc is who one is.
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let user: &[&str] = if is_root { &[] } else { &["--user", "--map-root-user"] };
    Command::new("unshare")
        .args(user)
        .args(["--net", "--kill-child", "--fork", "--"])
        .arg(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
}
