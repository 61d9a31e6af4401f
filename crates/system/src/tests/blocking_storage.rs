//! An in-memory store that blocks, or panics at, the reads and commits a test selects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalChange, PhysicalEntry, Version};
use tokio::sync::watch;

/// Clones share the same store.
#[derive(Clone, Debug)]
pub(crate) struct BlockingStorage {
    inner: Arc<MemoryStorage>,
    /// Commits of keys that contain this text wait.
    blocked_writes: Arc<Mutex<Option<&'static str>>>,
    /// Reads of keys that contain this text wait.
    blocked_reads: Arc<Mutex<Option<&'static str>>>,
    /// Reads and commits of keys that contain this text panic.
    panics: Arc<Mutex<Option<&'static str>>>,
    unblocked: watch::Sender<()>,
    reads: Arc<AtomicUsize>,
    /// The number of simulated crashes, and the one after which this clone was created.
    current_generation: Arc<Mutex<usize>>,
    generation: usize,
}

impl Default for BlockingStorage {
    fn default() -> Self {
        let (below, held) = (Arc::new(MemoryStorage::new()), Arc::default());
        let (held_reads, panics) = (Arc::default(), Arc::default());
        let (freed, reads, lives) = (watch::Sender::new(()), Arc::default(), Arc::default());
        Self {
            inner: below,
            blocked_writes: held,
            blocked_reads: held_reads,
            panics,
            unblocked: freed,
            reads,
            current_generation: lives,
            generation: 0,
        }
    }
}

impl BlockingStorage {
    pub(crate) fn block_writes(&self, part: &'static str) {
        *self.blocked_writes.lock().unwrap() = Some(part);
    }

    pub(crate) fn block_reads(&self, part: &'static str) {
        *self.blocked_reads.lock().unwrap() = Some(part);
    }

    /// Panics at keys that contain `part` from now on; `None` stops that.
    pub(crate) fn panic_at(&self, part: Option<&'static str>) {
        *self.panics.lock().unwrap() = part;
    }

    /// The number of reads so far.
    pub(crate) fn read_count(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn panic_if_requested(&self, key: &str) {
        let panics = *self.panics.lock().unwrap();
        assert!(!panics.is_some_and(|part| key.contains(part)), "a panic that a test wants");
    }

    pub(crate) fn unblock(&self) {
        *self.blocked_writes.lock().unwrap() = None;
        *self.blocked_reads.lock().unwrap() = None;
        self.unblocked.send_replace(());
    }

    /// Simulates a crash: writes through this clone and its siblings, blocked ones included, have
    /// no effect any more. Returns a clone for the next process.
    pub(crate) fn simulate_crash(&self) -> Self {
        let life = {
            let mut lives = self.current_generation.lock().unwrap();
            *lives += 1;
            *lives
        };
        self.unblock();
        Self { generation: life, ..self.clone() }
    }

    fn is_blocked(&self, batch: &PhysicalBatch) -> bool {
        let held = self.blocked_writes.lock().unwrap();
        held.is_some_and(|part| {
            batch.changes.iter().any(|change| match change {
                PhysicalChange::Put { key, .. } | PhysicalChange::Delete { key } => {
                    key.contains(part)
                }
            })
        })
    }
}

#[async_trait]
impl Physical for BlockingStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        self.panic_if_requested(key);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut freed = self.unblocked.subscribe();
        while self.blocked_reads.lock().unwrap().is_some_and(|part| key.contains(part)) {
            freed.changed().await.unwrap();
        }
        self.inner.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        for change in &batch.changes {
            let (PhysicalChange::Put { key, .. } | PhysicalChange::Delete { key }) = change;
            self.panic_if_requested(key);
        }
        let mut freed = self.unblocked.subscribe();
        while self.is_blocked(&batch) {
            freed.changed().await.unwrap();
        }
        if *self.current_generation.lock().unwrap() != self.generation {
            return Err(Error::Closed("the process died".to_owned()));
        }
        self.inner.commit(batch).await
    }
}
