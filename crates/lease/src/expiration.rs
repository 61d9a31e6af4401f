//! [`ExpirationManager`]: the one task that ends leases on time.
//!
//! It reads the due index from its start, revokes what is due, and sleeps until the next entry or
//! until it is woken, and never long. Nothing is kept in memory but the revocations under way, of
//! which there is a bounded number. What fails is tried again with growing pauses; what can't be
//! revoked is kept, marked irrevocable and shown, never dropped.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use strongroom_barrier::Batch;
use strongroom_types::clock::wait_for_deadline;
use strongroom_types::{Clock, LeaseId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lease::{Lease, LeaseState};
use crate::mount_limits::{MountLimits, RevocationPermit};
use crate::store::{Error, LeaseStore, StoredLease, UNREADABLE};

/// Ends what a lease is for. The core is one.
#[async_trait]
pub trait Revoker: Send + Sync + 'static {
    /// Revokes the credential or token. May be asked again after it succeeded or failed.
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError>;
}

/// Why something could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// It may work later.
    #[error("{0}")]
    Transient(String),
    /// It never will.
    #[error("{0}")]
    Permanent(String),
}

/// Bounds of the keeper.
#[derive(Clone, Copy, Debug)]
pub struct ExpirationOptions {
    /// Revocations at the same time.
    pub concurrency: usize,
    /// Those of them that may be one mount's.
    pub per_mount: usize,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// Attempts until a lease is irrevocable.
    pub max_attempts: u32,
    /// The pause after the first failure; each further one doubles it.
    pub initial_backoff: Duration,
}

impl Default for ExpirationOptions {
    /// Six attempts with pauses from 10 s, as in Vault.
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

/// Ends leases on time. Cheap to clone; [`ExpirationManager::run`] is the task.
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
    /// When the task will look at the index again by itself, in nanoseconds since the epoch.
    sleeps_until: AtomicI64,
}

/// How one attempt ended.
type RevokeResult = Result<(), RevokeError>;

/// How a task ended that was to make an attempt.
#[derive(Clone, Debug)]
enum AttemptOutcome {
    Attempted(RevokeResult),
    /// The lease isn't due any more, so none was made.
    NotDue,
}

/// What follows from an attempt.
enum FollowUp {
    /// Nothing: the lease is gone.
    Nothing,
    /// The lease is due at this moment.
    Due(Timestamp),
    /// The table doesn't say how the attempt ended.
    NotRecorded,
}

/// The pause after the store failed.
pub(crate) const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);
/// However far the next entry is: should nobody have told of an earlier one, it isn't missed by
/// more than this.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// Attempts to write a lease's state against others who change it.
const MAX_COMMIT_ATTEMPTS: usize = 8;

impl ExpirationManager {
    /// Nothing runs yet.
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
            mount_limits: MountLimits::new(options),
            in_flight: Mutex::default(),
            tasks: TaskTracker::new(),
            wake: Notify::new(),
            sleeps_until: AtomicI64::new(i64::MAX),
        }))
    }

    /// Ends leases until told to stop; then waits for the revocations under way.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // While it looks, every new entry wakes it: the look may have passed that place.
            self.0.sleeps_until.store(i64::MAX, Ordering::SeqCst);
            let next = tokio::select! {
                next = self.scan_due(&stop) => next,
                () = stop.cancelled() => break,
            };
            let next = next.unwrap_or_else(|error| {
                tracing::warn!(%error, "the lease table can't be read; trying again");
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

    /// Says that a lease will be due at this moment. Call it after each commit that adds or moves
    /// one.
    pub fn notify_due(&self, due: Timestamp) {
        if due.as_nanos() < self.0.sleeps_until.load(Ordering::SeqCst) {
            self.0.wake.notify_one();
        }
    }

    /// Revokes one lease: notes durably that it is to be revoked, then tries once. A failure is
    /// tried again later, whatever this answers. `Ok` for a lease that isn't there.
    ///
    /// Cancel safety: an attempt that was begun goes on in a task of its own.
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

    /// Notes durably that leases are to be revoked, and wakes the task. Those whose record can't be
    /// read are set aside.
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
            // One of them changed meanwhile: take them one by one.
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

    /// Tries to revoke a lease once, and removes it however that goes. Gives the error that was
    /// passed over.
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

    /// Revocations under way.
    pub fn in_flight_count(&self) -> usize {
        self.lock_in_flight().len()
    }

    pub(crate) fn is_in_flight(&self, id: &LeaseId) -> bool {
        self.lock_in_flight().contains_key(id)
    }

    /// Starts an attempt at a lease that is due, in a slot of its lane.
    pub(crate) fn start_due_attempt(&self, id: LeaseId, slot: RevocationPermit) {
        self.start_attempt(id, Some(slot));
    }

    /// Makes an attempt, or joins the one under way.
    pub(crate) async fn attempt_revocation(&self, id: &LeaseId) -> RevokeResult {
        loop {
            let mut ended = self.start_attempt(id.clone(), None);
            let ended = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
            match ended {
                Ok(Some(AttemptOutcome::Attempted(outcome))) => return outcome,
                // It joined a look at what was due, from before the order: that was no attempt.
                Ok(Some(AttemptOutcome::NotDue)) => {}
                _ => {
                    let text = "the revocation was interrupted";
                    return Err(RevokeError::Transient(text.to_owned()));
                }
            }
        }
    }

    /// Starts an attempt in a task of its own; joins one that is under way. Attempts that somebody
    /// asked for take no slot: whoever asks has a bound of their own, and were they to wait for
    /// slots held by ends that wait for them, nothing would move. They are made whatever the time.
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
        let keeper = self.clone();
        self.0.tasks.spawn(async move {
            let asked = slot.is_none();
            let (ended, next) = keeper.try_revoke(&id, asked).await;
            let tried = matches!(ended, AttemptOutcome::Attempted(_));
            if tried {
                report.send_replace(Some(ended));
            }
            if let FollowUp::NotRecorded = next {
                // It is still due, and trying again at once would call the engine over and over.
                keeper.0.clock.sleep(keeper.0.options.initial_backoff).await;
            }
            keeper.lock_in_flight().remove(&id);
            drop(slot);
            if !tried {
                // Only now, so that whoever joined can make an attempt.
                report.send_replace(Some(AttemptOutcome::NotDue));
            }
            match next {
                FollowUp::Nothing => {}
                FollowUp::Due(due) => keeper.notify_due(due),
                FollowUp::NotRecorded => keeper.0.wake.notify_one(),
            }
        });
        outcome
    }

    /// One attempt, if somebody asked for it or the lease is due.
    async fn try_revoke(&self, id: &LeaseId, asked: bool) -> (AttemptOutcome, FollowUp) {
        let lost = |error: Error| {
            tracing::warn!(lease = %id, %error, "the lease table can't be changed; trying again");
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

    /// The revoker's answer, with a time-out; a panic is a failure like any other.
    async fn call_revoker(&self, lease: Arc<Lease>) -> RevokeResult {
        let revoker = self.0.revoker.clone();
        let call = self.0.tasks.spawn(async move { revoker.revoke(&lease).await });
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

    /// Removes a lease that was revoked, or writes down what comes after a failure, and when.
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

    /// Notes durably that a lease is to be revoked now. `false` if there is none.
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

    /// Adds the note to a batch; `false` if it stands already. An order starts the count of
    /// attempts anew, for irrevocable leases as well. It is due since ever, so that a clock that is
    /// set back doesn't put it off.
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
