//! A [`Blueprint`] as an [`EngineFactory`]: hosts open an [`EngineInstance`] of it for each mount.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_engine::{Engine, EngineError, EngineFactory, MountContext, MountKind};

use crate::blueprint::Blueprint;
use crate::engine_instance::EngineInstance;

#[async_trait]
impl EngineFactory for Blueprint {
    fn name(&self) -> &str {
        self.own_name()
    }

    fn version(&self) -> String {
        self.tagged_version()
    }

    fn kind(&self) -> MountKind {
        self.mount_kind()
    }

    async fn open(&self, mount: MountContext) -> Result<Arc<dyn Engine>, EngineError> {
        self.check_declarations()?;
        Ok(Arc::new(EngineInstance::new(self.clone(), self.description(), mount)))
    }
}
