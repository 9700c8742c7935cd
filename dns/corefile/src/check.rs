//! What can only be seen of whole blocks, and of all blocks together.

use std::collections::BTreeMap;

use crate::config::ServerBlock;
use crate::key::{Key, Scheme};
use crate::mistake::{Faults, Place};
use crate::plugin::{BindAddress, Pods, SearchPath};
use crate::value::{ListenAddress, Zone};

/// Checks all blocks.
pub(crate) fn blocks(blocks: &[ServerBlock], faults: &Faults) {
    for block in blocks {
        autopath(block, faults);
        encryption(block, faults);
    }
    listeners(blocks, faults);
    http(blocks, faults);
}

/// Search paths of pods are known where pods are.
fn autopath(block: &ServerBlock, faults: &Faults) {
    let Some(autopath) = block.autopath().filter(|own| own.search_path == SearchPath::Kubernetes)
    else {
        return;
    };
    let place = place_of(block, "autopath");
    match block.kubernetes() {
        None => faults.mistake(
            place,
            "autopath: @kubernetes needs the plugin kubernetes in the same block",
            "kubernetes { pods verified }",
        ),
        Some(kubernetes) if kubernetes.pods != Pods::Verified => faults.mistake(
            place,
            "autopath: @kubernetes needs to know the pods",
            "pods verified in kubernetes",
        ),
        Some(kubernetes) => {
            let known = |zone: &Zone| {
                let related = |own: &Zone| own.contains(zone.name()) || zone.contains(own.name());
                kubernetes.zones.iter().any(related)
            };
            for zone in autopath.zones.iter().filter(|zone| !known(zone)) {
                let problem = format!("autopath: zone {zone} is none of kubernetes");
                faults.warning(place, problem, "");
            }
        }
    }
}

/// Keys with `tls://` need certificates, and certificates such keys.
fn encryption(block: &ServerBlock, faults: &Faults) {
    let encrypted = block.keys.iter().find(|key| key.scheme == Scheme::Tls);
    match (encrypted, block.tls()) {
        (Some(key), None) => {
            faults.mistake(&key.place, format!("{key} has no certificate"), "tls CERT KEY");
        }
        (None, Some(_)) => {
            let problem = "tls has no effect in a block without a key of tls://";
            faults.warning(place_of(block, "tls"), problem, "");
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Two keys of one zone and port answer at different addresses; so do both protocols of one port.
fn listeners(blocks: &[ServerBlock], faults: &Faults) {
    let binds: Vec<Listens<'_>> = blocks.iter().map(Listens::of).collect();
    let mut by_port: BTreeMap<u16, Vec<(&Key, &Listens<'_>)>> = BTreeMap::new();
    let mut by_zone: BTreeMap<(u16, &Zone), Vec<(&Key, &Listens<'_>)>> = BTreeMap::new();
    for (block, listens) in blocks.iter().zip(&binds) {
        for key in &block.keys {
            let same_zone = by_zone.entry((key.port, &key.zone)).or_default();
            let same_port = by_port.entry(key.port).or_default();
            let overlaps = |(_, other): &&(&Key, &Listens<'_>)| listens.overlaps(other);
            if let Some((first, _)) = same_zone.iter().find(overlaps) {
                let problem = format!("{key} is already answered by the block at {}", first.place);
                faults.mistake(&key.place, problem, "other zones, ports or bind addresses");
            } else if let Some((first, _)) =
                same_port.iter().filter(|(other, _)| other.scheme != key.scheme).find(overlaps)
            {
                let problem = format!("port {} is already that of {first}", key.port);
                faults.mistake(&key.place, problem, "one scheme for each port");
            }
            same_zone.push((key, listens));
            // One key of each block is enough to compare protocols with.
            let of_block = |(other, own): &(&Key, &Listens<'_>)| {
                std::ptr::eq(*own, listens) && other.scheme == key.scheme
            };
            if !same_port.iter().any(of_block) {
                same_port.push((key, listens));
            }
        }
    }
}

/// At which addresses a block answers.
struct Listens<'a> {
    /// Addresses and interfaces; none for all.
    only: Vec<&'a BindAddress>,
    except: Vec<&'a BindAddress>,
}

impl<'a> Listens<'a> {
    fn of(block: &'a ServerBlock) -> Self {
        Self {
            only: block.binds().flat_map(|bind| &bind.addresses).collect(),
            except: block.binds().flat_map(|bind| &bind.except).collect(),
        }
    }

    /// Whether both answer at one address; what interfaces have is not known here.
    fn overlaps(&self, other: &Self) -> bool {
        if self.everywhere() || other.everywhere() {
            return true;
        }
        self.only.iter().any(|address| {
            let both = other.only.iter().any(|own| same(own, address));
            both && !self.except.contains(address) && !other.except.contains(address)
        })
    }

    fn everywhere(&self) -> bool {
        self.only.is_empty()
    }
}

/// Whether two addresses are one, or one of them is all of the other's family.
fn same(one: &BindAddress, other: &BindAddress) -> bool {
    match (one, other) {
        (BindAddress::Address(one), BindAddress::Address(other)) => {
            let all = one.is_unspecified() || other.is_unspecified();
            one == other || (all && one.is_ipv4() == other.is_ipv4())
        }
        (BindAddress::Interface(one), BindAddress::Interface(other)) => one == other,
        (BindAddress::Address(_), BindAddress::Interface(_))
        | (BindAddress::Interface(_), BindAddress::Address(_)) => false,
    }
}

/// What is served by HTTP at one address is of one kind; `health` is given once.
fn http(blocks: &[ServerBlock], faults: &Faults) {
    let mut seen: Vec<(&str, &ListenAddress, &Place)> = Vec::new();
    for block in blocks {
        let addresses = [
            ("health", block.health().map(|health| &health.address)),
            ("ready", block.ready().map(|ready| &ready.address)),
            ("prometheus", block.prometheus().map(|prometheus| &prometheus.address)),
        ];
        for (name, address) in addresses {
            let Some(address) = address else { continue };
            let place = place_of(block, name);
            let taken = seen.iter().find(|(other, taken, _)| {
                let shared = *other == name && name != "health" && *taken == address;
                taken.overlaps(address) && !shared
            });
            if let Some((other, _, first)) = taken {
                let problem = format!("{name}: {address} is already that of {other} at {first}");
                faults.mistake(place, problem, "another address or port");
            }
            seen.push((name, address, place));
        }
    }
}

/// Where a plugin stands in its block.
fn place_of<'a>(block: &'a ServerBlock, name: &str) -> &'a Place {
    let placed = block.plugins.iter().find(|placed| placed.plugin.name() == name);
    placed.map_or(&block.place, |placed| &placed.place)
}
