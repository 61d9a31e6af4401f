//! The test suite that every [`Physical`] implementation must pass. A new backend adds one test
//! function:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use strongroom_storage::{Physical, contract, memory::MemoryStorage};
//! # async fn test() {
//! contract::run(async || Arc::new(MemoryStorage::new()) as Arc<dyn Physical>).await;
//! # }
//! ```
//!
//! Panics at the first violation. Needs a tokio runtime, preferably a multi-threaded one.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test suite, in the library so that other crates can run it"
)]

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{Error, Physical, PhysicalBatch, PhysicalChange, PhysicalEntry, Precondition, Version};

/// Checks every guarantee of the trait. `make` must return a new empty store on each call.
///
/// # Panics
///
/// If a guarantee is violated.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Physical>) {
    values_come_back(&*make().await).await;
    versions_rise_and_never_repeat(&*make().await).await;
    changes_apply_in_order(&*make().await).await;
    batches_are_whole(&*make().await).await;
    preconditions_are_judged(&*make().await).await;
    scans_are_ordered_and_bounded(&*make().await).await;
    scans_page_through(&*make().await).await;
    odd_keys_are_refused_or_kept(&*make().await).await;
    no_update_is_lost(make().await).await;
    no_batch_is_seen_in_part(make().await).await;
    a_dropped_commit_is_whole_or_nothing(&*make().await).await;
}

async fn values_come_back(store: &dyn Physical) {
    assert_eq!(get_entry(store, "nothing").await, None, "an empty store has nothing");
    let large: Bytes = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(large.len(), 1 << 20);
    for (key, value) in [
        ("text", Bytes::from_static(b"value")),
        ("empty", Bytes::new()),
        ("zeros", Bytes::from_static(&[0; 9])),
        ("large", large),
    ] {
        let version = put_value(store, key, value.clone()).await;
        assert_eq!(
            get_entry(store, key).await,
            Some(PhysicalEntry { value, version }),
            "{key} comes back"
        );
    }
    let version = put_value(store, "text", "other").await;
    let entry = PhysicalEntry { value: Bytes::from_static(b"other"), version };
    assert_eq!(get_entry(store, "text").await, Some(entry), "a second put replaces the first");
    commit_batch(store, PhysicalBatch::delete("text")).await;
    assert_eq!(get_entry(store, "text").await, None, "a deleted key is gone");
    commit_batch(store, PhysicalBatch::delete("text")).await;
    assert!(get_entry(store, "empty").await.is_some(), "an empty value is there");
    assert_eq!(get_entry(store, "tex").await, None, "a prefix of a key is not the key");
}

async fn versions_rise_and_never_repeat(store: &dyn Physical) {
    let mut last = put_value(store, "other", "").await;
    for _ in 0..3 {
        for batch in [
            PhysicalBatch::put("key", "same"),
            PhysicalBatch::put("key", "same"),
            PhysicalBatch::delete("key"),
        ] {
            let version = commit_batch(store, batch).await;
            assert!(version > last, "a batch applied later has a higher version");
            last = version;
        }
        assert_eq!(get_entry(store, "key").await, None);
    }
    let both = PhysicalBatch::put("one", "").with_change(PhysicalChange::put("two", ""));
    let version = commit_batch(store, both).await;
    let versions = [get_entry(store, "one").await, get_entry(store, "two").await]
        .map(|e| e.map(|e| e.version));
    assert_eq!(versions, [Some(version); 2], "one batch, one version");
    let other = get_entry(store, "other").await.map(|entry| entry.version);
    assert!(other < Some(version), "a key that was not put keeps its version");
    let nothing = commit_batch(store, PhysicalBatch::default()).await;
    assert!(nothing > version, "a batch without changes is applied like any other");
}

