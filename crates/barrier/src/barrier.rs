//! [`Barrier`]: reads and atomic batches in plain text.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use strongroom_crypto::AeadKey;
use strongroom_storage::{Change, Physical, Precondition, Version};
use strongroom_types::{Clock, Entropy, Secret};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::key_ring::KeyRing;
use crate::view::View;
use crate::{Error, record};

/// Where the key ring lies, encrypted under the root key.
pub(crate) const KEY_RING_KEY: &str = "core/key-ring";
/// The term under which the root key's own records are written.
pub(crate) const ROOT_TERM: u32 = 0;

/// What a barrier is made with.
#[derive(Clone)]
pub struct Options {
    /// The store below.
    pub physical: Arc<dyn Physical>,
    /// Where nonces and keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bytes of decrypted entries kept in memory.
    pub cache_bytes: u64,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("cache_bytes", &self.cache_bytes).finish_non_exhaustive()
    }
}

/// An open barrier. Cheap to clone; all clones close together.
#[derive(Clone)]
pub struct Barrier(Arc<Shared>);

struct Shared {
    options: Options,
    root_key: AeadKey,
    /// None once closed.
    ring: ArcSwapOption<KeyRing>,
    cache: Cache<String, Entry, ByBytes>,
    ring_is_low: Notify,
    /// Commits under way. They run to their end even when their caller has gone.
    commits: TaskTracker,
}

/// A decrypted entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value; wiped when the last clone is dropped.
    pub value: Bytes,
    /// Its version in the store, for `require_unchanged`.
    pub version: Version,
    /// Whether the entry asked for the seal's extra encryption.
    pub seal_wrap: bool,
}

/// Changes and their conditions, in plain text, under whole storage keys. Built through
/// [`View`]s; what is in one batch happens together or not at all.
#[derive(Default)]
pub struct Batch {
    preconditions: Vec<Precondition>,
    changes: Vec<PlainChange>,
    /// A key whose document could not be serialised: nothing of the batch may be written.
    broken: Option<String>,
}

enum PlainChange {
    Put { key: String, value: Secret<Vec<u8>>, seal_wrap: bool },
    Delete { key: String },
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds what another batch does, with its conditions.
    pub fn append(&mut self, other: Self) {
        self.preconditions.extend(other.preconditions);
        self.changes.extend(other.changes);
        self.broken = self.broken.take().or(other.broken);
    }

    pub(crate) fn put(&mut self, key: String, value: Vec<u8>, seal_wrap: bool) {
        self.changes.push(PlainChange::Put { key, value: Secret::new(value), seal_wrap });
    }

    pub(crate) fn delete(&mut self, key: String) {
        self.changes.push(PlainChange::Delete { key });
    }

    pub(crate) fn put_json(&mut self, key: String, document: &impl serde::Serialize) {
        match serde_json::to_vec(document) {
            Ok(json) => self.put(key, json, false),
            Err(_) => self.broken = Some(key),
        }
    }

    pub(crate) fn require(&mut self, condition: Precondition) {
        self.preconditions.push(condition);
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} conditions, {} changes)", self.preconditions.len(), self.changes.len())
    }
}

impl Barrier {
    /// A barrier over a new ring that no store holds yet; see [`crate::seal::Initialisation`].
    pub(crate) fn create(options: Options, root_key: AeadKey, ring: KeyRing) -> Self {
        let cache = Cache::with_weighter(1024, options.cache_bytes, ByBytes);
        Self(Arc::new(Shared {
            options,
            root_key,
            ring: ArcSwapOption::from_pointee(ring),
            cache,
            ring_is_low: Notify::new(),
            commits: TaskTracker::new(),
        }))
    }

