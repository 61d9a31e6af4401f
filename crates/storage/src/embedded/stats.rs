//! Counters, cheap to keep and to read.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an embedded store did since it was opened. A snapshot; the fields are not read at one
/// moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Batches applied.
    pub commits: u64,
    /// Groups they were committed in; each that changed something cost one sync.
    pub groups: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Log files carried over into the tree.
    pub checkpoints: u64,
    /// Reads answered from memory.
    pub reads_from_memory: u64,
    /// Reads that went to the tree.
    pub reads_from_tree: u64,
    /// Failed attempts to carry over, or to open the tree again.
    pub faults: u64,
    /// Times the tree was opened again after a fault.
    pub reopened: u64,
    /// Keys whose newest change is in memory and the log, not yet in the tree.
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
