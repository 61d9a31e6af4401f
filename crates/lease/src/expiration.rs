//! [`ExpirationManager`]: the background task that revokes leases when they expire.
//!
//! It reads the due index from its start, revokes what is due, and sleeps until the next entry is
//! due or it is woken, at most a minute. Only the revocations in progress are kept in memory, and
//! their number is bounded. A failed revocation is retried with exponential backoff. A lease that
//! can't be revoked is kept, marked irrevocable and listed, never dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_barrier::Batch;
use strongroom_types::clock::wait_for_deadline;
use strongroom_types::{Clock, LeaseId, Timestamp, chain};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::lease::{Lease, LeaseState};
use crate::mount_limits::{MountLimits, RevocationPermit};
use crate::store::{Error, LeaseStore, StoredLease, UNREADABLE};

/// Revokes the credential or token behind a lease. Implemented by the core, which calls the engine
/// or revokes the token.
#[async_trait]
pub trait Revoker: Send + Sync + 'static {
    /// Revokes the credential or token. Must be idempotent: it may be called again after it
    /// succeeded or failed.
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError>;
}

/// Why a credential or token could not be revoked. The [`Revoker`] returns it, and its choice
/// decides whether the lease is retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// A later attempt may succeed; the lease is retried with backoff.
    #[error("{0}")]
    Transient(String),
    /// No attempt will ever succeed; the lease becomes irrevocable at once.
    #[error("{0}")]
    Permanent(String),
}

/// Limits and delays of the [`ExpirationManager`].
#[derive(Clone, Copy, Debug)]
pub struct ExpirationOptions {
    /// Maximum number of concurrent revocations of due credentials, and likewise of due tokens.
    /// Explicit revocations are not counted.
    pub concurrency: usize,
    /// Maximum number of them for a single mount.
    pub per_mount: usize,
    /// Time limit of one revocation attempt.
    pub attempt_timeout: Duration,
    /// Failed attempts after which a lease becomes irrevocable.
    pub max_attempts: u32,
    /// Delay after the first failed attempt; each further failure doubles it.
    pub initial_backoff: Duration,
}

impl Default for ExpirationOptions {
    /// Six attempts with delays starting at 10 s, as in Vault.
    fn default() -> Self {
        Self {
            concurrency: 64,
            per_mount: 16,
            attempt_timeout: Duration::from_secs(60),
            max_attempts: 6,
            initial_backoff: Duration::from_secs(10),
        }
    }
}

/// Revokes leases when they expire. Cheap to clone; [`ExpirationManager::run`] is its background
/// task.
#[derive(Clone)]
pub struct ExpirationManager(pub(crate) Arc<ExpirationManagerInner>);

pub(crate) struct ExpirationManagerInner {
    pub(crate) store: LeaseStore,
    revoker: Arc<dyn Revoker>,
    pub(crate) clock: Arc<dyn Clock>,
    options: ExpirationOptions,
    pub(crate) mount_limits: MountLimits,
    in_flight: Mutex<HashMap<LeaseId, watch::Receiver<Option<AttemptOutcome>>>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) wake: Notify,
    /// When the task will read the index again unless woken, in nanoseconds since the epoch.
    sleeps_until: AtomicI64,
}

/// The result of one attempt.
type RevokeResult = Result<(), RevokeError>;

/// How an attempt task ended.
#[derive(Clone, Debug)]
enum AttemptOutcome {
    Attempted(RevokeResult),
    /// The lease wasn't due any more, so no attempt was made.
    NotDue,
}

/// What to do after an attempt.
enum FollowUp {
    /// The lease is deleted or irrevocable; nothing to do.
    Nothing,
    /// The lease is due at this time.
    Due(Timestamp),
    /// The result of the attempt could not be stored.
    NotRecorded,
}

/// Delay after a failure of the store.
pub(crate) const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum sleep, however far away the next entry is, in case `notify_due` was not called for an
/// earlier one.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// Retries when concurrent changes of the same lease interfere.
const MAX_COMMIT_ATTEMPTS: usize = 8;

