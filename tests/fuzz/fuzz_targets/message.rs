//! A message from a client, whatever it is: the invariants of `dns/server` hold.
#![no_main]

#[path = "../../../dns/server/tests/support/invariants.rs"]
mod invariants;
#[path = "../../../dns/server/tests/support/zone.rs"]
mod zone;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use podway_dns_server::Transport;
use podway_dns_zone::ZoneIndex;

static ZONE: LazyLock<ZoneIndex> = LazyLock::new(zone::zone);

fuzz_target!(|message: &[u8]| {
    invariants::check(&ZONE, message, Transport::Udp);
});
