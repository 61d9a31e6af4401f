//! [`LeaseStore`]: the table of leases. A lease consists of a record and index entries, written in
//! one batch:
//!
//! ```text
//! id/<lease id>                the record; in path order, so also the index by path
//! due/<time>/<lease id>        when the expiration manager must handle it; time as 16 hex digits
//! token/<token key>/<lease id> the leases of a token
//! irrevocable/<lease id>       the leases whose revocation is no longer attempted
//! ```

mod id_pages;

pub use id_pages::LeaseIdPages;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_barrier::{Batch, KeyPages, Version, View};
use strongroom_types::{ErrorKind, LeaseId, Timestamp, Ttl};

use crate::lease::{Lease, LeaseKind, LeaseState};

/// The leases of a server: their records and indexes. Cheap to clone. Reads and changes go to the
/// barrier; nothing is cached here.
#[derive(Clone, Debug)]
pub struct LeaseStore {
    view: View,
    /// Whether malformed keys were already logged.
    complained: Arc<AtomicBool>,
}

/// A lease that was found, with the version needed to change it.
#[derive(Clone, Debug)]
pub struct StoredLease {
    /// The decoded record of the lease.
    pub lease: Arc<Lease>,
    /// The version of the record, on which a change is conditional.
    pub version: Version,
}

/// A lease whose revocation is no longer attempted, as listed for operators. It is kept until an
/// operator revokes it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrrevocableLease {
    /// The id of the lease.
    pub id: LeaseId,
    /// Why it could not be revoked.
    pub error: String,
}

/// The properties of a lease to be created by [`LeaseStore::create`]. The values are stored as
/// given; only the id must be new.
#[derive(Debug)]
pub struct NewLease {
    /// The path it is issued at, a slash and a random suffix.
    pub id: LeaseId,
    /// What is revoked when the lease ends.
    pub kind: LeaseKind,
    /// Key of the token it is issued to; `None` if there is none.
    pub token: Option<String>,
    /// When the lease is created.
    pub issued: Timestamp,
    /// Its initial lifetime, counted from `issued`.
    pub ttl: Ttl,
    /// The maximum lifetime the engine sets; zero for the mount's.
    pub max_ttl: Ttl,
    /// Whether the lease can be renewed.
    pub renewable: bool,
}

/// Why an operation of the lease store failed. [`Error::kind`] gives the category that determines
/// the HTTP status code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no lease with this id.
    #[error("lease not found")]
    NotFound,
    /// Too many concurrent requests changed the same lease, and the retries were used up.
    #[error("the lease is being changed by too many at once; try again")]
    Contended,
    /// An error of the barrier or the store below it, including failed preconditions.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

/// Shown as the error of a lease whose record can't be decoded.
pub(crate) const UNREADABLE: &str = "the lease's record can't be read";

impl Error {
    /// Whether a record exists but can't be decrypted or decoded. Retrying doesn't help. The cause
    /// is always [`strongroom_barrier::Error::Tampered`].
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Barrier(strongroom_barrier::Error::Tampered { .. }))
    }

    /// Whether a concurrent change made the operation fail; nothing was written. The operation can
    /// be repeated on what is stored then.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::Barrier(error) if error.is_precondition())
    }

    /// The category of the failure, which determines the HTTP status code. A lease that isn't found
    /// counts as an invalid request.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::Invalid,
            Self::Contended => ErrorKind::Unavailable,
            Self::Barrier(error) => error.kind(),
        }
    }
}

const ID_PREFIX: &str = "id/";
const DUE_PREFIX: &str = "due/";
const IRREVOCABLE_PREFIX: &str = "irrevocable/";

impl LeaseStore {
    /// Creates the store over the view that holds the leases. Reads nothing. Lease records and
    /// their indexes are kept below its prefix.
    pub fn new(view: View) -> Self {
        Self { view, complained: Arc::default() }
    }

