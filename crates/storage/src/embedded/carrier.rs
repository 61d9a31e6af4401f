//! The thread that carries full log files over into the tree, and opens the tree again when a
//! fault has closed it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::handover::Stop;
use super::overlay::Latest;
use crate::{Error, Version};

/// Keys dropped from the overlay under one hold of its lock, which readers wait for.
const DROPPED_AT_ONCE: usize = 64;

/// Runs until the store is closed.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut pause = shared.retry.shortest;
    loop {
        let due = match shared.handover.next() {
            Ok(due) => due,
            Err(Stop) => return,
        };
        let attempt = || match due {
            Some(upto) => carry_over(shared, upto),
            None if shared.tree.needs_recovery() => shared.tree.recover(),
            None => Ok(()),
        };
        // A panic is a fault like any other: if this thread were gone, commits would wait for ever.
        let attempt = catch_unwind(AssertUnwindSafe(attempt));
        match attempt.unwrap_or_else(|_| Err(Error::Io("carrying over panicked".to_owned()))) {
            Ok(()) => {
                shared.handover.done(due.is_some());
                pause = shared.retry.shortest;
            }
            Err(error) => {
                shared.counters.faults.add(1);
                shared.handover.failed(error, pause);
                // Also when nothing is due: the tree itself still waits.
                shared.handover.ask();
                pause = pause.saturating_mul(2).min(shared.retry.longest);
            }
        }
    }
}

/// How long to wait between attempts. The wait doubles from the shortest to the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

/// Carries over everything up to `upto`, in steps. A step that was written in vain does no harm:
/// until the last one, what is in the log counts.
fn carry_over(shared: &Shared, upto: Version) -> Result<(), Error> {
    shared.tree.recover()?;
    // Otherwise the last attempt failed after its last step had become durable.
    if shared.tree.applied() < upto {
        let write = |changes: &[_], last| shared.tree.write(changes, last);
        for_each_page(shared, upto, write)?;
    }
    // A reader that misses a key in the overlay looks at the tree afterwards, so that there is no
    // moment in which it finds neither.
    for_each_page(shared, upto, |changes, _| {
        for few in changes.chunks(DROPPED_AT_ONCE) {
            shared.overlay_mut().drop_applied(few, upto);
        }
        Ok(())
    })?;
    shared.counters.carried_over.add(1);
    Ok(())
}

/// Runs `step` with all changes up to `upto`, page by page, and with the version at the last.
fn for_each_page(
    shared: &Shared,
    upto: Version,
    step: impl Fn(&[(String, Latest)], Option<Version>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        if shared.handover.stopping() {
            return Err(Error::Closed("it is closing".to_owned()));
        }
        let page = shared.overlay().page(after.as_deref(), upto, shared.step_bytes);
        step(&page.changes, page.resume.is_none().then_some(upto))?;
        if page.resume.is_none() {
            return Ok(());
        }
        after = page.resume;
    }
}
