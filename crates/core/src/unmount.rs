//! Removing a mount without leaving credentials behind in outside systems. First new requests are
//! refused and running ones finish, so that no lease is created after the last one was revoked;
//! then the leases are revoked; then the engine undoes credentials of failed requests, which have
//! no lease. Only then is the storage deleted, since it records all of these. If a step fails, the
//! mount remains, refuses requests, and the removal is retried.

use std::sync::Arc;
use std::time::Duration;

use strongroom_barrier::Batch;
use strongroom_engine::EngineError;
use strongroom_engine::intent::{INTENT_FOLDER, UNDO_FOLDER};
use strongroom_mounts::handle::Blocked;
use strongroom_mounts::{EngineHandle, MountEntry};
use strongroom_types::{Clock, ErrorKind, chain};

use crate::error::{Error, sanitise_message};
use crate::leases::LeaseService;

/// Removes mounts, and resumes removals that were begun and not finished.
#[derive(Debug)]
pub struct UnmountService {
    pub(crate) leases: Arc<LeaseService>,
    /// The deadline of requests; a removal waits for running ones a little longer.
    pub(crate) request_timeout: Duration,
    /// The interval at which unfinished removals are retried.
    pub(crate) retry_interval: Duration,
}

impl UnmountService {
    fn clock(&self) -> &Arc<dyn Clock> {
        self.leases.clock()
    }

    /// Removes a tainted mount: waits for its requests, revokes its leases, lets the engine undo
    /// pending intents, then deletes its storage and entry. If a lease cannot be revoked the
    /// removal stops and is retried later; the operator repairs the engine or removes the leases by
    /// force.
    pub async fn remove_mount(&self, entry: MountEntry) -> Result<(), Error> {
        let removal = Unmount { unmounts: self, entry: &entry };
        removal.block_and_drain_requests(Blocked::Removing).await?;
        let ended = self.leases.revoke_prefix(&entry.route()).await;
        ended.map_err(|error| removal.unrevoked_leases_error(error))?;
        removal.undo_pending_intents().await?;
        Ok(self.leases.mounts.remove(entry).await?)
    }

    /// Resumes mount removals that were begun and not finished, before or after the last restart.
    pub(crate) async fn resume_unmounts(&self) {
        loop {
            let table = self.leases.mounts.table();
            for mounted in table.all_mounts().filter(|mounted| mounted.entry.tainted) {
                if let Err(error) = self.remove_mount(mounted.entry.clone()).await {
                    let mount = &mounted.info.path;
                    tracing::warn!(mount, error = %chain(&error), "the removal of a mount could not be completed; it will be retried");
                }
            }
            self.clock().sleep(self.retry_interval).await;
        }
    }
}

/// The removal of a tainted mount; a remount uses its first step.
pub struct Unmount<'a> {
    /// The service that performs the removal.
    pub unmounts: &'a UnmountService,
    /// The entry of the mount, which is already marked as tainted.
    pub entry: &'a MountEntry,
}

/// How long the removal waits for pending intents to be undone.
const UNDO_TIMEOUT: Duration = Duration::from_secs(30);
const UNDO_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Added to the request timeout when waiting for running requests to finish.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

