//! [`DocumentStore`]: typed reads and writes of documents, with a cache.

use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_engine::mount_config::{CACHED_BYTES_CONFIG_KEY, DEFAULT_CACHED_BYTES};
use strongroom_engine::{
    Storage, StorageBatch, StorageChange, StorageEntry, StorageError, StoragePrecondition,
};
use strongroom_schema::field::build_object;
use strongroom_schema::pattern::{InvalidName, RoutePattern};
use strongroom_types::{Fields, ReadCache};
use tokio_util::task::TaskTracker;

use super::Document;
use crate::Error;
use crate::declared_documents::{DeclaredDocument, DeclaredDocuments, creation_error};
use crate::legacy_names::EchoedNames;
use crate::linked_records::LinkedRecords;
use crate::records::{RecordKey, unchanged_precondition};

/// Typed access to the documents of one mount, with a small read cache. Cheap to clone.
///
/// It knows the documents that the blueprint declares with
/// [`Blueprint::document`](crate::Blueprint::document) or
/// [`Blueprint::internal_document`](crate::Blueprint::internal_document). Using another one is an
/// internal error that names the missing declaration.
///
/// An action of [`Blueprint::read`](crate::Blueprint::read),
/// [`write`](crate::Blueprint::write) or [`list`](crate::Blueprint::list) can change documents that
/// clients create, and can't create them: its path has no existence check, so the client may lack
/// the capability `create`. [`put`](Self::put) and [`change`](Self::change) are then internal
/// errors, also in tasks that the action spawns. The writes and deletes of a
/// [`Resource`](crate::Resource), credentials, logins, hooks, and lifecycle functions create what
/// they like.
#[derive(Clone, Debug)]
pub struct DocumentStore {
    storage: Arc<dyn Storage>,
    cache: Arc<ReadCache<CachedDocument, Error>>,
    /// Writes in progress. They complete even if their request is dropped; otherwise the cache
    /// could keep a value that was replaced.
    writes: TaskTracker,
    declared: Arc<DeclaredDocuments>,
    /// Whether documents that clients create can be created.
    may_create: bool,
}

/// A parsed document, and the size of the bytes it was parsed from.
#[derive(Clone)]
struct CachedDocument {
    document: Arc<dyn Any + Send + Sync>,
    /// The legacy names that a read of it shows.
    echoed: EchoedNames,
    stored_bytes: usize,
}

/// How often a merge is attempted before it fails because of concurrent writes to the document.
pub(crate) const MAX_MERGE_ATTEMPTS: usize = 5;

