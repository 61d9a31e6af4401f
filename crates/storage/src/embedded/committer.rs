//! The committer thread: takes all waiting batches, checks their preconditions in order, makes them
//! durable with one sync, and reports the results.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::EmbeddedInner;
use super::log::WriteAheadLog;
use super::record::{BATCH_OVERHEAD, LogRecordBuilder};
use crate::limits::batch_bytes;
use crate::{Error, PhysicalBatch, PhysicalChange, Precondition, Version};

/// A message to the committer thread.
pub(super) enum CommitterMessage {
    Commit(PendingCommit),
    /// Start a checkpoint of the active log file if it holds at least this many bytes.
    Checkpoint {
        at_least: u64,
        /// Receives whether a checkpoint was started.
        answer: oneshot::Sender<bool>,
    },
    /// Commit everything sent before this, then end the thread.
    Stop,
}

/// A batch and the channel for its result. The receiver may be dropped: the batch is applied all
/// the same.
pub(super) struct PendingCommit {
    pub(super) batch: PhysicalBatch,
    pub(super) answer: oneshot::Sender<CommitResult>,
}

type CommitResult = Result<Version, Error>;

/// The state of the committer, owned by its thread.
pub(super) struct LogCommitter {
    pub(super) shared: Arc<EmbeddedInner>,
    pub(super) queue: mpsc::Receiver<CommitterMessage>,
    pub(super) log: WriteAheadLog,
    /// The version of the last durable batch.
    pub(super) last: Version,
    /// Maximum number of batches in a group.
    pub(super) max_group_batches: usize,
    /// A group of at least this size takes no further batch.
    pub(super) max_group_bytes: usize,
}

impl LogCommitter {
    /// The main loop of the thread; returns after [`CommitterMessage::Stop`].
    pub(super) fn run(mut self) {
        let mut record = LogRecordBuilder::default();
        let mut behind = None;
        while let Some(message) = behind.take().or_else(|| self.queue.blocking_recv()) {
            match message {
                CommitterMessage::Commit(first) => {
                    self.shared.handoff.throttle(self.log.filled_percent());
                    let (group, next) = self.gather_group(first);
                    self.commit_group(group, &mut record);
                    behind = next;
                }
                CommitterMessage::Checkpoint { at_least, answer } => {
                    // The receiver may have stopped waiting.
                    let _ = answer.send(self.start_checkpoint(at_least));
                }
                CommitterMessage::Stop => break,
            }
        }
        // Messages sent from now on are refused; those sent before are committed.
        self.queue.close();
        while let Some(message) = self.queue.blocking_recv() {
            if let CommitterMessage::Commit(first) = message {
                let (group, _) = self.gather_group(first);
                self.commit_group(group, &mut record);
            }
        }
    }

    /// Starts a checkpoint of the active log file before it is full, and continues at the start of
    /// the other. Not while a checkpoint is in progress, because commits would have to wait for it.
    fn start_checkpoint(&mut self, at_least: u64) -> bool {
        let due = self.log.filled_bytes() >= at_least.max(1)
            && self.log.discard_failed_append().is_ok()
            && self.shared.handoff.try_hand_over(self.last);
        if due {
            self.log.switch_file();
        }
        due
    }