impl ExpirationManager {
    /// Creates the manager; nothing expires until [`ExpirationManager::run`] is called. This reads
    /// nothing from the store.
    pub fn new(
        store: LeaseStore,
        revoker: Arc<dyn Revoker>,
        clock: Arc<dyn Clock>,
        options: ExpirationOptions,
    ) -> Self {
        Self(Arc::new(ExpirationManagerInner {
            store,
            revoker,
            clock,
            options,
            mount_limits: MountLimits::new(options.concurrency, options.per_mount),
            in_flight: Mutex::default(),
            tasks: TaskTracker::new(),
            wake: Notify::new(),
            sleeps_until: AtomicI64::new(i64::MAX),
        }))
    }

    /// Revokes leases as they become due until `stop` is cancelled, then waits for the revocations
    /// in progress.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the expiration of leases. Revocations in progress continue in
    /// tasks of their own.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // During the scan every new entry wakes the task, because the scan may already be past
            // its position.
            self.0.sleeps_until.store(i64::MAX, Ordering::SeqCst);
            let next = tokio::select! {
                next = self.scan_due(&stop) => next,
                () = stop.cancelled() => break,
            };
            let next = next.unwrap_or_else(|error| {
                tracing::warn!(error = %chain(&error), "the lease table can't be read; trying again");
                self.0.clock.now().plus(STORE_RETRY_DELAY)
            });
            let next = next.min(self.0.clock.now().plus(MAX_SLEEP));
            self.0.sleeps_until.store(next.as_nanos(), Ordering::SeqCst);
            tokio::select! {
                () = wait_for_deadline(&*self.0.clock, next) => {}
                () = self.0.wake.notified() => {}
                () = stop.cancelled() => break,
            }
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Wakes the task if a lease is due at `due` earlier than it would read the index. Call it
    /// after each commit that adds a lease or changes its due time.
    pub fn notify_due(&self, due: Timestamp) {
        if due.as_nanos() < self.0.sleeps_until.load(Ordering::SeqCst) {
            self.0.wake.notify_one();
        }
    }

    /// Revokes one lease: durably marks it for revocation, then makes one attempt. The inner result
    /// is that of the attempt; a failed one is retried in the background unless it made the lease
    /// irrevocable. A lease that doesn't exist gives `Ok`.
    ///
    /// # Errors
    ///
    /// If the lease can't be read, or the mark can't be stored.
    ///
    /// # Cancel safety
    ///
    /// An attempt that has begun continues in a task of its own.
    pub async fn revoke(&self, id: &LeaseId) -> Result<RevokeResult, Error> {
        match self.mark_for_revocation(id).await {
            Ok(true) => Ok(self.attempt_revocation(id).await),
            Ok(false) => Ok(Ok(())),
            Err(error) if error.is_unreadable() => {
                self.0.store.mark_unreadable_irrevocable(id, None).await?;
                Ok(Err(RevokeError::Permanent(UNREADABLE.to_owned())))
            }
            Err(error) => Err(error),
        }
    }

    /// Durably marks leases for revocation, and wakes the task. A lease whose record can't be
    /// decoded becomes irrevocable instead.
    ///
    /// # Errors
    ///
    /// If the store fails, or concurrent changes of a lease used up the retries; some leases may be
    /// marked then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some of the leases may be marked and others not, and the task may
    /// not be woken; if it runs, it then finds the marked ones within a minute.
    pub async fn mark_all_for_revocation(&self, ids: &[LeaseId]) -> Result<(), Error> {
        let mut batch = Batch::new();
        for id in ids {
            match self.0.store.get(id).await {
                Ok(Some(found)) => _ = self.add_revocation_mark(&mut batch, &found),
                Ok(None) => {}
                Err(error) if error.is_unreadable() => {
                    self.0.store.mark_unreadable_irrevocable(id, None).await?;
                }
                Err(error) => return Err(error),
            }
        }
        match self.0.store.commit(batch).await {
            Ok(()) => {}
            // One of them changed meanwhile: mark them one by one.
            Err(Error::Barrier(error)) if error.is_precondition() => {
                for id in ids {
                    match self.mark_for_revocation(id).await {
                        Err(error) if !error.is_unreadable() => return Err(error),
                        _ => {}
                    }
                }
            }
            Err(error) => return Err(error),
        }
        self.0.wake.notify_one();
        Ok(())
    }

