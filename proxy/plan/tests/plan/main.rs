//! The behavior of plans, one module for each part of it.
#![cfg(test)]

mod check;
mod conflicts;
mod dump;
mod frontends;
mod health;
mod hints;
mod loopback;
mod masquerade;
mod node_local;
mod planner;
mod property;
mod stale_flows;
mod support;
mod terminating;
mod verdicts;
mod weights;
