//! The layout of a store's folder, and which folders are refused.
//!
//! ```text
//! strongroom.store   the marker: format number, and whether the store is complete
//! lock               locked by the process that has the store open
//! log.0  log.1       the log
//! tree.redb          the tree
//! ```
//!
//! The marker is written first. A folder with other files but no marker isn't a store, and a folder
//! whose marker shows that it is unfinished never held an acknowledged change.

use super::disk::{Disk, LOCK_FILE};
use super::io_errors::classify_io_error;
use super::log::{self, LOG_FILES};
use super::tree::{TREE_FILE, Tree};
use crate::Error;

const MARKER_FILE: &str = "strongroom.store";
const NEW_MARKER_FILE: &str = "strongroom.store.new";
const MARKER_TITLE: &str = "strongroom-store";
/// The format that this version writes, and the newest it reads.
const FORMAT: u32 = 1;
const UNFINISHED: &str = "unfinished";
const READY: &str = "ready";
/// Maximum number of bytes read of the marker.
const MAX_MARKER_BYTES: u64 = 4096;

/// The state of a storage folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FolderState {
    /// The folder contains nothing.
    Empty,
    /// Creation of the store was interrupted.
    Unfinished,
    /// The folder contains a complete store.
    Ready,
}

/// Determines the state of the folder without changing it. Refuses a folder that is neither empty
/// nor a store.
pub(super) fn inspect_folder(disk: &dyn Disk) -> Result<FolderState, Error> {
    let names = disk
        .list_names()
        .map_err(|error| classify_io_error(&error, "reading the storage folder"))?;
    if names.iter().any(|name| name == MARKER_FILE) {
        return read_marker(disk);
    }
    let harmless = [LOCK_FILE, NEW_MARKER_FILE, "lost+found"];
    match names.iter().find(|name| !harmless.contains(&name.as_str())) {
        None => Ok(FolderState::Empty),
        Some(name) => Err(Error::Refused(format!(
            "the storage folder holds {} and nothing of ours: name an empty folder, or one that \
             does not exist yet",
            describe_foreign_file(name)
        ))),
    }
}

/// Creates an empty store in the folder.
pub(super) fn create_store(
    disk: &dyn Disk,
    log_bytes: usize,
    cache_bytes: usize,
) -> Result<(), Error> {
    write_marker(disk, UNFINISHED)?;
    log::create(disk, log_bytes)?;
    Tree::create(disk, cache_bytes)?;
    disk.sync_names().map_err(|error| classify_io_error(&error, "creating the store"))?;
    write_marker(disk, READY)
}

/// Refuses a store that lacks a file, because opening it would create an empty one.
pub(super) fn check_complete(disk: &dyn Disk) -> Result<(), Error> {
    let names = disk
        .list_names()
        .map_err(|error| classify_io_error(&error, "reading the storage folder"))?;
    for file in LOG_FILES.into_iter().chain([TREE_FILE]) {
        if !names.iter().any(|name| name == file) {
            return Err(Error::Corrupt(format!("{file} is missing from the storage folder")));
        }
    }
    Ok(())
}

fn read_marker(disk: &dyn Disk) -> Result<FolderState, Error> {
    let doing = |error| classify_io_error(&error, "reading the storage folder's marker");
    let file = disk.open(MARKER_FILE).map_err(doing)?;
    let len = usize::try_from(file.len().map_err(doing)?.min(MAX_MARKER_BYTES)).unwrap_or(0);
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes).map_err(doing)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split_whitespace();
    let title = words.next();
    let format: Option<u32> = words.next().and_then(|number| number.parse().ok());
    match (title, format, words.next()) {
        (Some(MARKER_TITLE), Some(FORMAT), Some(READY)) => Ok(FolderState::Ready),
        (Some(MARKER_TITLE), Some(FORMAT), Some(UNFINISHED)) => Ok(FolderState::Unfinished),
        (Some(MARKER_TITLE), Some(format), _) if format > FORMAT => Err(Error::Refused(format!(
            "the storage folder is of format {format}, and this version reads up to {FORMAT}: it \
             was last used by a newer version"
        ))),
        _ => {
            Err(Error::Refused(format!("the file {MARKER_FILE} in the storage folder is not ours")))
        }
    }
}

fn write_marker(disk: &dyn Disk, state: &str) -> Result<(), Error> {
    let doing = |error| classify_io_error(&error, "writing the storage folder's marker");
    disk.remove(NEW_MARKER_FILE).map_err(doing)?;
    let file = disk.open(NEW_MARKER_FILE).map_err(doing)?;
    file.write_at(0, format!("{MARKER_TITLE} {FORMAT}\n{state}\n").as_bytes()).map_err(doing)?;
    file.sync().map_err(doing)?;
    disk.rename(NEW_MARKER_FILE, MARKER_FILE).map_err(doing)?;
    disk.sync_names().map_err(doing)
}

/// Describes a file in the error message, with a hint if it is known from another server's storage.
fn describe_foreign_file(name: &str) -> String {
    match name {
        "core" | "sys" | "logical" | "auth" | "audit" => {
            format!("{name:?}, as the file storage of another server does,")
        }
        "raft" | "vault.db" | "node-id" => {
            format!("{name:?}, as the raft storage of another server does,")
        }
        _ => format!("{name:?}"),
    }
}
