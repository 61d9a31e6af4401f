//! Power is cut at every point of a history. What was acknowledged is there, whole and with its
//! version; what was not is there whole or not at all; versions never repeat. And each sync is
//! needed: with one left out, this finds it.

use super::*;
use crate::testing::SyncPoint;

const WRITERS: usize = 3;
/// How many batches each writer commits; or one of them alone.
const TOGETHER: [usize; WRITERS] = [20; WRITERS];
const ALONE: [usize; WRITERS] = [60, 0, 0];

/// A history on a simulated disk, and what the writers saw.
struct Run {
    disk: SimDisk,
    /// For each writer, the batches that were already there when it began.
    before: Vec<usize>,
    /// The versions that were answered: of each writer, from its first batch in this run on.
    versions: Vec<Vec<Version>>,
    carried_over: u64,
}

/// What writers note in the history of the disk.
const BEGUN: usize = 0;
const ACKNOWLEDGED: usize = 1;

fn note(what: usize, writer: usize) -> u64 {
    u64::try_from(what * WRITERS + writer).unwrap()
}

/// The `n`th batch of a writer: its keys are its own, and say which batch it was.
fn batch(writer: usize, n: usize) -> Batch {
    let size = 100 + (n * 7 + writer * 3) % 5 * 300;
    let mut value = format!("{n}:").into_bytes();
    value.resize(size, b'.');
    Batch::put(format!("{writer}/last"), n.to_string())
        .and(Change::put(format!("{writer}/slot/{}", n % 4), value))
        .and(Change::delete(format!("{writer}/slot/{}", (n + 2) % 4)))
        .and(Change::put(format!("{writer}/each/{n}"), ""))
}

/// What a writer's keys hold after its first `n` batches.
fn state_after(writer: usize, n: usize) -> BTreeMap<String, Vec<u8>> {
    let mut state = BTreeMap::new();
    for n in 0..n {
        for change in batch(writer, n).changes {
            match change {
                Change::Put { key, value } => state.insert(key, value.to_vec()),
                Change::Delete { key } => state.remove(&key),
            };
        }
    }
    state
}

/// Lets each writer commit its batches from the one after `before` on.
async fn run(disk: SimDisk, before: Vec<usize>, until: [usize; WRITERS]) -> Run {
    let store = Arc::new(open(&disk).unwrap());
    run_on(store, disk, before, until, usize::MAX).await
}

