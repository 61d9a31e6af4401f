//! Power is cut at every point of a history. Acknowledged commits exist, complete and with their
//! versions; others exist completely or not at all; versions never repeat. Each sync is necessary:
//! if one is omitted, these tests find it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::testing::SyncPoint;

const WRITERS: usize = 3;
/// Number of batches that each writer commits; or a single writer alone.
const ALL_WRITERS: [usize; WRITERS] = [20; WRITERS];
const ONE_WRITER: [usize; WRITERS] = [60, 0, 0];

/// A history on a simulated disk, and what the writers observed.
struct RecordedRun {
    disk: SimDisk,
    /// For each writer, the number of batches that existed before it started.
    before: Vec<usize>,
    /// The versions returned to each writer, from its first batch in this run on.
    versions: Vec<Vec<Version>>,
    checkpoints: u64,
}

/// The kinds of marks that writers add to the history.
const BEGUN: usize = 0;
const ACKNOWLEDGED: usize = 1;

fn mark_code(what: usize, writer: usize) -> u64 {
    u64::try_from(what * WRITERS + writer).unwrap()
}

/// The `n`th batch of a writer: its keys belong to that writer and identify the batch.
fn writer_batch(writer: usize, n: usize) -> PhysicalBatch {
    let size = 100 + (n * 7 + writer * 3) % 5 * 300;
    let mut value = format!("{n}:").into_bytes();
    value.resize(size, b'.');
    PhysicalBatch::put(format!("{writer}/last"), n.to_string())
        .with_change(PhysicalChange::put(format!("{writer}/slot/{}", n % 4), value))
        .with_change(PhysicalChange::delete(format!("{writer}/slot/{}", (n + 2) % 4)))
        .with_change(PhysicalChange::put(format!("{writer}/each/{n}"), ""))
}

/// The content of a writer's keys after its first `n` batches.
fn state_after(writer: usize, n: usize) -> BTreeMap<String, Vec<u8>> {
    let mut state = BTreeMap::new();
    for n in 0..n {
        for change in writer_batch(writer, n).changes {
            match change {
                PhysicalChange::Put { key, value } => state.insert(key, value.to_vec()),
                PhysicalChange::Delete { key } => state.remove(&key),
            };
        }
    }
    state
}

/// Lets each writer commit its batches after the first `before`.
async fn run_writers(disk: SimDisk, before: Vec<usize>, until: [usize; WRITERS]) -> RecordedRun {
    let store = Arc::new(open_store(&disk).unwrap());
    run_writers_on(store, disk, before, until, usize::MAX).await
}

async fn run_writers_on(
    store: Arc<EmbeddedStorage>,
    disk: SimDisk,
    before: Vec<usize>,
    until: [usize; WRITERS],
    carried_over_every: usize,
) -> RecordedRun {
    let mut writers = tokio::task::JoinSet::new();
    for (writer, first) in before.iter().copied().enumerate() {
        let (store, disk) = (Arc::clone(&store), disk.clone());
        writers.spawn(async move {
            let mut versions = Vec::new();
            for n in first..until[writer] {
                disk.add_mark(mark_code(BEGUN, writer));
                versions.push(store.commit(writer_batch(writer, n)).await.unwrap());
                disk.add_mark(mark_code(ACKNOWLEDGED, writer));
                if writer == 0 && (n + 1).is_multiple_of(carried_over_every) {
                    // Refused while another checkpoint is in progress.
                    while !store.start_checkpoint(0).await.unwrap() {
                        tokio::task::yield_now().await;
                    }
                }
            }
            (writer, versions)
        });
    }
    let mut versions = writers.join_all().await;
    versions.sort_by_key(|(writer, _)| *writer);
    store.close().await;
    let versions = versions.into_iter().map(|(_, versions)| versions).collect();
    RecordedRun { disk, before, versions, checkpoints: store.stats().checkpoints }
}

