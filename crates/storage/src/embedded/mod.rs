//! The embedded store: one folder on the local disk.
//!
//! A commit is durable once its group's record is synced in the *log*, and is then readable from
//! the *memtable*. When a log file is full, a *checkpoint* writes it to the *tree*, a redb file, in
//! commits of hundreds of changes. Reads look in the memtable, then in the tree. The design note
//! (`docs/src/design/embedded-store.md`) explains why, and what happens at each possible crash.
//!
//! In reading order: `committer`, `record` and `log`, `memtable`, `checkpointer` and
//! `checkpoint_handoff`, `tree`, `tree_database` and `tree_file`, `format` and `disk`.

mod checkpoint_handoff;
mod checkpointer;
mod committer;
mod disk;
mod format;
mod io_errors;
mod log;
mod memtable;
mod options;
mod record;
mod stats;
mod tree;
mod tree_database;
mod tree_file;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::checkpoint_handoff::CheckpointHandoff;
use self::committer::{CommitterMessage, LogCommitter, PendingCommit};
use self::disk::{FolderLock, LocalFolder};
use self::format::FolderState;
use self::io_errors::classify_io_error;
use self::memtable::Memtable;
use self::stats::EmbeddedCounters;
use self::tree::Tree;
use crate::{Error, Physical, PhysicalBatch, PhysicalEntry, StorageLimits, Version};

pub use self::disk::{Disk, DiskFile};
pub use self::options::EmbeddedOptions;
pub use self::stats::EmbeddedStats;

/// The embedded store: a write-ahead log and a tree in one folder. Its futures need a tokio
/// runtime.
///
/// It runs two threads, which end with [`EmbeddedStorage::close`] or when it is dropped.
pub struct EmbeddedStorage {
    shared: Arc<EmbeddedInner>,
    limits: StorageLimits,
    readers: Arc<Semaphore>,
    threads: Mutex<Option<StoreThreads>>,
}

/// The resources released when the store is closed or dropped.
struct StoreThreads {
    shared: Arc<EmbeddedInner>,
    queue: Option<mpsc::Sender<CommitterMessage>>,
    committer: Option<JoinHandle<()>>,
    checkpointer: Option<JoinHandle<()>>,
    /// Excludes other processes; released last. A simulated disk has none.
    _lock: Option<FolderLock>,
}

/// State shared by readers and both threads.
struct EmbeddedInner {
    /// Locked for map operations only.
    memtable: RwLock<Memtable>,
    tree: Tree,
    handoff: CheckpointHandoff,
    counters: EmbeddedCounters,
    retry_delays: checkpointer::RetryDelays,
    /// Approximate bytes written by one commit of the tree.
    checkpoint_step_bytes: usize,
}

