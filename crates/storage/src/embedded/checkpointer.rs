//! The thread that writes full log files to the tree (a checkpoint), and reopens the tree after a
//! fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::EmbeddedInner;
use super::checkpoint_handoff::StoreClosing;
use super::memtable::LatestChange;
use crate::{Error, Version};

/// Number of keys dropped from the memtable per lock acquisition, to keep readers from waiting
/// long.
const DROP_CHUNK_KEYS: usize = 64;

/// The main loop of the thread; returns when the store is closed.
pub(super) fn run_checkpointer(shared: &Arc<EmbeddedInner>) {
    let mut pause = shared.retry_delays.shortest;
    loop {
        let due = match shared.handoff.wait_for_work() {
            Ok(due) => due,
            Err(StoreClosing) => return,
        };
        let attempt = || match due {
            Some(upto) => checkpoint(shared, upto),
            None if shared.tree.needs_recovery() => shared.tree.recover(),
            None => Ok(()),
        };
        // A panic is handled like any other fault: without this thread, commits would wait for
        // ever.
        let attempt = catch_unwind(AssertUnwindSafe(attempt));
        match attempt.unwrap_or_else(|_| Err(Error::Io("carrying over panicked".to_owned()))) {
            Ok(()) => {
                shared.handoff.complete(due.is_some());
                pause = shared.retry_delays.shortest;
            }
            Err(error) => {
                shared.counters.faults.add(1);
                shared.handoff.record_failure(error, pause);
                // Also if no checkpoint is pending: the tree itself must be recovered.
                shared.handoff.request_recovery();
                pause = pause.saturating_mul(2).min(shared.retry_delays.longest);
            }
        }
    }
}

/// Delay between attempts; doubles from the shortest to the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryDelays {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

/// Writes everything up to `upto` to the tree, in several commits. A failure in between is
/// harmless: until the last commit, the log is authoritative.
fn checkpoint(shared: &EmbeddedInner, upto: Version) -> Result<(), Error> {
    shared.tree.recover()?;
    // Otherwise the last attempt failed after its final commit was durable.
    if shared.tree.applied_version() < upto {
        let write = |changes: &[_], last| shared.tree.write(changes, last);
        for_each_memtable_page(shared, upto, write)?;
    }
    // A reader that misses a key in the memtable reads the tree afterwards, so it always finds the
    // key in one of them.
    for_each_memtable_page(shared, upto, |changes, _| {
        for few in changes.chunks(DROP_CHUNK_KEYS) {
            shared.memtable_mut().drop_checkpointed(few, upto);
        }
        Ok(())
    })?;
    shared.counters.checkpoints.add(1);
    Ok(())
}

/// Calls `step` with all changes up to `upto`, page by page; the last call gets the version.
fn for_each_memtable_page(
    shared: &EmbeddedInner,
    upto: Version,
    step: impl Fn(&[(String, LatestChange)], Option<Version>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        if shared.handoff.is_stopping() {
            return Err(Error::Closed("it is closing".to_owned()));
        }
        let page =
            shared.memtable().next_page(after.as_deref(), upto, shared.checkpoint_step_bytes);
        step(&page.changes, page.resume.is_none().then_some(upto))?;
        if page.resume.is_none() {
            return Ok(());
        }
        after = page.resume;
    }
}
