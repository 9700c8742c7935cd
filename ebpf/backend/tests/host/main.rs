//! The plan as map entries, read on the host by the code of the programs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod agreement;
mod support;
mod translate;
