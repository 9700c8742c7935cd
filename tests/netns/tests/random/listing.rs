//! Our tables as nft lists them, without what two equal tables may differ by.
//!
//! Elements and chains are read by the nftables crate. Version 0.6 of it cannot read the type of
//! every key and every rule that nft 1.0.6 prints (`integer`, a lone masquerade flag), so
//! declarations and rules are compared as nft's JSON.

use std::collections::BTreeMap;
use std::process::Command;

use nftables::expr::Expression;
use nftables::schema::NfListObject;
use serde_json::Value;

/// Lines by family and set, chain or other object, each with how often it is there.
pub(crate) type Listing = BTreeMap<String, BTreeMap<String, usize>>;

/// Lists the tables of this thread's network namespace.
pub(crate) fn read() -> Listing {
    let output = Command::new("nft").args(["--json", "list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let objects = || json["nftables"].as_array().unwrap().iter();
    let hashed: Vec<String> = objects().flat_map(hashed_frontends).collect();
    let mut listing = Listing::new();
    for object in objects() {
        add(object, &hashed, &mut listing);
    }
    listing
}

/// The frontends whose endpoints have slots that mean something, each after its family and map.
fn hashed_frontends(object: &Value) -> Vec<String> {
    let Some(set) = object.get("set") else { return Vec::new() };
    let Some(bank) = set["name"].as_str().unwrap().strip_suffix("hashed") else {
        return Vec::new();
    };
    let map = format!("{} {bank}backends", set["family"].as_str().unwrap());
    let elements = set["elem"].as_array().map_or(&[][..], Vec::as_slice);
    elements.iter().map(|element| format!("{map} {}", bare(element)["concat"])).collect()
}

/// Takes in one object of nft's.
fn add(object: &Value, hashed: &[String], listing: &mut Listing) {
    let (kind, body) = object.as_object().unwrap().iter().next().unwrap();
    if kind == "metainfo" {
        return;
    }
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove("handle");
    let name = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let (family, set) = (name("family"), name("name"));
    let elements = body.as_object_mut().unwrap().remove("elem").unwrap_or_default();
    let line = match kind.as_str() {
        "chain" => {
            let chain: NfListObject<'_> = serde_json::from_value(object.clone()).unwrap();
            let NfListObject::Chain(mut chain) = chain else { panic!("no chain: {chain:?}") };
            chain.handle = None;
            format!("{chain:?}")
        }
        _ => body.to_string(),
    };
    let place = format!("{family} {kind} {set}{}", body["chain"].as_str().unwrap_or_default());
    let lines = listing.entry(place).or_default();
    // The order of a chain's rules counts.
    let line = if kind == "rule" { format!("{}: {line}", lines.len()) } else { line };
    *lines.entry(line).or_default() += 1;
    // Who is remembered depends on the packets that came.
    if set == "affinity" {
        return;
    }
    for element in elements.as_array().map_or(&[][..], Vec::as_slice) {
        *lines.entry(canonical(element, &format!("{family} {set}"), hashed)).or_default() += 1;
    }
}

/// An element as the crate reads it; a slot drawn at random has no meaning of its own.
fn canonical(element: &Value, map: &str, hashed: &[String]) -> String {
    let Value::Array(pair) = element else {
        return format!("{:?} {}", expression(bare(element)), element["elem"]["comment"]);
    };
    let mut key = bare(&pair[0]).clone();
    if map.ends_with("backends") {
        let parts = key["concat"].as_array_mut().unwrap();
        let slot = parts.pop().unwrap();
        if hashed.contains(&format!("{map} {}", key["concat"])) {
            key["concat"].as_array_mut().unwrap().push(slot);
        }
    }
    format!("{:?} : {:?}", expression(&key), expression(&pair[1]))
}

/// What the crate makes of an expression, which must be one.
fn expression(json: &Value) -> Expression<'static> {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// An element without its comment and counter.
fn bare(element: &Value) -> &Value {
    element.get("elem").map_or(element, |inner| &inner["val"])
}

/// Says what is in one and not in the other.
pub(crate) fn compare(kernel: &Listing, fresh: &Listing) -> Result<(), String> {
    if kernel == fresh {
        return Ok(());
    }
    let lines = |listing: &Listing| -> Vec<String> {
        let places = listing.iter().flat_map(|(place, lines)| {
            lines.iter().map(move |(line, count)| format!("{place}: {count} x {line}"))
        });
        places.collect()
    };
    let (kernel, fresh) = (lines(kernel), lines(fresh));
    let only = |one: &[String], other: &[String]| {
        one.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>().join("\n  ")
    };
    Err(format!(
        "nft lists\n  {}\nwhere it lists of a fresh write\n  {}",
        only(&kernel, &fresh),
        only(&fresh, &kernel)
    ))
}
