//! [`MountRegistry`]: enabling, tuning and disabling. Changes are made one at a time; each is on disk
//! before anyone sees it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use strongroom_barrier::{Batch, View};
use strongroom_sdk::engine::EngineError;
use strongroom_types::{MountPath, MountUuid, SerialQueue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::{MountClass, MountConfig, MountEntry, RemountProgress};
use super::handle::{Blocked, EngineHandle, MountInstance};
use super::loader::{EngineLoader, LoadedEngine};
use super::remount::PendingRemounts;
use super::table::{ActiveMount, MountBackend, MountTable};
use crate::error::{Error, sanitise_message};
use crate::plugins::PluginError;

/// The mounts of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MountRegistry {
    pub(crate) table: Arc<ArcSwap<MountTable>>,
    pub(crate) view: View,
    pub(crate) engine_loader: EngineLoader,
    pub(crate) change_queue: SerialQueue,
    /// Engines that start, and replaced ones that finish their last requests.
    pub(crate) background: TaskTracker,
    /// Ends what is being started.
    pub(crate) closing: CancellationToken,
    /// Somebody asked for an engine that could not be started.
    pub(crate) start_requested: Arc<Notify>,
    /// Mounts on their way to another path.
    pub(crate) pending_remounts: Arc<PendingRemounts>,
}

/// What a new mount is to be.
#[derive(Clone, Debug)]
pub struct NewMount {
    /// Secrets engine or auth method.
    pub class: MountClass,
    /// Where.
    pub path: MountPath,
    /// The plug-in's name.
    pub mount_type: String,
    /// The version asked for; empty to follow.
    pub plugin_version: String,
    /// For people.
    pub description: String,
    /// For the engine.
    pub options: Option<BTreeMap<String, String>>,
    /// Kept in this cluster.
    pub local: bool,
    /// See [`MountEntry::seal_wrap`].
    pub seal_wrap: bool,
    /// What can be tuned later.
    pub config: MountConfig,
}

/// Changes that may wait for each other.
const MAX_QUEUED_CHANGES: usize = 4096;
/// How long an engine may take to initialise.
pub(crate) const INITIALISE_TIMEOUT: Duration = Duration::from_secs(60);
const PAGE_SIZE: usize = 256;
/// Paths that belong to the server.
pub(crate) const RESERVED_PATHS: [&str; 5] = ["sys/", "cubbyhole/", "identity/", "auth/", "audit/"];

