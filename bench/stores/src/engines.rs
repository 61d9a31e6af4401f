//! The storage engines to compare. Each applies a group of batches and makes it durable with as few
//! syncs as possible; a common committer forms the groups. Only the project's own store has a
//! committer of its own.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use redb::{Durability, ReadableDatabase, TableDefinition};
use strongroom_storage::embedded::{EmbeddedStorage, EmbeddedOptions};
use strongroom_storage::{PhysicalBatch, PhysicalChange, PhysicalEntry, Error, Physical, Version};
use tokio::sync::{mpsc, oneshot};
use twox_hash::XxHash3_64;

/// The names on the command line, each with its description.
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

/// Opens an engine in a folder, which is created if it does not exist.
pub fn open(name: &str, dir: &Path) -> Arc<dyn Physical> {
    std::fs::create_dir_all(dir).expect("the folder is made");
    match name {
        "null" => GroupCommitStore::over(NullEngine),
        "redb" => GroupCommitStore::over(RedbEngine::open(dir, false)),
        "redb-quick" => GroupCommitStore::over(RedbEngine::open(dir, true)),
        "redb-log" => GroupCommitStore::over(RedbLogEngine::open(dir)),
        "fjall" => GroupCommitStore::over(FjallEngine::open(dir)),
        "embedded" => {
            let options = EmbeddedOptions { cache_bytes: CACHE_BYTES, ..EmbeddedOptions::default() };
            Arc::new(EmbeddedStorage::open(dir, options).expect("the store opens"))
        }
        other => panic!("no engine is called {other}"),
    }
}

/// An engine with a single writer.
trait StoreEngine: Send + 'static {
    type StoreReader: StoreReader;
    fn reader(&self) -> Self::Reader;
    fn apply(&mut self, group: &[PhysicalBatch]);
}

/// Point reads, concurrent with the writer.
trait StoreReader: Send + Sync + 'static {
    fn get(&self, key: &str) -> Option<Vec<u8>>;
}

type CommitJob = (PhysicalBatch, oneshot::Sender<()>);

/// An engine behind a group committer.
struct GroupCommitStore<R> {
    queue: Option<mpsc::Sender<CommitJob>>,
    reader: R,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<R: StoreReader> GroupCommitStore<R> {
    fn over(engine: impl StoreEngine<StoreReader = R>) -> Arc<dyn Physical> {
        let (queue, waiting) = mpsc::channel(MOST_BATCHES);
        let reader = engine.reader();
        let thread = std::thread::spawn(move || commit(engine, waiting));
        Arc::new(Self { queue: Some(queue), reader, thread: Mutex::new(Some(thread)) })
    }
}

fn commit(mut engine: impl StoreEngine, mut waiting: mpsc::Receiver<CommitJob>) {
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

impl<R> Drop for GroupCommitStore<R> {
    fn drop(&mut self) {
        drop(self.queue.take());
        let thread = self.thread.get_mut().expect("no panic").take();
        thread.expect("dropped once").join().expect("the committer ends well");
    }
}

impl<R> fmt::Debug for GroupCommitStore<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grouped")
    }
}

#[async_trait]
impl<R: StoreReader> Physical for GroupCommitStore<R> {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        let value = self.reader.get(key);
        Ok(value.map(|value| PhysicalEntry { value: value.into(), version: Version(0) }))
    }

    async fn scan(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, Error> {
        Err(Error::Refused("scans are not measured".to_owned()))
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        let (answer, wait) = oneshot::channel();
        let queue = self.queue.as_ref().expect("not dropped");
        queue.send((batch, answer)).await.expect("the committer lives");
        wait.await.expect("the committer lives");
        Ok(Version(0))
    }
}

struct NullEngine;

impl StoreEngine for NullEngine {
    type StoreReader = Self;
    fn reader(&self) -> Self {
        Self
    }
    fn apply(&mut self, _: &[PhysicalBatch]) {}
}

