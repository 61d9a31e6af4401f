//! Starting the engines of mounts that exist: at unseal, and again where that failed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use strongroom_types::MountUuid;

use super::entry::{MountClass, MountEntry};
use super::handle::{EngineHandle, MountInstance, StartAttempt};
use super::registry::{MountRegistry, engine_open_error};
use super::table::ActiveMount;
use crate::error::Error;

/// How long an unseal waits for engines that take their time.
const UNSEAL_START_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest time between two attempts to start what could not be started.
const START_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Which mount, as long as it is the same.
struct StartTarget {
    class: MountClass,
    path: String,
    uuid: MountUuid,
}

impl MountRegistry {
    /// Starts all engines side by side. Those that take too long are left to the background.
    pub(crate) async fn start_all_engines(&self) {
        let clock = self.engine_loader.barrier.clock();
        let starts = join_all(self.spawn_engine_starts());
        tokio::select! {
            _ = starts => {}
            () = clock.sleep(UNSEAL_START_TIMEOUT) => {
                tracing::warn!("some engines are still being started; the server is unsealed without them");
            }
        }
    }

    /// Starts what could not be started, whenever somebody asks for it.
    pub(crate) async fn retry_failed_starts(&self) {
        let clock = self.engine_loader.barrier.clock();
        loop {
            self.start_requested.notified().await;
            // Each ends in its own time; one that hangs holds up no other.
            drop(self.spawn_engine_starts());
            clock.sleep(START_RETRY_PAUSE).await;
        }
    }

    /// Begins to start every engine that isn't there and isn't being started. Dropping what this
    /// gives stops nothing.
    fn spawn_engine_starts(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let table = self.table();
        let now = self.engine_loader.barrier.clock().monotonic_time();
        let starts = table.all_mounts().filter_map(|mounted| {
            let attempt = mounted.engine_handle()?.begin_start(now)?;
            let (mounts, entry) = (self.clone(), mounted.entry.clone());
            Some(self.background.spawn(async move {
                let closing = mounts.closing.clone();
                closing.run_until_cancelled(mounts.start_engine(entry, attempt)).await;
            }))
        });
        starts.collect()
    }

    async fn start_engine(&self, entry: MountEntry, attempt: StartAttempt) {
        let opened = self.load_and_initialise(&entry).await;
        let route = entry.route();
        let place = StartTarget { class: entry.class, path: entry.path, uuid: entry.uuid };
        match opened {
            Ok(instance) => {
                let (mounts, kept) = (self.clone(), instance.clone());
                // Reloads and removals have turns: nothing of theirs is overwritten.
                let placed = self
                    .change_queue
                    .run(async move { mounts.install_instance(&place, kept) })
                    .await;
                if placed != Ok(true) {
                    instance.engine.close().await;
                    instance.storage.close();
                }
            }
            Err(error) => {
                tracing::error!(mount = route, %error, "the engine of a mount could not be started");
                attempt.record_failure(
                    error.to_string(),
                    self.engine_loader.barrier.clock().monotonic_time(),
                );
            }
        }
    }

    /// Puts an engine where none is. False if its place is taken or gone.
    fn install_instance(&self, place: &StartTarget, instance: Arc<MountInstance>) -> bool {
        let handle = self.handle_without_engine(place).filter(|_| !self.closing.is_cancelled());
        handle.is_some_and(|handle| handle.replace_instance(instance).is_none())
    }

    fn handle_without_engine(&self, place: &StartTarget) -> Option<EngineHandle> {
        let table = self.table();
        let mounted = table.get(place.class, &place.path)?;
        let same = mounted.entry.uuid == place.uuid && has_no_engine(mounted);
        mounted.engine_handle().filter(|_| same).cloned()
    }

    async fn load_and_initialise(&self, entry: &MountEntry) -> Result<Arc<MountInstance>, Error> {
        // Exactly what ran before. An engine that is linked in has the version of the server.
        let running = match &entry.running {
            Some(running) => running.clone(),
            None => self
                .engine_loader
                .resolve_plugin(entry)
                .map_err(|error| engine_open_error(&error))?,
        };
        let opened = self
            .engine_loader
            .load_engine(entry, running)
            .await
            .map_err(|error| engine_open_error(&error))?;
        opened.instance.storage.activate();
        match self.initialise_engine(&opened.instance).await {
            Ok(()) => Ok(opened.instance),
            Err(error) => {
                opened.instance.storage.close();
                opened.instance.engine.close().await;
                Err(error)
            }
        }
    }
}

fn has_no_engine(mounted: &ActiveMount) -> bool {
    mounted.engine_handle().is_some_and(|handle| handle.current_instance().is_none())
}
