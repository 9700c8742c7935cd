//! The immutable index of every name, and its update from a delta.

use std::sync::Arc;

use podway_cluster_model::import::Imports;
use podway_cluster_model::label::LabelKeys;
use podway_cluster_model::name::{Namespace, ServiceName};
use podway_cluster_model::node::Pod;
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};
use rpds::HashTrieSetSync;

use crate::config::{PodMode, ZoneConfig};
use crate::imports::ImportRecords;
use crate::pods::Pods;
use crate::pointers::Pointers;
use crate::service::{ServiceRecords, namespace_key, namespace_of, service_key};
use crate::table::{Keyed, Table};

/// Every name that exists, immutable; a clone costs reference counts.
///
/// Readers hold it by `Arc` and the writer swaps it whole.
#[derive(Debug, Clone)]
pub struct ZoneIndex {
    config: Arc<ZoneConfig>,
    /// The labels that have to be known, if any.
    needed_labels: Option<Arc<LabelKeys>>,
    serial: u32,
    state: State,
}

/// Whether anything is known.
#[derive(Debug, Clone)]
enum State {
    /// No snapshot was seen, or none with the labels that tell what has names.
    Unsynced,
    /// The names of the last snapshot.
    Synced(Tables),
}

/// The names of one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Namespaces that exist and have names, by the wire form of their label.
    namespaces: HashTrieSetSync<Box<[u8]>>,
    /// Services that have a name if their namespace has: a namespace that comes to be selected, or no
    /// more, costs one step.
    services: Table<ServiceRecords>,
    /// Imported Services; nothing unless a zone has such.
    imports: Arc<ImportTable>,
    /// The same Services by the addresses that lead to them.
    pub(crate) pointers: Pointers,
    /// Pods of exposed namespaces; empty unless they are to be verified.
    pub(crate) pods: Pods,
    /// Pods whose addresses tell who asks; empty unless search paths are walked.
    pub(crate) clients: Box<Pods>,
}

/// Imported Services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ImportTable {
    /// Those that have a name if their namespace has.
    records: Table<ImportRecords>,
    /// Whether they are all that there are.
    known: bool,
}

impl ZoneIndex {
    /// An index that knows nothing yet: whatever is in its zones is
    /// [`Answer::NotSynced`](crate::Answer::NotSynced).
    #[must_use]
    pub fn new(config: ZoneConfig) -> Self {
        let keys = config.label_keys();
        let needed_labels = (keys != LabelKeys::default()).then(|| Arc::new(keys));
        Self { config: Arc::new(config), needed_labels, serial: 0, state: State::Unsynced }
    }

    /// The index of `snapshot`, which differs from this one's snapshot at most by `delta`.
    ///
    /// Visits the Services, namespaces and pods of the delta and no others. From an index that is
    /// not synced the whole snapshot is read, whatever `delta` says; one without the labels that the
    /// configuration selects by leaves it, or makes it, not synced. The serial rises only when an
    /// answer may differ, to `now_unix_seconds` where that is higher.
    #[must_use]
    pub fn update(&self, snapshot: &Snapshot, delta: &Delta, now_unix_seconds: u64) -> Self {
        let State::Synced(tables) = &self.state else {
            return self.rebuild(snapshot, now_unix_seconds);
        };
        if !self.can_read(snapshot) {
            return self.unread();
        }
        let mut tables = tables.clone();
        let serial = if tables.apply(&self.config, snapshot, delta) {
            next_serial(self.serial, now_unix_seconds)
        } else {
            self.serial
        };
        Self { serial, state: State::Synced(tables), ..self.unread() }
    }

    /// The index of `snapshot` made from nothing; its serial follows this one's.
    ///
    /// For a caller that lost track of what changed.
    #[must_use]
    pub fn rebuild(&self, snapshot: &Snapshot, now_unix_seconds: u64) -> Self {
        if !self.can_read(snapshot) {
            return self.unread();
        }
        let mut tables = Tables::default();
        tables.apply(&self.config, snapshot, &Delta::everything(snapshot));
        let serial = match &self.state {
            State::Synced(before) if *before == tables => self.serial,
            State::Unsynced | State::Synced(_) => next_serial(self.serial, now_unix_seconds),
        };
        Self { serial, state: State::Synced(tables), ..self.unread() }
    }

    /// The same index with nothing in it.
    fn unread(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            needed_labels: self.needed_labels.clone(),
            serial: self.serial,
            state: State::Unsynced,
        }
    }

    /// Whether `snapshot` has the labels that tell what has names.
    fn can_read(&self, snapshot: &Snapshot) -> bool {
        self.needed_labels.as_ref().is_none_or(|keys| snapshot.label_keys.covers(keys))
    }

    /// Whether a snapshot was seen that tells what has names.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.tables().is_some()
    }

    /// Serial of the SOA records; 0 before the first snapshot.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What the index was made with.
    #[must_use]
    pub fn config(&self) -> &ZoneConfig {
        &self.config
    }

    /// The names, once there are any.
    pub(crate) fn tables(&self) -> Option<&Tables> {
        match &self.state {
            State::Unsynced => None,
            State::Synced(tables) => Some(tables),
        }
    }
}

impl Tables {
    /// Whether a namespace exists, by the wire form of its label.
    pub(crate) fn has_namespace(&self, key: &[u8]) -> bool {
        self.namespaces.contains(key)
    }

