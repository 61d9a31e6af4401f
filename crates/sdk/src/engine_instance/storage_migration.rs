//! Migrations of what an earlier version stored, which run in the background after an instance is
//! opened.

use strongroom_engine::EngineError;

use super::EngineInstance;
use super::single_task::SingleTaskGuard;
use crate::Context;
use crate::migration;

impl EngineInstance {
    /// Rejects requests until the data of an earlier version has been migrated.
    pub(super) fn check_migrated(&self) -> Result<(), EngineError> {
        match self.blueprint.migration() {
            Some(takeover) if !self.migration_gate.is_open() => {
                // After a failure the next attempt is made by the periodic call.
                if !self.migration_gate.has_failed() {
                    self.spawn_migration();
                }
                Err(EngineError::user(takeover.unavailable_message))
            }
            _ => Ok(()),
        }
    }

    /// Migrates the data of an earlier version, until none is left or the instance closes.
    pub(super) fn spawn_migration(&self) {
        let Some(takeover) = self.blueprint.migration().cloned() else { return };
        if self.migration_gate.is_open()
            || std::mem::replace(&mut *self.migration_task.lock_running(), true)
        {
            return;
        }
        let context = Context::background(self.services.clone());
        let storage = self.services.mount.storage.clone();
        let (gate, closing) = (self.migration_gate.clone(), self.closing.clone());
        let done = SingleTaskGuard(self.migration_task.clone());
        self.tasks.spawn(async move {
            let _done = done;
            match takeover.run(&context, &*storage, &gate, || !closing.is_cancelled()).await {
                Ok(true) => gate.open(),
                Ok(false) => {}
                Err(error) => {
                    gate.mark_failed();
                    tracing::warn!(
                        %error,
                        "the secrets of the previous version could not be moved yet; the next periodic \
                         call tries again"
                    );
                }
            }
        });
    }

    /// Moves records to their new keys, until none that can be moved is left or the instance
    /// closes.
    pub(super) fn spawn_key_migration(&self) {
        if self.keyed_storage.is_done()
            || std::mem::replace(&mut *self.key_migration_task.lock_running(), true)
        {
            return;
        }
        let (keys, closing) = (self.keyed_storage.clone(), self.closing.clone());
        let done = SingleTaskGuard(self.key_migration_task.clone());
        self.tasks.spawn(async move {
            let _done = done;
            if let Err(error) = keys.move_all(|| !closing.is_cancelled()).await {
                tracing::warn!(
                    %error,
                    "entries could not be moved to their new keys yet; the next periodic call tries again"
                );
            }
        });
    }

    /// Checks whether this engine may open this mount, and whether a migration is needed first.
    pub(super) async fn inspect_storage(&self) -> Result<(), EngineError> {
        let storage = &*self.services.mount.storage;
        if let Err(error) = self.keyed_storage.check_for_legacy_keys().await {
            // The first request checks again.
            tracing::warn!(%error, "whether entries have old keys could not be seen yet");
        }
        if let Some(why) = self.blueprint.migrated_rejection()
            && migration::has_records(storage).await?
        {
            return Err(EngineError::user(why));
        }
        if self.blueprint.migration().is_some() {
            // Otherwise the migration begins with the first request or periodic call: hosts may
            // hold back writes while an instance initialises, and there can be many.
            if !migration::is_needed(storage).await? {
                self.migration_gate.open();
            }
        }
        Ok(())
    }
}