    /// The current time of the barrier's clock.
    pub fn now(&self) -> Timestamp {
        self.view.barrier().clock().now()
    }

    /// Adds a new lease to a batch, on condition that its id isn't taken, and returns it.
    pub fn create(&self, batch: &mut Batch, new: NewLease) -> Lease {
        self.create_until(batch, new, None)
    }

    /// As [`LeaseStore::create`], for a lease that renewals don't extend beyond `not_after`. `None`
    /// sets no such limit.
    pub fn create_until(
        &self,
        batch: &mut Batch,
        new: NewLease,
        not_after: Option<Timestamp>,
    ) -> Lease {
        let lease = Lease {
            v: 1,
            id: new.id,
            kind: new.kind,
            token: new.token,
            issued: new.issued,
            expires: new.issued.plus(new.ttl.as_duration()),
            last_renewal: None,
            ttl: new.ttl,
            max_ttl: new.max_ttl,
            renewable: new.renewable,
            not_after,
            state: LeaseState::Active,
        };
        let key = record_key(&lease.id);
        self.view.require_absent(batch, &key);
        self.put_record(batch, &key, &lease);
        self.put_indexes(batch, &lease);
        if let Some(token) = &lease.token {
            self.view.put(batch, &token_key(token, &lease.id), Vec::new());
        }
        lease
    }

    /// Reads the lease with this id; `None` if there is none. Bypasses the cache, because a lease
    /// is read only once or twice.
    ///
    /// # Errors
    ///
    /// If the record can't be decoded, or the error of the barrier.
    pub async fn get(&self, id: &LeaseId) -> Result<Option<StoredLease>, Error> {
        let key = record_key(id);
        let Some(entry) = self.view.get_uncached(&key).await? else { return Ok(None) };
        let lease = Arc::new(self.view.decode_json(&key, &entry.value)?);
        Ok(Some(StoredLease { lease, version: entry.version }))
    }

    /// Adds a changed lease and its moved index entries to a batch, on condition that the lease
    /// didn't change meanwhile.
    pub fn update(&self, batch: &mut Batch, found: &StoredLease, lease: &Lease) {
        let key = record_key(&lease.id);
        self.view.require_unchanged(batch, &key, found.version);
        self.delete_indexes(batch, &found.lease);
        self.put_record(batch, &key, lease);
        self.put_indexes(batch, lease);
    }

    /// Adds the removal of a lease and all its index entries, on condition that it didn't change
    /// meanwhile.
    pub fn remove(&self, batch: &mut Batch, found: &StoredLease) {
        let key = record_key(&found.lease.id);
        self.view.require_unchanged(batch, &key, found.version);
        self.delete_indexes(batch, &found.lease);
        self.view.delete(batch, &key);
        if let Some(token) = &found.lease.token {
            self.view.delete(batch, &token_key(token, &found.lease.id));
        }
    }