impl EmbeddedStorage {
    /// Opens the store in the folder at `path`, creating it if it doesn't exist. Blocks on disk
    /// I/O.
    ///
    /// A store is created in an empty folder. A folder with other files, one in use by another
    /// process, or one written by a newer version is left unchanged and refused.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the options or the folder can't be used, [`Error::Corrupt`] if the
    /// store is damaged, or an I/O error.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, Error> {
        options.validate()?;
        let folder =
            LocalFolder::open_or_create(path).map_err(|error| unusable_folder(path, &error))?;
        // Checked before the lock file is created, so that nothing is written into a foreign
        // folder.
        format::inspect_folder(&folder).map_err(|error| with_folder_path(path, error))?;
        let Some(lock) = folder.try_lock().map_err(|error| unusable_folder(path, &error))? else {
            return Err(Error::Refused(format!(
                "the storage folder {} is in use by another process",
                path.display()
            )));
        };
        Self::open_disk(&(Arc::new(folder) as Arc<dyn Disk>), Some(lock), options)
            .map_err(|error| with_folder_path(path, error))
    }

    /// Opens the store on a simulated disk, for tests; as [`EmbeddedStorage::open`] otherwise.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedStorage::open`], except that [`Error::Full`] and [`Error::ReadOnly`] are
    /// returned as they are.
    #[cfg(any(test, feature = "testing"))]
    pub fn open_with_disk(disk: impl Disk, options: EmbeddedOptions) -> Result<Self, Error> {
        options.validate()?;
        Self::open_disk(&(Arc::new(disk) as Arc<dyn Disk>), None, options)
    }

    /// Refuses further batches, commits those already queued, ends both threads and releases the
    /// folder. Every operation fails with [`Error::Closed`] afterwards. Closing twice is harmless.
    ///
    /// # Cancel safety
    ///
    /// Once polled, closing completes even if the future is dropped.
    pub async fn close(&self) {
        let running = self.lock_threads().take();
        self.readers.close();
        let closing = tokio::task::spawn_blocking(move || {
            if let Some(queue) = running.as_ref().and_then(|running| running.queue.as_ref()) {
                // Fails if the committer has ended already.
                let _ = queue.blocking_send(CommitterMessage::Stop);
            }
            drop(running);
        });
        // An error means that the runtime is shutting down and dropped the task.
        let _ = closing.await;
    }

    /// Starts a checkpoint of the log if it holds at least `at_least` bytes, instead of when the
    /// file is full. Meant for idle times: afterwards the store uses less memory and starts faster.
    /// Returns whether a checkpoint was started; not if the log holds less or nothing, a failed
    /// append can't be discarded, or a checkpoint is in progress.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the store is closed.
    ///
    /// # Cancel safety
    ///
    /// Once the request is queued, it is handled even if the future is dropped.
    pub async fn start_checkpoint(&self, at_least: u64) -> Result<bool, Error> {
        let queue = self.lock_threads().as_ref().and_then(|running| running.queue.clone());
        let (answer, begun) = oneshot::channel();
        let message = CommitterMessage::Checkpoint { at_least, answer };
        queue.ok_or_else(closed_error)?.send(message).await.map_err(|_| closed_error())?;
        begun.await.map_err(|_| closed_error())
    }

    /// Counters since the store was opened; see [`EmbeddedStats`]. Reading them does no disk I/O
    /// and resets nothing.
    pub fn stats(&self) -> EmbeddedStats {
        let counters = &self.shared.counters;
        EmbeddedStats {
            commits: counters.commits.get(),
            groups: counters.groups.get(),
            log_bytes: counters.log_bytes.get(),
            checkpoints: counters.checkpoints.get(),
            reads_from_memory: counters.reads_from_memory.get(),
            reads_from_tree: counters.reads_from_tree.get(),
            faults: counters.faults.get(),
            reopened: self.shared.tree.reopen_count(),
            keys_in_memory: self.shared.memtable().len(),
        }
    }

    fn open_disk(
        disk: &Arc<dyn Disk>,
        lock: Option<FolderLock>,
        options: EmbeddedOptions,
    ) -> Result<Self, Error> {
        if format::inspect_folder(&**disk)? != FolderState::Ready {
            format::create_store(&**disk, options.log_bytes, options.cache_bytes)?;
        }
        format::check_complete(&**disk)?;
        let tree = Tree::open(Arc::clone(disk), options.cache_bytes)?;
        let recovered = log::open(&**disk, tree.applied_version())?;
        options.validate_log(recovered.log.capacity())?;
        let mut memtable = Memtable::default();
        for (version, changes) in recovered.batches {
            memtable.apply_batch(version, changes);
        }
        let shared = Arc::new(EmbeddedInner {
            memtable: RwLock::new(memtable),
            tree,
            handoff: CheckpointHandoff::with_pending(recovered.older_last_version),
            counters: EmbeddedCounters::default(),
            retry_delays: checkpointer::RetryDelays {
                shortest: options.retry_shortest,
                longest: options.retry_longest,
            },
            checkpoint_step_bytes: options.checkpoint_step_bytes(),
        });
        let (queue, waiting) = mpsc::channel(options.queued_batches);
        let committer = LogCommitter {
            shared: Arc::clone(&shared),
            queue: waiting,
            log: recovered.log,
            last: recovered.last_version,
            max_group_batches: options.group_batches,
            max_group_bytes: options.group_bytes(),
        };
        let mut running = StoreThreads {
            shared: Arc::clone(&shared),
            queue: Some(queue),
            committer: None,
            checkpointer: None,
            _lock: lock,
        };
        running.committer = Some(spawn_thread("store-committer", || committer.run())?);
        let carrying = Arc::clone(&shared);
        running.checkpointer =
            Some(spawn_thread("store-carrier", move || checkpointer::run_checkpointer(&carrying))?);
        Ok(Self {
            shared,
            limits: options.limits,
            readers: Arc::new(Semaphore::new(options.readers)),
            threads: Mutex::new(Some(running)),
        })
    }

    fn lock_threads(&self) -> MutexGuard<'_, Option<StoreThreads>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read that may block on the disk, on the blocking pool; limits how many run at once.
    async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&EmbeddedInner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed_error())?;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let result = run(&shared);
            drop(permit);
            result
        });
        self.shared.counters.reads_from_tree.add(1);
        match reading.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(tree_database::unreadable_error()),
            Err(_) => Err(closed_error()),
        }
    }
}

