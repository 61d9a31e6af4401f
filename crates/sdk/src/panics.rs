//! A panic in an engine's code is an error of that request alone.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::engine::EngineError;

/// What the client hears. What the engine panicked with isn't told: it may be a secret.
pub(crate) const PANIC_MESSAGE: &str = "the engine panicked";

/// Runs an engine's code. What it was at when it panicked must be findable again, as it must be
/// when the process dies there.
///
/// No `async fn`: that would hold the work twice, as its argument and as what is awaited.
pub(crate) fn catch_panic<T>(
    work: impl Future<Output = Result<T, EngineError>>,
) -> impl Future<Output = Result<T, EngineError>> {
    let outcome = AssertUnwindSafe(work).catch_unwind();
    outcome.map(|outcome| outcome.unwrap_or_else(|_| Err(EngineError::internal(PANIC_MESSAGE))))
}