    /// Applies a batch, which may also contain changes of other views; see [`View::commit`].
    ///
    /// # Errors
    ///
    /// As [`View::commit`].
    ///
    /// # Cancel safety
    ///
    /// As [`View::commit`].
    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.view.commit(batch).await?;
        Ok(())
    }

    /// Reads the due index after the key `after`, page by page. The earliest entries are first;
    /// keys that can't be parsed are left out.
    pub fn due_pages(&self, after: Option<String>) -> DuePages<'_> {
        DuePages { store: self, pages: self.view.key_pages(DUE_PREFIX).start_after(after) }
    }

    /// The lease an index entry refers to, if it is still due at that time. An outdated entry is
    /// deleted; otherwise it would stay due. A lease whose record can't be decoded becomes
    /// irrevocable; otherwise retrying it would hold up all others.
    ///
    /// # Errors
    ///
    /// The error of the barrier, except for a record that can't be decoded.
    ///
    /// # Cancel safety
    ///
    /// A deletion of an index entry that has begun completes even if the future is dropped.
    pub async fn resolve_due_entry(&self, entry: &DueEntry) -> Result<Option<StoredLease>, Error> {
        let found = match self.get(&entry.id).await {
            Err(error) if error.is_unreadable() => {
                self.mark_unreadable_irrevocable(&entry.id, Some(entry)).await?;
                return Ok(None);
            }
            found => found?,
        };
        let mut batch = Batch::new();
        let key = record_key(&entry.id);
        match found {
            Some(found) if found.lease.due_at() == Some(entry.due) => return Ok(Some(found)),
            Some(found) => self.view.require_unchanged(&mut batch, &key, found.version),
            None => self.view.require_absent(&mut batch, &key),
        }
        self.view.delete(&mut batch, &entry.key);
        match self.view.commit(batch).await {
            Err(error) if !error.is_precondition() => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// Marks a lease whose record can't be decoded as irrevocable, and deletes its entry from the
    /// due index. If that entry isn't known, it is handled when it is due.
    pub(crate) async fn mark_unreadable_irrevocable(
        &self,
        id: &LeaseId,
        entry: Option<&DueEntry>,
    ) -> Result<(), Error> {
        tracing::error!(lease = %id, "the lease's record can't be read; kept as irrevocable");
        let mut batch = Batch::new();
        self.view.put(&mut batch, &irrevocable_key(id), Vec::new());
        if let Some(entry) = entry {
            self.view.delete(&mut batch, &entry.key);
        }
        self.commit(batch).await
    }

    /// Adds the removal of a lease whose record can't be decoded. Its entry in the due index is
    /// deleted when it is due.
    pub fn remove_unreadable(&self, batch: &mut Batch, id: &LeaseId) {
        self.view.delete(batch, &record_key(id));
        self.view.delete(batch, &irrevocable_key(id));
    }

    /// Reads the ids of all leases of a token, page by page.
    pub fn token_id_pages(&self, token: &str) -> LeaseIdPages<'_> {
        let folder = format!("token/{token}/");
        let keys = self.view.key_pages(folder.clone());
        LeaseIdPages { store: self, keys, folder: folder.into() }
    }

    /// Lists the ids that start with `prefix`, at most the first `limit`.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn ids_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<LeaseId>, Error> {
        self.id_pages(prefix).read_first(limit).await
    }

    /// Reads the ids of all leases whose id begins with `prefix`, page by page.
    pub fn id_pages(&self, prefix: &str) -> LeaseIdPages<'_> {
        let keys = self.view.key_pages(format!("{ID_PREFIX}{prefix}"));
        LeaseIdPages { store: self, keys, folder: ID_PREFIX.into() }
    }

    /// Reads the ids of all irrevocable leases, page by page.
    pub fn irrevocable_id_pages(&self) -> LeaseIdPages<'_> {
        let keys = self.view.key_pages(IRREVOCABLE_PREFIX);
        LeaseIdPages { store: self, keys, folder: IRREVOCABLE_PREFIX.into() }
    }

    /// Lists the leases and folders directly under `prefix`; names of folders end in a slash.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn list_children(&self, prefix: &str, limit: usize) -> Result<Vec<String>, Error> {
        Ok(self.view.list_children(&format!("{ID_PREFIX}{prefix}"), None, limit).await?)
    }

    /// Lists the ids of irrevocable leases, at most the first `limit`.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn irrevocable_ids(&self, limit: usize) -> Result<Vec<LeaseId>, Error> {
        self.irrevocable_id_pages().read_first(limit).await
    }

    /// Lists irrevocable leases with their errors, also those whose record can't be decoded.
    ///
    /// # Errors
    ///
    /// The error of the barrier, except for records that can't be decoded.
    pub async fn irrevocable_leases(&self, limit: usize) -> Result<Vec<IrrevocableLease>, Error> {
        let ids = self.irrevocable_ids(limit).await?;
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            let error = match self.get(&id).await {
                Ok(Some(found)) => match &found.lease.state {
                    LeaseState::Irrevocable { error } => error.clone(),
                    _ => continue,
                },
                Ok(None) => continue,
                Err(error) if error.is_unreadable() => UNREADABLE.to_owned(),
                Err(error) => return Err(error),
            };
            all.push(IrrevocableLease { id, error });
        }
        Ok(all)
    }

    /// Parses keys that were read under a prefix. Those that can't be parsed are left out.
    fn parse_keys<T>(
        &self,
        prefix: &str,
        keys: Vec<String>,
        parse: impl Fn(String) -> Option<T>,
    ) -> Vec<T> {
        let read = keys.len();
        let parsed: Vec<T> = keys.into_iter().filter_map(parse).collect();
        // Logged only once, because the same keys are read again and again.
        if parsed.len() < read && !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(under = prefix, "keys in the lease table can't be read");
        }
        parsed
    }

    fn put_record(&self, batch: &mut Batch, key: &str, lease: &Lease) {
        match lease.is_seal_wrapped() {
            true => self.view.put_json_seal_wrapped(batch, key, lease),
            false => self.view.put_json(batch, key, lease),
        }
    }

    fn put_indexes(&self, batch: &mut Batch, lease: &Lease) {
        match lease.due_at() {
            Some(due) => self.view.put(batch, &due_key(due, &lease.id), Vec::new()),
            None => self.view.put(batch, &irrevocable_key(&lease.id), Vec::new()),
        }
    }

    fn delete_indexes(&self, batch: &mut Batch, lease: &Lease) {
        match lease.due_at() {
            Some(due) => self.view.delete(batch, &due_key(due, &lease.id)),
            None => self.view.delete(batch, &irrevocable_key(&lease.id)),
        }
    }
}

