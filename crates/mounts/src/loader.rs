//! [`EngineLoader`]: opens the engine that a mount's entry describes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_barrier::Barrier;
use strongroom_engine::mount_config::CACHED_BYTES_CONFIG_KEY;
use strongroom_engine::mount_config::HOST_CONFIG_KEY;
use strongroom_engine::{Engine, MountContext, Storage};
use strongroom_policy::PasswordPolicies;
use strongroom_types::printable::sanitise_message;
use strongroom_types::{Clock, Entropy};

use crate::data_wrapping::DataWrapperCell;
use crate::entry::MountEntry;
use crate::handle::MountInstance;
use crate::plugins::selection::{SelectedVersion, select_version};
use crate::plugins::{
    PluginCatalogStore, PluginCopyGuard, PluginError, PluginKind, PluginLauncher, RunningPlugin,
};
use crate::storage::InstanceStorage;
use crate::system_view::{MountSystemView, ServerInfo};
use crate::table::MountTable;

/// Opens engines for mounts, with the storage and services each of them gets.
#[derive(Clone, Debug)]
pub struct EngineLoader {
    /// The barrier, from which each mount gets a view of its own, the clock and the entropy.
    pub barrier: Barrier,
    /// The registered plug-ins, from which the engine of a mount is selected.
    pub catalog: PluginCatalogStore,
    /// Opens linked-in engines and starts plug-ins.
    pub plugin_launcher: Arc<dyn PluginLauncher>,
    /// The mount table, which engines query about their own mounts.
    pub table: Arc<ArcSwap<MountTable>>,
    /// The properties of the server that engines can query.
    pub server_info: ServerInfo,
    /// The password policies with which engines generate passwords.
    pub password_policies: PasswordPolicies,
    /// Wraps data for engines.
    pub data_wrapper: DataWrapperCell,
    /// The size of each engine's document cache, in bytes.
    pub document_cache_bytes: u64,
}

/// An engine that is opened and not yet initialised: it may read its storage, but not write.
pub struct LoadedEngine {
    /// The instance, which no request can reach yet.
    pub instance: Arc<MountInstance>,
    /// The plug-in and version that the instance runs, to be stored with the mount.
    pub running: RunningPlugin,
    /// Protects the plug-in's copy from removal until the mount table contains the mount; `None`
    /// for a linked-in engine.
    pub copy_guard: Option<PluginCopyGuard>,
}

impl EngineLoader {
    /// Resolves the plug-in that a mount of this type and version would run now: a registered
    /// plug-in or a linked-in engine. `Invalid` if the catalog has none.
    pub fn resolve_plugin(&self, entry: &MountEntry) -> Result<RunningPlugin, PluginError> {
        let (kind, name) = (PluginKind::from(entry.kind), &entry.mount_type);
        let builtin = self.plugin_launcher.builtin_version(kind, name);
        let registered = self.catalog.versions(kind, name);
        let not_found = || {
            // Clients match on this message; it includes the version only if one was requested.
            let version = match entry.plugin_version.as_str() {
                "" => String::new(),
                asked => format!(", version={asked}"),
            };
            PluginError::Invalid(format!("plugin not found in the catalog: {name}{version}"))
        };
        match select_version(&entry.plugin_version, &registered, builtin.as_deref()) {
            Some(SelectedVersion::Registered(version)) => {
                let spec = self.catalog.get(kind, name, &version).ok_or_else(not_found)?;
                Ok(RunningPlugin { version, plugin: Some((*spec).clone()) })
            }
            Some(SelectedVersion::Builtin) => {
                Ok(RunningPlugin { version: builtin.unwrap_or_default(), plugin: None })
            }
            None => Err(not_found()),
        }
    }

    /// Opens an engine for a mount, in a plug-in process if `running` names a plug-in. Changes
    /// neither storage nor the mount table. `Invalid` if the engine is not of the mount's kind.
    pub async fn load_engine(
        &self,
        entry: &MountEntry,
        running: RunningPlugin,
    ) -> Result<LoadedEngine, PluginError> {
        let view = self.barrier.view(&entry.storage_prefix());
        let storage = InstanceStorage::new(view);
        let mount = self.build_mount(entry, &running, storage.clone());
        let copy_guard = running.plugin.as_ref().map(|spec| self.plugin_launcher.keep_copy(spec));
        let engine: Arc<dyn Engine> = match &running.plugin {
            Some(spec) => self.plugin_launcher.open_plugin(spec, mount, &entry.route()).await?,
            None => {
                let kind = PluginKind::from(entry.kind);
                self.plugin_launcher.open_builtin(kind, &entry.mount_type, mount).await?
            }
        };
        let description = engine.description();
        if description.kind != entry.kind {
            engine.close().await;
            return Err(PluginError::Invalid(format!(
                "plugin {:?} is of another type and can't be mounted as a {}",
                entry.mount_type,
                entry.kind.noun_in_messages()
            )));
        }
        let reports = running.plugin.is_some() && !description.version.is_empty();
        let version =
            if reports { sanitise_message(&description.version) } else { running.version.clone() };
        Ok(LoadedEngine {
            instance: MountInstance::new(engine, storage),
            running: RunningPlugin { version, ..running },
            copy_guard,
        })
    }

    fn build_mount(
        &self,
        entry: &MountEntry,
        running: &RunningPlugin,
        storage: Arc<dyn Storage>,
    ) -> MountContext {
        let mut config = entry.options.clone().unwrap_or_default();
        config.insert("plugin_name".to_owned(), entry.mount_type.clone());
        let kind = entry.kind.as_str();
        config.insert("plugin_type".to_owned(), kind.to_owned());
        config.insert("plugin_version".to_owned(), running.version.clone());
        config.insert(HOST_CONFIG_KEY.to_owned(), "1".to_owned());
        let cache_bytes = self.document_cache_bytes.to_string();
        config.insert(CACHED_BYTES_CONFIG_KEY.to_owned(), cache_bytes);
        let clock: Arc<dyn Clock> = self.barrier.clock().clone();
        let entropy: Arc<dyn Entropy> = self.barrier.entropy().clone();
        let uuid = entry.uuid.to_string();
        let system = Arc::new(MountSystemView::new(
            &self.table,
            uuid.clone(),
            entry.route(),
            self.server_info.clone(),
            self.password_policies.clone(),
            self.data_wrapper.clone(),
        ));
        MountContext { uuid, config, storage, system, clock, entropy }
    }
}
