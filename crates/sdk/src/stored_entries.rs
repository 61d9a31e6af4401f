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
    let (mut found, mut bytes) = (Vec::new(), 0);
    // Folders that were begun, each with the last name that was looked at.
    let mut path = vec![(folder.to_owned(), String::new())];
    while let Some((folder, after)) = path.pop() {
        let names = storage.list(&folder, Some(&after), PAGE).await?;
        let full = names.len() == PAGE;
        let (mut inner, mut is_apart) = (None, false);
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
            let Some(stored) = storage.get(&key).await? else { continue };
            bytes += stored.value.len();
            found.push((key, stored));
            if found.len() >= BATCH || bytes >= BATCH_BYTES {
                return Ok(found);
            }
        }
        if full || is_apart || inner.is_some() {
            path.push((folder, last));
        }
        if let Some(inner) = inner {
            path.push((inner, String::new()));
        }
    }
    Ok(found)
}
