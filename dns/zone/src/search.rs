//! The search path of a pod, walked on its behalf.
//!
//! A pod with the usual `ndots:5` asks for a short name below each suffix of its path before it asks
//! for the name itself. Who knows the path can walk it in one go: that of a pod is its namespace's,
//! then those of all namespaces, the zone, and the node's own. Only the first query of a path is
//! taken for one, and only from an address that pods of one namespace have; pods on the node's own
//! network are nobody in particular.
//!
//! The first name that exists ends the walk, whether or not it has records of the type asked, since
//! it also ends the search of resolvers.

use std::collections::VecDeque;
use std::net::IpAddr;

use hickory_proto::rr::{Name, Record, RecordType};
use podway_cluster_model::name::{Namespace, NodeName};
use podway_cluster_model::node::Pod;

use crate::answer::{Answer, answer};
use crate::index::ZoneIndex;
use crate::records::Origin;

/// Whose search paths are walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPaths {
    /// The node whose pods are known; `None` for all nodes.
    pub node: Option<NodeName>,
    /// What the node's own search list has, which stands last in that of every pod.
    pub host: Vec<Name>,
}

impl SearchPaths {
    /// Whether the addresses of `pod` tell who asks.
    pub(crate) fn covers(&self, pod: &Pod) -> bool {
        !pod.host_network && self.node.as_ref().is_none_or(|node| pod.node.as_ref() == Some(node))
    }
}

/// What is left of a path, after the name that was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// The name asked.
    asked: Name,
    record_type: RecordType,
    /// The names to try, in order.
    rest: VecDeque<Name>,
    /// Seconds that the alias may be kept.
    ttl: u32,
}

/// The next name of a path that may exist.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It is ours and exists.
    Found {
        /// The alias from the name asked.
        alias: Record,
        /// The name.
        name: Name,
        /// What it answers; never that it does not exist.
        answer: Box<Answer>,
    },
    /// It is not ours: somebody else has to be asked.
    Outside {
        /// The alias from the name asked.
        alias: Record,
        /// The name.
        name: Name,
    },
    /// There is none.
    Exhausted,
}

impl Walk {
    /// The rest of the path that `name`, which does not exist, is the first name of; `None` where it
    /// is no such name.
    ///
    /// Only addresses are searched for so.
    #[must_use]
    pub fn begin(
        index: &ZoneIndex,
        client: IpAddr,
        name: &Name,
        record_type: RecordType,
    ) -> Option<Self> {
        let config = index.config();
        let paths = config.search_paths()?;
        if !matches!(record_type, RecordType::A | RecordType::AAAA) {
            return None;
        }
        let namespace = index.tables()?.clients.namespace_of(client.to_canonical())?;
        let bare = without_suffix(name, namespace, config.domain())?;
        let zone = config.domain();
        let of_services = Name::from_labels(["svc".as_bytes()]).ok()?.append_domain(zone).ok()?;
        let suffixes = [of_services, zone.clone()];
        // A name that would be too long cannot be asked for, so it is not tried.
        let below = |suffix: &Name| bare.clone().append_domain(suffix).ok();
        let mut rest: VecDeque<Name> =
            suffixes.iter().chain(&paths.host).filter_map(below).collect();
        rest.extend(below(&Name::root()));
        Some(Self { asked: name.clone(), record_type, rest, ttl: config.ttl().seconds() })
    }

    /// Goes on to the next name that may exist.
    pub fn step(&mut self, index: &ZoneIndex) -> Step {
        while let Some(name) = self.rest.pop_front() {
            let alias = || Origin::of(&self.asked, 0, self.ttl).cname(&self.asked, name.clone());
            match answer(index, &name, self.record_type) {
                Answer::NxDomain { .. } | Answer::NotSynced { .. } | Answer::Refused => {}
                Answer::NotOurs => return Step::Outside { alias: alias(), name },
                answer
                @ (Answer::Records { .. } | Answer::Alias { .. } | Answer::NoData { .. }) => {
                    return Step::Found { alias: alias(), name, answer: Box::new(answer) };
                }
            }
        }
        Step::Exhausted
    }
}

/// `name` without the suffix of the namespace's search path, if it has it and something before.
fn without_suffix(name: &Name, namespace: &Namespace, zone: &Name) -> Option<Name> {
    let suffix = [namespace.as_str().as_bytes(), b"svc"].into_iter().chain(zone.iter());
    let labels: Vec<&[u8]> = name.iter().collect();
    let before = labels.len().checked_sub(2 + zone.iter().len()).filter(|before| *before > 0)?;
    let (bare, own) = labels.split_at(before);
    let is_suffix =
        own.iter().zip(suffix).all(|(own, expected)| own.eq_ignore_ascii_case(expected));
    // Not absolute: the suffixes are still to come.
    is_suffix.then(|| Name::from_labels(bare.iter().copied()).ok()).flatten().map(|mut bare| {
        bare.set_fqdn(false);
        bare
    })
}

#[cfg(test)]
mod tests;
