//! Replacing an engine without failing a request.
//!
//! A new instance is set up beside the old one. Then the gate closes: new requests wait, running
//! ones finish. The new instance initialises with its writes held aside, and the change of the
//! mount and those writes are one batch. If anything fails, the writes are dropped, the gate opens
//! on the old instance, and the operator is told why.

use std::sync::Arc;
use std::time::Duration;

use super::changes::{Mounts, failed_to_open};
use super::entry::{Class, MountEntry};
use super::handle::{EngineHandle, Instance};
use super::table::{Backend, Mounted};
use crate::error::Error;
use crate::plugins::Running;

/// How long new requests wait for running ones before the two instances may overlap.
const DRAIN: Duration = Duration::from_secs(2);
/// How long an engine that must never run twice is given to finish its requests.
const DRAIN_EXCLUSIVE: Duration = Duration::from_secs(90);

impl Mounts {
    /// Replaces the engine of a mount by what the catalog says should run.
    pub async fn reload(&self, class: Class, path: &str) -> Result<(), Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(class, &path) else {
                return Err(Error::invalid(format!("No {} at {path}", class.noun())));
            };
            let entry = mounted.entry.clone();
            let running = mounts.opener.choose(&entry).map_err(|error| failed_to_open(&error))?;
            mounts.reopen(mounted, entry, running).await
        };
        self.turns.take(work).await?
    }

    /// Changes a mount in a way that its engine learns when it is opened, and opens it anew, as it
    /// runs: the change is on disk when the new instance is in place, or not at all.
    pub async fn tune_and_reopen(
        &self,
        class: Class,
        path: &str,
        change: impl FnOnce(&mut MountEntry) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(class, &path) else {
                let text = format!("tune of path {path:?} failed: no mount entry found");
                return Err(Error::invalid(text));
            };
            let mut entry = mounted.entry.clone();
            change(&mut entry)?;
            let running = match &entry.running {
                Some(running) => running.clone(),
                None => mounts.opener.choose(&entry).map_err(|error| failed_to_open(&error))?,
            };
            mounts.reopen(mounted, entry, running).await?;
            if let Some(instance) = mounted.engine().and_then(EngineHandle::instance) {
                // What the new instance has to make of the old one's storage need not wait for the
                // next tick.
                mounts.background.spawn(async move {
                    if let Err(error) = instance.engine.periodic().await {
                        tracing::warn!(%error, "the periodic call of a new instance failed");
                    }
                });
            }
            Ok(())
        };
        self.turns.take(work).await?
    }

    /// Puts a new instance in place of the one that runs.
    async fn reopen(
        &self,
        mounted: &Mounted,
        mut entry: MountEntry,
        running: Running,
    ) -> Result<(), Error> {
        let path = &mounted.entry.path;
        let Some(handle) = mounted.engine() else {
            return Err(Error::invalid(format!("the engine at {path} can't be reloaded")));
        };
        // Nobody else starts it meanwhile.
        let now = self.opener.barrier.clock().running();
        let _attempt = match handle.instance() {
            Some(_) => None,
            None => Some(handle.attempt_now(now).ok_or_else(|| {
                let text = "the engine is being started; try again";
                Error::plain(strongroom_types::ErrorKind::Unavailable, text)
            })?),
        };
        let opened =
            self.opener.open(&entry, running).await.map_err(|error| failed_to_open(&error))?;
        let old = handle.instance();
        let swapped = {
            let _gate = handle.close_gate();
            let prepared = match &old {
                Some(old) => self.drain(old, &opened.instance).await,
                None => Ok(()),
            };
            match prepared {
                Ok(()) => self.make_live(&mut entry, &opened).await,
                Err(error) => Err(error),
            }
            .and_then(|()| self.still_open())
            .map(|()| {
                handle.replace(opened.instance.clone());
                let backend = Backend::Engine(handle.clone());
                self.swap(|table| table.with(Mounted::new(entry, backend)));
            })
        };
        match swapped {
            Ok(()) => {
                if let Some(old) = old {
                    self.retire(old, opened.instance);
                }
                Ok(())
            }
            Err(error) => {
                opened.instance.storage.close();
                opened.instance.engine.close().await;
                if let Some(old) = old {
                    old.storage.run_beside(None);
                }
                Err(error)
            }
        }
    }

    /// Waits for the requests inside the old instance. If they take too long the two overlap, each
    /// told of the other's writes, unless one of them says that it must run alone.
    async fn drain(&self, old: &Arc<Instance>, new: &Arc<Instance>) -> Result<(), Error> {
        let alone = |instance: &Instance| instance.engine.description().exclusive;
        let exclusive = alone(old) || alone(new);
        let clock = self.opener.barrier.clock();
        let patience = if exclusive { DRAIN_EXCLUSIVE } else { DRAIN };
        tokio::select! {
            () = old.drained() => return Ok(()),
            () = clock.sleep(patience) => {}
        }
        if exclusive {
            return Err(Error::internal(
                "the running requests did not finish in time, and the engine must run alone",
            ));
        }
        old.storage.run_beside(Some(Arc::downgrade(&new.engine)));
        new.storage.run_beside(Some(Arc::downgrade(&old.engine)));
        Ok(())
    }

    /// Lets the requests inside the old instance finish, then ends it.
    fn retire(&self, old: Arc<Instance>, new: Arc<Instance>) {
        let clock = self.opener.barrier.clock().clone();
        let closing = self.closing.clone();
        self.background.spawn(async move {
            tokio::select! {
                () = old.drained() => {}
                () = closing.cancelled() => {}
                () = clock.sleep(DRAIN_EXCLUSIVE) => {
                    tracing::warn!("requests in a replaced engine did not end; it is closed on them");
                }
            }
            new.storage.run_beside(None);
            old.engine.close().await;
            old.storage.close();
        });
    }
}
