//! The open database file of the tree: all uses of redb.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, Table, TableDefinition};

use super::disk::DiskFile;
use super::io_errors::classify_io_error;
use super::memtable::LatestChange;
use super::tree_file::{FileHealth, ShadowBackend, TreeFile};
use crate::memory::scan_start;
use crate::{Error, PhysicalEntry, Version};

/// Maps a key to the version (8 bytes, little-endian) followed by the value.
const ENTRIES_TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");
/// Maps [`APPLIED_KEY`] to the last version that is in the tree.
const META_TABLE: TableDefinition<&str, u64> = TableDefinition::new("meta");
const APPLIED_KEY: &str = "applied";
const VERSION_BYTES: usize = 8;

/// The open database. After its first fault it must be reopened.
#[derive(Debug)]
pub(super) struct TreeDatabase {
    database: Database,
    health: Arc<FileHealth>,
    shadow: bool,
}

/// How to open the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OpenMode {
    /// Read the whole file and check every page.
    pub(super) verify: bool,
    /// Keep writes in memory, for reads only.
    pub(super) shadow: bool,
}

impl TreeDatabase {
    /// Opens the file; redb creates a database in an empty one.
    pub(super) fn open(
        file: Box<dyn DiskFile>,
        cache_bytes: usize,
        how: OpenMode,
    ) -> Result<Self, Error> {
        if how.verify {
            // Pages whose write failed may still be cached as if it had succeeded.
            file.drop_page_cache();
        }
        let health = Arc::new(FileHealth::default());
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(how.verify);
        let open = || {
            if how.shadow {
                let shadow = ShadowBackend::new(file, Arc::clone(&health));
                let shadow =
                    shadow.map_err(|error| classify_io_error(&error, "opening the tree"))?;
                builder.create_with_backend(shadow).map_err(tree_error)
            } else {
                let file = TreeFile::new(file, Arc::clone(&health));
                builder.create_with_backend(file).map_err(tree_error)
            }
        };
        let database =
            catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(unreadable_error()))?;
        Ok(Self { database, health, shadow: how.shadow })
    }

    /// The faults of the file so far.
    pub(super) fn health(&self) -> &Arc<FileHealth> {
        &self.health
    }

    /// Whether it can only be read, with writes kept in memory.
    pub(super) fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Creates the tables of an empty tree.
    pub(super) fn create_tables(self) -> Result<(), Error> {
        let transaction = self.database.begin_write().map_err(tree_error)?;
        transaction.open_table(ENTRIES_TABLE).map_err(tree_error)?;
        transaction
            .open_table(META_TABLE)
            .map_err(tree_error)?
            .insert(APPLIED_KEY, 0)
            .map_err(tree_error)?;
        transaction.commit().map_err(tree_error)?;
        self.database.close().map_err(tree_error)
    }

    /// Runs code that uses redb, which may panic on a file modified from outside. A panic becomes
    /// an error, and the file must be verified before it is used again.
    pub(super) fn catch_panic<T>(
        &self,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            self.health.mark_suspect();
            Err(unreadable_error())
        })
    }

    /// The version up to which the tree is complete.
    pub(super) fn applied_version(&self) -> Result<Version, Error> {
        let transaction = self.database.begin_read().map_err(tree_error)?;
        let meta = transaction.open_table(META_TABLE).map_err(tree_error)?;
        let applied =
            meta.get(APPLIED_KEY).map_err(tree_error)?.map(|applied| Version(applied.value()));
        applied.ok_or_else(|| Error::Corrupt("the tree does not say what it holds".to_owned()))
    }

    pub(super) fn begin_read(&self) -> Result<TreeSnapshot, Error> {
        self.database.begin_read().map(TreeSnapshot).map_err(tree_error)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        let table = self.begin_read()?.entries_table()?;
        let stored = table.get(key).map_err(tree_error)?;
        stored.map(|stored| decode_entry(stored.value())).transpose()
    }

    pub(super) fn version_of(&self, key: &str) -> Result<Option<Version>, Error> {
        let table = self.begin_read()?.entries_table()?;
        let stored = table.get(key).map_err(tree_error)?;
        stored.map(|stored| decode_version(&mut stored.value())).transpose()
    }

    /// Writes changes, in key order, and makes them durable; with the last of them, also `applied`.
    pub(super) fn write(
        &self,
        changes: &[(String, LatestChange)],
        applied: Option<Version>,
    ) -> Result<(), Error> {
        // With a reader open, redb leaves this commit's freed pages to the next one, instead of
        // freeing them in a second, non-durable commit. That commit would make later reads evict
        // dirty pages early, so that each page would be written twice.
        let _reader = self.database.begin_read().map_err(tree_error)?;
        let mut transaction = self.database.begin_write().map_err(tree_error)?;
        // Allows the file to be opened immediately after a crash, without reading all of it. The
        // cost is a second sync per commit, which here covers hundreds of changes.
        transaction.set_quick_repair(true);
        {
            let mut entries = transaction.open_table(ENTRIES_TABLE).map_err(tree_error)?;
            for (key, latest) in changes {
                write_entry(&mut entries, key, latest)?;
            }
            if let Some(applied) = applied {
                let mut meta = transaction.open_table(META_TABLE).map_err(tree_error)?;
                meta.insert(APPLIED_KEY, applied.0).map_err(tree_error)?;
            }
        }
        transaction.commit().map_err(tree_error)
    }
}

