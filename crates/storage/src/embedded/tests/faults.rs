//! The disk fills up, turns read-only or fails. Writes are refused with a clear error, nothing is
//! lost, reads still work, and writes succeed again once the disk recovers.

use std::io::ErrorKind;

use super::*;
/// A value of which 16 fill a log file, each put alone.
fn filler_value(n: usize) -> Vec<u8> {
    let mut value = format!("{n}:").into_bytes();
    value.resize(900, b'.');
    value
}

async fn put_numbered(store: &EmbeddedStorage, n: usize) -> Result<Version, Error> {
    store.commit(PhysicalBatch::put(format!("key/{n:04}"), filler_value(n))).await
}

/// Asserts that the store contains exactly these entries. Reads are repeated while the tree is being
/// opened again: a fold of the log in the background may have met the fault.
async fn assert_holds(store: &EmbeddedStorage, expected: impl Iterator<Item = usize>) {
    let reading = async {
        loop {
            match all_entries(store).await {
                Err(Error::Closed(_)) => tokio::task::yield_now().await,
                read => return read.unwrap(),
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), reading).await.expect("reads return");
    let found: Vec<_> = found.into_iter().map(|(key, entry)| (key, entry.value)).collect();
    let expected: Vec<_> =
        expected.map(|n| (format!("key/{n:04}"), bytes::Bytes::from(filler_value(n)))).collect();
    assert_eq!(found, expected);
}

/// Retries until it succeeds; an error other than the expected one fails the test.
async fn put_when_possible(store: &EmbeddedStorage, n: usize, expected: fn(&Error) -> bool) {
    let trying = async {
        while let Err(error) = put_numbered(store, n).await {
            assert!(expected(&error), "{error}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), trying).await.expect("writes return");
}

/// Waits until the tree is open again.
async fn wait_until_readable(store: &EmbeddedStorage) {
    let reading = async {
        while all_entries(store).await.is_err() || store.shared.tree.needs_recovery() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("reads return");
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Full)
}

fn is_read_only(error: &Error) -> bool {
    matches!(error, Error::ReadOnly)
}

fn is_transient(error: &Error) -> bool {
    matches!(error, Error::Full | Error::ReadOnly | Error::Io(_) | Error::Closed(_))
}

fn is_write_to(operation: DiskOperation<'_>, file: &str) -> bool {
    [DiskOperation::Write(file), DiskOperation::SetLen(file), DiskOperation::Sync(file)]
        .contains(&operation)
}

fn log_of(operation: DiskOperation<'_>) -> Option<&'static str> {
    log::LOG_FILES.into_iter().find(|name| is_write_to(operation, name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_read_only_disk_refuses_writes_and_loses_nothing() {
    for (kind, expected) in [
        (ErrorKind::StorageFull, is_full as fn(&Error) -> bool),
        (ErrorKind::QuotaExceeded, is_full),
        (ErrorKind::ReadOnlyFilesystem, is_read_only),
    ] {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        for n in 0..100 {
            put_numbered(&store, n).await.unwrap();
        }
        disk.refuse_writes(kind);
        for _ in 0..3 {
            let error = put_numbered(&store, 100).await.unwrap_err();
            assert!(expected(&error), "{error}");
            assert_holds(&store, 0..100).await;
        }
        disk.clear_faults();
        put_when_possible(&store, 101, expected).await;
        assert_holds(&store, (0..100).chain([101])).await;
        let after = open_store(&disk.after_power_cut(disk.event_count(), 0)).unwrap();
        assert_holds(&after, (0..100).chain([101])).await;
    }
}

/// The log's space was allocated at creation, but the tree can't grow.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_tree_cannot_grow_the_log_takes_what_fits() {
    for (kind, expected) in [
        (ErrorKind::StorageFull, is_full as fn(&Error) -> bool),
        (ErrorKind::ReadOnlyFilesystem, is_read_only),
    ] {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        for n in 0..50 {
            put_numbered(&store, n).await.unwrap();
        }
        disk.set_outcomes(move |operation| {
            let tree = is_write_to(operation, tree::TREE_FILE);
            if tree { DiskOutcome::Failed(kind) } else { DiskOutcome::Done }
        });
        let mut n = 50;
        let error = loop {
            match put_numbered(&store, n).await {
                Ok(_) => n += 1,
                Err(error) => break error,
            }
        };
        assert!(expected(&error), "{error}");
        assert!(n > 60, "two log files hold more than {n}");
        // The tree can still be read, though it can't be reopened normally.
        assert_holds(&store, 0..n).await;
        assert!(store.stats().reads_from_tree > 0);
        for seed in [0, 1, 7] {
            let after = open_store(&disk.after_power_cut(disk.event_count(), seed)).unwrap();
            assert_holds(&after, 0..n).await;
        }
        disk.clear_faults();
        put_when_possible(&store, n, expected).await;
        for more in n + 1..n + 100 {
            put_numbered(&store, more).await.unwrap();
        }
        assert_holds(&store, 0..n + 100).await;
        store.close().await;
        assert_holds(&open_store(&disk).unwrap(), 0..n + 100).await;
    }
}

/// Whether or not the failed sync brought the record to the medium.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_sync_fails_is_discarded() {
    for outcome in
        [DiskOutcome::Failed(ErrorKind::Other), DiskOutcome::DoneAndFailed(ErrorKind::Other)]
    {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        put_numbered(&store, 0).await.unwrap();
        let mut failed = false;
        disk.set_outcomes(move |operation| {
            let fails = !failed
                && matches!(operation, DiskOperation::Sync(name) if name != tree::TREE_FILE);
            failed |= fails;
            if fails { outcome } else { DiskOutcome::Done }
        });
        let error = put_numbered(&store, 1).await.unwrap_err();
        assert!(matches!(&error, Error::Io(why) if !why.contains("not known")), "{error}");
        assert_holds(&store, 0..1).await;
        // It was discarded durably: no power cut restores it.
        for seed in 0..20 {
            let after = open_store(&disk.after_power_cut(disk.event_count(), seed)).unwrap();
            assert_holds(&after, 0..1).await;
        }
        put_numbered(&store, 2).await.unwrap();
        assert_holds(&store, [0, 2].into_iter()).await;
        let after = open_store(&disk.after_power_cut(disk.event_count(), 0)).unwrap();
        assert_holds(&after, [0, 2].into_iter()).await;
    }
}

/// The same without the sync of the repair: then a power cut can restore it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_repair_sync_a_failed_commit_may_return() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let mut failed = false;
    disk.set_outcomes(move |operation| {
        let fails =
            !failed && log_of(operation).is_some_and(|f| operation == DiskOperation::Sync(f));
        failed |= fails;
        if fails { DiskOutcome::Failed(ErrorKind::Other) } else { DiskOutcome::Done }
    });
    disk.ignore_syncs(|_| true);
    put_numbered(&store, 0).await.unwrap_err();
    let mut returned = 0;
    for events in 0..=disk.event_count() {
        for seed in 0..20 {
            let after = open_store(&disk.after_power_cut(events, seed)).unwrap();
            returned += all_entries_blocking(&after).unwrap().len();
        }
    }
    assert!(returned > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_outcome_is_reported_and_resolved() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    put_numbered(&store, 0).await.unwrap();
    disk.set_outcomes(|operation| match log_of(operation) {
        Some(_) if matches!(operation, DiskOperation::Sync(_)) => {
            DiskOutcome::DoneAndFailed(ErrorKind::Other)
        }
        _ => DiskOutcome::Done,
    });
    let error = put_numbered(&store, 1).await.unwrap_err();
    assert!(matches!(&error, Error::Io(why) if why.contains("not known")), "{error}");
    assert_holds(&store, 0..1).await;
    let error = put_numbered(&store, 2).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
    disk.clear_faults();
    put_numbered(&store, 3).await.unwrap();
    assert_holds(&store, [0, 3].into_iter()).await;
    let after = open_store(&disk.after_power_cut(disk.event_count(), 0)).unwrap();
    assert_holds(&after, [0, 3].into_iter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_read_of_the_tree_harms_no_other() {
    let disk = SimDisk::new();
    let options = EmbeddedOptions { cache_bytes: 0, ..small_options() };
    let store = EmbeddedStorage::open_with_disk(disk.clone(), options).unwrap();
    for n in 0..100 {
        put_numbered(&store, n).await.unwrap();
    }
    // 16 records per file: six files were full. Then the checkpointer is idle, and a reader meets
    // the fault.
    wait_until(|| store.stats().checkpoints == 6).await;
    let mut failed = false;
    disk.set_outcomes(move |operation| {
        let fails = !failed && operation == DiskOperation::Read(tree::TREE_FILE);
        failed |= fails;
        if fails { DiskOutcome::Failed(ErrorKind::Other) } else { DiskOutcome::Done }
    });
    let error = store.get("key/0000").await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
    assert_holds(&store, 0..100).await;
    assert_eq!(store.stats().reopened, 1);
}

/// The tree is unreachable for a while without a pending checkpoint. Once it is back, later commits
/// are unaffected.
#[tokio::test(flavor = "multi_thread")]
async fn writes_return_after_a_fault_is_over() {
    let disk = SimDisk::new();
    let options = EmbeddedOptions { cache_bytes: 0, ..small_options() };
    let store = EmbeddedStorage::open_with_disk(disk.clone(), options).unwrap();
    for n in 0..100 {
        put_numbered(&store, n).await.unwrap();
    }
    wait_until(|| store.stats().checkpoints == 6).await;
    disk.set_outcomes(|operation| match operation {
        DiskOperation::Read(tree::TREE_FILE) | DiskOperation::Name(tree::TREE_FILE) => {
            DiskOutcome::Failed(ErrorKind::Other)
        }
        _ => DiskOutcome::Done,
    });
    assert!(matches!(store.get("key/0000").await, Err(Error::Io(_))));
    wait_until(|| store.stats().faults > 2).await;
    assert!(matches!(store.get("key/0000").await, Err(Error::Closed(_))));
    disk.clear_faults();
    wait_until(|| store.stats().reopened > 0).await;
    for n in 100..200 {
        put_numbered(&store, n).await.unwrap();
    }
    assert_holds(&store, 0..200).await;
}

/// The sync of a commit fails, and so does discarding it; then the process dies. If the next
/// process sees the commit, it is durable, and not just still cached.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_at_process_death_is_decided_once() {
    let mut outcomes = [0, 0];
    for marks in 0..40 {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        put_numbered(&store, 0).await.unwrap();
        // What a failed sync leaves on the medium depends on the length of the history.
        (0..marks).for_each(|mark| disk.add_mark(mark));
        disk.set_outcomes(|operation| match log_of(operation) {
            Some(_) if matches!(operation, DiskOperation::Sync(_)) => {
                DiskOutcome::Failed(ErrorKind::Other)
            }
            _ => DiskOutcome::Done,
        });
        assert!(matches!(put_numbered(&store, 1).await, Err(Error::Io(_))));
        let disk = disk.after_kill();
        disk.clear_faults();
        let shown = all_entries(&open_store(&disk).unwrap()).await.unwrap();
        for seed in 0..3 {
            let after = open_store(&disk.after_power_cut(disk.event_count(), seed)).unwrap();
            assert_eq!(all_entries(&after).await.unwrap(), shown);
        }
        outcomes[usize::from(shown.len() == 2)] += 1;
    }
    assert!(outcomes.iter().all(|outcome| *outcome > 0), "{outcomes:?}");
}

/// Makes each operation fail in turn. Acknowledged commits exist, refused ones don't, uncertain
/// ones may or may not, and writes succeed again. With one round each operation fails in one of
/// four ways, with four or more in each.
#[tokio::test(flavor = "multi_thread")]
async fn any_single_fault_is_survived() {
    let outcomes = [
        DiskOutcome::Failed(ErrorKind::Other),
        DiskOutcome::DoneAndFailed(ErrorKind::Other),
        DiskOutcome::Failed(ErrorKind::StorageFull),
        DiskOutcome::Failed(ErrorKind::ReadOnlyFilesystem),
    ];
    let step = outcomes.len().div_ceil(round_count());
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let mut fault_at = n % step;
        while check_fault_survival(fault_at, outcome).await {
            fault_at += step;
        }
        assert!(fault_at > 100, "{fault_at} operations");
    }
}

/// Returns whether the history was long enough for the fault to occur.
async fn check_fault_survival(fault_at: usize, outcome: DiskOutcome) -> bool {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let operations = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&operations);
    disk.set_outcomes(move |_| {
        let now = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if now == fault_at { outcome } else { DiskOutcome::Done }
    });
    for n in 0..60 {
        put_once(&store, n).await;
    }
    let occurred = operations.load(std::sync::atomic::Ordering::Relaxed) > fault_at;
    disk.clear_faults();
    wait_until_readable(&store).await;
    assert_holds(&store, 0..60).await;
    let after = open_store(&disk.after_power_cut(disk.event_count(), 0)).unwrap();
    assert_holds(&after, 0..60).await;
    occurred
}

/// Puts on condition that the key doesn't exist, and retries until it does. Only after an uncertain
/// outcome may the key exist already.
async fn put_once(store: &EmbeddedStorage, n: usize) {
    let key = format!("key/{n:04}");
    let absent = Precondition::Absent(key.clone());
    let mut doubt = false;
    let trying = async {
        loop {
            match store
                .commit(
                    PhysicalBatch::put(key.clone(), filler_value(n))
                        .with_precondition(absent.clone()),
                )
                .await
            {
                Ok(_) => return,
                Err(Error::Precondition { .. }) if doubt => return,
                Err(Error::Io(_)) => doubt = true,
                Err(error) => assert!(is_transient(&error), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), trying).await.expect("writes return");
}

/// Changes bytes of a file of a closed store.
fn corrupt_file(disk: &SimDisk, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let file = disk.open(file).unwrap();
    let len = usize::try_from(file.len().unwrap()).unwrap();
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes).unwrap();
    change(&mut bytes);
    file.set_len(0).unwrap();
    file.write_at(0, &bytes).unwrap();
    file.sync().unwrap();
}

/// After a failed sync the whole tree is verified before it is used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_damaged_when_a_sync_failed_is_refused() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    for n in 0..40 {
        put_numbered(&store, n).await.unwrap();
    }
    wait_until(|| store.stats().checkpoints == 2).await;
    let needle = filler_value(0);
    corrupt_file(&disk, tree::TREE_FILE, |bytes| {
        let places: Vec<_> = (0..bytes.len() - needle.len())
            .filter(|at| bytes[*at..].starts_with(&needle))
            .collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 100] ^= 1);
    });
    let mut failed = false;
    disk.set_outcomes(move |operation| {
        let fails = !failed && operation == DiskOperation::Sync(tree::TREE_FILE);
        failed |= fails;
        if fails { DiskOutcome::Failed(ErrorKind::Other) } else { DiskOutcome::Done }
    });
    let refused = async {
        let mut n = 40;
        loop {
            match put_numbered(&store, n).await {
                Ok(_) => n += 1,
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert!(matches!(error, Error::Io(_) | Error::Corrupt(_)), "{error}");
    wait_until(|| !store.shared.tree.needs_recovery()).await;
    assert!(matches!(store.get("key/0000").await, Err(Error::Corrupt(_))));
}

/// A log that lost a record in its middle is refused, not taken for a log that ends there.
#[tokio::test]
async fn a_damaged_log_is_refused() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    // Checkpoints fail, so that both files are needed.
    disk.set_outcomes(|operation| {
        let tree = is_write_to(operation, tree::TREE_FILE);
        if tree { DiskOutcome::Failed(ErrorKind::StorageFull) } else { DiskOutcome::Done }
    });
    for n in 0..20 {
        put_numbered(&store, n).await.unwrap();
    }
    drop(store);
    disk.clear_faults();
    // 16 records of 1024 bytes are in the file written first, the others in the second.
    let [second, first] = log::LOG_FILES;
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        (first, |bytes| bytes[5 * 1024 + 100] ^= 1),
        (first, |bytes| bytes[15 * 1024 + 100] ^= 1),
        (first, |bytes| bytes.fill(0)),
        (second, |bytes| bytes[100] ^= 1),
        (second, |bytes| bytes[2 * 1024 + 100] ^= 1),
    ];
    for (n, (file, change)) in damages.into_iter().enumerate() {
        let disk = disk.after_power_cut(disk.event_count(), 0);
        corrupt_file(&disk, file, change);
        let opened = open_store(&disk);
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{n}: {:?}", opened.err());
    }
    // A lost last record can't be distinguished from one that was cut short.
    corrupt_file(&disk, second, |bytes| bytes[3 * 1024 + 100] ^= 1);
    assert_holds(&open_store(&disk).unwrap(), 0..19).await;
}

/// A store that can't be opened is left unchanged, and opens once the disk has recovered.
#[tokio::test]
async fn opening_on_a_full_or_read_only_disk_is_refused() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    for n in 0..40 {
        put_numbered(&store, n).await.unwrap();
    }
    drop(store);
    for (kind, expected) in [
        (ErrorKind::StorageFull, is_full as fn(&Error) -> bool),
        (ErrorKind::ReadOnlyFilesystem, is_read_only),
        (ErrorKind::Other, |error| matches!(error, Error::Io(_))),
    ] {
        disk.refuse_writes(kind);
        let opened = open_store(&disk).map(drop);
        assert!(opened.as_ref().is_err_and(expected), "{opened:?}");
        disk.clear_faults();
        assert_holds(&open_store(&disk).unwrap(), 0..40).await;
    }
    // A new folder isn't treated as a store before its creation is complete.
    let empty = SimDisk::new();
    empty.refuse_writes(ErrorKind::StorageFull);
    assert!(matches!(open_store(&empty), Err(Error::Full)));
    empty.clear_faults();
    assert_holds(&open_store(&empty).unwrap(), 0..0).await;
}

/// What an operator reads: the operation, the file and the folder.
#[test]
fn errors_say_what_was_done_and_where() {
    let failed = classify_io_error(&ErrorKind::Other.into(), "syncing the log");
    assert_eq!(failed.to_string(), "storage I/O failed: syncing the log: other error");
    for (error, expected) in [
        (Error::Full, "the storage device is full (/some/where)"),
        (Error::ReadOnly, "the storage device is read-only (/some/where)"),
        (failed, "storage I/O failed: syncing the log: other error (/some/where)"),
    ] {
        assert_eq!(with_folder_path(Path::new("/some/where"), error).to_string(), expected);
    }
}

#[tokio::test]
async fn a_batch_of_many_changes_is_replayed() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let changes =
        (0..40).map(|n| PhysicalChange::put(format!("many/{n:02}"), vec![n; 60])).collect();
    store.commit(PhysicalBatch { preconditions: Vec::new(), changes }).await.unwrap();
    drop(store);
    assert_eq!(all_entries(&open_store(&disk).unwrap()).await.unwrap().len(), 40);
}
