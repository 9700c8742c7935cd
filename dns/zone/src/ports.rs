//! Ports as names below a Service have them.

use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::port::Protocol;

/// Whether `port` is the one that `_<name>._<protocol>` asks for.
pub(crate) fn is_named(port: &EndpointPort, name: &[u8], protocol: Protocol) -> bool {
    port.protocol == protocol && port.name.as_str().as_bytes() == name
}

/// Whether a port of this name and protocol is among `ports`; unnamed ones have no name to be found
/// by.
pub(crate) fn has<'p>(
    mut ports: impl Iterator<Item = &'p EndpointPort>,
    name: &[u8],
    protocol: Protocol,
) -> bool {
    !name.is_empty() && ports.any(|port| is_named(port, name, protocol))
}

/// Whether a named port of this protocol is among `ports`, so that names below the protocol's exist.
pub(crate) fn has_any<'p>(
    mut ports: impl Iterator<Item = &'p EndpointPort>,
    protocol: Protocol,
) -> bool {
    ports.any(|port| port.protocol == protocol && !port.name.as_str().is_empty())
}
