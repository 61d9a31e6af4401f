//! [`View`]: the keys of the barrier under one prefix. A store or an engine gets a view and can't
//! address anything outside it.

mod key_pages;

pub use key_pages::KeyPages;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_storage::{Precondition, Version};

use crate::Error;
use crate::barrier::{Barrier, BarrierEntry, Batch};

/// The entries of a barrier under one prefix, addressed by keys relative to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    barrier: Barrier,
    prefix: Arc<str>,
}

/// Sorts after every key of a folder, because no key contains this character.
const AFTER_ALL_KEYS: char = '\u{10FFFF}';

impl Barrier {
    /// A view of the barrier that is limited to the keys under `prefix`. The prefix is prepended to
    /// every key as it is; nothing is read.
    pub fn view(&self, prefix: &str) -> View {
        View { barrier: self.clone(), prefix: prefix.into() }
    }
}

impl View {
    /// A view whose prefix is this view's prefix followed by `prefix`. The prefix is appended as it
    /// is, without a slash in between.
    #[must_use]
    pub fn sub_view(&self, prefix: &str) -> Self {
        Self { barrier: self.barrier.clone(), prefix: format!("{}{prefix}", self.prefix).into() }
    }

    /// The barrier this view belongs to.
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }

    /// Reads the entry at `key` through the cache; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`], [`Error::Tampered`], or the error of the store.
    pub async fn get(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        self.barrier.get(&self.full_key(key)).await
    }

    /// Reads the entry at `key` from the store, neither using nor filling the cache.
    ///
    /// # Errors
    ///
    /// As [`View::get`].
    pub async fn get_uncached(&self, key: &str) -> Result<Option<BarrierEntry>, Error> {
        self.barrier.get_uncached(&self.full_key(key)).await
    }

    /// Reads and decodes the JSON document at `key`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] with the key if this version of the server can't decode the document;
    /// otherwise as [`View::get`].
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get(key).await?.map(|entry| self.decode_json(key, &entry.value)).transpose()
    }

    /// Decodes a JSON document that was read from `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Tampered`] with the key if the value isn't a document of this type.
    pub fn decode_json<T: DeserializeOwned>(&self, key: &str, value: &Bytes) -> Result<T, Error> {
        serde_json::from_slice(value).map_err(|_| Error::Tampered {
            key: self.full_key(key),
            reason: "not a known document",
        })
    }

    /// Lists all keys under `prefix` that sort after `after`, in byte order, at most `limit`.
    /// Arguments and results are relative to the view.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`], or the error of the store.
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

    /// Lists the direct children of `prefix`, relative to it: keys, and folders with a trailing
    /// slash, each once, sorted. A prefix that doesn't end in a slash also matches names that begin
    /// with its last part.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`], or the error of the store.
    pub async fn list_children(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut children: Vec<String> = Vec::new();
        // To continue after a folder means to continue after all keys inside it.
        let behind = |child: &str| match child.strip_suffix('/') {
            Some(_) => format!("{prefix}{child}{AFTER_ALL_KEYS}"),
            None => format!("{prefix}{child}"),
        };
        let mut pages = self.key_pages(prefix).start_after(after.map(behind));
        while children.len() < limit
            && let Some(keys) = pages.next_page().await?
        {
            for key in keys {
                let name = key.get(prefix.len()..).unwrap_or_default();
                let child = match name.split_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => name.to_owned(),
                };
                if children.last() != Some(&child) && children.len() < limit {
                    children.push(child);
                }
            }
            if let Some(child) = children.last() {
                pages.skip_past(behind(child));
            }
        }
        Ok(children)
    }

    /// Adds to the batch a write of `value` at `key`. An existing value is replaced. Nothing is
    /// stored until the batch is committed.
    pub fn put(&self, batch: &mut Batch, key: &str, value: Vec<u8>) {
        batch.put(self.full_key(key), value, false);
    }

    /// Adds to the batch a write that requests seal wrapping, the seal's extra encryption. An
    /// existing value at `key` is replaced.
    pub fn put_seal_wrapped(&self, batch: &mut Batch, key: &str, value: Vec<u8>) {
        batch.put(self.full_key(key), value, true);
    }

    /// Adds to the batch a write of a JSON document. If it can't be serialised, the whole batch is
    /// refused at commit.
    pub fn put_json(&self, batch: &mut Batch, key: &str, document: &impl Serialize) {
        batch.put_json(self.full_key(key), document, false);
    }

    /// As [`put_json`](Self::put_json), with seal wrapping as in
    /// [`put_seal_wrapped`](Self::put_seal_wrapped).
    pub fn put_json_seal_wrapped(&self, batch: &mut Batch, key: &str, document: &impl Serialize) {
        batch.put_json(self.full_key(key), document, true);
    }

    /// Adds to the batch a deletion of `key`; deleting a missing key does nothing. The key is
    /// relative to the view's prefix.
    pub fn delete(&self, batch: &mut Batch, key: &str) {
        batch.delete(self.full_key(key));
    }

    /// Makes the batch apply only if `key` exists. Otherwise the commit writes nothing and fails;
    /// [`Error::is_precondition`] recognises this.
    pub fn require_exists(&self, batch: &mut Batch, key: &str) {
        batch.add_precondition(Precondition::Exists(self.full_key(key)));
    }

    /// Makes the batch apply only if `key` does not exist. Otherwise the commit writes nothing and
    /// fails; [`Error::is_precondition`] recognises this.
    pub fn require_absent(&self, batch: &mut Batch, key: &str) {
        batch.add_precondition(Precondition::Absent(self.full_key(key)));
    }

    /// Makes the batch apply only if `key` still has `version`. A missing key does not satisfy this
    /// either, and the commit fails.
    pub fn require_unchanged(&self, batch: &mut Batch, key: &str, version: Version) {
        batch.add_precondition(Precondition::Unchanged(self.full_key(key), version));
    }

    /// Converts a full key of the physical store, such as an error contains, to a key of this view;
    /// `None` if it lies outside the view.
    pub fn key_in_view<'k>(&self, whole: &'k str) -> Option<&'k str> {
        whole.strip_prefix(&*self.prefix)
    }

    /// Whether the error reports a failed precondition on `key` of this view. The key is relative
    /// to the view's prefix.
    pub fn precondition_failed_on(&self, key: &str, error: &Error) -> bool {
        matches!(
            error,
            Error::Storage(strongroom_storage::Error::Precondition { key: failed })
                if *failed == self.full_key(key)
        )
    }

    /// Applies a batch, which may also contain changes of other views; see [`Barrier::commit`].
    ///
    /// # Errors
    ///
    /// As [`Barrier::commit`].
    ///
    /// # Cancel safety
    ///
    /// As [`Barrier::commit`]: dropping the future undoes nothing.
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
