//! An in-memory store, for `-dev` and tests. Its content is lost when it is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{
    Error, Physical, PhysicalBatch, PhysicalChange, PhysicalEntry, StorageLimits, Version,
};

/// A [`Physical`] store in memory, whose content is lost when it is dropped. `storage "inmem"`
/// selects it.
#[derive(Default)]
pub struct MemoryStorage {
    limits: StorageLimits,
    state: Mutex<MemoryStorageState>,
}

#[derive(Default)]
struct MemoryStorageState {
    entries: BTreeMap<String, PhysicalEntry>,
    last: Version,
}

impl MemoryStorage {
    /// An empty store with the default [`StorageLimits`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with the given limits.
    pub fn with_limits(limits: StorageLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Held for map operations only, never across an await.
    fn lock_state(&self) -> MutexGuard<'_, MemoryStorageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("entries", &self.lock_state().entries.len()).finish()
    }
}

#[async_trait]
impl Physical for MemoryStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        Ok(self.lock_state().entries.get(key).cloned())
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let state = self.lock_state();
        let keys = state.entries.range::<str, _>((scan_start(prefix, after), Bound::Unbounded));
        let matching = keys.map(|(key, _)| key).take_while(|key| key.starts_with(prefix));
        Ok(matching.take(limit).cloned().collect())
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        self.limits.check_batch(&batch)?;
        let mut state = self.lock_state();
        for precondition in &batch.preconditions {
            let found = state.entries.get(precondition.key()).map(|entry| entry.version);
            if !precondition.holds_for(found) {
                return Err(Error::Precondition { key: precondition.key().to_owned() });
            }
        }
        let version = state.last.next();
        state.last = version;
        for change in batch.changes {
            match change {
                PhysicalChange::Put { key, value } => {
                    state.entries.insert(key, PhysicalEntry { value, version });
                }
                PhysicalChange::Delete { key } => {
                    state.entries.remove(&key);
                }
            }
        }
        Ok(version)
    }
}

/// Where a scan begins: at the prefix, or after `after` if that sorts later.
pub(crate) fn scan_start<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_contract() {
        crate::contract::run(async || Arc::new(MemoryStorage::new()) as Arc<dyn Physical>).await;
    }
}
