//! Waiting for a condition to become true.

use std::future::Future;
use std::time::Duration;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Calls `probe` repeatedly until it returns a value; fails the test after `limit`, measured in
/// real time, with a message that contains `what`.
#[expect(clippy::disallowed_methods, reason = "other processes live in the machine's time")]
pub async fn wait_until<T, F>(what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(found) => found,
        Err(_) => panic!("after {} s still not: {what}", limit.as_secs()),
    }
}

/// Lets another process run for a while, before the test interrupts it at an arbitrary point.
#[expect(clippy::disallowed_methods, reason = "other processes live in the machine's time")]
pub async fn let_others_run(time: Duration) {
    tokio::time::sleep(time).await;
}
