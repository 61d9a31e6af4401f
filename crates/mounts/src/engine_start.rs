//! Starts the engines of existing mounts: at unseal, and again where that failed.

use std::sync::Arc;
use std::time::Duration;
use strongroom_types::chain;

use futures_util::future::join_all;
use strongroom_types::{MountKind, MountUuid};

use crate::entry::MountEntry;
use crate::error::Error;
use crate::handle::{EngineHandle, MountInstance, StartAttempt};
use crate::registry::MountRegistry;
use crate::table::ActiveMount;

/// How long an unseal waits for engines that start slowly.
const UNSEAL_START_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum interval between two rounds of starting failed engines.
const START_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Identifies the mount that an engine is started for. The UUID detects that another mount took the
/// path meanwhile.
struct StartTarget {
    kind: MountKind,
    path: String,
    uuid: MountUuid,
}

impl MountRegistry {
    /// Starts all engines concurrently. Those that exceed the timeout continue to start in the
    /// background.
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

    /// Requests that engines that are not running are started again.
    pub fn request_engine_starts(&self) {
        self.start_requested.notify_one();
    }

    /// Starts engines that are not running, whenever a request or the periodic task asks for one.
    /// Never returns; the caller drops it at the seal.
    pub async fn retry_failed_starts(&self) {
        let clock = self.engine_loader.barrier.clock();
        loop {
            self.start_requested.notified().await;
            // The tasks run on their own, so one that hangs does not delay the others.
            drop(self.spawn_engine_starts());
            clock.sleep(START_RETRY_PAUSE).await;
        }
    }

    /// Spawns a task for every engine that is neither running nor being started. Dropping the
    /// returned handles does not stop the tasks.
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
        let place = StartTarget { kind: entry.kind, path: entry.path, uuid: entry.uuid };
        match opened {
            Ok(instance) => {
                let (mounts, kept) = (self.clone(), instance.clone());
                // Goes through the change queue, so it cannot overwrite the result of a reload or
                // removal.
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
                tracing::error!(mount = route, error = %chain(&error), "the engine of a mount could not be started");
                attempt.record_failure(
                    error.to_string(),
                    self.engine_loader.barrier.clock().monotonic_time(),
                );
            }
        }
    }

    /// Installs an instance on a mount that has none. Returns `false` if the mount no longer exists
    /// or has an engine.
    fn install_instance(&self, place: &StartTarget, instance: Arc<MountInstance>) -> bool {
        let handle = self.handle_without_engine(place).filter(|_| !self.closing.is_cancelled());
        handle.is_some_and(|handle| handle.replace_instance(instance).is_none())
    }

    fn handle_without_engine(&self, place: &StartTarget) -> Option<EngineHandle> {
        let table = self.table();
        let mounted = table.get(place.kind, &place.path)?;
        let same = mounted.entry.uuid == place.uuid && has_no_engine(mounted);
        mounted.engine_handle().filter(|_| same).cloned()
    }

    async fn load_and_initialise(&self, entry: &MountEntry) -> Result<Arc<MountInstance>, Error> {
        // The same version as before the restart. A linked-in engine always has the server's
        // version.
        let running = match &entry.running {
            Some(running) => running.clone(),
            None => self.engine_loader.resolve_plugin(entry).map_err(Error::Open)?,
        };
        let opened = self.engine_loader.load_engine(entry, running).await.map_err(Error::Open)?;
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
