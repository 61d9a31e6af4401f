//! A store in memory that holds up the commits and reads a test wants held up, or panics at them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use strongroom_storage::memory::Memory;
use strongroom_storage::{Batch, Change, Entry, Error, Physical, Version};
use tokio::sync::watch;

/// Clones are the same store.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    below: Arc<Memory>,
    /// Commits of keys with this in them wait.
    held: Arc<Mutex<Option<&'static str>>>,
    /// Reads of keys with this in them wait.
    held_reads: Arc<Mutex<Option<&'static str>>>,
    /// Reads and commits of keys with this in them panic.
    panics: Arc<Mutex<Option<&'static str>>>,
    freed: watch::Sender<()>,
    reads: Arc<AtomicUsize>,
    /// How often the process died, and the life that uses this clone.
    lives: Arc<Mutex<usize>>,
    life: usize,
}

impl Default for Held {
    fn default() -> Self {
        let (below, held) = (Arc::new(Memory::new()), Arc::default());
        let (held_reads, panics) = (Arc::default(), Arc::default());
        let (freed, reads, lives) = (watch::Sender::new(()), Arc::default(), Arc::default());
        Self { below, held, held_reads, panics, freed, reads, lives, life: 0 }
    }
}

impl Held {
    pub(crate) fn hold(&self, part: &'static str) {
        *self.held.lock().unwrap() = Some(part);
    }

    pub(crate) fn hold_reads(&self, part: &'static str) {
        *self.held_reads.lock().unwrap() = Some(part);
    }

    /// From now on; `None` for no more.
    pub(crate) fn panic_at(&self, part: Option<&'static str>) {
        *self.panics.lock().unwrap() = part;
    }

    /// How often an entry was asked for.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn may_panic(&self, key: &str) {
        let panics = *self.panics.lock().unwrap();
        assert!(!panics.is_some_and(|part| key.contains(part)), "a panic that a test wants");
    }

    pub(crate) fn let_go(&self) {
        *self.held.lock().unwrap() = None;
        *self.held_reads.lock().unwrap() = None;
        self.freed.send_replace(());
    }

    /// The process dies: nothing of it is written any more, least of all what was held up. Gives
    /// the store to the next one.
    pub(crate) fn die(&self) -> Self {
        let life = {
            let mut lives = self.lives.lock().unwrap();
            *lives += 1;
            *lives
        };
        self.let_go();
        Self { life, ..self.clone() }
    }

    fn holds(&self, batch: &Batch) -> bool {
        let held = self.held.lock().unwrap();
        held.is_some_and(|part| {
            batch.changes.iter().any(|change| match change {
                Change::Put { key, .. } | Change::Delete { key } => key.contains(part),
            })
        })
    }
}

#[async_trait]
impl Physical for Held {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.may_panic(key);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut freed = self.freed.subscribe();
        while self.held_reads.lock().unwrap().is_some_and(|part| key.contains(part)) {
            freed.changed().await.unwrap();
        }
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        for change in &batch.changes {
            let (Change::Put { key, .. } | Change::Delete { key }) = change;
            self.may_panic(key);
        }
        let mut freed = self.freed.subscribe();
        while self.holds(&batch) {
            freed.changed().await.unwrap();
        }
        if *self.lives.lock().unwrap() != self.life {
            return Err(Error::Closed("the process died".to_owned()));
        }
        self.below.commit(batch).await
    }
}
