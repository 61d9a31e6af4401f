//! Random histories: the embedded store and the in-memory store agree, also across reopening.

use proptest::prelude::*;

use super::*;
use crate::memory::MemoryStorage;

#[derive(Clone, Debug)]
enum HistoryStep {
    Commit(Vec<ModelCondition>, Vec<PhysicalChange>),
    Get(String),
    Scan(String, Option<String>, usize),
    Checkpoint,
    Close,
    Drop,
    Kill,
    PowerCut(u64),
}

#[derive(Clone, Debug)]
enum ModelCondition {
    Exists(String),
    Absent(String),
    /// At its current version, if the key exists, or this many versions below it.
    Unchanged(String, u64),
}

fn any_key() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a", "a/", "a/b", "a/é", "a/é/c", "b", "b/x", "c/ü", "d"])
        .prop_map(str::to_owned)
}

fn any_change() -> impl Strategy<Value = PhysicalChange> {
    let value = (0..3_usize, any::<u8>())
        .prop_map(|(size, byte)| vec![byte; [0, 40, 1200].get(size).copied().unwrap_or(0)]);
    prop_oneof![
        3 => (any_key(), value).prop_map(|(key, value)| PhysicalChange::put(key, value)),
        1 => any_key().prop_map(PhysicalChange::delete),
    ]
}

fn any_condition() -> impl Strategy<Value = ModelCondition> {
    prop_oneof![
        any_key().prop_map(ModelCondition::Exists),
        any_key().prop_map(ModelCondition::Absent),
        (any_key(), 0..2_u64).prop_map(|(key, below)| ModelCondition::Unchanged(key, below)),
    ]
}

fn any_step() -> impl Strategy<Value = HistoryStep> {
    let conditions = prop_oneof![
        2 => Just(Vec::new()),
        1 => proptest::collection::vec(any_condition(), 1..3),
    ];
    let changes = proptest::collection::vec(any_change(), 0..4)
        .prop_filter("fits", |changes| changes.iter().map(change_bytes).sum::<usize>() <= 4096);
    prop_oneof![
        20 => (conditions, changes).prop_map(|(on, changes)| HistoryStep::Commit(on, changes)),
        4 => any_key().prop_map(HistoryStep::Get),
        4 => (any_key(), proptest::option::of(any_key()), 0..6_usize).prop_map(|(p, a, l)| HistoryStep::Scan(p, a, l)),
        2 => Just(HistoryStep::Checkpoint),
        1 => Just(HistoryStep::Close),
        1 => Just(HistoryStep::Drop),
        1 => Just(HistoryStep::Kill),
        1 => any::<u64>().prop_map(HistoryStep::PowerCut),
    ]
}

fn change_bytes(change: &PhysicalChange) -> usize {
    match change {
        PhysicalChange::Put { key, value } => key.len() + value.len() + 8,
        PhysicalChange::Delete { key } => key.len() + 8,
    }
}

async fn to_precondition(condition: &ModelCondition, model: &MemoryStorage) -> Precondition {
    match condition {
        ModelCondition::Exists(key) => Precondition::Exists(key.clone()),
        ModelCondition::Absent(key) => Precondition::Absent(key.clone()),
        ModelCondition::Unchanged(key, below) => {
            let found = model.get(key).await.unwrap().map_or(0, |entry| entry.version.0);
            Precondition::Unchanged(key.clone(), Version(found.saturating_sub(*below)))
        }
    }
}

async fn check_agreement(steps: Vec<HistoryStep>) {
    let model = MemoryStorage::new();
    let mut disk = SimDisk::new();
    let mut store = open_store(&disk).unwrap();
    for step in steps {
        match step {
            HistoryStep::Commit(conditions, changes) => {
                let mut batch = PhysicalBatch { preconditions: Vec::new(), changes };
                for condition in &conditions {
                    batch = batch.with_precondition(to_precondition(condition, &model).await);
                }
                let expected = model.commit(batch.clone()).await;
                let found = store.commit(batch).await;
                assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            }
            HistoryStep::Get(key) => {
                assert_eq!(store.get(&key).await.unwrap(), model.get(&key).await.unwrap());
            }
            HistoryStep::Scan(prefix, after, limit) => {
                let expected = model.scan(&prefix, after.as_deref(), limit).await.unwrap();
                assert_eq!(store.scan(&prefix, after.as_deref(), limit).await.unwrap(), expected);
            }
            HistoryStep::Checkpoint => {
                store.start_checkpoint(0).await.unwrap();
            }
            HistoryStep::Close => {
                store.close().await;
                store = open_store(&disk).unwrap();
            }
            HistoryStep::Drop => {
                drop(store);
                store = open_store(&disk).unwrap();
            }
            HistoryStep::Kill => {
                disk = disk.after_kill();
                store = open_store(&disk).unwrap();
            }
            HistoryStep::PowerCut(seed) => {
                disk = disk.after_power_cut(disk.event_count(), seed);
                store = open_store(&disk).unwrap();
            }
        }
        assert_eq!(all_entries(&store).await.unwrap(), all_entries(&model).await.unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: u32::try_from(32 * round_count()).unwrap(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_memory(steps in proptest::collection::vec(any_step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check_agreement(steps));
    }
}
