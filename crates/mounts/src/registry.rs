//! [`MountRegistry`]: enabling, tuning and disabling mounts. Changes are made one at a time, and
//! each is on disk before it becomes visible.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use strongroom_barrier::{Batch, View};
use strongroom_engine::EngineError;
use strongroom_types::{MountKind, MountPath, MountUuid, SerialQueue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::entry::{MountConfig, MountEntry, RemountProgress};
use crate::error::Error;
use crate::handle::{Blocked, EngineHandle, MountInstance};
use crate::loader::{EngineLoader, LoadedEngine};
use crate::pending_remounts::PendingRemounts;
use crate::table::{ActiveMount, MountBackend, MountTable};

/// The mounts of a server, and the operations that change them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MountRegistry {
    /// The current mount table; a change replaces it by a new one.
    pub table: Arc<ArcSwap<MountTable>>,
    pub(crate) view: View,
    /// Opens engines; also gives access to the plug-in catalog and the launcher.
    pub engine_loader: EngineLoader,
    pub(crate) change_queue: SerialQueue,
    /// Tasks that start engines, and that close replaced engines after their last request.
    pub(crate) background: TaskTracker,
    /// Cancelled when the server is sealed; stops engines that are being started.
    pub(crate) closing: CancellationToken,
    /// Notified when a request needs an engine that is not running.
    pub(crate) start_requested: Arc<Notify>,
    /// Remounts in progress.
    pub(crate) pending_remounts: Arc<PendingRemounts>,
}

/// The parameters of a new mount, for [`MountRegistry::enable`].
#[derive(Clone, Debug)]
pub struct NewMount {
    /// Whether the mount is a secrets engine or an auth method.
    pub kind: MountKind,
    /// The mount path, without the `auth/` prefix of auth methods.
    pub path: MountPath,
    /// The mount's type, which is the name of its plug-in.
    pub mount_type: String,
    /// The requested plug-in version; empty to use the catalog's choice at each reload.
    pub plugin_version: String,
    /// A description for users; may be empty.
    pub description: String,
    /// The mount's options, passed to the engine when it is opened.
    pub options: Option<BTreeMap<String, String>>,
    /// The API's `local` flag; see [`MountEntry::local`].
    pub local: bool,
    /// The API's `seal_wrap` flag; see [`MountEntry::seal_wrap`].
    pub seal_wrap: bool,
    /// The initial settings, which can be tuned later.
    pub config: MountConfig,
}

/// The maximum number of queued changes.
const MAX_QUEUED_CHANGES: usize = 4096;
/// The timeout of an engine's initialisation.
pub(crate) const INITIALISE_TIMEOUT: Duration = Duration::from_secs(60);
const PAGE_SIZE: usize = 256;
/// Path prefixes that are reserved for the server.
pub(crate) const RESERVED_PATHS: [&str; 5] = ["sys/", "cubbyhole/", "identity/", "auth/", "audit/"];

impl MountRegistry {
    /// Loads all mounts and starts their engines. An engine that fails to start, or starts slowly,
    /// does not affect the other mounts: requests to its own mount fail with the reason.
    ///
    /// # Errors
    ///
    /// The barrier's error if the mount table can't be read.
    ///
    /// # Cancel safety
    ///
    /// Writes nothing itself. Engines that are being started when the future is dropped continue to
    /// start.
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
        let mut pages = mounts.view.key_pages("");
        while let Some(keys) = pages.next_page().await? {
            for key in keys {
                entries.extend(mounts.view.get_json::<MountEntry>(&key).await?);
            }
        }
        // The table is complete before any engine starts, because engines may query their mounts
        // while they start.
        for entry in entries {
            // The built-in mounts are recreated at each unseal; only their tuned settings are
            // stored.
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

    /// The current mount table, as an immutable snapshot.
    pub fn table(&self) -> Arc<MountTable> {
        self.table.load_full()
    }

    /// Mounts a new engine. When this returns, the mount is on disk and serves requests.
    ///
    /// # Errors
    ///
    /// `Invalid` if the path is reserved or overlaps another mount, or the plug-in is unknown or
    /// returns an error when it is opened; `Internal` if it can't be started; the engine's error if
    /// it fails to initialise; `Unavailable` if too many changes wait; `Sealed` if a seal started.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn enable(&self, new: NewMount) -> Result<(), Error> {
        let mounts = self.clone();
        self.change_queue.run(async move { mounts.enable_now(new).await }).await?
    }

