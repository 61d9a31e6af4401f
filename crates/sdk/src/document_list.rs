//! Lists of documents: the names of a collection in pages, its documents one after the other, and
//! the response to a client's list, with the fields that are declared as `listed`.
//!
//! ```
//! use strongroom_sdk::{Blueprint, CommaList, Context, Document, Error, Listing, Response};
//!
//! /// A set of permissions.
//! #[derive(Document)]
//! #[document(path = "permissionset/{name}")]
//! struct PermissionSet {
//!     /// Repositories of the set. The list shows them.
//!     #[field(listed)]
//!     repositories: CommaList,
//! }
//!
//! /// Clients of an earlier version list the sets at this path.
//! async fn list_sets(context: Context, listing: Listing) -> Result<Response, Error> {
//!     context.documents().list_response::<PermissionSet>(&[], &listing).await
//! }
//!
//! /// Whether any set has this repository; reads one set at a time.
//! async fn is_used(context: &Context, repository: &str) -> Result<bool, Error> {
//!     let mut sets = context.documents().scan::<PermissionSet>(&[])?;
//!     while let Some((_name, set)) = sets.next_document().await? {
//!         if set.repositories.0.iter().any(|it| it == repository) {
//!             return Ok(true);
//!         }
//!     }
//!     Ok(false)
//! }
//!
//! let blueprint = Blueprint::new("repositories", "1.0.0")
//!     .document::<PermissionSet>()
//!     .list("permissionsets/{name}", "Lists the sets of permissions.", list_sets);
//! # let _ = (blueprint, is_used);
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use serde_json::value::RawValue;
use strongroom_engine::{DataResponse, RECORD_PREFIX};
use strongroom_schema::field::build_object;
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::{Fields, RawObject};

use crate::document::{Document, DocumentStore, name_error, storage_key};
use crate::{Error, Listing, Response};

/// The maximum number of names in a [`DocumentPage`].
pub const MAX_PAGE_NAMES: usize = 1000;
/// The number of names that a [`DocumentScan`] keeps in memory.
const SCAN_PAGE_NAMES: usize = 256;
/// The maximum number of names of a client's list that have details, and of the bytes of these.
const MAX_DETAILED_NAMES: usize = 1000;
const MAX_DETAILED_BYTES: usize = 1 << 20;

/// A part of the names of a collection, as [`DocumentStore::list`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentPage {
    /// The names, sorted by their bytes. Those of folders end in a slash.
    pub names: Vec<String>,
    /// What to pass as `after` for the next page; `None` if this is the last one.
    pub next: Option<String>,
}