    /// Makes one attempt to revoke a lease, and removes it from the table whatever the result. The
    /// inner result is that of the attempt.
    ///
    /// # Errors
    ///
    /// If the lease can't be read or removed.
    ///
    /// # Cancel safety
    ///
    /// An attempt that has begun continues in a task of its own, but the lease may not be removed.
    pub async fn revoke_force(&self, id: &LeaseId) -> Result<RevokeResult, Error> {
        let outcome = self.revoke(id).await?;
        if outcome.is_ok() {
            return Ok(outcome);
        }
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let mut batch = Batch::new();
            match self.0.store.get(id).await {
                Ok(Some(found)) => self.0.store.remove(&mut batch, &found),
                Ok(None) => return Ok(outcome),
                Err(error) if error.is_unreadable() => {
                    self.0.store.remove_unreadable(&mut batch, id);
                }
                Err(error) => return Err(error),
            }
            match self.0.store.commit(batch).await {
                Err(Error::Barrier(error)) if error.is_precondition() => {}
                done => return done.map(|()| outcome),
            }
        }
        Err(Error::Contended)
    }

    /// Number of revocations in progress at the moment of the call, including those that pause
    /// because their result could not be stored.
    pub fn in_flight_count(&self) -> usize {
        self.lock_in_flight().len()
    }

    pub(crate) fn is_in_flight(&self, id: &LeaseId) -> bool {
        self.lock_in_flight().contains_key(id)
    }

    /// Starts an attempt for a due lease, which holds a permit of its mount.
    pub(crate) fn start_due_attempt(&self, id: LeaseId, slot: RevocationPermit) {
        self.start_attempt(id, Some(slot));
    }

    /// Makes an attempt, or waits for the one in progress.
    pub(crate) async fn attempt_revocation(&self, id: &LeaseId) -> RevokeResult {
        loop {
            let mut ended = self.start_attempt(id.clone(), None);
            let ended = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
            match ended {
                Ok(Some(AttemptOutcome::Attempted(outcome))) => return outcome,
                // It joined a background attempt that found the lease not due, so no attempt was
                // made.
                Ok(Some(AttemptOutcome::NotDue)) => {}
                _ => {
                    let text = "the revocation was interrupted";
                    return Err(RevokeError::Transient(text.to_owned()));
                }
            }
        }
    }

    /// Starts an attempt in a task of its own, or joins the one in progress. Explicit revocations
    /// take no permit: their callers limit themselves, and waiting for permits held by revocations
    /// that wait for them could deadlock. They are made even if the lease isn't due.
    fn start_attempt(
        &self,
        id: LeaseId,
        slot: Option<RevocationPermit>,
    ) -> watch::Receiver<Option<AttemptOutcome>> {
        let (report, outcome) = watch::channel(None);
        {
            let mut under_way = self.lock_in_flight();
            if let Some(known) = under_way.get(&id) {
                return known.clone();
            }
            under_way.insert(id.clone(), outcome.clone());
        }
        let manager = self.clone();
        let attempt = async move {
            let asked = slot.is_none();
            let (ended, next) = manager.try_revoke(&id, asked).await;
            let tried = matches!(ended, AttemptOutcome::Attempted(_));
            if tried {
                report.send_replace(Some(ended));
            }
            if let FollowUp::NotRecorded = next {
                // The lease is still due; without a delay the engine would be called again at once.
                manager.0.clock.sleep(manager.0.options.initial_backoff).await;
            }
            manager.lock_in_flight().remove(&id);
            drop(slot);
            if !tried {
                // Only now, so that a caller that joined can start an attempt of its own.
                report.send_replace(Some(AttemptOutcome::NotDue));
            }
            match next {
                FollowUp::Nothing => {}
                FollowUp::Due(due) => manager.notify_due(due),
                FollowUp::NotRecorded => manager.0.wake.notify_one(),
            }
        };
        self.0.tasks.spawn(attempt.in_current_span());
        outcome
    }

    /// Makes one attempt if it was requested explicitly or the lease is due.
    async fn try_revoke(&self, id: &LeaseId, asked: bool) -> (AttemptOutcome, FollowUp) {
        let lost = |error: Error| {
            tracing::warn!(lease = %id, error = %chain(&error), "the lease table can't be changed; trying again");
            (
                AttemptOutcome::Attempted(Err(RevokeError::Transient(error.to_string()))),
                FollowUp::NotRecorded,
            )
        };
        let found = match self.0.store.get(id).await {
            Ok(Some(found)) => found,
            Ok(None) => return (AttemptOutcome::Attempted(Ok(())), FollowUp::Nothing),
            Err(error) => return lost(error),
        };
        let due = found.lease.due_at();
        if !asked && due.is_none_or(|due| due > self.0.clock.now()) {
            return (AttemptOutcome::NotDue, due.map_or(FollowUp::Nothing, FollowUp::Due));
        }
        let ended = self.call_revoker(found.lease.clone()).await;
        match self.record_attempt(id, ended.as_ref().err()).await {
            Ok(due) => {
                (AttemptOutcome::Attempted(ended), due.map_or(FollowUp::Nothing, FollowUp::Due))
            }
            Err(error) => lost(error),
        }
    }

    /// Calls the revoker with a timeout. A panic counts as a transient failure.
    async fn call_revoker(&self, lease: Arc<Lease>) -> RevokeResult {
        let revoker = self.0.revoker.clone();
        let call = async move { revoker.revoke(&lease).await };
        let call = self.0.tasks.spawn(call.in_current_span());
        let stop_call = call.abort_handle();
        let late = self.0.clock.sleep(self.0.options.attempt_timeout);
        tokio::select! {
            ended = call => {
                ended.unwrap_or_else(|_| Err(RevokeError::Transient("the engine panicked".to_owned())))
            }
            () = late => {
                stop_call.abort();
                Err(RevokeError::Transient("the engine did not answer in time".to_owned()))
            }
        }
    }

    /// Removes a revoked lease, or stores the failure. Returns when the lease is due next.
    async fn record_attempt(
        &self,
        id: &LeaseId,
        error: Option<&RevokeError>,
    ) -> Result<Option<Timestamp>, Error> {
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let Some(found) = self.0.store.get(id).await? else { return Ok(None) };
            let mut batch = Batch::new();
            let due = match error {
                None => {
                    self.0.store.remove(&mut batch, &found);
                    None
                }
                Some(error) => {
                    let after = self.lease_after_failure(&found.lease, error);
                    self.0.store.update(&mut batch, &found, &after);
                    after.due_at()
                }
            };
            match self.0.store.commit(batch).await {
                Err(Error::Barrier(error)) if error.is_precondition() => {}
                done => return done.map(|()| due),
            }
        }
        Err(Error::Contended)
    }

    fn lease_after_failure(&self, lease: &Lease, error: &RevokeError) -> Lease {
        let failed = match &lease.state {
            LeaseState::Revoking { attempts, .. } => attempts.saturating_add(1),
            _ => 1,
        };
        let text = Lease::printable_error(&error.to_string());
        let gave_up =
            failed >= self.0.options.max_attempts || matches!(error, RevokeError::Permanent(_));
        let state = if gave_up {
            tracing::error!(lease = %lease.id, error = text, "the lease can't be revoked and is kept");
            LeaseState::Irrevocable { error: text }
        } else {
            let doubled = 1_u32.checked_shl(failed - 1).unwrap_or(u32::MAX);
            let pause = self.0.options.initial_backoff.saturating_mul(doubled);
            tracing::warn!(lease = %lease.id, error = text, failed, "revoking failed; trying again");
            let next = self.0.clock.now().plus(pause);
            LeaseState::Revoking { attempts: failed, next, error: Some(text) }
        };
        Lease { state, ..lease.clone() }
    }

    /// Durably marks a lease for immediate revocation. `false` if it doesn't exist.
    async fn mark_for_revocation(&self, id: &LeaseId) -> Result<bool, Error> {
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let Some(found) = self.0.store.get(id).await? else { return Ok(false) };
            let mut batch = Batch::new();
            if !self.add_revocation_mark(&mut batch, &found) {
                return Ok(true);
            }
            match self.0.store.commit(batch).await {
                Ok(()) => return Ok(true),
                Err(Error::Barrier(error)) if error.is_precondition() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended)
    }

    /// Adds the mark to a batch; `false` if it is set already. It resets the count of attempts,
    /// also of irrevocable leases. The lease is due at the epoch, so setting the clock back cannot
    /// delay it.
    fn add_revocation_mark(&self, batch: &mut Batch, found: &StoredLease) -> bool {
        let state = LeaseState::Revoking { attempts: 0, next: Timestamp::EPOCH, error: None };
        if found.lease.state == state {
            return false;
        }
        self.0.store.update(batch, found, &Lease { state, ..Lease::clone(&found.lease) });
        true
    }

    fn lock_in_flight(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<LeaseId, watch::Receiver<Option<AttemptOutcome>>>> {
        self.0.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ExpirationManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpirationManager({} under way)", self.in_flight_count())
    }
}
