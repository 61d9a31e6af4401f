//! [`LeaseStore`]: the table of leases. One lease is one record and its index entries, written in
//! one batch:
//!
//! ```text
//! id/<lease id>                the record; in path order, so also the index by path
//! due/<time>/<lease id>        when the keeper must look at it; time as 16 hex digits
//! token/<token key>/<lease id> the leases of a token
//! irrevocable/<lease id>       the leases nobody tries to revoke any more
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_barrier::{Batch, Version, View};
use strongroom_types::{ErrorKind, LeaseId, Timestamp, Ttl};

use crate::lease::{Lease, LeaseKind, LeaseState};

/// The leases of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeaseStore {
    view: View,
    /// It has been said that keys are there that say nothing.
    complained: Arc<AtomicBool>,
}

/// A lease that was found, with what is needed to change it.
#[derive(Clone, Debug)]
pub struct StoredLease {
    /// The record.
    pub lease: Arc<Lease>,
    /// For changes on condition that it didn't change meanwhile.
    pub version: Version,
}

/// A lease nobody tries to revoke any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IrrevocableLease {
    /// Its id.
    pub id: LeaseId,
    /// Why.
    pub error: String,
}

/// What a new lease is to be.
#[derive(Debug)]
pub struct NewLease {
    /// Its id.
    pub id: LeaseId,
    /// What ends with it.
    pub kind: LeaseKind,
    /// The name in storage of the token it is issued to.
    pub token: Option<String>,
    /// When it is issued.
    pub issued: Timestamp,
    /// Its lifetime.
    pub ttl: Ttl,
    /// The longest lifetime the engine gives it.
    pub max_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such lease.
    #[error("lease not found")]
    NotFound,
    /// Too many change one lease at the same time.
    #[error("the lease is being changed by too many at once; try again")]
    Contended,
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

/// What is shown of a lease whose record can't be read.
pub(crate) const UNREADABLE: &str = "the lease's record can't be read";

impl Error {
    /// Whether a record is there and can't be read. Trying again doesn't help.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Barrier(strongroom_barrier::Error::Tampered { .. }))
    }