async fn changes_apply_in_order(store: &dyn Physical) {
    let batch = PhysicalBatch::put("key", "first")
        .with_change(PhysicalChange::delete("key"))
        .with_change(PhysicalChange::put("key", "2"));
    commit_batch(store, batch).await;
    assert_eq!(get_value(store, "key").await.as_deref(), Some(&b"2"[..]), "the last change wins");
    commit_batch(store, PhysicalBatch::put("key", "3").with_change(PhysicalChange::delete("key")))
        .await;
    assert_eq!(get_entry(store, "key").await, None, "the last change wins, a delete too");
}

async fn batches_are_whole(store: &dyn Physical) {
    put_value(store, "there", "old").await;
    let batch = PhysicalBatch::put("new", "")
        .with_change(PhysicalChange::put("there", "changed"))
        .with_change(PhysicalChange::delete("there"))
        .with_precondition(Precondition::Exists("there".to_owned()))
        .with_precondition(Precondition::Absent("there".to_owned()));
    assert_refused(store.commit(batch).await, "there");
    assert_eq!(get_entry(store, "new").await, None, "a refused batch changes nothing");
    assert_eq!(get_value(store, "there").await.as_deref(), Some(&b"old"[..]));
    let many =
        (0..100).map(|n| PhysicalChange::put(format!("many/{n:03}"), vec![n; 100])).collect();
    commit_batch(store, PhysicalBatch { preconditions: Vec::new(), changes: many }).await;
    assert_eq!(scan_keys(store, "many/", None, 1000).await.len(), 100);
}

async fn preconditions_are_judged(store: &dyn Physical) {
    let exists = || Precondition::Exists("key".to_owned());
    let absent = || Precondition::Absent("key".to_owned());
    let at = |version| Precondition::Unchanged("key".to_owned(), version);

    assert_refused(store.commit(PhysicalBatch::default().with_precondition(exists())).await, "key");
    assert_refused(
        store.commit(PhysicalBatch::default().with_precondition(at(Version(1)))).await,
        "key",
    );
    let first =
        commit_batch(store, PhysicalBatch::put("key", "same").with_precondition(absent())).await;
    assert_refused(
        store.commit(PhysicalBatch::put("key", "x").with_precondition(absent())).await,
        "key",
    );
    let second = commit_batch(
        store,
        PhysicalBatch::put("key", "same").with_precondition(at(first)).with_precondition(exists()),
    )
    .await;
    assert_refused(
        store.commit(PhysicalBatch::put("key", "x").with_precondition(at(first))).await,
        "key",
    );
    assert_refused(
        store.commit(PhysicalBatch::delete("key").with_precondition(at(first))).await,
        "key",
    );
    commit_batch(store, PhysicalBatch::delete("key").with_precondition(at(second))).await;
    assert_refused(
        store.commit(PhysicalBatch::put("key", "x").with_precondition(exists())).await,
        "key",
    );
    assert_refused(
        store.commit(PhysicalBatch::put("key", "x").with_precondition(at(second))).await,
        "key",
    );
    // Preconditions refer to the state before the batch, not to changes the batch itself makes.
    commit_batch(store, PhysicalBatch::put("key", "").with_precondition(absent())).await;
    commit_batch(store, PhysicalBatch::delete("key").with_precondition(exists())).await;
    // The error names the first precondition that fails, also if others precede it.
    put_value(store, "other", "").await;
    let two = PhysicalBatch::default()
        .with_precondition(Precondition::Exists("other".to_owned()))
        .with_precondition(exists());
    assert_refused(store.commit(two).await, "key");
    let two = PhysicalBatch::default()
        .with_precondition(Precondition::Absent("other".to_owned()))
        .with_precondition(exists());
    assert_refused(store.commit(two).await, "other");
}

