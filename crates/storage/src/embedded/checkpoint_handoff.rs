//! Coordinates the committer and the checkpointer: which log file must be written to the tree, and
//! whether that failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Error, Version};

/// State shared by the two threads.
#[derive(Debug, Default)]
pub(super) struct CheckpointHandoff {
    state: Mutex<HandoffState>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct HandoffState {
    /// Everything up to this version waits to be written to the tree; the log file that holds it
    /// can't be reused yet.
    pending_version: Option<Version>,
    /// The error of the last attempt, if it failed.
    last_error: Option<Error>,
    /// A caller found the tree unavailable.
    recovery_requested: bool,
}

impl CheckpointHandoff {
    /// Starts with the last version of a log file that was full when the store was opened, if any.
    pub(super) fn with_pending(due: Option<Version>) -> Self {
        Self {
            state: Mutex::new(HandoffState { pending_version: due, ..HandoffState::default() }),
            ..Self::default()
        }
    }

    /// Called by the committer when its log file is full: waits until the other file is free, then
    /// requests a checkpoint of the full one. Returns the checkpointer's error while checkpoints
    /// fail.
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

    /// Requests a checkpoint if the other file is already free, and returns whether it was.
    pub(super) fn try_hand_over(&self, upto: Version) -> bool {
        let mut state = self.lock_state();
        let free = state.pending_version.is_none() && !self.is_stopping();
        if free {
            state.pending_version = Some(upto);
            self.changed.notify_all();
        }
        free
    }

    /// Called before each group with the fill level of the active file. If that is nearly full and
    /// the other file not free yet, waits briefly, longer the fuller it is: many short delays
    /// instead of one that lasts until the other file is free.
    pub(super) fn throttle(&self, filled_percent: u64) {
        const BEGIN_PERCENT: u64 = 75;
        /// Gives 20 ms when the file is full.
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

    /// Wakes the checkpointer to check whether the tree must be reopened.
    pub(super) fn request_recovery(&self) {
        self.lock_state().recovery_requested = true;
        self.changed.notify_all();
    }

    /// Waits for work in the checkpointer: the version to checkpoint, or `None` if only a recovery
    /// was requested. `Err` if the store is closing.
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

    /// Records a successful attempt; `carried_over` means that it completed the pending checkpoint.
    pub(super) fn complete(&self, carried_over: bool) {
        let mut state = self.lock_state();
        state.last_error = None;
        if carried_over {
            state.pending_version = None;
        }
        self.changed.notify_all();
    }

    /// Records a failed attempt: until one succeeds, writes that need the other log file fail with
    /// `error`. Returns after the delay before the next attempt.
    pub(super) fn record_failure(&self, error: Error, pause: Duration) {
        let mut state = self.lock_state();
        state.last_error = Some(error);
        self.changed.notify_all();
        let until_stop = |_: &mut HandoffState| !self.is_stopping();
        drop(self.changed.wait_timeout_while(state, pause, until_stop));
    }

    /// Stops the checkpointer and wakes the committer if it waits.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Taken so that no thread is between checking the flag and waiting.
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

/// The store is being closed, so a thread must end.
#[derive(Debug)]
pub(super) struct StoreClosing;
