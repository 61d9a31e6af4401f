//! [`InstanceStorage`]: the mount's storage as one instance of its engine sees it.
//!
//! An instance goes through phases. While it is set up it may only read. While it is initialised
//! its writes are buffered, so that they are committed together with the change of the mount table,
//! or not at all. Then it writes to the store. Once it is closed, neither reads nor writes are
//! possible.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use strongroom_types::chain;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use strongroom_barrier::{Batch, Version, View};
use strongroom_engine::intent::INTENT_FOLDER;
use strongroom_engine::{
    Engine, Storage, StorageBatch, StorageChange, StorageEntry, StorageError, StoragePrecondition,
    check_folder, check_key,
};
use strongroom_types::ErrorKind;
use tokio::sync::{Notify, Semaphore};

/// The storage of one engine instance, confined to the mount's view of the barrier.
#[derive(Debug)]
pub struct InstanceStorage {
    view: View,
    phase: Mutex<StoragePhase>,
    phase_changed: Notify,
    /// The other instance of the same mount during a reload; it is notified of this one's writes.
    peer: ArcSwapOption<Weak<dyn Engine>>,
    /// Limits the number of concurrent writes.
    write_permits: Semaphore,
}

#[derive(Debug)]
enum StoragePhase {
    /// The engine is being set up: reads only.
    Setup,
    /// The engine is being initialised: writes are buffered.
    Buffering(WriteBuffer),
    /// The buffered writes are being committed; further writes wait for the result.
    Flushing(WriteBuffer),
    /// The engine is running: writes go to the store.
    Live,
    /// The engine is closed: reads and writes fail.
    Closed,
}

/// Buffered writes, and the preconditions they depend on. A value of `None` is a deletion.
#[derive(Debug, Default)]
struct WriteBuffer {
    values: BTreeMap<String, Option<BufferedValue>>,
    conditions: Vec<StoragePrecondition>,
}

#[derive(Clone)]
struct BufferedValue {
    value: Bytes,
    seal_wrap: bool,
}

impl std::fmt::Debug for BufferedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufferedValue({} bytes)", self.value.len())
    }
}

/// The maximum number of concurrent writes of one instance; further ones wait.
const MAX_CONCURRENT_WRITES: usize = 1024;
/// The version of buffered values, which have no version in the store yet.
const BUFFERED_VERSION: u64 = u64::MAX;

impl InstanceStorage {
    /// Creates storage for an instance that is being set up: reads only.
    pub fn new(view: View) -> Arc<Self> {
        Arc::new(Self {
            view,
            phase: Mutex::new(StoragePhase::Setup),
            phase_changed: Notify::new(),
            peer: ArcSwapOption::empty(),
            write_permits: Semaphore::new(MAX_CONCURRENT_WRITES),
        })
    }

    /// Buffers writes from now on, until they are flushed.
    pub fn buffer_writes(&self) {
        self.set_phase(StoragePhase::Buffering(WriteBuffer::default()));
    }

    /// Adds the buffered writes and their preconditions to a batch. Further writes wait until
    /// [`InstanceStorage::activate`] or [`InstanceStorage::close`] reports the result of its
    /// commit.
    pub fn flush_into(&self, batch: &mut Batch) {
        let mut phase = self.lock_phase();
        let StoragePhase::Buffering(held) = &mut *phase else { return };
        let held = std::mem::take(held);
        for condition in &held.conditions {
            self.add_precondition(batch, condition);
        }
        for (key, value) in &held.values {
            match value {
                Some(BufferedValue { value, seal_wrap }) => {
                    self.add_put(batch, key, value, *seal_wrap);
                }
                None => self.view.delete(batch, key),
            }
        }
        *phase = StoragePhase::Flushing(held);
    }

    /// Lets writes go to the store from now on. Buffered writes must have been committed before.
    pub fn activate(&self) {
        self.set_phase(StoragePhase::Live);
    }

    /// Makes all reads and writes fail with `Closed` from now on.
    pub fn close(&self) {
        self.set_phase(StoragePhase::Closed);
    }

    /// Waits until no write is in progress. After [`InstanceStorage::close`] no further one starts.
    pub async fn wait_for_writes(&self) {
        let all = u32::try_from(MAX_CONCURRENT_WRITES).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this cannot fail.
        let _ = self.write_permits.acquire_many(all).await;
    }

