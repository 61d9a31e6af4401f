//! Linked-in engines and plug-in processes, as the core wants them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use strongroom_config::Config;
use strongroom_core::plugins::{PluginError, PluginSpec, PluginType, Plugins};
use strongroom_sdk::engine::{Engine, Factory, Kind, Mount};

use crate::{Options, StartError};

/// All engines this server can run.
#[derive(Debug)]
pub struct Engines {
    linked_in: BTreeMap<(PluginType, String), Arc<dyn Factory>>,
}

impl Engines {
    /// The linked-in engines, and plug-ins if the configuration has a folder for them.
    pub(crate) fn new(_config: &Config, _options: &Options) -> Result<Self, StartError> {
        let factories: [Arc<dyn Factory>; 1] = [Arc::new(strongroom_engine_kv::blueprint())];
        let place = |factory: &Arc<dyn Factory>| {
            let kind = match factory.kind() {
                Kind::Auth => PluginType::Auth,
                Kind::Secrets => PluginType::Secret,
            };
            (kind, factory.name().to_owned())
        };
        let linked_in = factories.into_iter().map(|factory| (place(&factory), factory)).collect();
        Ok(Self { linked_in })
    }

    /// Ends all plug-in processes.
    pub(crate) async fn close(&self) {}
}

#[async_trait]
impl Plugins for Engines {
    fn builtin_version(&self, kind: PluginType, name: &str) -> Option<String> {
        let factory = self.linked_in.get(&(kind, name.to_owned()))?;
        Some(format!("{}+builtin", factory.version()))
    }

    fn builtins(&self, kind: PluginType) -> Vec<String> {
        let same = self.linked_in.keys().filter(|(k, _)| *k == kind);
        same.map(|(_, name)| name.clone()).collect()
    }

    async fn open_builtin(
        &self,
        kind: PluginType,
        name: &str,
        mount: Mount,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        let factory = self.linked_in.get(&(kind, name.to_owned()));
        let missing = || PluginError::Invalid(format!("plugin not found in the catalog: {name}"));
        Ok(factory.ok_or_else(missing)?.open(mount).await?)
    }

    async fn probe(&self, _spec: &PluginSpec) -> Result<String, PluginError> {
        Err(no_folder())
    }

    async fn open(
        &self,
        _spec: &PluginSpec,
        _mount: Mount,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        Err(no_folder())
    }
}

fn no_folder() -> PluginError {
    PluginError::Invalid("could not set plugin, plugin directory is not configured".to_owned())
}
