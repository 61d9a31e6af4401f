//! The restrictions on the storage that an engine instance gets, and what its errors reveal.

use strongroom_barrier::Barrier;
use strongroom_barrier::testing::open_barrier;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{self as physical, Physical};
use strongroom_types::clock::ManualClock;

use super::*;

const PREFIX: &str = "logical/7f5c0d0e-0000-4000-8000-000000000001/";
/// Keys that would leave the prefix, or that are malformed.
const OUTSIDE: [&str; 8] =
    ["../../core/seal-config", "..", "/a", "a//b", "./a", "a/../../b", "a\0b", "a/"];

/// An open barrier, and the store below it.
async fn barrier_over_memory() -> (Barrier, Arc<MemoryStorage>) {
    let physical = Arc::new(MemoryStorage::new());
    let barrier = open_barrier(physical.clone(), Arc::new(ManualClock::default()), |_, _| {}).await;
    (barrier, physical)
}

/// Instance storage in the two phases in which an engine may write.
fn held_and_live_storage(barrier: &Barrier) -> [Arc<InstanceStorage>; 2] {
    let new = || InstanceStorage::new(barrier.view(PREFIX));
    let (held, live) = (new(), new());
    held.buffer_writes();
    live.activate();
    [held, live]
}

fn preconditions_on(key: &str) -> [StoragePrecondition; 3] {
    let key = key.to_owned();
    [
        StoragePrecondition::Exists(key.clone()),
        StoragePrecondition::Absent(key.clone()),
        StoragePrecondition::Unchanged(key, 1),
    ]
}

#[tokio::test]
async fn sr_2026_13_conditions_of_a_batch_are_checked_as_keys_like_its_changes() {
    let (barrier, _) = barrier_over_memory().await;
    for storage in held_and_live_storage(&barrier) {
        for key in OUTSIDE.into_iter().chain([""]) {
            let refused = Err(StorageError::InvalidKey);
            for condition in preconditions_on(key) {
                let preconditions = vec![condition];
                let write = StorageBatch::put("a", "x", false);
                let batch = StorageBatch { preconditions: preconditions.clone(), ..write };
                assert_eq!(storage.commit(batch).await, refused, "{key:?}");
                // A batch with preconditions only must be refused too, as it would reveal whether a
                // key exists.
                let alone = StorageBatch { preconditions, changes: Vec::new() };
                assert_eq!(storage.commit(alone).await, refused, "{key:?}");
            }
            let put = StorageBatch::put(key, "x", false);
            assert_eq!(storage.commit(put).await, refused, "{key:?}");
            assert_eq!(storage.commit(StorageBatch::delete(key)).await, refused, "{key:?}");
            assert_eq!(storage.get(key).await.err(), refused.err(), "{key:?}");
        }
        for folder in ["../", "../../core/", "/", "a//", "./"] {
            let listed = storage.list(folder, None, 10).await;
            assert_eq!(listed, Err(StorageError::InvalidKey), "{folder:?}");
        }
        assert_eq!(storage.list("", None, 10).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn sr_2026_13_errors_name_no_key_outside_the_view_of_the_instance() {
    let (barrier, physical) = barrier_over_memory().await;
    for storage in held_and_live_storage(&barrier) {
        for condition in [
            StoragePrecondition::Exists("gone".into()),
            StoragePrecondition::Unchanged("gone".into(), 9),
        ] {
            let changes = vec![StorageChange::Delete { key: "other".to_owned() }];
            let batch = StorageBatch { preconditions: vec![condition], changes };
            let failed = storage.commit(batch).await;
            assert_eq!(failed, Err(StorageError::Precondition("gone".to_owned())));
        }
    }
    let [_, storage] = held_and_live_storage(&barrier);
    storage.commit(StorageBatch::put("entry", "x", false)).await.unwrap();
    let key = format!("{PREFIX}entry");
    let batch = physical::PhysicalBatch::put(key, b"no ciphertext".to_vec());
    physical.commit(batch).await.unwrap();
    // A new instance, whose cache is empty.
    let found = barrier.view(PREFIX).get_uncached("entry").await;
    let told =
        InstanceStorage::new(barrier.view(PREFIX)).storage_error_for_engine(&found.unwrap_err());
    assert!(told.to_string().contains("entry"), "{told}");
    assert!(!told.to_string().contains("logical"), "{told}");
}

/// Paths of server files and messages of the OS and libraries are only for the server's log.
#[tokio::test]
async fn the_words_of_the_store_do_not_reach_engines() {
    let (barrier, _) = barrier_over_memory().await;
    let [storage, _] = held_and_live_storage(&barrier);
    for error in [
        physical::Error::Io("open /var/lib/x: Os { code: 5 }".to_owned()),
        physical::Error::Corrupt("/var/lib/x: Os".to_owned()),
        physical::Error::Closed("/var/lib/x: Os".to_owned()),
        physical::Error::Refused("/var/lib/x: Os".to_owned()),
    ] {
        let error = strongroom_barrier::Error::from(error);
        let told = storage.storage_error_for_engine(&error).to_string();
        assert_eq!(told, "the server's store failed; see its log");
    }
    let full = strongroom_barrier::Error::from(physical::Error::Full);
    assert_eq!(storage.storage_error_for_engine(&full).to_string(), "the storage device is full");
}