impl StoreReader for NullEngine {
    fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

struct RedbReader(Arc<redb::Database>);

impl StoreReader for RedbReader {
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

fn put_all(transaction: &redb::WriteTransaction, group: &[PhysicalBatch]) {
    let mut table = transaction.open_table(TABLE).unwrap();
    for change in group.iter().flat_map(|batch| &batch.changes) {
        match change {
            PhysicalChange::Put { key, value } => drop(table.insert(key.as_str(), &value[..]).unwrap()),
            PhysicalChange::Delete { key } => drop(table.remove(key.as_str()).unwrap()),
        }
    }
}

struct RedbEngine {
    db: Arc<redb::Database>,
    quick: bool,
}

impl RedbEngine {
    fn open(dir: &Path, quick: bool) -> Self {
        Self { db: open_redb(dir), quick }
    }
}

impl StoreEngine for RedbEngine {
    type StoreReader = RedbReader;
    fn reader(&self) -> RedbReader {
        RedbReader(Arc::clone(&self.db))
    }
    fn apply(&mut self, group: &[PhysicalBatch]) {
        let mut transaction = self.db.begin_write().unwrap();
        transaction.set_quick_repair(self.quick);
        put_all(&transaction, group);
        transaction.commit().unwrap();
    }
}

/// Writes a log in addition to redb, to include its cost in the figures; it is never read.
struct RedbLogEngine {
    db: Arc<redb::Database>,
    log: File,
    at: u64,
    record: Vec<u8>,
}

const LOG_BYTES: u64 = 8 << 20;

impl RedbLogEngine {
    fn open(dir: &Path) -> Self {
        let log = File::options().create(true).truncate(false).write(true).open(dir.join("log"));
        let log = log.unwrap();
        // Filled once, so that later syncs don't have to write file metadata.
        log.write_all_at(&vec![0; 2 * LOG_BYTES as usize], 0).unwrap();
        log.sync_all().unwrap();
        Self { db: open_redb(dir), log, at: 0, record: Vec::new() }
    }

    fn write_log(&mut self, group: &[PhysicalBatch]) {
        self.record.clear();
        for change in group.iter().flat_map(|batch| &batch.changes) {
            self.record.extend_from_slice(change.key().as_bytes());
            if let PhysicalChange::Put { value, .. } = change {
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

impl StoreEngine for RedbLogEngine {
    type StoreReader = RedbReader;
    fn reader(&self) -> RedbReader {
        RedbReader(Arc::clone(&self.db))
    }
    fn apply(&mut self, group: &[PhysicalBatch]) {
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

struct FjallEngine {
    db: fjall::Database,
    keys: fjall::Keyspace,
}

impl FjallEngine {
    fn open(dir: &Path) -> Self {
        let builder = fjall::Database::builder(dir.join("fjall"));
        let db = builder.cache_size(CACHE_BYTES as u64).worker_threads(1).open().unwrap();
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(8 << 20);
        let keys = db.keyspace("entries", options).unwrap();
        Self { db, keys }
    }
}

struct FjallReader(fjall::Keyspace);

impl StoreReader for FjallReader {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).unwrap().map(|value| value.to_vec())
    }
}

impl StoreEngine for FjallEngine {
    type StoreReader = FjallReader;
    fn reader(&self) -> FjallReader {
        FjallReader(self.keys.clone())
    }
    fn apply(&mut self, group: &[PhysicalBatch]) {
        let mut batch = self.db.batch();
        for change in group.iter().flat_map(|batch| &batch.changes) {
            match change {
                PhysicalChange::Put { key, value } => batch.insert(&self.keys, key.as_str(), &value[..]),
                PhysicalChange::Delete { key } => batch.remove(&self.keys, key.as_str()),
            }
        }
        batch.commit().unwrap();
        self.db.persist(fjall::PersistMode::SyncData).unwrap();
    }
}