async fn run_on(
    store: Arc<Embedded>,
    disk: SimDisk,
    before: Vec<usize>,
    until: [usize; WRITERS],
    carried_over_every: usize,
) -> Run {
    let mut writers = tokio::task::JoinSet::new();
    for (writer, first) in before.iter().copied().enumerate() {
        let (store, disk) = (Arc::clone(&store), disk.clone());
        writers.spawn(async move {
            let mut versions = Vec::new();
            for n in first..until[writer] {
                disk.mark(note(BEGUN, writer));
                versions.push(store.commit(batch(writer, n)).await.unwrap());
                disk.mark(note(ACKNOWLEDGED, writer));
                if writer == 0 && (n + 1).is_multiple_of(carried_over_every) {
                    // Refused while a full file is being carried over.
                    while !store.carry_over(0).await.unwrap() {
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
    Run { disk, before, versions, carried_over: store.stats().carried_over }
}

/// Opens what is left after a power cut behind `events`. Answers the disk, and how many batches
/// of each writer are there; or what was broken.
async fn survive(run: &Run, events: usize, seed: u64) -> Result<(SimDisk, Vec<usize>), String> {
    let disk = run.disk.after_power_cut(events, seed);
    let left = disk.clone();
    let store = open(&disk).map_err(|error| format!("does not open: {error}"))?;
    let entries = dump_here(&store).map_err(|error| format!("can't be read: {error}"))?;
    let marks = run.disk.marks(events);
    let mut there = Vec::new();
    let mut highest = Version(0);
    for writer in 0..WRITERS {
        let count = |what| marks.iter().filter(|mark| **mark == note(what, writer)).count();
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
    let next = store.commit(Batch::delete("probe")).await;
    let next = next.map_err(|error| format!("can't be written: {error}"))?;
    if next <= highest.max(seen) {
        return Err(format!("version {next:?} repeats"));
    }
    drop(store);
    drop(disk);
    Ok((left, there))
}

/// A few seeds for a point of the history: both extremes, and two mixtures.
fn seeds(events: usize) -> [u64; 4] {
    let mixed = u64::try_from(events).unwrap() * 2 + 2;
    [0, 1, mixed, mixed + 1]
}

/// The first thing that is broken, anywhere in the history.
async fn find_damage(run: &Run) -> Option<String> {
    for events in 0..=run.disk.events() {
        for seed in seeds(events) {
            if let Err(broken) = survive(run, events, seed).await {
                return Some(format!("cut behind {events} with seed {seed}: {broken}"));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_wherever_power_is_cut() {
    let run = run(SimDisk::new(), vec![0; WRITERS], TOGETHER).await;
    let syncs = (0..run.disk.events()).filter(|event| run.disk.is_sync(*event)).count();
    assert!(syncs > 30 && run.carried_over >= 2, "the history is too short: {syncs} syncs");
    assert_eq!(find_damage(&run).await, None);
}

/// The log is carried over after every few batches, whether it is full or not.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_where_the_log_is_carried_over_early() {
    let disk = SimDisk::new();
    let store = Arc::new(open(&disk).unwrap());
    let run = run_on(store, disk, vec![0; WRITERS], TOGETHER, 4).await;
    // The fifth may have been under way when the store was closed.
    assert!(run.carried_over >= 4, "{}", run.carried_over);
    assert_eq!(find_damage(&run).await, None);
}

/// A crash, then a second one while the same batches are written again: what the first left
/// behind the end of the log must not come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_power_cut_is_survived_too() {
    let first = run(SimDisk::new(), vec![0; WRITERS], TOGETHER).await;
    let points = first.disk.events();
    for events in (points / 4..points).step_by(points / 12) {
        let (disk, there) = survive(&first, events, seeds(events)[2]).await.unwrap();
        let second = run(disk, there, TOGETHER).await;
        for events in (0..=second.disk.events()).step_by(10_usize.div_ceil(rounds())) {
            for seed in seeds(events) {
                let survived = survive(&second, events, seed).await;
                assert!(survived.is_ok(), "{events} {seed}: {:?}", survived.err());
            }
        }
    }
}

/// What is found when some syncs of a new store's life are left out. One writer alone: its answer
/// is noted before the next sync, which would make up for the one left out.
async fn damage_without(
    ignore: impl FnMut(SyncPoint<'_>) -> bool + Send + 'static,
) -> Option<String> {
    let disk = SimDisk::new();
    disk.ignore_syncs(ignore);
    find_damage(&run(disk, vec![0; WRITERS], ALONE).await).await
}

fn is_log(sync: &SyncPoint<'_>) -> bool {
    sync.file.is_some_and(|file| log::LOGS.contains(&file))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_sync_of_a_commit_it_breaks() {
    // Of each log file, the first sync lays it out and the second opens it.
    let damage = damage_without(|sync| is_log(&sync) && sync.earlier >= 2).await;
    assert!(damage.is_some());
    // One forgotten sync in the middle is enough.
    let damage = damage_without(|sync| sync.file == Some(log::LOGS[0]) && sync.earlier == 5).await;
    assert!(damage.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_of_the_tree_it_breaks() {
    // A step of carrying over syncs twice: what it wrote, then the header that points there.
    for which in [0, 1] {
        let disk = SimDisk::new();
        let store = Arc::new(open(&disk).unwrap());
        let mut syncs = 0;
        disk.ignore_syncs(move |sync| {
            syncs += usize::from(sync.file == Some(tree::TREE));
            sync.file == Some(tree::TREE) && syncs % 2 == which
        });
        let run = run_on(store, disk, vec![0; WRITERS], ALONE, usize::MAX).await;
        assert!(find_damage(&run).await.is_some(), "without every second sync, from {which}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_of_the_layout_it_breaks() {
    let first_of_log = |sync: SyncPoint<'_>| is_log(&sync) && sync.earlier < 2;
    assert!(damage_without(first_of_log).await.is_some(), "the log files");
    let marker = |sync: SyncPoint<'_>| sync.file.is_some_and(|file| file.starts_with("strongroom"));
    assert!(damage_without(marker).await.is_some(), "the marker");
    for which in 0..3 {
        let names = move |sync: SyncPoint<'_>| sync.file.is_none() && sync.earlier == which;
        assert!(damage_without(names).await.is_some(), "the folder, {which}");
    }
}

/// The process dies between a write and its sync, is started again and shows what it found.
/// From then on it must stay, and without the sync when the log is opened it does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_after_a_kill_stays() {
    for forget_the_sync in [false, true] {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        store.commit(Batch::put("acknowledged", "")).await.unwrap();
        // The sync that the process does not live to see: nobody was answered.
        disk.ignore_syncs(|sync| is_log(&sync));
        store.commit(Batch::put("written", "")).await.unwrap();
        let disk = disk.after_kill();
        disk.ignore_syncs(move |sync| forget_the_sync && is_log(&sync));
        let again = open(&disk).unwrap();
        assert!(again.get("written").await.unwrap().is_some());
        drop(again);
        let after = open(&disk.after_power_cut(disk.events(), 0)).unwrap();
        assert!(after.get("acknowledged").await.unwrap().is_some());
        assert_eq!(after.get("written").await.unwrap().is_none(), forget_the_sync);
    }
}

/// The process dies between a last write to the tree and its sync. Once the next one believes the
/// tree, it writes over what the log still had: the tree must be durable by then, which it is
/// because redb syncs the file when it opens it.
#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_durable_before_the_log_is_written_over() {
    let put = |n: usize| Batch::put(format!("{n:02}"), vec![0; 900]);
    for forget_the_sync in [false, true] {
        let disk = SimDisk::new();
        let store = open(&disk).unwrap();
        // 16 of these fill a log file; the next one hands it over.
        disk.ignore_syncs(|sync| sync.file == Some(tree::TREE));
        for n in 0..17 {
            store.commit(put(n)).await.unwrap();
        }
        until(|| store.stats().carried_over > 0).await;
        let disk = disk.after_kill();
        disk.ignore_syncs(move |sync| forget_the_sync && sync.file == Some(tree::TREE));
        let again = open(&disk).unwrap();
        disk.decide(|operation| match operation {
            Operation::Write(tree::TREE) | Operation::SetLen(tree::TREE) => {
                Outcome::Failed(std::io::ErrorKind::StorageFull)
            }
            _ => Outcome::Done,
        });
        for n in 17..33 {
            again.commit(put(n)).await.unwrap();
        }
        let after = open(&disk.after_power_cut(disk.events(), 0));
        let there = match &after {
            Ok(after) => dump(after).await.map_or(0, |entries| entries.len()),
            Err(_) => 0,
        };
        assert_eq!(there == 33, !forget_the_sync, "{there} {:?}", after.err());
    }
}