async fn scans_are_ordered_and_bounded(store: &dyn Physical) {
    assert_eq!(scan_keys(store, "", None, 10).await, [""; 0], "an empty store has no keys");
    // Around "a/": keys that sort just before and after it, and multi-byte characters.
    let before = ["a", "a."];
    let under_a = ["a/", "a/b", "a/b/c", "a/é", "a/\u{10ffff}"];
    let behind = ["a0", "b", "é", "ü/x"];
    let all = [&before[..], &under_a, &behind].concat();
    for key in all.iter().rev() {
        put_value(store, key, *key).await;
    }
    put_value(store, "a/gone", "").await;
    commit_batch(store, PhysicalBatch::delete("a/gone")).await;
    assert_eq!(scan_keys(store, "", None, 100).await, all, "all keys in byte order");
    assert_eq!(
        scan_keys(store, "a/", None, 100).await,
        under_a,
        "a key that is the prefix matches"
    );
    assert_eq!(scan_keys(store, "a/", None, 2).await, ["a/", "a/b"], "no more than the limit");
    assert_eq!(scan_keys(store, "a/", None, 0).await, [""; 0]);
    assert_eq!(scan_keys(store, "a/", None, usize::MAX).await, under_a);
    assert_eq!(scan_keys(store, "a/b", None, 9).await, ["a/b", "a/b/c"]);
    assert_eq!(scan_keys(store, "é", None, 9).await, ["é"], "no key is cut inside a letter");
    assert_eq!(scan_keys(store, "c", None, 9).await, [""; 0]);
    let after = |after| scan_keys(store, "a/", Some(after), 100);
    let last = ["a/é", "a/\u{10ffff}"];
    assert_eq!(after("a/b/c").await, last, "`after` itself is left out");
    assert_eq!(after("a/ba").await, last, "`after` need not be there");
    assert_eq!(after("a").await, under_a, "an `after` before the prefix cuts nothing");
    assert_eq!(after("").await, under_a);
    assert_eq!(after("a/\u{10ffff}").await, [""; 0]);
    assert_eq!(after("zzz").await, [""; 0], "an `after` behind the prefix leaves nothing");
}

async fn scans_page_through(store: &dyn Physical) {
    let all: Vec<String> = (0..257).map(|n| format!("page/{n:04}")).collect();
    for keys in all.chunks(50) {
        let changes =
            keys.iter().map(|key| PhysicalChange::put(key.clone(), key.clone())).collect();
        commit_batch(store, PhysicalBatch { preconditions: Vec::new(), changes }).await;
    }
    let mut found: Vec<String> = Vec::new();
    loop {
        let page = scan_keys(store, "page/", found.last().map(String::as_str), 100).await;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, all);
}

async fn odd_keys_are_refused_or_kept(store: &dyn Physical) {
    let refused =
        store.commit(PhysicalBatch::put("fine", "").with_change(PhysicalChange::put("", ""))).await;
    assert!(matches!(refused, Err(Error::EmptyKey)), "an empty key is refused");
    assert_eq!(get_entry(store, "fine").await, None, "and the whole batch with it");
    assert_eq!(get_entry(store, "").await, None);
    let long = "k".repeat(1024);
    for key in [" ", "/", "a//b", "\u{0}", "null\u{0}inside", "ünïcödé/日本", &long] {
        put_value(store, key, key.to_owned()).await;
        assert_eq!(get_value(store, key).await.as_deref(), Some(key.as_bytes()), "{key:?} is kept");
    }
    let huge = store.commit(PhysicalBatch::put("huge", vec![0; 256 << 20])).await;
    assert!(matches!(huge, Err(Error::TooLarge { what: "value", .. })), "256 MiB is too large");
    assert_eq!(get_entry(store, "huge").await, None);
}

