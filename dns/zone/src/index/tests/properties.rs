//! What holds whatever happens: deltas and whole snapshots come to the same, and answers are true.

use super::strategies::*;
use super::*;

/// Follows `history` batch by batch.
fn follow(config: ZoneConfig, history: &[Vec<Change>]) -> (ZoneIndex, Arc<Snapshot>) {
    let mut builder = builder();
    let mut index = ZoneIndex::new(config);
    let mut last = Arc::default();
    for (now, batch) in (NOW..).zip(history) {
        let (snapshot, delta) = builder.apply(batch.clone());
        index = index.update(&snapshot, &delta, now);
        last = snapshot;
    }
    (index, last)
}

/// The zone's own lines of a dump: owner, type, data.
fn lines(index: &ZoneIndex) -> Vec<(Name, RecordType, String)> {
    index
        .to_string()
        .lines()
        .filter(|line| !line.starts_with(';'))
        .map(|line| {
            let mut fields = line.splitn(5, ' ');
            let mut next = || fields.next().unwrap();
            let (owner, _ttl, _class, record_type, data) = (next(), next(), next(), next(), next());
            (Name::from_ascii(owner).unwrap(), record_type.parse().unwrap(), data.to_owned())
        })
        .collect()
}

/// The names that an address leads to.
fn pointer_targets(index: &ZoneIndex, address: IpAddr) -> Vec<String> {
    match answer(index, &reverse::name(address), RecordType::PTR) {
        Answer::Records { answers, .. } => {
            answers.iter().map(|record| record.data.to_string()).collect()
        }
        Answer::NotOurs | Answer::NxDomain { .. } | Answer::NoData { .. } => Vec::new(),
        other @ (Answer::NotSynced { .. } | Answer::Alias { .. } | Answer::Refused) => {
            panic!("{address} gets {other:?}")
        }
    }
}

/// Every address in an answer.
fn addresses(answer: &Answer) -> Vec<IpAddr> {
    let Answer::Records { answers, additionals } = answer else { return Vec::new() };
    answers.iter().chain(additionals).filter_map(|record| record.data.ip_addr()).collect()
}

/// Whether `address` is one of a Service's, an endpoint's or a pod's in the snapshot.
fn is_known(snapshot: &Snapshot, address: IpAddr) -> bool {
    let of_services = snapshot.services.values().any(|entry| {
        entry.service.iter().any(|service| service.cluster_ips().contains(&address))
            || entry.slices.values().any(|slice| {
                slice
                    .endpoints
                    .iter()
                    .any(|endpoint| endpoint.condition.is_ready() && endpoint.address == address)
            })
    });
    let mut imports = snapshot.services.values().filter_map(|entry| entry.imported.as_ref());
    let of_imports = imports.any(|imported| {
        let own = imported.import.iter().any(|import| match &import.kind {
            ImportKind::ClusterSetIp(addresses) => addresses.contains(&address),
            ImportKind::Headless => false,
        });
        let mut endpoints = imported.slices.values().flat_map(|slice| &slice.endpoints);
        own || endpoints.any(|one| one.condition.is_ready() && one.address == address)
    });
    of_services || of_imports || snapshot.pods.values().any(|pod| pod.addresses.contains(&address))
}

