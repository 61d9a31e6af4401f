//! Random histories: the embedded store and the one in memory agree, through reopening.

use proptest::prelude::*;

use super::*;
use crate::memory::Memory;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Condition>, Vec<Change>),
    Get(String),
    Scan(String, Option<String>, usize),
    CarryOver,
    Close,
    Drop,
    Kill,
    PowerCut(u64),
}

#[derive(Clone, Debug)]
enum Condition {
    Exists(String),
    Absent(String),
    /// At its present version, if it is there; or so many below.
    Unchanged(String, u64),
}

fn key() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a", "a/", "a/b", "a/é", "a/é/c", "b", "b/x", "c/ü", "d"])
        .prop_map(str::to_owned)
}

fn change() -> impl Strategy<Value = Change> {
    let value = (0..3_usize, any::<u8>())
        .prop_map(|(size, byte)| vec![byte; [0, 40, 1200].get(size).copied().unwrap_or(0)]);
    prop_oneof![
        3 => (key(), value).prop_map(|(key, value)| Change::put(key, value)),
        1 => key().prop_map(Change::delete),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        key().prop_map(Condition::Exists),
        key().prop_map(Condition::Absent),
        (key(), 0..2_u64).prop_map(|(key, below)| Condition::Unchanged(key, below)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let conditions = prop_oneof![
        2 => Just(Vec::new()),
        1 => proptest::collection::vec(condition(), 1..3),
    ];
    let changes = proptest::collection::vec(change(), 0..4)
        .prop_filter("fits", |changes| changes.iter().map(size).sum::<usize>() <= 4096);
    prop_oneof![
        20 => (conditions, changes).prop_map(|(on, changes)| Step::Commit(on, changes)),
        4 => key().prop_map(Step::Get),
        4 => (key(), proptest::option::of(key()), 0..6_usize).prop_map(|(p, a, l)| Step::Scan(p, a, l)),
        2 => Just(Step::CarryOver),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

fn size(change: &Change) -> usize {
    match change {
        Change::Put { key, value } => key.len() + value.len() + 8,
        Change::Delete { key } => key.len() + 8,
    }
}

async fn resolve(condition: &Condition, model: &Memory) -> Precondition {
    match condition {
        Condition::Exists(key) => Precondition::Exists(key.clone()),
        Condition::Absent(key) => Precondition::Absent(key.clone()),
        Condition::Unchanged(key, below) => {
            let found = model.get(key).await.unwrap().map_or(0, |entry| entry.version.0);
            Precondition::Unchanged(key.clone(), Version(found.saturating_sub(*below)))
        }
    }
}

async fn agree_on(steps: Vec<Step>) {
    let model = Memory::new();
    let mut disk = SimDisk::new();
    let mut store = open(&disk).unwrap();
    for step in steps {
        match step {
            Step::Commit(conditions, changes) => {
                let mut batch = Batch { preconditions: Vec::new(), changes };
                for condition in &conditions {
                    batch = batch.on(resolve(condition, &model).await);
                }
                let expected = model.commit(batch.clone()).await;
                let found = store.commit(batch).await;
                assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            }
            Step::Get(key) => {
                assert_eq!(store.get(&key).await.unwrap(), model.get(&key).await.unwrap());
            }
            Step::Scan(prefix, after, limit) => {
                let expected = model.scan(&prefix, after.as_deref(), limit).await.unwrap();
                assert_eq!(store.scan(&prefix, after.as_deref(), limit).await.unwrap(), expected);
            }
            Step::CarryOver => {
                store.carry_over(0).await.unwrap();
            }
            Step::Close => {
                store.close().await;
                store = open(&disk).unwrap();
            }
            Step::Drop => {
                drop(store);
                store = open(&disk).unwrap();
            }
            Step::Kill => {
                disk = disk.after_kill();
                store = open(&disk).unwrap();
            }
            Step::PowerCut(seed) => {
                disk = disk.after_power_cut(disk.events(), seed);
                store = open(&disk).unwrap();
            }
        }
        assert_eq!(dump(&store).await.unwrap(), dump(&model).await.unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: u32::try_from(32 * rounds()).unwrap(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_memory(steps in proptest::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(agree_on(steps));
    }
}