impl MountRegistry {
    /// Loads all mounts and starts their engines. One that can't be started, or takes its time,
    /// doesn't stop the others: its mount answers with the reason.
    pub async fn load(
        view: View,
        opener: EngineLoader,
        system: Vec<Arc<ActiveMount>>,
    ) -> Result<Self, Error> {
        let mounts = Self {
            table: opener.table.clone(),
            view,
            engine_loader: opener,
            change_queue: SerialQueue::new(MAX_QUEUED_CHANGES),
            background: TaskTracker::new(),
            closing: CancellationToken::new(),
            start_requested: Arc::default(),
            pending_remounts: Arc::default(),
        };
        let mut table = MountTable::default();
        for mounted in system {
            table = table.with_mount(mounted);
        }
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let keys = mounts.view.list_keys("", after.as_deref(), PAGE_SIZE).await?;
            let full = keys.len() == PAGE_SIZE;
            after = keys.last().cloned();
            for key in keys {
                entries.extend(mounts.view.get_json::<MountEntry>(&key).await?);
            }
            if !full {
                break;
            }
        }
        // Engines may ask about their mounts while they start.
        for entry in entries {
            // The server's own mounts are made anew each time; stored is what was tuned of them.
            if let Some(own) = table.find_by_uuid(entry.uuid.as_str()).cloned() {
                let MountEntry { description, options, config, .. } = entry;
                let entry = MountEntry { description, options, config, ..own.entry.clone() };
                table = table.with_mount(ActiveMount::new(entry, own.backend.clone()));
                continue;
            }
            let waiting =
                EngineHandle::without_engine("it is being started", mounts.start_requested.clone());
            if entry.tainted {
                waiting.block(Blocked::Removing);
            } else if entry.remount_in_progress().is_some() {
                waiting.block(Blocked::Moving);
            }
            table = table.with_mount(ActiveMount::new(entry, MountBackend::Engine(waiting)));
        }
        mounts.table.store(Arc::new(table));
        mounts.start_all_engines().await;
        Ok(mounts)
    }

    /// All mounts of the moment.
    pub fn table(&self) -> Arc<MountTable> {
        self.table.load_full()
    }

    /// Mounts a new engine. When this answers, it is on disk and serves requests.
    pub async fn enable(&self, new: NewMount) -> Result<(), Error> {
        let mounts = self.clone();
        self.change_queue.run(async move { mounts.enable_now(new).await }).await?
    }

    /// Changes what can be tuned.
    pub async fn tune(
        &self,
        class: MountClass,
        path: &str,
        change: impl FnOnce(&mut MountEntry) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(class, &path) else {
                let route = class.route_to(&path);
                let text = format!("tune of path {route:?} failed: no mount entry found");
                return Err(Error::invalid(text));
            };
            let mut entry = mounted.entry.clone();
            change(&mut entry)?;
            mounts.store_entry(&entry, Batch::new()).await?;
            mounts.update_table(|table| {
                table.with_mount(ActiveMount::new(entry, mounted.backend.clone()))
            });
            Ok(())
        };
        self.change_queue.run(work).await?
    }

    /// Marks a mount as going away: from now on only revocations pass. Gives its entry.
    pub async fn taint(&self, class: MountClass, path: &str) -> Result<Option<MountEntry>, Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(class, &path) else { return Ok(None) };
            let mut entry = MountEntry { tainted: true, ..mounted.entry.clone() };
            // A move under way finds that it is none any more.
            if let Some(moved) = &mut entry.moved
                && moved.status == RemountProgress::InProgress
            {
                moved.status = RemountProgress::Failure;
            }
            mounts.store_entry(&entry, Batch::new()).await?;
            let backend = mounted.backend.clone();
            mounts.update_table(|table| table.with_mount(ActiveMount::new(entry.clone(), backend)));
            Ok(Some(entry))
        };
        self.change_queue.run(work).await?
    }

    /// Removes a tainted mount whose leases are gone: ends the engine, deletes its storage and,
    /// last, its entry. A crash in between leaves it tainted, and the removal goes on at the next
    /// unseal.
    pub async fn remove(&self, entry: MountEntry) -> Result<(), Error> {
        let mounts = self.clone();
        self.change_queue.run(async move { mounts.remove_now(entry).await }).await?
    }

    /// Ends all engines, at the same time. For sealing.
    pub async fn close_all(&self) {
        self.closing.cancel();
        let table = self.table();
        let instances = table
            .all_mounts()
            .filter_map(|m| m.engine_handle()?.take_instance("the server is sealed"));
        let close = instances.map(|instance| async move {
            // First: whatever the engine does with its end, it writes nothing any more.
            instance.storage.close();
            let closed = AssertUnwindSafe(instance.engine.close()).catch_unwind().await;
            if closed.is_err() {
                tracing::error!("an engine panicked while it was closed");
            }
        });
        futures_util::future::join_all(close.collect::<Vec<_>>()).await;
        self.background.close();
        self.background.wait().await;
    }

    /// Lets go of all engines and mounts at once, whatever they are doing: nothing that they hold
    /// outlives a seal because an engine hangs.
    pub(crate) fn drop_engines(&self) {
        self.closing.cancel();
        for handle in self.table().all_mounts().filter_map(|mounted| mounted.engine_handle()) {
            if let Some(instance) = handle.take_instance("the server is sealed") {
                instance.storage.close();
            }
        }
        self.table.store(Arc::default());
    }

    async fn enable_now(&self, new: NewMount) -> Result<(), Error> {
        self.check_path_is_free(new.class, &new.path)?;
        let entropy = self.engine_loader.barrier.entropy();
        let broken = |_| Error::internal("a UUID could not be made");
        let accessor = generate_accessor(new.class, &new.mount_type, entropy.next_u64());
        let mut entry = MountEntry {
            v: 1,
            class: new.class,
            path: new.path.as_str().to_owned(),
            mount_type: new.mount_type,
            description: new.description,
            uuid: MountUuid::parse(&entropy.uuid()).map_err(broken)?,
            accessor,
            local: new.local,
            seal_wrap: new.seal_wrap,
            options: new.options,
            config: new.config,
            plugin_version: new.plugin_version,
            running: None,
            tainted: false,
            moved: None,
            created: self.engine_loader.barrier.clock().now(),
        };
        let running =
            self.engine_loader.resolve_plugin(&entry).map_err(|error| engine_open_error(&error))?;
        let opened = self
            .engine_loader
            .load_engine(&entry, running)
            .await
            .map_err(|error| engine_open_error(&error))?;
        match self.activate(&mut entry, &opened).await.and_then(|()| self.check_not_closing()) {
            Ok(()) => {
                let handle = EngineHandle::new(opened.instance);
                self.update_table(|table| {
                    table.with_mount(ActiveMount::new(entry, MountBackend::Engine(handle)))
                });
                Ok(())
            }
            Err(error) => {
                opened.instance.storage.close();
                opened.instance.engine.close().await;
                Err(error)
            }
        }
    }

    /// Initialises an opened engine with its writes held aside, and commits them together with the
    /// mount's entry.
    pub(crate) async fn activate(
        &self,
        entry: &mut MountEntry,
        opened: &LoadedEngine,
    ) -> Result<(), Error> {
        let storage = &opened.instance.storage;
        storage.buffer_writes();
        self.initialise_engine(&opened.instance).await?;
        entry.running = Some(opened.running.clone());
        let mut batch = Batch::new();
        storage.flush_into(&mut batch);
        self.store_entry(entry, batch).await?;
        storage.activate();
        Ok(())
    }

    pub(crate) async fn initialise_engine(&self, instance: &MountInstance) -> Result<(), Error> {
        let clock = self.engine_loader.barrier.clock();
        tokio::select! {
            done = instance.engine.initialize() => Ok(done?),
            () = clock.sleep(INITIALISE_TIMEOUT) => {
                Err(EngineError::internal("the engine did not initialise in time").into())
            }
        }
    }

    /// An engine that would be put in place after the seal began would never be closed.
    pub(crate) fn check_not_closing(&self) -> Result<(), Error> {
        if self.closing.is_cancelled() { Err(Error::sealed()) } else { Ok(()) }
    }

    async fn remove_now(&self, entry: MountEntry) -> Result<(), Error> {
        let route = entry.route();
        let table = self.table();
        let here = table.get(entry.class, &entry.path).filter(|m| m.entry.uuid == entry.uuid);
        if let Some(instance) =
            here.and_then(|m| m.engine_handle()?.take_instance("the mount is being removed"))
        {
            instance.engine.close().await;
            instance.storage.close();
            // What was under way is on disk, or never will be.
            instance.storage.wait_for_writes().await;
        }
        let storage = self.engine_loader.barrier.view(&entry.storage_prefix());
        loop {
            let keys = storage.list_keys("", None, PAGE_SIZE).await?;
            if keys.is_empty() {
                break;
            }
            let mut batch = Batch::new();
            for key in &keys {
                storage.delete(&mut batch, key);
            }
            storage.commit(batch).await?;
        }
        let mut batch = Batch::new();
        self.view.delete(&mut batch, &entry.storage_key());
        self.view.commit(batch).await?;
        self.update_table(|table| match table.get(entry.class, &entry.path) {
            Some(here) if here.entry.uuid == entry.uuid => table.without_mount(&route),
            // It was removed before, and something else is mounted there.
            _ => table.clone(),
        });
        Ok(())
    }

    /// Writes an entry, with whatever else is in the batch.
    pub(crate) async fn store_entry(
        &self,
        entry: &MountEntry,
        mut batch: Batch,
    ) -> Result<(), Error> {
        self.view.put_json(&mut batch, &entry.storage_key(), entry);
        self.view.commit(batch).await?;
        Ok(())
    }

    pub(crate) fn update_table(&self, change: impl FnOnce(&MountTable) -> MountTable) {
        // Changes have turns, so nothing comes between the load and the store.
        let table = change(&self.table.load());
        self.table.store(Arc::new(table));
    }

    fn check_path_is_free(&self, class: MountClass, path: &MountPath) -> Result<(), Error> {
        let text = path.as_str();
        if class == MountClass::Secret && RESERVED_PATHS.iter().any(|taken| text.starts_with(taken))
        {
            return Err(Error::invalid(format!("cannot mount {text:?}")));
        }
        match self.overlapping_path(class, path) {
            Some(taken) => Err(Error::invalid(format!("path is already in use at {taken}"))),
            None => Ok(()),
        }
    }

    /// The path of a mount that this one would overlap with.
    pub(crate) fn overlapping_path(&self, class: MountClass, path: &MountPath) -> Option<String> {
        let table = self.table();
        let taken = table.all_mounts().find(|mounted| mounted.entry.overlaps(class, path))?;
        Some(taken.entry.path.clone())
    }
}

/// The error of a mount whose plug-in can't be used, in the words clients know.
pub(crate) fn engine_open_error(error: &PluginError) -> Error {
    match error {
        PluginError::Invalid(text) => Error::invalid(sanitise_message(text)),
        PluginError::Start(text) => Error::internal(sanitise_message(text)),
        PluginError::Engine(error) => {
            Error::invalid(sanitise_message(&format!("invalid backend version: {error}")))
        }
    }
}

/// `kv_05e18790`, or `auth_userpass_05e18790`.
pub(crate) fn generate_accessor(class: MountClass, mount_type: &str, random: u64) -> String {
    let prefix = if class == MountClass::Auth { "auth_" } else { "" };
    format!("{prefix}{mount_type}_{:08x}", random & 0xffff_ffff)
}