/// The entries of the due index, read a page at a time. [`LeaseStore::due_pages`] creates it.
#[derive(Debug)]
pub struct DuePages<'a> {
    store: &'a LeaseStore,
    pages: KeyPages<'a>,
}

impl DuePages<'_> {
    /// Reads the next page; `None` after the last one. A page is empty if none of its keys can be
    /// parsed.
    ///
    /// # Errors
    ///
    /// The error of the barrier. The next call reads the same page again.
    ///
    /// # Cancel safety
    ///
    /// Writes nothing. If the future is dropped, the next call reads the same page again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<DueEntry>>, Error> {
        let keys = self.pages.next_page().await?;
        Ok(keys.map(|keys| self.store.parse_keys(DUE_PREFIX, keys, DueEntry::parse)))
    }
}

/// One entry of the due index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueEntry {
    /// The key of the entry, which is also its position in the index.
    pub key: String,
    /// When the lease is due.
    pub due: Timestamp,
    /// The lease that is due.
    pub id: LeaseId,
}

impl DueEntry {
    fn parse(key: String) -> Option<Self> {
        let (time, id) = key.strip_prefix(DUE_PREFIX)?.split_once('/')?;
        let nanos = u64::from_str_radix(time, 16).ok()?;
        let due = Timestamp::from_nanos(i64::try_from(nanos).ok()?);
        let id = LeaseId::parse(id).ok()?;
        Some(Self { key, due, id })
    }
}

fn record_key(id: &LeaseId) -> String {
    format!("{ID_PREFIX}{id}")
}

fn irrevocable_key(id: &LeaseId) -> String {
    format!("{IRREVOCABLE_PREFIX}{id}")
}

fn token_key(token: &str, id: &LeaseId) -> String {
    format!("token/{token}/{id}")
}

/// Times before 1970 are stored as the epoch, since they are due anyway.
pub(crate) fn due_key(due: Timestamp, id: &LeaseId) -> String {
    format!("{DUE_PREFIX}{:016x}/{id}", due.as_nanos().max(0))
}
