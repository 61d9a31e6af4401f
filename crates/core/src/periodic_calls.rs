//! [`PeriodicCalls`]: the engines' periodic calls.

use std::sync::Arc;
use std::time::Duration;
use strongroom_types::chain;

use futures_util::StreamExt;
use strongroom_engine::EngineError;
use strongroom_mounts::MountRegistry;
use strongroom_telemetry::{gauge_value, names};
use strongroom_token::TokenStore;
use strongroom_types::{Clock, MountKind};

/// Makes the engines' periodic calls.
pub(crate) struct PeriodicCalls {
    pub(crate) mounts: MountRegistry,
    /// Counted for the metrics.
    pub(crate) tokens: TokenStore,
    pub(crate) clock: Arc<dyn Clock>,
    /// The time between two rounds of calls.
    pub(crate) interval: Duration,
}

const PERIODIC_CONCURRENCY: usize = 16;
/// The timeout of one engine's periodic call.
const PERIODIC_TIMEOUT: Duration = Duration::from_secs(60);

impl PeriodicCalls {
    /// Makes the engines' periodic calls, requests another start of engines that are not running,
    /// and updates gauges.
    pub(crate) async fn run(&self) {
        loop {
            self.clock.sleep(self.interval).await;
            let table = self.mounts.table();
            let all: Vec<_> = table.all_mounts().cloned().collect();
            let calls = futures_util::stream::iter(all).map(|mounted| async move {
                // Acquired like a request, so that a reload waits for the call; skipped if no
                // engine is running.
                let engine =
                    mounted.engine_handle().filter(|engine| engine.current_instance().is_some())?;
                let in_flight = engine.acquire_for_revocation().await.ok()?;
                // Without a timeout, an engine that hangs would delay the next calls of the others
                // and block the removal of its own mount.
                let error = tokio::select! {
                    outcome = in_flight.engine.periodic() => outcome.err()?,
                    () = self.clock.sleep(PERIODIC_TIMEOUT) => {
                        EngineError::internal("it did not end in time")
                    }
                };
                let mount = &mounted.info.path;
                tracing::warn!(mount, error = %chain(&error), "an engine's periodic work failed");
                Some(())
            });
            // Run concurrently, so that a slow engine does not delay the others.
            calls.buffer_unordered(PERIODIC_CONCURRENCY).for_each(|_| async {}).await;
            self.mounts.request_engine_starts();
            metrics::gauge!(names::TOKEN_REVOKING).set(gauge_value(self.tokens.marked_count()));
            let mounts = |kind| gauge_value(table.mounts_of_kind(kind).len());
            metrics::gauge!(names::MOUNTS, "type" => "logical").set(mounts(MountKind::Secret));
            metrics::gauge!(names::MOUNTS, "type" => "auth").set(mounts(MountKind::Auth));
        }
    }
}
