//! The thread that commits: takes all batches that wait, judges them in order, makes them durable
//! with one sync, and answers.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::log::Log;
use super::record::{BATCH_OVERHEAD, Builder};
use crate::limits::batch_bytes;
use crate::{Batch, Change, Error, Precondition, Version};

/// What the committer is sent.
pub(super) enum Message {
    Commit(Job),
    /// Let the carrier carry over what the active log file holds, if that is at least so many bytes.
    CarryOver {
        at_least: u64,
        /// Whether it does.
        answer: oneshot::Sender<bool>,
    },
    /// Commit what was sent before this, and end.
    Stop,
}

/// A batch on its way, and who waits for it. Nobody may: the batch is applied all the same.
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) answer: oneshot::Sender<Verdict>,
}

type Verdict = Result<Version, Error>;

/// The committer; owned by its thread.
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) log: Log,
    /// The version of the last batch that is durable.
    pub(super) last: Version,
    /// The most batches in a group.
    pub(super) most_batches: usize,
    /// A group that has this much takes no more.
    pub(super) enough_bytes: usize,
}

impl Committer {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        let mut record = Builder::default();
        let mut behind = None;
        while let Some(message) = behind.take().or_else(|| self.queue.blocking_recv()) {
            match message {
                Message::Commit(first) => {
                    self.shared.handover.pace(self.log.filled_percent());
                    let (group, next) = self.gather(first);
                    self.commit(group, &mut record);
                    behind = next;
                }
                Message::CarryOver { at_least, answer } => {
                    // Who no longer waits doesn't need to know.
                    let _ = answer.send(self.carry_over(at_least));
                }
                Message::Stop => break,
            }
        }
        // What is sent from now on is refused; what was sent before is committed.
        self.queue.close();
        while let Some(message) = self.queue.blocking_recv() {
            if let Message::Commit(first) = message {
                let (group, _) = self.gather(first);
                self.commit(group, &mut record);
            }
        }
    }

    /// Hands the active log file over before it is full, and goes on at the start of the other.
    /// Not while the other is still being carried over: that would make commits wait.
    fn carry_over(&mut self, at_least: u64) -> bool {
        let due = self.log.filled_bytes() >= at_least.max(1)
            && self.log.settle().is_ok()
            && self.shared.handover.offer_at_once(self.last);
        if due {
            self.log.rotate();
        }
        due
    }

    /// Whatever waits by now, within bounds, and the message behind it that is no commit, if it came
    /// to one. Waiting for more would gain nothing: while this group is synced, the next one gathers.
    fn gather(&mut self, first: Job) -> (Vec<Job>, Option<Message>) {
        let mut bytes = logged_bytes(&first.batch);
        let mut group = vec![first];
        while group.len() < self.most_batches && bytes < self.enough_bytes {
            match self.queue.try_recv() {
                Ok(Message::Commit(next)) => {
                    bytes = bytes.saturating_add(logged_bytes(&next.batch));
                    group.push(next);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    /// Commits the group and answers each of it. Nobody is answered before the sync, not even who
    /// is refused: the refusal may rest on a batch of the same group.
    fn commit(&mut self, group: Vec<Job>, record: &mut Builder) {
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|job| (job.batch, job.answer)).unzip();
        let verdicts = match self.apply(batches, record) {
            Ok(verdicts) => verdicts,
            Err(error) => vec![Err(error); answers.len()],
        };
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            // Who no longer waits doesn't need to know.
            let _ = answer.send(verdict);
        }
    }

    fn apply(&mut self, batches: Vec<Batch>, record: &mut Builder) -> Result<Vec<Verdict>, Error> {
        self.log.settle()?;
        let verdicts = self.judge(&batches, record);
        let applied = record.batches();
        if applied > 0 {
            if !self.log.fits(record) {
                self.shared.handover.offer(self.last)?;
                self.log.rotate();
            }
            self.log.append(record, self.last.next())?;
            self.last = Version(self.last.0.saturating_add(u64::from(applied)));
            let mut overlay = self.shared.overlay_mut();
            for (batch, verdict) in batches.into_iter().zip(&verdicts) {
                if let Ok(version) = verdict {
                    overlay.apply(*version, batch.changes);
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

    /// Judges each batch against the state that the ones before it leave, and puts the accepted
    /// into the record.
    fn judge(&self, batches: &[Batch], record: &mut Builder) -> Vec<Verdict> {
        record.clear();
        // Most groups have no precondition at all, and need not remember what they change.
        let judged = batches.iter().any(|batch| !batch.preconditions.is_empty());
        let mut group = Group { judged, changed: HashMap::new() };
        let mut version = self.last.next();
        let mut verdicts = Vec::with_capacity(batches.len());
        for batch in batches {
            let verdict = self.check(&batch.preconditions, &group).map(|()| version);
            if verdict.is_ok() {
                record.push(&batch.changes);
                group.add(version, &batch.changes);
                version = version.next();
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    fn check(&self, preconditions: &[Precondition], group: &Group<'_>) -> Result<(), Error> {
        for precondition in preconditions {
            let key = precondition.key();
            let found = match group.changed.get(key) {
                Some(found) => *found,
                None => self.stored(key)?,
            };
            if !precondition.holds(found) {
                return Err(Error::Precondition { key: key.to_owned() });
            }
        }
        Ok(())
    }

    /// The version of the entry at `key` before this group.
    fn stored(&self, key: &str) -> Result<Option<Version>, Error> {
        if let Some(latest) = self.shared.overlay().latest(key) {
            return Ok(latest.present());
        }
        self.shared.in_tree(|tree| tree.version_of(key))
    }
}

/// What a batch takes in a record. One without changes takes something too.
fn logged_bytes(batch: &Batch) -> usize {
    batch_bytes(batch).saturating_add(BATCH_OVERHEAD)
}

/// What the group changes so far: each key with its new version, `None` when deleted.
struct Group<'a> {
    judged: bool,
    changed: HashMap<&'a str, Option<Version>>,
}

impl<'a> Group<'a> {
    fn add(&mut self, version: Version, changes: &'a [Change]) {
        if self.judged {
            let state = |change: &'a Change| match change {
                Change::Put { key, .. } => (key.as_str(), Some(version)),
                Change::Delete { key } => (key.as_str(), None),
            };
            self.changed.extend(changes.iter().map(state));
        }
    }
}
