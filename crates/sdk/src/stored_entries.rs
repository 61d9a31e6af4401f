//! Some of the entries below a folder of storage, wherever they lie: for moving them batch by batch.

use crate::engine::{APART, Storage, StorageError, Stored};

/// Entries in one batch, and their bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// Names in one look at a folder.
const PAGE: usize = 256;
/// Sorts behind every key that is apart. No document's name begins with it.
pub(crate) const BEHIND_APART: &str = "\u{fffd}";

/// The first entries below a folder, whose name is empty or ends in a slash. Of the root those that are
/// apart are left out.
pub(crate) async fn first_below(
    storage: &dyn Storage,
    folder: &str,
) -> Result<Vec<(String, Stored)>, StorageError> {
    let mut entries = Walk::below(storage, folder).next().await?;
    match entries.unreadable.pop() {
        Some((_, error)) => Err(error),
        None => Ok(entries.found),
    }
}

/// A walk through the entries below a folder, some at a time.
pub(crate) struct Walk<'a> {
    storage: &'a dyn Storage,
    /// Folders that were begun, each with the last name that was looked at.
    path: Vec<(String, String)>,
}

/// What a walk came by. Nothing at all: it is over.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) found: Vec<(String, Stored)>,
    /// Entries that the store names and can't give.
    pub(crate) unreadable: Vec<(String, StorageError)>,
}

impl<'a> Walk<'a> {
    /// Of the root, those that are apart are left out.
    pub(crate) fn below(storage: &'a dyn Storage, folder: &str) -> Self {
        Self { storage, path: vec![(folder.to_owned(), String::new())] }
    }

    /// Goes on, to the next few entries.
    pub(crate) async fn next(&mut self) -> Result<Entries, StorageError> {
        let (mut entries, mut bytes) = (Entries::default(), 0);
        while let Some((folder, after)) = self.path.pop() {
            let names = self.storage.list(&folder, Some(&after), PAGE).await?;
            let full = names.len() == PAGE;
            let (mut inner, mut is_apart, mut is_enough) = (None, false, false);
            let mut last = after;
            for name in names {
                if folder.is_empty() && name.starts_with(APART) {
                    // There may be many of these folders.
                    BEHIND_APART.clone_into(&mut last);
                    is_apart = true;
                    break;
                }
                last.clone_from(&name);
                let key = format!("{folder}{name}");
                if name.ends_with('/') {
                    inner = Some(key);
                    break;
                }
                match self.storage.get(&key).await {
                    Ok(None) => continue,
                    Ok(Some(stored)) => {
                        bytes += stored.value.len();
                        entries.found.push((key, stored));
                    }
                    Err(error) if ends_all(&error) => return Err(error),
                    Err(error) => entries.unreadable.push((key, error)),
                }
                is_enough = entries.len() >= BATCH || bytes >= BATCH_BYTES;
                if is_enough {
                    break;
                }
            }
            if full || is_apart || is_enough || inner.is_some() {
                self.path.push((folder, last));
            }
            if let Some(inner) = inner {
                self.path.push((inner, String::new()));
            }
            if is_enough {
                break;
            }
        }
        Ok(entries)
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.found.len() + self.unreadable.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether nothing else can be read either.
fn ends_all(error: &StorageError) -> bool {
    matches!(error, StorageError::Closed | StorageError::Missing | StorageError::Setup)
}
