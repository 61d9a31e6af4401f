//! Running as a plug-in process: [`serve`] is all that an engine's `main` needs.
//!
//! - `process`: the life of the process, from the cookie to the exit
//! - `services`: health, shutdown and standard streams, as go-plugin wants them
//! - `streams`: the standard output belongs to the protocol, the standard error to the log
//! - `log`: events as the lines hosts read

mod log;
mod process;
pub(crate) mod services;
mod streams;

use std::process::ExitCode;
use std::sync::Arc;

use crate::engine::Factory;

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
/// The flags that operators leave in a plug-in's arguments (`-ca-cert` and its kin) are accepted and
/// mean nothing.
pub fn serve(engine: impl Factory) -> ExitCode {
    process::run(Arc::new(engine), std::env::args().skip(1), |name| std::env::var(name).ok())
}
