//! [`Editions`]: an engine of which each mount chooses one of several forms by an option.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Blueprint;
use crate::engine::{Engine, EngineError, Factory, Kind, Mount};

/// Several blueprints under one name. Which of them a mount runs, an option of the mount says:
///
/// ```
/// # use strongroom_sdk::{Blueprint, Editions};
/// # let (plain, versioned) = (Blueprint::new("kv", "1.0.0"), Blueprint::new("kv", "1.0.0"));
/// let engine = Editions::by_option("version", "1", plain).or("2", versioned);
/// # drop(engine);
/// ```
#[derive(Clone, Debug)]
pub struct Editions {
    option: &'static str,
    /// The first is what a mount without the option runs.
    editions: Vec<(&'static str, Blueprint)>,
}

impl Editions {
    /// The option that chooses, and the edition of mounts that don't say: by this value of the
    /// option, or without it. Name and version are this edition's.
    pub fn by_option(option: &'static str, value: &'static str, first: Blueprint) -> Self {
        Self { option, editions: vec![(value, first)] }
    }

    /// Another edition, for mounts whose option has this value.
    #[must_use]
    pub fn or(mut self, value: &'static str, blueprint: Blueprint) -> Self {
        self.editions.push((value, blueprint));
        self
    }

    fn first(&self) -> Option<&Blueprint> {
        self.editions.first().map(|(_, blueprint)| blueprint)
    }
}

#[async_trait]
impl Factory for Editions {
    fn name(&self) -> &str {
        self.first().map_or("", Factory::name)
    }

    fn version(&self) -> String {
        self.first().map(Factory::version).unwrap_or_default()
    }

    fn kind(&self) -> Kind {
        Kind::Secrets
    }

    async fn open(&self, mount: Mount) -> Result<Arc<dyn Engine>, EngineError> {
        let wanted = mount.config.get(self.option).map(String::as_str).unwrap_or_default();
        let chosen = match wanted {
            "" => self.first(),
            _ => self.editions.iter().find(|(value, _)| *value == wanted).map(|(_, it)| it),
        };
        match chosen {
            Some(blueprint) => blueprint.open(mount).await,
            None => Err(EngineError::user(format!("invalid {} provided: {wanted}", self.option))),
        }
    }
}
