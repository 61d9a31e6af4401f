//! From a mount's entry to a running engine.

use std::sync::Arc;

use arc_swap::ArcSwap;
use strongroom_barrier::Barrier;
use strongroom_policy::PasswordPolicies;
use strongroom_sdk::document::CACHED_BYTES_CONFIG_KEY;
use strongroom_sdk::engine::{Engine, Mount, Storage};
use strongroom_sdk::intent::HOST_CONFIG_KEY;
use strongroom_types::{Clock, Entropy};

use super::entry::MountEntry;
use super::handle::Instance;
use super::storage::InstanceStorage;
use super::system_view::{MountSystem, Server};
use super::table::MountTable;
use crate::error::shown;
use crate::plugins::selection::{Choice, select};
use crate::plugins::{Catalog, Kept, PluginError, Plugins, Running};

/// Opens engines for mounts.
#[derive(Clone, Debug)]
pub struct Opener {
    pub(crate) barrier: Barrier,
    pub(crate) catalog: Catalog,
    pub(crate) plugins: Arc<dyn Plugins>,
    pub(crate) table: Arc<ArcSwap<MountTable>>,
    pub(crate) server: Server,
    pub(crate) passwords: PasswordPolicies,
    pub(crate) document_cache_bytes: u64,
}

/// An engine that was set up and not yet initialised: it may read its storage, not write.
pub struct Opened {
    /// The instance.
    pub instance: Arc<Instance>,
    /// What it runs.
    pub running: Running,
    /// Keeps the copy of the plug-in until the mount table has the mount.
    pub kept: Option<Kept>,
}

impl Opener {
    /// What a mount of this type and version would run now, by the catalog.
    pub fn choose(&self, entry: &MountEntry) -> Result<Running, PluginError> {
        let (kind, name) = (entry.class.plugin_type(), &entry.mount_type);
        let builtin = self.plugins.builtin_version(kind, name);
        let registered = self.catalog.versions(kind, name);
        let not_found = || {
            // Clients match on the text; with a version asked for it is that version that is missing.
            let version = match entry.plugin_version.as_str() {
                "" => String::new(),
                asked => format!(", version={asked}"),
            };
            PluginError::Invalid(format!("plugin not found in the catalog: {name}{version}"))
        };
        match select(&entry.plugin_version, &registered, builtin.as_deref()) {
            Some(Choice::Registered(version)) => {
                let spec = self.catalog.get(kind, name, &version).ok_or_else(not_found)?;
                Ok(Running { version, plugin: Some((*spec).clone()) })
            }
            Some(Choice::Builtin) => {
                Ok(Running { version: builtin.unwrap_or_default(), plugin: None })
            }
            None => Err(not_found()),
        }
    }

    /// Starts what is to run. Nothing is changed by it.
    pub async fn open(&self, entry: &MountEntry, running: Running) -> Result<Opened, PluginError> {
        let view = self.barrier.view(&entry.storage_prefix());
        let storage = InstanceStorage::new(view);
        let mount = self.mount(entry, &running, storage.clone());
        let kept = running.plugin.as_ref().map(|spec| self.plugins.keep(spec));
        let engine: Arc<dyn Engine> = match &running.plugin {
            Some(spec) => self.plugins.open(spec, mount, &entry.route()).await?,
            None => {
                let kind = entry.class.plugin_type();
                self.plugins.open_builtin(kind, &entry.mount_type, mount).await?
            }
        };
        let description = engine.description();
        if description.kind != entry.class.engine_kind() {
            engine.close().await;
            return Err(PluginError::Invalid(format!(
                "plugin {:?} is of another type and can't be mounted as a {}",
                entry.mount_type,
                entry.class.noun()
            )));
        }
        let reports = running.plugin.is_some() && !description.version.is_empty();
        let version = if reports { shown(&description.version) } else { running.version.clone() };
        Ok(Opened {
            instance: Instance::new(engine, storage),
            running: Running { version, ..running },
            kept,
        })
    }

    fn mount(&self, entry: &MountEntry, running: &Running, storage: Arc<dyn Storage>) -> Mount {
        let mut config = entry.options.clone().unwrap_or_default();
        config.insert("plugin_name".to_owned(), entry.mount_type.clone());
        let kind = entry.class.plugin_type().as_str();
        config.insert("plugin_type".to_owned(), kind.to_owned());
        config.insert("plugin_version".to_owned(), running.version.clone());
        config.insert(HOST_CONFIG_KEY.to_owned(), "1".to_owned());
        let cache_bytes = self.document_cache_bytes.to_string();
        config.insert(CACHED_BYTES_CONFIG_KEY.to_owned(), cache_bytes);
        let clock: Arc<dyn Clock> = self.barrier.clock().clone();
        let entropy: Arc<dyn Entropy> = self.barrier.entropy().clone();
        let uuid = entry.uuid.to_string();
        let system = Arc::new(MountSystem::new(
            &self.table,
            uuid.clone(),
            entry.route(),
            self.server.clone(),
            self.passwords.clone(),
        ));
        Mount { uuid, config, storage, system, clock, entropy }
    }
}