    /// Notifies another instance of this one's writes from now on, by invalidating the written keys
    /// in it; `None` to stop.
    pub fn notify_peer(&self, other: Option<Weak<dyn Engine>>) {
        self.peer.store(other.map(Arc::new));
    }

    fn set_phase(&self, phase: StoragePhase) {
        *self.lock_phase() = phase;
        self.phase_changed.notify_waiters();
    }

    fn lock_phase(&self) -> std::sync::MutexGuard<'_, StoragePhase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffered change of a key: `None` if there is none, `Some(None)` if it is a deletion.
    /// Fails if the storage is closed.
    fn buffered_value(&self, key: &str) -> Result<Option<Option<BufferedValue>>, StorageError> {
        match &*self.lock_phase() {
            StoragePhase::Closed => Err(StorageError::Closed),
            StoragePhase::Buffering(held) | StoragePhase::Flushing(held) => {
                Ok(held.values.get(key).cloned())
            }
            StoragePhase::Setup | StoragePhase::Live => Ok(None),
        }
    }

    /// Waits while a flush is in progress. Returns `true` if writes go to the store, `false` if
    /// they are buffered.
    async fn wait_until_writable(&self) -> Result<bool, StorageError> {
        loop {
            let changed = self.phase_changed.notified();
            tokio::pin!(changed);
            // Registered before the phase is read; otherwise a change could be missed.
            changed.as_mut().enable();
            match &*self.lock_phase() {
                StoragePhase::Setup => return Err(StorageError::Setup),
                StoragePhase::Closed => return Err(StorageError::Closed),
                StoragePhase::Live => return Ok(true),
                StoragePhase::Buffering(_) => return Ok(false),
                StoragePhase::Flushing(_) => {}
            }
            changed.await;
        }
    }

    /// Adds a batch to the buffer. `false` if writes are no longer buffered.
    async fn buffer_batch(&self, batch: &StorageBatch) -> Result<bool, StorageError> {
        for condition in &batch.preconditions {
            let key = condition.key();
            let stored = self.get(key).await?;
            let holds = match condition {
                StoragePrecondition::Exists(_) => stored.is_some(),
                StoragePrecondition::Absent(_) => stored.is_none(),
                StoragePrecondition::Unchanged(_, version) => {
                    stored.is_some_and(|stored| stored.version == *version)
                }
            };
            if !holds {
                return Err(StorageError::Precondition(key.to_owned()));
            }
        }
        let mut phase = self.lock_phase();
        let StoragePhase::Buffering(held) = &mut *phase else { return Ok(false) };
        for condition in &batch.preconditions {
            // A precondition on a buffered key was evaluated just now; its result cannot change.
            if !held.values.contains_key(condition.key()) {
                held.conditions.push(condition.clone());
            }
        }
        for change in batch.changes.clone() {
            match change {
                StorageChange::Put { key, value, seal_wrap } => {
                    held.values.insert(key, Some(BufferedValue { value, seal_wrap }));
                }
                StorageChange::Delete { key } => _ = held.values.insert(key, None),
            }
        }
        Ok(true)
    }

    async fn commit_to_store(&self, batch: &StorageBatch) -> Result<(), StorageError> {
        let mut plain = Batch::new();
        for condition in &batch.preconditions {
            self.add_precondition(&mut plain, condition);
        }
        for change in &batch.changes {
            match change {
                StorageChange::Put { key, value, seal_wrap } => {
                    self.add_put(&mut plain, key, value, *seal_wrap);
                }
                StorageChange::Delete { key } => self.view.delete(&mut plain, key),
            }
        }
        self.view.commit(plain).await.map_err(|error| self.storage_error_for_engine(&error))?;
        if let Some(other) = self.peer.load().as_ref().and_then(|other| other.upgrade()) {
            for change in &batch.changes {
                other.invalidate(change.key()).await;
            }
        }
        Ok(())
    }

