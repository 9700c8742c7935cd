//! Upstreams from a file, as it changes. Time goes by here: the file is a real one.

use std::fs;
use std::path::Path;

use tokio::time::timeout;

use super::*;

/// Writes a `resolv.conf` with such name servers in place of `path`, at one stroke.
fn replace(path: &Path, servers: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, text(servers)).unwrap();
    fs::rename(new, path).unwrap();
}

fn text(servers: &[u8]) -> String {
    servers.iter().map(|number| format!("nameserver {}\n", address(*number).ip())).collect()
}

/// Upstreams 0 to 3, of which those in the file at `path` are asked, and number 3 is ourselves.
fn following(path: &Path) -> Bench {
    bench(4, |config| {
        config.to = vec![Target::ResolvConf(path.to_owned())];
        config.cache = None;
    })
}

impl Bench {
    /// Follows the file until the first upstream asked is `expected`.
    async fn follow_until(&self, follow: &mut follow::Follow, expected: u8) {
        let asked = || {
            let upstreams = self.forwarder.resolver.upstreams.load();
            upstreams.first().map(|upstream| upstream.place.address)
        };
        timeout(seconds(30), async {
            while asked() != Some(address(expected)) {
                follow.perhaps_changed().await;
                self.forwarder.update();
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{:?} is asked, not number {expected}", asked()));
    }
}

#[tokio::test]
async fn file_is_followed_however_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    fs::write(&path, text(&[0])).unwrap();
    let bench = following(&path);
    let mut follow = follow::Follow::new(vec![path.clone()]);
    bench.ask("a.example").await;
    assert_eq!(bench.queries(), [1, 0, 0, 0]);
    fs::write(&path, text(&[1])).unwrap();
    bench.follow_until(&mut follow, 1).await;
    bench.ask("b.example").await;
    assert_eq!(bench.queries(), [1, 1, 0, 0]);
    replace(&path, &[2, 1]);
    bench.follow_until(&mut follow, 2).await;
    // As systemd-resolved does: a link to a file elsewhere, which changes there.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("stub-resolv.conf");
    fs::write(&target, text(&[0])).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    bench.follow_until(&mut follow, 0).await;
    // Else changes there would be noticed only by reading now and then.
    assert!(follow.folders.contains(&elsewhere.path().canonicalize().unwrap()));
    replace(&target, &[1]);
    bench.follow_until(&mut follow, 1).await;
}

#[test]
fn file_that_is_no_good_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    fs::write(&path, text(&[1, 2])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let bench = following(&path);
    let upstreams = || bench.forwarder.resolver.upstreams.load_full();
    let before = upstreams();
    assert_eq!(before.len(), 2);
    for text in ["", "search example.org\n", "nameserver dns.example\n"] {
        fs::write(&path, text).unwrap();
        bench.forwarder.update();
        assert!(Arc::ptr_eq(&before, &upstreams()), "{text:?}");
    }
    fs::remove_file(&path).unwrap();
    bench.forwarder.update();
    assert!(Arc::ptr_eq(&before, &upstreams()), "no file");
    // One that stays keeps what is known of it.
    fs::write(&path, text(&[0, 2])).unwrap();
    bench.forwarder.update();
    let after = upstreams();
    assert_eq!(after[0].place.address, address(0));
    assert!(Arc::ptr_eq(&after[1], &before[1]));
}

#[test]
fn own_address_in_the_file_is_never_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    fs::write(&path, text(&[3, 1])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let bench = following(&path);
    let upstreams = bench.forwarder.resolver.upstreams.load();
    let places: Vec<_> = upstreams.iter().map(|upstream| upstream.place.address).collect();
    assert_eq!(places, [address(1)]);
}
