//! Messages of ctnetlink as bytes.
//!
//! Source: `include/uapi/linux/netfilter/nfnetlink_conntrack.h` and `nf_conntrack_netlink.c`. The
//! attributes' numbers are those of `netlink-bindings`; tests in `tests/netns` compare with what the
//! program `conntrack` shows.

use std::net::{IpAddr, SocketAddr};

use netlink_bindings::conntrack::{
    ConntrackAttrs, IterableConntrackAttrs, IterableTupleAttrs, Nfgenmsg, PushConntrackAttrs,
};
use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::stale_flows::Flow;

/// `NFNL_SUBSYS_CTNETLINK`, the high octet of a message type.
const SUBSYSTEM: u16 = 1 << 8;

/// `IPCTNL_MSG_CT_NEW`: one tracked flow.
pub(super) const TRACKED: u16 = SUBSYSTEM;

/// `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;

/// Length of `struct nfgenmsg` in bytes.
const FAMILY_HEADER_BYTES: usize = 4;

/// `CTA_FILTER_F_CTA_IP_DST`, `CTA_FILTER_F_CTA_PROTO_NUM` and `CTA_FILTER_F_CTA_PROTO_DST_PORT`:
/// which parts of the tuple a flow must have.
const FILTER_DESTINATION: u32 = 1 << 1;
const FILTER_PROTOCOL: u32 = 1 << 3;
const FILTER_PORT: u32 = 1 << 5;

/// The zone that packets are in unless a rule of somebody else says otherwise.
const DEFAULT_ZONE: u16 = 0;

/// Which flows the kernel is to tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// Those of a protocol.
    Protocol(Protocol),
    /// Those to a frontend; for IPv6 also others of its protocol and port.
    Frontend(FrontendKey),
    /// All.
    All,
}

/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
const TRANSLATED: u32 = 1 << 4 | 1 << 5;

/// One entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tracked {
    /// Where its client sends from.
    client: SocketAddr,
    destination: FrontendKey,
    answerer: SocketAddr,
    /// Tells it from a later flow with the same addresses.
    id: u32,
}

impl Tracked {
    /// The flow it is kept for.
    pub(super) const fn flow(&self) -> Flow {
        Flow { destination: self.destination, answerer: self.answerer }
    }
}

/// A request for the selected flows of `family`.
pub(super) fn dump(family: Family, selection: &Selection) -> Vec<u8> {
    let mut bytes = Vec::new();
    message(&mut bytes, GET, NLM_F_DUMP, family, |bytes| {
        let attributes = PushConntrackAttrs::new(bytes);
        let tuple = match selection {
            // Of any zone, and of protocols that are no Service's.
            Selection::All => return,
            Selection::Protocol(_) | Selection::Frontend(_) => {
                attributes.push_zone(DEFAULT_ZONE).nested_tuple_orig()
            }
        };
        match selection {
            Selection::All => return,
            Selection::Protocol(protocol) => tuple
                .nested_tuple_proto()
                .push_proto_num(protocol.number())
                .end_nested()
                .end_nested()
                .nested_filter()
                .push_orig_flags(FILTER_PROTOCOL),
            Selection::Frontend(key) => {
                let (tuple, flags) = match key.address {
                    IpAddr::V4(to) => {
                        let tuple = tuple.nested_tuple_ip().push_ip_v4_dst(to).end_nested();
                        (tuple, FILTER_DESTINATION | FILTER_PORT)
                    }
                    // The kernel (6.18 and before) leaves out just the flows to an IPv6 address
                    // that it is asked for: `ctnetlink_filter_match_tuple` compares the wrong way.
                    IpAddr::V6(_) => (tuple, FILTER_PORT),
                };
                tuple
                    .nested_tuple_proto()
                    .push_proto_num(key.protocol.number())
                    .push_proto_dst_port(key.port.number())
                    .end_nested()
                    .end_nested()
                    .nested_filter()
                    .push_orig_flags(FILTER_PROTOCOL | flags)
            }
        }
        .end_nested();
    });
    bytes
}

