//! Turns a panic in an engine's code into an error of that request alone.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::EngineError;

/// The error message for the client. The panic's own message is left out, since it may contain a
/// secret.
pub const PANIC_MESSAGE: &str = "the engine panicked";

/// Runs an engine's code and catches panics. As after a crash of the process, the engine must be
/// able to find again what the code had left half done: a panic becomes an
/// [`EngineError::Internal`] with [`PANIC_MESSAGE`].
///
/// Not an `async fn`, whose future would hold the work twice: as its argument and as what is
/// awaited.
pub fn catch_panic<T>(
    work: impl Future<Output = Result<T, EngineError>>,
) -> impl Future<Output = Result<T, EngineError>> {
    let outcome = AssertUnwindSafe(work).catch_unwind();
    outcome.map(|outcome| outcome.unwrap_or_else(|_| Err(EngineError::internal(PANIC_MESSAGE))))
}
