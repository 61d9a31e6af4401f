//! The engines under test. Each applies a group of batches and makes it durable with as few syncs
//! as it can; a committer of the same make forms the groups for all of them. The project's own
//! store brings its own committer.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use redb::{Durability, ReadableDatabase, TableDefinition};
use strongroom_storage::embedded::{Embedded, Options};
use strongroom_storage::{Batch, Change, Entry, Error, Physical, Version};
use tokio::sync::{mpsc, oneshot};
use twox_hash::XxHash3_64;

/// What can be named on the command line, and what it is.
pub const ENGINES: &[(&str, &str)] = &[
    ("null", "no storage at all: what the harness itself costs"),
    ("redb", "one durable redb transaction a group (one sync)"),
    ("redb-quick", "the same with quick repair (two syncs)"),
    ("redb-log", "redb transactions that are not durable, behind a log; speed only, no recovery"),
    ("fjall", "one batch a group, then persist (one sync)"),
    ("embedded", "the store in crates/storage"),
];

const CACHE_BYTES: usize = 16 << 20;
const MOST_BATCHES: usize = 256;

/// Opens an engine in a folder.
pub fn open(name: &str, dir: &Path) -> Arc<dyn Physical> {
    std::fs::create_dir_all(dir).expect("the folder is made");
    match name {
        "null" => Grouped::over(Null),
        "redb" => Grouped::over(Redb::open(dir, false)),
        "redb-quick" => Grouped::over(Redb::open(dir, true)),
        "redb-log" => Grouped::over(RedbLog::open(dir)),
        "fjall" => Grouped::over(Fjall::open(dir)),
        "embedded" => {
            let options = Options { cache_bytes: CACHE_BYTES, ..Options::default() };
            Arc::new(Embedded::open(dir, options).expect("the store opens"))
        }
        other => panic!("no engine is called {other}"),
    }
}

/// An engine that has one writer.
trait Engine: Send + 'static {
    type Reader: Reader;
    fn reader(&self) -> Self::Reader;
    fn apply(&mut self, group: &[Batch]);
}

/// Point reads beside the writer.
trait Reader: Send + Sync + 'static {
    fn get(&self, key: &str) -> Option<Vec<u8>>;
}

type Job = (Batch, oneshot::Sender<()>);

/// An engine with a committer in front of it.
struct Grouped<R> {
    queue: Option<mpsc::Sender<Job>>,
    reader: R,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<R: Reader> Grouped<R> {
    fn over(engine: impl Engine<Reader = R>) -> Arc<dyn Physical> {
        let (queue, waiting) = mpsc::channel(MOST_BATCHES);
        let reader = engine.reader();
        let thread = std::thread::spawn(move || commit(engine, waiting));
        Arc::new(Self { queue: Some(queue), reader, thread: Mutex::new(Some(thread)) })
    }
}

fn commit(mut engine: impl Engine, mut waiting: mpsc::Receiver<Job>) {
    let (mut group, mut answers) = (Vec::new(), Vec::new());
    while let Some((batch, answer)) = waiting.blocking_recv() {
        group.push(batch);
        answers.push(answer);
        while group.len() < MOST_BATCHES {
            let Ok((batch, answer)) = waiting.try_recv() else { break };
            group.push(batch);
            answers.push(answer);
        }
        engine.apply(&group);
        group.clear();
        for answer in answers.drain(..) {
            let _ = answer.send(());
        }
    }
}

impl<R> Drop for Grouped<R> {
    fn drop(&mut self) {
        drop(self.queue.take());
        let thread = self.thread.get_mut().expect("no panic").take();
        thread.expect("dropped once").join().expect("the committer ends well");
    }
}

impl<R> fmt::Debug for Grouped<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grouped")
    }
}

#[async_trait]
impl<R: Reader> Physical for Grouped<R> {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let value = self.reader.get(key);
        Ok(value.map(|value| Entry { value: value.into(), version: Version(0) }))
    }

    async fn scan(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, Error> {
        Err(Error::Refused("scans are not measured".to_owned()))
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let (answer, wait) = oneshot::channel();
        let queue = self.queue.as_ref().expect("not dropped");
        queue.send((batch, answer)).await.expect("the committer lives");
        wait.await.expect("the committer lives");
        Ok(Version(0))
    }
}

struct Null;

impl Engine for Null {
    type Reader = Self;
    fn reader(&self) -> Self {
        Self
    }
    fn apply(&mut self, _: &[Batch]) {}
}

