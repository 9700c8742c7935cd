//! The whole zone as text, ordered, for golden files and for people.
//!
//! Every line is what [`answer`] gives for its name and type, so the text cannot differ from what
//! clients see. Left out are answers that repeat others: SRV at the bare names of Services and
//! endpoints, addresses at the names of ports, and, since they are without number, the unverified
//! names of pods.

use std::collections::BTreeSet;
use std::fmt;

use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_cluster_model::port::Protocol;

use crate::answer::{Answer, answer};
use crate::config::PodMode;
use crate::dashed;
use crate::imports::ImportRecords;
use crate::index::{Tables, ZoneIndex};
use crate::reverse;
use crate::service::ServiceRecords;
use crate::zones::ZoneKind;

impl fmt::Display for ZoneIndex {
    /// Writes the zone in the text form of RFC 1035 §5, one record a line, all names absolute.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(tables) = self.tables() else {
            return writeln!(formatter, "; {} is not synced", self.config().domain());
        };
        let mut dump = Dump { index: self, formatter };
        dump.head(tables)?;
        let mut services: Vec<&ServiceRecords> = tables.services().collect();
        services.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        services.into_iter().try_for_each(|records| dump.service(records))?;
        dump.imports(tables)?;
        dump.pods(tables)?;
        dump.reverse(tables)
    }
}

/// The text on its way out.
struct Dump<'a, 'f> {
    index: &'a ZoneIndex,
    formatter: &'a mut fmt::Formatter<'f>,
}

impl Dump<'_, '_> {
    /// The zone itself, and in comments what has no records.
    fn head(&mut self, tables: &Tables) -> fmt::Result {
        let namespaces: BTreeSet<String> =
            tables.namespaces().map(|key| key[1..].escape_ascii().to_string()).collect();
        let namespaces: Vec<String> = namespaces.into_iter().collect();
        writeln!(self.formatter, "; namespaces: {}", namespaces.join(" "))?;
        let pods = match self.index.config().pods() {
            PodMode::Disabled => "disabled",
            PodMode::Insecure => "insecure",
            PodMode::Verified => "verified",
        };
        writeln!(self.formatter, "; pods: {pods}")?;
        for zone in self.index.config().zones().skip(1) {
            let what = match zone.kind {
                ZoneKind::Forward => "zone",
                ZoneKind::Imported => "zone of imported Services",
                ZoneKind::Reverse(_) => "reverse zone",
            };
            writeln!(self.formatter, "; {what}: {}", zone.apex)?;
        }
        self.records(&[], &[RecordType::SOA, RecordType::NS])?;
        self.records(&["dns-version"], &[RecordType::TXT])?;
        self.records(&["ns", "dns"], &[RecordType::A, RecordType::AAAA])
    }

    fn service(&mut self, records: &ServiceRecords) -> fmt::Result {
        let (name, namespace) = (records.name.name.as_str(), records.name.namespace.as_str());
        let parent = [name, namespace, "svc"];
        self.records(&parent, &[RecordType::A, RecordType::AAAA, RecordType::CNAME])?;
        let ports: BTreeSet<(&str, Protocol)> = records
            .ports()
            .filter(|port| !port.name.as_str().is_empty())
            .map(|port| (port.name.as_str(), port.protocol))
            .collect();
        for (port, protocol) in ports {
            let (port, protocol) = (format!("_{port}"), format!("_{protocol}"));
            self.records(&[&port, &protocol, name, namespace, "svc"], &[RecordType::SRV])?;
        }
        for label in records.endpoints.labels() {
            let labels = [&label, name, namespace, "svc"];
            self.records(&labels, &[RecordType::A, RecordType::AAAA])?;
        }
        Ok(())
    }

    /// Imported Services, in the first of their zones.
    fn imports(&mut self, tables: &Tables) -> fmt::Result {
        let mut zones = self.index.config().zones();
        let Some(zone) = zones.find(|zone| zone.kind == ZoneKind::Imported) else { return Ok(()) };
        let mut imports: Vec<&ImportRecords> = tables.imports().collect();
        imports.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        for records in imports {
            let (name, namespace) = (records.name.name.as_str(), records.name.namespace.as_str());
            let addresses = [RecordType::A, RecordType::AAAA];
            self.records_in(&zone.apex, &[name, namespace, "svc"], &addresses)?;
            let ports: BTreeSet<(&str, Protocol)> = records
                .all_ports()
                .filter(|port| !port.name.as_str().is_empty())
                .map(|port| (port.name.as_str(), port.protocol))
                .collect();
            for (port, protocol) in ports {
                let (port, protocol) = (format!("_{port}"), format!("_{protocol}"));
                let labels = [&*port, &protocol, name, namespace, "svc"];
                self.records_in(&zone.apex, &labels, &[RecordType::SRV])?;
            }
            for (cluster, label) in records.members() {
                let labels = [&*label, cluster.as_str(), name, namespace, "svc"];
                self.records_in(&zone.apex, &labels, &addresses)?;
            }
        }
        Ok(())
    }

    fn pods(&mut self, tables: &Tables) -> fmt::Result {
        let pods: BTreeSet<_> = tables.pods.iter().collect();
        for (namespace, address) in pods {
            let labels = [&*dashed::label(address), namespace.as_str(), "pod"];
            self.records(&labels, &[RecordType::A, RecordType::AAAA])?;
        }
        Ok(())
    }

    fn reverse(&mut self, tables: &Tables) -> fmt::Result {
        for address in tables.pointers.addresses() {
            self.answers(&reverse::name(address), RecordType::PTR)?;
        }
        Ok(())
    }

    /// What the name of `labels` in the primary zone answers to each type.
    fn records(&mut self, labels: &[&str], record_types: &[RecordType]) -> fmt::Result {
        self.records_in(self.index.config().domain(), labels, record_types)
    }

    /// What the name of `labels` below `apex` answers to each type.
    fn records_in(
        &mut self,
        apex: &Name,
        labels: &[&str],
        record_types: &[RecordType],
    ) -> fmt::Result {
        let octets = labels.iter().map(|label| label.as_bytes()).chain(apex.iter());
        // A name that does not fit is nobody's question.
        let Ok(name) = Name::from_labels(octets) else { return Ok(()) };
        record_types.iter().try_for_each(|record_type| self.answers(&name, *record_type))
    }

    fn answers(&mut self, name: &Name, record_type: RecordType) -> fmt::Result {
        let Answer::Records { answers, .. } = answer(self.index, name, record_type) else {
            return Ok(());
        };
        answers.iter().try_for_each(|record| self.line(record))
    }

    fn line(&mut self, record: &Record) -> fmt::Result {
        if let RData::TXT(text) = &record.data {
            // Character strings are quoted (RFC 1035 §5.1).
            return writeln!(self.formatter, "{} {} IN TXT \"{text}\"", record.name, record.ttl);
        }
        writeln!(self.formatter, "{record}")
    }
}

#[cfg(test)]
mod tests {
    use crate::config::PodMode;
    use crate::fixture::{cluster, config, index};
    use crate::index::ZoneIndex;

    #[test]
    fn zone_is_written_in_order() {
        let index = index(config().with_pods(PodMode::Verified), cluster());
        assert_eq!(index.to_string(), include_str!("dump/zone.txt"));
    }

    #[test]
    fn unsynced_zone_says_so() {
        assert_eq!(ZoneIndex::new(config()).to_string(), "; cluster.local. is not synced\n");
    }
}