/// 16 writers increment one counter, each on condition that it wasn't changed meanwhile.
async fn no_update_is_lost(store: Arc<dyn Physical>) {
    const WRITERS: u64 = 16;
    const EACH: u64 = 25;
    put_value(&*store, "counter", 0_u64.to_le_bytes().to_vec()).await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut versions = Vec::new();
            while versions.len() < usize::try_from(EACH).unwrap_or(0) {
                let entry = get_entry(&*store, "counter").await.expect("the counter is there");
                let next = counter_value(&entry) + 1;
                let batch =
                    PhysicalBatch::put("counter", next.to_le_bytes().to_vec()).with_precondition(
                        Precondition::Unchanged("counter".to_owned(), entry.version),
                    );
                match store.commit(batch).await {
                    Ok(version) => versions.push(version),
                    Err(Error::Precondition { .. }) => {}
                    Err(error) => panic!("counting failed: {error}"),
                }
            }
            versions
        });
    }
    let versions = writers.join_all().await;
    let distinct: BTreeSet<Version> = versions.into_iter().flatten().collect();
    let entry = get_entry(&*store, "counter").await.expect("the counter is there");
    assert_eq!(counter_value(&entry), WRITERS * EACH, "no update is lost");
    assert_eq!(distinct.len(), usize::try_from(WRITERS * EACH).unwrap_or(0), "no version repeats");
    assert_eq!(distinct.last(), Some(&entry.version));
}

fn counter_value(entry: &PhysicalEntry) -> u64 {
    let bytes: Result<[u8; 8], _> = entry.value.as_ref().try_into();
    bytes.map(u64::from_le_bytes).expect("a counter has 8 bytes")
}

/// A writer moves an entry between two keys; a scan must see it at exactly one of them.
async fn no_batch_is_seen_in_part(store: Arc<dyn Physical>) {
    put_value(&*store, "hop/left", "").await;
    let mut movers = JoinSet::new();
    let moving = Arc::clone(&store);
    movers.spawn(async move {
        for n in 0..200 {
            let (from, to) =
                if n % 2 == 0 { ("hop/left", "hop/right") } else { ("hop/right", "hop/left") };
            commit_batch(
                &*moving,
                PhysicalBatch::delete(from).with_change(PhysicalChange::put(to, "")),
            )
            .await;
        }
    });
    while !movers.is_empty() {
        let found = scan_keys(&*store, "hop/", None, 10).await;
        assert_eq!(found.len(), 1, "a scan sees one state: {found:?}");
        let _ = movers.try_join_next();
        tokio::task::yield_now().await;
    }
}

async fn a_dropped_commit_is_whole_or_nothing(store: &dyn Physical) {
    for n in 0..100 {
        let (left, right) = (format!("drop/{n}/left"), format!("drop/{n}/right"));
        let batch = PhysicalBatch::put(left.clone(), "")
            .with_change(PhysicalChange::put(right.clone(), ""));
        {
            let mut committing = pin!(store.commit(batch));
            // Polled once, then dropped.
            let _ = committing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        // A later commit of the same caller is applied after it.
        put_value(store, "drop/last", n.to_string()).await;
        let found =
            [get_entry(store, &left).await, get_entry(store, &right).await].map(|e| e.is_some());
        assert!(found == [true; 2] || found == [false; 2], "whole or nothing: {found:?}");
    }
}

async fn commit_batch(store: &dyn Physical, batch: PhysicalBatch) -> Version {
    store.commit(batch).await.expect("the batch is applied")
}

async fn put_value(store: &dyn Physical, key: &str, value: impl Into<Bytes>) -> Version {
    commit_batch(store, PhysicalBatch::put(key, value)).await
}

async fn get_entry(store: &dyn Physical, key: &str) -> Option<PhysicalEntry> {
    store.get(key).await.expect("the key is read")
}

async fn get_value(store: &dyn Physical, key: &str) -> Option<Bytes> {
    get_entry(store, key).await.map(|entry| entry.value)
}

async fn scan_keys(
    store: &dyn Physical,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    store.scan(prefix, after, limit).await.expect("the keys are read")
}

fn assert_refused(result: Result<Version, Error>, key: &str) {
    match result {
        Err(Error::Precondition { key: found }) => assert_eq!(found, key, "the first that fails"),
        other => panic!("a precondition on {key} fails: {other:?}"),
    }
}
