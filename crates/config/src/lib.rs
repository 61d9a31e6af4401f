//! The server's configuration, in HCL 1 or JSON, as users of Vault and OpenBao have it.
//!
//! - [`storage`]: where data lies
//! - [`listener`]: where clients connect
//! - [`plugin`]: where plug-ins come from
//! - [`requests`]: how many requests are worked on at the same time
//! - [`reading`]: files and folders, merged; every message names file, line and column
//!
//! Three things can happen to a setting. It is known, and honoured. It can't be honoured and
//! leaving it out would change what the server protects or where data lies: then the server doesn't
//! start. Or it is unknown and harmless: a warning.

#[cfg(test)]
mod book;
pub mod listener;
pub mod plugin;
pub mod reading;
pub mod requests;
pub mod storage;

use std::path::{Component, Path, PathBuf};

pub use listener::{Endpoint, ForwardingConfig, ListenerConfig, SocketFile, TlsConfig, TlsVersion};
pub use plugin::PluginConfig;
pub use reading::{ConfigError, Place};
pub use requests::RequestLimits;
pub use storage::StorageConfig;
use strongroom_hcl::Value;
use strongroom_telemetry::log::{Format, Level};
use strongroom_types::Ttl;

use crate::reading::Section;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where data lies.
    pub storage: StorageConfig,
    /// Where clients connect.
    pub listeners: Vec<ListenerConfig>,
    /// Where plug-ins come from.
    pub plugin: PluginConfig,
    /// The address clients should use; shown, and given to plug-ins that ask.
    pub api_addr: String,
    /// The cluster's name; empty for a generated one.
    pub cluster_name: String,
    /// The server's default lease lifetime; zero for 768 h.
    pub default_lease_ttl: Ttl,
    /// The server's longest lease lifetime; zero for 768 h.
    pub max_lease_ttl: Ttl,
    /// Limits on requests that are being worked on at the same time.
    pub requests: RequestLimits,
    /// How much is logged.
    pub log_level: Level,
    /// What a log line looks like.
    pub log_format: Format,
    /// A file that gets the log as well as standard error.
    pub log_file: Option<PathBuf>,
    /// A file that holds the server's process id while it runs.
    pub pid_file: Option<PathBuf>,
    /// What is unknown or not built, and does no harm.
    pub warnings: Vec<String>,
}

/// Settings that would change what is protected, and aren't built.
const REFUSED: [&str; 8] = [
    "seal",
    "ha_storage",
    "ha_backend",
    "audit",
    "entropy",
    "initialize",
    "user_lockout",
    "kms_library",
];
/// Settings that are accepted and make no difference here.
const WITHOUT_EFFECT: [&str; 12] = [
    "disable_mlock",
    "disable_clustering",
    "disable_printable_check",
    "disable_sealwrap",
    "cluster_addr",
    "cache_size",
    "disable_cache",
    "detect_deadlocks",
    "imprecise_lease_role_tracking",
    "experiments",
    "license_path",
    "enable_unauthenticated_access",
];
/// A log that nobody cuts fills the disk.
const ROTATION: [&str; 3] = ["log_rotate_bytes", "log_rotate_duration", "log_rotate_max_files"];
const KNOWN: [&str; 22] = [
    "storage",
    "backend",
    "listener",
    "plugin_directory",
    "plugin_tmpdir",
    "plugin_inherit_env",
    "plugin_allow_scripts",
    "plugin_trust",
    "plugin_start_timeout",
    "api_addr",
    "cluster_name",
    "default_lease_ttl",
    "max_lease_ttl",
    "max_requests",
    "max_requests_per_mount",
    "max_unauthenticated_requests",
    "max_unauthenticated_requests_per_mount",
    "log_level",
    "log_format",
    "log_file",
    "pid_file",
    "ui",
];