    /// Opens the stored key ring with the root key and reserves encryptions on it.
    pub(crate) async fn open(options: Options, root_key: AeadKey) -> Result<Self, Error> {
        let stored = options.physical.get(KEY_RING_KEY).await?;
        let stored = stored.ok_or_else(|| ring_damaged("the key ring is missing"))?;
        let plain = record::open(&root_key, KEY_RING_KEY, &stored.value)?;
        let ring = KeyRing::from_bytes(&plain.value)
            .ok_or_else(|| ring_damaged("the key ring can't be read"))?;
        let barrier = Self::create(options, root_key, ring);
        barrier.extend_key_ring().await?;
        Ok(barrier)
    }

    /// A part of the barrier: all keys under `prefix`.
    pub fn view(&self, prefix: &str) -> View {
        View::new(self.clone(), prefix)
    }

    /// Ends all use of the keys: every later call answers [`Error::Sealed`], cached values go.
    pub fn close(&self) {
        self.0.ring.store(None);
        self.0.cache.clear();
        self.0.ring_is_low.notify_one();
    }

    /// The present key ring.
    pub fn key_ring(&self) -> Result<Arc<KeyRing>, Error> {
        self.0.ring.load_full().ok_or(Error::Sealed)
    }

    /// Where nonces, ids and tokens come from.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.options.entropy
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.options.clock
    }

    /// Applies the whole batch durably, or nothing of it.
    ///
    /// Cancel safety: dropping the future undoes nothing; the batch goes on to its end in a task of
    /// the barrier's own.
    pub async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let (sealed, touched) = self.encrypt(batch)?;
        let shared = self.0.clone();
        // Were the caller dropped between the store's change and the cache's, old values would
        // stay in the cache for good: hence the task.
        let commit = self.0.commits.spawn(async move {
            let outcome = shared.options.physical.commit(sealed).await;
            // A removal also keeps loads that began before it out of the cache.
            for key in &touched {
                shared.cache.remove(key.as_str());
            }
            outcome
        });
        match commit.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Interrupted),
        }
    }

    /// Extends or rotates the key ring whenever it runs low, until the barrier is closed. The
    /// server owns this as a task.
    pub async fn keep_key_ring(&self) {
        const RETRY: Duration = Duration::from_secs(1);
        loop {
            self.0.ring_is_low.notified().await;
            while self.key_ring().is_ok_and(|ring| ring.is_low()) {
                if let Err(error) = self.extend_key_ring().await {
                    tracing::warn!(%error, "the key ring could not be extended; trying again");
                    self.clock().sleep(RETRY).await;
                }
            }
            if self.key_ring().is_err() {
                return;
            }
        }
    }

    /// Makes a new key active. What was encrypted stays readable.
    pub async fn rotate(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.change_key_ring(|ring| ring.rotated(&*self.0.options.entropy, now)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        match self.0.cache.get_value_or_guard_async(key).await {
            Ok(entry) => Ok(Some(entry)),
            Err(place) => {
                let entry = self.get_uncached(key).await?;
                if let Some(entry) = &entry {
                    // Refused when the key was written in the meantime, as it must be.
                    let _ = place.insert(entry.clone());
                }
                Ok(entry)
            }
        }
    }

    pub(crate) async fn get_uncached(&self, key: &str) -> Result<Option<Entry>, Error> {
        let ring = self.key_ring()?;
        let Some(stored) = self.0.options.physical.get(key).await? else { return Ok(None) };
        let term = record::term(key, &stored.value)?;
        let term = ring.term(term).ok_or_else(|| Error::Tampered {
            key: key.to_owned(),
            reason: "encrypted under a term the key ring doesn't have",
        })?;
        let plain = record::open(term.key(), key, &stored.value)?;
        Ok(Some(Entry { value: plain.value, version: stored.version, seal_wrap: plain.seal_wrap }))
    }

    pub(crate) async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.key_ring()?;
        Ok(self.0.options.physical.scan(prefix, after, limit).await?)
    }

    fn encrypt(&self, batch: Batch) -> Result<(strongroom_storage::Batch, Vec<String>), Error> {
        if let Some(key) = batch.broken {
            return Err(Error::Unserialisable { key });
        }
        let ring = self.key_ring()?;
        let puts = batch.changes.iter().filter(|c| matches!(c, PlainChange::Put { .. })).count();
        let term = ring.take(u64::try_from(puts).unwrap_or(u64::MAX));
        if ring.is_low() {
            self.0.ring_is_low.notify_one();
        }
        let term = term.ok_or(Error::Exhausted)?;
        let mut touched = Vec::with_capacity(batch.changes.len());
        let mut changes = Vec::with_capacity(batch.changes.len());
        for change in batch.changes {
            match change {
                PlainChange::Put { key, value, seal_wrap } => {
                    let entropy = &*self.0.options.entropy;
                    let plain = value.expose_secret();
                    let value =
                        record::seal(term.key(), term.number, &key, plain, seal_wrap, entropy)?;
                    touched.push(key.clone());
                    changes.push(Change::Put { key, value });
                }
                PlainChange::Delete { key } => {
                    touched.push(key.clone());
                    changes.push(Change::Delete { key });
                }
            }
        }
        let preconditions = batch.preconditions;
        Ok((strongroom_storage::Batch { preconditions, changes }, touched))
    }

    /// The key ring, encrypted, as one change.
    pub(crate) fn key_ring_change(&self, ring: &KeyRing) -> Result<Change, Error> {
        let entropy = &*self.0.options.entropy;
        let plain = ring.to_bytes();
        let plain = plain.expose_secret();
        let value = record::seal(&self.0.root_key, ROOT_TERM, KEY_RING_KEY, plain, false, entropy)?;
        Ok(Change::Put { key: KEY_RING_KEY.to_owned(), value })
    }

    pub(crate) async fn commit_initial(
        &self,
        batch: Batch,
        extra: Vec<Change>,
        condition: Precondition,
    ) -> Result<(), Error> {
        let (mut sealed, _) = self.encrypt(batch)?;
        sealed.changes.push(self.key_ring_change(&*self.key_ring()?)?);
        sealed.changes.extend(extra);
        sealed.preconditions.push(condition);
        self.0.options.physical.commit(sealed).await?;
        Ok(())
    }

    async fn extend_key_ring(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.change_key_ring(|ring| ring.extended(&*self.0.options.entropy, now)).await
    }

    /// Stores a changed ring, then uses it. Whoever comes second in a race gets
    /// [`Error::RingChanged`] and has changed nothing.
    async fn change_key_ring(
        &self,
        change: impl FnOnce(&KeyRing) -> Option<KeyRing>,
    ) -> Result<(), Error> {
        let stored = self.0.options.physical.get(KEY_RING_KEY).await?;
        let stored = stored.ok_or_else(|| ring_damaged("the key ring is missing"))?;
        let before = self.key_ring()?;
        let after = change(&before).ok_or(Error::Exhausted)?;
        let batch = strongroom_storage::Batch {
            preconditions: vec![Precondition::Unchanged(KEY_RING_KEY.to_owned(), stored.version)],
            changes: vec![self.key_ring_change(&after)?],
        };
        match self.0.options.physical.commit(batch).await {
            Ok(_) => {}
            Err(strongroom_storage::Error::Precondition { .. }) => return Err(Error::RingChanged),
            Err(error) => return Err(error.into()),
        }
        // Closed in the meantime stays closed.
        let after = Arc::new(after);
        self.0.ring.rcu(|now| now.as_ref().map(|_| after.clone()));
        Ok(())
    }
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.ring.load().is_some() { "Barrier(open)" } else { "Barrier(closed)" })
    }
}

fn ring_damaged(reason: &'static str) -> Error {
    Error::Tampered { key: KEY_RING_KEY.to_owned(), reason }
}

/// Weighs cache entries by their bytes.
#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Entry> for ByBytes {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        const OVERHEAD: usize = 160;
        u64::try_from(key.len() + entry.value.len() + OVERHEAD).unwrap_or(u64::MAX)
    }
}
