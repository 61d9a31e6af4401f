use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use super::*;
use crate::stored_entries::{MAX_NAMED, MAX_SHOWN_BYTES};

/// A store of which an instance of the previous version, elsewhere, changes an entry at the next look.
#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<BTreeMap<String, Stored>>,
    /// Written after the next look at the root, and told to this one.
    late: Mutex<Option<String>>,
    told: OnceLock<std::sync::Weak<MovedKeys>>,
    damaged: Vec<String>,
    /// A key that can't be read for now.
    out_of_reach: Mutex<Option<String>>,
}

impl Shared {
    fn put(&self, key: &str, value: &str) {
        let value = value.to_owned().into_bytes().into();
        let stored = Stored { value, version: 1, seal_wrap: false };
        self.entries.lock().unwrap().insert(key.to_owned(), stored);
    }

    fn text(&self, key: &str) -> Option<String> {
        let entries = self.entries.lock().unwrap();
        entries.get(key).map(|stored| String::from_utf8_lossy(&stored.value).into_owned())
    }
}

#[async_trait]
impl Storage for Shared {
    async fn get(&self, key: &str) -> Result<Option<Stored>, StorageError> {
        if self.damaged.iter().any(|damaged| damaged == key) {
            return Err(StorageError::Damaged("its checksum is wrong".to_owned()));
        }
        if self.out_of_reach.lock().unwrap().as_deref() == Some(key) {
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
        if let Some(late) = self.late.lock().unwrap().take() {
            self.put(&late, "late");
            self.told.get().unwrap().upgrade().unwrap().written(&late);
        }
        Ok(names)
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        let mut entries = self.entries.lock().unwrap();
        for condition in &batch.preconditions {
            let found = entries.get(condition.key());
            let holds = match condition {
                Precondition::Exists(_) => found.is_some(),
                Precondition::Absent(_) => found.is_none(),
                Precondition::Unchanged(_, version) => {
                    found.is_some_and(|found| found.version == *version)
                }
            };
            if !holds {
                return Err(StorageError::Precondition(condition.key().to_owned()));
            }
        }
        for change in batch.changes {
            match change {
                Change::Put { key, value, seal_wrap } => {
                    entries.insert(key, Stored { value, version: 1, seal_wrap });
                }
                Change::Delete { key } => _ = entries.remove(&key),
            }
        }
        Ok(())
    }

    fn is_atomic(&self) -> bool {
        true
    }
}

fn moved_keys(storage: Shared) -> (Arc<Shared>, Arc<MovedKeys>) {
    let storage = Arc::new(storage);
    let keys = Arc::new(MovedKeys::new(storage.clone()));
    storage.told.set(Arc::downgrade(&keys)).unwrap();
    (storage, keys)
}

fn old(name: &str) -> String {
    format!("{APART_BEFORE}note/{name}")
}

fn new(name: &str) -> String {
    new_key(&old(name))
}

#[tokio::test]
async fn what_is_written_while_it_is_looked_whether_anything_is_left_is_moved() {
    for looks_only in [true, false] {
        let (storage, keys) = moved_keys(Shared::default());
        *storage.late.lock().unwrap() = Some(old("a"));
        match looks_only {
            true => keys.look().await.unwrap(),
            false => keys.move_all(|| true).await.unwrap(),
        }
        assert!(!keys.is_done(), "it was written after the look");
        assert!(keys.get(&new("a")).await.unwrap().is_some());
        keys.move_all(|| true).await.unwrap();
        assert!(keys.is_done());
        assert_eq!(storage.text(&new("a")).as_deref(), Some("late"));
        // Of keys that are not old ones it takes no note.
        keys.written(&new("a"));
        assert!(keys.is_done());
    }
}

#[tokio::test]
async fn entries_that_can_not_be_moved_are_named_in_the_log_once() {
    let unshown = format!("a\u{202e}b{}", "x".repeat(MAX_SHOWN_BYTES));
    let mut storage = Shared { damaged: vec![old("damaged"), old(&unshown)], ..Shared::default() };
    storage.damaged.extend((0..40).map(|n| format!("{APART_BEFORE}other/{n}")));
    for key in &storage.damaged {
        storage.put(key, "hunter2");
    }
    storage.put(&old("twice"), "hunter2");
    storage.put(&new("twice"), "hunter3");
    storage.put(&old("well"), "hunter4");
    // Damaged where it is to go.
    storage.put(&old("taken"), "hunter5");
    storage.damaged.push(new("taken"));
    storage.put(&new("taken"), "hunter6");
    let (storage, keys) = moved_keys(storage);
    let log = Log::default();
    {
        let _listening = tracing::subscriber::set_default(log.clone().subscriber());
        keys.move_all(|| true).await.unwrap();
        keys.move_all(|| true).await.unwrap();
    }
    assert!(keys.is_stuck() && !keys.is_done());
    assert_eq!(storage.text(&new("well")).as_deref(), Some("hunter4"));
    assert_eq!(storage.text(&new("twice")).as_deref(), Some("hunter3"));
    assert_eq!(storage.text(&old("twice")).as_deref(), Some("hunter2"));
    let log = log.text();
    for name in ["note/damaged", "note/taken", "note/twice", "(a name that can't be shown)"] {
        assert_eq!(log.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {log}");
    }
    assert!(!log.contains("hunter") && !log.contains('\u{202e}'), "{log}");
    assert_eq!(log.lines().count(), MAX_NAMED + 1, "{log}");
}

#[tokio::test]
async fn an_entry_that_can_not_be_read_for_now_is_moved_by_the_next_periodic_call() {
    let storage = Shared::default();
    for n in 0..3 {
        storage.put(&old(&n.to_string()), "x");
    }
    *storage.out_of_reach.lock().unwrap() = Some(old("1"));
    let (storage, keys) = moved_keys(storage);
    let refused = keys.move_all(|| true).await.unwrap_err();
    assert_eq!(refused.to_string(), "the disk did not answer");
    assert!(keys.is_stuck() && !keys.is_done(), "requests begin no attempt each");
    *storage.out_of_reach.lock().unwrap() = None;
    keys.move_all(|| true).await.unwrap();
    assert!(keys.is_done());
    assert!((0..3).all(|n| storage.text(&new(&n.to_string())).is_some()));
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(self) -> impl tracing::Subscriber {
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || self.clone()).finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
