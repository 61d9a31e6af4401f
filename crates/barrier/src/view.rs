//! [`View`]: a part of the barrier under a prefix. A store or an engine gets a view and can't
//! reach, or even name, anything outside it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_storage::{Precondition, Version};

use crate::Error;
use crate::barrier::{Barrier, BarrierEntry, Batch};

/// Keys below one prefix, in plain text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    barrier: Barrier,
    prefix: Arc<str>,
}

/// Sorts after every key of a folder: no key contains this character.
const AFTER_ALL_KEYS: char = '\u{10FFFF}';
/// Keys asked of the store at once.
const PAGE: usize = 256;

impl View {
    pub(crate) fn new(barrier: Barrier, prefix: &str) -> Self {
        Self { barrier, prefix: prefix.into() }
    }

    /// A view further down.
    #[must_use]
    pub fn sub_view(&self, prefix: &str) -> Self {
        Self { barrier: self.barrier.clone(), prefix: format!("{}{prefix}", self.prefix).into() }
    }

    /// The barrier this looks into.
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// The entry at `key`.
    pub async fn get(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        self.barrier.get(&self.full_key(key)).await
    }

    /// The entry at `key`, without looking into the cache or leaving anything there.
    pub async fn get_uncached(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        self.barrier.get_uncached(&self.full_key(key)).await
    }

    /// The JSON document at `key`. One that can't be read was not written by this version of the
    /// server, and is an error that names the key.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get(key).await?.map(|entry| self.decode_json(key, &entry.value)).transpose()
    }

    /// Reads a JSON document that was found at `key`.
    pub fn decode_json<T: DeserializeOwned>(&self, key: &str, value: &Bytes) -> Result<T, Error> {
        serde_json::from_slice(value).map_err(|_| Error::Tampered {
            key: self.full_key(key),
            reason: "not a known document",
        })
    }

    /// All keys under `prefix` after `after` (relative to the view, like the keys given back), in
    /// byte order, at most `limit`.
    pub async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let after = after.map(|after| self.full_key(after));
        let found = self.barrier.scan(&self.full_key(prefix), after.as_deref(), limit).await?;
        Ok(found.into_iter().map(|key| self.relative_key(key)).collect())
    }

    /// What lies directly under `prefix`, relative to it: keys, and folders with a trailing slash,
    /// each once, sorted. A prefix that isn't a folder is taken as the start of the names.
    pub async fn list_children(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut children: Vec<String> = Vec::new();
        // After a folder come the keys behind all that it holds.
        let behind = |child: &str| match child.strip_suffix('/') {
            Some(_) => format!("{prefix}{child}{AFTER_ALL_KEYS}"),
            None => format!("{prefix}{child}"),
        };
        let mut from = after.map(behind);
        while children.len() < limit {
            let page = self.list_keys(prefix, from.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            let complete = page.len() < PAGE;
            let last = last.clone();
            for key in page {
                let name = key.get(prefix.len()..).unwrap_or_default();
                let child = match name.split_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => name.to_owned(),
                };
                if children.last() != Some(&child) && children.len() < limit {
                    children.push(child);
                }
            }
            if complete {
                break;
            }
            let next = children.last().map(|child| behind(child)).unwrap_or_default();
            from = Some(next.max(last));
        }
        Ok(children)
    }

    /// Adds a write of `value` at `key`.
    pub fn put(&self, batch: &mut Batch, key: &str, value: Vec<u8>) {
        batch.put(self.full_key(key), value, false);
    }

    /// Adds a write that asks for the seal's extra encryption.
    pub fn put_seal_wrapped(&self, batch: &mut Batch, key: &str, value: Vec<u8>) {
        batch.put(self.full_key(key), value, true);
    }

    /// Adds a write of a JSON document. If it can't be serialised, the whole batch is refused.
    pub fn put_json(&self, batch: &mut Batch, key: &str, document: &impl Serialize) {
        batch.put_json(self.full_key(key), document);
    }

    /// Adds a removal of `key`.
    pub fn delete(&self, batch: &mut Batch, key: &str) {
        batch.delete(self.full_key(key));
    }

    /// The batch applies only if `key` is there.
    pub fn require_exists(&self, batch: &mut Batch, key: &str) {
        batch.add_precondition(Precondition::Exists(self.full_key(key)));
    }

    /// The batch applies only if `key` is not there.
    pub fn require_absent(&self, batch: &mut Batch, key: &str) {
        batch.add_precondition(Precondition::Absent(self.full_key(key)));
    }

    /// The batch applies only if `key` is still at `version`.
    pub fn require_unchanged(&self, batch: &mut Batch, key: &str, version: Version) {
        batch.add_precondition(Precondition::Unchanged(self.full_key(key), version));
    }

    /// The key of this view that stands for one in the physical store, such as an error names it;
    /// none if that lies outside of the view.
    pub fn key_in_view<'k>(&self, whole: &'k str) -> Option<&'k str> {
        whole.strip_prefix(&*self.prefix)
    }

    /// Whether an error says that a precondition on `key` of this view failed.
    pub fn precondition_failed_on(&self, key: &str, error: &Error) -> bool {
        matches!(
            error,
            Error::Storage(strongroom_storage::Error::Precondition { key: failed })
                if *failed == self.full_key(key)
        )
    }

    /// Applies a batch; see [`Barrier::commit`].
    pub async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        self.barrier.commit(batch).await
    }

    fn full_key(&self, key: &str) -> String {
        let mut whole = String::with_capacity(self.prefix.len() + key.len());
        whole.push_str(&self.prefix);
        whole.push_str(key);
        whole
    }

    fn relative_key(&self, mut key: String) -> String {
        key.drain(..self.prefix.len().min(key.len()));
        key
    }
}
