//! The tree: a redb file with everything that the log has handed over. Opens again by itself
//! after a fault.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::disk::Disk;
use super::fault::classify;
use super::opened::{Opened, Opening, Snapshot, reopening};
use super::overlay::Latest;
use crate::{Entry, Error, Version};

/// The name of its file.
pub(super) const TREE: &str = "tree.redb";

/// The tree, open or waiting to be opened again.
#[derive(Debug)]
pub(super) struct Tree {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    state: RwLock<State>,
    /// The last version that is durably in the tree.
    applied: AtomicU64,
    /// The next opening has to verify every page.
    suspect: AtomicBool,
    /// It is being verified, which takes long: nobody waits for it.
    verifying: AtomicBool,
    reopened: AtomicU64,
}

#[derive(Debug)]
enum State {
    Open(Opened),
    /// Can't be opened, or is closed for good.
    Not(Error),
}

impl Tree {
    /// Lays out an empty tree in place of what is there.
    pub(super) fn create(disk: &dyn Disk, cache_bytes: usize) -> Result<(), Error> {
        let doing = |error| classify(&error, "creating the tree");
        disk.remove(TREE).map_err(doing)?;
        let file = disk.open(TREE).map_err(doing)?;
        Opened::open(file, cache_bytes, Opening::default())?.lay_out()
    }