    /// Converts a barrier error for the engine: keys are relative to its own view, and keys outside
    /// of it are omitted.
    fn storage_error_for_engine(&self, error: &strongroom_barrier::Error) -> StorageError {
        use strongroom_barrier::Error as Barrier;
        let relative_key = |key: &str| self.view.key_in_view(key).unwrap_or_default().to_owned();
        let error = match error {
            Barrier::Sealed => return StorageError::Closed,
            Barrier::Storage(strongroom_storage::Error::Precondition { key }) => {
                return StorageError::Precondition(relative_key(key));
            }
            Barrier::Tampered { key, reason } => {
                tracing::error!(key = relative_key(key), reason, "an entry can't be read");
                return StorageError::Damaged((*reason).to_owned());
            }
            Barrier::TooLarge { key } => Barrier::TooLarge { key: relative_key(key) },
            Barrier::Unserialisable { key } => Barrier::Unserialisable { key: relative_key(key) },
            other => other.clone(),
        };
        match error.kind() {
            ErrorKind::TooLarge => StorageError::TooLarge(error.to_string()),
            _ => {
                tracing::error!(error = %chain(&error), "an engine's storage failed");
                StorageError::Failed(error.to_string())
            }
        }
    }

    fn add_precondition(&self, batch: &mut Batch, condition: &StoragePrecondition) {
        match condition {
            StoragePrecondition::Exists(key) => self.view.require_exists(batch, key),
            StoragePrecondition::Absent(key) => self.view.require_absent(batch, key),
            StoragePrecondition::Unchanged(key, version) => {
                self.view.require_unchanged(batch, key, Version(*version));
            }
        }
    }

    fn add_put(&self, batch: &mut Batch, key: &str, value: &Bytes, seal_wrap: bool) {
        if seal_wrap {
            self.view.put_seal_wrapped(batch, key, value.to_vec());
        } else {
            self.view.put(batch, key, value.to_vec());
        }
    }
}

#[async_trait]
impl Storage for InstanceStorage {
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError> {
        check_key(key)?;
        if let Some(buffered) = self.buffered_value(key)? {
            return Ok(buffered.map(|buffered| StorageEntry {
                value: buffered.value,
                version: BUFFERED_VERSION,
                seal_wrap: buffered.seal_wrap,
            }));
        }
        let stored = if key.starts_with(INTENT_FOLDER) {
            self.view.get_uncached(key).await
        } else {
            self.view.get(key).await
        };
        let stored = stored.map_err(|error| self.storage_error_for_engine(&error))?;
        Ok(stored.map(|entry| StorageEntry {
            value: entry.value,
            version: entry.version.0,
            seal_wrap: entry.seal_wrap,
        }))
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        check_folder(prefix)?;
        let buffered = match &*self.lock_phase() {
            StoragePhase::Closed => return Err(StorageError::Closed),
            StoragePhase::Buffering(buffered) | StoragePhase::Flushing(buffered) => {
                Some(buffered.values.clone())
            }
            StoragePhase::Setup | StoragePhase::Live => None,
        };
        let names = self.view.list_children(prefix, after, limit).await;
        let mut names = names.map_err(|error| self.storage_error_for_engine(&error))?;
        if let Some(buffered) = buffered {
            merge_buffered_names(&mut names, &buffered, prefix, after, limit);
        }
        Ok(names)
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        let conditions = batch.preconditions.iter().map(StoragePrecondition::key);
        conditions.chain(batch.changes.iter().map(StorageChange::key)).try_for_each(check_key)?;
        // The semaphore is never closed, so this cannot fail.
        let _place = self.write_permits.acquire().await;
        loop {
            if self.wait_until_writable().await? {
                return self.commit_to_store(&batch).await;
            }
            if self.buffer_batch(&batch).await? {
                return Ok(());
            }
        }
    }

    fn is_atomic(&self) -> bool {
        true
    }
}

/// Merges buffered names into a list. If a buffered deletion removes the last entry of a folder,
/// the folder is still listed, which is harmless while an engine initialises.
fn merge_buffered_names(
    found: &mut Vec<String>,
    held: &BTreeMap<String, Option<BufferedValue>>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) {
    for (key, value) in held {
        let Some(name) = key.strip_prefix(prefix) else { continue };
        let child = match name.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => name.to_owned(),
        };
        match value {
            Some(_) if after.is_none_or(|after| child.as_str() > after) => found.push(child),
            None => found.retain(|known| *known != child || known.ends_with('/')),
            Some(_) => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(limit);
}

#[cfg(test)]
mod tests;
