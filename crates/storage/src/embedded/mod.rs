//! One folder on the local disk.
//!
//! A commit is durable when its group's record is synced in the *log*; it is visible from then on
//! through the *overlay* in memory. When a log file is full it is carried over into the *tree*, a
//! redb file, in commits of hundreds of changes. Reads look at the overlay, then at the tree. The
//! design note (`docs/src/design/embedded-store.md`) says why, and what happens at each crash.
//!
//! In reading order: `committer` (a commit's way), `record` and `log`, `overlay`, `carrier` and
//! `handover`, `tree`, `opened` and `tree_file`, `format` and `disk`.

mod carrier;
mod committer;
mod disk;
mod fault;
mod format;
mod handover;
mod log;
mod opened;
mod options;
mod overlay;
mod record;
mod stats;
mod tree;
mod tree_file;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::committer::{Committer, Job, Message};
use self::disk::{Folder, FolderLock};
use self::fault::classify;
use self::format::Found;
use self::handover::Handover;
use self::overlay::Overlay;
use self::stats::Counters;
use self::tree::Tree;
use crate::{Batch, Entry, Error, Limits, Physical, Version};

pub use self::disk::{Disk, DiskFile};
pub use self::options::Options;
pub use self::stats::Stats;

/// The embedded store. Needs a tokio runtime around its futures.
///
/// Two threads belong to it; both end with [`Embedded::close`], or else when it is dropped.
pub struct Embedded {
    shared: Arc<Shared>,
    limits: Limits,
    readers: Arc<Semaphore>,
    running: Mutex<Option<Running>>,
}

/// What ends when the store is closed; dropping it ends it.
struct Running {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Message>>,
    committer: Option<JoinHandle<()>>,
    carrier: Option<JoinHandle<()>>,
    /// Keeps other processes out; released last. A test's disk has none.
    _lock: Option<FolderLock>,
}

/// What readers and both threads share.
struct Shared {
    /// Held for map operations only.
    overlay: RwLock<Overlay>,
    tree: Tree,
    handover: Handover,
    counters: Counters,
    retry: carrier::Retry,
    /// About what one commit of the tree writes.
    step_bytes: usize,
}

impl Embedded {
    /// Opens the store in the folder at `path`, which is created when it isn't there. Waits for
    /// the disk.
    ///
    /// An empty folder is laid out. One that holds anything that is not ours, is in use by another
    /// process or was written by a newer version is [`Error::Refused`], and left as it is.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        options.check()?;
        let folder = Folder::ensure(path).map_err(|error| unusable(path, &error))?;
        // Before the lock file is put there: nothing is written into a folder of somebody else.
        format::look(&folder).map_err(|error| with_path(path, error))?;
        let Some(lock) = folder.lock().map_err(|error| unusable(path, &error))? else {
            return Err(Error::Refused(format!(
                "the storage folder {} is in use by another process",
                path.display()
            )));
        };
        Self::start(&(Arc::new(folder) as Arc<dyn Disk>), Some(lock), options)
            .map_err(|error| with_path(path, error))
    }

    /// Opens the store on a simulated disk.
    #[cfg(any(test, feature = "testing"))]
    pub fn open_on(disk: impl Disk, options: Options) -> Result<Self, Error> {
        options.check()?;
        Self::start(&(Arc::new(disk) as Arc<dyn Disk>), None, options)
    }

    /// Stops taking batches, commits those that were taken, ends both threads and releases the
    /// folder. Everything answers [`Error::Closed`] afterwards. Closing twice is no error.
    ///
    /// Cancel safety: once begun, closing goes on without the future.
    pub async fn close(&self) {
        let running = self.running().take();
        self.readers.close();
        let closing = tokio::task::spawn_blocking(move || {
            if let Some(queue) = running.as_ref().and_then(|running| running.queue.as_ref()) {
                // Refused when the committer has ended already.
                let _ = queue.blocking_send(Message::Stop);
            }
            drop(running);
        });
        // An error means that the runtime is going down, and has dropped what it did not run.
        let _ = closing.await;
    }

    /// Begins to carry what the log holds over into the tree, if that is at least so many bytes,
    /// instead of when the log file is full: for a store that has nothing else to do. It then holds
    /// less in memory, and has less to read at its next start. Says whether it has begun; it has not
    /// if there is less, or if a file is being carried over already.
    ///
    /// Cancel safety: once asked for, it is done without the future.
    pub async fn carry_over(&self, at_least: u64) -> Result<bool, Error> {
        let queue = self.running().as_ref().and_then(|running| running.queue.clone());
        let (answer, begun) = oneshot::channel();
        let message = Message::CarryOver { at_least, answer };
        queue.ok_or_else(closed)?.send(message).await.map_err(|_| closed())?;
        begun.await.map_err(|_| closed())
    }

    /// What the store did so far.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            commits: counters.commits.get(),
            groups: counters.groups.get(),
            log_bytes: counters.log_bytes.get(),
            carried_over: counters.carried_over.get(),
            reads_from_memory: counters.reads_from_memory.get(),
            reads_from_tree: counters.reads_from_tree.get(),
            faults: counters.faults.get(),
            reopened: self.shared.tree.reopened(),
            keys_in_memory: self.shared.overlay().len(),
        }
    }

    fn start(
        disk: &Arc<dyn Disk>,
        lock: Option<FolderLock>,
        options: Options,
    ) -> Result<Self, Error> {
        if format::look(&**disk)? != Found::Ready {
            format::lay_out(&**disk, options.log_bytes, options.cache_bytes)?;
        }
        format::check_complete(&**disk)?;
        let tree = Tree::open(Arc::clone(disk), options.cache_bytes)?;
        let recovered = log::open(&**disk, tree.applied())?;
        options.check_log(recovered.log.capacity())?;
        let mut overlay = Overlay::default();
        for (version, changes) in recovered.batches {
            overlay.apply(version, changes);
        }
        let shared = Arc::new(Shared {
            overlay: RwLock::new(overlay),
            tree,
            handover: Handover::start_with(recovered.older),
            counters: Counters::default(),
            retry: carrier::Retry {
                shortest: options.retry_shortest,
                longest: options.retry_longest,
            },
            step_bytes: options.step_bytes(),
        });
        let (queue, waiting) = mpsc::channel(options.queued_batches);
        let committer = Committer {
            shared: Arc::clone(&shared),
            queue: waiting,
            log: recovered.log,
            last: recovered.last,
            most_batches: options.group_batches,
            enough_bytes: options.group_bytes(),
        };
        let mut running = Running {
            shared: Arc::clone(&shared),
            queue: Some(queue),
            committer: None,
            carrier: None,
            _lock: lock,
        };
        running.committer = Some(spawn("store-committer", || committer.run())?);
        let carrying = Arc::clone(&shared);
        running.carrier = Some(spawn("store-carrier", move || carrier::run(&carrying))?);
        Ok(Self {
            shared,
            limits: options.limits,
            readers: Arc::new(Semaphore::new(options.readers)),
            running: Mutex::new(Some(running)),
        })
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a read that may wait for the disk where it may, a bounded number at a time.
    async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed())?;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let result = run(&shared);
            drop(permit);
            result
        });
        self.shared.counters.reads_from_tree.add(1);
        match reading.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(opened::unreadable()),
            Err(_) => Err(closed()),
        }
    }
}