impl Drop for StoreThreads {
    /// The order matters: the committer may need the checkpointer to end, and both need the tree.
    fn drop(&mut self) {
        drop(self.queue.take());
        // An error is a panic of the thread, which was reported already.
        let _ = self.committer.take().map(JoinHandle::join);
        self.shared.handoff.stop();
        let _ = self.checkpointer.take().map(JoinHandle::join);
        self.shared.tree.close();
    }
}

impl fmt::Debug for EmbeddedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStorage").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Physical for EmbeddedStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        if self.readers.is_closed() {
            return Err(closed_error());
        }
        let newest = self.shared.memtable().get(key);
        if let Some(found) = newest {
            self.shared.counters.reads_from_memory.add(1);
            return Ok(found);
        }
        let key = key.to_owned();
        self.read(move |shared| shared.read_tree(|tree| tree.get(&key))).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |shared| {
            shared.read_tree(|tree| {
                // Both are taken under one lock, so together they are a consistent snapshot.
                let (newer, snapshot) = {
                    let memtable = shared.memtable();
                    (memtable.keys_for_scan(&prefix, after.as_deref(), limit), tree.snapshot()?)
                };
                snapshot.merged_keys(&prefix, after.as_deref(), limit, newer)
            })
        })
        .await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        self.limits.check_batch(&batch)?;
        let queue = self.lock_threads().as_ref().and_then(|running| running.queue.clone());
        let (answer, verdict) = oneshot::channel();
        let job = CommitterMessage::Commit(PendingCommit { batch, answer });
        queue.ok_or_else(closed_error)?.send(job).await.map_err(|_| closed_error())?;
        // The thread reports every result unless it panics; then the outcome is unknown.
        verdict.await.unwrap_or_else(|_| Err(Error::Io("the committer is gone".to_owned())))
    }
}

impl EmbeddedInner {
    fn memtable(&self) -> RwLockReadGuard<'_, Memtable> {
        self.memtable.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memtable_mut(&self) -> RwLockWriteGuard<'_, Memtable> {
        self.memtable.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the tree. If a fault has closed it, tries to reopen it and reads again; recovery that
    /// a reader can't do is left to the checkpointer.
    fn read_tree<T>(&self, read: impl Fn(&Tree) -> Result<T, Error>) -> Result<T, Error> {
        let mut result = read(&self.tree);
        // Repeated, because the checkpointer may be reopening the tree meanwhile.
        for _ in 0..3 {
            let closed = matches!(result, Err(Error::Closed(_)));
            if !closed || self.tree.try_reopen().is_err() {
                break;
            }
            result = read(&self.tree);
        }
        if result.is_err() && self.tree.needs_recovery() {
            self.handoff.request_recovery();
        }
        result
    }
}

fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| classify_io_error(&error, "starting a thread"))
}

fn closed_error() -> Error {
    Error::Closed("it was closed".to_owned())
}

fn unusable_folder(path: &Path, error: &std::io::Error) -> Error {
    Error::Refused(format!("the storage folder {} can't be used: {error}", path.display()))
}

/// Adds the folder's path to errors where it helps.
fn with_folder_path(path: &Path, error: Error) -> Error {
    let path = path.display();
    match error {
        Error::Refused(why) => Error::Refused(format!("{why} ({path})")),
        Error::Corrupt(what) => Error::Corrupt(format!("{what} ({path})")),
        Error::Io(what) => Error::Io(format!("{what} ({path})")),
        Error::Full | Error::ReadOnly => Error::Refused(format!("{error} ({path})")),
        other => other,
    }
}
