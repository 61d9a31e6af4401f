//! What the committer and the carrier tell each other: which log file is to be carried over into
//! the tree, and how that went.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Error, Version};

/// Shared by the two threads.
#[derive(Debug, Default)]
pub(super) struct CheckpointHandoff {
    state: Mutex<HandoffState>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct HandoffState {
    /// Everything up to here waits to be carried over; the file that holds it is not free.
    pending_version: Option<Version>,
    /// Why the last attempt failed.
    last_error: Option<Error>,
    /// Somebody found something amiss with the tree.
    recovery_requested: bool,
}

impl CheckpointHandoff {
    /// With a file that was full when the store was opened, or none.
    pub(super) fn with_pending(due: Option<Version>) -> Self {
        Self {
            state: Mutex::new(HandoffState { pending_version: due, ..HandoffState::default() }),
            ..Self::default()
        }
    }

    /// The committer has a full file: waits until the other is free, and hands over the full one.
    /// While carrying over fails, answers why.
    pub(super) fn hand_over(&self, upto: Version) -> Result<(), Error> {
        let mut state = self.lock_state();
        while state.pending_version.is_some() {
            if self.is_stopping() {
                return Err(Error::Closed("it is closing".to_owned()));
            }
            if let Some(refusal) = &state.last_error {
                return Err(refusal.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.pending_version = Some(upto);
        self.changed.notify_all();
        Ok(())
    }

    /// Hands a file over if the other one is free already, and says whether it did.
    pub(super) fn try_hand_over(&self, upto: Version) -> bool {
        let mut state = self.lock_state();
        let free = state.pending_version.is_none() && !self.is_stopping();
        if free {
            state.pending_version = Some(upto);
            self.changed.notify_all();
        }
        free
    }

    /// Called before each group, with how full the present file is. When it is nearly full and the
    /// other not yet free, waits a little, the more the fuller: many short waits in place of one
    /// that lasts until the other is free.
    pub(super) fn throttle(&self, filled_percent: u64) {
        const BEGIN_PERCENT: u64 = 75;
        /// Makes it 20 ms at the brim.
        const MICROS: u64 = 32;
        let over = filled_percent.saturating_sub(BEGIN_PERCENT);
        if over > 0 {
            let pause = Duration::from_micros(MICROS * over * over);
            let waiting = |state: &mut HandoffState| {
                state.pending_version.is_some() && state.last_error.is_none() && !self.is_stopping()
            };
            drop(self.changed.wait_timeout_while(self.lock_state(), pause, waiting));
        }
    }

    /// Asks the carrier to look whether the tree needs to be opened again.
    pub(super) fn request_recovery(&self) {
        self.lock_state().recovery_requested = true;
        self.changed.notify_all();
    }

    /// The carrier waits for work: what is due, or `None` when only asked. `Err` to stop.
    pub(super) fn wait_for_work(&self) -> Result<Option<Version>, StoreClosing> {
        let mut state = self.lock_state();
        loop {
            if self.is_stopping() {
                return Err(StoreClosing);
            }
            if state.pending_version.is_some() || state.recovery_requested {
                state.recovery_requested = false;
                return Ok(state.pending_version);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The attempt succeeded; what was due is in the tree.
    pub(super) fn complete(&self, carried_over: bool) {
        let mut state = self.lock_state();
        state.last_error = None;
        if carried_over {
            state.pending_version = None;
        }
        self.changed.notify_all();
    }

    /// The attempt failed. Writes that need it are refused with `error` from now on. Returns after
    /// the pause before the next.
    pub(super) fn record_failure(&self, error: Error, pause: Duration) {
        let mut state = self.lock_state();
        state.last_error = Some(error);
        self.changed.notify_all();
        let until_stop = |_: &mut HandoffState| !self.is_stopping();
        drop(self.changed.wait_timeout_while(state, pause, until_stop));
    }

    /// Stops the carrier, and lets the committer wait no longer.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Taken so that nobody is between looking at the flag and waiting.
        drop(self.lock_state());
        self.changed.notify_all();
    }

    /// Whether [`CheckpointHandoff::stop`] was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn lock_state(&self) -> MutexGuard<'_, HandoffState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store is closing.
#[derive(Debug)]
pub(super) struct StoreClosing;