impl Drop for Running {
    /// In this order: the committer may need the carrier to end, and both need the tree.
    fn drop(&mut self) {
        drop(self.queue.take());
        // An error is a panic of the thread, which has been reported.
        let _ = self.committer.take().map(JoinHandle::join);
        self.shared.handover.stop();
        let _ = self.carrier.take().map(JoinHandle::join);
        self.shared.tree.close();
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Physical for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        if self.readers.is_closed() {
            return Err(closed());
        }
        let newest = self.shared.overlay().get(key);
        if let Some(found) = newest {
            self.shared.counters.reads_from_memory.add(1);
            return Ok(found);
        }
        let key = key.to_owned();
        self.read(move |shared| shared.in_tree(|tree| tree.get(&key))).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |shared| {
            shared.in_tree(|tree| {
                // Both taken under one lock: together they are the state at one moment.
                let (newer, snapshot) = {
                    let overlay = shared.overlay();
                    (overlay.slice(&prefix, after.as_deref(), limit), tree.snapshot()?)
                };
                snapshot.keys(&prefix, after.as_deref(), limit, newer)
            })
        })
        .await
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        self.limits.check(&batch)?;
        let queue = self.running().as_ref().and_then(|running| running.queue.clone());
        let (answer, verdict) = oneshot::channel();
        let job = Message::Commit(Job { batch, answer });
        queue.ok_or_else(closed)?.send(job).await.map_err(|_| closed())?;
        // The thread answers everybody, unless it dies; then nobody knows.
        verdict.await.unwrap_or_else(|_| Err(Error::Io("the committer is gone".to_owned())))
    }
}

impl Shared {
    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the tree. If a fault of another operation has closed it, opens it and reads again;
    /// what can't be done here is left to the carrier.
    fn in_tree<T>(&self, read: impl Fn(&Tree) -> Result<T, Error>) -> Result<T, Error> {
        let mut result = read(&self.tree);
        // More than once, since the carrier may be opening it at the same time.
        for _ in 0..3 {
            let closed = matches!(result, Err(Error::Closed(_)));
            if !closed || self.tree.revive().is_err() {
                break;
            }
            result = read(&self.tree);
        }
        if result.is_err() && self.tree.needs_recovery() {
            self.handover.ask();
        }
        result
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| classify(&error, "starting a thread"))
}

fn closed() -> Error {
    Error::Closed("it was closed".to_owned())
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::Refused(format!("the storage folder {} can't be used: {error}", path.display()))
}

/// Says in which folder it is, where that helps.
fn with_path(path: &Path, error: Error) -> Error {
    let path = path.display();
    match error {
        Error::Refused(why) => Error::Refused(format!("{why} ({path})")),
        Error::Corrupt(what) => Error::Corrupt(format!("{what} ({path})")),
        Error::Io(what) => Error::Io(format!("{what} ({path})")),
        Error::Full | Error::ReadOnly => Error::Refused(format!("{error} ({path})")),
        other => other,
    }
}
