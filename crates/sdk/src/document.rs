//! [`Document`]: something an operator writes and the engine keeps: a configuration, a role.
//!
//! A document is declared with the path it lies at. Creating, updating, reading, listing and
//! deleting follow from that, and so does the existence check, without which Vault's own SDK
//! panics at the first write: a stored document knows whether it is there.
//!
//! An update merges: fields that are not given stay as they are.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_types::{Fields, ReadCache};
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::engine::{Storage, StorageBatch, StorageEntry, StorageError};
use crate::field::{FieldSpec, InvalidInput, ObjectWriter};
use crate::pattern::RoutePattern;
use crate::records::{RecordKey, unchanged_precondition};

/// A stored document. Derive it:
///
/// ```
/// use strongroom_sdk::{BaseUrl, CommaList, Document, DurationSecs, Secret};
///
/// /// How to reach the service.
/// #[derive(Document)]
/// #[document(path = "config", seal_wrap)]
/// struct Config {
///     /// Where it listens.
///     #[field(required)]
///     api_endpoint: BaseUrl,
///     /// What opens it. A secret is never shown again.
///     #[field(required)]
///     api_key: Secret<String>,
/// }
///
/// /// What a credential may do.
/// #[derive(Document)]
/// #[document(path = "roles/{name}")]
/// struct Role {
///     /// Names of permissions.
///     permissions: CommaList,
///     /// Lifetime of a credential.
///     #[field(default = "1h")]
///     ttl: DurationSecs,
/// }
/// ```
///
/// Of `#[document(…)]`, `path` is needed; a `{name}` in it makes a collection, which can be listed.
/// `seal_wrap` asks for the seal's extra encryption, `local` keeps the document from replication,
/// `root` asks for the `sudo` capability, `apart` keeps it under a key that no client can name (for an
/// engine that has free-form documents as well, or takes over those of an earlier version), and `validate = function` names a
/// `fn(&Self) -> Result<(), String>` that sees the whole document before it is stored.
pub trait Document: Sized + Send + Sync + 'static {
    /// Where it lies below the mount; also its storage key.
    const PATH: &'static str;
    /// What it is for: the documentation comment of the struct.
    const HELP: &'static str;
    /// Whether to ask for the seal's extra encryption.
    const SEAL_WRAP: bool;
    /// Whether it stays in this cluster.
    const LOCAL: bool;
    /// Whether its path needs `sudo`.
    const ROOT: bool;
    /// Whether it is kept under a key that no client can name.
    const INTERNAL_KEY: bool;
    /// Its fields.
    const FIELDS: &'static [FieldSpec];

    /// Reads it from what a client sent, merged over what was stored.
    fn from_fields(fields: &Fields) -> Result<Self, InvalidInput>;

    /// Reads each field's default, which an operator who leaves the field out would have to answer
    /// for. The derive macro writes it; the engine isn't opened when it fails.
    #[doc(hidden)]
    fn check_defaults() -> Result<(), InvalidInput> {
        Ok(())
    }

    /// Writes all of it, for storage.
    fn write_stored(&self, out: &mut ObjectWriter);

    /// Writes what a client may see.
    fn write_shown(&self, out: &mut ObjectWriter);

    /// Whether the fields fit each other; the message is for the user.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The documents of one mount: storage, typed, with a small cache. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DocumentStore {
    storage: Arc<dyn Storage>,
    cache: Arc<ReadCache<CachedDocument, Error>>,
    /// Writes under way. They run to their end even when their request is dropped, else the cache
    /// could keep what they replaced.
    writes: TaskTracker,
}

/// A document as it was read, and the bytes it was read from.
#[derive(Clone)]
struct CachedDocument {
    document: Arc<dyn Any + Send + Sync>,
    stored_bytes: usize,
}

/// The key in a mount's configuration under which a host says how many bytes of documents may be kept
/// in memory. Beside them names that have no document get an eighth of that.
pub const CACHED_BYTES_CONFIG_KEY: &str = "strongroom_cached_document_bytes";
/// As many where the host says nothing.
pub const DEFAULT_CACHED_BYTES: u64 = 1 << 20;
/// How often a merge is tried again when someone else writes the same document.
const MAX_MERGE_ATTEMPTS: usize = 5;

