//! [`Barrier`]: reads and atomic batches in plain text.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use strongroom_crypto::AeadKey;
use strongroom_storage::{Physical, PhysicalChange, Precondition, Version};
use strongroom_types::{Clock, Entropy, ReadCache, RunToCompletion, Secret};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::key_ring::KeyRing;
use crate::view::View;
use crate::{Error, record};

/// Where the key ring lies, encrypted under the root key.
pub(crate) const KEY_RING_KEY: &str = "core/key-ring";
/// The term under which the root key's own records are written.
pub(crate) const ROOT_TERM: u32 = 0;
/// Attempts to change the key ring against others who change it.
const MAX_RING_ATTEMPTS: usize = 8;

/// What a barrier is made with.
#[derive(Clone)]
pub struct BarrierOptions {
    /// The store below.
    pub physical: Arc<dyn Physical>,
    /// Where nonces and keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bytes of decrypted entries kept in memory. Keys that are known not to be there get an eighth
    /// of that beside them.
    pub cache_bytes: u64,
}

impl std::fmt::Debug for BarrierOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BarrierOptions")
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}

/// An open barrier. Cheap to clone; all clones close together.
#[derive(Clone)]
pub struct Barrier(pub(crate) Arc<BarrierInner>);

pub(crate) struct BarrierInner {
    options: BarrierOptions,
    /// None once closed: whoever still holds a clone of the barrier holds no key.
    pub(crate) keys: ArcSwapOption<BarrierKeys>,
    cache: ReadCache<BarrierEntry, Error>,
    ring_needs_extension: Notify,
    /// Cancelled by closing it.
    closed: CancellationToken,
    /// Commits whose caller has gone. They run to their end all the same.
    commits: TaskTracker,
}

/// All keys of an open barrier.
pub(crate) struct BarrierKeys {
    pub(crate) root_key: Arc<AeadKey>,
    ring: Arc<KeyRing>,
    /// The version of the stored ring that `ring` was read from or written as.
    ring_version: Version,
}

/// A decrypted entry.
#[derive(Clone, Debug)]
pub struct BarrierEntry {
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
    unserialisable_key: Option<String>,
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
    pub fn append_batch(&mut self, other: Self) {
        self.preconditions.extend(other.preconditions);
        self.changes.extend(other.changes);
        self.unserialisable_key = self.unserialisable_key.take().or(other.unserialisable_key);
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
            Err(_) => self.unserialisable_key = Some(key),
        }
    }

    pub(crate) fn add_precondition(&mut self, condition: Precondition) {
        self.preconditions.push(condition);
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PhysicalBatch({} conditions, {} changes)",
            self.preconditions.len(),
            self.changes.len()
        )
    }
}

impl Barrier {
    /// A barrier over a new ring that no store holds yet; see [`crate::seal::BarrierInitialisation`].
    pub(crate) fn with_new_ring(options: BarrierOptions, root_key: AeadKey, ring: KeyRing) -> Self {
        Self::from_ring(options, root_key, ring, Version::default())
    }

    fn from_ring(
        options: BarrierOptions,
        root_key: AeadKey,
        ring: KeyRing,
        ring_version: Version,
    ) -> Self {
        let cache = ReadCache::new(options.cache_bytes, |entry: &BarrierEntry| entry.value.len());
        let keys = BarrierKeys { root_key: Arc::new(root_key), ring: Arc::new(ring), ring_version };
        Self(Arc::new(BarrierInner {
            options,
            keys: ArcSwapOption::from_pointee(keys),
            cache,
            ring_needs_extension: Notify::new(),
            closed: CancellationToken::new(),
            commits: TaskTracker::new(),
        }))
    }

    /// Opens the stored key ring with the root key and reserves encryptions on it.
    pub(crate) async fn open(options: BarrierOptions, root_key: AeadKey) -> Result<Self, Error> {
        let (ring, version) = read_key_ring(&*options.physical, &root_key).await?;
        let barrier = Self::from_ring(options, root_key, ring, version);
        barrier.extend_key_ring().await?;
        Ok(barrier)
    }

    /// A part of the barrier: all keys under `prefix`.
    pub fn view(&self, prefix: &str) -> View {
        View::new(self.clone(), prefix)
    }

    /// Takes root key, key ring and cached values out of memory, whoever still holds a clone: every
    /// later call answers [`Error::Sealed`]. A call that is using a key at this moment wipes it
    /// when it ends.
    pub fn close(&self) {
        self.0.keys.store(None);
        self.0.closed.cancel();
        self.0.cache.clear();
        self.0.ring_needs_extension.notify_one();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.keys.load().is_none()
    }

