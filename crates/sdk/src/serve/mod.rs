//! Running as a plug-in process: [`serve`] is all that an engine's `main` needs.
//!
//! - `process`: the life of the process, from the cookie to the exit
//! - `link`: version, certificates and mode, as the host wants them
//! - `unwrap`: the certificate of hosts that keep it at a server of theirs
//! - `metadata_mode`: a host that asks what an engine is, and nothing else
//! - `services`: health, shutdown and standard streams, as go-plugin wants them
//! - `streams`: the standard output belongs to the protocol, the standard error to the log
//! - `log`: events as the lines hosts read

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

use crate::engine::EngineFactory;

/// Serves an engine to the host that started this process, until the host ends it.
///
/// ```no_run
/// # use strongroom_sdk::Blueprint;
/// # fn blueprint() -> Blueprint { Blueprint::new("x", "1.0.0") }
/// fn main() -> std::process::ExitCode {
///     strongroom_sdk::serve(blueprint())
/// }
/// ```
///
/// Started by hand it explains itself and ends with status 1; `--version` prints name and version.
///
/// It speaks with hosts that use AutoMTLS (protocol version 5), and with those that give an unwrap
/// token instead (versions 3 and 4). For that token the plug-in calls the server, with TLS as the
/// flags `-ca-cert`, `-ca-path`, `-client-cert`, `-client-key`, `-tls-server-name` and
/// `-tls-skip-verify` in its arguments say, or else the variables `VAULT_CACERT` and their kin.
pub fn serve(engine: impl EngineFactory) -> ExitCode {
    process::run(Arc::new(engine), std::env::args().skip(1), |name| std::env::var(name).ok())
}