    /// Collects the waiting batches up to the limits, and returns the first message that isn't a
    /// commit, if one ended the group. Waiting for more batches would gain nothing, because the
    /// next group collects while this one is synced.
    fn gather_group(
        &mut self,
        first: PendingCommit,
    ) -> (Vec<PendingCommit>, Option<CommitterMessage>) {
        let mut bytes = logged_bytes(&first.batch);
        let mut group = vec![first];
        while group.len() < self.max_group_batches && bytes < self.max_group_bytes {
            match self.queue.try_recv() {
                Ok(CommitterMessage::Commit(next)) => {
                    bytes = bytes.saturating_add(logged_bytes(&next.batch));
                    group.push(next);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    /// Commits the group and reports each result. No result is sent before the sync, not even a
    /// failed precondition, because it may depend on another batch of the group.
    fn commit_group(&mut self, group: Vec<PendingCommit>, record: &mut LogRecordBuilder) {
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|job| (job.batch, job.answer)).unzip();
        let verdicts = match self.apply_group(batches, record) {
            Ok(verdicts) => verdicts,
            Err(error) => vec![Err(error); answers.len()],
        };
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            // The receiver may have stopped waiting.
            let _ = answer.send(verdict);
        }
    }

    fn apply_group(
        &mut self,
        batches: Vec<PhysicalBatch>,
        record: &mut LogRecordBuilder,
    ) -> Result<Vec<CommitResult>, Error> {
        self.log.discard_failed_append()?;
        let verdicts = self.judge_preconditions(&batches, record);
        let applied = record.batch_count();
        if applied > 0 {
            if !self.log.has_room_for(record) {
                self.shared.handoff.hand_over(self.last)?;
                self.log.switch_file();
            }
            self.log.append(record, self.last.next())?;
            self.last = Version(self.last.0.saturating_add(u64::from(applied)));
            let mut memtable = self.shared.memtable_mut();
            for (batch, verdict) in batches.into_iter().zip(&verdicts) {
                if let Ok(version) = verdict {
                    memtable.apply_batch(*version, batch.changes);
                }
            }
        }
        let counters = &self.shared.counters;
        counters.groups.add(1);
        counters.commits.add(applied.into());
        let len = if applied > 0 { record.padded_len() } else { 0 };
        counters.log_bytes.add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(verdicts)
    }

    /// Checks each batch against the state after the batches before it, and adds the accepted ones
    /// to the record.
    fn judge_preconditions(
        &self,
        batches: &[PhysicalBatch],
        record: &mut LogRecordBuilder,
    ) -> Vec<CommitResult> {
        record.clear();
        // Most groups have no preconditions and need not track what they change.
        let judged = batches.iter().any(|batch| !batch.preconditions.is_empty());
        let mut group = GroupChanges { is_tracked: judged, changed: HashMap::new() };
        let mut version = self.last.next();
        let mut verdicts = Vec::with_capacity(batches.len());
        for batch in batches {
            let verdict = self.check_preconditions(&batch.preconditions, &group).map(|()| version);
            if verdict.is_ok() {
                record.push_batch(&batch.changes);
                group.add_batch(version, &batch.changes);
                version = version.next();
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    fn check_preconditions(
        &self,
        preconditions: &[Precondition],
        group: &GroupChanges<'_>,
    ) -> Result<(), Error> {
        for precondition in preconditions {
            let key = precondition.key();
            let found = match group.changed.get(key) {
                Some(found) => *found,
                None => self.stored_version(key)?,
            };
            if !precondition.holds_for(found) {
                return Err(Error::Precondition { key: key.to_owned() });
            }
        }
        Ok(())
    }

    /// The version of the entry at `key` before this group.
    fn stored_version(&self, key: &str) -> Result<Option<Version>, Error> {
        if let Some(latest) = self.shared.memtable().latest_change(key) {
            return Ok(latest.version_if_present());
        }
        self.shared.read_tree(|tree| tree.version_of(key))
    }
}

/// Bytes a batch takes in a record. An empty batch takes some as well.
fn logged_bytes(batch: &PhysicalBatch) -> usize {
    batch_bytes(batch).saturating_add(BATCH_OVERHEAD)
}

/// The changes of the group so far: the new version of each key, `None` if deleted.
struct GroupChanges<'a> {
    is_tracked: bool,
    changed: HashMap<&'a str, Option<Version>>,
}

impl<'a> GroupChanges<'a> {
    fn add_batch(&mut self, version: Version, changes: &'a [PhysicalChange]) {
        if self.is_tracked {
            let state = |change: &'a PhysicalChange| match change {
                PhysicalChange::Put { key, .. } => (key.as_str(), Some(version)),
                PhysicalChange::Delete { key } => (key.as_str(), None),
            };
            self.changed.extend(changes.iter().map(state));
        }
    }
}