impl Reader for Null {
    fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

struct RedbReader(Arc<redb::Database>);

impl Reader for RedbReader {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let table = self.0.begin_read().unwrap().open_table(TABLE).unwrap();
        table.get(key).unwrap().map(|value| value.value().to_vec())
    }
}

fn open_redb(dir: &Path) -> Arc<redb::Database> {
    let mut builder = redb::Database::builder();
    let db = builder.set_cache_size(CACHE_BYTES).create(dir.join("data.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    transaction.open_table(TABLE).unwrap();
    transaction.commit().unwrap();
    Arc::new(db)
}

fn put_all(transaction: &redb::WriteTransaction, group: &[Batch]) {
    let mut table = transaction.open_table(TABLE).unwrap();
    for change in group.iter().flat_map(|batch| &batch.changes) {
        match change {
            Change::Put { key, value } => drop(table.insert(key.as_str(), &value[..]).unwrap()),
            Change::Delete { key } => drop(table.remove(key.as_str()).unwrap()),
        }
    }
}

struct Redb {
    db: Arc<redb::Database>,
    quick: bool,
}

impl Redb {
    fn open(dir: &Path, quick: bool) -> Self {
        Self { db: open_redb(dir), quick }
    }
}

impl Engine for Redb {
    type Reader = RedbReader;
    fn reader(&self) -> RedbReader {
        RedbReader(Arc::clone(&self.db))
    }
    fn apply(&mut self, group: &[Batch]) {
        let mut transaction = self.db.begin_write().unwrap();
        transaction.set_quick_repair(self.quick);
        put_all(&transaction, group);
        transaction.commit().unwrap();
    }
}

/// Writes what a log would, so that its cost is in the figures; nothing reads it back.
struct RedbLog {
    db: Arc<redb::Database>,
    log: File,
    at: u64,
    record: Vec<u8>,
}

const LOG_BYTES: u64 = 8 << 20;

impl RedbLog {
    fn open(dir: &Path) -> Self {
        let log = File::options().create(true).truncate(false).write(true).open(dir.join("log"));
        let log = log.unwrap();
        // Filled once, so that later syncs change no metadata.
        log.write_all_at(&vec![0; 2 * LOG_BYTES as usize], 0).unwrap();
        log.sync_all().unwrap();
        Self { db: open_redb(dir), log, at: 0, record: Vec::new() }
    }

    fn write_log(&mut self, group: &[Batch]) {
        self.record.clear();
        for change in group.iter().flat_map(|batch| &batch.changes) {
            self.record.extend_from_slice(change.key().as_bytes());
            if let Change::Put { value, .. } = change {
                self.record.extend_from_slice(value);
            }
        }
        let sum = XxHash3_64::oneshot(&self.record);
        self.record.extend_from_slice(&sum.to_le_bytes());
        self.log.write_all_at(&self.record, self.at).unwrap();
        self.log.sync_data().unwrap();
        self.at += self.record.len() as u64;
    }
}

impl Engine for RedbLog {
    type Reader = RedbReader;
    fn reader(&self) -> RedbReader {
        RedbReader(Arc::clone(&self.db))
    }
    fn apply(&mut self, group: &[Batch]) {
        let mut transaction = self.db.begin_write().unwrap();
        put_all(&transaction, group);
        if self.at > LOG_BYTES {
            transaction.set_quick_repair(true);
            self.at = 0;
        } else {
            transaction.set_durability(Durability::None).unwrap();
            self.write_log(group);
        }
        transaction.commit().unwrap();
    }
}

struct Fjall {
    db: fjall::Database,
    keys: fjall::Keyspace,
}

impl Fjall {
    fn open(dir: &Path) -> Self {
        let builder = fjall::Database::builder(dir.join("fjall"));
        let db = builder.cache_size(CACHE_BYTES as u64).worker_threads(1).open().unwrap();
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(8 << 20);
        let keys = db.keyspace("entries", options).unwrap();
        Self { db, keys }
    }
}

struct FjallReader(fjall::Keyspace);

impl Reader for FjallReader {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).unwrap().map(|value| value.to_vec())
    }
}

impl Engine for Fjall {
    type Reader = FjallReader;
    fn reader(&self) -> FjallReader {
        FjallReader(self.keys.clone())
    }
    fn apply(&mut self, group: &[Batch]) {
        let mut batch = self.db.batch();
        for change in group.iter().flat_map(|batch| &batch.changes) {
            match change {
                Change::Put { key, value } => batch.insert(&self.keys, key.as_str(), &value[..]),
                Change::Delete { key } => batch.remove(&self.keys, key.as_str()),
            }
        }
        batch.commit().unwrap();
        self.db.persist(fjall::PersistMode::SyncData).unwrap();
    }
}
