//! The tree: a redb file with everything that checkpoints have written. Can be reopened after a
//! fault.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::disk::Disk;
use super::io_errors::classify_io_error;
use super::memtable::LatestChange;
use super::tree_database::{OpenMode, TreeDatabase, TreeSnapshot, reopening_error};
use crate::{Error, PhysicalEntry, Version};

/// The name of the tree's file.
pub(super) const TREE_FILE: &str = "tree.redb";

/// The tree, either open or unavailable until it is reopened.
#[derive(Debug)]
pub(super) struct Tree {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    state: RwLock<TreeState>,
    /// The last version that is durable in the tree.
    applied_version: AtomicU64,
    /// The next time the file is opened, every page must be verified.
    needs_verification: AtomicBool,
    /// Verification is in progress. It takes long, so readers fail rather than wait.
    verifying: AtomicBool,
    reopen_count: AtomicU64,
}

#[derive(Debug)]
enum TreeState {
    Open(TreeDatabase),
    /// Can't be opened, or was closed permanently.
    Unavailable(Error),
}

impl Tree {
    /// Creates an empty tree, replacing an existing file.
    pub(super) fn create(disk: &dyn Disk, cache_bytes: usize) -> Result<(), Error> {
        let doing = |error| classify_io_error(&error, "creating the tree");
        disk.remove(TREE_FILE).map_err(doing)?;
        let file = disk.open(TREE_FILE).map_err(doing)?;
        TreeDatabase::open(file, cache_bytes, OpenMode::default())?.create_tables()
    }

    /// Opens the existing tree; an empty file is corrupt.
    pub(super) fn open(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, Error> {
        let len = disk.open(TREE_FILE).and_then(|file| file.len());
        if len.map_err(|error| classify_io_error(&error, "opening the tree"))? == 0 {
            // redb would create a new database in it.
            return Err(Error::Corrupt(format!("{TREE_FILE} is empty")));
        }
        let tree = Self {
            disk,
            cache_bytes,
            state: RwLock::new(TreeState::Unavailable(reopening_error())),
            applied_version: AtomicU64::new(0),
            needs_verification: AtomicBool::new(false),
            verifying: AtomicBool::new(false),
            reopen_count: AtomicU64::new(0),
        };
        let opened = tree.open_file(OpenMode::default())?;
        *tree.state.write().unwrap_or_else(PoisonError::into_inner) = TreeState::Open(opened);
        Ok(tree)
    }

    /// The last version that is durable in the tree.
    pub(super) fn applied_version(&self) -> Version {
        Version(self.applied_version.load(Ordering::Acquire))
    }

    /// Number of times it was reopened after a fault.
    pub(super) fn reopen_count(&self) -> u64 {
        self.reopen_count.load(Ordering::Relaxed)
    }

    /// Whether [`Tree::recover`] must be called.
    pub(super) fn needs_recovery(&self) -> bool {
        match self.state.try_read().as_deref() {
            Ok(TreeState::Open(opened)) => opened.is_shadow() || opened.health().has_failed(),
            Ok(TreeState::Unavailable(error)) => !is_final_error(error),
            // The lock is held while the tree is opened.
            Err(_) => true,
        }
    }

    /// The entry at `key`. May block on the disk.
    pub(super) fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        self.with_database(|opened| opened.get(key))
    }

    /// The version of the entry at `key`. May block on the disk.
    pub(super) fn version_of(&self, key: &str) -> Result<Option<Version>, Error> {
        self.with_database(|opened| opened.version_of(key))
    }

    /// A snapshot of the tree. Never blocks, so it may be called under a lock.
    pub(super) fn snapshot(&self) -> Result<TreeSnapshot, Error> {
        match self.state.try_read().as_deref() {
            Ok(TreeState::Open(opened)) => opened.catch_panic(|| opened.begin_read()),
            Ok(state @ TreeState::Unavailable(_)) => Err(state.unavailable_error()),
            Err(_) => Err(reopening_error()),
        }
    }

    /// Writes changes, in key order, and makes them durable. `applied` is passed with the last of
    /// them: the version up to which the tree is then complete.
    pub(super) fn write(
        &self,
        changes: &[(String, LatestChange)],
        applied: Option<Version>,
    ) -> Result<(), Error> {
        match &*self.read_state() {
            TreeState::Open(opened) => opened.catch_panic(|| opened.write(changes, applied))?,
            state @ TreeState::Unavailable(_) => return Err(state.unavailable_error()),
        }
        if let Some(applied) = applied {
            self.applied_version.store(applied.0, Ordering::Release);
        }
        Ok(())
    }

