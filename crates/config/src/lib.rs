//! The server's configuration, in HCL 1 or JSON, in the format of Vault and OpenBao.
//!
//! - [`storage`]: where data is stored
//! - [`listener`]: where clients connect
//! - [`plugin`]: where plug-ins are loaded from
//! - [`requests`]: how many requests are processed at the same time
//! - [`caches`]: how many bytes the caches may use
//! - [`reading`]: files and folders, merged; every message names file, line and column
//! - [`compatibility`]: every setting of Vault and OpenBao, and how it is treated
//! - `lockout`: `user_lockout`, when users are locked after failed logins
//! - `seal`, `registration`, `telemetry`: blocks that are checked but have no effect
//!
//! A setting is honoured if it is supported. If it isn't, and ignoring it would change what the
//! server protects or where data is stored, the server doesn't start. Any other setting is ignored
//! with a warning.

#[cfg(test)]
mod book;
pub mod caches;
pub mod compatibility;
pub mod listener;
mod lockout;
pub mod plugin;
pub mod reading;
mod registration;
pub mod requests;
mod seal;
pub mod storage;
mod telemetry;

use std::path::{Component, Path, PathBuf};

pub use caches::CacheLimits;
pub use listener::{
    ClientCertificatePolicy, ForwardingConfig, HeaderConfig, ListenerConfig, ListenerEndpoint,
    ListenerTlsConfig, MetricsConfig, RedactConfig, StatusMatcher, TlsVersion, UnixSocketConfig,
};
pub use lockout::LockoutConfig;
pub use plugin::PluginConfig;
pub use reading::{ConfigError, ConfigLocation, has_template};
pub use requests::RequestLimits;
pub use storage::StorageConfig;
use strongroom_telemetry::log::{LogFormat, ServerLogLevel};
use strongroom_types::Ttl;

use crate::compatibility::TOP_LEVEL;
use crate::reading::ConfigSection;

/// The default and the maximum lifetime of leases, unless configured otherwise. It is 768 hours, or
/// 32 days.
pub const DEFAULT_LEASE_TTL: Ttl = Ttl::from_secs(768 * 3600);

