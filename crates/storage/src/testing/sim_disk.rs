//! [`SimDisk`]: an in-memory disk that records everything that happens to it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::medium::{DiskEvent, FileId, SimMedium, apply_to_bytes, apply_to_names};
use crate::embedded::{Disk, DiskFile};

/// An in-memory disk for tests of the embedded store. Clones share the same disk.
///
/// Every operation is recorded, so that [`SimDisk::after_power_cut`] can produce, for any point of
/// the history, a state that a power cut there could have left. Unsynced writes survive sector by
/// sector, or don't, in any order.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<SimDiskState>>,
    /// Handles of a process that was killed no longer work.
    process_life: u64,
}

/// An operation on the disk, as passed to the function given to [`SimDisk::set_outcomes`]. It names
/// the file, but not the offset or the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation<'a> {
    /// The file with this name is read.
    Read(&'a str),
    /// The file with this name is written.
    Write(&'a str),
    /// The length of the file with this name is set.
    SetLen(&'a str),
    /// The file with this name is synced.
    Sync(&'a str),
    /// The file with this name is opened, created, renamed or removed, or its length is read.
    Name(&'a str),
    /// The folder is synced, which makes its names durable.
    SyncNames,
}

/// The outcome of an operation, chosen by the function given to [`SimDisk::set_outcomes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOutcome {
    /// The operation is done and succeeds.
    Done,
    /// The operation has no effect and returns this error. A failed sync leaves some of the
    /// unsynced writes on the medium; the others stay cached and are not written by a later sync.
    Failed(io::ErrorKind),
    /// The operation is done but returns this error.
    DoneAndFailed(io::ErrorKind),
}

/// A sync, as passed to the function given to [`SimDisk::ignore_syncs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncPoint<'a> {
    /// Name of the synced file; `None` for the folder.
    pub file: Option<&'a str>,
    /// Number of earlier syncs of the same file (by name) or of the folder.
    pub earlier: usize,
}

type DecideOutcome = Box<dyn FnMut(DiskOperation<'_>) -> DiskOutcome + Send>;
type IgnoreSync = Box<dyn FnMut(SyncPoint<'_>) -> bool + Send>;

struct SimDiskState {
    /// Names and files as the running process sees them.
    names: BTreeMap<String, FileId>,
    files: BTreeMap<FileId, Vec<u8>>,
    next_file: FileId,
    /// The medium at the start, and what happened since.
    start: SimMedium,
    history: Vec<DiskEvent>,
    medium: SimMedium,
    /// The medium at an earlier point, from which tests of successive power cuts continue.
    replayed: Option<(usize, SimMedium)>,
    syncs: BTreeMap<Option<String>, usize>,
    process_life: u64,
    decide_outcome: Option<DecideOutcome>,
    ignore_sync: Option<IgnoreSync>,
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::with_contents(BTreeMap::new(), BTreeMap::new())
    }

    fn with_contents(names: BTreeMap<String, FileId>, files: BTreeMap<FileId, Vec<u8>>) -> Self {
        let start = SimMedium::with_contents(names.clone(), files.clone());
        let state = SimDiskState {
            next_file: files.keys().last().map_or(0, |last| last + 1),
            medium: start.clone(),
            names,
            files,
            start,
            history: Vec::new(),
            replayed: None,
            syncs: BTreeMap::new(),
            process_life: 0,
            decide_outcome: None,
            ignore_sync: None,
        };
        Self { state: Arc::new(Mutex::new(state)), process_life: 0 }
    }

    /// Adds a note to the history, for example that a commit was acknowledged.
    /// [`SimDisk::marks_before`] returns the notes up to an event.
    pub fn add_mark(&self, note: u64) {
        self.lock_state().record_event(DiskEvent::Mark { note });
    }

    /// Number of operations and marks in the history. Tests use it as an upper bound for
    /// [`SimDisk::marks_before`].
    pub fn event_count(&self) -> usize {
        self.lock_state().history.len()
    }

    /// The marks among the first `events` entries of the history, in the order in which they were
    /// added; operations are left out.
    pub fn marks_before(&self, events: usize) -> Vec<u64> {
        let note = |event: &DiskEvent| match event {
            DiskEvent::Mark { note } => Some(*note),
            _ => None,
        };
        self.lock_state().history.iter().take(events).filter_map(note).collect()
    }

    /// Whether the history's entry `event` is a sync, of a file or of the folder.
    pub fn is_sync(&self, event: usize) -> bool {
        let state = self.lock_state();
        matches!(state.history.get(event), Some(DiskEvent::Sync { .. } | DiskEvent::SyncNames))
    }

    /// A disk as it may be after a power cut that follows the first `events` entries of the
    /// history. With seed 0 nothing unsynced survives, with seed 1 everything, with other seeds a
    /// part that depends on the seed.
    pub fn after_power_cut(&self, events: usize, seed: u64) -> Self {
        let mut state = self.lock_state();
        let events = events.min(state.history.len());
        let (from, mut medium) = match state.replayed.take() {
            Some((from, medium)) if from <= events => (from, medium),
            _ => (0, state.start.clone()),
        };
        for event in state.history.iter().take(events).skip(from) {
            medium.apply_event(event);
        }
        let (names, files) = medium.after_power_cut(seed);
        state.replayed = Some((events, medium));
        Self::with_contents(names, files)
    }

    /// The same disk after the process was killed and restarted: nothing is lost, not even unsynced
    /// data, and handles of the old process stop working.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.lock_state();
        state.process_life += 1;
        let life = state.process_life;
        drop(state);
        Self { state: Arc::clone(&self.state), process_life: life }
    }

    /// Lets `decide` choose the outcome of each further operation. It replaces an earlier function;
    /// [`SimDisk::clear_faults`] removes it.
    pub fn set_outcomes(
        &self,
        decide: impl FnMut(DiskOperation<'_>) -> DiskOutcome + Send + 'static,
    ) {
        self.lock_state().decide_outcome = Some(Box::new(decide));
    }

    /// Makes every write and sync fail with this error from now on; reads still work.
    pub fn refuse_writes(&self, kind: io::ErrorKind) {
        self.set_outcomes(move |operation| match operation {
            DiskOperation::Read(_) | DiskOperation::Name(_) => DiskOutcome::Done,
            _ => DiskOutcome::Failed(kind),
        });
    }

    /// Makes every operation succeed again.
    pub fn clear_faults(&self) {
        self.lock_state().decide_outcome = None;
    }

    /// Lets `ignore` choose syncs that do nothing but report success, as if the program had omitted
    /// them.
    pub fn ignore_syncs(&self, ignore: impl FnMut(SyncPoint<'_>) -> bool + Send + 'static) {
        self.lock_state().ignore_sync = Some(Box::new(ignore));
    }

    fn lock_state(&self) -> MutexGuard<'_, SimDiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation, with the chosen outcome, unless the process was killed.
    fn run_operation<T>(
        &self,
        operation: DiskOperation<'_>,
        run: impl FnOnce(&mut SimDiskState) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock_state();
        if state.process_life != self.process_life {
            return Err(io::Error::other("this process was killed"));
        }
        let outcome =
            state.decide_outcome.as_mut().map_or(DiskOutcome::Done, |decide| decide(operation));
        match outcome {
            DiskOutcome::Done => run(&mut state),
            DiskOutcome::Failed(kind) => Err(kind.into()),
            DiskOutcome::DoneAndFailed(kind) => run(&mut state).and(Err(kind.into())),
        }
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDiskState {
    fn record_event(&mut self, event: DiskEvent) {
        self.medium.apply_event(&event);
        self.history.push(event);
    }

    fn record_name_event(&mut self, event: DiskEvent) {
        apply_to_names(&mut self.names, &event);
        self.record_event(event);
    }

    fn record_file_event(&mut self, file: FileId, event: DiskEvent) {
        apply_to_bytes(self.files.entry(file).or_default(), &event);
        self.record_event(event);
    }

    fn record_sync_event(&mut self, file: Option<&str>, event: DiskEvent) {
        let count = self.syncs.entry(file.map(str::to_owned)).or_default();
        let earlier = *count;
        *count += 1;
        let ignored =
            self.ignore_sync.as_mut().is_some_and(|ignore| ignore(SyncPoint { file, earlier }));
        if !ignored {
            self.record_event(event);
        }
    }
}

impl fmt::Debug for SimDiskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDiskState").field("events", &self.history.len()).finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn list_names(&self) -> io::Result<Vec<String>> {
        self.run_operation(DiskOperation::Name(""), |state| {
            Ok(state.names.keys().cloned().collect())
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.run_operation(DiskOperation::Name(name), |state| {
            if let Some(file) = state.names.get(name) {
                return Ok(*file);
            }
            let file = state.next_file;
            state.next_file += 1;
            state.files.insert(file, Vec::new());
            state.record_name_event(DiskEvent::Create { name: name.to_owned(), file });
            Ok(file)
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), name: name.to_owned(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.run_operation(DiskOperation::Name(from), |state| {
            state.record_name_event(DiskEvent::Rename { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.run_operation(DiskOperation::Name(name), |state| {
            if state.names.contains_key(name) {
                state.record_name_event(DiskEvent::Remove { name: name.to_owned() });
            }
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.run_operation(DiskOperation::SyncNames, |state| {
            state.record_sync_event(None, DiskEvent::SyncNames);
            Ok(())
        })
    }
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    /// The name it was opened with.
    name: String,
    id: FileId,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.run_operation(DiskOperation::Name(&self.name), |state| {
            let len = state.files.get(&self.id).map_or(0, Vec::len);
            u64::try_from(len).map_err(io::Error::other)
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.run_operation(DiskOperation::Read(&self.name), |state| {
            let bytes = state.files.get(&self.id).map(Vec::as_slice).unwrap_or_default();
            let from = bytes.get(offset..offset + into.len());
            into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.run_operation(DiskOperation::Write(&self.name), |state| {
            let event = DiskEvent::Write { file: self.id, offset, bytes: bytes.to_vec() };
            state.record_file_event(self.id, event);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.disk.run_operation(DiskOperation::SetLen(&self.name), |state| {
            state.record_file_event(self.id, DiskEvent::SetLen { file: self.id, len });
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let done = self.disk.run_operation(DiskOperation::Sync(&self.name), |state| {
            state.record_sync_event(Some(&self.name), DiskEvent::Sync { file: self.id });
            Ok(())
        });
        if done.is_err() {
            let mut state = self.disk.lock_state();
            if state.process_life == self.disk.process_life {
                let seed = u64::try_from(state.history.len()).unwrap_or(0);
                state.record_event(DiskEvent::SyncFailed { file: self.id, seed });
            }
        }
        done
    }

    fn drop_page_cache(&self) {
        let mut state = self.disk.lock_state();
        let settled = state.medium.contents_on_medium(self.id);
        state.files.insert(self.id, settled);
    }
}