    /// Reopens the tree if a fault closed it, verifying it first if the medium may be inconsistent.
    pub(super) fn recover(&self) -> Result<(), Error> {
        self.reopen(true)
    }

    /// Closes the tree permanently.
    pub(super) fn close(&self) {
        let closed = TreeState::Unavailable(Error::Closed("it was closed".to_owned()));
        // redb marks the file as cleanly closed here. If that fails, the next opening repairs it.
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = closed;
    }

    /// Reopens the tree if a fault closed it, for a reader: fails if that requires verification.
    pub(super) fn try_reopen(&self) -> Result<(), Error> {
        self.refuse_while_verifying()?;
        self.reopen(false)
    }

    fn with_database<T>(
        &self,
        run: impl Fn(&TreeDatabase) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.refuse_while_verifying()?;
        match &*self.read_state() {
            TreeState::Open(opened) => opened.catch_panic(|| run(opened)),
            state @ TreeState::Unavailable(_) => Err(state.unavailable_error()),
        }
    }

    fn refuse_while_verifying(&self) -> Result<(), Error> {
        if self.verifying.load(Ordering::Acquire) { Err(reopening_error()) } else { Ok(()) }
    }

    /// Reopens the tree after a fault. Only the thread that recovers passes `thorough`, which
    /// verifies the file and retries what failed before; readers do neither.
    fn reopen(&self, thorough: bool) -> Result<(), Error> {
        if let TreeState::Open(opened) = &*self.read_state() {
            self.needs_verification
                .fetch_or(opened.health().needs_verification(), Ordering::AcqRel);
        }
        let verify = self.needs_verification.load(Ordering::Acquire);
        if thorough {
            // Before taking the lock, which is then held for long.
            self.verifying.store(verify, Ordering::Release);
        } else if verify {
            return Err(reopening_error());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let reopened = self.reopen_locked(&mut state, thorough);
        if thorough {
            self.verifying.store(false, Ordering::Release);
        }
        reopened
    }

    fn reopen_locked(&self, state: &mut TreeState, thorough: bool) -> Result<(), Error> {
        match state {
            TreeState::Open(opened) if opened.health().has_failed() => {
                let health = Arc::clone(opened.health());
                // Dropped first, so that whatever redb still does to the file is done before it is
                // reopened.
                *state = TreeState::Unavailable(Error::Io("a fault of the tree's file".to_owned()));
                // Only now can no further operation fail: a write may have failed since the check.
                self.needs_verification.fetch_or(health.needs_verification(), Ordering::AcqRel);
            }
            TreeState::Open(opened) if !(opened.is_shadow() && thorough) => return Ok(()),
            TreeState::Unavailable(error) if is_final_error(error) || !thorough => {
                return Err(state.unavailable_error());
            }
            _ => {}
        }
        let verify = self.needs_verification.load(Ordering::Acquire);
        if verify && !thorough {
            return Err(reopening_error());
        }
        if verify {
            self.verifying.store(true, Ordering::Release);
        }
        let error = match self.open_again(OpenMode { verify, shadow: false }) {
            Ok(opened) => {
                self.needs_verification.store(false, Ordering::Release);
                *state = TreeState::Open(opened);
                return Ok(());
            }
            Err(error) => error,
        };
        // The medium refuses writes but may still be readable, which is enough for readers.
        if matches!(state, TreeState::Unavailable(_)) {
            *state = match self.open_again(OpenMode { verify, shadow: true }) {
                Ok(opened) => TreeState::Open(opened),
                Err(_) => TreeState::Unavailable(error.clone()),
            };
        }
        if thorough || matches!(state, TreeState::Unavailable(_)) { Err(error) } else { Ok(()) }
    }

    fn open_again(&self, how: OpenMode) -> Result<TreeDatabase, Error> {
        let opened = self.open_file(how)?;
        self.reopen_count.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }

    fn open_file(&self, how: OpenMode) -> Result<TreeDatabase, Error> {
        let file = self
            .disk
            .open(TREE_FILE)
            .map_err(|error| classify_io_error(&error, "opening the tree"))?;
        let opened = TreeDatabase::open(file, self.cache_bytes, how)?;
        let applied = opened.applied_version()?;
        if applied < self.applied_version() {
            return Err(Error::Corrupt("the tree lost what was durable".to_owned()));
        }
        // A shadow may show data that is only cached, so the applied version isn't advanced by it.
        if !how.shadow {
            self.applied_version.store(applied.0, Ordering::Release);
        }
        Ok(opened)
    }

    fn read_state(&self) -> RwLockReadGuard<'_, TreeState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no further attempt can succeed.
fn is_final_error(error: &Error) -> bool {
    matches!(error, Error::Closed(_) | Error::Corrupt(_))
}

impl TreeState {
    /// The error for operations in this state.
    fn unavailable_error(&self) -> Error {
        match self {
            Self::Open(_) => reopening_error(),
            Self::Unavailable(error) if is_final_error(error) => error.clone(),
            Self::Unavailable(error) => Error::Closed(format!("it can't be opened again: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DiskOperation, DiskOutcome, SimDisk};

    const CACHE: usize = 128 << 10;

    fn tree_on(disk: &SimDisk) -> Tree {
        Tree::open(Arc::new(disk.clone()), CACHE).unwrap()
    }

    /// A write fails after a reader checked, and before the reader has exclusive access.
    #[test]
    fn a_late_fault_is_verified() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let mut state = tree.state.write().unwrap();
        match &*state {
            TreeState::Open(opened) => opened.health().mark_suspect(),
            TreeState::Unavailable(error) => panic!("{error}"),
        }
        assert!(tree.reopen_locked(&mut state, false).is_err(), "not for a reader to open");
        drop(state);
        assert!(tree.needs_verification.load(Ordering::Acquire) && tree.needs_recovery());
        tree.recover().unwrap();
        assert!(!tree.needs_verification.load(Ordering::Acquire) && !tree.needs_recovery());
        assert_eq!(tree.reopen_count(), 1);
    }

    /// What a shadow shows may yet be lost. If the applied version advanced, the tree would be
    /// considered corrupt when it is found to have less.
    #[test]
    fn a_shadow_does_not_advance_the_applied_version() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        tree_on(&disk).write(&[], Some(Version(7))).unwrap();
        tree.open_file(OpenMode { shadow: true, ..OpenMode::default() }).unwrap();
        assert_eq!(tree.applied_version(), Version(0));
        tree.open_file(OpenMode::default()).unwrap();
        assert_eq!(tree.applied_version(), Version(7));
    }

    /// Data lost by a failed sync may still be cached, and would pass verification.
    #[test]
    fn verifying_reads_the_medium_and_not_the_cache() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let value = vec![b'.'; 900];
        let latest = LatestChange { version: Version(1), value: Some(value.clone().into()) };
        let changes: Vec<_> = (0..40).map(|n| (format!("{n:02}"), latest.clone())).collect();
        tree.write(&changes, Some(Version(1))).unwrap();
        let file = disk.open(TREE_FILE).unwrap();
        let mut good = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(0, &mut good).unwrap();
        let mut bad = good.clone();
        bad.chunks_mut(512).filter(|sector| sector.ends_with(b"....")).for_each(|s| s[511] = b'!');
        assert_ne!(bad, good);
        file.write_at(0, &bad).unwrap();
        file.sync().unwrap();
        file.write_at(0, &good).unwrap();
        disk.set_outcomes(|_| DiskOutcome::Failed(std::io::ErrorKind::Other));
        file.sync().unwrap_err();
        disk.clear_faults();
        match &*tree.read_state() {
            TreeState::Open(opened) => opened.health().mark_suspect(),
            TreeState::Unavailable(error) => panic!("{error}"),
        }
        let recovered = tree.recover();
        assert!(matches!(recovered, Err(Error::Corrupt(_))), "{recovered:?}");
    }

    /// Opening after a kill doesn't read the whole file. redb's own assertions read it once in a
    /// debug build; a repair reads it three times.
    #[test]
    fn opening_after_a_kill_reads_little() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let latest = LatestChange { version: Version(1), value: Some(vec![b'.'; 900].into()) };
        let changes: Vec<_> = (0..1000).map(|n| (format!("{n:04}"), latest.clone())).collect();
        tree.write(&changes, Some(Version(1))).unwrap();
        let disk = disk.after_kill();
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        disk.set_outcomes(move |operation| {
            let read = u64::from(operation == DiskOperation::Read(TREE_FILE));
            counted.fetch_add(read, Ordering::Relaxed);
            DiskOutcome::Done
        });
        assert_eq!(tree_on(&disk).applied_version(), Version(1));
        let reads = reads.load(Ordering::Relaxed);
        let most = if cfg!(debug_assertions) { 400 } else { 50 };
        assert!(reads < most, "{reads} reads for 250 pages");
        drop(tree);
    }
}
