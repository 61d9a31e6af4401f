//! Tests of the store through its public API.

mod faults;
mod folder;
mod power_cut;
mod properties;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::testing::{DiskOperation, DiskOutcome, SimDisk};
use crate::{PhysicalChange, Precondition, contract};

/// Options with which a few dozen small batches fill a log file, and a checkpoint takes several
/// commits.
fn small_options() -> EmbeddedOptions {
    let limits = StorageLimits { key_bytes: 512, value_bytes: 2048, batch_bytes: 4096 };
    EmbeddedOptions {
        log_bytes: 16 << 10,
        cache_bytes: 128 << 10,
        limits,
        retry_shortest: Duration::from_millis(1),
        retry_longest: Duration::from_millis(5),
        ..EmbeddedOptions::default()
    }
}

fn open_store(disk: &SimDisk) -> Result<EmbeddedStorage, Error> {
    EmbeddedStorage::open_with_disk(disk.clone(), small_options())
}

/// Yields to other tasks until the condition holds.
async fn wait_until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes to hold");
}

/// How often long tests repeat: `STRONGROOM_ROUNDS`, 1 if it isn't set.
fn round_count() -> usize {
    let rounds = std::env::var("STRONGROOM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    rounds.unwrap_or(1).max(1)
}

/// All entries of a store.
async fn all_entries(store: &dyn Physical) -> Result<BTreeMap<String, PhysicalEntry>, Error> {
    let mut entries = BTreeMap::new();
    for key in store.scan("", None, usize::MAX).await? {
        let entry = store.get(&key).await?;
        let entry =
            entry.ok_or_else(|| Error::Corrupt(format!("{key} is listed and not there")))?;
        entries.insert(key, entry);
    }
    Ok(entries)
}

/// All entries of an embedded store, read on this thread: for tests that do it thousands of times.
fn all_entries_blocking(store: &EmbeddedStorage) -> Result<BTreeMap<String, PhysicalEntry>, Error> {
    let shared = &store.shared;
    let newer = shared.memtable().keys_for_scan("", None, usize::MAX);
    let keys = shared
        .read_tree(|tree| tree.snapshot()?.merged_keys("", None, usize::MAX, newer.clone()))?;
    let mut entries = BTreeMap::new();
    for key in keys {
        let newest = shared.memtable().get(&key);
        let entry = newest.map_or_else(|| shared.read_tree(|tree| tree.get(&key)), Ok)?;
        let entry =
            entry.ok_or_else(|| Error::Corrupt(format!("{key} is listed and not there")))?;
        entries.insert(key, entry);
    }
    Ok(entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    contract::run(async || {
        let store =
            EmbeddedStorage::open_with_disk(SimDisk::new(), EmbeddedOptions::default()).unwrap();
        Arc::new(store) as Arc<dyn Physical>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_when_the_log_is_always_full() {
    let limits = StorageLimits {
        value_bytes: 1 << 20,
        batch_bytes: (1 << 20) + 1024,
        ..StorageLimits::default()
    };
    let options = EmbeddedOptions { log_bytes: 3 << 20, limits, ..EmbeddedOptions::default() };
    contract::run(async || {
        let store = EmbeddedStorage::open_with_disk(SimDisk::new(), options).unwrap();
        Arc::new(store) as Arc<dyn Physical>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_what_it_does() {
    let store = open_store(&SimDisk::new()).unwrap();
    for n in 0..200 {
        store.commit(PhysicalBatch::put(format!("key/{n}"), vec![0; 500])).await.unwrap();
    }
    let refused =
        PhysicalBatch::default().with_precondition(Precondition::Exists("nothing".to_owned()));
    store.commit(refused).await.unwrap_err();
    store.get("key/199").await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.commits, stats.groups), (200, 201));
    assert!(stats.checkpoints >= 10, "{stats:?}");
    assert!(stats.log_bytes >= 200 * 512, "{stats:?}");
    assert_eq!(stats.reads_from_memory + stats.reads_from_tree, 1);
    assert_eq!((stats.faults, stats.reopened), (0, 0));
}

/// Deleted keys as well: no other thread is involved.
#[tokio::test]
async fn memtable_reads_do_not_wait() {
    let store = open_store(&SimDisk::new()).unwrap();
    store
        .commit(PhysicalBatch::put("a", "1").with_change(PhysicalChange::delete("b")))
        .await
        .unwrap();
    for (key, is_there) in [("a", true), ("b", false)] {
        let mut read = store.get(key);
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(read.as_mut().poll(cx))).await;
        let std::task::Poll::Ready(found) = first else { panic!("{key} is waited for") };
        assert_eq!(found.unwrap().is_some(), is_there);
    }
    assert_eq!((store.stats().reads_from_memory, store.stats().reads_from_tree), (2, 0));
    store.get("c").await.unwrap();
    assert_eq!(store.stats().reads_from_tree, 1, "one visit to the tree for one read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_refuses_calls_and_keeps_its_commits() {
    let disk = SimDisk::new();
    let store = Arc::new(open_store(&disk).unwrap());
    let mut committing = tokio::task::JoinSet::new();
    for n in 0..100 {
        let store = Arc::clone(&store);
        committing
            .spawn(async move { (n, store.commit(PhysicalBatch::put(format!("{n}"), "")).await) });
    }
    tokio::task::yield_now().await;
    store.close().await;
    store.close().await;
    let answers = committing.join_all().await;
    assert!(matches!(store.get("0").await, Err(Error::Closed(_))));
    assert!(matches!(store.scan("", None, 1).await, Err(Error::Closed(_))));
    assert!(matches!(store.commit(PhysicalBatch::put("x", "")).await, Err(Error::Closed(_))));
    let again = open_store(&disk).unwrap();
    for (n, answer) in answers {
        let there = again.get(&format!("{n}")).await.unwrap().is_some();
        match answer {
            Ok(_) => assert!(there, "{n} was acknowledged"),
            Err(Error::Closed(_)) => assert!(!there, "{n} was refused"),
            Err(error) => panic!("{n}: {error}"),
        }
    }
}

/// Blocks the disk at its next sync. Returns a receiver that signals it, and a sender that releases
/// it.
fn hold_at_sync(disk: &SimDisk) -> (std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>) {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (arrive, arrived) = std::sync::mpsc::channel::<()>();
    let mut held = false;
    disk.set_outcomes(move |operation| {
        if !held && matches!(operation, DiskOperation::Sync(_)) {
            held = true;
            arrive.send(()).unwrap();
            gate.recv().unwrap();
        }
        DiskOutcome::Done
    });
    (arrived, release)
}

/// The committer is blocked at the sync of a first batch until all others wait.
#[tokio::test]
async fn a_group_is_judged_batch_by_batch_and_shares_one_sync() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let first = store.commit(PhysicalBatch::put("old", "")).await.unwrap();
    let (arrived, release) = hold_at_sync(&disk);
    let key = |name: &str| name.to_owned();
    let batches = [
        PhysicalBatch::put("gate", ""),
        PhysicalBatch::delete("old").with_precondition(Precondition::Exists(key("old"))),
        PhysicalBatch::put("a", "").with_precondition(Precondition::Exists(key("old"))),
        PhysicalBatch::put("old", "new").with_precondition(Precondition::Absent(key("old"))),
        PhysicalBatch::put("b", "").with_precondition(Precondition::Unchanged(key("old"), first)),
        PhysicalBatch::put("c", "").with_change(PhysicalChange::delete("c")),
        PhysicalBatch::put("d", "").with_precondition(Precondition::Exists(key("c"))),
        PhysicalBatch::delete("old")
            .with_precondition(Precondition::Unchanged(key("old"), Version(first.0 + 3))),
    ];
    let mut commits: Vec<_> = batches.into_iter().map(|batch| store.commit(batch)).collect();
    for (n, commit) in commits.iter_mut().enumerate() {
        assert!(poll_once(commit).await.is_none());
        if n == 0 {
            arrived.recv_timeout(Duration::from_secs(60)).expect("a commit syncs");
        }
    }
    release.send(()).unwrap();
    let mut answers = Vec::new();
    for commit in commits {
        answers.push(commit.await.map(|version| version.0 - first.0).map_err(|e| e.to_string()));
    }
    let refused = |key| Err(format!("the precondition on {key} does not hold"));
    let expected =
        [Ok(1), Ok(2), refused("old"), Ok(3), refused("old"), Ok(4), refused("c"), Ok(5)];
    assert_eq!(answers, expected);
    assert_eq!(store.stats().groups, 3, "before, the one held, and the rest");
    let names: Vec<_> = all_entries(&store).await.unwrap().into_keys().collect();
    assert_eq!(names, ["gate"]);
}

/// Batches without changes take bytes in a record as well. However many wait, a record fits into a
/// log file.
#[tokio::test]
async fn a_crowd_of_empty_batches_fits_into_the_log() {
    let disk = SimDisk::new();
    let options =
        EmbeddedOptions { queued_batches: 10_000, group_batches: 10_000, ..small_options() };
    let store = EmbeddedStorage::open_with_disk(disk.clone(), options).unwrap();
    let (arrived, release) = hold_at_sync(&disk);
    let mut commits: Vec<_> = (0..6000).map(|_| store.commit(PhysicalBatch::default())).collect();
    for (n, commit) in commits.iter_mut().enumerate() {
        assert!(poll_once(commit).await.is_none());
        if n == 0 {
            arrived.recv_timeout(Duration::from_secs(60)).expect("a commit syncs");
        }
        // The runtime limits how often a task can send without yielding.
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    let mut last = Version(0);
    for commit in commits {
        last = commit.await.unwrap();
    }
    assert_eq!(last, Version(6000));
    store.close().await;
    for file in log::LOG_FILES {
        assert_eq!(disk.open(file).unwrap().len().unwrap(), 16 << 10, "{file} did not grow");
    }
    assert_eq!(
        open_store(&disk).unwrap().commit(PhysicalBatch::default()).await.unwrap(),
        Version(6001)
    );
}

/// Some keys exist all the time, others between them are created and deleted. All of them move from
/// the log to the tree while they are listed page by page.
#[tokio::test(flavor = "multi_thread")]
async fn paged_scans_miss_no_key_that_stays() {
    let store = Arc::new(open_store(&SimDisk::new()).unwrap());
    let stays = |n: usize| format!("key/{:03}", n % 100);
    for n in 0..100 {
        store.commit(PhysicalBatch::put(stays(n), "")).await.unwrap();
    }
    let writer = Arc::clone(&store);
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(async move {
        for n in 0..600_usize {
            let passing = format!("{}/passing", stays(n * 7));
            let batch = PhysicalBatch::put(stays(n * 13), vec![0; 200]);
            writer
                .commit(batch.with_change(PhysicalChange::put(passing.clone(), "")))
                .await
                .unwrap();
            writer.commit(PhysicalBatch::delete(passing)).await.unwrap();
        }
    });
    let expected: Vec<_> = (0..100).map(stays).collect();
    let mut listed = 0;
    while listed < 3 || !writing.is_empty() {
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().map(String::as_str);
            let page = store.scan("key/", after, 7).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
        found.retain(|key| !key.ends_with("passing"));
        assert_eq!(found, expected);
        listed += 1;
        if let Some(written) = writing.try_join_next() {
            written.unwrap();
        }
    }
    assert!(store.stats().checkpoints > 10);
}

/// The future's output, if it is ready at the first poll.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn dropping_it_ends_its_threads() {
    let store = open_store(&SimDisk::new()).unwrap();
    store.commit(PhysicalBatch::put("key", "value")).await.unwrap();
    let shared = Arc::downgrade(&store.shared);
    drop(store);
    // Both threads hold a reference as long as they run.
    assert_eq!(shared.strong_count(), 0);
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let default = EmbeddedOptions::default();
    for options in [
        EmbeddedOptions { readers: 0, ..default },
        EmbeddedOptions { queued_batches: 0, ..default },
        EmbeddedOptions { group_batches: 0, ..default },
        EmbeddedOptions { log_bytes: 1 << 20, ..default },
        EmbeddedOptions { log_bytes: (8 << 20) + 1, ..default },
        EmbeddedOptions { retry_longest: Duration::ZERO, ..default },
        EmbeddedOptions {
            limits: StorageLimits { batch_bytes: 4 << 20, ..StorageLimits::default() },
            ..default
        },
    ] {
        let opened = EmbeddedStorage::open_with_disk(SimDisk::new(), options);
        assert!(matches!(opened, Err(Error::Refused(_))), "{options:?}");
    }
    // A log created with a small size doesn't grow later.
    let disk = SimDisk::new();
    drop(open_store(&disk).unwrap());
    let opened = EmbeddedStorage::open_with_disk(disk, default);
    assert!(matches!(opened, Err(Error::Refused(_))));
}

/// Checkpointed entries are read from the tree and no longer in memory; a few newer ones remain.
#[tokio::test(flavor = "multi_thread")]
async fn a_requested_checkpoint_does_not_need_a_full_log() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    assert!(!store.start_checkpoint(0).await.unwrap(), "there is nothing");
    for n in 0..5 {
        store.commit(PhysicalBatch::put(format!("key/{n}"), vec![b'v'; 600])).await.unwrap();
    }
    assert!(!store.start_checkpoint(1 << 20).await.unwrap(), "there is less");
    assert_eq!(store.stats().keys_in_memory, 5);
    assert!(store.start_checkpoint(2048).await.unwrap());
    // Keys leave the memory before the checkpoint is counted.
    wait_until(|| store.stats().checkpoints == 1).await;
    assert_eq!(store.stats().keys_in_memory, 0);
    assert_eq!(all_entries(&store).await.unwrap().len(), 5);
    store.commit(PhysicalBatch::put("key/0", "new")).await.unwrap();
    let left = open_store(&disk.after_kill()).unwrap();
    assert_eq!(left.get("key/0").await.unwrap().unwrap().value, "new");
    assert_eq!(all_entries(&left).await.unwrap().len(), 5);
    store.close().await;
    assert!(matches!(store.start_checkpoint(0).await, Err(Error::Closed(_))));
}
