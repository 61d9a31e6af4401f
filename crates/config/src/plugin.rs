//! Settings of plug-ins.
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

use crate::reading::{ConfigError, Section};

/// Where plug-ins come from, and what they may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginConfig {
    /// The folder with plug-in binaries; none switches external plug-ins off.
    pub directory: Option<PathBuf>,
    /// Where private copies of plug-in binaries are kept; none for a place beside the data.
    pub tmpdir: Option<PathBuf>,
    /// Whether plug-ins get the server's whole environment. By default they get a few variables.
    pub inherit_env: bool,
    /// Whether a plug-in may be a script. By default only ELF binaries are run.
    pub allow_scripts: bool,
}

impl PluginConfig {
    pub(crate) fn merge(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        section.path("plugin_directory", &mut self.directory)?;
        section.path("plugin_tmpdir", &mut self.tmpdir)?;
        section.flag("plugin_inherit_env", &mut self.inherit_env)?;
        section.flag("plugin_allow_scripts", &mut self.allow_scripts)
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn folders_are_absolute() {
        let rest = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n";
        let error = Config::parse(&format!("{rest}plugin_directory = \"plugins\""), "t.hcl");
        assert!(error.unwrap_err().to_string().contains("t.hcl:3:1: plugin_directory: must be"));
    }
}