impl DocumentStore {
    /// Lists the names of a collection that sort after `after`, at most `limit` of them and never
    /// more than [`MAX_PAGE_NAMES`], which is also what a limit of 0 means. `captures` are those of
    /// the path above the last one: none for `roles/{name}`. For names with slashes (`{name..}`),
    /// one more value is a folder; without it the list begins at the top.
    ///
    /// ```
    /// # use strongroom_sdk::{Context, Document, Error};
    /// # /// A role.
    /// # #[derive(Document)]
    /// # #[document(path = "roles/{name}")]
    /// # struct Role {}
    /// async fn count_roles(context: &Context) -> Result<usize, Error> {
    ///     let (mut count, mut after) = (0, None);
    ///     loop {
    ///         let page = context.documents().list::<Role>(&[], after.as_deref(), 0).await?;
    ///         count += page.names.len();
    ///         after = page.next;
    ///         if after.is_none() {
    ///             return Ok(count);
    ///         }
    ///     }
    /// }
    /// # let _ = count_roles;
    /// ```
    ///
    /// # Errors
    ///
    /// A storage error; an internal error if the blueprint doesn't declare the document, or its path
    /// is no collection or has another number of captures; a user error if a capture isn't a valid
    /// name.
    pub async fn list<D: Document>(
        &self,
        captures: &[&str],
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, Error> {
        let folder = self.folder_of::<D>(captures)?;
        let limit = match limit {
            0 => MAX_PAGE_NAMES,
            limit => limit.min(MAX_PAGE_NAMES),
        };
        let mut names = self.list_names(&folder, after, limit + 1).await?;
        let has_more = names.len() > limit;
        names.truncate(limit);
        let next = names.last().filter(|_| has_more).cloned();
        Ok(DocumentPage { names, next })
    }

    /// Reads the documents of a collection one after the other, in the order of their names, those
    /// in folders included. `captures` are as for [`list`](Self::list). At most 256 names and one
    /// document are in memory, and the read cache isn't used. Documents that are written or deleted
    /// meanwhile may or may not be seen.
    ///
    /// # Errors
    ///
    /// An internal error if the blueprint doesn't declare the document, or its path is no collection
    /// or has another number of captures; a user error if a capture isn't a valid name.
    pub fn scan<D: Document>(&self, captures: &[&str]) -> Result<DocumentScan<D>, Error> {
        let root = self.folder_of::<D>(captures)?;
        let above = RoutePattern::new(D::PATH).captures().count().saturating_sub(1);
        // With a folder among the captures, the names begin with it.
        let prefix = captures.get(above).map(|folder| folder.trim_end_matches('/'));
        let prefix = prefix.map(|folder| format!("{}/", self.canonical_name::<D>(folder)));
        Ok(DocumentScan {
            store: self.clone(),
            root,
            prefix: prefix.unwrap_or_default(),
            open_folders: vec![OpenFolder::default()],
            names: VecDeque::new(),
            document: PhantomData,
        })
    }

    /// The response to a client's list of a collection: what the collection's own path responds.
    /// Use it to list a collection at another path, whose `listing` it takes. `captures` are as for
    /// [`list`](Self::list); the folder of the listing is below them.
    ///
    /// # Errors
    ///
    /// As those of [`list`](Self::list).
    pub async fn list_response<D: Document>(
        &self,
        captures: &[&str],
        listing: &Listing,
    ) -> Result<Response, Error> {
        let below = listing.folder.trim_end_matches('/');
        let folder = match below {
            "" => self.folder_of::<D>(captures)?,
            below => self.folder_of::<D>(&[captures, &[below]].concat())?,
        };
        let found = self.list_with_details::<D>(&folder, listing).await?;
        Ok(found.map_or_else(Response::not_found, Response::from_data))
    }

    /// Lists a storage folder with the details of its documents; `None` if there are no names.
    pub(crate) async fn list_with_details<D: Document>(
        &self,
        folder: &str,
        listing: &Listing,
    ) -> Result<Option<DataResponse>, Error> {
        let names = self.list_names(folder, listing.after.as_deref(), listing.limit).await?;
        if names.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields::new();
        fields.set("keys", &names);
        if D::listed_fields().is_empty() {
            return Ok(Some(DataResponse::new(fields.to_object())));
        }
        let (mut details, mut bytes, mut warnings) = (Fields::new(), 0, Vec::new());
        for (index, name) in names.iter().filter(|name| !name.ends_with('/')).enumerate() {
            if index >= MAX_DETAILED_NAMES || bytes > MAX_DETAILED_BYTES {
                warnings.push(format!(
                    "key_info has the first {index} names only; use limit and after to list the \
                     others with their details"
                ));
                break;
            }
            let key = format!("{folder}{name}");
            // It may have been deleted meanwhile.
            let Some(document) = self.read_uncached::<D>(&key).await? else { continue };
            let listed = raw_value(&build_object(|out| document.write_listed(out)))?;
            bytes += name.len() + listed.get().len();
            details.set_raw(name, listed);
        }
        if !details.is_empty() {
            fields.set_raw("key_info", raw_value(&details.to_object())?);
        }
        Ok(Some(DataResponse { warnings, ..DataResponse::new(fields.to_object()) }))
    }

    /// The names in a storage folder. Records, which may lie beside documents, are left out.
    pub(crate) async fn list_names(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut names = self.storage().list(folder, after, limit).await?;
        if folder.is_empty() {
            names.retain(|name| !name.starts_with(RECORD_PREFIX));
        }
        Ok(names)
    }

    /// The storage folder of the documents with these captures above the last one.
    fn folder_of<D: Document>(&self, captures: &[&str]) -> Result<String, Error> {
        self.check_declared::<D>()?;
        let names: Vec<_> = captures.iter().map(|name| self.canonical_name::<D>(name)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let folder = RoutePattern::new(D::PATH).folder_key(&names).map_err(name_error)?;
        Ok(storage_key::<D>(&folder))
    }
}

/// Reads the documents of a collection one after the other; see [`DocumentStore::scan`].
pub struct DocumentScan<D> {
    store: DocumentStore,
    /// The storage folder of the scan.
    root: String,
    /// What the names of the documents begin with.
    prefix: String,
    /// The folders that have been entered and not finished, relative to the root.
    open_folders: Vec<OpenFolder>,
    /// Names of the innermost folder that were read and not yet handled.
    names: VecDeque<String>,
    document: PhantomData<fn() -> D>,
}

/// A folder of a [`DocumentScan`].
#[derive(Default)]
struct OpenFolder {
    path: String,
    /// The last name that was handled.
    after: Option<String>,
    /// Whether the names behind those that were read have to be listed.
    is_listed: bool,
}

impl<D: Document> DocumentScan<D> {
    /// Reads the next document and its name, which is the last capture of its path. `None` at the
    /// end.
    ///
    /// # Errors
    ///
    /// An internal error if a document can't be parsed by this version: the next call continues
    /// behind it. A storage error: the next call tries again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the next call may begin again with the same document, and skips
    /// none.
    pub async fn next_document(&mut self) -> Result<Option<(String, D)>, Error> {
        loop {
            let Some(folder) = self.open_folders.last_mut() else { return Ok(None) };
            let Some(name) = self.names.front() else {
                if folder.is_listed {
                    self.open_folders.pop();
                    continue;
                }
                let path = format!("{}{}", self.root, folder.path);
                let after = folder.after.as_deref();
                let names = self.store.list_names(&path, after, SCAN_PAGE_NAMES).await?;
                folder.is_listed = names.len() < SCAN_PAGE_NAMES;
                self.names = names.into();
                continue;
            };
            let relative = format!("{}{name}", folder.path);
            if name.ends_with('/') {
                folder.after = self.names.pop_front();
                if RoutePattern::new(D::PATH).ends_in_rest() {
                    // The names behind it are listed again afterwards, so that one page is kept.
                    folder.is_listed = folder.is_listed && self.names.is_empty();
                    self.names.clear();
                    self.open_folders.push(OpenFolder { path: relative, ..OpenFolder::default() });
                }
                continue;
            }
            let key = format!("{}{relative}", self.root);
            let stored = self.store.read_uncached::<D>(&key).await;
            if !stored.as_ref().is_err_and(Error::is_storage) {
                folder.after = self.names.pop_front();
            }
            if let Some(document) = stored? {
                return Ok(Some((format!("{}{relative}", self.prefix), document)));
            }
        }
    }
}

impl<D> fmt::Debug for DocumentScan<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentScan").field("root", &self.root).finish_non_exhaustive()
    }
}

