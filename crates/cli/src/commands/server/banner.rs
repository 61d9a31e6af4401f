//! What is printed at the start. Scripts look for these lines, which are Vault's.

use std::path::Path;

use data_encoding::BASE64;
use strongroom_config::{Config, Endpoint, ListenerConfig};
use strongroom_server::Address;
use strongroom_server::dev::DevKeys;

use crate::output::Printer;
use crate::output::text::wrap;
use crate::version;

/// The configuration in short.
pub(super) fn configuration(printer: &mut Printer, config: &Config, addresses: &[Address]) {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| rows.push((key.to_owned(), value));
    if !config.api_addr.is_empty() {
        add("Api Address", config.api_addr.clone());
    }
    for (index, (listener, address)) in config.listeners.iter().zip(addresses).enumerate() {
        add(&format!("Listener {}", index + 1), described(listener, address));
    }
    add("Log Level", format!("{:?}", config.log_level).to_lowercase());
    if let Some(folder) = &config.plugin.directory {
        add("Plugin Directory", folder.display().to_string());
    }
    add("Storage", config.storage.name().to_owned());
    add("Version", format!("Strongroom v{}, API {}", version::PACKAGE, version::API));
    printer.line("==> Vault server configuration:\n");
    for (key, value) in rows {
        printer.line(&format!("{key:>24}: {value}"));
    }
    printer.line("");
}

/// That the server runs. Whoever waits for this line then sends requests.
pub(super) fn started(printer: &mut Printer) {
    printer.line("==> Vault server started! Log data will stream in below:\n");
}

fn described(listener: &ListenerConfig, address: &Address) -> String {
    let kind = match address {
        Address::Tcp(_) => "tcp",
        Address::Unix(_) => "unix",
    };
    let limits = format!(
        "max_request_duration: \"{}\", max_request_size: \"{}\"",
        listener.max_request_duration, listener.max_request_size,
    );
    let last = match &listener.endpoint {
        Endpoint::Tcp(_) if listener.tls.is_some() => "tls: \"enabled\"".to_owned(),
        Endpoint::Tcp(_) => "tls: \"disabled\"".to_owned(),
        Endpoint::Unix(socket) => format!("socket_mode: \"{:04o}\"", socket.mode),
    };
    format!("{kind} (addr: \"{address}\", {limits}, {last})")
}

/// What a developer needs.
pub(super) struct Dev<'a> {
    /// Where the server is.
    pub(super) address: &'a str,
    /// What to trust, if it speaks TLS.
    pub(super) ca_file: Option<&'a Path>,
    /// Its one key share, and the root token.
    pub(super) keys: &'a DevKeys,
    /// Whether the root token is kept for other commands.
    pub(super) stored: bool,
    /// Plug-ins that were registered.
    pub(super) plugins: &'a [String],
}

/// Says what a developer needs.
pub(super) fn dev(printer: &mut Printer, dev: &Dev<'_>) {
    let authenticated = if dev.stored {
        "The root token is already authenticated to the CLI, so you can immediately begin using \
         Strongroom."
    } else {
        "The root token is not kept for the CLI."
    };
    printer.line(&wrap(&format!(
        "WARNING! dev mode is enabled! In this mode, Strongroom runs entirely in-memory and starts \
         unsealed with a single unseal key. {authenticated}"
    )));
    printer.line("\nYou may need to set the following environment variables:\n");
    printer.line(&format!("    $ export VAULT_ADDR='{}'", dev.address));
    if let Some(file) = dev.ca_file {
        printer.line(&format!("    $ export VAULT_CACERT='{}'", file.display()));
    }
    printer.line("");
    printer.line(&wrap(
        "The unseal key and root token are displayed below in case you want to seal/unseal the Vault \
         or re-authenticate.",
    ));
    let key = BASE64.encode(dev.keys.unseal_key.expose_secret());
    printer.line(&format!("\nUnseal Key: {key}"));
    printer.line(&format!("Root Token: {}\n", dev.keys.root_token.expose_secret()));
    if !dev.plugins.is_empty() {
        printer.line("The following dev plugins are registered in the catalog:");
        for name in dev.plugins {
            printer.line(&format!("    - {name}"));
        }
        printer.line("");
    }
    printer.line(&wrap("Development mode should NOT be used in production installations!"));
    printer.line("");
}