/// The whole configuration of a server.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which storage backend to use, and its settings.
    pub storage: StorageConfig,
    /// The listeners that serve the API; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// Settings of external plug-ins.
    pub plugin: PluginConfig,
    /// The address that clients should use. It is reported in status responses and to plug-ins.
    pub api_addr: String,
    /// The cluster's name; empty to have one generated.
    pub cluster_name: String,
    /// The default lifetime of leases; zero for 768 h.
    pub default_lease_ttl: Ttl,
    /// The maximum lifetime of leases; zero for 768 h.
    pub max_lease_ttl: Ttl,
    /// Limits on the number of requests that are processed at the same time.
    pub requests: RequestLimits,
    /// Limits on the caches in memory, in bytes.
    pub caches: CacheLimits,
    /// When users of auth methods are locked after failed logins.
    pub user_lockout: LockoutConfig,
    /// The level from which messages are logged.
    pub log_level: ServerLogLevel,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// A file that the log is written to in addition to standard error.
    pub log_file: Option<PathBuf>,
    /// A file that holds the server's process id while it runs.
    pub pid_file: Option<PathBuf>,
    /// Warnings about settings that are unknown or ignored.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads files and folders of files. If a setting occurs more than once, the last one wins;
    /// listeners add up.
    ///
    /// ```
    /// # use strongroom_config::Config;
    /// let config = Config::parse(
    ///     r#"
    ///     storage "embedded" { path = "/var/lib/strongroom" }
    ///     listener "tcp" { address = "127.0.0.1:8200"  tls_disable = true }
    ///     plugin_directory = "/etc/strongroom/plugins"
    ///     default_lease_ttl = "1h"
    ///     log_level = "warn"
    ///     log_file  = "/var/log/strongroom/server.log"
    ///     pid_file  = "/run/strongroom/pid"
    ///     "#,
    ///     "server.hcl",
    /// )?;
    /// assert_eq!(config.listeners.len(), 1);
    /// assert!(config.pid_file.is_some() && config.warnings.is_empty());
    /// # Ok::<(), strongroom_config::ConfigError>(())
    /// ```
    pub fn read(paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut merged = ConfigBuilder::default();
        for (name, text) in reading::read_config_files(paths)? {
            merged.merge(&text, &name)?;
        }
        merged.build()
    }

    /// Reads files and folders on top of a configuration that is already complete, such as that of
    /// `-dev`.
    pub fn read_over_base(base: Self, paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut merged =
            ConfigBuilder { config: base, has_storage: true, ..ConfigBuilder::default() };
        for (name, text) in reading::read_config_files(paths)? {
            merged.merge(&text, &name)?;
        }
        merged.build()
    }

    /// Parses one text. Messages use `name` as its file name.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let mut merged = ConfigBuilder::default();
        merged.merge(text, name)?;
        merged.build()
    }

    /// Checks that nothing the server writes lies in the plug-in folder, and the other way round:
    /// clients control parts of the log, so written files must never be run as programs. Call it
    /// again after a flag has changed one of the paths.
    ///
    /// # Errors
    ///
    /// If one of these paths lies in the other; the text names the setting.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let Some(plugins) = &self.plugin.directory else { return Ok(()) };
        let plugins = resolve_existing_prefix(plugins);
        let sockets = self.listeners.iter().filter_map(|listener| match &listener.endpoint {
            ListenerEndpoint::Unix(socket) => {
                Some(("the socket of a listener", socket.path.as_path()))
            }
            ListenerEndpoint::Tcp(_) => None,
        });
        let files = [("log_file", &self.log_file), ("pid_file", &self.pid_file)];
        let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_deref()?)));
        for (name, file) in files.chain(sockets) {
            // For a link, check both the folder it is in and its target.
            let beside = file.parent().map(resolve_existing_prefix);
            if resolve_existing_prefix(file).starts_with(&plugins)
                || beside.is_some_and(|folder| folder.starts_with(&plugins))
            {
                let text = format!("{name} must not lie in the plugin_directory");
                return Err(ConfigError::new(text));
            }
        }
        let mut folders = Vec::new();
        if let Some(folder) = self.storage.data_folder() {
            folders.push(("the storage path", folder.to_owned()));
        }
        if let Some(tmpdir) = &self.plugin.tmpdir {
            folders.push(("the folder of plug-in copies", tmpdir.join(PLUGIN_COPIES_FOLDER)));
        }
        for (name, folder) in folders {
            let folder = resolve_existing_prefix(&folder);
            if folder.starts_with(&plugins) {
                let text = format!("{name} must not lie in the plugin_directory");
                return Err(ConfigError::new(text));
            }
            if plugins.starts_with(&folder) {
                let text = format!("the plugin_directory must not lie in {name}");
                return Err(ConfigError::new(text));
            }
        }
        Ok(())
    }
}

/// The name of the folder in `plugin_tmpdir` that holds copies of plug-ins.
pub const PLUGIN_COPIES_FOLDER: &str = "strongroom-plugins";

/// Resolves the part of a path that exists, following links, and appends the rest.
fn resolve_existing_prefix(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let (Ok(real), Ok(missing)) = (there.canonicalize(), path.strip_prefix(there)) {
            let mut whole = real;
            for component in missing.components() {
                match component {
                    Component::ParentDir => drop(whole.pop()),
                    other => whole.push(other),
                }
            }
            // With `..` in the missing part, the path may lead back to something that exists.
            let has_step_up = missing.components().any(|it| it == Component::ParentDir);
            return if has_step_up { resolve_existing_prefix(&whole) } else { whole };
        }
    }
    path.to_owned()
}

/// Collects the configuration from several texts, and what is only checked at the end.
#[derive(Default)]
struct ConfigBuilder {
    config: Config,
    has_storage: bool,
    /// Where the default lease lifetime was last set.
    default_lease_location: Option<ConfigLocation>,
    /// Applies to listeners that set no limit of their own, whose indexes are listed.
    default_max_request_duration: Option<Ttl>,
    listeners_without_duration: Vec<usize>,
}

