//! [`StoredPlan`]: the record of an action that is about to call the outside system.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use strongroom_schema::field::{FieldGroup, build_object};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::{Fields, Timestamp};

use super::DurableAction;
use crate::records::RecordKey;
use crate::sealed_record::SealedRecord;
use crate::{Context, Error};

/// The bucket of records in which plans are stored.
pub(crate) const PLAN_BUCKET: &str = "plan";

/// The captures of the path.
const CAPTURES_FIELD: &str = "captures";
/// When the call can no longer be running, in nanoseconds since 1970.
const STALE_FIELD: &str = "stale_at";
const PLAN_FIELD: &str = "plan";
/// What the call is addressed to.
const ACCOUNT_FIELD: &str = "account";
/// How often the call was repeated.
const REPEATS_FIELD: &str = "repeats";

/// The pause after the first repetition that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A plan with the version of its record.
pub(super) struct StoredPlan<A: DurableAction> {
    pub(super) record: SealedRecord,
    pub(super) captures: Vec<String>,
    stale_at: Timestamp,
    pub(super) account: String,
    repeats: u32,
    pub(super) plan: A::Plan,
}

impl<A: DurableAction> StoredPlan<A> {
    /// A plan that is not stored yet.
    pub(super) fn new(
        captures: &[&str],
        account: String,
        stale_at: Timestamp,
        plan: A::Plan,
    ) -> Self {
        let record = SealedRecord::new(&Self::storage_key(captures));
        let captures = captures.iter().map(|&capture| capture.to_owned()).collect();
        Self { record, captures, stale_at, account, repeats: 0, plan }
    }

    /// The key of the plan for the document that the captures name. Only one plan for it exists at a
    /// time.
    pub(super) fn storage_key(captures: &[&str]) -> RecordKey {
        RecordKey::new(PLAN_BUCKET, &RoutePattern::new(A::PATH).storage_key(captures))
    }

    /// Reads the plan at a key; `None` if there is none.
    pub(super) async fn load(context: &Context, key: &str) -> Result<Option<Self>, Error> {
        const UNREADABLE: &str = "a stored plan can't be read by this version";
        let unreadable = || Error::internal(UNREADABLE);
        let Some((record, fields)) = SealedRecord::find(context, key, UNREADABLE).await? else {
            return Ok(None);
        };
        let captures =
            fields.get(CAPTURES_FIELD).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let plan = fields.get(PLAN_FIELD).and_then(|raw| {
            let plan = Fields::from_trusted(raw.get().as_bytes()).ok()?;
            A::Plan::from_fields(&plan).ok()
        });
        Ok(Some(Self {
            record,
            captures: captures.ok_or_else(unreadable)?,
            stale_at: read_stale_time(&fields).ok_or_else(unreadable)?,
            account: fields.text(ACCOUNT_FIELD).ok_or_else(unreadable)?,
            repeats: read_repeats(&fields),
            plan: plan.ok_or_else(unreadable)?,
        }))
    }

    /// When a call that takes at most `timeout` is aborted, so that the outside system has as long
    /// again before the plan counts as stale.
    pub(super) fn call_deadline(&self, timeout: Duration) -> Timestamp {
        self.stale_at.minus(timeout)
    }

    /// Whether the call may still be running.
    pub(super) fn may_be_running(&self, now: Timestamp) -> bool {
        self.stale_at > now
    }

    /// Whether a repetition is due: the call can't be running, and the pause after the last repetition
    /// is over.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.may_be_running(now) && self.stale_at.plus(pause_after(self.repeats)) <= now
    }

    /// Notes that the call is repeated now.
    pub(super) fn begin_repetition(&mut self, now: Timestamp, timeout: Duration) {
        self.stale_at = stale_after(now, timeout);
        self.repeats = self.repeats.saturating_add(1);
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut fields = Fields::new();
        fields.set(CAPTURES_FIELD, &self.captures);
        fields.set(STALE_FIELD, &self.stale_at.as_nanos());
        fields.set(ACCOUNT_FIELD, &self.account);
        fields.set(REPEATS_FIELD, &self.repeats);
        let plan = build_object(|out| self.plan.write_stored(out));
        // The object was just written, so it is valid JSON.
        if let Ok(plan) = serde_json::from_slice::<Box<RawValue>>(plan.as_bytes()) {
            fields.set_raw(PLAN_FIELD, plan);
        }
        fields.to_object().into_bytes()
    }
}

/// When a call that begins now can no longer be running: it is aborted after `timeout`, and the
/// outside system may take as long again to carry out what it received.
pub(super) fn stale_after(now: Timestamp, timeout: Duration) -> Timestamp {
    now.plus(timeout.saturating_mul(2))
}

fn read_stale_time(fields: &Fields) -> Option<Timestamp> {
    let nanos = fields.get(STALE_FIELD)?.get().parse().ok()?;
    Some(Timestamp::from_nanos(nanos))
}

fn read_repeats(fields: &Fields) -> u32 {
    fields.get(REPEATS_FIELD).and_then(|raw| raw.get().parse().ok()).unwrap_or_default()
}

/// The pause before the call is repeated once more.
fn pause_after(repeats: u32) -> Duration {
    match repeats.checked_sub(1) {
        Some(doublings) => {
            FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_PAUSE)
        }
        None => Duration::ZERO,
    }
}

/// When the call of a stored plan is repeated.
#[cfg(feature = "testing")]
pub(crate) fn repetition_time(stored: &[u8]) -> Option<Timestamp> {
    let fields = Fields::from_trusted(stored).ok()?;
    Some(read_stale_time(&fields)?.plus(pause_after(read_repeats(&fields))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_have_growing_pauses_up_to_an_hour() {
        let pauses = [0, 1, 2, 3, 7, 8, 40, u32::MAX].map(|repeats| pause_after(repeats).as_secs());
        assert_eq!(pauses, [0, 30, 60, 120, 1920, 3600, 3600, 3600]);
    }
}
