use podway_cluster_model::arbitrary;
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{
    Hostname, LocalName, Namespace, NodeName, ObjectName, PortName, ServiceName,
};
use podway_cluster_model::port::{Port, Protocol};
use proptest::prelude::*;

use super::*;

fn written(changes: Vec<Change>) -> (Arc<Snapshot>, Vec<u8>) {
    let mut builder = Builder::new();
    builder.keep_labels(["team".into(), "example.com/tier".into()].into_iter().collect());
    builder.know_imports(Imports::Known);
    let (snapshot, _) = builder.apply(changes);
    let bytes = write(&snapshot, 1_800_000_000, "podway test").unwrap();
    (snapshot, bytes)
}

fn sample() -> Vec<Change> {
    let name = |name: &str| ObjectName::new("shop", name).unwrap();
    vec![
        Change::Namespace(
            Namespace::new("shop").unwrap(),
            [("team".into(), "dns".into())].into_iter().collect(),
        ),
        Change::Slice(EndpointSlice {
            name: name("web-a"),
            service: Some(ServiceName::new("shop", "web").unwrap()),
            origin: None,
            ports: vec![EndpointPort {
                name: PortName::new("http").unwrap(),
                protocol: Protocol::Tcp,
                port: Port::new(8080).unwrap(),
            }],
            endpoints: vec![Endpoint {
                address: "10.244.1.1".parse().unwrap(),
                condition: Condition::Ready { terminating: false },
                hostname: Some(Hostname::new("web-0").unwrap()),
                node: Some(NodeName::new("node-1").unwrap()),
                pod: Some(LocalName::new("web-0").unwrap()),
                zone: Some(Arc::from("zone-a")),
                hints: Hints::new([Arc::from("zone-a")].into(), Default::default()),
            }]
            .into(),
        }),
    ]
}

fn same(left: &Snapshot, right: &Snapshot) -> bool {
    left.services == right.services
        && left.namespaces == right.namespaces
        && left.nodes == right.nodes
        && left.pods == right.pods
        && left.service_cidrs == right.service_cidrs
        && left.label_keys == right.label_keys
        && left.imports == right.imports
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(history in arbitrary::changes(40)) {
        let (snapshot, bytes) = written(history);
        let archive = read(&bytes).unwrap();
        prop_assert_eq!(archive.header.objects, archive.changes.len() as u64);
        prop_assert!(same(&archive.into_snapshot(), &snapshot));
    }

    #[test]
    fn a_changed_byte_is_never_believed(
        history in arbitrary::changes(10),
        place in any::<prop::sample::Index>(),
        change in 1..=u8::MAX,
    ) {
        let (_, mut bytes) = written(history);
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_cut_archive_is_never_believed(
        history in arbitrary::changes(10),
        place in any::<prop::sample::Index>(),
    ) {
        let (_, bytes) = written(history);
        prop_assert!(read(&bytes[..place.index(bytes.len())]).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut archive = MAGIC.to_vec();
        archive.extend_from_slice(&VERSION.to_le_bytes());
        archive.extend_from_slice(&Sha256::digest(&bytes));
        archive.extend_from_slice(&bytes);
        drop(read(&archive));
    }
}

#[test]
fn another_version_and_other_files_are_told_apart() {
    let (_, mut bytes) = written(sample());
    assert!(matches!(read(b"{}"), Err(ReadError::Foreign)));
    bytes[8] = 200;
    let error = read(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "has format version 200, and this podway reads version 4");
}

/// The encoding follows the types; when this fails, [`VERSION`] must change with it.
#[test]
fn the_encoding_is_that_of_its_version() {
    let encoded: Vec<String> = sample()
        .iter()
        .map(|change| HEXLOWER.encode(&postcard::to_allocvec(change).unwrap()))
        .collect();
    assert_eq!(encoded, ENCODED_IN_VERSION_4);
}

/// [`sample`] as version 4 encodes it.
const ENCODED_IN_VERSION_4: [&str; 2] = [
    "060473686f7001047465616d03646e73",
    "020473686f70057765622d61010473686f70037765620001046874747000903f01000af40101000001057765622d30\
     01066e6f64652d3101057765622d3001067a6f6e652d6101067a6f6e652d6100",
];
