//! The tree's file as redb's storage backend: uses our file layer and records faults. A shadow
//! backend keeps writes in memory when the medium refuses them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::DiskFile;

/// The faults of an open file. redb refuses every operation after the first I/O error.
#[derive(Debug, Default)]
pub(super) struct FileHealth {
    has_failed: AtomicBool,
    /// A write or sync failed in a way that leaves the content of the medium uncertain.
    needs_verification: AtomicBool,
}

impl FileHealth {
    /// Whether any operation failed.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether the content of the medium must be verified.
    pub(super) fn needs_verification(&self) -> bool {
        self.needs_verification.load(Ordering::Acquire)
    }

    /// Records that the content must be verified before it is used again.
    pub(super) fn mark_suspect(&self) {
        self.needs_verification.store(true, Ordering::Release);
        self.has_failed.store(true, Ordering::Release);
    }

    fn record_result<T>(&self, result: io::Result<T>, suspect: bool) -> io::Result<T> {
        if result.is_err() {
            self.has_failed.store(true, Ordering::Release);
            self.needs_verification.fetch_or(suspect, Ordering::AcqRel);
        }
        result
    }
}

/// A redb storage backend on a [`DiskFile`].
#[derive(Debug)]
pub(super) struct TreeFile {
    file: Box<dyn DiskFile>,
    health: Arc<FileHealth>,
}

impl TreeFile {
    pub(super) fn new(file: Box<dyn DiskFile>, health: Arc<FileHealth>) -> Self {
        Self { file, health }
    }
}

impl redb::StorageBackend for TreeFile {
    fn len(&self) -> io::Result<u64> {
        self.health.record_result(self.file.len(), false)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.health.record_result(self.file.read_at(offset, out), false)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // After a failure only the length can be wrong, and redb checks it when opening.
        self.health.record_result(self.file.set_len(len), false)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.health.record_result(self.file.sync(), true)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let written = self.file.write_at(offset, data);
        // A full or read-only device wrote nothing.
        let suspect = written.as_ref().is_err_and(|error| !refuses_writes(error));
        self.health.record_result(written, suspect)
    }
}

fn refuses_writes(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// A backend that reads from the file and writes to memory, so that reads still work while the
/// medium refuses writes. redb writes a few pages when it opens; nothing else is written through
/// this.
#[derive(Debug)]
pub(super) struct ShadowBackend {
    file: Box<dyn DiskFile>,
    health: Arc<FileHealth>,
    shadow_pages: Mutex<ShadowPages>,
}

#[derive(Debug)]
struct ShadowPages {
    len: u64,
    pages: HashMap<u64, Vec<u8>>,
}

const PAGE: usize = 4096;

impl ShadowBackend {
    pub(super) fn new(file: Box<dyn DiskFile>, health: Arc<FileHealth>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            file,
            health,
            shadow_pages: Mutex::new(ShadowPages { len, pages: HashMap::new() }),
        })
    }

    fn lock_pages(&self) -> MutexGuard<'_, ShadowPages> {
        self.shadow_pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of the file, with zeros after its end.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(self.file.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (inside, behind) = out.split_at_mut(there.min(out.len()));
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.file.read_at(offset, inside) }
    }
}

/// Splits a range by page: page number, offset in the page, and number of bytes.
fn page_ranges(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    const PAGE_U64: u64 = PAGE as u64;
    let mut at = offset;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let within = usize::try_from(at % PAGE_U64).unwrap_or(0);
        let here = left.min(PAGE - within);
        let part = (at / PAGE_U64, within, here);
        at = at.saturating_add(u64::try_from(here).unwrap_or(0));
        left -= here;
        Some(part)
    })
}

impl redb::StorageBackend for ShadowBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock_pages().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.health.record_result(self.read_file(offset, out), false)?;
        let state = self.lock_pages();
        let mut rest = out;
        for (page, within, here) in page_ranges(offset, rest.len()) {
            let (into, behind) = rest.split_at_mut(here);
            if let Some(from) = state.pages.get(&page).and_then(|p| p.get(within..within + here)) {
                into.copy_from_slice(from);
            }
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.lock_pages().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock_pages();
        let mut rest = data;
        for (page, within, here) in page_ranges(offset, data.len()) {
            let (from, behind) = rest.split_at(here);
            let bytes = match state.pages.entry(page) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => {
                    let mut bytes = vec![0; PAGE];
                    let start = page.saturating_mul(u64::try_from(PAGE).unwrap_or(u64::MAX));
                    self.health.record_result(self.read_file(start, &mut bytes), false)?;
                    free.insert(bytes)
                }
            };
            if let Some(into) = bytes.get_mut(within..within + here) {
                into.copy_from_slice(from);
            }
            rest = behind;
        }
        Ok(())
    }
}