/// Requests that delete each of `entries`, each to be acknowledged.
pub(super) fn deletions(entries: &[Tracked]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let Tracked { client, destination, id, .. } = *entry;
        let family = Family::of(destination.address);
        message(&mut bytes, DELETE, NLM_F_ACK, family, |bytes| {
            let address = PushConntrackAttrs::new(bytes)
                .push_zone(DEFAULT_ZONE)
                .push_id(id)
                .nested_tuple_orig()
                .nested_tuple_ip();
            let address = match (client.ip(), destination.address) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    address.push_ip_v4_src(from).push_ip_v4_dst(to)
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    address.push_ip_v6_src(from).push_ip_v6_dst(to)
                }
                // What came in one message is of one family.
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => address,
            };
            address
                .end_nested()
                .nested_tuple_proto()
                .push_proto_num(destination.protocol.number())
                .push_proto_src_port(client.port())
                .push_proto_dst_port(destination.port.number())
                .end_nested()
                .end_nested();
        });
    }
    bytes
}

/// Appends a message to `bytes`.
fn message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: Family,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = match family {
        Family::Ip => 2,
        Family::Ip6 => 10,
    };
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(header.as_slice());
    attributes(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Reads one entry; `None` for one of another protocol or zone than ours.
pub(super) fn tracked(payload: &[u8]) -> Option<Tracked> {
    let attributes = ConntrackAttrs::new(payload.get(FAMILY_HEADER_BYTES..)?);
    if attributes.get_zone().is_ok_and(|zone| zone != DEFAULT_ZONE) {
        return None;
    }
    let original = Tuple::read(&attributes, Direction::Original)?;
    let reply = Tuple::read(&attributes, Direction::Reply)?;
    Some(Tracked {
        client: original.source,
        destination: FrontendKey {
            address: original.destination.ip(),
            protocol: original.protocol,
            port: Port::new(original.destination.port())?,
        },
        answerer: reply.source,
        id: attributes.get_id().ok()?,
    })
}

/// The client of a flow, and where replies are sent to, whatever zone it is in; `None` for one that
/// nothing is translated of.
pub(super) fn translated_client(payload: &[u8]) -> Option<[IpAddr; 2]> {
    let attributes = ConntrackAttrs::new(payload.get(FAMILY_HEADER_BYTES..)?);
    let is_translated = attributes.get_status().is_ok_and(|status| status & TRANSLATED != 0);
    let original = Tuple::read(&attributes, Direction::Original).filter(|_| is_translated)?;
    let reply = Tuple::read(&attributes, Direction::Reply)?;
    Some([original.source.ip(), reply.destination.ip()])
}

/// One direction of a flow.
struct Tuple {
    source: SocketAddr,
    destination: SocketAddr,
    protocol: Protocol,
}

enum Direction {
    Original,
    Reply,
}

impl Tuple {
    fn read(attributes: &IterableConntrackAttrs<'_>, direction: Direction) -> Option<Self> {
        let tuple: IterableTupleAttrs<'_> = match direction {
            Direction::Original => attributes.get_tuple_orig(),
            Direction::Reply => attributes.get_tuple_reply(),
        }
        .ok()?;
        let (address, proto) = (tuple.get_tuple_ip().ok()?, tuple.get_tuple_proto().ok()?);
        let number = proto.get_proto_num().ok()?;
        let source = address
            .get_ip_v4_src()
            .map(IpAddr::from)
            .or_else(|_| address.get_ip_v6_src().map(IpAddr::from));
        let destination = address
            .get_ip_v4_dst()
            .map(IpAddr::from)
            .or_else(|_| address.get_ip_v6_dst().map(IpAddr::from));
        Some(Self {
            source: SocketAddr::new(source.ok()?, proto.get_proto_src_port().ok()?),
            destination: SocketAddr::new(destination.ok()?, proto.get_proto_dst_port().ok()?),
            protocol: Protocol::ALL.into_iter().find(|protocol| protocol.number() == number)?,
        })
    }
}
