use std::thread;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::label::Labels;
use podway_cluster_model::name::Namespace;

use super::*;

/// Long enough that only a lost wake-up can reach it.
const NEVER: Duration = Duration::from_secs(60);

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

/// Publishes one new Namespace per call.
struct Source {
    builder: Builder,
    publisher: Publisher,
}

impl Source {
    fn new() -> Self {
        Self { builder: Builder::new(), publisher: Publisher::new() }
    }

    fn add(&mut self, name: &str) -> Instant {
        let now = Instant::now();
        let (snapshot, delta) =
            self.builder.apply([Change::Namespace(namespace(name), Labels::default())]);
        self.publisher.publish(&snapshot, &delta, now);
        now
    }
}

fn names(view: &View) -> Vec<&str> {
    view.delta.namespaces.iter().map(Namespace::as_str).collect()
}

#[test]
fn nothing_is_delivered_before_the_first_snapshot() {
    let source = Source::new();
    let mut subscription = source.publisher.subscribe();
    assert_eq!(subscription.try_next().unwrap_err(), NoView::TimedOut);
    assert_eq!(subscription.next_timeout(Duration::ZERO).unwrap_err(), NoView::TimedOut);
    assert!(source.publisher.feed().latest().is_none());
}

#[test]
fn an_empty_first_snapshot_is_delivered() {
    let source = Source::new();
    let mut subscription = source.publisher.subscribe();
    source.publisher.publish(&Arc::new(Snapshot::default()), &Delta::default(), Instant::now());
    let view = subscription.try_next().unwrap();
    assert!(view.delta.is_empty());
    assert_eq!(view.snapshot.generation, 0);
}

#[test]
fn the_first_view_names_everything_and_the_next_only_the_change() {
    let mut source = Source::new();
    source.add("a");
    source.add("b");
    let mut subscription = source.publisher.subscribe();
    assert_eq!(names(&subscription.try_next().unwrap()), ["a", "b"]);
    source.add("c");
    assert_eq!(names(&subscription.try_next().unwrap()), ["c"]);
    assert_eq!(subscription.try_next().unwrap_err(), NoView::TimedOut);
}

#[test]
fn changes_not_taken_yet_are_merged_and_keep_the_oldest_time() {
    let mut source = Source::new();
    source.add("a");
    let mut subscription = source.publisher.subscribe();
    subscription.try_next().unwrap();
    let oldest = source.add("b");
    source.add("c");
    let view = subscription.try_next().unwrap();
    assert_eq!(names(&view), ["b", "c"]);
    assert_eq!(view.oldest_change, oldest);
    assert_eq!(view.snapshot.generation, 3);
}

#[test]
fn subscribers_do_not_take_each_others_views() {
    let mut source = Source::new();
    source.add("a");
    let mut first = source.publisher.subscribe();
    let mut second = source.publisher.feed().subscribe();
    assert_eq!(names(&first.try_next().unwrap()), ["a"]);
    source.add("b");
    assert_eq!(names(&first.try_next().unwrap()), ["b"]);
    assert_eq!(names(&second.try_next().unwrap()), ["a", "b"]);
}

#[test]
fn a_snapshot_that_changed_nothing_is_not_delivered() {
    let mut source = Source::new();
    source.add("a");
    let mut subscription = source.publisher.subscribe();
    subscription.try_next().unwrap();
    source.add("a");
    assert_eq!(subscription.try_next().unwrap_err(), NoView::TimedOut);
}

#[test]
fn the_last_view_is_delivered_after_the_publisher_is_gone() {
    let mut source = Source::new();
    let mut subscription = source.publisher.subscribe();
    source.add("a");
    let feed = source.publisher.feed();
    drop(source);
    assert_eq!(names(&subscription.try_next().unwrap()), ["a"]);
    assert_eq!(subscription.next_timeout(NEVER).unwrap_err(), NoView::PublisherGone);
    let mut late = feed.subscribe();
    assert_eq!(names(&late.try_next().unwrap()), ["a"]);
    assert_eq!(late.try_next().unwrap_err(), NoView::PublisherGone);
}

#[test]
fn a_dropped_subscription_is_forgotten() {
    let mut source = Source::new();
    drop(source.publisher.subscribe());
    source.add("a");
    assert!(lock(&source.publisher.feed.shared).mailboxes.is_empty());
}

#[test]
fn a_waiting_thread_is_woken_by_a_change_and_by_the_end() {
    let mut source = Source::new();
    let mut subscription = source.publisher.subscribe();
    let reader = thread::spawn(move || {
        let mut seen = Vec::new();
        while let Ok(view) = subscription.next_timeout(NEVER) {
            seen.extend(names(&view).into_iter().map(str::to_owned));
        }
        seen
    });
    for name in ["a", "b", "c"] {
        source.add(name);
    }
    drop(source);
    assert_eq!(reader.join().unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_waiting_task_is_woken_by_a_change_and_by_the_end() {
    let mut source = Source::new();
    let mut subscription = source.publisher.subscribe();
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(view) = subscription.next().await {
            seen.extend(names(&view).into_iter().map(str::to_owned));
        }
        seen
    });
    for name in ["a", "b", "c"] {
        source.add(name);
        tokio::task::yield_now().await;
    }
    drop(source);
    assert_eq!(reader.await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_cancelled_wait_loses_no_view() {
    let mut source = Source::new();
    let mut subscription = source.publisher.subscribe();
    tokio::select! {
        biased;
        _ = subscription.next() => panic!("nothing was published"),
        () = std::future::ready(()) => {}
    }
    source.add("a");
    assert_eq!(names(&subscription.next().await.unwrap()), ["a"]);
}