    /// Opens the tree.
    pub(super) fn open(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, Error> {
        let len = disk.open(TREE).and_then(|file| file.len());
        if len.map_err(|error| classify(&error, "opening the tree"))? == 0 {
            // redb would lay out a new one.
            return Err(Error::Corrupt(format!("{TREE} is empty")));
        }
        let tree = Self {
            disk,
            cache_bytes,
            state: RwLock::new(State::Not(reopening())),
            applied: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            verifying: AtomicBool::new(false),
            reopened: AtomicU64::new(0),
        };
        let opened = tree.open_file(Opening::default())?;
        *tree.state.write().unwrap_or_else(PoisonError::into_inner) = State::Open(opened);
        Ok(tree)
    }

    /// The last version that is durably in the tree.
    pub(super) fn applied(&self) -> Version {
        Version(self.applied.load(Ordering::Acquire))
    }

    /// How often it was opened again after a fault.
    pub(super) fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Relaxed)
    }

    /// Whether a fault waits for [`Tree::recover`].
    pub(super) fn needs_recovery(&self) -> bool {
        match self.state.try_read().as_deref() {
            Ok(State::Open(opened)) => opened.is_shadow() || opened.health().failed(),
            Ok(State::Not(error)) => !is_final(error),
            // It is being opened.
            Err(_) => true,
        }
    }

    /// The entry at `key`. May wait for the disk.
    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.reading(|opened| opened.get(key))
    }

    /// The version of the entry at `key`. May wait for the disk.
    pub(super) fn version_of(&self, key: &str) -> Result<Option<Version>, Error> {
        self.reading(|opened| opened.version_of(key))
    }

    /// The tree as it is now. Waits for nothing, so that it may be called under a lock.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        match self.state.try_read().as_deref() {
            Ok(State::Open(opened)) => opened.guarded(|| opened.begin_read()),
            Ok(state @ State::Not(_)) => Err(state.refusal()),
            Err(_) => Err(reopening()),
        }
    }

    /// Writes changes, in key order, and makes them durable. `applied` comes with the last of
    /// them: the version up to which the tree then has everything.
    pub(super) fn write(
        &self,
        changes: &[(String, Latest)],
        applied: Option<Version>,
    ) -> Result<(), Error> {
        match &*self.read_state() {
            State::Open(opened) => opened.guarded(|| opened.write(changes, applied))?,
            state @ State::Not(_) => return Err(state.refusal()),
        }
        if let Some(applied) = applied {
            self.applied.store(applied.0, Ordering::Release);
        }
        Ok(())
    }

    /// Opens the tree again if a fault closed it. What may be wrong on the medium is verified.
    pub(super) fn recover(&self) -> Result<(), Error> {
        self.reopen(true)
    }

    /// Closes for good.
    pub(super) fn close(&self) {
        let closed = State::Not(Error::Closed("it was closed".to_owned()));
        // redb marks the file as cleanly closed here. If it can't, the next opening repairs it.
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = closed;
    }

    /// Opens the tree again if a fault closed it and that can be done at once, for a reader.
    pub(super) fn revive(&self) -> Result<(), Error> {
        self.refuse_while_verifying()?;
        self.reopen(false)
    }

    fn reading<T>(&self, run: impl Fn(&Opened) -> Result<T, Error>) -> Result<T, Error> {
        self.refuse_while_verifying()?;
        match &*self.read_state() {
            State::Open(opened) => opened.guarded(|| run(opened)),
            state @ State::Not(_) => Err(state.refusal()),
        }
    }

    fn refuse_while_verifying(&self) -> Result<(), Error> {
        if self.verifying.load(Ordering::Acquire) { Err(reopening()) } else { Ok(()) }
    }

    /// Opens again after a fault. Readers do not wait for a verification, nor try anew what has
    /// failed: with `thorough`, the one thread that recovers does.
    fn reopen(&self, thorough: bool) -> Result<(), Error> {
        if let State::Open(opened) = &*self.read_state() {
            self.suspect.fetch_or(opened.health().suspect(), Ordering::AcqRel);
        }
        let verify = self.suspect.load(Ordering::Acquire);
        if thorough {
            // Before the lock, which is then held for long.
            self.verifying.store(verify, Ordering::Release);
        } else if verify {
            return Err(reopening());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let reopened = self.reopen_into(&mut state, thorough);
        if thorough {
            self.verifying.store(false, Ordering::Release);
        }
        reopened
    }

    fn reopen_into(&self, state: &mut State, thorough: bool) -> Result<(), Error> {
        match state {
            State::Open(opened) if opened.health().failed() => {
                let health = Arc::clone(opened.health());
                // First: whatever it still does to the file, the next opening is to find it done.
                *state = State::Not(Error::Io("a fault of the tree's file".to_owned()));
                // Only now can nothing more fail with it: a write may have, since it was asked.
                self.suspect.fetch_or(health.suspect(), Ordering::AcqRel);
            }
            State::Open(opened) if !(opened.is_shadow() && thorough) => return Ok(()),
            State::Not(error) if is_final(error) || !thorough => return Err(state.refusal()),
            _ => {}
        }
        let verify = self.suspect.load(Ordering::Acquire);
        if verify && !thorough {
            return Err(reopening());
        }
        if verify {
            self.verifying.store(true, Ordering::Release);
        }
        let error = match self.open_anew(Opening { verify, shadow: false }) {
            Ok(opened) => {
                self.suspect.store(false, Ordering::Release);
                *state = State::Open(opened);
                return Ok(());
            }
            Err(error) => error,
        };
        // The medium takes no writes; it may still be read. A reader wants no more.
        if matches!(state, State::Not(_)) {
            *state = match self.open_anew(Opening { verify, shadow: true }) {
                Ok(opened) => State::Open(opened),
                Err(_) => State::Not(error.clone()),
            };
        }
        if thorough || matches!(state, State::Not(_)) { Err(error) } else { Ok(()) }
    }

    fn open_anew(&self, how: Opening) -> Result<Opened, Error> {
        let opened = self.open_file(how)?;
        self.reopened.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }

    fn open_file(&self, how: Opening) -> Result<Opened, Error> {
        let file = self.disk.open(TREE).map_err(|error| classify(&error, "opening the tree"))?;
        let opened = Opened::open(file, self.cache_bytes, how)?;
        let applied = opened.applied()?;
        if applied < self.applied() {
            return Err(Error::Corrupt("the tree lost what was durable".to_owned()));
        }
        // What a shadow shows may be no more than cached: nothing is built on it.
        if !how.shadow {
            self.applied.store(applied.0, Ordering::Release);
        }
        Ok(opened)
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no further attempt can change it.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Closed(_) | Error::Corrupt(_))
}