impl DocumentStore {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        writes: TaskTracker,
        config: &BTreeMap<String, String>,
        declared: DeclaredDocuments,
    ) -> Self {
        let told = config.get(CACHED_BYTES_CONFIG_KEY).and_then(|bytes| bytes.parse().ok());
        let cache_bytes = told.unwrap_or(DEFAULT_CACHED_BYTES);
        // In memory a document takes about as much again as its stored form.
        let weigh = |cached: &CachedDocument| cached.stored_bytes.saturating_mul(2);
        let cache = Arc::new(ReadCache::new(cache_bytes, weigh));
        Self { storage, cache, writes, declared: Arc::new(declared), may_create: true }
    }

    /// A store of one type of document.
    #[cfg(test)]
    pub(crate) fn of_document<D: Document>(
        storage: Arc<dyn Storage>,
        config: &BTreeMap<String, String>,
    ) -> Self {
        let mut declared = DeclaredDocuments::default();
        let known = DeclaredDocument { folds_case: D::FOLDS_CASE, is_created_by_clients: true };
        declared.add(TypeId::of::<D>(), known);
        Self::new(storage, TaskTracker::new(), config, declared)
    }

    /// The same store for an action without an existence check, which can't create documents that
    /// clients create.
    pub(crate) fn without_creation(&self) -> Self {
        Self { may_create: false, ..self.clone() }
    }

    /// Whether the blueprint declares the document.
    pub(crate) fn declares<D: Document>(&self) -> bool {
        self.declared.contains(TypeId::of::<D>())
    }

    /// Checks that the blueprint declares the document, and returns whether it may be created.
    pub(crate) fn check_declared<D: Document>(&self) -> Result<bool, Error> {
        let declared = self.find_declared::<D>()?;
        Ok(self.may_create || !declared.is_created_by_clients)
    }

    fn find_declared<D: Document>(&self) -> Result<DeclaredDocument, Error> {
        self.declared.find(TypeId::of::<D>(), D::PATH, type_name::<D>())
    }

    /// The name by which a document is stored and listed, and under which requests and policies
    /// know it: in lower case, if the case of names doesn't matter.
    pub(crate) fn canonical_name<'n, D: Document>(&self, name: &'n str) -> Cow<'n, str> {
        match self.find_declared::<D>().is_ok_and(|document| document.folds_case) {
            true => Cow::Owned(name.to_lowercase()),
            false => Cow::Borrowed(name),
        }
    }

    /// The storage key of the document with these captures.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if no document can have them.
    fn key_of<D: Document>(&self, captures: &[&str]) -> Result<String, InvalidName> {
        let names: Vec<_> = captures.iter().map(|name| self.canonical_name::<D>(name)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let pattern = RoutePattern::new(D::PATH);
        pattern.check_captures(&names)?;
        Ok(storage_key::<D>(&pattern.storage_key(&names)))
    }

    /// Reads a document by the captures of its path: none for `config`, the name for
    /// `roles/{name}`. `None` if there is no such document, also if none can have such a name.
    ///
    /// # Errors
    ///
    /// A storage error, or an internal error if the stored document can't be parsed by this
    /// version, or the blueprint doesn't declare it.
    pub async fn get<D: Document>(&self, captures: &[&str]) -> Result<Option<Arc<D>>, Error> {
        self.check_declared::<D>()?;
        match self.key_of::<D>(captures) {
            Ok(key) => self.get_by_key::<D>(&key).await,
            Err(error @ InvalidName::Count) => Err(name_error(error)),
            Err(_) => Ok(None),
        }
    }

    /// Stores a document, replacing the one at these captures. Reads then show no legacy names of
    /// fields, until a client writes one.
    ///
    /// # Errors
    ///
    /// A user error if a capture isn't a valid name; an internal error if the blueprint doesn't
    /// declare the document, or an action must not create it; a storage error: it may or may not
    /// have been written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future doesn't stop a write that has begun.
    pub async fn put<D: Document>(&self, captures: &[&str], document: &D) -> Result<(), Error> {
        let may_create = self.check_declared::<D>()?;
        let key = self.key_of::<D>(captures).map_err(name_error)?;
        let value = encode_document(document, &EchoedNames::default());
        let mut batch = StorageBatch::put(&key, value, D::SEAL_WRAP);
        if !may_create && self.storage.is_atomic() {
            batch.preconditions.push(StoragePrecondition::Exists(key.clone()));
        } else if !may_create && self.storage.get(&key).await?.is_none() {
            return Err(creation_error(D::PATH));
        }
        match self.commit_and_invalidate(key, batch).await {
            Err(StorageError::Precondition(_)) => Err(creation_error(D::PATH)),
            done => Ok(done?),
        }
    }

    /// Reads the document, if there is one, passes it to `edit`, and stores the result. On hosts
    /// with atomic storage no concurrent write is lost: `edit` is called again with the new
    /// document.
    ///
    /// # Errors
    ///
    /// Whatever `edit` returns; a user error if a capture isn't a valid name; an internal error as
    /// for [`put`](Self::put); a storage error; or a "try again" error (503) after five concurrent
    /// writes, in which case nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future doesn't stop a write that has begun.
    pub async fn change<D: Document>(
        &self,
        captures: &[&str],
        edit: impl Fn(Option<D>) -> Result<D, Error>,
    ) -> Result<(), Error> {
        let may_create = self.check_declared::<D>()?;
        let key = self.key_of::<D>(captures).map_err(name_error)?;
        for _ in 0..MAX_MERGE_ATTEMPTS {
            let stored = self.storage.get(&key).await?;
            let mut echoed = EchoedNames::default();
            let read = |stored: &StorageEntry| {
                let fields = Fields::from_trusted(&stored.value)
                    .map_err(|_| unreadable_document_error(&key))?;
                echoed = EchoedNames::of_stored(D::FIELDS, &fields);
                D::from_fields(&fields).map_err(|_| unreadable_document_error(&key))
            };
            let document = edit(stored.as_ref().map(read).transpose()?)?;
            if stored.is_none() && !may_create {
                return Err(creation_error(D::PATH));
            }
            let value = encode_document(&document, &echoed);
            let mut batch = StorageBatch::put(&key, value, D::SEAL_WRAP);
            if self.storage.is_atomic() {
                batch.preconditions.push(unchanged_precondition(&key, stored.as_ref()));
            }
            match self.commit_and_invalidate(key.clone(), batch).await {
                Err(StorageError::Precondition(_)) => {}
                done => return Ok(done?),
            }
        }
        Err(Error::write_conflict())
    }

    /// Passes the document to `edit`, stores the result, and deletes another entry in the same batch,
    /// which applies only under the precondition. Returns the new document; `None`, without a change,
    /// if there is no document or `edit` returns none. On hosts without atomic storage the other entry is deleted last.
    pub(crate) async fn replace_and_delete<D: Document>(
        &self,
        captures: &[&str],
        edit: impl Fn(D) -> Option<D>,
        other: &str,
        precondition: StoragePrecondition,
    ) -> Result<Option<D>, Error> {
        let key = self.key_of::<D>(captures).map_err(name_error)?;
        for _ in 0..MAX_MERGE_ATTEMPTS {
            let (stored, fields) = self.read_fields(&key).await?;
            let Some(stored) = stored else { return Ok(None) };
            let document = D::from_fields(&fields).map_err(|_| unreadable_document_error(&key))?;
            let Some(document) = edit(document) else { return Ok(None) };
            let echoed = EchoedNames::of_stored(D::FIELDS, &fields);
            let value = encode_document(&document, &echoed);
            let mut batch = StorageBatch::put(&key, value, D::SEAL_WRAP);
            batch.changes.push(StorageChange::Delete { key: other.to_owned() });
            if self.storage.is_atomic() {
                batch.preconditions.push(unchanged_precondition(&key, Some(&stored)));
                batch.preconditions.push(precondition.clone());
            }
            match self.commit_and_invalidate(key.clone(), batch).await {
                Err(StorageError::Precondition(_)) => {}
                done => return Ok(done.map(|()| Some(document))?),
            }
        }
        Err(Error::write_conflict())
    }

    /// Deletes a document; does nothing if it doesn't exist.
    ///
    /// # Errors
    ///
    /// An internal error if the blueprint doesn't declare the document; a storage error: it may or
    /// may not have been deleted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future doesn't stop a write that has begun.
    pub async fn delete<D: Document>(&self, captures: &[&str]) -> Result<(), Error> {
        self.check_declared::<D>()?;
        match self.key_of::<D>(captures) {
            Ok(key) => self.delete_key(&key).await,
            Err(error @ InvalidName::Count) => Err(name_error(error)),
            Err(_) => Ok(()),
        }
    }

    pub(crate) async fn delete_key(&self, key: &str) -> Result<(), Error> {
        Ok(self.commit_and_invalidate(key.to_owned(), StorageBatch::delete(key)).await?)
    }

    /// Reads the fields of the document at `key`, which a write is to be merged into.
    pub(crate) async fn read_fields(
        &self,
        key: &str,
    ) -> Result<(Option<StorageEntry>, Fields), Error> {
        let stored = self.storage.get(key).await?;
        let fields = match &stored {
            Some(stored) => {
                Fields::from_trusted(&stored.value).map_err(|_| unreadable_document_error(key))?
            }
            None => Fields::new(),
        };
        Ok((stored, fields))
    }

    /// Stores a document that was merged over `stored`. Returns false, without a change, if somebody
    /// else wrote it meanwhile; hosts without atomic storage can't tell.
    pub(crate) async fn store_merged<D: Document>(
        &self,
        key: &str,
        document: &D,
        echoed: &EchoedNames,
        stored: Option<&StorageEntry>,
        records: LinkedRecords,
    ) -> Result<bool, Error> {
        let value = encode_document(document, echoed);
        let mut batch = StorageBatch::put(key, value, D::SEAL_WRAP);
        if self.storage.is_atomic() {
            batch.preconditions.push(unchanged_precondition(key, stored));
        }
        self.commit_unless_changed(key, records.join(batch, self.storage.is_atomic())).await
    }

    /// Deletes the document at `key` and changes the records that belong to it. Returns false,
    /// without a change, if somebody else wrote one of them meanwhile; hosts without atomic storage
    /// can't tell.
    pub(crate) async fn delete_seen(
        &self,
        key: &str,
        stored: &StorageEntry,
        records: LinkedRecords,
    ) -> Result<bool, Error> {
        let mut batch = StorageBatch::delete(key);
        if self.storage.is_atomic() {
            batch.preconditions.push(unchanged_precondition(key, Some(stored)));
        }
        self.commit_unless_changed(key, records.join(batch, self.storage.is_atomic())).await
    }

    async fn commit_unless_changed(&self, key: &str, batch: StorageBatch) -> Result<bool, Error> {
        match self.commit_and_invalidate(key.to_owned(), batch).await {
            Err(StorageError::Precondition(_)) => Ok(false),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    }

    pub(crate) async fn get_by_key<D: Document>(&self, key: &str) -> Result<Option<Arc<D>>, Error> {
        let found = self.get_with_echoed_names(key).await?;
        Ok(found.map(|(document, _)| document))
    }

    /// The document at `key`, and the legacy names that a read of it shows.
    pub(crate) async fn get_with_echoed_names<D: Document>(
        &self,
        key: &str,
    ) -> Result<Option<(Arc<D>, EchoedNames)>, Error> {
        let cached = self.cache.get_or_load(key, self.load_from_storage::<D>(key)).await?;
        let Some(CachedDocument { document, echoed, .. }) = cached else { return Ok(None) };
        // `Blueprint` rejects two document types at one key, so the types can't differ.
        let document = document.downcast::<D>().map_err(|_| unreadable_document_error(key))?;
        Ok(Some((document, echoed)))
    }

    async fn load_from_storage<D: Document>(
        &self,
        key: &str,
    ) -> Result<Option<CachedDocument>, Error> {
        let Some(stored) = self.storage.get(key).await? else { return Ok(None) };
        let (document, fields) = parse_document::<D>(key, &stored)?;
        Ok(Some(CachedDocument {
            document: Arc::new(document),
            echoed: EchoedNames::of_stored(D::FIELDS, &fields),
            stored_bytes: stored.value.len(),
        }))
    }

    /// Reads a document past the cache, in which the documents of a whole collection would replace
    /// those that are read often.
    pub(crate) async fn read_uncached<D: Document>(&self, key: &str) -> Result<Option<D>, Error> {
        let Some(stored) = self.storage.get(key).await? else { return Ok(None) };
        Ok(Some(parse_document::<D>(key, &stored)?.0))
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(crate) fn invalidate_key(&self, key: &str) {
        self.cache.invalidate(key);
    }

    /// Removes all documents from the cache.
    pub(crate) fn clear_cache(&self) {
        self.cache.clear();
    }

    async fn commit_and_invalidate(
        &self,
        key: String,
        batch: StorageBatch,
    ) -> Result<(), StorageError> {
        let (storage, cache) = (self.storage.clone(), self.cache.clone());
        let write = self.writes.spawn(async move {
            let outcome = storage.commit(batch).await;
            // Also after a failure, when it may be unknown whether the write was applied.
            cache.invalidate(&key);
            outcome
        });
        write.await.unwrap_or(Err(StorageError::Closed))
    }
}

impl std::fmt::Debug for CachedDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachedDocument")
    }
}

