//! What the server prints when it starts. Lines that scripts search for are in
//! [`fixed_text`](crate::output::fixed_text).

use std::path::Path;

use data_encoding::BASE64;
use strongroom_config::{Config, ListenerConfig, ListenerEndpoint};
use strongroom_server::ListenAddress;
use strongroom_server::dev::DevKeys;

use crate::output::Printer;
use crate::output::fixed_text::{
    DEV_ROOT_TOKEN, DEV_UNSEAL_KEY, DEVELOPMENT_MODE_SHOULD, SERVER_STARTED,
};
use crate::output::text::wrap_text;
use crate::version;

/// Prints a summary of the configuration.
pub(super) fn print_configuration(
    printer: &mut Printer,
    config: &Config,
    addresses: &[ListenAddress],
) {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_owned(), value));
    if !config.api_addr.is_empty() {
        add("Api Address", config.api_addr.clone());
    }
    for (index, (listener, address)) in config.listeners.iter().zip(addresses).enumerate() {
        add(&format!("Listener {}", index + 1), describe_listener(listener, address));
    }
    add("Log Level", format!("{:?}", config.log_level).to_lowercase());
    if let Some(folder) = &config.plugin.directory {
        add("Plugin Directory", folder.display().to_string());
    }
    add("Storage", config.storage.storage_type().to_owned());
    add(
        "Version",
        format!("Strongroom v{}, API {}", version::PACKAGE_VERSION, version::API_VERSION),
    );
    printer.line("==> Strongroom server configuration:\n");
    for (key, value) in rows {
        printer.line(&format!("{key:>24}: {value}"));
    }
    printer.line("");
}

/// Prints that the server is running. Programs wait for this line before they send requests.
pub(super) fn print_server_started(printer: &mut Printer) {
    printer.line(&format!("{SERVER_STARTED} What follows is the log.\n"));
}

fn describe_listener(listener: &ListenerConfig, address: &ListenAddress) -> String {
    let kind = match address {
        ListenAddress::Tcp(_) => "tcp",
        ListenAddress::Unix(_) => "unix",
    };
    let limits = format!(
        "max_request_duration: \"{}\", max_request_size: \"{}\"",
        listener.max_request_duration, listener.max_request_size,
    );
    let last = match &listener.endpoint {
        ListenerEndpoint::Tcp(_) if listener.tls.is_some() => "tls: \"enabled\"".to_owned(),
        ListenerEndpoint::Tcp(_) => "tls: \"disabled\"".to_owned(),
        ListenerEndpoint::Unix(socket) => format!("socket_mode: \"{:04o}\"", socket.mode),
    };
    format!("{kind} (addr: \"{address}\", {limits}, {last})")
}

/// What `-dev` prints for its user.
pub(super) struct DevBanner<'a> {
    /// The server's address.
    pub(super) address: &'a str,
    /// The CA certificate that clients must trust, with TLS.
    pub(super) ca_file: Option<&'a Path>,
    /// The only key share, and the root token.
    pub(super) keys: &'a DevKeys,
    /// Whether the root token was stored for other commands.
    pub(super) token_stored: bool,
    /// The names of the plug-ins that were registered.
    pub(super) plugins: &'a [String],
}

/// Prints the address, the keys and a warning not to use `-dev` in production.
pub(super) fn print_dev_banner(printer: &mut Printer, dev: &DevBanner<'_>) {
    let token = if dev.token_stored {
        "Its root token is stored for the command line, so commands work at once."
    } else {
        "Its root token is not stored for the command line: set VAULT_TOKEN to use it."
    };
    printer.line(&wrap_text(&format!(
        "This is a development server. It keeps everything in memory and forgets all of it when it \
         stops. It is initialised, with a single key share, and unsealed. {token}"
    )));
    printer.line("\nTo reach it from another shell:\n");
    printer.line(&format!("    $ export VAULT_ADDR='{}'", dev.address));
    if let Some(file) = dev.ca_file {
        printer.line(&format!("    $ export VAULT_CACERT='{}'", file.display()));
    }
    printer.line("\nTo log in again, and to unseal it after it was sealed:\n");
    let key = BASE64.encode(dev.keys.unseal_key.expose_secret());
    printer.line(&format!("{DEV_UNSEAL_KEY}{key}"));
    printer.line(&format!("{DEV_ROOT_TOKEN}{}\n", dev.keys.root_token.expose_secret()));
    if !dev.plugins.is_empty() {
        printer.line("Plug-ins that -dev-plugin-dir has registered:\n");
        for name in dev.plugins {
            printer.line(&format!("    - {name}"));
        }
        printer.line("");
    }
    printer.line(&wrap_text(&format!(
        "{DEVELOPMENT_MODE_SHOULD} never hold real secrets: anyone who sees this output can read \
         everything."
    )));
    printer.line("");
}
