//! [`Barrier`]: encrypted reads and atomic batches on top of the physical store.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use strongroom_crypto::AeadKey;
use strongroom_storage::{Physical, PhysicalChange, Precondition, Version};
use strongroom_types::{Clock, Entropy, ReadCache, RunToCompletion, Secret, chain};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::key_ring::KeyRing;
use crate::{Error, record};

/// Storage key of the key ring, which is encrypted under the root key.
pub(crate) const KEY_RING_KEY: &str = "core/key-ring";
/// The term number in records encrypted under the root key itself.
pub(crate) const ROOT_TERM: u32 = 0;
/// Attempts to store a changed key ring when concurrent changes interfere.
const MAX_RING_ATTEMPTS: usize = 8;

/// Dependencies and settings of a barrier.
#[derive(Clone)]
pub struct BarrierOptions {
    /// The physical store that holds the encrypted records.
    pub physical: Arc<dyn Physical>,
    /// Source of nonces, keys and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Clock that dates key terms and delays retries.
    pub clock: Arc<dyn Clock>,
    /// Bytes of decrypted entries to cache in memory. The cache of keys known to be absent gets
    /// another eighth of that.
    pub cache_bytes: u64,
}

impl std::fmt::Debug for BarrierOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BarrierOptions")
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}

/// An open barrier, through which all decrypted data is read and written. Cheap to clone;
/// [`Barrier::close`] closes all clones.
#[derive(Clone)]
pub struct Barrier(pub(crate) Arc<BarrierInner>);

pub(crate) struct BarrierInner {
    options: BarrierOptions,
    /// `None` once closed, so that remaining clones of the barrier hold no key.
    pub(crate) keys: ArcSwapOption<BarrierKeys>,
    cache: ReadCache<BarrierEntry, Error>,
    ring_needs_extension: Notify,
    /// Cancelled by [`Barrier::close`].
    closed: CancellationToken,
    /// Commits whose caller was dropped. They run to completion all the same.
    commits: TaskTracker,
}

/// The keys of an open barrier.
pub(crate) struct BarrierKeys {
    pub(crate) root_key: Arc<AeadKey>,
    ring: Arc<KeyRing>,
    /// The version of the stored ring that `ring` was read from or written as.
    ring_version: Version,
}

/// A decrypted entry, with the metadata needed to change it conditionally. [`View`]s return it; its
/// key is not included.
///
/// [`View`]: crate::View
#[derive(Clone, Debug)]
pub struct BarrierEntry {
    /// The decrypted value; wiped when the last clone is dropped.
    pub value: Bytes,
    /// The entry's version in the store, for [`View::require_unchanged`](crate::View::require_unchanged).
    pub version: Version,
    /// Whether the entry was written with a request for seal wrapping, the seal's extra encryption.
    pub seal_wrap: bool,
}

/// Writes, deletions and their preconditions, by full storage key. Built through [`View`]s and
/// applied by [`Barrier::commit`], all together or not at all.
///
/// [`View`]: crate::View
#[derive(Default)]
pub struct Batch {
    preconditions: Vec<Precondition>,
    changes: Vec<PlainChange>,
    /// A key whose document could not be serialised; the whole batch is then refused.
    unserialisable_key: Option<String>,
}

enum PlainChange {
    Put { key: String, value: Secret<Vec<u8>>, seal_wrap: bool },
    Delete { key: String },
}

impl Batch {
    /// An empty batch without preconditions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the batch contains no changes; it may still have preconditions, which are checked
    /// when it is committed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Appends the changes and preconditions of another batch. They follow those already in this
    /// batch, in the same order.
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

    pub(crate) fn put_json(
        &mut self,
        key: String,
        document: &impl serde::Serialize,
        seal_wrap: bool,
    ) {
        match serde_json::to_vec(document) {
            Ok(json) => self.put(key, json, seal_wrap),
            Err(_) => self.unserialisable_key = Some(key),
        }
    }

    pub(crate) fn add_precondition(&mut self, condition: Precondition) {
        self.preconditions.push(condition);
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} conditions, {} changes)", self.preconditions.len(), self.changes.len())
    }
}

impl Barrier {
    /// A barrier with a new ring that isn't stored yet; see [`crate::seal::BarrierInitialisation`].
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

    /// Decrypts the stored key ring with the root key and reserves encryptions on it.
    pub(crate) async fn open(options: BarrierOptions, root_key: AeadKey) -> Result<Self, Error> {
        let (ring, version) = read_key_ring(&*options.physical, &root_key).await?;
        let barrier = Self::from_ring(options, root_key, ring, version);
        barrier.extend_key_ring().await?;
        Ok(barrier)
    }

    /// Removes root key, key ring and cached values from memory, even if clones of the barrier
    /// remain: later calls fail with [`Error::Sealed`]. A call that is using a key meanwhile wipes
    /// it when it ends.
    pub fn close(&self) {
        self.0.keys.store(None);
        self.0.closed.cancel();
        self.0.cache.clear();
        self.0.ring_needs_extension.notify_one();
    }