impl ConfigBuilder {
    /// Merges one text into the configuration.
    fn merge(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let body = strongroom_hcl::parse(text, &strongroom_hcl::ParseLimits::default())
            .map_err(|error| ConfigError::from_parse_error(name, &error))?;
        let section = ConfigSection::new(&body, name);
        let config = &mut self.config;
        TOP_LEVEL.check_section(&section, &mut config.warnings)?;
        for duplicate in body.duplicate_keys() {
            config.warnings.push(format!(
                "the setting {} is set at {} and again at {}: the last value is used",
                duplicate.key,
                section.location_at(duplicate.first),
                section.location_at(duplicate.again),
            ));
        }
        self.has_storage |= config.storage.merge(&section, &mut config.warnings)?;
        seal::check_seal(&section, &mut config.warnings)?;
        config.user_lockout.merge(&section)?;
        registration::check_service_registration(&section, &mut config.warnings)?;
        for block in section.blocks::<0>("telemetry")? {
            telemetry::check_telemetry(&section.nested(block.body), &mut config.warnings)?;
        }
        for block in section.blocks::<1>("listener")? {
            let listener = ListenerConfig::read(&block, name, &mut config.warnings)?;
            let body = ConfigSection::new(block.body, name);
            if body.location_if_set("max_request_duration").is_none() {
                self.listeners_without_duration.push(config.listeners.len());
            }
            config.listeners.push(listener);
        }
        if section.location_if_set("default_max_request_duration").is_some() {
            let mut duration = Ttl::ZERO;
            section.read_duration("default_max_request_duration", &mut duration)?;
            self.default_max_request_duration = Some(duration);
        }
        config.plugin.merge(&section, &mut config.warnings)?;
        section.read_address("api_addr", &mut config.api_addr)?;
        section.read_text("cluster_name", &mut config.cluster_name)?;
        section.read_duration("default_lease_ttl", &mut config.default_lease_ttl)?;
        self.default_lease_location =
            section.location_if_set("default_lease_ttl").or(self.default_lease_location.take());
        section.read_duration("max_lease_ttl", &mut config.max_lease_ttl)?;
        config.requests.merge(&section)?;
        config.caches.merge(&section)?;
        section.read_parsed("log_level", &mut config.log_level)?;
        section.read_parsed("log_format", &mut config.log_format)?;
        section.read_path("log_file", &mut config.log_file)?;
        section.read_path("pid_file", &mut config.pid_file)?;
        Ok(())
    }

