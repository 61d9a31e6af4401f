//! Reads all entries below a storage folder, at any depth, in batches; used by the migrations.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use strongroom_engine::{LEGACY_RECORD_PREFIX, RECORD_PREFIX, Storage, StorageEntry, StorageError};
use strongroom_types::path::is_printable;

/// The maximum number of entries in a batch, and of their bytes.
const BATCH_ENTRIES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// The number of names per storage list request.
const PAGE_SIZE: usize = 256;
/// Sorts after every record key. No document's name begins with it.
pub(crate) const AFTER_RECORDS: &str = "\u{fffd}";

/// Reads the entries below a folder, a batch at a time.
pub(crate) struct EntryScanner<'a> {
    storage: &'a dyn Storage,
    /// Folders that have been entered, each with the last name that was handled.
    open_folders: Vec<(String, String)>,
}

/// One batch of a scan. If it is empty, the scan is complete.
#[derive(Default)]
pub(crate) struct EntryBatch {
    pub(crate) entries: Vec<(String, StorageEntry)>,
    /// Damaged entries. Any other error ends the scan, since a later attempt may succeed.
    pub(crate) unreadable: Vec<(String, StorageError)>,
}

impl<'a> EntryScanner<'a> {
    /// Scans below a folder, whose name is empty or ends in a slash. In the root folder records are
    /// skipped.
    pub(crate) fn new(storage: &'a dyn Storage, folder: &str) -> Self {
        Self { storage, open_folders: vec![(folder.to_owned(), String::new())] }
    }

    /// Reads the next batch.
    pub(crate) async fn next_batch(&mut self) -> Result<EntryBatch, StorageError> {
        let (mut entries, mut bytes) = (EntryBatch::default(), 0);
        while let Some((folder, after)) = self.open_folders.pop() {
            let names = self.storage.list(&folder, Some(&after), PAGE_SIZE).await?;
            let full = names.len() == PAGE_SIZE;
            let (mut inner, mut is_apart, mut is_enough) = (None, false, false);
            let mut last = after;
            for name in names {
                if folder.is_empty() && name.starts_with(RECORD_PREFIX) {
                    // There may be many record folders, so skip them all at once.
                    AFTER_RECORDS.clone_into(&mut last);
                    is_apart = true;
                    break;
                }
                let before = std::mem::replace(&mut last, name.clone());
                let key = format!("{folder}{name}");
                if name.ends_with('/') {
                    inner = Some(key);
                    break;
                }
                match self.storage.get(&key).await {
                    Ok(None) => continue,
                    Ok(Some(stored)) => {
                        bytes += stored.value.len();
                        entries.entries.push((key, stored));
                    }
                    Err(error @ StorageError::Damaged(_)) => entries.unreadable.push((key, error)),
                    Err(error) if entries.is_empty() => return Err(error),
                    Err(_) => {
                        // Return what was found; the next batch begins with this entry again.
                        last = before;
                        is_enough = true;
                        break;
                    }
                }
                is_enough = entries.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES;
                if is_enough {
                    break;
                }
            }
            if full || is_apart || is_enough || inner.is_some() {
                self.open_folders.push((folder, last));
            }
            if let Some(inner) = inner {
                self.open_folders.push((inner, String::new()));
            }
            if is_enough {
                break;
            }
        }
        Ok(entries)
    }
}

impl EntryBatch {
    fn len(&self) -> usize {
        self.entries.len() + self.unreadable.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Entries that could not be moved. Each is named in the log once.
#[derive(Debug, Default)]
pub(crate) struct UnmovableEntries {
    logged: Mutex<BTreeSet<String>>,
}

/// How many of these entries an instance names in the log.
pub(crate) const MAX_LOGGED: usize = 16;
/// The maximum length of a key in the log, in bytes; longer keys are not shown.
pub(crate) const MAX_LOGGED_KEY_BYTES: usize = 256;

impl UnmovableEntries {
    /// Logs why an entry stays where it is.
    pub(crate) fn log_once(&self, key: &str, why: &str) {
        let mut named = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MAX_LOGGED || named.contains(key) {
            return;
        }
        named.insert(key.to_owned());
        let is_last = named.len() == MAX_LOGGED;
        drop(named);
        let key = printable_key(key);
        tracing::warn!(key, why, "an entry could not be moved and stays where it is");
        if is_last {
            tracing::warn!("further entries that can't be moved are not named");
        }
    }

    /// Logs the entries that can't be read.
    pub(crate) fn log_unreadable(&self, unreadable: &[(String, StorageError)]) {
        for (key, error) in unreadable {
            self.log_once(key, &format!("it can't be read: {error}"));
        }
    }
}

/// The key as it is logged. A client chose part of it.
fn printable_key(key: &str) -> &str {
    let name = key.trim_start_matches(LEGACY_RECORD_PREFIX);
    let fits = name.len() <= MAX_LOGGED_KEY_BYTES && name.chars().all(is_printable);
    if fits { name } else { "(a name that can't be shown)" }
}
