//! [`Core`]: the entry point of this crate; holds the seal state and dispatches requests.

mod sealed_paths;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::{Counter, Histogram};
use strongroom_barrier::{SealConfig, UnsealAttempt};
use strongroom_telemetry::{MetricsExporter, names};
use strongroom_types::{Clock, Secret, SerialQueue, Timestamp, chain};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::sealed_paths::SealedPaths;

use tracing::Instrument;

use crate::admission::AdmissionControl;
use crate::engine_backend::EngineBackend;
use crate::error::Error;
use crate::init::{InitResult, already_initialised_error, barrier_options, initialise_storage};
use crate::refusal_log::RefusalLog;
use crate::request_ids::RequestIds;
use crate::request_span::RequestSpan;
use crate::settings::{CoreDependencies, Settings};
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::{Backends, BuiltInMount};

/// The parts of the API that the server serves itself, given to [`Core::new`] as engines are.
#[derive(Clone, Copy)]
pub struct BuiltIns {
    /// The mounts that exist in every server: `sys/`, `auth/token/` and `cubbyhole/`.
    pub mounts: &'static [BuiltInMount],
    /// Serves the paths that need no unsealed server.
    pub sealed_paths: &'static dyn SealedPaths,
}

/// The server's core, sealed or unsealed. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Core(Arc<CoreInner>);

struct CoreInner {
    dependencies: CoreDependencies,
    built_ins: BuiltIns,
    settings: Settings,
    /// The unsealed state; `None` while sealed.
    unsealed: ArcSwapOption<UnsealedCore>,
    /// The key shares given so far; `None` until the first share is submitted.
    unseal_attempt: Mutex<Option<UnsealAttempt>>,
    /// The seal configuration, cached after the first read: it never changes once the store is
    /// initialised.
    seal_config: OnceLock<SealConfig>,
    /// Serialises the initialisation of an uninitialised store. Used for nothing else, because
    /// `sys/init` needs no token and anyone can fill the queue.
    initialise_queue: SerialQueue,
    /// Held while the barrier is opened or closed. An unseal acquires it only after its key shares
    /// proved right, so a client without them cannot block others here.
    seal_transition: Semaphore,
    /// Set while the barrier is being opened: the keys are in memory, but requests still find the
    /// server sealed.
    unseal_in_progress: AtomicBool,
    /// Cancelled when the process shuts down; from then on the server cannot be unsealed.
    shutting_down: CancellationToken,
    /// Requests handled while sealed, and requests for the status paths in either state.
    sealed_requests: TaskTracker,
    /// Tasks that unseal, seal, or wait for a requested seal. They continue when the client that
    /// started them disconnects.
    seal_tasks: TaskTracker,
    request_ids: RequestIds,
    refusal_log: RefusalLog,
    request_metrics: RequestMetrics,
    admission_control: Arc<AdmissionControl>,
}

/// Handles of the per-request metrics, looked up once when the core is created.
pub(crate) struct RequestMetrics {
    duration: Histogram,
    succeeded: Counter,
    failed: Counter,
}

impl RequestMetrics {
    fn new() -> Self {
        Self {
            duration: metrics::histogram!(names::HANDLE_REQUEST),
            succeeded: metrics::counter!(names::REQUESTS, "outcome" => "ok"),
            failed: metrics::counter!(names::REQUESTS, "outcome" => "error"),
        }
    }

    /// Records one finished request: its duration in milliseconds, and whether it succeeded.
    pub(crate) fn record_request(&self, well: bool, millis: f64) {
        self.duration.record(millis);
        if well { &self.succeeded } else { &self.failed }.increment(1);
    }
}

/// How long a seal waits for the requests in [`UnsealedCore::awaited_by_seal`].
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed seal before it is retried.
const SEAL_RETRY_DELAY: Duration = Duration::from_secs(1);

