//! What the committer and the carrier tell each other: which log file is to be carried over into
//! the tree, and how that went.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Error, Version};

/// Shared by the two threads.
#[derive(Debug, Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Everything up to here waits to be carried over; the file that holds it is not free.
    due: Option<Version>,
    /// Why the last attempt failed.
    refusal: Option<Error>,
    /// Somebody found something amiss with the tree.
    asked: bool,
}

impl Handover {
    /// With a file that was full when the store was opened, or none.
    pub(super) fn start_with(due: Option<Version>) -> Self {
        Self { state: Mutex::new(State { due, ..State::default() }), ..Self::default() }
    }

    /// The committer has a full file: waits until the other is free, and hands over the full one.
    /// While carrying over fails, answers why.
    pub(super) fn offer(&self, upto: Version) -> Result<(), Error> {
        let mut state = self.state();
        while state.due.is_some() {
            if self.stopping() {
                return Err(Error::Closed("it is closing".to_owned()));
            }
            if let Some(refusal) = &state.refusal {
                return Err(refusal.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.due = Some(upto);
        self.changed.notify_all();
        Ok(())
    }

    /// Hands a file over if the other one is free already, and says whether it did.
    pub(super) fn offer_at_once(&self, upto: Version) -> bool {
        let mut state = self.state();
        let free = state.due.is_none() && !self.stopping();
        if free {
            state.due = Some(upto);
            self.changed.notify_all();
        }
        free
    }

    /// Called before each group, with how full the present file is. When it is nearly full and the
    /// other not yet free, waits a little, the more the fuller: many short waits in place of one
    /// that lasts until the other is free.
    pub(super) fn pace(&self, filled_percent: u64) {
        const BEGIN_PERCENT: u64 = 75;
        /// Makes it 20 ms at the brim.
        const MICROS: u64 = 32;
        let over = filled_percent.saturating_sub(BEGIN_PERCENT);
        if over > 0 {
            let pause = Duration::from_micros(MICROS * over * over);
            let waiting = |state: &mut State| {
                state.due.is_some() && state.refusal.is_none() && !self.stopping()
            };
            drop(self.changed.wait_timeout_while(self.state(), pause, waiting));
        }
    }

    /// Asks the carrier to look whether the tree needs to be opened again.
    pub(super) fn ask(&self) {
        self.state().asked = true;
        self.changed.notify_all();
    }

    /// The carrier waits for work: what is due, or `None` when only asked. `Err` to stop.
    pub(super) fn next(&self) -> Result<Option<Version>, Stop> {
        let mut state = self.state();
        loop {
            if self.stopping() {
                return Err(Stop);
            }
            if state.due.is_some() || state.asked {
                state.asked = false;
                return Ok(state.due);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The attempt succeeded; what was due is in the tree.
    pub(super) fn done(&self, carried_over: bool) {
        let mut state = self.state();
        state.refusal = None;
        if carried_over {
            state.due = None;
        }
        self.changed.notify_all();
    }

    /// The attempt failed. Writes that need it are refused with `error` from now on. Returns after
    /// the pause before the next.
    pub(super) fn failed(&self, error: Error, pause: Duration) {
        let mut state = self.state();
        state.refusal = Some(error);
        self.changed.notify_all();
        let until_stop = |_: &mut State| !self.stopping();
        drop(self.changed.wait_timeout_while(state, pause, until_stop));
    }

    /// Stops the carrier, and lets the committer wait no longer.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Taken so that nobody is between looking at the flag and waiting.
        drop(self.state());
        self.changed.notify_all();
    }

    /// Whether [`Handover::stop`] was called.
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store is closing.
#[derive(Debug)]
pub(super) struct Stop;
