use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use super::*;
use crate::stored_entries::{MAX_LOGGED, MAX_LOGGED_KEY_BYTES};

/// A store in which an instance of the previous version changes an entry during the next read.
#[derive(Debug, Default)]
struct RacingStorage {
    entries: Mutex<BTreeMap<String, StorageEntry>>,
    /// Written after the next list of the root, and reported to this instance.
    write_after_list: Mutex<Option<String>>,
    migration: OnceLock<std::sync::Weak<KeyMigratingStorage>>,
    damaged: Vec<String>,
    /// A key that is temporarily unreadable.
    failing: Mutex<Option<String>>,
}

impl RacingStorage {
    fn put(&self, key: &str, value: &str) {
        let value = value.to_owned().into_bytes().into();
        let stored = StorageEntry { value, version: 1, seal_wrap: false };
        self.entries.lock().unwrap().insert(key.to_owned(), stored);
    }

    fn value_of(&self, key: &str) -> Option<String> {
        let entries = self.entries.lock().unwrap();
        entries.get(key).map(|stored| String::from_utf8_lossy(&stored.value).into_owned())
    }
}

#[async_trait]
impl Storage for RacingStorage {
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError> {
        if self.damaged.iter().any(|damaged| damaged == key) {
            return Err(StorageError::Damaged("its checksum is wrong".to_owned()));
        }
        if self.failing.lock().unwrap().as_deref() == Some(key) {
            return Err(StorageError::Failed("the disk did not answer".to_owned()));
        }
        Ok(self.entries.lock().unwrap().get(key).cloned())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let entries = self.entries.lock().unwrap();
        let below = entries.keys().filter_map(|key| key.strip_prefix(prefix));
        let mut names = Vec::new();
        add_names(
            &mut names,
            below.map(|name| name.split_inclusive('/').next().unwrap().to_owned()).collect(),
            after,
            limit,
        );
        drop(entries);
        if let Some(late) = self.write_after_list.lock().unwrap().take() {
            self.put(&late, "late");
            self.migration.get().unwrap().upgrade().unwrap().on_external_write(&late);
        }
        Ok(names)
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        let mut entries = self.entries.lock().unwrap();
        for condition in &batch.preconditions {
            let found = entries.get(condition.key());
            let holds = match condition {
                StoragePrecondition::Exists(_) => found.is_some(),
                StoragePrecondition::Absent(_) => found.is_none(),
                StoragePrecondition::Unchanged(_, version) => {
                    found.is_some_and(|found| found.version == *version)
                }
            };
            if !holds {
                return Err(StorageError::Precondition(condition.key().to_owned()));
            }
        }
        for change in batch.changes {
            match change {
                StorageChange::Put { key, value, seal_wrap } => {
                    entries.insert(key, StorageEntry { value, version: 1, seal_wrap });
                }
                StorageChange::Delete { key } => _ = entries.remove(&key),
            }
        }
        Ok(())
    }

    fn is_atomic(&self) -> bool {
        true
    }
}

fn migrating_storage(storage: RacingStorage) -> (Arc<RacingStorage>, Arc<KeyMigratingStorage>) {
    let storage = Arc::new(storage);
    let keys = Arc::new(KeyMigratingStorage::new(storage.clone()));
    storage.migration.set(Arc::downgrade(&keys)).unwrap();
    (storage, keys)
}

fn legacy(name: &str) -> String {
    format!("{LEGACY_RECORD_PREFIX}note/{name}")
}

fn current(name: &str) -> String {
    current_key(&legacy(name))
}

#[tokio::test]
async fn an_entry_written_during_the_scan_is_moved() {
    for looks_only in [true, false] {
        let (storage, keys) = migrating_storage(RacingStorage::default());
        *storage.write_after_list.lock().unwrap() = Some(legacy("a"));
        match looks_only {
            true => keys.check_for_legacy_keys().await.unwrap(),
            false => keys.move_all(|| true).await.unwrap(),
        }
        assert!(!keys.is_done(), "it was written after the look");
        assert!(keys.get(&current("a")).await.unwrap().is_some());
        keys.move_all(|| true).await.unwrap();
        assert!(keys.is_done());
        assert_eq!(storage.value_of(&current("a")).as_deref(), Some("late"));
        // Writes of keys without the old prefix are ignored.
        keys.on_external_write(&current("a"));
        assert!(keys.is_done());
    }
}

#[tokio::test]
async fn entries_that_can_not_be_moved_are_named_in_the_log_once() {
    let unshown = format!("a\u{202e}b{}", "x".repeat(MAX_LOGGED_KEY_BYTES));
    let mut storage = RacingStorage {
        damaged: vec![legacy("damaged"), legacy(&unshown)],
        ..RacingStorage::default()
    };
    storage.damaged.extend((0..40).map(|n| format!("{LEGACY_RECORD_PREFIX}other/{n}")));
    for key in &storage.damaged {
        storage.put(key, "hunter2");
    }
    storage.put(&legacy("twice"), "hunter2");
    storage.put(&current("twice"), "hunter3");
    storage.put(&legacy("well"), "hunter4");
    // The entry at its new key is damaged.
    storage.put(&legacy("taken"), "hunter5");
    storage.damaged.push(current("taken"));
    storage.put(&current("taken"), "hunter6");
    let (storage, keys) = migrating_storage(storage);
    let log = LogBuffer::default();
    {
        let _listening = tracing::subscriber::set_default(log.clone().into_subscriber());
        keys.move_all(|| true).await.unwrap();
        keys.move_all(|| true).await.unwrap();
    }
    assert!(keys.is_stuck() && !keys.is_done());
    assert_eq!(storage.value_of(&current("well")).as_deref(), Some("hunter4"));
    assert_eq!(storage.value_of(&current("twice")).as_deref(), Some("hunter3"));
    assert_eq!(storage.value_of(&legacy("twice")).as_deref(), Some("hunter2"));
    let log = log.contents();
    for name in ["note/damaged", "note/taken", "note/twice", "(a name that can't be shown)"] {
        assert_eq!(log.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {log}");
    }
    assert!(!log.contains("hunter") && !log.contains('\u{202e}'), "{log}");
    assert_eq!(log.lines().count(), MAX_LOGGED + 1, "{log}");
}

#[tokio::test]
async fn an_entry_that_can_not_be_read_for_now_is_moved_by_the_next_periodic_call() {
    let storage = RacingStorage::default();
    for n in 0..3 {
        storage.put(&legacy(&n.to_string()), "x");
    }
    *storage.failing.lock().unwrap() = Some(legacy("1"));
    let (storage, keys) = migrating_storage(storage);
    let refused = keys.move_all(|| true).await.unwrap_err();
    assert_eq!(refused.to_string(), "the disk did not answer");
    assert!(keys.is_stuck() && !keys.is_done(), "requests begin no attempt each");
    *storage.failing.lock().unwrap() = None;
    keys.move_all(|| true).await.unwrap();
    assert!(keys.is_done());
    assert!((0..3).all(|n| storage.value_of(&current(&n.to_string())).is_some()));
}

/// The log of this thread.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogBuffer {
    fn into_subscriber(self) -> impl tracing::Subscriber {
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || self.clone()).finish()
    }

    fn contents(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