impl DocumentStore {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        writes: TaskTracker,
        config: &BTreeMap<String, String>,
    ) -> Self {
        let told = config.get(CACHED_BYTES_CONFIG_KEY).and_then(|bytes| bytes.parse().ok());
        let cache_bytes = told.unwrap_or(DEFAULT_CACHED_BYTES);
        // In memory a document is about as large again as it is stored.
        let weigh = |cached: &CachedDocument| cached.stored_bytes.saturating_mul(2);
        Self { storage, cache: Arc::new(ReadCache::new(cache_bytes, weigh)), writes }
    }

    /// The document at the captures of its path: none for `config`, the name for `roles/{name}`.
    pub async fn get<D: Document>(&self, captures: &[&str]) -> Result<Option<Arc<D>>, Error> {
        let key = storage_key::<D>(&RoutePattern::new(D::PATH).storage_key(captures));
        self.get_by_key::<D>(&key).await
    }

    /// Stores a document, replacing what was there.
    pub async fn put<D: Document>(&self, captures: &[&str], document: &D) -> Result<(), Error> {
        let key = storage_key::<D>(&RoutePattern::new(D::PATH).storage_key(captures));
        self.commit_and_invalidate(
            key.clone(),
            StorageBatch::put(key, encode_document(document), D::SEAL_WRAP),
        )
        .await?;
        Ok(())
    }

    /// Makes of the document that is there, if any, the one that is to be. Where the host can, a write
    /// that came in between is not lost: `edit` is asked again.
    pub async fn change<D: Document>(
        &self,
        captures: &[&str],
        edit: impl Fn(Option<D>) -> Result<D, Error>,
    ) -> Result<(), Error> {
        let key = storage_key::<D>(&RoutePattern::new(D::PATH).storage_key(captures));
        for _ in 0..MAX_MERGE_ATTEMPTS {
            let stored = self.storage.get(&key).await?;
            let read = |stored: &StorageEntry| {
                let fields = Fields::from_trusted(&stored.value)
                    .map_err(|_| unreadable_document_error(&key))?;
                D::from_fields(&fields).map_err(|_| unreadable_document_error(&key))
            };
            let document = edit(stored.as_ref().map(read).transpose()?)?;
            let mut batch = StorageBatch::put(&key, encode_document(&document), D::SEAL_WRAP);
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

    /// Removes a document, if it is there.
    pub async fn delete<D: Document>(&self, captures: &[&str]) -> Result<(), Error> {
        self.delete_key(&storage_key::<D>(&RoutePattern::new(D::PATH).storage_key(captures))).await
    }

    pub(crate) async fn delete_key(&self, key: &str) -> Result<(), Error> {
        Ok(self.commit_and_invalidate(key.to_owned(), StorageBatch::delete(key)).await?)
    }

    /// Merges fields into the document at `key`, or makes it. Where the host can, a write that
    /// came in between is not lost: the merge is done again over it.
    pub(crate) async fn merge_fields<D: Document>(
        &self,
        key: &str,
        given: &Fields,
    ) -> Result<(), Error> {
        for _ in 0..MAX_MERGE_ATTEMPTS {
            let stored = self.storage.get(key).await?;
            let mut fields = match &stored {
                Some(stored) => Fields::from_trusted(&stored.value)
                    .map_err(|_| unreadable_document_error(key))?,
                None => Fields::new(),
            };
            for spec in D::FIELDS {
                // A `null` is as good as nothing: the field stays as it is.
                let given = given.get(spec.name).filter(|raw| raw.get() != "null");
                if let Some(raw) = given {
                    fields.set_raw(spec.name, raw.to_owned());
                }
            }
            let document = D::from_fields(&fields).map_err(|e| Error::user(e.to_string()))?;
            document.validate().map_err(Error::user)?;
            let mut batch = StorageBatch::put(key, encode_document(&document), D::SEAL_WRAP);
            if self.storage.is_atomic() {
                batch.preconditions.push(unchanged_precondition(key, stored.as_ref()));
            }
            match self.commit_and_invalidate(key.to_owned(), batch).await {
                Err(StorageError::Precondition(_)) => {}
                done => return Ok(done?),
            }
        }
        Err(Error::write_conflict())
    }

    pub(crate) async fn get_by_key<D: Document>(&self, key: &str) -> Result<Option<Arc<D>>, Error> {
        let cached = self.cache.get_or_load(key, self.load_from_storage::<D>(key)).await?;
        cached.map(|cached| downcast_document(cached, key)).transpose()
    }

    async fn load_from_storage<D: Document>(
        &self,
        key: &str,
    ) -> Result<Option<CachedDocument>, Error> {
        let Some(stored) = self.storage.get(key).await? else { return Ok(None) };
        let fields =
            Fields::from_trusted(&stored.value).map_err(|_| unreadable_document_error(key))?;
        let document = D::from_fields(&fields).map_err(|_| unreadable_document_error(key))?;
        Ok(Some(CachedDocument { document: Arc::new(document), stored_bytes: stored.value.len() }))
    }

    pub(crate) async fn list_names(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        Ok(self.storage.list(folder, after, limit).await?)
    }

    pub(crate) fn invalidate_key(&self, key: &str) {
        self.cache.invalidate(key);
    }

    /// Takes all documents out of memory.
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
            // Also when it failed, which may leave open whether it was applied.
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

fn downcast_document<D: Document>(cached: CachedDocument, key: &str) -> Result<Arc<D>, Error> {
    // Two document types at one key are refused when the engine is built, so this can't differ.
    cached.document.downcast::<D>().map_err(|_| unreadable_document_error(key))
}

/// Where the document at a path lies.
pub(crate) fn storage_key<D: Document>(path: &str) -> String {
    match D::INTERNAL_KEY {
        true => RecordKey::new("document", path).as_str().to_owned(),
        false => path.to_owned(),
    }
}

fn encode_document<D: Document>(document: &D) -> bytes::Bytes {
    let mut out = ObjectWriter::new();
    document.write_stored(&mut out);
    out.into_object().into_bytes()
}

fn unreadable_document_error(key: &str) -> Error {
    Error::internal(format!("the document stored at {key} can't be read by this version"))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use strongroom_sdk_derive::Document;

    use super::*;

    /// What a caller writes, as much as it likes.
    #[derive(Document)]
    #[document(path = "notes/{name}")]
    struct Note {
        /// A text.
        text: String,
    }

    const TEXT_BYTES: usize = 4 << 10;

    /// Has a large note under each name.
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
            let documents =
                DocumentStore::new(Arc::new(LargeNoteStorage), TaskTracker::new(), &config);
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
