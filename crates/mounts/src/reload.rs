//! Replacing an engine instance without failing a request.
//!
//! A new instance is loaded beside the old one. Then the gate is closed: new requests wait, running
//! ones finish. The new instance initialises with its writes buffered, and these writes are
//! committed in one batch with the mount's entry. If a step fails, the writes are discarded, the
//! gate opens on the old instance, and the operator gets the error.

use std::sync::Arc;
use std::time::Duration;
use strongroom_types::MountKind;
use strongroom_types::chain;
use tracing::Instrument;

use crate::entry::MountEntry;
use crate::error::Error;
use crate::handle::{EngineHandle, MountInstance};
use crate::plugins::RunningPlugin;
use crate::registry::MountRegistry;
use crate::table::{ActiveMount, MountBackend};

/// How long new requests wait for running ones before both instances may run at the same time.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a reload waits for running requests of an engine that must not run twice, and how long
/// a replaced instance may take to finish its requests before it is closed.
const EXCLUSIVE_DRAIN_TIMEOUT: Duration = Duration::from_secs(90);

impl MountRegistry {
    /// Replaces a mount's engine by the version that the catalog selects now.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no such mount, it has no engine, or its plug-in can't be opened;
    /// `Internal` if the plug-in can't be started, or must run alone and requests don't finish in
    /// time; the engine's error if it fails to initialise; `Unavailable` if the engine is being
    /// started or too many changes wait; `Sealed` if a seal started. The old engine continues to
    /// serve requests then.
    ///
    /// # Cancel safety
    ///
    /// Once the reload has started it completes, even if the future is dropped.
    pub async fn reload(&self, kind: MountKind, path: &str) -> Result<(), Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(kind, &path) else {
                return Err(Error::NothingToReload { kind, path });
            };
            let entry = mounted.entry.clone();
            let running = mounts.engine_loader.resolve_plugin(&entry).map_err(Error::Open)?;
            mounts.replace_engine(mounted, entry, running).await
        };
        self.change_queue.run(work).await?
    }

    /// Changes settings of a mount that its engine reads only when it is opened, and reopens the
    /// engine in the same version. The change is stored together with the installation of the new
    /// instance, or not at all.
    ///
    /// # Errors
    ///
    /// The error of `change`, and those of [`MountRegistry::reload`].
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn tune_and_reload<E: From<Error> + Send + 'static>(
        &self,
        kind: MountKind,
        path: &str,
        change: impl FnOnce(&mut MountEntry) -> Result<(), E> + Send + 'static,
    ) -> Result<(), E> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(kind, &path) else {
                return Err(Error::NothingToTune(path).into());
            };
            let mut entry = mounted.entry.clone();
            change(&mut entry)?;
            let running = match &entry.running {
                Some(running) => running.clone(),
                None => mounts.engine_loader.resolve_plugin(&entry).map_err(Error::Open)?,
            };
            mounts.replace_engine(mounted, entry, running).await?;
            if let Some(instance) = mounted.engine_handle().and_then(EngineHandle::current_instance)
            {
                // The engine may have to convert the old instance's data; the periodic call starts
                // that now instead of at the next interval.
                let first_call = async move {
                    if let Err(error) = instance.engine.periodic().await {
                        tracing::warn!(error = %chain(&error), "the periodic call of a new instance failed");
                    }
                };
                mounts.background.spawn(first_call.in_current_span());
            }
            Ok(())
        };
        self.change_queue.run(work).await.map_err(Error::from)?
    }

    /// Loads a new instance and replaces the current one by it, with the given entry and version.
    async fn replace_engine(
        &self,
        mounted: &ActiveMount,
        mut entry: MountEntry,
        running: RunningPlugin,
    ) -> Result<(), Error> {
        let path = &mounted.entry.path;
        let Some(handle) = mounted.engine_handle() else {
            return Err(Error::NotReloadable(path.clone()));
        };
        // Prevents a concurrent start of the same engine.
        let now = self.engine_loader.barrier.clock().monotonic_time();
        let _attempt = match handle.current_instance() {
            Some(_) => None,
            None => Some(handle.begin_start_now(now).ok_or(Error::EngineStarting)?),
        };
        let opened = self.engine_loader.load_engine(&entry, running).await.map_err(Error::Open)?;
        let old = handle.current_instance();
        let swapped = {
            let _gate = handle.close_gate();
            let prepared = match &old {
                Some(old) => self.drain_before_swap(old, &opened.instance).await,
                None => Ok(()),
            };
            match prepared {
                Ok(()) => self.activate(&mut entry, &opened).await,
                Err(error) => Err(error),
            }
            .and_then(|()| self.check_not_closing())
            .map(|()| {
                handle.replace_instance(opened.instance.clone());
                let backend = MountBackend::Engine(handle.clone());
                self.update_table(|table| table.with_mount(ActiveMount::new(entry, backend)));
            })
        };
        match swapped {
            Ok(()) => {
                if let Some(old) = old {
                    self.close_after_drain(old, opened.instance);
                }
                Ok(())
            }
            Err(error) => {
                opened.instance.storage.close();
                opened.instance.engine.close().await;
                if let Some(old) = old {
                    old.storage.notify_peer(None);
                }
                Err(error)
            }
        }
    }

    /// Waits until no request is in flight on the old instance. If they take too long, both
    /// instances run at the same time and are notified of each other's writes, unless one of them
    /// declares that it must run alone.
    async fn drain_before_swap(
        &self,
        old: &Arc<MountInstance>,
        new: &Arc<MountInstance>,
    ) -> Result<(), Error> {
        let alone = |instance: &MountInstance| instance.engine.description().exclusive;
        let exclusive = alone(old) || alone(new);
        let clock = self.engine_loader.barrier.clock();
        let timeout = if exclusive { EXCLUSIVE_DRAIN_TIMEOUT } else { DRAIN_TIMEOUT };
        tokio::select! {
            () = old.wait_until_drained() => return Ok(()),
            () = clock.sleep(timeout) => {}
        }
        if exclusive {
            return Err(Error::NotDrained);
        }
        old.storage.notify_peer(Some(Arc::downgrade(&new.engine)));
        new.storage.notify_peer(Some(Arc::downgrade(&old.engine)));
        Ok(())
    }

    /// Closes the old instance in the background, after its requests have finished, the seal has
    /// started or the timeout has passed.
    fn close_after_drain(&self, old: Arc<MountInstance>, new: Arc<MountInstance>) {
        let clock = self.engine_loader.barrier.clock().clone();
        let closing = self.closing.clone();
        let close = async move {
            tokio::select! {
                () = old.wait_until_drained() => {}
                () = closing.cancelled() => {}
                () = clock.sleep(EXCLUSIVE_DRAIN_TIMEOUT) => {
                    tracing::warn!("requests in a replaced engine did not finish; closing it anyway");
                }
            }
            new.storage.notify_peer(None);
            old.engine.close().await;
            old.storage.close();
        };
        self.background.spawn(close.in_current_span());
    }
}