    /// Whether [`Barrier::close`] was called on any clone of this barrier. From then on, operations
    /// fail with [`Error::Sealed`].
    pub fn is_closed(&self) -> bool {
        self.0.keys.load().is_none()
    }

    /// The current key ring, for example to read its active term.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] if the barrier is closed.
    pub fn key_ring(&self) -> Result<Arc<KeyRing>, Error> {
        let keys = self.0.keys.load();
        keys.as_ref().map(|keys| keys.ring.clone()).ok_or(Error::Sealed)
    }

    /// A function that returns whether the last clone of this barrier has been dropped.
    #[cfg(any(test, feature = "testing"))]
    pub fn watch_dropped(&self) -> impl Fn() -> bool + use<> {
        let shared = Arc::downgrade(&self.0);
        move || shared.strong_count() == 0
    }

    /// Number of decrypted entries in the cache.
    #[cfg(any(test, feature = "testing"))]
    pub fn cached_entries(&self) -> usize {
        self.0.cache.present_len()
    }

    /// The source of random bytes, also used for ids and tokens by what is built on the barrier.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.options.entropy
    }

    /// The clock the barrier was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.options.clock
    }

    /// Encrypts the batch and applies it durably: all of it, or nothing. Returns the version that
    /// the written entries have.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] if the barrier is closed, [`Error::Unserialisable`] or [`Error::TooLarge`]
    /// if a value can't be encrypted, [`Error::Exhausted`] if no encryptions are reserved,
    /// [`Error::Interrupted`] if the commit panicked, and [`Error::Storage`], which includes failed
    /// preconditions. After `Interrupted` and [`strongroom_storage::Error::Io`] it is unknown
    /// whether the batch was applied.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future undoes nothing: the batch is then completed in a task of the barrier.
    pub async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let (sealed, touched) = self.encrypt_batch(batch)?;
        let shared = self.0.clone();
        // If the caller were dropped between the change of the store and that of the cache, the
        // cache would stay stale; so this runs to completion.
        let commit = async move {
            // Also when the commit failed: it may have been applied nevertheless.
            let _touched = InvalidateOnDrop { cache: &shared.cache, keys: touched };
            let outcome = shared.options.physical.commit(sealed).await;
            if let Err(strongroom_storage::Error::Precondition { key }) = &outcome {
                // The commit that changed this key may not have invalidated it yet; a retry must
                // see the new value.
                shared.cache.invalidate(key);
            }
            outcome
        };
        match RunToCompletion::new(&self.0.commits, commit).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Error::Interrupted),
        }
    }

    /// Reserves more encryptions, or adds a new key term, whenever the key ring runs low. Runs
    /// until the barrier is closed; the server runs it as a background task.
    ///
    /// # Cancel safety
    ///
    /// A changed key ring that was stored when the future was dropped is picked up by the next
    /// change.
    pub async fn maintain_key_ring(&self) {
        const RETRY: Duration = Duration::from_secs(1);
        loop {
            self.0.ring_needs_extension.notified().await;
            while self.key_ring().is_ok_and(|ring| ring.needs_extension()) {
                if let Err(error) = self.extend_key_ring().await {
                    tracing::warn!(error = %chain(&error), "the key ring could not be extended; trying again");
                    self.clock().sleep(RETRY).await;
                }
            }
            if self.key_ring().is_err() {
                return;
            }
        }
    }

    /// Adds a new key to the key ring and makes it active. Existing entries stay readable.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] if the barrier is closed, [`Error::RingChanged`] after too many concurrent
    /// changes, [`Error::Tampered`] if the stored key ring can't be read or contradicts the one in
    /// memory, or the error of the store.
    ///
    /// # Cancel safety
    ///
    /// A changed key ring that was stored when the future was dropped is picked up by the next
    /// change.
    pub async fn rotate_key(&self) -> Result<(), Error> {
        let now = self.clock().now();
        self.change_key_ring(|ring| ring.with_new_term(&*self.0.options.entropy, now)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        // A read that is in progress when the barrier closes isn't cached: closing detaches it, and
        // reads that begin later find no key.
        self.0.cache.get_or_load(key, self.get_uncached(key)).await
    }

    pub(crate) async fn get_uncached(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        if self.is_closed() {
            return Err(Error::Sealed);
        }
        let Some(stored) = self.0.options.physical.get(key).await? else { return Ok(None) };
        // Fetched only now: keys held across a hanging store read would stay in memory after
        // sealing.
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

    /// The encrypted key ring as one change of the store.
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

    /// Stores a changed ring, then uses it. A change starts from the stored ring merged with the
    /// one in memory, and is stored on condition that the stored ring is unchanged. So of two
    /// concurrent changes the second contains the first: neither a key nor a reservation is lost,
    /// even if a commit was applied but reported an error.
    ///
    /// Cancel safety: a change that was stored but isn't used yet is picked up by the next change.
    /// Closing the barrier therefore cancels this, so that a hanging store can't keep the keys in
    /// memory.
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

    /// Uses a stored ring, unless a later version is in use already or the barrier was closed
    /// meanwhile.
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

/// Reads and decrypts the stored key ring; returns it with its version.
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

/// Invalidates the keys of a commit in the cache when dropped, whatever the outcome.
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
