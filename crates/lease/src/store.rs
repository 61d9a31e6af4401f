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

use strongroom_barrier::{Batch, Version, View};
use strongroom_types::{ErrorKind, LeaseId, Timestamp, Ttl};

use crate::lease::{Kind, Lease, State};

/// The leases of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeaseStore {
    view: View,
}

/// A lease that was found, with what is needed to change it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The record.
    pub lease: Arc<Lease>,
    /// For changes on condition that it didn't change meanwhile.
    pub version: Version,
}

/// What a new lease is to be.
#[derive(Debug)]
pub struct NewLease {
    /// Its id.
    pub id: LeaseId,
    /// What ends with it.
    pub kind: Kind,
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

impl Error {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::Invalid,
            Self::Contended => ErrorKind::Unavailable,
            Self::Barrier(error) => error.kind(),
        }
    }
}

const ID: &str = "id/";
const DUE: &str = "due/";
const IRREVOCABLE: &str = "irrevocable/";

impl LeaseStore {
    /// Over its view. Reads nothing.
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.view.barrier().clock().now()
    }

    /// Adds a new lease to a batch.
    pub fn add(&self, batch: &mut Batch, new: NewLease) -> Lease {
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
            state: State::Active,
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
    pub async fn get(&self, id: &LeaseId) -> Result<Option<Found>, Error> {
        let key = record_key(id);
        let Some(entry) = self.view.get_uncached(&key).await? else { return Ok(None) };
        let lease = Arc::new(self.view.decode(&key, &entry.value)?);
        Ok(Some(Found { lease, version: entry.version }))
    }

    /// Adds a changed lease to a batch, on condition that nobody changed it meanwhile, and moves
    /// its index entries.
    pub fn replace(&self, batch: &mut Batch, found: &Found, lease: &Lease) {
        let key = record_key(&lease.id);
        self.view.require_unchanged(batch, &key, found.version);
        self.delete_indexes(batch, &found.lease);
        self.view.put_json(batch, &key, lease);
        self.put_indexes(batch, lease);
    }

    /// Adds the removal of a lease and all its index entries, on condition that nobody changed it
    /// meanwhile.
    pub fn remove(&self, batch: &mut Batch, found: &Found) {
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

    /// Entries of the due index after a place in it, the earliest first.
    pub async fn due(&self, after: Option<&str>, limit: usize) -> Result<Vec<DueEntry>, Error> {
        let keys = self.view.keys(DUE, after, limit).await?;
        Ok(keys.into_iter().filter_map(DueEntry::parse).collect())
    }

    /// Whether an index entry says what its lease says. One that doesn't is removed: left alone it
    /// would be due for ever.
    pub async fn is_current(&self, entry: &DueEntry) -> Result<bool, Error> {
        let found = self.get(&entry.id).await?;
        let mut batch = Batch::new();
        let key = record_key(&entry.id);
        match found {
            Some(found) if found.lease.due() == Some(entry.due) => return Ok(true),
            Some(found) => self.view.require_unchanged(&mut batch, &key, found.version),
            None => self.view.require_absent(&mut batch, &key),
        }
        self.view.delete(&mut batch, &entry.key);
        match self.view.commit(batch).await {
            Err(error) if !error.is_precondition() => Err(error.into()),
            _ => Ok(false),
        }
    }

    /// Ids of the leases of a token, after one of them.
    pub async fn of_token(
        &self,
        token: &str,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let after = after.map(|id| token_key(token, id));
        self.ids(&format!("token/{token}/"), after, limit).await
    }

    /// Ids of the leases whose id starts with a prefix, after one of them.
    pub async fn under(
        &self,
        prefix: &str,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let after = after.map(record_key);
        let keys = self.view.keys(&format!("{ID}{prefix}"), after.as_deref(), limit).await?;
        Ok(keys.iter().filter_map(|key| LeaseId::parse(key.get(ID.len()..)?).ok()).collect())
    }

    /// Leases and folders of leases directly under a prefix.
    pub async fn children(&self, prefix: &str, limit: usize) -> Result<Vec<String>, Error> {
        Ok(self.view.children(&format!("{ID}{prefix}"), None, limit).await?)
    }

    /// Ids of irrevocable leases, after one of them.
    pub async fn irrevocable(
        &self,
        after: Option<&LeaseId>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let after = after.map(|id| format!("{IRREVOCABLE}{id}"));
        self.ids(IRREVOCABLE, after, limit).await
    }

    async fn ids(
        &self,
        folder: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<LeaseId>, Error> {
        let keys = self.view.keys(folder, after.as_deref(), limit).await?;
        Ok(keys.iter().filter_map(|key| LeaseId::parse(key.get(folder.len()..)?).ok()).collect())
    }

    fn put_indexes(&self, batch: &mut Batch, lease: &Lease) {
        match lease.due() {
            Some(due) => self.view.put(batch, &due_key(due, &lease.id), Vec::new()),
            None => self.view.put(batch, &format!("{IRREVOCABLE}{}", lease.id), Vec::new()),
        }
    }

    fn delete_indexes(&self, batch: &mut Batch, lease: &Lease) {
        match lease.due() {
            Some(due) => self.view.delete(batch, &due_key(due, &lease.id)),
            None => self.view.delete(batch, &format!("{IRREVOCABLE}{}", lease.id)),
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
        let (time, id) = key.strip_prefix(DUE)?.split_once('/')?;
        let nanos = u64::from_str_radix(time, 16).ok()?;
        let due = Timestamp::from_nanos(i64::try_from(nanos).ok()?);
        let id = LeaseId::parse(id).ok()?;
        Some(Self { key, due, id })
    }
}

fn record_key(id: &LeaseId) -> String {
    format!("{ID}{id}")
}

fn token_key(token: &str, id: &LeaseId) -> String {
    format!("token/{token}/{id}")
}

/// Times before 1970 count as the epoch: they are all long due.
pub(crate) fn due_key(due: Timestamp, id: &LeaseId) -> String {
    format!("{DUE}{:016x}/{id}", due.as_nanos().max(0))
}
