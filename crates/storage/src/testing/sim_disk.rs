//! [`SimDisk`]: a disk in memory that remembers everything that happened to it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::medium::{Event, FileId, Medium, apply_to_bytes, apply_to_names};
use crate::embedded::{Disk, DiskFile};

/// A disk in memory. Clones are the same disk.
///
/// Every operation is recorded, so that afterwards [`SimDisk::after_power_cut`] can tell, for any
/// point of the history, what a power cut there could have left. Unsynced writes survive sector by
/// sector, or don't, in any order.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Handles of an earlier life of the process are dead.
    life: u64,
}

/// What an operation does, as it is put to [`SimDisk::decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// A file is read.
    Read(&'a str),
    /// A file is written.
    Write(&'a str),
    /// A file's length is set.
    SetLen(&'a str),
    /// A file is synced.
    Sync(&'a str),
    /// A file is opened, created, renamed or removed.
    Name(&'a str),
    /// The folder is synced.
    SyncNames,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// Nothing is done, and this error returned. A failed sync leaves the unsynced writes on the
    /// medium in part; they stay cached, and are not written by a later sync.
    Failed(io::ErrorKind),
    /// It is done, and this error returned.
    DoneAndFailed(io::ErrorKind),
}

/// A sync, as it is put to [`SimDisk::ignore_syncs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPoint<'a> {
    /// The file; `None` for the folder.
    pub file: Option<&'a str>,
    /// How many syncs of the same file (by name) or of the folder there were before this one.
    pub earlier: usize,
}

type Decide = Box<dyn FnMut(Operation<'_>) -> Outcome + Send>;
type Ignore = Box<dyn FnMut(SyncPoint<'_>) -> bool + Send>;

struct State {
    /// As the running process sees it.
    names: BTreeMap<String, FileId>,
    files: BTreeMap<FileId, Vec<u8>>,
    next_file: FileId,
    /// As it was at the start, and what happened since.
    start: Medium,
    history: Vec<Event>,
    medium: Medium,
    /// The medium at an earlier point: whoever cuts power at point after point goes on from it.
    replayed: Option<(usize, Medium)>,
    syncs: BTreeMap<Option<String>, usize>,
    life: u64,
    decide: Option<Decide>,
    ignore: Option<Ignore>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::holding(BTreeMap::new(), BTreeMap::new())
    }

    fn holding(names: BTreeMap<String, FileId>, files: BTreeMap<FileId, Vec<u8>>) -> Self {
        let start = Medium::holding(names.clone(), files.clone());
        let state = State {
            next_file: files.keys().last().map_or(0, |last| last + 1),
            medium: start.clone(),
            names,
            files,
            start,
            history: Vec::new(),
            replayed: None,
            syncs: BTreeMap::new(),
            life: 0,
            decide: None,
            ignore: None,
        };
        Self { state: Arc::new(Mutex::new(state)), life: 0 }
    }

    /// Notes something in the history, such as that a commit was acknowledged.
    pub fn mark(&self, note: u64) {
        self.state().happen(Event::Mark { note });
    }

    /// How many operations and marks the history has.
    pub fn events(&self) -> usize {
        self.state().history.len()
    }

    /// The marks among the first `events` of the history.
    pub fn marks(&self, events: usize) -> Vec<u64> {
        let note = |event: &Event| match event {
            Event::Mark { note } => Some(*note),
            _ => None,
        };
        self.state().history.iter().take(events).filter_map(note).collect()
    }

    /// Whether the `event`th operation was a sync, of a file or of the folder.
    pub fn is_sync(&self, event: usize) -> bool {
        let state = self.state();
        matches!(state.history.get(event), Some(Event::Sync { .. } | Event::SyncNames))
    }

    /// A disk as it may be after power was cut behind the first `events` of this one's history.
    /// With seed 0 nothing unsynced survives, with seed 1 everything, with others a part that
    /// depends on the seed.
    pub fn after_power_cut(&self, events: usize, seed: u64) -> Self {
        let mut state = self.state();
        let events = events.min(state.history.len());
        let (from, mut medium) = match state.replayed.take() {
            Some((from, medium)) if from <= events => (from, medium),
            _ => (0, state.start.clone()),
        };
        for event in state.history.iter().take(events).skip(from) {
            medium.happen(event);
        }
        let (names, files) = medium.after_power_cut(seed);
        state.replayed = Some((events, medium));
        Self::holding(names, files)
    }

    /// The same disk after the process died and was started anew: nothing is lost, not even what
    /// is unsynced, and the old process can do nothing more.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.state();
        state.life += 1;
        let life = state.life;
        drop(state);
        Self { state: Arc::clone(&self.state), life }
    }

    /// Lets `decide` choose how each further operation ends.
    pub fn decide(&self, decide: impl FnMut(Operation<'_>) -> Outcome + Send + 'static) {
        self.state().decide = Some(Box::new(decide));
    }

    /// From now on every write, and every sync, fails with this error.
    pub fn refuse_writes(&self, kind: io::ErrorKind) {
        self.decide(move |operation| match operation {
            Operation::Read(_) | Operation::Name(_) => Outcome::Done,
            _ => Outcome::Failed(kind),
        });
    }

    /// From now on every operation succeeds again.
    pub fn heal(&self) {
        self.state().decide = None;
    }

    /// Lets `ignore` choose which syncs do nothing and answer success, as if the program had
    /// forgotten them.
    pub fn ignore_syncs(&self, ignore: impl FnMut(SyncPoint<'_>) -> bool + Send + 'static) {
        self.state().ignore = Some(Box::new(ignore));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation of a living process, as it was decided to end.
    fn run<T>(
        &self,
        operation: Operation<'_>,
        run: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.life != self.life {
            return Err(io::Error::other("this process was killed"));
        }
        let outcome = state.decide.as_mut().map_or(Outcome::Done, |decide| decide(operation));
        match outcome {
            Outcome::Done => run(&mut state),
            Outcome::Failed(kind) => Err(kind.into()),
            Outcome::DoneAndFailed(kind) => run(&mut state).and(Err(kind.into())),
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn happen(&mut self, event: Event) {
        self.medium.happen(&event);
        self.history.push(event);
    }

    fn rename_happens(&mut self, event: Event) {
        apply_to_names(&mut self.names, &event);
        self.happen(event);
    }

    fn change_happens(&mut self, file: FileId, event: Event) {
        apply_to_bytes(self.files.entry(file).or_default(), &event);
        self.happen(event);
    }

    fn sync_happens(&mut self, file: Option<&str>, event: Event) {
        let count = self.syncs.entry(file.map(str::to_owned)).or_default();
        let earlier = *count;
        *count += 1;
        let ignored =
            self.ignore.as_mut().is_some_and(|ignore| ignore(SyncPoint { file, earlier }));
        if !ignored {
            self.happen(event);
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("events", &self.history.len()).finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.run(Operation::Name(""), |state| Ok(state.names.keys().cloned().collect()))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.run(Operation::Name(name), |state| {
            if let Some(file) = state.names.get(name) {
                return Ok(*file);
            }
            let file = state.next_file;
            state.next_file += 1;
            state.files.insert(file, Vec::new());
            state.rename_happens(Event::Create { name: name.to_owned(), file });
            Ok(file)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), name: name.to_owned(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.run(Operation::Name(from), |state| {
            state.rename_happens(Event::Rename { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.run(Operation::Name(name), |state| {
            if state.names.contains_key(name) {
                state.rename_happens(Event::Remove { name: name.to_owned() });
            }
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.run(Operation::SyncNames, |state| {
            state.sync_happens(None, Event::SyncNames);
            Ok(())
        })
    }
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    /// The name it was opened by.
    name: String,
    id: FileId,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.run(Operation::Name(&self.name), |state| {
            let len = state.files.get(&self.id).map_or(0, Vec::len);
            u64::try_from(len).map_err(io::Error::other)
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.run(Operation::Read(&self.name), |state| {
            let bytes = state.files.get(&self.id).map(Vec::as_slice).unwrap_or_default();
            let from = bytes.get(offset..offset + into.len());
            into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.run(Operation::Write(&self.name), |state| {
            let event = Event::Write { file: self.id, offset, bytes: bytes.to_vec() };
            state.change_happens(self.id, event);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.disk.run(Operation::SetLen(&self.name), |state| {
            state.change_happens(self.id, Event::SetLen { file: self.id, len });
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let done = self.disk.run(Operation::Sync(&self.name), |state| {
            state.sync_happens(Some(&self.name), Event::Sync { file: self.id });
            Ok(())
        });
        if done.is_err() {
            let mut state = self.disk.state();
            if state.life == self.disk.life {
                let seed = u64::try_from(state.history.len()).unwrap_or(0);
                state.happen(Event::SyncFailed { file: self.id, seed });
            }
        }
        done
    }

    fn forget_cached(&self) {
        let mut state = self.disk.state();
        let settled = state.medium.settled(self.id);
        state.files.insert(self.id, settled);
    }
}
