//! [`Core`]: sealed or unsealed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::{Counter, Histogram};
use strongroom_barrier::{SealConfig, UnsealAttempt};
use strongroom_telemetry::{MetricsExporter, names};
use strongroom_types::{Clock, RunToCompletion, Secret, SerialQueue, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{AdmissionControl, RequestPermit};
use crate::error::Error;
use crate::init::{InitResult, already_initialised_error, barrier_options, initialise_storage};
use crate::refusal_log::RefusalLog;
use crate::request::{CoreRequest, CoreResponse};
use crate::request_ids::RequestIds;
use crate::settings::{CoreDependencies, Settings};
use crate::status;
use crate::unsealed::UnsealedCore;

/// The server's core. Cheap to clone.
#[derive(Clone)]
pub struct Core(Arc<CoreInner>);

struct CoreInner {
    dependencies: CoreDependencies,
    settings: Settings,
    /// None while sealed.
    unsealed: ArcSwapOption<UnsealedCore>,
    /// Key shares given so far; none before it is known whether the store is initialised.
    unseal_attempt: Mutex<Option<UnsealAttempt>>,
    /// What the store was initialised with, once it is known: it doesn't change.
    seal_config: OnceLock<SealConfig>,
    /// Initialisations of a store that isn't yet. Nothing else waits here: anybody may fill it.
    initialise_queue: SerialQueue,
    /// Held by whoever opens the barrier or closes it, to the end. To open it the right key shares
    /// are needed, so strangers hold nobody up here, and nobody is refused.
    seal_transition: Semaphore,
    /// Whether the barrier is being opened: the keys are in memory, and the server is still sealed.
    unseal_in_progress: AtomicBool,
    /// The server is about to end, and isn't unsealed any more.
    shutting_down: CancellationToken,
    /// Requests being answered while sealed, and requests for the server's status.
    sealed_requests: TaskTracker,
    /// Unsealing, sealing, and waiting for somebody to ask for the seal. They go on when whoever
    /// asked has gone.
    seal_tasks: TaskTracker,
    request_ids: RequestIds,
    refusal_log: RefusalLog,
    request_metrics: RequestMetrics,
    admission_control: Arc<AdmissionControl>,
}

/// Metrics of every request, looked up once.
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

    /// One request more, that took so many milliseconds.
    pub(crate) fn record_request(&self, well: bool, millis: f64) {
        self.duration.record(millis);
        if well { &self.succeeded } else { &self.failed }.increment(1);
    }
}

/// How long sealing waits for requests that are being answered.
const REQUEST_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a seal that failed, before it is tried again.
const SEAL_RETRY_DELAY: Duration = Duration::from_secs(1);

