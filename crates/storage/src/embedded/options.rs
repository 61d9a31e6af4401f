//! The embedded store's settings, each with a default that is safe.

use std::time::Duration;

use super::record::SECTOR_BYTES;
use crate::{Error, StorageLimits};

/// How an embedded store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Memory for pages of the tree. Small by default (4 MiB): what is read often is cached above
    /// the barrier, decrypted, and the system caches the file. All of it is in use after a while.
    pub cache_bytes: usize,
    /// How large keys, values and batches may be. A batch must fit twice into a log file.
    pub limits: StorageLimits,
    /// The size of each of the two log files, taken when the folder is laid out (8 MiB). A larger
    /// one means fewer, larger transfers into the tree; up to twice as much is held in memory,
    /// and read again at the next start.
    pub log_bytes: usize,
    /// Batches that may wait for the committer before `commit` itself waits (256).
    pub queued_batches: usize,
    /// The most batches that share one sync (256).
    pub group_batches: usize,
    /// Reads of the tree under way at once (8). Each may hold a thread of the runtime's blocking
    /// pool while the disk is slow.
    pub readers: usize,
    /// The pause before a failed transfer into the tree is tried again (100 ms). It doubles.
    pub retry_shortest: Duration,
    /// The longest such pause (5 s): so long after space returned, writes return at the latest.
    pub retry_longest: Duration,
}

/// A group that has this much takes no further batch: more would delay the answers and save
/// little.
const GROUP_BYTES: usize = 1 << 20;
/// Above this a commit of the tree saves little.
const MAX_STEP_BYTES: usize = 2 << 20;
/// What a record needs beside its batches' bytes: header, counts and padding.
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
    /// Refuses what can't work.
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

    /// Refuses limits that the log, as it was laid out, can't keep.
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

    /// Where a group stops growing. With the last batch on top it still fits into half a log
    /// file and a half.
    pub(super) fn group_bytes(&self) -> usize {
        GROUP_BYTES.min(self.log_bytes / 4)
    }

    /// About what one commit of the tree writes. Its pages, and those above them, fit into the half
    /// of the cache that redb gives to writing, or each would be written twice. Its syncs are done
    /// in milliseconds: the log's, which somebody waits for, stand behind them in the device's
    /// queue.
    pub(super) fn checkpoint_step_bytes(&self) -> usize {
        (self.cache_bytes / 4).min(MAX_STEP_BYTES)
    }
}