/// A consistent state of the tree, unaffected by later writes.
pub(super) struct TreeSnapshot(ReadTransaction);

impl TreeSnapshot {
    /// The keys after `after` that start with `prefix`, in order, at most `limit`, merged with
    /// `newer`, which gives for each key whether it exists. May block on the disk.
    pub(super) fn merged_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        newer: Vec<(String, bool)>,
    ) -> Result<Vec<String>, Error> {
        let table = self.entries_table()?;
        let start = (scan_start(prefix, after), Bound::Unbounded);
        let mut stored = table.range::<&str>(start).map_err(tree_error)?;
        let mut next_stored = || match stored.next() {
            None => Ok(None),
            Some(Err(error)) => Err(tree_error(error)),
            Some(Ok((key, _))) => {
                let key = key.value();
                Ok(key.starts_with(prefix).then(|| key.to_owned()))
            }
        };
        let mut newer = newer.into_iter().peekable();
        let mut candidate = next_stored()?;
        let mut keys = Vec::new();
        while keys.len() < limit {
            let stored_first = match (&candidate, newer.peek()) {
                (None, None) => break,
                (Some(stored), Some((key, _))) => stored < key,
                (stored, _) => stored.is_some(),
            };
            if stored_first {
                keys.extend(candidate.take());
                candidate = next_stored()?;
            } else if let Some((key, present)) = newer.next() {
                if candidate.as_ref() == Some(&key) {
                    candidate = next_stored()?;
                }
                keys.extend(present.then_some(key));
            }
        }
        Ok(keys)
    }

    fn entries_table(&self) -> Result<ReadOnlyTable<&'static str, &'static [u8]>, Error> {
        self.0.open_table(ENTRIES_TABLE).map_err(tree_error)
    }
}

fn write_entry(
    entries: &mut Table<'_, &'static str, &'static [u8]>,
    key: &str,
    latest: &LatestChange,
) -> Result<(), Error> {
    let Some(value) = &latest.value else {
        entries.remove(key).map_err(tree_error)?;
        return Ok(());
    };
    let mut room = entries.insert_reserve(key, VERSION_BYTES + value.len()).map_err(tree_error)?;
    let (version, rest) = room.as_mut().split_at_mut(VERSION_BYTES);
    version.copy_from_slice(&latest.version.0.to_le_bytes());
    rest.copy_from_slice(value);
    Ok(())
}

fn decode_entry(mut stored: &[u8]) -> Result<PhysicalEntry, Error> {
    let version = decode_version(&mut stored)?;
    Ok(PhysicalEntry { value: Bytes::copy_from_slice(stored), version })
}

fn decode_version(stored: &mut &[u8]) -> Result<Version, Error> {
    let version = stored.try_get_u64_le();
    version.map(Version).map_err(|_| Error::Corrupt("an entry has no version".to_owned()))
}

/// Maps a redb error to an error of the store.
fn tree_error(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) => classify_io_error(&error, "reading or writing the tree"),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => reopening_error(),
        other => Error::Corrupt(other.to_string()),
    }
}

/// The error while a fault has closed the tree.
pub(super) fn reopening_error() -> Error {
    Error::Closed("it is being opened again after a fault".to_owned())
}

/// The error after a panic in redb.
pub(super) fn unreadable_error() -> Error {
    Error::Corrupt("the tree does not read as one".to_owned())
}
