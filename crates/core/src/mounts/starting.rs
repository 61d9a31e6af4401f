//! Starting the engines of mounts that exist: at unseal, and again where that failed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use strongroom_types::MountUuid;

use super::changes::{Mounts, failed_to_open};
use super::entry::{Class, MountEntry};
use super::handle::{Attempt, EngineHandle, Instance};
use super::table::Mounted;
use crate::error::Error;

/// How long an unseal waits for engines that take their time.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two attempts to start what could not be started.
const PAUSE: Duration = Duration::from_secs(1);

/// Which mount, as long as it is the same.
struct Place {
    class: Class,
    path: String,
    uuid: MountUuid,
}

impl Mounts {
    /// Starts all engines side by side. Those that take too long are left to the background.
    pub(crate) async fn start_all(&self) {
        let clock = self.opener.barrier.clock();
        let starts = join_all(self.begin_starts());
        tokio::select! {
            _ = starts => {}
            () = clock.sleep(PATIENCE) => {
                tracing::warn!("some engines are still being started; the server is unsealed without them");
            }
        }
    }

    /// Starts what could not be started, whenever somebody asks for it.
    pub(crate) async fn keep_trying(&self) {
        let clock = self.opener.barrier.clock();
        loop {
            self.wanted.notified().await;
            // Each ends in its own time; one that hangs holds up no other.
            drop(self.begin_starts());
            clock.sleep(PAUSE).await;
        }
    }

    /// Begins to start every engine that isn't there and isn't being started. Dropping what this
    /// gives stops nothing.
    fn begin_starts(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let table = self.table();
        let now = self.opener.barrier.clock().running();
        let starts = table.all().filter_map(|mounted| {
            let attempt = mounted.engine()?.attempt(now)?;
            let (mounts, entry) = (self.clone(), mounted.entry.clone());
            Some(self.background.spawn(async move {
                let closing = mounts.closing.clone();
                closing.run_until_cancelled(mounts.start(entry, attempt)).await;
            }))
        });
        starts.collect()
    }

    async fn start(&self, entry: MountEntry, attempt: Attempt) {
        let opened = self.open_existing(&entry).await;
        let route = entry.route();
        let place = Place { class: entry.class, path: entry.path, uuid: entry.uuid };
        match opened {
            Ok(instance) => {
                let (mounts, kept) = (self.clone(), instance.clone());
                // Reloads and removals have turns: nothing of theirs is overwritten.
                let placed = self.turns.take(async move { mounts.put(&place, kept) }).await;
                if placed != Ok(true) {
                    instance.engine.close().await;
                    instance.storage.close();
                }
            }
            Err(error) => {
                tracing::error!(mount = route, %error, "the engine of a mount could not be started");
                attempt.failed(error.to_string(), self.opener.barrier.clock().running());
            }
        }
    }

    /// Puts an engine where none is. False if its place is taken or gone.
    fn put(&self, place: &Place, instance: Arc<Instance>) -> bool {
        let handle = self.waiting_for(place).filter(|_| !self.closing.is_cancelled());
        handle.is_some_and(|handle| handle.replace(instance).is_none())
    }

    fn waiting_for(&self, place: &Place) -> Option<EngineHandle> {
        let table = self.table();
        let mounted = table.get(place.class, &place.path)?;
        let same = mounted.entry.uuid == place.uuid && is_broken(mounted);
        mounted.engine().filter(|_| same).cloned()
    }

    async fn open_existing(&self, entry: &MountEntry) -> Result<Arc<Instance>, Error> {
        // Exactly what ran before. An engine that is linked in has the version of the server.
        let running = match &entry.running {
            Some(running) => running.clone(),
            None => self.opener.choose(entry).map_err(|error| failed_to_open(&error))?,
        };
        let opened =
            self.opener.open(entry, running).await.map_err(|error| failed_to_open(&error))?;
        opened.instance.storage.go_live();
        match self.initialise(&opened.instance).await {
            Ok(()) => Ok(opened.instance),
            Err(error) => {
                opened.instance.storage.close();
                opened.instance.engine.close().await;
                Err(error)
            }
        }
    }
}

fn is_broken(mounted: &Mounted) -> bool {
    mounted.engine().is_some_and(|handle| handle.instance().is_none())
}
