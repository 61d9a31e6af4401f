//! [`PendingIssue`]: a call of `issue` in progress, and the intent that was stored before it.

use std::time::Duration;

use strongroom_engine::EngineError;
use strongroom_types::Timestamp;

use crate::credential::{Credential, CredentialName, UndoMethod};
use crate::intent::{DueIntent, Intent, IntentStore};
use crate::{Context, Error};

/// A call of `issue` that is about to begin.
pub(crate) struct PendingIssue {
    /// When the call is aborted.
    deadline: Timestamp,
    /// The stored intent and its id; `None` for a credential that can't be found by its name.
    stored: Option<DueIntent>,
    /// Whether the host deletes the intent together with writing the lease.
    is_hosted: bool,
}

impl PendingIssue {
    /// Stores the intent of a credential that can be found by its name. The outside system must not
    /// be called before this has completed.
    pub(crate) async fn begin<C: Credential>(
        context: &Context,
        intents: &IntentStore,
        config: &C::Config,
        name: &CredentialName,
    ) -> Result<Self, Error> {
        let now = context.now();
        let waited_for = context.deadline().since(now);
        let deadline = now.plus(operation_timeout::<C>(config).min(waited_for));
        let mut stored = None;
        if C::Undo::FINDS_BY_NAME {
            let timeout = C::timeout(config).min(waited_for);
            let intent = Intent::new(C::KIND, name.clone(), now, deadline, timeout);
            stored = Some(DueIntent { uuid: intents.create(&intent).await?, intent });
        }
        Ok(Self { deadline, stored, is_hosted: intents.host_deletes_intents })
    }

    /// When the call to the outside system is aborted.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The id of the intent, if the host deletes it.
    pub(crate) fn hosted_id(&self) -> Option<&str> {
        let stored = self.stored.as_ref().filter(|_| self.is_hosted);
        stored.map(|stored| stored.uuid.as_str())
    }

    /// Leaves the credential to the host, which writes the lease. Returns the id of the intent that
    /// the host deletes in the same batch. For a host that doesn't handle intents, the intent is
    /// deleted now.
    pub(crate) async fn hand_over(
        self,
        context: &Context,
        intents: &IntentStore,
    ) -> Result<Option<String>, EngineError> {
        match self.stored {
            Some(stored) if self.is_hosted => Ok(Some(stored.uuid)),
            Some(stored) => {
                delete_wal_entry(context, intents, &stored).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// The intent, to be undone after the call failed.
    pub(crate) fn into_due_intent(self) -> Option<DueIntent> {
        self.stored
    }
}

/// For a host that doesn't handle intents: the entry is deleted before the response is sent, unless
/// so much time has passed that the credential may have been undone meanwhile.
async fn delete_wal_entry(
    context: &Context,
    intents: &IntentStore,
    stored: &DueIntent,
) -> Result<(), EngineError> {
    intents.delete(&stored.uuid).await?;
    if context.now() < stored.intent.stale_at() {
        return Ok(());
    }
    // It may or may not have been undone already, so restore the entry and let it be undone again.
    intents.restore(&stored.uuid, &stored.intent).await?;
    Err(EngineError::internal("issuing took too long; the credential is undone"))
}

/// How long one operation may take, with all its calls to the outside system.
pub(crate) fn operation_timeout<C: Credential>(config: &C::Config) -> Duration {
    C::timeout(config).saturating_mul(C::CALLS.max(1))
}
