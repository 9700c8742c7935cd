//! Changes of EDNS options in queries (RFC 6891; RFC 7871 for the subnet of a client).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use ipnet::IpNet;
use podway_dns_corefile::plugin::{EdnsAction, EdnsData, EdnsRewrite, EdnsVariable};

use super::Exchange;
use crate::presentation;

/// What a server that speaks EDNS for a client that does not can take, in octets.
const PAYLOAD_OCTETS: u16 = 1232;

/// Changes an option; `false` if there was nothing to change.
pub(super) fn change(
    rule: &EdnsRewrite,
    edns: &mut Option<Edns>,
    question: &Query,
    exchange: &Exchange,
) -> bool {
    let code = EdnsCode::from(rule.data.code());
    let present = edns.as_ref().is_some_and(|edns| edns.option(code).is_some());
    let sets = match rule.action {
        EdnsAction::Set => true,
        EdnsAction::Append => !present,
        EdnsAction::Replace => present,
        EdnsAction::Unset => {
            if let Some(edns) = edns {
                edns.options_mut().remove(code);
            }
            return present;
        }
    };
    let Some(option) = sets.then(|| option(&rule.data, question, exchange)).flatten() else {
        return false;
    };
    let edns = edns.get_or_insert_with(|| {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_OCTETS);
        edns
    });
    edns.options_mut().remove(code);
    edns.options_mut().insert(option);
    true
}

/// Takes a changed option out of the reply, if the rule says so.
pub(super) fn revert(rule: &EdnsRewrite, reply: &mut Message) {
    if let (true, Some(edns)) = (rule.revert, &mut reply.edns) {
        edns.options_mut().remove(EdnsCode::from(rule.data.code()));
    }
}

/// The options with these codes in wire form.
pub(super) fn wire(edns: &Edns, codes: &BTreeSet<u16>) -> Vec<u8> {
    let mut octets = Vec::new();
    for code in codes {
        let option = edns.option(EdnsCode::from(*code));
        let Some(Ok(data)) = option.map(Vec::<u8>::try_from) else { continue };
        let Ok(length) = u16::try_from(data.len()) else { continue };
        octets.extend_from_slice(&code.to_be_bytes());
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(&data);
    }
    octets
}

/// The option; `None` if what it would say is not known.
fn option(data: &EdnsData, question: &Query, exchange: &Exchange) -> Option<EdnsOption> {
    Some(match data {
        EdnsData::Local { code, octets } => EdnsOption::Unknown(*code, octets.clone()),
        EdnsData::Variable { code, variable } => {
            EdnsOption::Unknown(*code, value(*variable, question, exchange)?)
        }
        EdnsData::Nsid => EdnsOption::Unknown(EdnsCode::NSID.into(), Vec::new()),
        EdnsData::Subnet { ipv4_bits, ipv6_bits } => {
            let address = exchange.client.ip().to_canonical();
            let bits = if address.is_ipv4() { *ipv4_bits } else { *ipv6_bits };
            // The parser of the Corefile keeps bits within the address.
            let network = IpNet::new(address, bits).ok()?.network();
            EdnsOption::Subnet(ClientSubnet::new(network, bits, 0))
        }
    })
}

/// What a variable stands for.
fn value(variable: EdnsVariable, question: &Query, exchange: &Exchange) -> Option<Vec<u8>> {
    let address = |socket: SocketAddr| match socket.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let port = |socket: SocketAddr| socket.port().to_be_bytes().to_vec();
    Some(match variable {
        EdnsVariable::QueryName => presentation::lower_text(&question.name).into_bytes(),
        EdnsVariable::QueryType => u16::from(question.query_type).to_be_bytes().to_vec(),
        EdnsVariable::ClientAddress => address(exchange.client),
        EdnsVariable::ClientPort => port(exchange.client),
        EdnsVariable::Protocol => exchange.protocol.as_bytes().to_vec(),
        EdnsVariable::ServerAddress => address(exchange.server?),
        EdnsVariable::ServerPort => port(exchange.server?),
    })
}
