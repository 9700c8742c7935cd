//! Nodes and Pods.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::name::{LocalName, NodeName, ObjectName};
use podway_cluster_model::node::{Eligibility, Node, Pod, Sockets};

use crate::field::{Field, List};
use crate::object::{Annotations, NodeAddress, Object, PodIp, Spec, Status, Taint};
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::address::{self, Use};
use super::{Checker, labels, one_of_each_family};

/// Taint that the cluster autoscaler puts on a node before it removes it (KEP-3836).
const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Label that says which zone a Node is in.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Converts a Node.
pub(super) fn convert_node<I>(object: Object<I>, checker: &mut Checker) -> Result<Node, Fault> {
    let (metadata_path, spec_path) = (Path::root("metadata"), Path::root("spec"));
    let metadata = object.metadata.required(metadata_path)?;
    let name = metadata.name.name_of(metadata_path.field("name"), NodeName::new)?;
    let spec = checker.keep(object.spec.or_default(spec_path)).unwrap_or_default();
    let status = checker.keep(object.status.or_default(Path::root("status"))).unwrap_or_default();
    let labels_path = metadata_path.field("labels");
    let mut labels = checker.keep(metadata.labels.or_default(labels_path)).unwrap_or_default();
    let zone = labels.take(ZONE_LABEL).non_empty(labels_path.label(ZONE_LABEL));
    let zone = checker.keep(zone).flatten().map(Arc::from);
    let leaving =
        metadata.deletion_timestamp.is_present() | has_deletion_taint(spec.taints, checker);
    let networks = if spec.pod_cidrs.is_present() {
        let path = spec_path.field("podCIDRs");
        checker.each(spec.pod_cidrs, path, |_, text, path| address::network(&text, path))
    } else {
        let path = spec_path.field("podCIDR");
        let text = checker.keep(spec.pod_cidr.non_empty(path)).flatten();
        text.and_then(|text| checker.keep(address::network(&text, path))).into_iter().collect()
    };
    Ok(Node {
        name,
        addresses: node_addresses(status.addresses, checker),
        pod_cidrs: first_of_each_family(networks, checker),
        zone,
        eligibility: if leaving { Eligibility::Leaving } else { Eligibility::Eligible },
    })
}

fn has_deletion_taint(taints: List<Taint>, checker: &mut Checker) -> bool {
    let (spec, taint) = (Path::root("spec"), |_: &mut Checker, taint: Taint, path: Path<'_>| {
        taint.key.required(path.field("key"))
    });
    checker.each(taints, spec.field("taints"), taint).iter().any(|key| key == TO_BE_DELETED_TAINT)
}

/// Internal addresses, then external ones; names are left out.
fn node_addresses(addresses: List<NodeAddress>, checker: &mut Checker) -> Vec<IpAddr> {
    let status = Path::root("status");
    let one = |_: &mut Checker, entry: NodeAddress, path: Path<'_>| {
        let rank = match entry.r#type.required(path.field("type"))?.as_str() {
            "InternalIP" => 0,
            "ExternalIP" => 1,
            _ => return Ok(None),
        };
        let path = path.field("address");
        let address = address::address(&entry.address.required(path)?, Use::Location, path)?;
        Ok(Some((rank, address)))
    };
    let mut ranked: Vec<(u8, IpAddr)> =
        checker.each(addresses, status.field("addresses"), one).into_iter().flatten().collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

fn first_of_each_family(networks: Vec<IpNet>, checker: &mut Checker) -> Vec<IpNet> {
    let path = Path::root("spec");
    one_of_each_family(
        networks,
        |network| network.addr(),
        |_, network| {
            let reason = Reason::SecondOfFamily { value: network.to_string() };
            checker.faults.push(path.field("podCIDRs").fault(reason));
        },
    )
}

/// Converts a Pod.
pub(super) fn convert_pod<I>(object: Object<I>, checker: &mut Checker) -> Result<Pod, Fault> {
    let (metadata_path, spec_path) = (Path::root("metadata"), Path::root("spec"));
    let mut metadata = object.metadata.required(metadata_path)?;
    let annotations = std::mem::take(&mut metadata.annotations);
    let labels = std::mem::take(&mut metadata.labels).or_default(metadata_path.field("labels"));
    let labels = labels::convert(checker.keep(labels).unwrap_or_default(), checker);
    let name = metadata.qualified(metadata_path, |namespace, name| {
        Ok(ObjectName { namespace, name: LocalName::new(name)? })
    })?;
    let Spec { node_name, host_network, .. } =
        checker.keep(object.spec.or_default(spec_path)).unwrap_or_default();
    let node = node_name.optional_name_of(spec_path.field("nodeName"), NodeName::new);
    let host_network = host_network.or_default(spec_path.field("hostNetwork"));
    let status = checker.keep(object.status.or_default(Path::root("status"))).unwrap_or_default();
    Ok(Pod {
        name,
        node: checker.keep(node).flatten(),
        addresses: pod_addresses(status, checker),
        host_network: checker.keep(host_network).unwrap_or_default(),
        sockets: sockets(annotations, checker),
        labels,
    })
}

/// Whether sockets of a pod with these annotations may be translated.
///
/// A mesh's proxy in the pod or beside it takes connections by their destination, and has to see the
/// Service there; these are the annotations that Istio (sidecar and ambient) and Linkerd leave.
fn sockets(annotations: Field<Annotations>, checker: &mut Checker) -> Sockets {
    let metadata = Path::root("metadata");
    let path = metadata.field("annotations");
    let Annotations { sockets, istio_sidecar, istio_ambient, linkerd_proxy, .. } =
        checker.keep(annotations.or_default(path)).unwrap_or_default();
    let path = path.label("podway.dev/sockets");
    let asked = sockets.non_empty(path).and_then(|text| match text.as_deref() {
        None => Ok(Sockets::Translated),
        Some("untranslated") => Ok(Sockets::Untranslated),
        Some(text) => {
            let accepted = "untranslated";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    });
    let asked = checker.keep(asked).unwrap_or_default();
    let is_in_mesh = istio_sidecar.is_present()
        || linkerd_proxy.is_present()
        || istio_ambient
            .non_empty(metadata.field("annotations"))
            .is_ok_and(|text| text.as_deref() == Some("enabled"));
    if is_in_mesh { Sockets::Untranslated } else { asked }
}

/// The addresses of a pod that has not ended; another may have them afterwards.
fn pod_addresses(status: Status, checker: &mut Checker) -> Vec<IpAddr> {
    let path = Path::root("status");
    let phase = checker.keep(status.phase.or_default(path.field("phase"))).unwrap_or_default();
    if matches!(phase.as_str(), "Failed" | "Succeeded") {
        return Vec::new();
    }
    if status.pod_ips.is_present() {
        let one = |_: &mut Checker, entry: PodIp, path: Path<'_>| {
            let path = path.field("ip");
            address::address(&entry.ip.required(path)?, Use::Location, path)
        };
        return checker.each(status.pod_ips, path.field("podIPs"), one);
    }
    let path = path.field("podIP");
    let text = checker.keep(status.pod_ip.non_empty(path)).flatten();
    let address = text.map(|text| address::address(&text, Use::Location, path));
    address.and_then(|address| checker.keep(address)).into_iter().collect()
}
