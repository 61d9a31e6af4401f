//! Builds the configuration from flags, environment and files. Flags take precedence over the
//! environment, which takes precedence over the files.

use std::path::PathBuf;

use strongroom_config::{Config, ListenerConfig, ListenerEndpoint, StorageConfig};

use super::ServerCommand;
use crate::environment::Environment;

/// The complete configuration of the server.
pub(super) fn read_config(
    flags: &ServerCommand,
    environment: &Environment,
) -> Result<Config, String> {
    let mut config = if flags.dev {
        Config::read_over_base(dev_config(flags, environment)?, &flags.config)
    } else if flags.config.is_empty() {
        return Err(
            "a server needs a configuration: name its file or folder with -config, or use -dev"
                .to_owned(),
        );
    } else {
        Config::read(&flags.config)
    }
    .map_err(|error| error.to_string())?;
    let given = |flag: &Option<String>, name| flag.clone().or_else(|| environment.setting(name));
    if let Some(level) = given(&flags.log_level, "LOG_LEVEL") {
        config.log_level = level.parse().map_err(|_| unknown_value("log level", &level))?;
    }
    if let Some(format) = given(&flags.log_format, "LOG_FORMAT") {
        config.log_format = format.parse().map_err(|_| unknown_value("log format", &format))?;
    }
    if let Some(file) = &flags.log_file {
        let file = std::path::absolute(file).map_err(|error| error.to_string())?;
        config.log_file = Some(file);
    }
    apply_environment(environment, &mut config)?;
    // Check again, since flags and environment may have changed file paths.
    config.check_files().map_err(|error| error.to_string())?;
    Ok(config)
}

fn unknown_value(what: &str, value: &str) -> String {
    format!("unknown {what}: {value}")
}

/// The root token that the user chose for `-dev`.
pub(super) fn dev_root_token(flags: &ServerCommand, environment: &Environment) -> Option<String> {
    let flag = flags.dev_root_token_id.clone().filter(|token| !token.is_empty());
    flag.or_else(|| environment.setting("DEV_ROOT_TOKEN_ID"))
}

/// The configuration of `-dev`: storage in memory, on this machine only, without TLS.
fn dev_config(flags: &ServerCommand, environment: &Environment) -> Result<Config, String> {
    let mut listener = ListenerConfig::default();
    let address = flags.dev_listen_address.clone();
    if let Some(address) = address.or_else(|| environment.setting("DEV_LISTEN_ADDRESS")) {
        listener.endpoint = ListenerEndpoint::Tcp(address);
    }
    let mut config = Config { listeners: vec![listener], ..Config::default() };
    if let Some(folder) = &flags.dev_plugin_dir {
        let folder = std::path::absolute(folder)
            .map_err(|error| format!("the plug-in folder can't be used: {error}"))?;
        config.plugin.directory = Some(folder);
        // For a developer's own builds: many systems make new files writable by the owner's private
        // group. A server with persistent data refuses such a folder.
        config.plugin.group_may_write = true;
    }
    Ok(config)
}