impl Config {
    /// Reads files and folders of files; of what is set twice, the last wins, and listeners add up.
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
        let mut config = Self::default();
        let mut has_storage = false;
        for (name, text) in reading::files(paths)? {
            has_storage |= config.merge(&text, &name)?;
        }
        config.check(has_storage)
    }

    /// Reads files and folders over a configuration that is complete without them, as `-dev` has
    /// one.
    pub fn read_over(base: Self, paths: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut config = base;
        for (name, text) in reading::files(paths)? {
            config.merge(&text, &name)?;
        }
        config.check(true)
    }

    /// Reads one text. `name` is what messages call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let has_storage = config.merge(text, name)?;
        config.check(has_storage)
    }

    /// Takes one text in; says whether it has a storage stanza.
    fn merge(&mut self, text: &str, name: &str) -> Result<bool, ConfigError> {
        let body = strongroom_hcl::parse(text, &strongroom_hcl::Limits::default())
            .map_err(|error| ConfigError::syntax(name, &error))?;
        let section = Section::new(&body, name);
        section.refuse(&REFUSED, "this server can't honour it yet, and won't run without it")?;
        let text = "log files aren't cut by this server: rename log_file and send SIGHUP";
        section.refuse(&ROTATION, text)?;
        for item in body.unknown(&KNOWN) {
            let place = section.place(&item.key);
            let key = &item.key.text;
            self.warnings.push(if WITHOUT_EFFECT.contains(&key.as_str()) {
                format!("the setting {key} has no effect at {place}")
            } else {
                format!("unknown or unsupported field {key} found in configuration at {place}")
            });
        }
        let has_storage = self.storage.merge(&section, &mut self.warnings)?;
        for block in section.blocks::<1>("listener")? {
            self.listeners.push(ListenerConfig::read(&block, name, &mut self.warnings)?);
        }
        self.plugin.merge(&section)?;
        section.text("api_addr", &mut self.api_addr)?;
        section.text("cluster_name", &mut self.cluster_name)?;
        section.duration("default_lease_ttl", &mut self.default_lease_ttl)?;
        section.duration("max_lease_ttl", &mut self.max_lease_ttl)?;
        self.requests.merge(&section)?;
        section.parsed("log_level", &mut self.log_level)?;
        section.parsed("log_format", &mut self.log_format)?;
        section.path("log_file", &mut self.log_file)?;
        section.path("pid_file", &mut self.pid_file)?;
        if section.read("ui", Value::as_bool_loose)? == Some(true) {
            self.warnings.push("the setting ui has no effect: there is no web UI yet".to_owned());
        }
        Ok(has_storage)
    }

    fn check(self, has_storage: bool) -> Result<Self, ConfigError> {
        if !has_storage {
            return Err(ConfigError::new(
                "a storage stanza must be specified: storage \"embedded\" { path = \"…\" }",
            ));
        }
        if self.listeners.is_empty() {
            return Err(ConfigError::new(
                "at least one listener stanza must be specified: listener \"tcp\" { … }",
            ));
        }
        let (default, max) = (self.default_lease_ttl, self.max_lease_ttl);
        if !max.is_zero() && default > max {
            return Err(ConfigError::new("default_lease_ttl must not be above max_lease_ttl"));
        }
        self.check_files()?;
        Ok(self)
    }

    /// What the server writes must not lie where it runs programs from: parts of a log are what
    /// clients sent. Nor may it run programs from where it writes. To be asked again when a flag
    /// has changed a file's place.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let Some(plugins) = &self.plugin.directory else { return Ok(()) };
        let plugins = real_path(plugins);
        let sockets = self.listeners.iter().filter_map(|listener| match &listener.endpoint {
            Endpoint::Unix(socket) => Some(("the socket of a listener", socket.path.as_path())),
            Endpoint::Tcp(_) => None,
        });
        let files = [("log_file", &self.log_file), ("pid_file", &self.pid_file)];
        let files = files.into_iter().filter_map(|(name, file)| Some((name, file.as_deref()?)));
        for (name, file) in files.chain(sockets) {
            // A file that is a link is where the link is, and where it leads to.
            let beside = file.parent().map(real_path);
            if real_path(file).starts_with(&plugins)
                || beside.is_some_and(|folder| folder.starts_with(&plugins))
            {
                let text = format!("{name} must not lie in the plugin_directory");
                return Err(ConfigError::new(text));
            }
        }
        let mut folders = Vec::new();
        if let StorageConfig::Embedded { path, .. } = &self.storage {
            folders.push(("the storage path", path.clone()));
        }
        if let Some(tmpdir) = &self.plugin.tmpdir {
            folders.push(("the folder of plug-in copies", tmpdir.join(PLUGIN_COPIES)));
        }
        for (name, folder) in folders {
            let folder = real_path(&folder);
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

/// The folder of copies in `plugin_tmpdir`.
pub const PLUGIN_COPIES: &str = "strongroom-plugins";

/// Where a path leads, as far as it is there: links are followed, and what is missing is appended.
fn real_path(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        if let (Ok(real), Ok(missing)) = (there.canonicalize(), path.strip_prefix(there)) {
            let mut whole = real;
            for component in missing.components() {
                match component {
                    Component::ParentDir => drop(whole.pop()),
                    other => whole.push(other),
                }
            }
            // What follows upon a step up may be there again.
            let has_step_up = missing.components().any(|it| it == Component::ParentDir);
            return if has_step_up { real_path(&whole) } else { whole };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";

    fn with(more: &str) -> Result<Config, String> {
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
        assert_eq!(config.log_level, Level::Debug);
        assert_eq!(config.log_format, Format::Json);
        assert_eq!(config.max_lease_ttl, Ttl::from_secs(7200));
        assert_eq!(config.default_lease_ttl, Ttl::from_secs(60));
    }

    #[test]
    fn what_changes_security_and_is_not_built_stops_the_start_with_its_line() {
        for (text, line) in [
            ("seal \"awskms\" {}", 3),
            ("\nuser_lockout \"all\" {}", 4),
            ("ha_storage \"raft\" {}", 3),
            ("audit \"file\" \"a\" {}", 3),
        ] {
            let error = with(text).unwrap_err();
            assert!(error.contains(&format!("test.hcl:{line}:")), "{error}");
            assert!(error.contains("can't honour"), "{error}");
        }
        let error = with("log_rotate_bytes = 1000").unwrap_err();
        assert!(error.contains("test.hcl:3:1: log_rotate_bytes: ") && error.contains("SIGHUP"));
    }

    #[test]
    fn cve_2025_6000_nothing_is_written_where_programs_are_run_from() {
        let folder = tempfile::tempdir().unwrap();
        let (plugins, alias) = (folder.path().join("plugins"), folder.path().join("alias"));
        std::fs::create_dir(&plugins).unwrap();
        std::os::unix::fs::symlink(&plugins, &alias).unwrap();
        let setting = format!("plugin_directory = \"{}\"\n", plugins.display());
        for name in ["log_file", "pid_file"] {
            for place in
                [plugins.join("x"), alias.join("x"), folder.path().join("plugins/../alias/x")]
            {
                let error = with(&format!("{setting}{name} = \"{}\"", place.display()));
                assert!(error.unwrap_err().contains(&format!("{name} must not lie")));
            }
            let beside = folder.path().join("x");
            assert!(with(&format!("{setting}{name} = \"{}\"", beside.display())).is_ok());
        }
        let whole = format!("{setting}log_file = \"{}\"", alias.display());
        assert!(with(&whole).unwrap_err().contains("log_file must not lie"));
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
    fn harmless_settings_are_warnings_with_their_place() {
        let config = with("frobnicate = 1\ndisable_mlock = true\nui = true").unwrap();
        assert_eq!(
            config.warnings,
            [
                "unknown or unsupported field frobnicate found in configuration at test.hcl:3:1",
                "the setting disable_mlock has no effect at test.hcl:4:1",
                "the setting ui has no effect: there is no web UI yet",
            ]
        );
    }

    #[test]
    fn wrong_values_name_their_place_and_not_themselves() {
        for text in [
            "log_level = \"hunter2\"",
            "max_lease_ttl = \"hunter2\"",
            "api_addr = [\"hunter2\"]",
            "pid_file = \"hunter2\"",
        ] {
            let error = with(text).unwrap_err();
            assert!(error.contains("test.hcl:3:"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(with("default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"").is_err());
    }

    #[test]
    fn storage_and_a_listener_are_needed() {
        let text = "listener \"tcp\" { tls_disable = true }";
        assert!(Config::parse(text, "t").unwrap_err().to_string().contains("storage"));
        let text = "storage \"inmem\" {}";
        assert!(Config::parse(text, "t").unwrap_err().to_string().contains("listener"));
    }

    #[test]
    fn files_can_come_on_top_of_what_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("more.hcl");
        std::fs::write(&file, "plugin_directory = \"/plugins\"").unwrap();
        let base = with("").unwrap();
        let config = Config::read_over(base, std::slice::from_ref(&file)).unwrap();
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
        assert_eq!(config.log_level, Level::Error);
        let missing = Config::read(&[folder.path().join("missing.hcl")]).unwrap_err();
        assert!(missing.to_string().contains("missing.hcl"));
    }
}