impl Core {
    /// Creates a sealed core over a store that may or may not be initialised. Starts no task.
    pub fn new(parts: CoreDependencies, built_ins: BuiltIns, settings: Settings) -> Self {
        let refusals = RefusalLog::new(parts.clock.clone());
        let request_ids = RequestIds::new(parts.entropy.clone());
        let admission = Arc::new(AdmissionControl::new(settings.admission));
        Self(Arc::new(CoreInner {
            dependencies: parts,
            built_ins,
            settings,
            request_ids,
            refusal_log: refusals,
            admission_control: admission,
            unsealed: ArcSwapOption::empty(),
            unseal_attempt: Mutex::new(None),
            seal_config: OnceLock::new(),
            initialise_queue: SerialQueue::new(16),
            seal_transition: Semaphore::new(1),
            unseal_in_progress: AtomicBool::new(false),
            shutting_down: CancellationToken::new(),
            sealed_requests: TaskTracker::new(),
            seal_tasks: TaskTracker::new(),
            request_metrics: RequestMetrics::new(),
        }))
    }

    /// The tracker that counts a request to `path` while it runs. A seal does not wait for requests
    /// to the paths that are served while sealed, because they need no token.
    pub(crate) fn request_tracker(&self, path: &str) -> TaskTracker {
        let unsealed = self.0.unsealed.load();
        let unsealed = unsealed.as_ref().filter(|_| !self.sealed_paths().serves(path));
        unsealed.map_or(&self.0.sealed_requests, |core| &core.requests).clone()
    }

