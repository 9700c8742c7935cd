//! A zone file, whatever it is: the invariants of `dns/plugin` hold.
#![no_main]

#[path = "../../../dns/plugin/tests/support/zone_file.rs"]
mod zone_file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    zone_file::check(text);
});
