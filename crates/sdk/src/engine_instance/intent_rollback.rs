//! Undoing of credentials whose issue was interrupted: the background task that finds stale intents.

use std::sync::Arc;

use strongroom_engine::catch_panic;
use strongroom_types::Timestamp;

use super::EngineInstance;
use super::single_task::{SingleTask, SingleTaskGuard};
use crate::Context;
use crate::blueprint::Blueprint;
use crate::intent::IntentStore;

impl EngineInstance {
    /// Undoes stale intents now, and as they become stale, until none are left or the instance
    /// closes. One such task runs at a time.
    pub(super) fn spawn_intent_rollback(&self) {
        if !self.blueprint.has_credentials() {
            return;
        }
        if std::mem::replace(&mut *self.intent_rollback.lock_running(), true) {
            self.intent_rollback.wake.notify_one();
            return;
        }
        let sweep = StaleIntentRollback {
            blueprint: self.blueprint.clone(),
            context: Context::background(self.services.clone()),
            intents: self.intents.clone(),
            task: self.intent_rollback.clone(),
        };
        let (closing, done) = (self.closing.clone(), SingleTaskGuard(self.intent_rollback.clone()));
        self.tasks.spawn(async move {
            let _done = done;
            tokio::select! {
                () = sweep.run_until_done() => {}
                () = closing.cancelled() => {}
            }
        });
    }
}

/// The background work of undoing stale intents.
struct StaleIntentRollback {
    blueprint: Blueprint,
    context: Context,
    intents: IntentStore,
    task: Arc<SingleTask>,
}

impl StaleIntentRollback {
    async fn run_until_done(&self) {
        loop {
            match self.undo_due().await {
                Ok(Some(next)) => tokio::select! {
                    () = self.context.clock().sleep_until(next) => {}
                    () = self.task.wake.notified() => {}
                },
                Ok(None) => return,
                Err(error) => {
                    // The next periodic call tries again.
                    tracing::warn!(%error, "stale intents could not be read");
                    return;
                }
            }
        }
    }

    /// Undoes the intents that are due; returns when more will be.
    async fn undo_due(&self) -> Result<Option<Timestamp>, crate::Error> {
        let (due, mut next) = self.intents.claim_due().await?;
        for due in due {
            let kind = due.intent.kind.clone();
            let Some(credential) = self.blueprint.credential_of_kind(&kind) else {
                tracing::warn!(kind, "an intent of a kind this engine doesn't have is kept");
                continue;
            };
            // A panic must not keep the other intents from being undone.
            let undo = async { Ok(credential.undo(&self.context, &due).await?) };
            match catch_panic(undo).await {
                Ok(()) => {
                    if let Some(again) = self.intents.record_undo_attempt(due).await? {
                        next = Some(next.map_or(again, |next| next.min(again)));
                    }
                }
                // The intent stays as it is, and the next periodic call tries again.
                Err(error) => {
                    tracing::warn!(%error, intent = due.uuid, "a credential could not be undone yet");
                }
            }
        }
        Ok(next)
    }
}