    /// Serves the paths that need no unsealed server.
    pub(crate) fn sealed_paths(&self) -> &'static dyn SealedPaths {
        self.0.built_ins.sealed_paths
    }

    /// The current wall-clock time, from the injected clock.
    pub fn now(&self) -> Timestamp {
        self.0.dependencies.clock.now()
    }

    /// Begins a request: gives it an id and a span. The caller enters the span while it handles the
    /// request, and passes it on in the [`CoreRequest`](crate::CoreRequest).
    pub fn begin_request(&self) -> RequestSpan {
        RequestSpan::new(self.0.request_ids.next_id())
    }

    /// The rate-limited log of refused requests.
    pub fn refusal_log(&self) -> &RefusalLog {
        &self.0.refusal_log
    }

    /// The counters and limits that decide whether a request is admitted.
    pub(crate) fn admission_control(&self) -> &Arc<AdmissionControl> {
        &self.0.admission_control
    }

    /// Renders the process's metrics for `sys/metrics`.
    pub fn metrics_exporter(&self) -> &MetricsExporter {
        &self.0.dependencies.exporter
    }

    /// The metrics that are recorded for every request.
    pub(crate) fn request_metrics(&self) -> &RequestMetrics {
        &self.0.request_metrics
    }

    /// The queue of initialisations, for tests that fill it.
    #[cfg(any(test, feature = "testing"))]
    pub fn initialise_queue(&self) -> &SerialQueue {
        &self.0.initialise_queue
    }

    /// The settings passed to [`Core::new`]; they do not change while the process runs.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The unsealed state; `Sealed` if the server is sealed or not initialised.
    pub fn unsealed(&self) -> Result<Arc<UnsealedCore>, Error> {
        self.0.unsealed.load_full().ok_or_else(Error::sealed)
    }

    /// Whether the server is sealed. Also true before initialisation and while an unseal is in
    /// progress.
    pub fn is_sealed(&self) -> bool {
        self.0.unsealed.load().is_none()
    }

    /// Whether an unseal is in progress: enough key shares were given and the barrier is being
    /// opened.
    pub(crate) fn is_unsealing(&self) -> bool {
        self.0.unseal_in_progress.load(Ordering::Acquire)
    }

    /// The number of key shares and the threshold, as stored at initialisation; `None` if the store
    /// is not initialised.
    pub async fn seal_config(&self) -> Result<Option<SealConfig>, Error> {
        if let Some(known) = self.0.seal_config.get() {
            return Ok(Some(*known));
        }
        let found = SealConfig::load(&*self.0.dependencies.physical).await?;
        Ok(found.map(|found| *self.0.seal_config.get_or_init(|| found)))
    }

    /// Initialises the store: generates the keys, the key shares and the root token. `root_token`
    /// is a chosen token id for `-dev`; `None` generates one.
    ///
    /// # Errors
    ///
    /// `Invalid` if the store is already initialised; `Unavailable` if too many initialisations are
    /// waiting.
    pub async fn initialise(
        &self,
        config: SealConfig,
        root_token: Option<Secret<String>>,
    ) -> Result<InitResult, Error> {
        // Checked before queueing, so that requests to an initialised server never fill the queue.
        if self.seal_config().await?.is_some() {
            return Err(already_initialised_error());
        }
        let core = self.clone();
        let work = async move {
            initialise_storage(&core.0.dependencies, &core.0.settings, config, root_token).await
        };
        self.0.initialise_queue.run(work).await?
    }

    /// Adds a key share to the unseal attempt, and unseals the server once the threshold is
    /// reached. Does nothing if the server is already unsealed. Continues when the caller's future
    /// is dropped.
    ///
    /// # Errors
    ///
    /// `Invalid` if the store is not initialised or the shares do not combine to the root key;
    /// `Sealed` if the process is shutting down.
    pub async fn unseal(&self, share: Secret<Vec<u8>>) -> Result<(), Error> {
        let core = self.clone();
        let work =
            self.0.seal_tasks.spawn(async move { core.unseal_now(share).await }.in_current_span());
        work.await.unwrap_or_else(|error| {
            Err(Error::internal("unsealing was interrupted").caused_by(error))
        })
    }

    /// Discards the key shares given so far, as `reset` of `sys/unseal` does.
    pub fn reset_unseal_attempt(&self) {
        if let Some(unsealing) = &mut *self.lock_unseal_attempt() {
            unsealing.reset();
        }
    }

    /// The number of key shares given so far and the nonce of the unseal attempt; zero and empty if
    /// there is none.
    pub fn unseal_progress(&self) -> (usize, String) {
        let unsealing = self.lock_unseal_attempt();
        let shown = |attempt: &UnsealAttempt| (attempt.progress(), attempt.nonce().to_owned());
        unsealing.as_ref().map(shown).unwrap_or_default()
    }

    /// Seals the server: refuses new requests, waits up to 10 seconds for running ones with a valid
    /// token, closes the engines and tasks, and removes the keys from memory. Does nothing if it is
    /// already sealed.
    /// Continues when the caller's future is dropped.
    pub async fn seal(&self) -> Result<(), Error> {
        let core = self.clone();
        let work = self.0.seal_tasks.spawn(async move { core.seal_now().await }.in_current_span());
        work.await.map_err(|error| Error::internal("sealing was interrupted").caused_by(error))
    }

    /// Seals the server for the end of the process: cancels an unseal in progress and prevents
    /// later ones. An unseal that waits for an unresponsive store is abandoned, so it does not
    /// delay this.
    pub async fn shut_down(&self) -> Result<(), Error> {
        self.0.shutting_down.cancel();
        self.seal().await
    }

    async fn seal_now(&self) {
        // The semaphore is never closed, so this cannot fail.
        let _transition = self.0.seal_transition.acquire().await;
        let Some(open) = self.0.unsealed.swap(None) else { return };
        // Clears the keys even if what follows panics or is cancelled.
        let _keys = open.clear_keys_on_drop();
        self.reset_unseal_attempt();
        open.seal_request.mark_started();
        let clock = &self.0.dependencies.clock;
        tokio::select! {
            () = open.detached.wait_until_done() => {}
            () = clock.sleep(REQUEST_DRAIN_TIMEOUT) => {
                tracing::warn!("requests did not finish in time; the seal goes on without them");
            }
        }
        open.close().await;
        tracing::info!("the server is sealed");
    }

    async fn unseal_now(&self, share: Secret<Vec<u8>>) -> Result<(), Error> {
        if !self.is_sealed() {
            return Ok(());
        }
        let Some(config) = self.seal_config().await? else {
            return Err(Error::invalid("Vault is not initialized"));
        };
        let shares = {
            let mut unsealing = self.lock_unseal_attempt();
            let attempt = unsealing.get_or_insert_with(|| UnsealAttempt::new(config));
            attempt.add_share(share, &*self.0.dependencies.entropy)
        };
        let Some(shares) = shares else { return Ok(()) };
        // Wrong shares are detected before the semaphore is acquired, so they block neither a valid
        // unseal nor a seal.
        let root_key = match shares.root_key(&*self.0.dependencies.physical).await? {
            Ok(root_key) => root_key,
            Err(wrong) => return Err(Error::invalid(wrong.to_string())),
        };
        // The semaphore is never closed, so this cannot fail.
        let _transition = self.0.seal_transition.acquire().await;
        if !self.is_sealed() {
            return Ok(());
        }
        let _opening = UnsealInProgress::start(&self.0.unseal_in_progress);
        self.reset_unseal_attempt();
        let (ending, settings) = (&self.0.shutting_down, &self.0.settings);
        let barrier = root_key.open_barrier(barrier_options(&self.0.dependencies, settings));
        let barrier = ending.run_until_cancelled(barrier).await.ok_or_else(Error::sealed)??;
        let refusals = self.0.refusal_log.clone();
        let backends = Backends::new(self.0.built_ins.mounts, &EngineBackend);
        let open =
            UnsealedCore::open(barrier.clone(), &self.0.dependencies, backends, settings, refusals);
        let open = ending.run_until_cancelled(open).await;
        match open.unwrap_or_else(|| Err(Error::sealed())) {
            Ok(open) => {
                self.0.unsealed.store(Some(open.clone()));
                let core = self.clone();
                self.0.seal_tasks.spawn(async move { core.seal_when_requested(open).await });
                tracing::info!("the server is unsealed");
                Ok(())
            }
            Err(error) => {
                barrier.close();
                tracing::error!(error = %chain(&error), "the server can't be unsealed");
                Err(error)
            }
        }
    }

    /// Waits until a seal is requested, then seals; retries until it succeeds.
    async fn seal_when_requested(&self, open: Arc<UnsealedCore>) {
        let ordered = open.seal_request.wait_for_request().await;
        drop(open);
        if !ordered {
            return;
        }
        let clock = &*self.0.dependencies.clock;
        let failed = |error: &Error| {
            tracing::error!(error = %chain(error), "a requested seal failed; it will be retried");
        };
        let seal = || {
            let core = self.clone();
            async move { core.seal().await }
        };
        retry_until_success(clock, SEAL_RETRY_DELAY, seal, failed).await;
    }

    fn lock_unseal_attempt(&self) -> std::sync::MutexGuard<'_, Option<UnsealAttempt>> {
        self.0.unseal_attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats `work` until it succeeds, with a pause after each failure.