    /// Changes the settings of a mount without reloading its engine. An error of `change` leaves
    /// the mount as it was.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no such mount; the error of `change`; `Unavailable` if too many changes
    /// wait; the barrier's error if the entry can't be written.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn tune<E: From<Error> + Send + 'static>(
        &self,
        kind: MountKind,
        path: &str,
        change: impl FnOnce(&mut MountEntry) -> Result<(), E> + Send + 'static,
    ) -> Result<(), E> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(kind, &path) else {
                return Err(Error::NothingToTune(kind.route_to(&path)).into());
            };
            let mut entry = mounted.entry.clone();
            change(&mut entry)?;
            mounts.store_entry(&entry, Batch::new()).await?;
            mounts.update_table(|table| {
                table.with_mount(ActiveMount::new(entry, mounted.backend.clone()))
            });
            Ok(())
        };
        self.change_queue.run(work).await.map_err(Error::from)?
    }

    /// Marks a mount as being removed; a remount in progress is cancelled. Returns the changed
    /// entry, or `None` if there is no such mount. The caller then refuses requests and revokes
    /// leases, before it calls [`MountRegistry::remove`].
    ///
    /// # Errors
    ///
    /// `Unavailable` if too many changes wait; the barrier's error if the entry can't be written.
    ///
    /// # Cancel safety
    ///
    /// Once the change has started it completes, even if the future is dropped.
    pub async fn taint(&self, kind: MountKind, path: &str) -> Result<Option<MountEntry>, Error> {
        let (mounts, path) = (self.clone(), path.to_owned());
        let work = async move {
            let table = mounts.table();
            let Some(mounted) = table.get(kind, &path) else { return Ok(None) };
            let mut entry = MountEntry { tainted: true, ..mounted.entry.clone() };
            // A remount in progress is cancelled: its last step checks the status.
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

    /// Removes a tainted mount whose leases are revoked: closes the engine, deletes its storage
    /// and, last, its entry. After a crash in between the mount is still tainted, and the removal
    /// continues at the next unseal.
    ///
    /// # Errors
    ///
    /// `Unavailable` if too many changes wait; the barrier's error if the storage or the entry can't
    /// be deleted. The mount is still tainted then.
    ///
    /// # Cancel safety
    ///
    /// Once the removal has started it completes, even if the future is dropped.
    pub async fn remove(&self, entry: MountEntry) -> Result<(), Error> {
        let mounts = self.clone();
        self.change_queue.run(async move { mounts.remove_now(entry).await }).await?
    }

    /// Closes all engines concurrently, for a seal, and waits until they are closed.
    pub async fn close_all(&self) {
        self.closing.cancel();
        let table = self.table();
        let instances = table
            .all_mounts()
            .filter_map(|m| m.engine_handle()?.take_instance("the server is sealed"));
        let close = instances.map(|instance| async move {
            // The storage is closed first, so that an engine cannot write while it closes.
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

    /// Drops all engines and mounts at once, without closing them. Ensures that an engine that
    /// hangs keeps no secrets in memory after a seal.
    pub fn drop_engines(&self) {
        self.closing.cancel();
        for handle in self.table().all_mounts().filter_map(|mounted| mounted.engine_handle()) {
            if let Some(instance) = handle.take_instance("the server is sealed") {
                instance.storage.close();
            }
        }
        self.table.store(Arc::default());
    }

    async fn enable_now(&self, new: NewMount) -> Result<(), Error> {
        self.check_path_is_free(new.kind, &new.path)?;
        let entropy = self.engine_loader.barrier.entropy();
        let broken = |_| Error::InvalidUuid;
        let accessor = generate_accessor(new.kind, &new.mount_type, entropy.next_u64());
        let mut entry = MountEntry {
            v: 1,
            kind: new.kind,
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
        let running = self.engine_loader.resolve_plugin(&entry).map_err(Error::Open)?;
        let opened = self.engine_loader.load_engine(&entry, running).await.map_err(Error::Open)?;
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

    /// Initialises a loaded engine with its writes buffered, and commits them in one batch with the
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

    /// `Sealed` if a seal has started: an engine installed after that would never be closed.
    pub(crate) fn check_not_closing(&self) -> Result<(), Error> {
        if self.closing.is_cancelled() { Err(Error::Sealed) } else { Ok(()) }
    }

    async fn remove_now(&self, entry: MountEntry) -> Result<(), Error> {
        let route = entry.route();
        let table = self.table();
        let here = table.get(entry.kind, &entry.path).filter(|m| m.entry.uuid == entry.uuid);
        if let Some(instance) =
            here.and_then(|m| m.engine_handle()?.take_instance("the mount is being removed"))
        {
            instance.engine.close().await;
            instance.storage.close();
            // Writes in progress have now either reached the disk or failed.
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
        self.update_table(|table| match table.get(entry.kind, &entry.path) {
            Some(here) if here.entry.uuid == entry.uuid => table.without_mount(&route),
            // The mount was removed earlier, and another one is at its path.
            _ => table.clone(),
        });
        Ok(())
    }

    /// Writes an entry, in one batch with the given changes.
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
        // Changes run one at a time in the change queue, so nothing comes between the load and the
        // store.
        let table = change(&self.table.load());
        self.table.store(Arc::new(table));
    }

    fn check_path_is_free(&self, kind: MountKind, path: &MountPath) -> Result<(), Error> {
        let text = path.as_str();
        if kind == MountKind::Secret && RESERVED_PATHS.iter().any(|taken| text.starts_with(taken)) {
            return Err(Error::ReservedPath(text.to_owned()));
        }
        match self.overlapping_path(kind, path) {
            Some(taken) => Err(Error::PathInUse(taken)),
            None => Ok(()),
        }
    }

    /// The path of an existing mount that a mount at `path` would overlap.
    pub(crate) fn overlapping_path(&self, kind: MountKind, path: &MountPath) -> Option<String> {
        let table = self.table();
        let overlapping = table.all_mounts().find(|mounted| mounted.entry.overlaps(kind, path))?;
        Some(overlapping.entry.path.clone())
    }
}

/// Builds an accessor: `kv_05e18790`, or `auth_userpass_05e18790` for an auth method.
fn generate_accessor(kind: MountKind, mount_type: &str, random: u64) -> String {
    let prefix = if kind == MountKind::Auth { "auth_" } else { "" };
    format!("{prefix}{mount_type}_{:08x}", random & 0xffff_ffff)
}
