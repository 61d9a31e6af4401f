//! Running as a plug-in process: [`serve`] is all that an engine's `main` needs.
//!
//! - `process`: from the check of the magic cookie to the exit of the process
//! - `host_link`: version, certificates and mode, as the host requests them
//! - `unwrap`: fetching the certificate, for hosts that keep it on their server
//! - `metadata_mode`: for hosts that only query what kind of engine this is
//! - `services`: health, shutdown and standard streams, as go-plugin requires them
//! - `standard_streams`: standard output is for the protocol, standard error for the log
//! - `log`: log events in the format that hosts parse

mod host_link;
mod log;
mod metadata_mode;
mod process;
pub(crate) mod services;
mod standard_streams;
#[cfg(test)]
mod tests;
mod unwrap;

use std::process::ExitCode;
use std::sync::Arc;

use strongroom_engine::EngineFactory;

/// Serves an engine to the host that started this process, until the host ends it. Returns the exit
/// code for `main`.
///
/// ```no_run
/// # use strongroom_sdk::Blueprint;
/// # fn blueprint() -> Blueprint { Blueprint::new("x", "1.0.0") }
/// fn main() -> std::process::ExitCode {
///     strongroom_sdk::serve(blueprint())
/// }
/// ```
///
/// If started by a user instead of a host, it prints an explanation and returns exit code 1;
/// `--version` prints name and version.
///
/// Supported are hosts that use AutoMTLS (protocol version 5), and hosts that pass an unwrap token
/// (versions 3 and 4). With that token the plug-in fetches its certificate from the server. TLS to
/// that server is configured by the flags `-ca-cert`, `-ca-path`, `-client-cert`, `-client-key`,
/// `-tls-server-name` and `-tls-skip-verify` in the plug-in's arguments, or else by the environment
/// variables `VAULT_CACERT` and so on.
pub fn serve(engine: impl EngineFactory) -> ExitCode {
    process::run(Arc::new(engine), std::env::args().skip(1), |name| std::env::var(name).ok())
}