impl Core {
    /// A sealed core.
    pub fn new(parts: CoreDependencies, settings: Settings) -> Self {
        let refusals = RefusalLog::new(parts.clock.clone());
        let request_ids = RequestIds::new(parts.entropy.clone());
        let admission = Arc::new(AdmissionControl::new(settings.admission));
        Self(Arc::new(CoreInner {
            dependencies: parts,
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

    /// Answers a request that was admitted. Dropping the future doesn't stop the work, and the
    /// request counts among those being worked on until the work ends.
    pub async fn handle(
        &self,
        permit: RequestPermit,
        request: CoreRequest,
    ) -> Result<CoreResponse, Error> {
        let open = self.0.unsealed.load_full();
        // A seal doesn't wait for requests that ask for the status: anybody may make them.
        let of_the_open_server = open.as_ref().filter(|_| !status::is_status_path(&request.path));
        let requests = of_the_open_server.map_or(&self.0.sealed_requests, |open| &open.requests);
        let core = self.clone();
        let counted = requests.token();
        let work = async move {
            let _counted = counted;
            crate::pipeline::handle(&core, permit, request).await
        };
        // Not a task of its own while the client is there: that would cost two switches a request.
        let work = RunToCompletion::new(requests, work);
        work.await.unwrap_or_else(|_| Err(Error::internal("the request ended without an answer")))
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.dependencies.clock.now()
    }

    /// Makes the ids of requests.
    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.0.request_ids
    }

    /// What is logged of refusals.
    pub(crate) fn refusal_log(&self) -> &RefusalLog {
        &self.0.refusal_log
    }

    /// Who is let in.
    pub(crate) fn admission_control(&self) -> &Arc<AdmissionControl> {
        &self.0.admission_control
    }

    /// What renders the process's figures.
    pub(crate) fn metrics_exporter(&self) -> &MetricsExporter {
        &self.0.dependencies.exporter
    }

    /// What is measured of every request.
    pub(crate) fn request_metrics(&self) -> &RequestMetrics {
        &self.0.request_metrics
    }

    /// Who initialises, for tests that fill the queue.
    #[cfg(test)]
    pub(crate) fn initialise_queue(&self) -> &SerialQueue {
        &self.0.initialise_queue
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Everything that exists only while unsealed.
    pub(crate) fn unsealed(&self) -> Result<Arc<UnsealedCore>, Error> {
        self.0.unsealed.load_full().ok_or_else(Error::sealed)
    }

    /// Whether the keys are out of memory.
    pub fn is_sealed(&self) -> bool {
        self.0.unsealed.load().is_none()
    }

    /// Whether a sealed server is about to be unsealed.
    pub(crate) fn is_unsealing(&self) -> bool {
        self.0.unseal_in_progress.load(Ordering::Acquire)
    }

    /// What the store was initialised with; none if it wasn't.
    pub async fn seal_config(&self) -> Result<Option<SealConfig>, Error> {
        if let Some(known) = self.0.seal_config.get() {
            return Ok(Some(*known));
        }
        let found = SealConfig::load(&*self.0.dependencies.physical).await?;
        Ok(found.map(|found| *self.0.seal_config.get_or_init(|| found)))
    }

    /// Initialises the store.
    pub async fn initialise(
        &self,
        config: SealConfig,
        root_token: Option<Secret<String>>,
    ) -> Result<InitResult, Error> {
        // Answered before it takes a turn: of a store that is initialised anybody may ask this.
        if self.seal_config().await?.is_some() {
            return Err(already_initialised_error());
        }
        let core = self.clone();
        let work = async move {
            initialise_storage(&core.0.dependencies, &core.0.settings, config, root_token).await
        };
        self.0.initialise_queue.run(work).await?
    }

    /// Takes a key share; opens the barrier once there are enough.
    pub async fn unseal(&self, share: Secret<Vec<u8>>) -> Result<(), Error> {
        let core = self.clone();
        let work = self.0.seal_tasks.spawn(async move { core.unseal_now(share).await });
        work.await.unwrap_or_else(|_| Err(Error::internal("unsealing was interrupted")))
    }

    /// Forgets the key shares given so far.
    pub fn reset_unseal_attempt(&self) {
        if let Some(unsealing) = &mut *self.lock_unseal_attempt() {
            unsealing.reset();
        }
    }

    /// Progress and nonce of the attempt to unseal.
    pub(crate) fn unseal_progress(&self) -> (usize, String) {
        let unsealing = self.lock_unseal_attempt();
        let shown = |attempt: &UnsealAttempt| (attempt.progress(), attempt.nonce().to_owned());
        unsealing.as_ref().map(shown).unwrap_or_default()
    }

    /// Takes the keys out of memory: refuses new requests, waits for those being answered, ends
    /// engines and tasks. It is never refused, and goes on when whoever asked has gone.
    pub async fn seal(&self) -> Result<(), Error> {
        let core = self.clone();
        let work = self.0.seal_tasks.spawn(async move { core.seal_now().await });
        work.await.map_err(|_| Error::internal("sealing was interrupted"))
    }

    /// Seals for good: whoever is just unsealing the server is given up, and nobody unseals it any
    /// more. A store that doesn't answer holds that up no longer than a seal may wait.
    pub async fn shut_down(&self) -> Result<(), Error> {
        self.0.shutting_down.cancel();
        self.seal().await
    }

    async fn seal_now(&self) {
        // The semaphore is never closed.
        let _transition = self.0.seal_transition.acquire().await;
        let Some(open) = self.0.unsealed.swap(None) else { return };
        // However this goes on.
        let _keys = open.clear_keys_on_drop();
        self.reset_unseal_attempt();
        open.mark_seal_started();
        let clock = &self.0.dependencies.clock;
        open.awaited_by_seal.close();
        tokio::select! {
            () = open.awaited_by_seal.wait() => {}
            () = clock.sleep(REQUEST_DRAIN_TIMEOUT) => {
                tracing::warn!("requests did not end in time and are cut off by the seal");
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
        // Wrong shares are found out here, so that they hold up neither right ones nor a seal.
        let root_key = match shares.root_key(&*self.0.dependencies.physical).await? {
            Ok(root_key) => root_key,
            Err(wrong) => return Err(Error::invalid(wrong.to_string())),
        };
        // The semaphore is never closed.
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
        let open = UnsealedCore::open(barrier.clone(), &self.0.dependencies, settings, refusals);
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
                tracing::error!(%error, "the server can't be unsealed");
                Err(error)
            }
        }
    }

    /// Seals once somebody asks for it, as often as it takes.
    async fn seal_when_requested(&self, open: Arc<UnsealedCore>) {
        let ordered = open.wait_for_seal_request().await;
        drop(open);
        if !ordered {
            return;
        }
        let clock = &*self.0.dependencies.clock;
        let failed = |error: &Error| {
            tracing::error!(%error, "the seal that was asked for failed; trying again");
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

/// Does something again and again, with a pause after each failure, until it succeeds.
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

/// Says that the barrier is being opened, until dropped.
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
            // Not at once: what fails now may work later.
            assert!(futures_util::poll!(&mut sealing).is_pending());
            assert_eq!(tries.load(Ordering::Relaxed), n);
            clock.advance(SEAL_RETRY_DELAY);
        }
        assert!(futures_util::poll!(&mut sealing).is_ready());
        assert_eq!((tries.load(Ordering::Relaxed), failures.load(Ordering::Relaxed)), (4, 3));
    }
}