    /// The present key ring.
    pub fn key_ring(&self) -> Result<Arc<KeyRing>, Error> {
        let keys = self.0.keys.load();
        keys.as_ref().map(|keys| keys.ring.clone()).ok_or(Error::Sealed)
    }

    /// Tells whether the last clone is gone, and with it all that the barrier held.
    #[cfg(any(test, feature = "testing"))]
    pub fn watch_dropped(&self) -> impl Fn() -> bool + use<> {
        let shared = Arc::downgrade(&self.0);
        move || shared.strong_count() == 0
    }

    /// Decrypted entries kept in memory.
    #[cfg(any(test, feature = "testing"))]
    pub fn cached_entries(&self) -> usize {
        self.0.cache.present_len()
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
    /// Cancel safety: dropping the future undoes nothing; the batch then goes on to its end in a task
    /// of the barrier's own.
    pub async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let (sealed, touched) = self.encrypt_batch(batch)?;
        let shared = self.0.clone();
        // Were the caller dropped between the store's change and the cache's, old values would
        // stay in the cache for good: hence to the end.
        let commit = async move {
            // Also when the commit failed, which may leave open whether it was applied.
            let _touched = InvalidateOnDrop { cache: &shared.cache, keys: touched };
            let outcome = shared.options.physical.commit(sealed).await;
            if let Err(strongroom_storage::Error::Precondition { key }) = &outcome {
                // The commit that changed it may not have come so far yet; who tries again is to
                // see what it wrote.
                shared.cache.invalidate(key);
            }
            outcome
        };
        match RunToCompletion::new(&self.0.commits, commit).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Interrupted),
        }
    }

    /// Extends or rotates the key ring whenever it runs low, until the barrier is closed. The
    /// server owns this as a task.
    pub async fn maintain_key_ring(&self) {
        const RETRY: Duration = Duration::from_secs(1);
        loop {
            self.0.ring_needs_extension.notified().await;
            while self.key_ring().is_ok_and(|ring| ring.needs_extension()) {
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
    pub async fn rotate_key(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.change_key_ring(|ring| ring.with_new_term(&*self.0.options.entropy, now)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        // What is read while the barrier is closed is not kept: closing voids reads under way, and
        // those that begin later find no key.
        self.0.cache.get_or_load(key, self.get_uncached(key)).await
    }

    pub(crate) async fn get_uncached(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        if self.is_closed() {
            return Err(Error::Sealed);
        }
        let Some(stored) = self.0.options.physical.get(key).await? else { return Ok(None) };
        // Only now: a store that hangs must not keep the keys in memory beyond a seal.
        let ring = self.key_ring()?;
        let term = record::read_term(key, &stored.value)?;
        let term = ring.find_term(term).ok_or_else(|| Error::Tampered {
            key: key.to_owned(),
            reason: "encrypted under a term the key ring doesn't have",
        })?;
        let plain = record::decrypt(term.key(), key, &stored.value)?;
        Ok(Some(BarrierEntry {
            value: plain.value,
            version: stored.version,
            seal_wrap: plain.seal_wrap,
        }))
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

    fn encrypt_batch(
        &self,
        batch: Batch,
    ) -> Result<(strongroom_storage::PhysicalBatch, Vec<String>), Error> {
        if let Some(key) = batch.unserialisable_key {
            return Err(Error::Unserialisable { key });
        }
        let ring = self.key_ring()?;
        let puts = batch.changes.iter().filter(|c| matches!(c, PlainChange::Put { .. })).count();
        let term = ring.count_encryptions(u64::try_from(puts).unwrap_or(u64::MAX));
        if ring.needs_extension() {
            self.0.ring_needs_extension.notify_one();
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
                        record::encrypt(term.key(), term.number, &key, plain, seal_wrap, entropy)?;
                    touched.push(key.clone());
                    changes.push(PhysicalChange::Put { key, value });
                }
                PlainChange::Delete { key } => {
                    touched.push(key.clone());
                    changes.push(PhysicalChange::Delete { key });
                }
            }
        }
        let preconditions = batch.preconditions;
        Ok((strongroom_storage::PhysicalBatch { preconditions, changes }, touched))
    }

    /// The key ring, encrypted, as one change.
    fn key_ring_change(&self, root_key: &AeadKey, ring: &KeyRing) -> Result<PhysicalChange, Error> {
        let entropy = &*self.0.options.entropy;
        let plain = ring.to_bytes();
        let plain = plain.expose_secret();
        let value = record::encrypt(root_key, ROOT_TERM, KEY_RING_KEY, plain, false, entropy)?;
        Ok(PhysicalChange::Put { key: KEY_RING_KEY.to_owned(), value })
    }

    pub(crate) async fn commit_initial(
        &self,
        batch: Batch,
        extra: Vec<PhysicalChange>,
        condition: Precondition,
    ) -> Result<(), Error> {
        let (mut sealed, touched) = self.encrypt_batch(batch)?;
        let _touched = InvalidateOnDrop { cache: &self.0.cache, keys: touched };
        let keys = self.0.keys.load_full().ok_or(Error::Sealed)?;
        sealed.changes.push(self.key_ring_change(&keys.root_key, &keys.ring)?);
        sealed.changes.extend(extra);
        sealed.preconditions.push(condition);
        self.0.options.physical.commit(sealed).await?;
        Ok(())
    }

    pub(crate) async fn extend_key_ring(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.change_key_ring(|ring| ring.with_more_reserved(&*self.0.options.entropy, now)).await
    }

    /// Stores a changed ring, then uses it. A change is made from the ring that is stored, joined
    /// with the one in memory, and stored on condition that this is still the stored one. So of two
    /// changes at the same time the second contains the first: neither a key nor a reservation is
    /// lost, also where a commit was applied and its answer got lost.
    ///
    /// Cancel safety: a change that was stored and isn't used yet is found by the next one. So it ends
    /// when the barrier is closed: on a store that hangs it would keep the keys in memory.
    async fn change_key_ring(
        &self,
        change: impl Fn(&KeyRing) -> Option<KeyRing>,
    ) -> Result<(), Error> {
        let work = self.change_stored_ring(change);
        self.0.closed.run_until_cancelled(work).await.unwrap_or(Err(Error::Sealed))
    }

    async fn change_stored_ring(
        &self,
        change: impl Fn(&KeyRing) -> Option<KeyRing>,
    ) -> Result<(), Error> {
        let physical = &*self.0.options.physical;
        for _ in 0..MAX_RING_ATTEMPTS {
            let keys = self.0.keys.load_full().ok_or(Error::Sealed)?;
            let (stored, version) = read_key_ring(physical, &keys.root_key).await?;
            let base = if version == keys.ring_version {
                keys.ring.clone()
            } else {
                let joined = keys.ring.merged_with(&stored);
                Arc::new(joined.ok_or_else(|| ring_tampered("a term has two different keys"))?)
            };
            let after = Arc::new(change(&base).ok_or(Error::Exhausted)?);
            let batch = strongroom_storage::PhysicalBatch {
                preconditions: vec![Precondition::Unchanged(KEY_RING_KEY.to_owned(), version)],
                changes: vec![self.key_ring_change(&keys.root_key, &after)?],
            };
            drop((keys, stored, base));
            match physical.commit(batch).await {
                Ok(version) => return self.install_ring(&after, version),
                Err(strongroom_storage::Error::Precondition { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::RingChanged)
    }

    /// Uses a stored ring, unless a later one is in use already. Closed in the meantime stays
    /// closed.
    fn install_ring(&self, ring: &Arc<KeyRing>, version: Version) -> Result<(), Error> {
        let before = self.0.keys.rcu(|now| match now {
            Some(keys) if keys.ring_version < version => Some(Arc::new(BarrierKeys {
                root_key: keys.root_key.clone(),
                ring: ring.clone(),
                ring_version: version,
            })),
            other => other.clone(),
        });
        before.map(|_| ()).ok_or(Error::Sealed)
    }
}

/// The stored key ring and its version.
async fn read_key_ring(
    physical: &dyn Physical,
    root_key: &AeadKey,
) -> Result<(KeyRing, Version), Error> {
    let stored = physical.get(KEY_RING_KEY).await?;
    let stored = stored.ok_or_else(|| ring_tampered("the key ring is missing"))?;
    let plain = record::decrypt(root_key, KEY_RING_KEY, &stored.value)?;
    let ring = KeyRing::from_bytes(&plain.value)
        .ok_or_else(|| ring_tampered("the key ring can't be read"))?;
    Ok((ring, stored.version))
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_closed() { "Barrier(closed)" } else { "Barrier(open)" })
    }
}

fn ring_tampered(reason: &'static str) -> Error {
    Error::Tampered { key: KEY_RING_KEY.to_owned(), reason }
}

/// Keys of a commit, which the cache forgets when it ends, however it ends.
struct InvalidateOnDrop<'a> {
    cache: &'a ReadCache<BarrierEntry, Error>,
    keys: Vec<String>,
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        for key in &self.keys {
            self.cache.invalidate(key);
        }
    }
}
