//! Absent keys: how often the store is read for them, and when it is read again.

use std::sync::Mutex;

use async_trait::async_trait;
use strongroom_storage::testing::FaultyStorage;
use strongroom_storage::{PhysicalEntry, Version};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;

/// A store that records which keys are read, and blocks reads while its gate is closed.
#[derive(Debug)]
struct CountingStorage {
    below: MemoryStorage,
    reads: Mutex<Vec<String>>,
    gate: Semaphore,
}

const OPEN: usize = 1 << 20;

impl CountingStorage {
    fn new() -> Arc<Self> {
        let gate = Semaphore::new(OPEN);
        Arc::new(Self { below: MemoryStorage::new(), reads: Mutex::default(), gate })
    }

    fn reads_of(&self, key: &str) -> usize {
        self.reads.lock().unwrap().iter().filter(|read| *read == key).count()
    }
}

#[async_trait]
impl Physical for CountingStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, strongroom_storage::Error> {
        self.reads.lock().unwrap().push(key.to_owned());
        let _open = self.gate.acquire().await;
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, strongroom_storage::Error> {
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(
        &self,
        batch: strongroom_storage::PhysicalBatch,
    ) -> Result<Version, strongroom_storage::Error> {
        self.below.commit(batch).await
    }
}

async fn open_watched() -> (Barrier, Arc<CountingStorage>) {
    let watched = CountingStorage::new();
    let physical: Arc<dyn Physical> = watched.clone();
    let shares = initialise_store(&physical, 1, 1).await;
    (unseal_store(&physical, &shares).await.unwrap(), watched)
}

#[tokio::test]
async fn many_readers_of_an_absent_key_make_one_read_and_later_ones_none() {
    let (barrier, watched) = open_watched().await;
    watched.gate.forget_permits(OPEN);
    let mut readers = JoinSet::new();
    for _ in 0..64 {
        let view = barrier.view("x/");
        readers.spawn(async move { view.get("absent").await.unwrap().is_none() });
    }
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    watched.gate.add_permits(OPEN);
    assert!(readers.join_all().await.into_iter().all(|absent| absent));
    assert_eq!(watched.reads_of("x/absent"), 1);
    for _ in 0..10 {
        assert!(barrier.view("x/").get("absent").await.unwrap().is_none());
    }
    assert_eq!(watched.reads_of("x/absent"), 1, "that it is not there is known");
}

#[tokio::test]
async fn a_write_invalidates_a_cached_absence() {
    let (barrier, watched) = open_watched().await;
    let view = barrier.view("x/");
    for round in 0..3_usize {
        assert!(view.get("a").await.unwrap().is_none());
        put_value(&view, "a", b"1").await;
        assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], b"1");
        let mut batch = Batch::new();
        view.delete(&mut batch, "a");
        view.commit(batch).await.unwrap();
        assert_eq!(watched.reads_of("x/a"), 2 * (round + 1));
    }
}

/// A reader that reached the store before a write, and returns after it.
#[tokio::test]
async fn a_read_that_began_before_a_write_is_not_cached() {
    let (barrier, watched) = open_watched().await;
    let view = barrier.view("x/");
    watched.gate.forget_permits(OPEN);
    let (mut slow, reader) = (JoinSet::new(), view.clone());
    slow.spawn(async move { reader.get("a").await });
    tokio::task::yield_now().await;
    assert_eq!(watched.reads_of("x/a"), 1);
    put_value(&view, "a", b"1").await;
    watched.gate.add_permits(OPEN);
    assert!(slow.join_all().await.iter().all(Result::is_ok), "what it gets is either");
    assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], b"1");
}

#[tokio::test]
async fn a_failed_commit_invalidates_its_keys() {
    let faulty = FaultyStorage::new(MemoryStorage::new());
    let plan = faulty.fault_plan();
    let physical: Arc<dyn Physical> = Arc::new(faulty);
    let shares = initialise_store(&physical, 1, 1).await;
    let barrier = unseal_store(&physical, &shares).await.unwrap();
    let view = barrier.view("x/");
    assert!(view.get("a").await.unwrap().is_none());
    // An uncertain outcome: the commit was applied but reported a failure.
    plan.fail_after_commit(1, strongroom_storage::Error::Io("in doubt".to_owned()));
    let mut batch = Batch::new();
    view.put(&mut batch, "a", b"1".to_vec());
    assert!(view.commit(batch).await.is_err());
    assert_eq!(&view.get("a").await.unwrap().unwrap().value[..], b"1");
}

/// The commit that created the key may not have returned yet.
#[tokio::test]
async fn a_failed_precondition_invalidates_the_key() {
    let (barrier, physical) = open_barrier().await;
    let view = barrier.view("x/");
    assert!(view.get("a").await.unwrap().is_none());
    put_value(&view, "other", b"1").await;
    let record = physical.get("x/other").await.unwrap().unwrap().value;
    overwrite_raw(&physical, "x/a", record.to_vec()).await;
    assert!(view.get("a").await.unwrap().is_none(), "known, as the store was changed below");
    let mut batch = Batch::new();
    view.require_absent(&mut batch, "a");
    view.put(&mut batch, "b", b"1".to_vec());
    assert!(view.commit(batch).await.unwrap_err().is_precondition());
    // A moved record can't be decrypted; what counts is that the store was read.
    assert!(view.get("a").await.is_err());
}

#[tokio::test]
async fn a_closed_barrier_does_not_report_absence() {
    let (barrier, _) = open_barrier().await;
    let view = barrier.view("x/");
    assert!(view.get("a").await.unwrap().is_none());
    barrier.close();
    assert!(matches!(view.get("a").await, Err(Error::Sealed)));
}