    /// The namespaces that exist, by the wire form of their label, in no order.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &[u8]> {
        self.namespaces.iter().map(AsRef::as_ref)
    }

    /// A Service whose name exists, by the wire form of `<service>.<namespace>`.
    pub(crate) fn service(&self, key: &[u8]) -> Option<&ServiceRecords> {
        let records = self.services.get(key)?;
        self.has_namespace(namespace_of(key)).then_some(records)
    }

    /// Whether all imported Services are known.
    pub(crate) fn knows_imports(&self) -> bool {
        self.imports.known
    }

    /// An imported Service whose name exists, by the wire form of `<service>.<namespace>`.
    pub(crate) fn import(&self, key: &[u8]) -> Option<&ImportRecords> {
        let records = self.imports.records.get(key)?;
        self.has_namespace(namespace_of(key)).then_some(records)
    }

    /// The imported Services whose names exist, in no order.
    pub(crate) fn imports(&self) -> impl Iterator<Item = &ImportRecords> {
        self.imports
            .records
            .iter()
            .filter(|records| self.has_namespace(namespace_of(records.key())))
            .map(AsRef::as_ref)
    }

    /// The Services whose names exist, in no order.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceRecords> {
        self.services
            .iter()
            .filter(|records| self.has_namespace(namespace_of(records.key())))
            .map(AsRef::as_ref)
    }

    /// Brings what `delta` names to the state of `snapshot`; says whether anything changed.
    fn apply(&mut self, config: &ZoneConfig, snapshot: &Snapshot, delta: &Delta) -> bool {
        let exposed = |namespace: &Namespace| config.namespaces().includes(namespace);
        let mut changed = false;
        for namespace in delta.namespaces.iter().filter(|namespace| exposed(namespace)) {
            let labels = snapshot.namespaces.get(namespace);
            let exists = labels.is_some_and(|labels| config.namespaces().selects(labels));
            changed |= self.set_namespace(namespace, exists);
        }
        if config.has_imports() {
            let known = snapshot.imports == Imports::Known;
            if self.imports.known != known {
                Arc::make_mut(&mut self.imports).known = known;
                changed = true;
            }
            for name in delta.services.iter().filter(|name| exposed(&name.namespace)) {
                let imported =
                    snapshot.services.get(name).and_then(|entry| entry.imported.as_ref());
                changed |= self.set_import(
                    name,
                    imported.and_then(|imported| ImportRecords::build(imported, config)),
                );
            }
        }
        let services = delta.services.iter().filter(|_| config.has_services());
        for name in services.filter(|name| exposed(&name.namespace)) {
            let selected = |entry: &&Arc<ServiceEntry>| {
                let service = entry.service.as_ref();
                service.is_some_and(|service| config.selects(&service.labels))
            };
            let entry = snapshot.services.get(name).filter(selected);
            let records =
                entry.and_then(|entry| ServiceRecords::build(entry, config.service_rules()));
            changed |= self.set_service(name, records);
        }
        match config.pods() {
            PodMode::Verified => {
                for name in delta.pods.iter().filter(|name| exposed(&name.namespace)) {
                    let selected = |pod: &&Arc<Pod>| config.selects(&pod.labels);
                    let pod = snapshot.pods.get(name).filter(selected);
                    changed |= self.pods.set(name, pod.map_or(&[], |pod| &pod.addresses));
                }
            }
            PodMode::Disabled | PodMode::Insecure => {}
        }
        if let Some(paths) = config.search_paths() {
            for name in &delta.pods {
                let pod = snapshot.pods.get(name).filter(|pod| paths.covers(pod));
                // Who asks is no answer, so the serial stays.
                self.clients.set(name, pod.map_or(&[], |pod| &pod.addresses));
            }
        }
        changed
    }

    fn set_namespace(&mut self, namespace: &Namespace, exists: bool) -> bool {
        let key = namespace_key(namespace);
        let existed = self.has_namespace(&key);
        match (existed, exists) {
            (false, true) => self.namespaces.insert_mut(key),
            (true, false) => {
                self.namespaces.remove_mut(&key);
            }
            (false, false) | (true, true) => {}
        }
        existed != exists
    }

    fn set_import(&mut self, name: &ServiceName, after: Option<ImportRecords>) -> bool {
        let key = service_key(name);
        if self.imports.records.get(&key).map(AsRef::as_ref) == after.as_ref() {
            return false;
        }
        Arc::make_mut(&mut self.imports).records.set(&key, after.map(Arc::new));
        true
    }

    fn set_service(&mut self, name: &ServiceName, after: Option<ServiceRecords>) -> bool {
        let key = service_key(name);
        let before = self.services.get(&key);
        if before.map(AsRef::as_ref) == after.as_ref() {
            return false;
        }
        let addresses = |records: &ServiceRecords| records.pointer_addresses();
        let addresses_before = before.map(|before| addresses(before)).unwrap_or_default();
        let addresses_after = after.as_ref().map(addresses).unwrap_or_default();
        self.pointers.replace(&key, &addresses_before, &addresses_after);
        self.services.set(&key, after.map(Arc::new));
        true
    }
}

/// The serial after a change: the time, or one more where the clock stands or went back.
///
/// Serials are compared in a circle of 2^32 (RFC 1982), on which the time is projected.
fn next_serial(serial: u32, now_unix_seconds: u64) -> u32 {
    let now = u32::try_from(now_unix_seconds & u64::from(u32::MAX)).unwrap_or_default();
    // Half of the circle lies ahead.
    let is_ahead = now != serial && now.wrapping_sub(serial) < 1 << 31;
    if is_ahead || serial == 0 { now } else { serial.wrapping_add(1) }
}

#[cfg(test)]
mod tests;