fn raw_value(object: &RawObject) -> Result<Box<RawValue>, Error> {
    let unreadable = |cause| Error::internal_caused_by("a list's details are no JSON", cause);
    serde_json::from_slice(object.as_bytes()).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use strongroom_engine::{Storage, StorageBatch, StorageEntry, StorageError};
    use strongroom_sdk_derive::Document;

    use super::*;

    /// One of many documents.
    #[derive(Document)]
    #[document(path = "notes/{name..}")]
    struct Note {}

    const NOTES: usize = 3000;

    /// Storage with many notes and with a folder, which counts and fails when it is told to.
    #[derive(Debug, Default)]
    struct ManyNotes {
        largest_page: AtomicUsize,
        reads: AtomicUsize,
        fails: AtomicBool,
    }

    impl ManyNotes {
        fn check(&self) -> Result<(), StorageError> {
            match self.fails.swap(false, Ordering::Relaxed) {
                true => Err(StorageError::Failed("injected".to_owned())),
                false => Ok(()),
            }
        }
    }

    #[async_trait]
    impl Storage for ManyNotes {
        async fn get(&self, _: &str) -> Result<Option<StorageEntry>, StorageError> {
            self.check()?;
            self.reads.fetch_add(1, Ordering::Relaxed);
            Ok(Some(StorageEntry { value: "{}".into(), version: 1, seal_wrap: false }))
        }

        async fn list(
            &self,
            folder: &str,
            after: Option<&str>,
            limit: usize,
        ) -> Result<Vec<String>, StorageError> {
            self.check()?;
            self.largest_page.fetch_max(limit, Ordering::Relaxed);
            let inner = folder.contains("n1000/");
            let name = move |number| match number {
                1000 if !inner => "n1000/".to_owned(),
                number => format!("n{number:04}"),
            };
            let names = (0..if inner { 300 } else { NOTES }).map(name);
            let names = names.filter(|name| after.is_none_or(|after| name.as_str() > after));
            Ok(names.take(limit).collect())
        }

        async fn commit(&self, _: StorageBatch) -> Result<(), StorageError> {
            Ok(())
        }

        fn is_atomic(&self) -> bool {
            true
        }
    }

    fn note_store(storage: &Arc<ManyNotes>) -> DocumentStore {
        DocumentStore::of_document::<Note>(storage.clone(), &BTreeMap::new())
    }

    #[tokio::test]
    async fn no_list_and_no_scan_loads_more_than_a_page() {
        let storage = Arc::new(ManyNotes::default());
        let notes = note_store(&storage);
        let (mut names, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = notes.list::<Note>(&[], after.as_deref(), usize::MAX - 1).await.unwrap();
            assert!(page.names.len() <= MAX_PAGE_NAMES);
            names.extend(page.names);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(names.len(), NOTES);
        assert_eq!(storage.largest_page.swap(0, Ordering::Relaxed), MAX_PAGE_NAMES + 1);

        let mut scan = notes.scan::<Note>(&[]).unwrap();
        let (mut seen, mut failures) = (Vec::new(), 0);
        loop {
            // Each attempt fails once: the scan then goes on where it was.
            storage.fails.store(true, Ordering::Relaxed);
            match scan.next_document().await {
                Ok(None) => break,
                Ok(Some((name, _))) => seen.push(name),
                Err(error) => {
                    assert!(error.is_storage());
                    failures += 1;
                    let Some((name, _)) = scan.next_document().await.unwrap() else { break };
                    seen.push(name);
                }
            }
            assert!(scan.names.len() < SCAN_PAGE_NAMES);
            assert_eq!(storage.reads.load(Ordering::Relaxed), seen.len());
        }
        assert_eq!(seen.len(), NOTES - 1 + 300);
        assert!(seen.is_sorted(), "each document once, in order");
        assert!(failures >= seen.len());
        assert_eq!(storage.largest_page.load(Ordering::Relaxed), SCAN_PAGE_NAMES);
    }
}
