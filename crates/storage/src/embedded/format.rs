//! What a store's folder looks like, and what is refused.
//!
//! ```text
//! strongroom.store   the marker: the format's number, and whether the rest is laid out
//! lock               locked by the process that has the store open
//! log.0  log.1       the log
//! tree.redb          the tree
//! ```
//!
//! The marker comes first. A folder that has no marker but has anything else is not ours, and a
//! folder whose marker says that it is unfinished never held an acknowledged change.

use super::disk::{Disk, LOCK_FILE};
use super::io_errors::classify_io_error;
use super::log::{self, LOG_FILES};
use super::tree::{TREE_FILE, Tree};
use crate::Error;

const MARKER_FILE: &str = "strongroom.store";
const NEW_MARKER_FILE: &str = "strongroom.store.new";
const MARKER_TITLE: &str = "strongroom-store";
/// The format this version writes, and the newest it reads.
const FORMAT: u32 = 1;
const UNFINISHED: &str = "unfinished";
const READY: &str = "ready";
/// The largest marker worth reading.
const MAX_MARKER_BYTES: u64 = 4096;

/// What a folder is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FolderState {
    /// Nothing is in it.
    Empty,
    /// It was being laid out when power was lost.
    Unfinished,
    /// A store.
    Ready,
}

/// Says what the folder is, without changing it. Refuses one that is neither empty nor ours.
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

/// Lays out an empty store.
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

/// Refuses a store that lacks a file: opening it would create the file, empty.
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

/// Names what others' folders are known by.
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