/// Applies environment variables that override settings of the files.
fn apply_environment(environment: &Environment, config: &mut Config) -> Result<(), String> {
    let address = environment.setting("API_ADDR").or_else(|| environment.setting("REDIRECT_ADDR"));
    if let Some(address) = address {
        if strongroom_config::has_template(&address) {
            return Err(
                "VAULT_API_ADDR contains a go-sockaddr template, which this server doesn't \
                        evaluate: write the address itself"
                    .to_owned(),
            );
        }
        config.api_addr = address;
    }
    if let StorageConfig::Embedded { path, configured_type: named, .. } = &mut config.storage
        && named == "raft"
        && let Some(folder) = environment.setting("RAFT_PATH")
    {
        *path = PathBuf::from(folder);
    }
    match environment.setting("SEAL_TYPE").as_deref() {
        None | Some("shamir") => Ok(()),
        Some(other) => Err(format!(
            "the seal {other:?} is set in the environment and not supported: unset VAULT_SEAL_TYPE"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::{CliCommand, CommandLine};

    fn parse_flags(arguments: &[&str]) -> ServerCommand {
        let line = ["strongroom", "server"].iter().chain(arguments);
        let parsed = CommandLine::try_parse_from(line).unwrap();
        let CliCommand::Server(server) = parsed.command else { panic!("no server") };
        *server
    }

    fn config_from(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        read_config(&parse_flags(arguments), &Environment::from_pairs(variables))
    }

    fn listen_address(config: &Config) -> String {
        config.listeners[0].endpoint.to_string()
    }

    #[test]
    fn dev_is_in_memory_on_this_machine() {
        let dev = config_from(&["--dev"], &[]).unwrap();
        assert_eq!(dev.storage, StorageConfig::Inmem);
        assert_eq!(listen_address(&dev), "127.0.0.1:8200");
        assert!(dev.listeners[0].tls.is_none());
        let variables = [("VAULT_DEV_LISTEN_ADDRESS", "127.0.0.1:1")];
        assert_eq!(listen_address(&config_from(&["--dev"], &variables).unwrap()), "127.0.0.1:1");
        let with_flag =
            config_from(&["--dev", "--dev-listen-address=127.0.0.1:2"], &variables).unwrap();
        assert_eq!(listen_address(&with_flag), "127.0.0.1:2");
    }

    #[test]
    fn dev_takes_files_on_top() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.hcl");
        std::fs::write(&file, "plugin_directory = \"/plugins\"\nlog_level = \"warn\"").unwrap();
        let path = format!("--config={}", file.display());
        let dev = config_from(&["--dev", &path], &[]).unwrap();
        assert_eq!(dev.plugin.directory, Some(PathBuf::from("/plugins")));
        assert!(config_from(&[&path], &[]).unwrap_err().contains("storage"));
    }

    #[test]
    fn cve_2025_6000_flags_and_the_environment_move_nothing_into_the_plugin_folder() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let directory = format!("--dev-plugin-dir={}", plugins.display());
        for place in ["plugins/server.log", "plugins", "plugins/../plugins/server.log"] {
            let log = format!("--log-file={}", folder.path().join(place).display());
            let error = config_from(&["--dev", &directory, &log], &[]).unwrap_err();
            assert!(error.contains("log_file must not lie in the plugin_directory"), "{error}");
        }
        let log = format!("--log-file={}", folder.path().join("server.log").display());
        config_from(&["--dev", &directory, &log], &[]).unwrap();
        let file = folder.path().join("server.hcl");
        let text = format!(
            "storage \"raft\" {{ path = \"{0}/data\" }}\nplugin_directory = \"{0}/plugins\"\n\
             listener \"tcp\" {{ tls_disable = true }}",
            folder.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let file = format!("--config={}", file.display());
        config_from(&[&file], &[]).unwrap();
        let inside = plugins.join("data").display().to_string();
        let error = config_from(&[&file], &[("VAULT_RAFT_PATH", &inside)]).unwrap_err();
        assert!(error.contains("the storage path must not lie in"), "{error}");
    }

    #[test]
    fn only_a_dev_plugin_folder_may_be_open_to_the_group() {
        let dev = config_from(&["--dev", "--dev-plugin-dir=/plugins"], &[]).unwrap();
        assert!(dev.plugin.group_may_write);
        assert!(!config_from(&["--dev"], &[]).unwrap().plugin.group_may_write);
    }

    #[test]
    fn config_file_is_required() {
        assert!(config_from(&[], &[]).unwrap_err().contains("-config"));
    }

    #[test]
    fn flags_come_before_the_environment() {
        use strongroom_telemetry::log::ServerLogLevel;
        let variables = [("VAULT_LOG_LEVEL", "debug"), ("VAULT_API_ADDR", "http://a")];
        let config_of = |flags: &[&str]| config_from(flags, &variables).unwrap();
        assert_eq!(config_of(&["--dev"]).log_level, ServerLogLevel::Debug);
        assert_eq!(config_of(&["--dev", "--log-level=error"]).log_level, ServerLogLevel::Error);
        assert_eq!(config_of(&["--dev"]).api_addr, "http://a");
        assert!(config_from(&["--dev", "--log-level=loud"], &[]).is_err());
        let flags = parse_flags(&["--dev", "--dev-root-token-id=flag"]);
        let environment = Environment::from_pairs(&[("VAULT_DEV_ROOT_TOKEN_ID", "env")]);
        assert_eq!(dev_root_token(&flags, &environment).as_deref(), Some("flag"));
    }

    #[test]
    fn a_seal_that_is_not_built_is_refused() {
        assert!(config_from(&["--dev"], &[("VAULT_SEAL_TYPE", "awskms")]).is_err());
        assert!(config_from(&["--dev"], &[("VAULT_SEAL_TYPE", "shamir")]).is_ok());
    }

    #[test]
    fn only_raft_reads_its_path_from_env() {
        let folder = tempfile::tempdir().unwrap();
        for (named, expected) in [("raft", "/moved"), ("embedded", "/data")] {
            let file = folder.path().join("c.hcl");
            let text = format!(
                "storage \"{named}\" {{ path = \"/data\" }}\nlistener \"tcp\" {{ tls_disable = true }}"
            );
            std::fs::write(&file, text).unwrap();
            let path = format!("--config={}", file.display());
            let config = config_from(&[&path], &[("VAULT_RAFT_PATH", "/moved")]).unwrap();
            let StorageConfig::Embedded { path, .. } = config.storage else { panic!("{named}") };
            assert_eq!(path, PathBuf::from(expected));
        }
    }
}