impl State {
    /// What to answer in place of what was asked.
    fn refusal(&self) -> Error {
        match self {
            Self::Open(_) => reopening(),
            Self::Not(error) if is_final(error) => error.clone(),
            Self::Not(error) => Error::Closed(format!("it can't be opened again: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Operation, Outcome, SimDisk};

    const CACHE: usize = 128 << 10;

    fn tree_on(disk: &SimDisk) -> Tree {
        Tree::open(Arc::new(disk.clone()), CACHE).unwrap()
    }

    /// A write fails after a reader looked, and before it has the tree to itself.
    #[test]
    fn a_fault_that_comes_late_is_verified_all_the_same() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let mut state = tree.state.write().unwrap();
        match &*state {
            State::Open(opened) => opened.health().distrust(),
            State::Not(error) => panic!("{error}"),
        }
        assert!(tree.reopen_into(&mut state, false).is_err(), "not for a reader to open");
        drop(state);
        assert!(tree.suspect.load(Ordering::Acquire) && tree.needs_recovery());
        tree.recover().unwrap();
        assert!(!tree.suspect.load(Ordering::Acquire) && !tree.needs_recovery());
        assert_eq!(tree.reopened(), 1);
    }

    /// What a shadow shows may yet be lost. If the log were believed to be spent on its word, the
    /// tree would be taken for damaged once it is found to have less.
    #[test]
    fn nothing_is_built_on_what_a_shadow_shows() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        tree_on(&disk).write(&[], Some(Version(7))).unwrap();
        tree.open_file(Opening { shadow: true, ..Opening::default() }).unwrap();
        assert_eq!(tree.applied(), Version(0));
        tree.open_file(Opening::default()).unwrap();
        assert_eq!(tree.applied(), Version(7));
    }

    /// What a failed sync lost may still be cached, and would pass.
    #[test]
    fn verifying_reads_the_medium_and_not_the_cache() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let value = vec![b'.'; 900];
        let latest = Latest { version: Version(1), value: Some(value.clone().into()) };
        let changes: Vec<_> = (0..40).map(|n| (format!("{n:02}"), latest.clone())).collect();
        tree.write(&changes, Some(Version(1))).unwrap();
        let file = disk.open(TREE).unwrap();
        let mut good = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(0, &mut good).unwrap();
        let mut bad = good.clone();
        bad.chunks_mut(512).filter(|sector| sector.ends_with(b"....")).for_each(|s| s[511] = b'!');
        assert_ne!(bad, good);
        file.write_at(0, &bad).unwrap();
        file.sync().unwrap();
        file.write_at(0, &good).unwrap();
        disk.decide(|_| Outcome::Failed(std::io::ErrorKind::Other));
        file.sync().unwrap_err();
        disk.heal();
        match &*tree.read_state() {
            State::Open(opened) => opened.health().distrust(),
            State::Not(error) => panic!("{error}"),
        }
        let recovered = tree.recover();
        assert!(matches!(recovered, Err(Error::Corrupt(_))), "{recovered:?}");
    }

    /// Opening after a kill does not walk the whole file. redb's own assertions do once, in a debug
    /// build; a repair does three times.
    #[test]
    fn opening_after_a_kill_reads_little() {
        let disk = SimDisk::new();
        Tree::create(&disk, CACHE).unwrap();
        let tree = tree_on(&disk);
        let latest = Latest { version: Version(1), value: Some(vec![b'.'; 900].into()) };
        let changes: Vec<_> = (0..1000).map(|n| (format!("{n:04}"), latest.clone())).collect();
        tree.write(&changes, Some(Version(1))).unwrap();
        let disk = disk.after_kill();
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        disk.decide(move |operation| {
            let read = u64::from(operation == Operation::Read(TREE));
            counted.fetch_add(read, Ordering::Relaxed);
            Outcome::Done
        });
        assert_eq!(tree_on(&disk).applied(), Version(1));
        let reads = reads.load(Ordering::Relaxed);
        let most = if cfg!(debug_assertions) { 400 } else { 50 };
        assert!(reads < most, "{reads} reads for 250 pages");
        drop(tree);
    }
}
