//! [`AccountState`]: what is stored about the password of one static role.

use std::time::Duration;

use strongroom_types::Timestamp;

use super::RotationFields;
use crate::{FieldGroup, Secret};

/// The delay before a rotation is repeated after its first failure; it doubles with each further one.
const RETRY_DELAY: Duration = Duration::from_secs(10);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);

/// The stored state of one account. It is written in one batch with its place in the queue.
#[derive(FieldGroup)]
pub(super) struct AccountState {
    /// Name of the account.
    pub(super) account: String,
    /// The password that the account has, as far as the engine knows.
    pub(super) present: Option<Secret<String>>,
    /// A password that may have been set, and whose call hasn't succeeded yet.
    pub(super) candidate: Option<Secret<String>>,
    /// When a call that sets the candidate can no longer be under way.
    #[field(default = "0")]
    pub(super) busy_until: Timestamp,
    /// When the engine took the account over.
    #[field(required)]
    pub(super) adopted: Timestamp,
    /// When the password was last rotated.
    pub(super) last_rotation: Option<Timestamp>,
    /// When the next rotation is planned.
    #[field(required)]
    pub(super) planned: Timestamp,
    /// When the next rotation is tried: as planned, or later after a failure.
    #[field(required)]
    pub(super) next_attempt: Timestamp,
    /// How often the rotation has failed in a row.
    pub(super) failures: u32,
    /// The error of the last attempt.
    pub(super) last_error: String,
}

impl AccountState {
    /// The state of a role whose account is taken over now, and whose password is rotated at
    /// `planned`.
    pub(super) fn new(
        account: &str,
        present: Option<Secret<String>>,
        now: Timestamp,
        planned: Timestamp,
    ) -> Self {
        Self {
            account: account.to_owned(),
            present,
            candidate: None,
            busy_until: Timestamp::EPOCH,
            adopted: now,
            last_rotation: None,
            planned,
            next_attempt: planned,
            failures: 0,
            last_error: String::new(),
        }
    }

    /// Plans the next rotation anew, after the role was changed. A rotation that is due stays due.
    pub(super) fn plan(&mut self, rotation: &RotationFields, now: Timestamp) {
        if self.planned > now {
            let last = self.last_rotation.unwrap_or(self.adopted);
            self.set_next(rotation.next_rotation(last).max(now));
        }
    }

    /// Whether a password that a client imports replaces the present one. Once the engine has rotated
    /// the password, a client that sends the first one again must not undo that.
    pub(super) fn accepts_import(&self) -> bool {
        self.last_rotation.is_none() || self.failures > 0
    }

    /// Whether a call that sets the candidate may be under way.
    pub(super) fn may_be_busy(&self, now: Timestamp) -> bool {
        self.candidate.is_some() && self.busy_until > now
    }

    /// Notes that a call which takes at most `timeout` begins now. The outside system may take as long
    /// again to carry out what it received.
    pub(super) fn begin_call(&mut self, now: Timestamp, timeout: Duration) {
        self.busy_until = now.plus(timeout.saturating_mul(2));
    }

    /// Makes the candidate the present password.
    pub(super) fn succeed(&mut self, rotation: &RotationFields, now: Timestamp) {
        if let Some(set) = self.candidate.take() {
            self.present = Some(set);
        }
        self.last_rotation = Some(now);
        self.failures = 0;
        self.last_error.clear();
        self.set_next(rotation.next_rotation(now));
    }

    /// Plans another attempt: after a delay, or at the next scheduled time if the window would be
    /// over by then.
    pub(super) fn fail(&mut self, rotation: &RotationFields, now: Timestamp, error: &str) {
        const MAX_ERROR_BYTES: usize = 500;
        self.last_error = strongroom_types::printable(error, MAX_ERROR_BYTES).into_owned();
        let doubled = RETRY_DELAY.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let mut retry = now.plus(doubled.min(MAX_RETRY_DELAY));
        if self.candidate.is_some() {
            retry = retry.max(self.busy_until);
        }
        match rotation.latest_start(self.planned) {
            // A password that may be in effect can't wait for the next window.
            Some(latest) if retry > latest && self.candidate.is_none() => {
                self.set_next(rotation.next_rotation(now));
            }
            _ => self.next_attempt = retry,
        }
    }

    /// Whether a rotation that is due must wait for the next scheduled time, because its window has
    /// passed.
    pub(super) fn has_missed_window(&self, rotation: &RotationFields, now: Timestamp) -> bool {
        let latest = rotation.latest_start(self.planned);
        self.candidate.is_none() && latest.is_some_and(|latest| now > latest)
    }

    /// Sets when the next rotation is planned.
    pub(super) fn set_next(&mut self, planned: Timestamp) {
        self.planned = planned;
        self.next_attempt = planned;
    }
}