    fn build(self) -> Result<Config, ConfigError> {
        if !self.has_storage {
            return Err(ConfigError::new(
                "a storage stanza must be specified: storage \"embedded\" { path = \"…\" }",
            ));
        }
        let mut config = self.config;
        if let Some(duration) = self.default_max_request_duration {
            for index in self.listeners_without_duration {
                if let Some(listener) = config.listeners.get_mut(index) {
                    listener.max_request_duration = duration;
                }
            }
        }
        if config.listeners.is_empty() {
            return Err(ConfigError::new(
                "at least one listener stanza must be specified: listener \"tcp\" { … }",
            ));
        }
        let longest = config.max_lease_ttl.nonzero_or(DEFAULT_LEASE_TTL);
        if config.default_lease_ttl > longest {
            let text = format!(
                "default_lease_ttl: must not be above max_lease_ttl, which is {}",
                longest.to_short_string()
            );
            return Err(match &self.default_lease_location {
                Some(place) => ConfigError::at_location(place, text),
                None => ConfigError::new(text),
            });
        }
        config.check_files()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";

    fn parse_with(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{MINIMAL}{more}"), "test.hcl").map_err(|error| error.to_string())
    }

    #[test]
    fn reads_hcl_and_json_alike() {
        let json = r#"{
            "storage": {"embedded": {"path": "/data"}},
            "listener": [{"tcp": {"address": "127.0.0.1:1", "tls_disable": "true"}}],
            "log_level": "debug", "log_format": "json", "max_lease_ttl": "2h", "default_lease_ttl": 60
        }"#;
        let config = Config::parse(json, "test.json").unwrap();
        assert_eq!(config.listeners.len(), 1);
        assert_eq!(config.log_level, ServerLogLevel::Debug);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.max_lease_ttl, Ttl::from_secs(7200));
        assert_eq!(config.default_lease_ttl, Ttl::from_secs(60));
    }

    #[test]
    fn refuses_unsupported_security() {
        for (text, line) in [
            ("seal \"awskms\" {}", 3),
            ("\nuser_lockout \"jwt\" {}", 4),
            ("ha_storage \"raft\" {}", 3),
            ("audit \"file\" \"a\" {}", 3),
        ] {
            let error = parse_with(text).unwrap_err();
            assert!(error.starts_with(&format!("test.hcl:{line}:")), "{error}");
        }
    }

    #[test]
    fn cve_2025_6000_and_cve_2025_54997_nothing_is_written_where_programs_are_run_from() {
        let folder = tempfile::tempdir().unwrap();
        let (plugins, alias) = (folder.path().join("plugins"), folder.path().join("alias"));
        std::fs::create_dir(&plugins).unwrap();
        std::os::unix::fs::symlink(&plugins, &alias).unwrap();
        let setting = format!("plugin_directory = \"{}\"\n", plugins.display());
        for name in ["log_file", "pid_file"] {
            for place in
                [plugins.join("x"), alias.join("x"), folder.path().join("plugins/../alias/x")]
            {
                let error = parse_with(&format!("{setting}{name} = \"{}\"", place.display()));
                assert!(error.unwrap_err().contains(&format!("{name} must not lie")));
            }
            let beside = folder.path().join("x");
            assert!(parse_with(&format!("{setting}{name} = \"{}\"", beside.display())).is_ok());
        }
        let whole = format!("{setting}log_file = \"{}\"", alias.display());
        assert!(parse_with(&whole).unwrap_err().contains("log_file must not lie"));
    }

    #[test]
    fn cve_2025_6000_store_copies_and_plugins_do_not_lie_in_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("plugins")).unwrap();
        std::os::unix::fs::symlink(root.join("plugins"), root.join("alias")).unwrap();
        let read = |plugins: &str, data: &str, tmpdir: &str| {
            let text = format!(
                "storage \"embedded\" {{ path = \"{0}/{data}\" }}\n\
                 listener \"tcp\" {{ tls_disable = true }}\n\
                 plugin_directory = \"{0}/{plugins}\"\nplugin_tmpdir = \"{0}/{tmpdir}\"",
                root.display()
            );
            Config::parse(&text, "t").map(|_| ()).map_err(|error| error.to_string())
        };
        read("plugins", "data", "tmp").unwrap();
        read("tmp/plugins", "data", "tmp").unwrap();
        for (plugins, data, tmpdir, said) in [
            ("plugins", "plugins", "tmp", "the storage path must not lie in"),
            ("plugins", "plugins/data", "tmp", "the storage path must not lie in"),
            ("plugins", "alias/new/data", "tmp", "the storage path must not lie in"),
            ("plugins", "new/../alias/data", "tmp", "the storage path must not lie in"),
            ("data/plugins", "data", "tmp", "must not lie in the storage path"),
            ("plugins", "data", "plugins", "the folder of plug-in copies must not lie in"),
            ("plugins", "data", "alias", "the folder of plug-in copies must not lie in"),
            (
                "tmp/strongroom-plugins/x",
                "data",
                "tmp",
                "must not lie in the folder of plug-in copies",
            ),
        ] {
            let error = read(plugins, data, tmpdir).unwrap_err();
            assert!(error.contains(said), "{plugins} {data} {tmpdir}: {error}");
        }
        let socket = format!(
            "storage \"inmem\" {{}}\nlistener \"unix\" {{ address = \"{0}/plugins/s\" }}\n\
             plugin_directory = \"{0}/plugins\"",
            root.display()
        );
        let error = Config::parse(&socket, "t").unwrap_err().to_string();
        assert!(error.contains("the socket of a listener must not lie"), "{error}");
    }

    #[test]
    fn harmless_settings_are_warnings() {
        let config =
            parse_with("frobnicate = 1\ndisable_mlock = false\nui = true\nui = 1").unwrap();
        assert_eq!(
            config.warnings,
            [
                "unknown or unsupported field frobnicate found in configuration at test.hcl:3:1",
                "the setting disable_mlock has no effect at test.hcl:4:1: memory isn't locked: \
                 disable swap, or encrypt it",
                "the setting ui has no effect at test.hcl:5:1: there is no web UI yet",
                "the setting ui has no effect at test.hcl:6:1: there is no web UI yet",
                "the setting ui is set at test.hcl:5:1 and again at test.hcl:6:1: the last value \
                 is used",
            ]
        );
        // Settings that ask for what the server does anyway cause no warning.
        let quiet = "disable_mlock = true\nui = false\nraw_storage_endpoint = \"false\"";
        assert!(parse_with(quiet).unwrap().warnings.is_empty());
    }

    #[test]
    fn errors_do_not_quote_values() {
        for text in [
            "log_level = \"hunter2\"",
            "max_lease_ttl = \"hunter2\"",
            "api_addr = [\"hunter2\"]",
            "pid_file = [\"hunter2\"]",
        ] {
            let error = parse_with(text).unwrap_err();
            assert!(error.contains("test.hcl:3:"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn default_above_max_is_refused() {
        for (text, max) in [
            ("max_lease_ttl = \"1h\"\ndefault_lease_ttl = \"2h\"", "1h"),
            ("\ndefault_lease_ttl = \"1000h\"", "768h"),
            ("max_lease_ttl = \"500ms\"\ndefault_lease_ttl = \"1001ms\"", "1s"),
        ] {
            let text = format!("{text}\n");
            let error = parse_with(&text).unwrap_err();
            let expected = format!(
                "test.hcl:4:1: default_lease_ttl: must not be above max_lease_ttl, which is {max}"
            );
            assert_eq!(error, expected);
        }
        // A maximum alone also limits the built-in default.
        assert!(parse_with("max_lease_ttl = \"1h\"").is_ok());
        // The last of several files wins.
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.hcl"), folder.path().join("b.hcl"));
        std::fs::write(&first, format!("{MINIMAL}default_lease_ttl = \"3000h\"")).unwrap();
        std::fs::write(&second, "max_lease_ttl = \"4000h\"").unwrap();
        assert!(Config::read(&[first.clone(), second]).is_ok());
        assert!(Config::read(&[first]).unwrap_err().to_string().contains("a.hcl:3:1: default_"));
    }

    #[test]
    fn durations_are_rounded_up() {
        for (text, secs) in [
            ("\"500ms\"", 1),
            ("0.9", 1),
            ("\"1ns\"", 1),
            ("\"1500ms\"", 2),
            ("3600", 3600),
            ("\"1d\"", 86_400),
        ] {
            let config = parse_with(&format!("max_lease_ttl = {text}")).unwrap();
            assert_eq!(config.max_lease_ttl, Ttl::from_secs(secs), "{text}");
        }
        for text in [
            "\"1e3\"",
            "1e3",
            "-1",
            "\"-1s\"",
            "\"-1ms\"",
            "\"NaN\"",
            "9223372037",
            "\"1w\"",
            "true",
        ] {
            let error = parse_with(&format!("max_lease_ttl = {text}")).unwrap_err();
            assert!(error.starts_with("test.hcl:3:"), "{text}: {error}");
        }
    }

    #[test]
    fn requires_storage_and_listener() {
        let text = "listener \"tcp\" { tls_disable = true }";
        assert!(Config::parse(text, "t").unwrap_err().to_string().contains("storage"));
        let text = "storage \"inmem\" {}";
        assert!(Config::parse(text, "t").unwrap_err().to_string().contains("listener"));
    }

    #[test]
    fn files_override_the_base_config() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("more.hcl");
        std::fs::write(&file, "plugin_directory = \"/plugins\"").unwrap();
        let base = parse_with("").unwrap();
        let config = Config::read_over_base(base, std::slice::from_ref(&file)).unwrap();
        assert!(config.plugin.directory.is_some() && config.listeners.len() == 1);
        assert!(Config::read(&[file]).is_err());
    }

    #[test]
    fn files_are_merged_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.json"), "{\"log_level\": \"error\"}").unwrap();
        std::fs::write(folder.path().join("a.hcl"), format!("{MINIMAL}log_level = \"debug\""))
            .unwrap();
        std::fs::write(folder.path().join("note.txt"), "not a configuration").unwrap();
        let config = Config::read(&[folder.path().to_owned()]).unwrap();
        assert_eq!(config.log_level, ServerLogLevel::Error);
        let missing = Config::read(&[folder.path().join("missing.hcl")]).unwrap_err();
        assert!(missing.to_string().contains("missing.hcl"));
    }
}
