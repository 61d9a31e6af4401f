//! Counters of the embedded store.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an embedded store did since it was opened. The fields are read one after another, not
/// atomically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Number of batches applied, not counting refused ones.
    pub commits: u64,
    /// Number of groups they were committed in; each that changed something took one sync.
    pub groups: u64,
    /// Number of bytes written to the log, with padding.
    pub log_bytes: u64,
    /// Number of checkpoints, that is, log files written to the tree.
    pub checkpoints: u64,
    /// Number of reads answered from the memtable.
    pub reads_from_memory: u64,
    /// Number of reads that went to the tree, scans included.
    pub reads_from_tree: u64,
    /// Number of failed attempts to write a checkpoint or reopen the tree.
    pub faults: u64,
    /// Number of times the tree was reopened after a fault.
    pub reopened: u64,
    /// Number of keys whose latest change is in the memtable and the log but not yet in the tree.
    pub keys_in_memory: usize,
}

#[derive(Debug, Default)]
pub(super) struct EmbeddedCounters {
    pub(super) commits: StatCounter,
    pub(super) groups: StatCounter,
    pub(super) log_bytes: StatCounter,
    pub(super) checkpoints: StatCounter,
    pub(super) reads_from_memory: StatCounter,
    pub(super) reads_from_tree: StatCounter,
    pub(super) faults: StatCounter,
}

#[derive(Debug, Default)]
pub(super) struct StatCounter(AtomicU64);

impl StatCounter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
