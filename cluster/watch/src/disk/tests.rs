use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::label::Labels;
use podway_cluster_model::name::Namespace;
use tempfile::TempDir;

use super::*;
use crate::publish::Publisher;

fn namespace(name: &str) -> Change {
    Change::Namespace(Namespace::new(name).unwrap(), Labels::default())
}

fn snapshot(namespaces: &[&str]) -> Arc<Snapshot> {
    let changes = namespaces.iter().map(|name| namespace(name));
    Builder::new().apply(changes).0
}

fn namespaces(archive: Archive) -> usize {
    archive.into_snapshot().namespaces.size()
}

#[test]
fn a_folder_without_a_file_has_no_view() {
    let folder = TempDir::new().unwrap();
    assert!(read(folder.path()).unwrap().is_none());
    assert!(read(&folder.path().join("missing")).unwrap().is_none());
}

#[test]
fn files_that_are_no_snapshot_are_named_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshot");
    for (content, reason) in [
        (&b"{}"[..], "is no snapshot of podway"),
        (b"PODWAY\x1aS\x63\x00", "has format version 99, and this podway reads version 4"),
        (b"PODWAY\x1aS\x03\x00abc", "has format version 3, and this podway reads version 4"),
        (b"PODWAY\x1aS\x04\x00abc", "is cut off or malformed"),
    ] {
        fs::write(&path, content).unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{} {reason}", path.display()));
    }
}

#[test]
fn what_is_written_can_be_read_by_nobody_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshot");
    write_file(&path, &snapshot(&["shop", "web"])).unwrap();
    assert!(is_snapshot(&path));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let archive = read(folder.path()).unwrap().unwrap();
    assert!(age(&archive, SystemTime::now()) < Duration::from_secs(3600));
    assert_eq!(namespaces(archive), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing stays beside it");
}

#[test]
fn only_live_views_are_kept_and_the_last_one_before_the_end() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("podway");
    let (publisher, live) = (Publisher::new(), Arc::new(AtomicBool::new(false)));
    let subscription = publisher.subscribe();
    let mut beside = publisher.subscribe();
    let is_live = {
        let live = Arc::clone(&live);
        move || live.load(Ordering::SeqCst)
    };
    let keeper = Keeper::spawn(&folder, subscription, is_live).unwrap();
    let mut builder = Builder::new();
    let mut publish = |name: &str| {
        let (snapshot, delta) = builder.apply([namespace(name)]);
        publisher.publish(&snapshot, &delta, Instant::now());
    };
    live.store(true, Ordering::SeqCst);
    publish("shop");
    publish("web");
    drop(beside.try_next());
    drop(publisher);
    drop(keeper);
    assert_eq!(namespaces(read(&folder).unwrap().unwrap()), 2);
}

#[test]
fn a_view_that_is_not_live_is_not_kept() {
    let folder = TempDir::new().unwrap();
    let publisher = Publisher::new();
    let keeper = Keeper::spawn(folder.path(), publisher.subscribe(), || false).unwrap();
    publisher.publish(&snapshot(&["shop"]), &Default::default(), Instant::now());
    drop(publisher);
    drop(keeper);
    assert!(read(folder.path()).unwrap().is_none());
}