proptest! {
    #[test]
    fn update_gives_what_a_build_from_nothing_gives(
        config in any_config(),
        history in any_history(),
    ) {
        let (updated, snapshot) = follow(config.clone(), &history);
        let built = ZoneIndex::new(config).update(&snapshot, &Delta::default(), NOW);
        prop_assert_eq!(updated.tables(), built.tables());
        let rebuilt = updated.rebuild(&snapshot, NOW + 1_000);
        prop_assert_eq!(rebuilt.serial(), updated.serial());
        prop_assert_eq!(rebuilt.to_string(), updated.to_string());
    }

    #[test]
    fn equal_serials_mean_equal_answers(config in any_config(), history in any_history()) {
        let mut builder = builder();
        let mut index = ZoneIndex::new(config);
        for batch in history {
            let (snapshot, delta) = builder.apply(batch);
            let next = index.update(&snapshot, &delta, NOW);
            if next.serial() == index.serial() {
                prop_assert_eq!(next.to_string(), index.to_string());
            }
            index = next;
        }
    }

    #[test]
    fn any_question_has_an_answer_with_known_addresses_only(
        config in any_config(),
        history in any_history(),
        questions in prop::collection::vec(any_question(), 1..20),
    ) {
        let insecure = config.pods() == PodMode::Insecure;
        let (index, snapshot) = follow(config, &history);
        for (name, record_type) in questions {
            let answer = answer(&index, &name, record_type);
            if let Some(direct) = rendered(&index, &name, record_type) {
                prop_assert_eq!(&direct, &answer, "{} {} directly", name, record_type);
            }
            if let Answer::Records { answers, .. } = &answer {
                prop_assert!(!answers.is_empty());
                for record in answers {
                    prop_assert!(record.name.eq_case(&name));
                    let of_type = record_type == record.record_type() || record_type == RecordType::ANY;
                    prop_assert!(of_type, "{} for {}", record, record_type);
                }
            }
            // Unverified names of pods say their own address, which nobody vouches for.
            let is_pod = name.iter().any(|label| label.eq_ignore_ascii_case(b"pod"));
            for address in addresses(&answer) {
                let known = is_known(&snapshot, address);
                prop_assert!(known || insecure && is_pod, "{name} gives {address}");
            }
        }
    }

    #[test]
    fn unsynced_index_answers_nothing(config in any_config(), question in any_question()) {
        let (name, record_type) = question;
        let answer = answer(&ZoneIndex::new(config), &name, record_type);
        let silent = matches!(answer, Answer::NotOurs | Answer::NotSynced { .. });
        prop_assert!(silent, "{:?}", answer);
    }

    #[test]
    fn existence_is_the_same_for_every_type(
        config in any_config(),
        history in any_history(),
        name in any_question().prop_map(|(name, _)| name),
    ) {
        let (index, _) = follow(config, &history);
        let missing = |record_type| {
            let answer = answer(&index, &name, record_type);
            matches!(answer, Answer::NxDomain { .. } | Answer::NotOurs)
        };
        let types = [RecordType::AAAA, RecordType::SRV, RecordType::PTR, RecordType::SOA, RecordType::TXT];
        for record_type in types {
            prop_assert_eq!(missing(RecordType::A), missing(record_type), "{} {}", name, record_type);
        }
    }

    #[test]
    fn parents_of_existing_names_exist(config in any_config(), history in any_history()) {
        let (index, _) = follow(config, &history);
        let dns = Name::from_ascii("dns.cluster.local.").unwrap();
        for (owner, ..) in lines(&index) {
            let parent = owner.base_name();
            let answer = answer(&index, &parent, RecordType::A);
            prop_assert!(parent == dns || !matches!(answer, Answer::NxDomain { .. }), "{parent}");
        }
    }

    #[test]
    fn pointer_leads_to_a_name_that_has_the_address(
        config in any_config(),
        history in any_history(),
    ) {
        let (index, _) = follow(config, &history);
        for (owner, _, data) in lines(&index).iter().filter(|line| line.1 == RecordType::PTR) {
            let target = Name::from_ascii(data).unwrap();
            let both = [RecordType::A, RecordType::AAAA].map(|family| answer(&index, &target, family));
            let has_it = both.iter().flat_map(addresses).any(|found| reverse::name(found) == *owner);
            prop_assert!(has_it, "{owner} leads to {data}, which does not have it");
        }
    }

    #[test]
    fn address_of_a_name_leads_back_to_it_or_to_an_endpoint(
        config in any_config(),
        history in any_history(),
    ) {
        let (index, _) = follow(config, &history);
        let tables = index.tables().unwrap();
        for records in tables.services() {
            for address in records.addresses.iter() {
                let targets = pointer_targets(&index, address);
                prop_assert!(!targets.is_empty(), "{address} of {} leads nowhere", records.name);
                let own = format!("{}.{}.svc.cluster.local.", records.name.name, records.name.namespace);
                prop_assert!(
                    !records.owns(address) || targets.contains(&own),
                    "{address} of {own} leads to {targets:?}"
                );
            }
        }
    }
}