/// Opens what remains after a power cut following `events`. Returns the disk and the number of
/// batches of each writer, or what is wrong.
async fn check_survival(
    run: &RecordedRun,
    events: usize,
    seed: u64,
) -> Result<(SimDisk, Vec<usize>), String> {
    let disk = run.disk.after_power_cut(events, seed);
    let left = disk.clone();
    let store = open_store(&disk).map_err(|error| format!("does not open: {error}"))?;
    // The tree's library may panic on a file that misses writes; that is damage, too.
    let read = catch_unwind(AssertUnwindSafe(|| all_entries_blocking(&store)));
    let read = read.map_err(|_| "can't be read: the tree's library panics".to_owned())?;
    let entries = read.map_err(|error| format!("can't be read: {error}"))?;
    let marks = run.disk.marks_before(events);
    let mut there = Vec::new();
    let mut highest = Version(0);
    for writer in 0..WRITERS {
        let count = |what| marks.iter().filter(|mark| **mark == mark_code(what, writer)).count();
        let (begun, acknowledged) = (count(BEGUN), count(ACKNOWLEDGED));
        let prefix = format!("{writer}/");
        let own: BTreeMap<_, _> = entries.iter().filter(|(k, _)| k.starts_with(&prefix)).collect();
        let last = entries.get(&format!("{writer}/last"));
        let found = last
            .map_or(0, |entry| String::from_utf8_lossy(&entry.value).parse::<usize>().unwrap() + 1);
        let first = run.before[writer];
        if found < first + acknowledged || found > first + begun {
            return Err(format!(
                "writer {writer}: {found} are there, {acknowledged} acknowledged, {begun} begun, \
                 {first} before"
            ));
        }
        let values: BTreeMap<_, _> =
            own.iter().map(|(key, entry)| ((*key).clone(), entry.value.to_vec())).collect();
        if values != state_after(writer, found) {
            return Err(format!("writer {writer}: not the state after {found} batches"));
        }
        for (n, version) in run.versions[writer].iter().enumerate().take(acknowledged) {
            let entry = entries.get(&format!("{writer}/each/{}", first + n));
            if entry.map(|entry| entry.version) != Some(*version) {
                return Err(format!("writer {writer}: batch {n} changed its version"));
            }
            highest = highest.max(*version);
        }
        there.push(found);
    }
    let seen = entries.values().map(|entry| entry.version).max().unwrap_or_default();
    let next = store.commit(PhysicalBatch::delete("probe")).await;
    let next = next.map_err(|error| format!("can't be written: {error}"))?;
    if next <= highest.max(seen) {
        return Err(format!("version {next:?} repeats"));
    }
    drop(store);
    drop(disk);
    Ok((left, there))
}

/// A few seeds for a point of the history: both extremes, and two mixtures.
fn seeds_for(events: usize) -> [u64; 4] {
    let mixed = u64::try_from(events).unwrap() * 2 + 2;
    [0, 1, mixed, mixed + 1]
}

