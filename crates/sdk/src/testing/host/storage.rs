//! The storage of the engine under test: what it contains, and faults to inject.

use std::fmt;
use std::time::Duration;

use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER};
use strongroom_engine::{StorageBatch, StorageEntry};

use super::TestHost;
use crate::testing::TestError;
use crate::testing::memory_entries::InjectedFaults;

/// At most so many writes are let through by [`TestHost::fail_at_each_write`].
const MAX_WRITES_OF_AN_ACTION: usize = 1000;

impl TestHost {
    /// The keys of all stored entries.
    pub fn stored_keys(&self) -> Vec<String> {
        self.0.memory.keys()
    }

    /// The stored entry at a key, if there is one.
    pub fn stored_entry(&self, key: &str) -> Option<StorageEntry> {
        self.0.memory.get(key)
    }

    /// How many entries the engine has read so far.
    pub fn storage_reads(&self) -> usize {
        self.0.memory.read_count()
    }

    /// How many batches the engine has tried to write so far, a single change being a batch of one.
    pub fn storage_writes(&self) -> usize {
        self.0.memory.write_count()
    }

    /// How many of the engine's writes have failed because of an injected fault.
    pub fn failed_writes(&self) -> usize {
        self.0.memory.failed_writes()
    }

    /// The number of changes in the engine's largest batch since the last call of this method.
    pub fn largest_batch(&self) -> usize {
        self.0.memory.take_largest_batch()
    }

    /// Writes an entry to storage as another node would, and notifies the engine of it.
    pub async fn write_entry(&self, key: &str, value: impl fmt::Display) {
        let write = StorageBatch::put(key, value.to_string().into_bytes(), false);
        if let Err(error) = self.0.memory.commit(write) {
            panic!("a write without conditions failed: {error}");
        }
        self.running_engine().invalidate(key).await;
    }

    /// The storage keys of intents and of claimed intents, that is, of credentials whose state is
    /// uncertain.
    pub fn open_intents(&self) -> Vec<String> {
        let folders = [INTENT_FOLDER, UNDO_FOLDER, WAL_FOLDER];
        let mut keys = self.stored_keys();
        keys.retain(|key| folders.iter().any(|folder| key.starts_with(folder)));
        keys
    }

    /// Marks an entry as damaged, so that reading it fails its integrity check, or as intact again.
    pub fn damage_entry(&self, key: &str, is_damaged: bool) {
        self.0.memory.set_damaged(key, is_damaged);
    }

    /// Makes reads of an entry fail with a store error, or work again.
    pub fn fail_entry(&self, key: &str, fails: bool) {
        self.0.memory.set_failing(key, fails);
    }

    /// Makes all of the engine's storage operations fail.
    pub fn fail_storage(&self) {
        self.0.memory.set_faults(InjectedFaults::Everything);
    }

    /// Makes the engine's writes fail after `count` more have succeeded.
    pub fn fail_writes_after(&self, count: usize) {
        self.0.memory.set_faults(InjectedFaults::WritesAfter(count));
    }

    /// Makes each of the engine's writes take this long, by the test's clock.
    pub fn slow_writes(&self, time: Duration) {
        self.0.memory.set_faults(InjectedFaults::SlowWrites(time));
    }

    /// Runs an action until it succeeds: its first write to storage fails, then its second, and so on.
    /// After each run the server dies, the engine is opened again and completes what was interrupted.
    /// Then `check` looks at what is left; it gets the number of writes that succeeded. Returns the
    /// result of the last run.
    ///
    /// ```
    /// # use strongroom_sdk::testing::{Harness, json};
    /// # use strongroom_sdk::{Blueprint, FreeForm};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let engine = Blueprint::new("notes", "1.0.0").free_form("{path..}", "A note.", FreeForm::new());
    /// # Harness::run(engine, |host| async move {
    /// let write = async || host.write("a", json!({ "text": "hello" })).await;
    /// let is_stored = async |writes| assert_eq!(host.read("a").await.is_ok(), writes > 0);
    /// host.fail_at_each_write(write, is_stored).await;
    /// # })
    /// # .await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the action fails although a thousand writes succeed.
    pub async fn fail_at_each_write<T>(
        &self,
        action: impl AsyncFn() -> Result<T, TestError>,
        check: impl AsyncFn(usize),
    ) -> T {
        for successful_writes in 0..=MAX_WRITES_OF_AN_ACTION {
            self.fail_writes_after(successful_writes);
            let outcome = action().await;
            self.repair_storage();
            self.reopen().await;
            self.settle_intents().await;
            check(successful_writes).await;
            if let Ok(done) = outcome {
                return done;
            }
        }
        panic!("the action fails without an injected fault");
    }

    /// Ends all injected storage faults.
    pub fn repair_storage(&self) {
        self.0.memory.set_faults(InjectedFaults::Nothing);
    }
}
