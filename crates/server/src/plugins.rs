//! Built-in engines and plug-in processes, behind the core's launcher trait.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use strongroom_types::chain;

use async_trait::async_trait;
use strongroom_config::{Config, PLUGIN_COPIES_FOLDER, PluginConfig};
use strongroom_engine::{Engine, EngineFactory, MountContext};
use strongroom_mounts::plugins::{
    NeededPlugins, PluginCopyGuard, PluginError, PluginKind, PluginLauncher, PluginSpec,
};
use strongroom_plugin_host::host::DEFAULT_START_LIMIT;
use strongroom_plugin_host::{Error, LaunchSpec, PluginHost};

use crate::Options;

/// Launches every kind of engine this server can run: built-in ones and plug-ins.
#[derive(Debug)]
pub struct EngineLauncher {
    linked_in: BTreeMap<(PluginKind, String), Arc<dyn EngineFactory>>,
    host: Option<PluginHost>,
    /// A temporary folder of plug-in copies, removed when the server ends.
    temporary_copies: Option<PathBuf>,
}

impl EngineLauncher {
    /// The built-in engines, and plug-ins if a plug-in folder is configured.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let factories: [Arc<dyn EngineFactory>; 8] = [
            Arc::new(strongroom_auth_approle::blueprint()),
            Arc::new(strongroom_auth_kubernetes::blueprint()),
            Arc::new(strongroom_auth_ldap::blueprint()),
            Arc::new(strongroom_auth_userpass::blueprint()),
            Arc::new(strongroom_engine_kv::engine()),
            Arc::new(strongroom_engine_nomad::blueprint()),
            Arc::new(strongroom_engine_rabbitmq::blueprint()),
            Arc::new(strongroom_engine_totp::blueprint()),
        ];
        let place = |factory: &Arc<dyn EngineFactory>| {
            (PluginKind::from(factory.kind()), factory.name().to_owned())
        };
        let linked_in = factories.into_iter().map(|factory| (place(&factory), factory)).collect();
        let Some(directory) = options.config.plugin.directory.clone() else {
            return Ok(Self { linked_in, host: None, temporary_copies: None });
        };
        let (copies, passing) = copies_folder(&options.config, options);
        let PluginConfig { tmpdir, trust_file: trust, start_timeout, .. } =
            options.config.plugin.clone();
        let start_limit = if start_timeout.is_zero() {
            DEFAULT_START_LIMIT
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
        Ok(Self { linked_in, host: Some(host), temporary_copies: passing })
    }

    /// Ends all plug-in processes.
    pub(crate) async fn close(&self) {
        if let Some(host) = &self.host {
            host.close().await;
        }
        if let Some(folder) = &self.temporary_copies
            && let Err(error) = tokio::fs::remove_dir_all(folder).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %folder.display(), error = %chain(&error), "plug-in copies stay behind");
        }
    }

    fn require_host(&self) -> Result<&PluginHost, PluginError> {
        self.host.as_ref().ok_or_else(|| {
            PluginError::Invalid(
                "could not set plugin, plugin directory is not configured".to_owned(),
            )
        })
    }
}

/// The folder for copies of plug-in binaries: the configured one, one beside the data, or for a
/// server without data a temporary folder that is removed at the end.
fn copies_folder(config: &Config, options: &Options) -> (PathBuf, Option<PathBuf>) {
    if let Some(folder) = &config.plugin.tmpdir {
        return (folder.join(PLUGIN_COPIES_FOLDER), None);
    }
    match config.storage.data_folder() {
        Some(data) => (data.join("plugins"), None),
        None => {
            let name = format!("strongroom-plugins-{}", options.entropy.base62(16));
            let folder = std::env::temp_dir().join(name);
            (folder.clone(), Some(folder))
        }
    }
}

#[async_trait]
impl PluginLauncher for EngineLauncher {
    fn builtin_version(&self, kind: PluginKind, name: &str) -> Option<String> {
        let factory = self.linked_in.get(&(kind, name.to_owned()))?;
        Some(format!("{}+builtin", factory.version()))
    }

    fn builtin_names(&self, kind: PluginKind) -> Vec<String> {
        let same = self.linked_in.keys().filter(|(k, _)| *k == kind);
        same.map(|(_, name)| name.clone()).collect()
    }

    async fn open_builtin(
        &self,
        kind: PluginKind,
        name: &str,
        mount: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        let factory = self.linked_in.get(&(kind, name.to_owned()));
        let missing = || PluginError::Invalid(format!("plugin not found in the catalog: {name}"));
        Ok(factory.ok_or_else(missing)?.open(mount).await?)
    }

