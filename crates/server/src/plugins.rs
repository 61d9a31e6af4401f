//! Linked-in engines and plug-in processes, as the core wants them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_config::{Config, PLUGIN_COPIES, PluginConfig, StorageConfig};
use strongroom_core::plugins::{Kept, Needed, PluginError, PluginSpec, PluginType, Plugins};
use strongroom_plugin_host::host::START_LIMIT;
use strongroom_plugin_host::{Error, PluginHost, Spec};
use strongroom_sdk::engine::{Engine, Factory, Kind, Mount};

use crate::Options;

/// All engines this server can run.
#[derive(Debug)]
pub struct Engines {
    linked_in: BTreeMap<(PluginType, String), Arc<dyn Factory>>,
    host: Option<PluginHost>,
    /// A folder of copies that nobody needs after this server.
    passing: Option<PathBuf>,
}

impl Engines {
    /// The linked-in engines, and plug-ins if the configuration has a folder for them.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let factories: [Arc<dyn Factory>; 2] = [
            Arc::new(strongroom_engine_kv::engine()),
            Arc::new(strongroom_engine_nomad::blueprint()),
        ];
        let place = |factory: &Arc<dyn Factory>| {
            let kind = match factory.kind() {
                Kind::Auth => PluginType::Auth,
                Kind::Secrets => PluginType::Secret,
            };
            (kind, factory.name().to_owned())
        };
        let linked_in = factories.into_iter().map(|factory| (place(&factory), factory)).collect();
        let Some(directory) = options.config.plugin.directory.clone() else {
            return Ok(Self { linked_in, host: None, passing: None });
        };
        let (copies, passing) = copies(&options.config, options);
        let PluginConfig { tmpdir, trust, start_timeout, .. } = options.config.plugin.clone();
        let start_limit = if start_timeout.is_zero() {
            START_LIMIT
        } else {
            Duration::from_secs(start_timeout.as_secs())
        };
        let host = PluginHost::new(strongroom_plugin_host::Options {
            directory,
            copies,
            sockets: tmpdir.unwrap_or_else(std::env::temp_dir),
            inherit_env: options.config.plugin.inherit_env,
            allow_scripts: options.config.plugin.allow_scripts,
            group_may_write: options.config.plugin.group_may_write,
            trust_file: trust,
            start_limit,
            environment: std::env::vars_os().collect(),
            version: options.version.clone(),
            clock: options.clock.clone(),
            entropy: options.entropy.clone(),
        });
        host.check_trust_file()?;
        Ok(Self { linked_in, host: Some(host), passing })
    }

    /// Ends all plug-in processes.
    pub(crate) async fn close(&self) {
        if let Some(host) = &self.host {
            host.close().await;
        }
        if let Some(folder) = &self.passing
            && let Err(error) = tokio::fs::remove_dir_all(folder).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %folder.display(), %error, "plug-in copies stay behind");
        }
    }

    fn host(&self) -> Result<&PluginHost, PluginError> {
        self.host.as_ref().ok_or_else(|| {
            PluginError::Invalid(
                "could not set plugin, plugin directory is not configured".to_owned(),
            )
        })
    }
}

/// Where copies are kept: where the configuration says, beside the data, or for a server without
/// data in a folder of its own that goes with it.
fn copies(config: &Config, options: &Options) -> (PathBuf, Option<PathBuf>) {
    if let Some(folder) = &config.plugin.tmpdir {
        return (folder.join(PLUGIN_COPIES), None);
    }
    match &config.storage {
        StorageConfig::Embedded { path, .. } => (path.join("plugins"), None),
        StorageConfig::Inmem => {
            let name = format!("strongroom-plugins-{}", options.entropy.base62(16));
            let folder = std::env::temp_dir().join(name);
            (folder.clone(), Some(folder))
        }
    }
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

    async fn probe(&self, spec: &PluginSpec) -> Result<String, PluginError> {
        // Whoever registers a plug-in may know what it printed and where its files are.
        let explained = |error: Error| with_text(&error, error.explanation());
        self.host()?.probe(&to_host(spec)).await.map_err(explained)
    }

    async fn open(
        &self,
        spec: &PluginSpec,
        mount: Mount,
        label: &str,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        self.host()?.open(&to_host(spec), mount, label).await.map_err(|error| from_host(&error))
    }

    fn renew(&self, kind: PluginType, name: &str) {
        if let Some(host) = &self.host {
            host.renew(kind.as_str(), name);
        }
    }

    fn keep(&self, spec: &PluginSpec) -> Kept {
        Box::new(self.host.as_ref().map(|host| host.keep_copy(&to_host(spec))))
    }

    async fn remove_copies_but(&self, needed: &Needed<'_>) {
        if let Some(host) = &self.host {
            host.remove_copies_but(|| needed().iter().map(to_host).collect()).await;
        }
    }
}

fn to_host(spec: &PluginSpec) -> Spec {
    Spec {
        name: spec.name.clone(),
        kind: spec.kind.as_str(),
        version: spec.version.clone(),
        command: spec.command.clone(),
        args: spec.args.clone(),
        env: spec.env.clone(),
        sha256: spec.sha256.clone(),
    }
}

/// What another registration or another file would mend is the caller's to mend. Whatever else the
/// host meets, a folder, a lack of processes, its own end, is the server's.
fn from_host(error: &Error) -> PluginError {
    with_text(error, error.to_string())
}

fn with_text(error: &Error, text: String) -> PluginError {
    if error.is_of_the_plugin() { PluginError::Invalid(text) } else { PluginError::Start(text) }
}

#[cfg(test)]
mod tests {
    use strongroom_plugin_host::process::MARGIN;

    use super::*;

    /// An entry of the catalog may have come with a restored store.
    #[tokio::test]
    async fn cve_2026_105816_without_a_plugin_folder_nothing_is_started() {
        let engines = Engines { linked_in: BTreeMap::new(), host: None, passing: None };
        let restored = PluginSpec {
            name: "custom".to_owned(),
            kind: PluginType::Secret,
            version: String::new(),
            command: "../../bin/busybox".to_owned(),
            args: vec!["true".to_owned()],
            env: Vec::new(),
            sha256: "00".repeat(32),
        };
        let refused = engines.probe(&restored).await.unwrap_err().to_string();
        assert!(refused.contains("plugin directory is not configured"), "{refused}");
        assert!(engines.host().is_err(), "opening an instance asks for the same");
    }

    /// Else whoever mounts it is not told why it doesn't start.
    #[test]
    fn a_start_is_given_up_before_clients_are_gone() {
        use strongroom_config::plugin::{CLIENT_TIMEOUT, REST_OF_START};
        let longest = CLIENT_TIMEOUT.as_duration();
        assert!(START_LIMIT + MARGIN < longest, "{START_LIMIT:?} of {longest:?}");
        assert_eq!(MARGIN, REST_OF_START.as_duration());
    }

    #[test]
    fn the_caller_is_blamed_for_the_plugin_alone() {
        let command =
            Error::Command { command: "x".to_owned(), reason: "it is not a file".to_owned() };
        assert!(matches!(from_host(&command), PluginError::Invalid(_)));
        let folder = Error::Folder {
            role: "plug-in folder",
            folder: "/srv/somewhere".into(),
            reason: "it belongs to another user".to_owned(),
        };
        let blamed = from_host(&folder);
        assert!(matches!(blamed, PluginError::Start(_)), "{blamed:?}");
        assert!(!blamed.to_string().contains("/srv"), "{blamed}");
        assert!(matches!(from_host(&Error::Closed), PluginError::Start(_)));
    }
}
