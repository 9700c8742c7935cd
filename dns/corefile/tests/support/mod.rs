//! What several test files, and the fuzzer, hold of every Corefile.

pub(crate) mod invariants;