/// The first damage found at any point of the history.
async fn find_damage(run: &RecordedRun) -> Option<String> {
    for events in 0..=run.disk.event_count() {
        for seed in seeds_for(events) {
            if let Err(broken) = check_survival(run, events, seed).await {
                return Some(format!("cut behind {events} with seed {seed}: {broken}"));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_wherever_power_is_cut() {
    let run = run_writers(SimDisk::new(), vec![0; WRITERS], ALL_WRITERS).await;
    let syncs = (0..run.disk.event_count()).filter(|event| run.disk.is_sync(*event)).count();
    assert!(syncs > 30 && run.checkpoints >= 2, "the history is too short: {syncs} syncs");
    assert_eq!(find_damage(&run).await, None);
}

/// Starts a checkpoint after every few batches, whether or not the log file is full.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_with_early_checkpoints() {
    let disk = SimDisk::new();
    let store = Arc::new(open_store(&disk).unwrap());
    let run = run_writers_on(store, disk, vec![0; WRITERS], ALL_WRITERS, 4).await;
    // The fifth may have been in progress when the store was closed.
    assert!(run.checkpoints >= 4, "{}", run.checkpoints);
    assert_eq!(find_damage(&run).await, None);
}

/// A crash, then a second one while the same batches are written again: what the first left after
/// the end of the log must not reappear.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_power_cut_is_survived_too() {
    let first = run_writers(SimDisk::new(), vec![0; WRITERS], ALL_WRITERS).await;
    let points = first.disk.event_count();
    for events in (points / 4..points).step_by(points / 12) {
        let (disk, there) = check_survival(&first, events, seeds_for(events)[2]).await.unwrap();
        let second = run_writers(disk, there, ALL_WRITERS).await;
        for events in (0..=second.disk.event_count()).step_by(10_usize.div_ceil(round_count())) {
            for seed in seeds_for(events) {
                let survived = check_survival(&second, events, seed).await;
                assert!(survived.is_ok(), "{events} {seed}: {:?}", survived.err());
            }
        }
    }
}

/// The damage found when some syncs of a new store are omitted. Only one writer, whose result is
/// recorded before the next sync, which would make up for the omitted one.
async fn find_damage_without_sync(
    ignore: impl FnMut(SyncPoint<'_>) -> bool + Send + 'static,
) -> Option<String> {
    let disk = SimDisk::new();
    disk.ignore_syncs(ignore);
    find_damage(&run_writers(disk, vec![0; WRITERS], ONE_WRITER).await).await
}

fn is_log(sync: &SyncPoint<'_>) -> bool {
    sync.file.is_some_and(|file| log::LOG_FILES.contains(&file))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_commit_sync_is_detected() {
    // The first sync of each log file creates it, and the second opens it.
    let damage = find_damage_without_sync(|sync| is_log(&sync) && sync.earlier >= 2).await;
    assert!(damage.is_some());
    // A single omitted sync in the middle is enough.
    let damage =
        find_damage_without_sync(|sync| sync.file == Some(log::LOG_FILES[0]) && sync.earlier == 5)
            .await;
    assert!(damage.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tree_sync_is_detected() {
    // A commit of a checkpoint syncs twice: the data, then the header that refers to it.
    for which in [0, 1] {
        let disk = SimDisk::new();
        let store = Arc::new(open_store(&disk).unwrap());
        let mut syncs = 0;
        disk.ignore_syncs(move |sync| {
            syncs += usize::from(sync.file == Some(tree::TREE_FILE));
            sync.file == Some(tree::TREE_FILE) && syncs % 2 == which
        });
        let run = run_writers_on(store, disk, vec![0; WRITERS], ONE_WRITER, usize::MAX).await;
        assert!(find_damage(&run).await.is_some(), "without every second sync, from {which}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_layout_sync_is_detected() {
    let first_of_log = |sync: SyncPoint<'_>| is_log(&sync) && sync.earlier < 2;
    assert!(find_damage_without_sync(first_of_log).await.is_some(), "the log files");
    let marker = |sync: SyncPoint<'_>| sync.file.is_some_and(|file| file.starts_with("strongroom"));
    assert!(find_damage_without_sync(marker).await.is_some(), "the marker");
    for which in 0..3 {
        let names = move |sync: SyncPoint<'_>| sync.file.is_none() && sync.earlier == which;
        assert!(find_damage_without_sync(names).await.is_some(), "the folder, {which}");
    }
}

/// The process dies between a write and its sync; the next process returns what it found. From then
/// on that must be durable, and without the sync when the log is opened it is not.
#[tokio::test(flavor = "multi_thread")]
async fn values_read_after_a_kill_stay() {
    for forget_the_sync in [false, true] {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        store.commit(PhysicalBatch::put("acknowledged", "")).await.unwrap();
        // The process dies before this sync, so nothing was acknowledged.
        disk.ignore_syncs(|sync| is_log(&sync));
        store.commit(PhysicalBatch::put("written", "")).await.unwrap();
        let disk = disk.after_kill();
        disk.ignore_syncs(move |sync| forget_the_sync && is_log(&sync));
        let again = open_store(&disk).unwrap();
        assert!(again.get("written").await.unwrap().is_some());
        drop(again);
        let after = open_store(&disk.after_power_cut(disk.event_count(), 0)).unwrap();
        assert!(after.get("acknowledged").await.unwrap().is_some());
        assert_eq!(after.get("written").await.unwrap().is_none(), forget_the_sync);
    }
}

/// The process dies between a last write to the tree and its sync. When the next process trusts the
/// tree, it overwrites the log: the tree must be durable by then, which holds because redb syncs
/// the file when opening it.
#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_durable_before_the_log_is_written_over() {
    let put = |n: usize| PhysicalBatch::put(format!("{n:02}"), vec![0; 900]);
    for forget_the_sync in [false, true] {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        // 16 of these fill a log file; the next one requests a checkpoint.
        disk.ignore_syncs(|sync| sync.file == Some(tree::TREE_FILE));
        for n in 0..17 {
            store.commit(put(n)).await.unwrap();
        }
        wait_until(|| store.stats().checkpoints > 0).await;
        let disk = disk.after_kill();
        disk.ignore_syncs(move |sync| forget_the_sync && sync.file == Some(tree::TREE_FILE));
        let again = open_store(&disk).unwrap();
        disk.set_outcomes(|operation| match operation {
            DiskOperation::Write(tree::TREE_FILE) | DiskOperation::SetLen(tree::TREE_FILE) => {
                DiskOutcome::Failed(std::io::ErrorKind::StorageFull)
            }
            _ => DiskOutcome::Done,
        });
        for n in 17..33 {
            again.commit(put(n)).await.unwrap();
        }
        let after = open_store(&disk.after_power_cut(disk.event_count(), 0));
        let there = match &after {
            Ok(after) => all_entries(after).await.map_or(0, |entries| entries.len()),
            Err(_) => 0,
        };
        assert_eq!(there == 33, !forget_the_sync, "{there} {:?}", after.err());
    }
}
