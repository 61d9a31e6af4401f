//! [`VersionedEngine`]: an engine in several versions; an option of each mount selects one.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{Engine, EngineError, EngineFactory, MountContext, MountKind};

use crate::Blueprint;

/// Several blueprints under one engine name. A mount option selects the one that the mount runs:
///
/// ```
/// # use strongroom_sdk::{Blueprint, VersionedEngine};
/// # let (plain, versioned) = (Blueprint::new("kv", "1.0.0"), Blueprint::new("kv", "1.0.0"));
/// let engine = VersionedEngine::by_option("version", "1", plain).add_version("2", versioned);
/// # drop(engine);
/// ```
#[derive(Clone, Debug)]
pub struct VersionedEngine {
    option: &'static str,
    /// The first one is for mounts without the option.
    versions: Vec<(&'static str, Blueprint)>,
}

impl VersionedEngine {
    /// Sets the name of the mount option, and the blueprint for mounts where the option has this
    /// value or is not set. The engine's name and version are those of this blueprint.
    pub fn by_option(option: &'static str, value: &'static str, first: Blueprint) -> Self {
        Self { option, versions: vec![(value, first)] }
    }

    /// Adds a blueprint for mounts whose option has this value. Opening a mount with any other
    /// value fails.
    #[must_use]
    pub fn add_version(mut self, value: &'static str, blueprint: Blueprint) -> Self {
        self.versions.push((value, blueprint));
        self
    }

    fn default_version(&self) -> Option<&Blueprint> {
        self.versions.first().map(|(_, blueprint)| blueprint)
    }
}

#[async_trait]
impl EngineFactory for VersionedEngine {
    fn name(&self) -> &str {
        self.default_version().map_or("", EngineFactory::name)
    }

    fn version(&self) -> String {
        self.default_version().map(EngineFactory::version).unwrap_or_default()
    }

    fn kind(&self) -> MountKind {
        self.default_version().map_or(MountKind::Secret, EngineFactory::kind)
    }

    async fn open(&self, mount: MountContext) -> Result<Arc<dyn Engine>, EngineError> {
        let wanted = mount.config.get(self.option).map(String::as_str).unwrap_or_default();
        let chosen = match wanted {
            "" => self.default_version(),
            _ => self.versions.iter().find(|(value, _)| *value == wanted).map(|(_, it)| it),
        };
        match chosen {
            Some(blueprint) => blueprint.open(mount).await,
            None => Err(EngineError::user(format!("invalid {} provided: {wanted}", self.option))),
        }
    }
}
