//! Settings of external plug-ins.
//!
//! ```
//! # use strongroom_config::Config;
//! # let rest = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
//! let config = Config::parse(
//!     &format!("{rest} plugin_directory = \"/etc/strongroom/plugins\""),
//!     "server.hcl",
//! )?;
//! assert_eq!(config.plugin.directory.unwrap().to_str(), Some("/etc/strongroom/plugins"));
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::path::PathBuf;

use strongroom_types::Ttl;

use crate::reading::{ConfigError, ConfigSection};

/// Where plug-ins are loaded from, and what they are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginConfig {
    /// The folder with plug-in binaries; `None` disables external plug-ins.
    pub directory: Option<PathBuf>,
    /// The folder for private copies of plug-in binaries and for plug-ins' sockets. `None` keeps
    /// the copies beside the data, and the sockets in the system's folder for temporary files.
    pub tmpdir: Option<PathBuf>,
    /// A file that lists which plug-ins may run; `None` allows every registered plug-in.
    pub trust_file: Option<PathBuf>,
    /// How long a plug-in may take to write its handshake; zero for the default.
    pub start_timeout: Ttl,
    /// Whether the plug-in folder may be writable by the server process's own group. Not a setting:
    /// only `-dev-plugin-dir` sets it.
    pub group_may_write: bool,
    /// Whether plug-ins inherit the server's whole environment. By default they get a few
    /// variables.
    pub inherit_env: bool,
    /// Whether a plug-in may be a script. By default only ELF binaries are run.
    pub allow_scripts: bool,
}

/// How long clients wait for a response by default: the command line of this project (a test
/// compares the two), and those of Vault and OpenBao.
pub const CLIENT_TIMEOUT: Ttl = Ttl::from_secs(60);
/// How long starting a plug-in may take in addition to its handshake.
pub const START_TIME_BESIDE_HANDSHAKE: Ttl = Ttl::from_secs(10);
/// A starting plug-in occupies one of the few slots for starts, so the timeout has a maximum.
const MAX_START_TIMEOUT: Ttl = Ttl::from_secs(600);

impl PluginConfig {
    pub(crate) fn merge(
        &mut self,
        section: &ConfigSection<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        section.read_path("plugin_directory", &mut self.directory)?;
        section.read_path("plugin_tmpdir", &mut self.tmpdir)?;
        section.read_path("plugin_trust", &mut self.trust_file)?;
        section.read_duration("plugin_start_timeout", &mut self.start_timeout)?;
        if self.start_timeout > MAX_START_TIMEOUT {
            return Err(section.invalid_setting("plugin_start_timeout", "must not be above 10m"));
        }
        if let Some(place) = section.location_if_set("plugin_start_timeout")
            && self.start_timeout.as_secs() + START_TIME_BESIDE_HANDSHAKE.as_secs()
                >= CLIENT_TIMEOUT.as_secs()
        {
            let (rest, longest) = (START_TIME_BESIDE_HANDSHAKE.as_secs(), CLIENT_TIMEOUT.as_secs());
            warnings.push(format!(
                "plugin_start_timeout at {place}, plus the {rest} s that a start may take beyond it, is \
                 not below the {longest} s that clients wait by default: when a plug-in fails to \
                 start, they may time out before they get the reason"
            ));
        }
        section.read_flag("plugin_inherit_env", &mut self.inherit_env)?;
        section.read_flag("plugin_allow_scripts", &mut self.allow_scripts)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn a_relative_folder_begins_where_the_server_starts() {
        let rest = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
        let read = |text: &str| Config::parse(&format!("{rest}{text}"), "t.hcl").unwrap().plugin;
        let here = std::env::current_dir().unwrap();
        let relative = read("plugin_directory = \"plugins\"").directory.unwrap();
        assert_eq!(relative, here.join("plugins"));
        assert_eq!(read("plugin_directory = \"\"").directory, None);
    }

    #[test]
    fn the_trust_file_and_the_start_timeout_are_read() {
        let rest = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
        let read = |text: &str| Config::parse(&format!("{rest}{text}"), "t.hcl");
        let config = read("plugin_trust = \"/etc/trust.hcl\"\nplugin_start_timeout = \"10s\"");
        let plugin = config.unwrap().plugin;
        assert_eq!(plugin.trust_file.unwrap().to_str(), Some("/etc/trust.hcl"));
        assert_eq!(plugin.start_timeout.as_secs(), 10);
        let error = read("plugin_start_timeout = \"1h\"").unwrap_err().to_string();
        assert!(
            error.contains("t.hcl:3:1: plugin_start_timeout: must not be above 10m"),
            "{error}"
        );
        for (text, is_warned) in [("49s", false), ("50s", true), ("1m", true), ("10m", true)] {
            let config = read(&format!("plugin_start_timeout = \"{text}\"")).unwrap();
            let at = "plugin_start_timeout at t.hcl:3:1, plus the 10 s";
            let warned = config.warnings.iter().any(|warning| {
                warning.starts_with(at) && warning.contains("60 s that clients wait by default")
            });
            assert_eq!(warned, is_warned, "{text}: {:?}", config.warnings);
        }
        let relative = read("plugin_trust = \"trust.hcl\"").unwrap().plugin.trust_file.unwrap();
        assert_eq!(relative, std::env::current_dir().unwrap().join("trust.hcl"));
    }
}
