//! Time limits of calls to an outside system.

use std::time::Duration;

use strongroom_types::{Timestamp, clock};

use crate::{Context, Error};

/// Runs a call to an outside system until `until`, by which it has had `timeout`. Then it is dropped,
/// and the error says that it may have taken effect.
pub(crate) async fn with_deadline<T>(
    context: &Context,
    until: Timestamp,
    timeout: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = clock::wait_for_deadline(&**context.clock(), until) => {
            let reason = format!("timed out: {} s are allowed for", timeout.as_secs_f64());
            Err(Error::unanswered(context.outside_system(), what, reason))
        }
        outcome = call => outcome,
    }
}
