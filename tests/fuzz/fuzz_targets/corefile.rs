//! A file taken for a Corefile, whatever it is: the invariants of `dns/corefile` hold.
#![no_main]

#[path = "../../../dns/corefile/tests/support/invariants.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| invariants::check(file));
