//! The settings of the embedded store, each with a safe default.

use std::time::Duration;

use super::record::SECTOR_BYTES;
use crate::{Error, StorageLimits};

/// Settings for opening an embedded store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Memory in bytes for cached pages of the tree (default 4 MiB); all of it is in use after a
    /// while. Small, because frequently read entries are cached decrypted above the barrier, and
    /// the operating system caches the file.
    pub cache_bytes: usize,
    /// Maximum sizes of keys, values and batches. Two batches must fit into a log file.
    pub limits: StorageLimits,
    /// Size in bytes of each of the two log files (default 8 MiB), fixed when the store is created.
    /// Larger files mean fewer and larger checkpoints; up to twice this size is held in memory and
    /// read at start-up.
    pub log_bytes: usize,
    /// Number of batches that may wait for the committer before `commit` itself waits (default
    /// 256).
    pub queued_batches: usize,
    /// Maximum number of batches that share one sync (default 256).
    pub group_batches: usize,
    /// Maximum number of concurrent reads of the tree (default 8). Each may block a thread of the
    /// runtime's blocking pool while the disk is slow.
    pub readers: usize,
    /// Delay before a failed checkpoint is retried (default 100 ms). Each further failure doubles
    /// it.
    pub retry_shortest: Duration,
    /// Maximum of that delay (default 5 s), and so the time until writes succeed again after disk
    /// space was freed.
    pub retry_longest: Duration,
}

/// A group of this size takes no further batch: more would delay its results and save little.
const GROUP_BYTES: usize = 1 << 20;
/// A larger commit of the tree saves little.
const MAX_STEP_BYTES: usize = 2 << 20;
/// Bytes of a record beside its batches: header, counts and padding.
const RECORD_OVERHEAD: usize = 4 * SECTOR_BYTES;

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 20,
            limits: StorageLimits::default(),
            log_bytes: 8 << 20,
            queued_batches: 256,
            group_batches: 256,
            readers: 8,
            retry_shortest: Duration::from_millis(100),
            retry_longest: Duration::from_secs(5),
        }
    }
}

impl EmbeddedOptions {
    /// Refuses settings that can't work.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let counts = [self.queued_batches, self.group_batches, self.readers];
        if counts.contains(&0) || self.limits.key_bytes == 0 {
            return Err(Error::Refused("a storage option is 0 that must not be".to_owned()));
        }
        if self.retry_shortest.is_zero() || self.retry_longest < self.retry_shortest {
            return Err(Error::Refused("the storage retry pauses make no sense".to_owned()));
        }
        if !self.log_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(Error::Refused(format!("log_bytes must be a multiple of {SECTOR_BYTES}")));
        }
        self.validate_log(self.log_bytes)
    }

    /// Refuses limits that don't fit into log files of this size, which is fixed at creation.
    pub(super) fn validate_log(&self, log_bytes: usize) -> Result<(), Error> {
        let most = (log_bytes / 2).saturating_sub(RECORD_OVERHEAD);
        if self.limits.batch_bytes > most {
            return Err(Error::Refused(format!(
                "log files of {log_bytes} bytes take batches of up to {most} bytes, and the limit \
                 is {}",
                self.limits.batch_bytes
            )));
        }
        Ok(())
    }

    /// Size at which a group stops growing. With one more batch it still fits into three quarters
    /// of a log file.
    pub(super) fn group_bytes(&self) -> usize {
        GROUP_BYTES.min(self.log_bytes / 4)
    }

    /// Approximate bytes written by one commit of the tree. Its pages and their parents fit into
    /// the half of the cache that redb uses for writing; otherwise each would be written twice. Its
    /// syncs take milliseconds, so that syncs of the log, which commits wait for, aren't delayed
    /// long in the device's queue.
    pub(super) fn checkpoint_step_bytes(&self) -> usize {
        (self.cache_bytes / 4).min(MAX_STEP_BYTES)
    }
}
