//! Our own annotations of a Service: how its clients are spread over the endpoints.
//!
//! `podway.dev/hash: client-ip` chooses by the client's address; `podway.dev/weights: web-0=3,
//! 10.244.1.7=0` gives endpoints weights, by the name of their Pod or by their address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use podway_cluster_model::name::LocalName;
use podway_cluster_model::service::{Choice, MAX_WEIGHT, Spread};

use crate::field::Field;
use crate::object::Annotations;
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::Checker;

/// Reads both annotations; what is wrong in them is lost, and nothing else.
pub(super) fn spread(annotations: Field<Annotations>, checker: &mut Checker) -> Spread {
    let metadata = Path::root("metadata");
    let path = metadata.field("annotations");
    let Annotations { weights, hash, .. } =
        checker.keep(annotations.or_default(path)).unwrap_or_default();
    let (weights_path, hash_path) =
        (path.label("podway.dev/weights"), path.label("podway.dev/hash"));
    let choice = hash.non_empty(hash_path).and_then(|text| choice(text, hash_path));
    let choice = checker.keep(choice).unwrap_or_default();
    let text = checker.keep(weights.non_empty(weights_path)).flatten().unwrap_or_default();
    let mut weights = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some((endpoint, weight)) = checker.keep(weight(part, weights_path)) {
            weights.insert(endpoint, weight);
        }
    }
    Spread { choice, weights }
}

fn choice(text: Option<String>, path: Path<'_>) -> Result<Choice, Fault> {
    match text.as_deref() {
        None => Ok(Choice::Random),
        Some("client-ip") => Ok(Choice::ClientHash),
        Some(text) => {
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted: "client-ip" }))
        }
    }
}

/// One part of the weights: the Pod's name or the address, written as Kubernetes does, and a number.
fn weight(part: &str, path: Path<'_>) -> Result<(Arc<str>, u8), Fault> {
    let accepted = "POD=WEIGHT, ADDRESS=WEIGHT";
    let malformed = || path.fault(Reason::UnknownValue { text: quotable(part), accepted });
    let (endpoint, number) = part.split_once('=').ok_or_else(malformed)?;
    let (endpoint, number) = (endpoint.trim(), number.trim());
    let endpoint: Arc<str> = match endpoint.parse::<IpAddr>() {
        Ok(address) => address.to_string().into(),
        Err(_) => LocalName::new(endpoint).map_err(|error| path.fault(error))?.as_str().into(),
    };
    let number: i64 = number.parse().ok().ok_or_else(malformed)?;
    match u8::try_from(number) {
        Ok(weight) if weight <= MAX_WEIGHT => Ok((endpoint, weight)),
        _ => Err(path.fault(Reason::OutOfRange { number, least: 0, most: i64::from(MAX_WEIGHT) })),
    }
}