impl Unmount<'_> {
    /// Refuses new requests from now on, and waits until running ones have finished; `Unavailable`
    /// if they do not finish in time.
    pub(crate) async fn block_and_drain_requests(&self, why: Blocked) -> Result<(), Error> {
        let Some(engine) = self.engine_handle() else { return Ok(()) };
        engine.block(why);
        let Some(instance) = engine.current_instance() else { return Ok(()) };
        let clock = self.unmounts.clock();
        let late = self.unmounts.request_timeout.saturating_add(DRAIN_MARGIN);
        tokio::select! {
            () = instance.wait_until_drained() => Ok(()),
            () = clock.sleep(late) => Err(undrained_requests_error(why)),
        }
    }

    /// Lets the engine undo credentials that were created for failed requests, by calling its
    /// periodic function until no intent is left; `Unavailable` after 30 seconds.
    pub(crate) async fn undo_pending_intents(&self) -> Result<(), Error> {
        let clock = self.unmounts.clock();
        let began = clock.monotonic_time();
        let mut trouble = None;
        while self.has_pending_intents().await? {
            let remaining =
                UNDO_TIMEOUT.saturating_sub(clock.monotonic_time().saturating_sub(began));
            if remaining.is_zero() {
                return Err(self.undo_timeout_error(trouble.as_ref()));
            }
            // An engine that fails, does not respond or cannot be started is called again: its
            // outside system may become reachable.
            trouble = self.run_engine_periodic(remaining).await.err();
            clock.sleep(UNDO_POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Makes the engine's periodic call, in which it undoes pending intents.
    async fn run_engine_periodic(&self, timeout: Duration) -> Result<(), EngineError> {
        let Some(engine) = self.engine_handle() else { return Ok(()) };
        let call = async { engine.acquire_for_revocation().await?.engine.periodic().await };
        tokio::select! {
            outcome = call => outcome,
            () = self.unmounts.clock().sleep(timeout) => {
                Err(EngineError::internal("it did not answer in time"))
            }
        }
    }

    fn undo_timeout_error(&self, trouble: Option<&EngineError>) -> Error {
        let trouble = trouble.map(|error| {
            format!(", and the engine fails: {}", sanitise_message(&error.to_string()))
        });
        retry_later_error(&format!(
            "credentials of requests that failed are still being undone, because the outside system \
             can't be reached{} (if it stays unreachable, {} abandons them)",
            trouble.unwrap_or_default(),
            self.revoke_force_hint()
        ))
    }

    /// Adds to the error of a lease that cannot be revoked how to remove it by force.
    pub(crate) fn unrevoked_leases_error(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Internal {
            return error;
        }
        let way_out = self.revoke_force_hint();
        error.map_message(|text| {
            format!("{text} (if it never succeeds, {way_out} removes the leases)")
        })
    }

    /// The command and the API path that remove the leases by force.
    fn revoke_force_hint(&self) -> String {
        let route = self.entry.route();
        let prefix = route.trim_end_matches('/');
        format!("\"lease revoke -force -prefix {prefix}\" (sys/leases/revoke-force/{prefix})")
    }

    /// Deletes the pending intents without undoing them, for an outside system that no longer
    /// exists. Returns how many credentials may remain there.
    pub async fn abandon_intents(&self) -> Result<usize, Error> {
        const PAGE: usize = 256;
        let storage = self.unmounts.leases.barrier.view(&self.entry.storage_prefix());
        let mut abandoned = 0;
        for folder in [INTENT_FOLDER, UNDO_FOLDER] {
            let mut after: Option<String> = None;
            loop {
                let names = storage.list_children(folder, after.as_deref(), PAGE).await?;
                let Some(last) = names.last() else { break };
                after = Some(last.clone());
                let mut batch = Batch::new();
                for name in names.iter().filter(|name| is_intent_name(name)) {
                    storage.delete(&mut batch, &format!("{folder}{name}"));
                    abandoned += 1;
                }
                storage.commit(batch).await?;
            }
        }
        Ok(abandoned)
    }

    fn engine_handle(&self) -> Option<EngineHandle> {
        let table = self.unmounts.leases.mounts.table();
        table.find_by_uuid(self.entry.uuid.as_str())?.engine_handle().cloned()
    }

    async fn has_pending_intents(&self) -> Result<bool, Error> {
        const ENOUGH: usize = 16;
        let storage = self.unmounts.leases.barrier.view(&self.entry.storage_prefix());
        for folder in [INTENT_FOLDER, UNDO_FOLDER] {
            let names = storage.list_children(folder, None, ENOUGH).await?;
            if names.iter().any(|name| is_intent_name(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the name is a UUID, as the SDK names intents. An engine not built with the SDK may use
/// folders of the same names for something else.
fn is_intent_name(name: &str) -> bool {
    strongroom_types::MountUuid::parse(name).is_ok()
}

fn undrained_requests_error(why: Blocked) -> Error {
    let what = "requests inside the engine did not end";
    match why {
        Blocked::Removing => retry_later_error(what),
        Blocked::Moving => Error::with_message(ErrorKind::Unavailable, what),
    }
}

fn retry_later_error(what: &str) -> Error {
    let text = format!("{what}; the mount takes no requests any more and is removed after that");
    Error::with_message(ErrorKind::Unavailable, text)
}