async fn retry_until_success<E, F: Future<Output = Result<(), E>>>(
    clock: &dyn Clock,
    pause: Duration,
    work: impl Fn() -> F,
    failed: impl Fn(&E),
) {
    while let Err(error) = work().await {
        failed(&error);
        clock.sleep(pause).await;
    }
}

/// Sets the flag that an unseal is in progress; clears it on drop.
struct UnsealInProgress<'a>(&'a AtomicBool);

impl<'a> UnsealInProgress<'a> {
    fn start(opening: &'a AtomicBool) -> Self {
        opening.store(true, Ordering::Release);
        Self(opening)
    }
}

impl Drop for UnsealInProgress<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_sealed() { "Core(sealed)" } else { "Core(unsealed)" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use strongroom_types::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn sr_2026_02_a_seal_that_fails_is_tried_again_until_it_succeeds() {
        let (clock, tries, failures) =
            (ManualClock::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let seal = async || match tries.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err("not yet"),
            _ => Ok(()),
        };
        let failed = |error: &&str| {
            assert_eq!(*error, "not yet");
            failures.fetch_add(1, Ordering::Relaxed);
        };
        let mut sealing = Box::pin(retry_until_success(&clock, SEAL_RETRY_DELAY, seal, failed));
        for n in 1..=3 {
            assert!(futures_util::poll!(&mut sealing).is_pending());
            assert_eq!((tries.load(Ordering::Relaxed), failures.load(Ordering::Relaxed)), (n, n));
            // The retry comes after the pause, not immediately.
            assert!(futures_util::poll!(&mut sealing).is_pending());
            assert_eq!(tries.load(Ordering::Relaxed), n);
            clock.advance(SEAL_RETRY_DELAY);
        }
        assert!(futures_util::poll!(&mut sealing).is_ready());
        assert_eq!((tries.load(Ordering::Relaxed), failures.load(Ordering::Relaxed)), (4, 3));
    }
}
