//! A pod as the API server knows it, and how it is named and placed.

use super::spec::{IntOrString, Labels, PodSpec, Protocol};
use crate::address::DualStack;
use crate::place::ObjectName;
use crate::protocol::PodPhase;

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pod {
    pub(crate) name: ObjectName,
    /// Differs between pods of the same name that followed each other.
    pub(crate) uid: String,
    /// The workload that made it; none for a bare pod.
    pub(crate) owner: Option<Owner>,
    /// Hash of the template that it was made of.
    pub(crate) revision: String,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) spec: PodSpec,
    /// Number of its node, once it is placed.
    pub(crate) node: Option<u8>,
    pub(crate) addresses: Option<DualStack>,
    pub(crate) phase: PodPhase,
    /// Whether all its containers are ready.
    pub(crate) ready: bool,
    /// When it was deleted, as the API writes times.
    pub(crate) deleted_at: Option<String>,
    /// What people should know about it.
    pub(crate) notes: Vec<String>,
    /// Number of pods made before it.
    pub(crate) sequence: u64,
}

/// The workload that owns a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    /// Kind as the pod's owner reference has it.
    pub(crate) kind: &'static str,
    /// Name as the pod's owner reference has it: of a Deployment's pod, the ReplicaSet.
    pub(crate) name: String,
    /// Name of the workload that the user wrote.
    pub(crate) workload: String,
    /// Number among its siblings, for a StatefulSet.
    pub(crate) ordinal: Option<u32>,
}

impl Pod {
    /// Whether it was deleted and has not gone yet.
    pub(crate) fn is_terminating(&self) -> bool {
        self.phase == PodPhase::Terminating
    }

    /// Whether it counts as a replica that serves.
    pub(crate) fn is_available(&self) -> bool {
        self.ready && !self.is_terminating()
    }

    /// Resolves a target port as the endpoint controller does; a name that no container declares
    /// has no number.
    pub(crate) fn resolve(&self, target: &IntOrString, protocol: Protocol) -> Option<u16> {
        match target {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => self
                .spec
                .containers
                .iter()
                .flat_map(|container| &container.ports)
                .find(|port| port.name == *name && port.protocol == protocol)
                .map(|port| port.container_port),
        }
    }
}

/// Hash of `parts` in the alphabet that Kubernetes uses for generated names, which has no vowels
/// and so makes no words.
pub(crate) fn hash_name(parts: &[&str], length: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    // FNV-1a, finished so that similar inputs differ in every digit.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut name = String::with_capacity(length);
    for _ in 0..length {
        hash = (hash ^ (hash >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let digit = usize::try_from((hash >> 33) % 27).unwrap_or_default();
        name.push(char::from(ALPHABET[digit]));
    }
    name
}

/// An identifier in the form of a UUID, the same for the same `parts`.
pub(crate) fn uid(parts: &[&str]) -> String {
    let text = hash_name(parts, 32);
    let hex: String =
        text.bytes().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte % 16)])).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_differ_with_every_part() {
        let names = [hash_name(&["a", "b"], 5), hash_name(&["ab", ""], 5), hash_name(&["a"], 5)];
        assert_ne!(names[0], names[1]);
        assert_ne!(names[0], names[2]);
        assert!(names.iter().all(|name| name.len() == 5));
        assert_eq!(uid(&["x"]).len(), 36);
    }
}
