//! [`StoredPlan`]: the record of an action that is about to call the outside system.

use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use strongroom_engine::{StorageBatch, StorageChange, StorageEntry};
use strongroom_schema::field::{FieldGroup, build_object};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::{Fields, Timestamp};

use super::DurableAction;
use crate::records::RecordKey;
use crate::{Context, Error};

/// The bucket of records in which plans are stored.
pub(crate) const PLAN_BUCKET: &str = "plan";

/// The captures of the path.
const CAPTURES_FIELD: &str = "captures";
/// When the call can no longer be running, in nanoseconds since 1970.
const STALE_FIELD: &str = "stale_at";
const PLAN_FIELD: &str = "plan";

/// A plan with the version of its record.
pub(super) struct StoredPlan<A: DurableAction> {
    pub(super) key: String,
    pub(super) captures: Vec<String>,
    stale_at: Timestamp,
    pub(super) plan: A::Plan,
    pub(super) entry: Option<StorageEntry>,
}

impl<A: DurableAction> StoredPlan<A> {
    /// A plan that is not stored yet.
    pub(super) fn new(key: String, captures: &[&str], stale_at: Timestamp, plan: A::Plan) -> Self {
        let captures = captures.iter().map(|&capture| capture.to_owned()).collect();
        Self { key, captures, stale_at, plan, entry: None }
    }

    /// The key of the plan for the document that the captures name. Only one plan for it exists at a
    /// time.
    pub(super) fn storage_key(captures: &[&str]) -> String {
        let name = RoutePattern::new(A::PATH).storage_key(captures);
        RecordKey::new(PLAN_BUCKET, &name).as_str().to_owned()
    }

    /// Reads the plan at a key; `None` if there is none.
    pub(super) async fn load(context: &Context, key: &str) -> Result<Option<Self>, Error> {
        let storage = &context.services().mount.storage;
        let Some(entry) = storage.get(key).await? else { return Ok(None) };
        let unreadable = || Error::internal("a stored plan can't be read by this version");
        let fields = Fields::from_trusted(&entry.value).map_err(|_| unreadable())?;
        let captures =
            fields.get(CAPTURES_FIELD).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let plan = fields.get(PLAN_FIELD).and_then(|raw| {
            let plan = Fields::from_trusted(raw.get().as_bytes()).ok()?;
            A::Plan::from_fields(&plan).ok()
        });
        Ok(Some(Self {
            key: key.to_owned(),
            captures: captures.ok_or_else(unreadable)?,
            stale_at: read_stale_time(&fields).ok_or_else(unreadable)?,
            plan: plan.ok_or_else(unreadable)?,
            entry: Some(entry),
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

    /// The batch that stores the plan, which replaces the one it was read from.
    pub(super) fn to_batch(&self) -> StorageBatch {
        let change =
            StorageChange::Put { key: self.key.clone(), value: self.encode(), seal_wrap: true };
        StorageBatch { preconditions: Vec::new(), changes: vec![change] }
    }

    /// Sets when the next call can no longer be running.
    pub(super) fn extend(&mut self, now: Timestamp, timeout: Duration) {
        self.stale_at = stale_after(now, timeout);
    }

    fn encode(&self) -> Bytes {
        let mut fields = Fields::new();
        fields.set(CAPTURES_FIELD, &self.captures);
        fields.set(STALE_FIELD, &self.stale_at.as_nanos());
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

/// When the call of a stored plan can no longer be running.
#[cfg(feature = "testing")]
pub(crate) fn stale_time(stored: &[u8]) -> Option<Timestamp> {
    read_stale_time(&Fields::from_trusted(stored).ok()?)
}