    /// Whether somebody else changed the same meanwhile, and nothing was done.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::Barrier(error) if error.is_precondition())
    }

    /// The sort of failure.
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
    /// Over its view. Reads nothing.
    pub fn new(view: View) -> Self {
        Self { view, complained: Arc::default() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.view.barrier().clock().now()
    }

    /// Adds a new lease to a batch.
    pub fn create(&self, batch: &mut Batch, new: NewLease) -> Lease {
        self.create_until(batch, new, None)
    }

    /// The same, for a lease that no renewal carries beyond a moment.
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
        self.view.put_json(batch, &key, &lease);
        self.put_indexes(batch, &lease);
        if let Some(token) = &lease.token {
            self.view.put(batch, &token_key(token, &lease.id), Vec::new());
        }
        lease
    }

    /// The lease of this id. Leases are read once or twice in their life, so they take no room in
    /// the cache.
    pub async fn get(&self, id: &LeaseId) -> Result<Option<StoredLease>, Error> {
        let key = record_key(id);
        let Some(entry) = self.view.get_uncached(&key).await? else { return Ok(None) };
        let lease = Arc::new(self.view.decode_json(&key, &entry.value)?);
        Ok(Some(StoredLease { lease, version: entry.version }))
    }

    /// Adds a changed lease to a batch, on condition that nobody changed it meanwhile, and moves
    /// its index entries.
    pub fn update(&self, batch: &mut Batch, found: &StoredLease, lease: &Lease) {
        let key = record_key(&lease.id);
        self.view.require_unchanged(batch, &key, found.version);
        self.delete_indexes(batch, &found.lease);
        self.view.put_json(batch, &key, lease);
        self.put_indexes(batch, lease);
    }

    /// Adds the removal of a lease and all its index entries, on condition that nobody changed it
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

    /// Applies a batch.
    pub async fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.view.commit(batch).await?;
        Ok(())
    }

    /// Entries of the due index after a place in it, the earliest first. Fewer than `limit` are all
    /// there are.
    pub async fn due_entries(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DueEntry>, Error> {
        self.list_parsed(DUE_PREFIX, after.map(str::to_owned), limit, DueEntry::parse).await
    }

    /// The lease an index entry speaks of, if it still says the same. An entry that doesn't is
    /// removed: left alone it would be due for ever. A lease whose record can't be read is set
    /// aside: tried again and again it would hold up all others.
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

    /// Puts a lease whose record can't be read among the irrevocable ones, and takes its entry out
    /// of the due index. Where that entry isn't known, the keeper meets it when it is due.
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

    /// Adds the removal of a lease whose record can't be read. Its entry in the due index goes when
    /// it is due.
    pub fn remove_unreadable(&self, batch: &mut Batch, id: &LeaseId) {
        self.view.delete(batch, &record_key(id));
        self.view.delete(batch, &irrevocable_key(id));
    }

    /// Ids of the leases of a token, after one of them.
    pub async fn ids_by_token(
        &self,
        token: &str,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let after = after.map(|id| token_key(token, id));
        self.list_ids(&format!("token/{token}/"), after, limit).await
    }

    /// Ids of the leases whose id starts with a prefix, after one of them.
    pub async fn ids_by_prefix(
        &self,
        prefix: &str,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let (folder, after) = (format!("{ID_PREFIX}{prefix}"), after.map(record_key));
        let parse = |key: String| LeaseId::parse(key.get(ID_PREFIX.len()..)?).ok();
        self.list_parsed(&folder, after, limit, parse).await
    }

    /// Leases and folders of leases directly under a prefix.
    pub async fn list_children(&self, prefix: &str, limit: usize) -> Result<Vec<String>, Error> {
        Ok(self.view.list_children(&format!("{ID_PREFIX}{prefix}"), None, limit).await?)
    }

    /// Ids of irrevocable leases, after one of them.
    pub async fn irrevocable_ids(
        &self,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        self.list_ids(IRREVOCABLE_PREFIX, after.map(irrevocable_key), limit).await
    }

    /// Irrevocable leases and why they are, also those whose record can't be read.
    pub async fn irrevocable_leases(&self, limit: usize) -> Result<Vec<IrrevocableLease>, Error> {
        let ids = self.irrevocable_ids(None, limit).await?;
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

    async fn list_ids(
        &self,
        folder: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let parse = |key: String| LeaseId::parse(key.get(folder.len()..)?).ok();
        self.list_parsed(folder, after, limit, parse).await
    }

    /// What the keys under a prefix say, `limit` of them if there are as many. Keys that say nothing
    /// are passed over, and don't make a page look like the last one.
    async fn list_parsed<T>(
        &self,
        prefix: &str,
        mut after: Option<String>,
        limit: usize,
        parse: impl Fn(String) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        loop {
            let wanted = limit - all.len();
            let keys = self.view.list_keys(prefix, after.as_deref(), wanted).await?;
            let is_last = keys.len() < wanted;
            after = keys.last().cloned();
            let (read, known) = (keys.len(), all.len());
            all.extend(keys.into_iter().filter_map(&parse));
            // Once: the same keys are met again and again.
            if all.len() - known < read && !self.complained.swap(true, Ordering::Relaxed) {
                tracing::error!(under = prefix, "keys in the lease table can't be read");
            }
            if is_last || all.len() >= limit {
                return Ok(all);
            }
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

/// One entry of the due index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueEntry {
    /// Its place in the index.
    pub key: String,
    /// When.
    pub due: Timestamp,
    /// Which lease.
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

/// Times before 1970 count as the epoch: they are all long due.
pub(crate) fn due_key(due: Timestamp, id: &LeaseId) -> String {
    format!("{DUE_PREFIX}{:016x}/{id}", due.as_nanos().max(0))
}
