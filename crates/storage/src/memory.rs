//! In memory, for `-dev` and tests. Everything is lost when it is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{Batch, Change, Entry, Error, Limits, Physical, Version};

/// A store that forgets everything when it is dropped.
#[derive(Default)]
pub struct Memory {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    last: Version,
}

impl Memory {
    /// An empty store with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with these limits.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Held for map operations only, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.state().entries.len()).finish()
    }
}

#[async_trait]
impl Physical for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.state().entries.get(key).cloned())
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let state = self.state();
        let keys = state.entries.range::<str, _>((scan_start(prefix, after), Bound::Unbounded));
        let matching = keys.map(|(key, _)| key).take_while(|key| key.starts_with(prefix));
        Ok(matching.take(limit).cloned().collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        self.limits.check(&batch)?;
        let mut state = self.state();
        for precondition in &batch.preconditions {
            let found = state.entries.get(precondition.key()).map(|entry| entry.version);
            if !precondition.holds(found) {
                return Err(Error::Precondition { key: precondition.key().to_owned() });
            }
        }
        let version = state.last.next();
        state.last = version;
        for change in batch.changes {
            match change {
                Change::Put { key, value } => {
                    state.entries.insert(key, Entry { value, version });
                }
                Change::Delete { key } => {
                    state.entries.remove(&key);
                }
            }
        }
        Ok(version)
    }
}

/// Where a scan begins: at the prefix, or behind `after` when that sorts later.
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
        crate::contract::run(async || Arc::new(Memory::new()) as Arc<dyn Physical>).await;
    }
}