/// The storage key of the document at a path.
pub(crate) fn storage_key<D: Document>(path: &str) -> String {
    match D::INTERNAL_KEY {
        true => RecordKey::new("document", path).as_str().to_owned(),
        false => path.to_owned(),
    }
}

/// The error for names that no document can have: the client's, unless the engine passed too few or
/// too many captures.
pub(crate) fn name_error(error: InvalidName) -> Error {
    match error {
        InvalidName::Count => Error::internal("a document has as many names as its path captures"),
        other => Error::user(other.to_string()),
    }
}

fn encode_document<D: Document>(document: &D, echoed: &EchoedNames) -> bytes::Bytes {
    echoed.add_to(build_object(|out| document.write_stored(out))).into_bytes()
}

fn parse_document<D: Document>(key: &str, stored: &StorageEntry) -> Result<(D, Fields), Error> {
    let fields = Fields::from_trusted(&stored.value).map_err(|_| unreadable_document_error(key))?;
    let document = D::from_fields(&fields).map_err(|_| unreadable_document_error(key))?;
    Ok((document, fields))
}

pub(crate) fn unreadable_document_error(key: &str) -> Error {
    Error::internal(format!("the document stored at {key} can't be read by this version"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use strongroom_sdk_derive::Document;

    use super::*;

    /// A document of any size, written by a test.
    #[derive(Document)]
    #[document(path = "notes/{name}")]
    struct Note {
        /// The text of the note.
        text: String,
    }

    const TEXT_BYTES: usize = 4 << 10;

    /// Storage with a large note under every name.
    #[derive(Debug)]
    struct LargeNoteStorage;

    #[async_trait]
    impl Storage for LargeNoteStorage {
        async fn get(&self, _: &str) -> Result<Option<StorageEntry>, StorageError> {
            let value = format!(r#"{{"text":"{}"}}"#, "x".repeat(TEXT_BYTES));
            Ok(Some(StorageEntry {
                value: value.into_bytes().into(),
                version: 1,
                seal_wrap: false,
            }))
        }

        async fn list(
            &self,
            _: &str,
            _: Option<&str>,
            _: usize,
        ) -> Result<Vec<String>, StorageError> {
            Ok(Vec::new())
        }

        async fn commit(&self, _: StorageBatch) -> Result<(), StorageError> {
            Ok(())
        }

        fn is_atomic(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn sr_2026_08_the_documents_kept_in_memory_are_bounded_in_bytes() {
        let told = |bytes: &str| [(CACHED_BYTES_CONFIG_KEY.to_owned(), bytes.to_owned())].into();
        let cases = [
            (BTreeMap::new(), DEFAULT_CACHED_BYTES),
            (told("131072"), 128 << 10),
            (told("not a number"), DEFAULT_CACHED_BYTES),
        ];
        for (config, bound) in cases {
            let documents = DocumentStore::of_document::<Note>(Arc::new(LargeNoteStorage), &config);
            for n in 0..2000 {
                let note = documents.get::<Note>(&[&n.to_string()]).await.unwrap().unwrap();
                assert_eq!(note.text.len(), TEXT_BYTES);
            }
            let bytes = u64::try_from(documents.cache.present_len() * TEXT_BYTES).unwrap();
            assert!(bytes <= bound, "{bytes} bytes are kept, of {bound}");
            assert!(bytes > bound / 8, "only {bytes} bytes are kept, of {bound}");
        }
    }
}