    async fn probe(&self, spec: &PluginSpec) -> Result<String, PluginError> {
        // The operator who registers a plug-in may get its output and its file paths.
        let explained = |error: Error| plugin_error_with_text(&error, error.explanation());
        self.require_host()?.probe(&to_host_spec(spec)).await.map_err(explained)
    }

    async fn open_plugin(
        &self,
        spec: &PluginSpec,
        mount: MountContext,
        label: &str,
    ) -> Result<Arc<dyn Engine>, PluginError> {
        self.require_host()?
            .open(&to_host_spec(spec), mount, label)
            .await
            .map_err(|error| plugin_error_from(&error))
    }

    fn start_fresh_process_next(&self, kind: PluginKind, name: &str) {
        if let Some(host) = &self.host {
            host.start_fresh_process_next(kind.as_str(), name);
        }
    }

    fn keep_copy(&self, spec: &PluginSpec) -> PluginCopyGuard {
        Box::new(self.host.as_ref().map(|host| host.keep_copy(&to_host_spec(spec))))
    }

    async fn remove_copies_except(&self, needed: &NeededPlugins<'_>) {
        if let Some(host) = &self.host {
            host.remove_copies_but(|| needed().iter().map(to_host_spec).collect()).await;
        }
    }
}

fn to_host_spec(spec: &PluginSpec) -> LaunchSpec {
    LaunchSpec {
        name: spec.name.clone(),
        kind: spec.kind.as_str(),
        version: spec.version.clone(),
        command: spec.command.clone(),
        args: spec.args.clone(),
        env: spec.env.clone(),
        sha256: spec.sha256.clone(),
    }
}

/// Converts an error of the plug-in host. What another registration or another binary would fix is
/// reported to the caller; everything else (folder, process limits, shutdown) is a server fault.
fn plugin_error_from(error: &Error) -> PluginError {
    plugin_error_with_text(error, error.to_string())
}

fn plugin_error_with_text(error: &Error, text: String) -> PluginError {
    if error.is_plugin_fault() { PluginError::Invalid(text) } else { PluginError::Start(text) }
}

#[cfg(test)]
mod tests {
    use strongroom_plugin_host::process::START_MARGIN;

    use super::*;

    /// A catalog entry may come from a restored store.
    #[tokio::test]
    async fn cve_2026_105816_without_a_plugin_folder_nothing_is_started() {
        let engines =
            EngineLauncher { linked_in: BTreeMap::new(), host: None, temporary_copies: None };
        let restored = PluginSpec {
            name: "custom".to_owned(),
            kind: PluginKind::Secret,
            version: String::new(),
            command: "../../bin/busybox".to_owned(),
            args: vec!["true".to_owned()],
            env: Vec::new(),
            sha256: "00".repeat(32),
        };
        let refused = engines.probe(&restored).await.unwrap_err().to_string();
        assert!(refused.contains("plugin directory is not configured"), "{refused}");
        assert!(engines.require_host().is_err(), "opening an instance asks for the same");
    }

    /// Otherwise the client that mounts a plug-in would time out before it learns why it failed.
    #[test]
    fn start_limit_is_below_timeout() {
        use strongroom_config::plugin::{CLIENT_TIMEOUT, START_TIME_BESIDE_HANDSHAKE};
        let longest = CLIENT_TIMEOUT.as_duration();
        assert!(
            DEFAULT_START_LIMIT + START_MARGIN < longest,
            "{DEFAULT_START_LIMIT:?} of {longest:?}"
        );
        assert_eq!(START_MARGIN, START_TIME_BESIDE_HANDSHAKE.as_duration());
    }

    #[test]
    fn only_plugin_faults_are_invalid() {
        let command =
            Error::Command { command: "x".to_owned(), reason: "it is not a file".to_owned() };
        assert!(matches!(plugin_error_from(&command), PluginError::Invalid(_)));
        let folder = Error::Folder {
            role: "plug-in folder",
            folder: "/srv/somewhere".into(),
            reason: "it belongs to another user".to_owned(),
        };
        let blamed = plugin_error_from(&folder);
        assert!(matches!(blamed, PluginError::Start(_)), "{blamed:?}");
        assert!(!blamed.to_string().contains("/srv"), "{blamed}");
        assert!(matches!(plugin_error_from(&Error::Closed), PluginError::Start(_)));
    }
}
