//! Whatever the cluster does, in whatever order: the table in the kernel is the one that a fresh
//! start would write, and packets go where `route` says.
//!
//! After each step all of both tables is compared in the kernel's own bytes ([`dump`]); every tenth
//! step the tables are written whole, as they are once an hour, and nft lists them ([`listing`]).
//!
//! A run prints its seed; `PODWAY_RANDOM_SEED` repeats it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dump;
mod listing;
mod node;
mod spread;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::Change;
use podway_cluster_model::service::Choice;
use podway_tests_netns::isolated;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use dump::Dump;
use node::{Mirror, Node, Settings};
use wire::Wire;

/// Histories of a run.
const CASES: u32 = 10;

/// Steps of a history.
const STEPS: usize = 50;

/// Steps between two listings by nft.
///
/// It takes a tenth of a second to list both tables, of the kernel that was changed and of the one
/// that was not; the bytes, which are compared at each step, take a fiftieth of that.
const LISTED_EVERY: usize = 10;

/// Packets that are sent after a step.
const PACKETS: usize = 4;

/// Repeats a run.
const SEED: &str = "PODWAY_RANDOM_SEED";

/// One change of the cluster, and the packets that are sent after it.
#[derive(Debug, Clone)]
struct Step {
    changes: Vec<Change>,
    packets: Vec<(Index, Index)>,
}

/// A few changes at once; half of the time a Service comes with slices that serve it.
fn step() -> impl Strategy<Value = Step> {
    let served = arbitrary::service_with_slices().prop_map(|(service, slices)| {
        let slices = slices.into_iter().map(Change::Slice);
        std::iter::once(Change::Service(service)).chain(slices).collect::<Vec<_>>()
    });
    let changes = prop_oneof![served, vec(arbitrary::change(), 1..=3)];
    let packets = vec((any::<Index>(), any::<Index>()), PACKETS);
    (changes, packets)
        .prop_map(|(changes, packets)| Step { changes: sparing_hashes(changes), packets })
}

/// Lets few Services choose by hash: each frontend of one has 4,096 elements, and a table of nothing
/// else would take all of the time.
fn sparing_hashes(mut changes: Vec<Change>) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Service(service) = change
            && service.name.to_string() != "shop/web"
        {
            service.spread.choice = Choice::Random;
        }
    }
    changes
}

fn settings() -> impl Strategy<Value = Settings> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (switches, 0..32_u8).prop_map(|((pods, all, external, unknown), masquerade_bit)| Settings {
        tells_pods: pods,
        masquerades_all: all,
        allows_external: external,
        refuses_unknown: unknown,
        masquerade_bit,
    })
}

/// The seed asked for, or one of the moment.
fn seed() -> [u8; 32] {
    let text = std::env::var(SEED).unwrap_or_else(|_| {
        let mut bytes = [0; 16];
        bytes
            .copy_from_slice(std::fs::read("/proc/sys/kernel/random/uuid").unwrap()[..16].as_ref());
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
            text
        })
    });
    eprintln!("{SEED}={text}");
    let mut seed = [0; 32];
    let octets = text.as_bytes();
    let length = octets.len().min(32);
    seed[..length].copy_from_slice(&octets[..length]);
    seed
}

#[test]
fn kernel_follows_every_history_as_a_fresh_start_would_and_packets_as_route_says() {
    let test = "kernel_follows_every_history_as_a_fresh_start_would_and_packets_as_route_says";
    if !isolated(test) {
        return;
    }
    let wire = RefCell::new(Wire::new());
    let mirror = Mirror::start();
    let (steps, delivered) = (Cell::new(0_usize), RefCell::new(node::Tally::default()));
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 10,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed());
    let history = (settings(), arbitrary::cluster(), vec(step(), STEPS));
    let outcome =
        TestRunner::new_with_rng(config, rng).run(&history, |(settings, first, history)| {
            let mut node = Node::new(settings);
            node.apply(sparing_hashes(first))?;
            for step in history {
                node.apply(step.changes)?;
                mirror.write(node.fresh());
                node.send(&mut wire.borrow_mut(), &step.packets, &mut delivered.borrow_mut())?;
                Dump::read().compare(&mirror.dump()).map_err(TestCaseError::fail)?;
                steps.set(steps.get() + 1);
                if steps.get() % 100 == 0 {
                    eprintln!("{} steps", steps.get());
                }
                if steps.get() % LISTED_EVERY == 0 {
                    node.write_whole()?;
                    let (kernel, fresh) = (listing::read(), mirror.listing());
                    listing::compare(&kernel, &fresh).map_err(TestCaseError::fail)?;
                }
            }
            Ok(())
        });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let delivered = delivered.into_inner();
    eprintln!("{} steps, {delivered:?}", steps.get());
    assert!(steps.get() >= CASES as usize * STEPS);
    assert!(delivered.met_everything(), "too tame: {delivered:?}");
}
