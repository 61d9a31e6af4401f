//! [`TokenRevoker`]: revokes a token and its descendants.
//!
//! A revocation begins with a durable mark, after which the whole subtree is refused and can't
//! grow; with [`RevocationMark::Orphan`] only the token itself is refused, and its children become
//! orphans. The subtree is then traversed depth first, and removed bottom up: a token is removed
//! once its leases are queued for revocation, its cubbyhole is empty and its children are removed.
//! Marks of tokens not reached yet survive a crash, and the traversal is resumed at the next
//! unseal. Leases that can't be revoked in time are left to the expiration manager. A revocation
//! that fails repeatedly is parked and retried once a minute.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use strongroom_barrier::Batch;
use strongroom_lease::{ExpirationManager, LeaseStore};
use strongroom_telemetry::names;
use strongroom_token::{RevocationMark, TokenKey, TokenStore};
use strongroom_types::{Clock, LeaseId, chain};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::cubbyhole_store::CubbyholeStore;

/// Queues and performs revocations of tokens with their descendants. Cheap to clone;
/// [`TokenRevoker::run`] is the task that works the queue.
#[derive(Clone)]
pub struct TokenRevoker(Arc<TokenRevokerInner>);

/// A weak reference to a [`TokenRevoker`], for [`LeaseRevoker`](super::revoker::LeaseRevoker),
/// which the token revoker itself needs through the expiration manager: a strong one would form a
/// cycle that a seal would leave in memory.
#[derive(Clone)]
pub struct WeakTokenRevoker(Weak<TokenRevokerInner>);

struct TokenRevokerInner {
    tokens: TokenStore,
    leases: LeaseStore,
    cubbyholes: CubbyholeStore,
    expiration: ExpirationManager,
    clock: Arc<dyn Clock>,
    queue: Mutex<RevocationQueue>,
    queue_changed: Notify,
    /// Marks being written and lease revocations being attempted. These tasks complete even when
    /// nobody waits for them.
    tasks: TaskTracker,
    /// Limits concurrent lease revocations, including those that no worker waits for any more.
    attempt_permits: Arc<Semaphore>,
}

#[derive(Default)]
struct RevocationQueue {
    pending: VecDeque<TokenKey>,
    /// Tokens whose revocation failed repeatedly, retried every [`RESUME_INTERVAL`].
    stalled: Vec<TokenKey>,
    /// Every token that is pending, stalled or being revoked, with the signal of its completion.
    completions: HashMap<TokenKey, watch::Sender<bool>>,
}

/// Concurrent revocations of subtrees.
const WORKERS: usize = 8;
/// Leases of one token that are revoked concurrently.
const MAX_CONCURRENT_LEASES: usize = 16;
const PAGE_SIZE: usize = 128;
/// The pause after a storage failure, and the attempts before a revocation is parked as stalled.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_ATTEMPTS: usize = 3;
/// Immediate retries of removing a token when its lease is changed concurrently.
const MAX_CONFLICT_RETRIES: usize = 8;
/// How long one revocation waits for engines, for all its leases together. The remaining leases are
/// left to the expiration manager.
const ENGINE_WAIT: Duration = Duration::from_secs(10);
/// How often stalled revocations, and marks that were never queued, are picked up.
const RESUME_INTERVAL: Duration = Duration::from_secs(60);

impl TokenRevoker {
    /// Creates a token revoker with an empty queue. Nothing is processed until [`run`](Self::run)
    /// is called.
    pub fn new(
        tokens: TokenStore,
        leases: LeaseStore,
        cubbyholes: CubbyholeStore,
        expiration: ExpirationManager,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (queue, added, tasks) = (Mutex::default(), Notify::new(), TaskTracker::new());
        let tries = Arc::new(Semaphore::new(WORKERS * MAX_CONCURRENT_LEASES));
        Self(Arc::new(TokenRevokerInner {
            tokens,
            leases,
            cubbyholes,
            expiration,
            clock,
            queue,
            queue_changed: added,
            tasks,
            attempt_permits: tries,
        }))
    }

    /// A weak reference to this revoker, which doesn't keep it in memory.
    pub fn downgrade(&self) -> WeakTokenRevoker {
        WeakTokenRevoker(Arc::downgrade(&self.0))
    }

    /// Marks a token and queues its revocation. When this returns, the mark is durable: with
    /// [`RevocationMark::Tree`] the token and its descendants are refused permanently. `None` if
    /// there is no such token; else a signal that becomes `true` when the revocation has completed.
    ///
    /// Cancel safety: once this was polled, the mark is written and the revocation queued, even if
    /// this future is dropped.
    pub async fn begin_revocation(
        &self,
        key: &TokenKey,
        mark: RevocationMark,
    ) -> Result<Option<watch::Receiver<bool>>, strongroom_token::Error> {
        let (trees, key) = (self.clone(), key.clone());
        let work = async move {
            let marked = trees.0.tokens.mark_for_revocation(&key, mark).await?;
            Ok(marked.then(|| trees.enqueue(&key)))
        };
        let work = self.0.tasks.spawn(work.in_current_span());
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted.into()))
    }

    /// Queues the revocation of a token that is already marked, unless it is queued already.
    /// Returns a signal that becomes `true` when the revocation has completed.
    pub fn enqueue(&self, key: &TokenKey) -> watch::Receiver<bool> {
        let mut queue = self.lock_queue();
        if let Some(known) = queue.completions.get(key) {
            return known.subscribe();
        }
        let (sender, receiver) = watch::channel(false);
        queue.completions.insert(key.clone(), sender);
        queue.pending.push_back(key.clone());
        drop(queue);
        self.0.queue_changed.notify_one();
        receiver
    }

    /// Queues the revocations left over from before a restart. Must be called before the first
    /// request: a token marked by its own last use must not be revoked while that request is in
    /// progress.
    pub fn resume_pending(&self) {
        for (key, _) in self.0.tokens.marked_tokens() {
            self.enqueue(&key);
        }
    }

    /// Works the queue with `WORKERS` concurrent workers until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        let walkers = (0..WORKERS).map(|_| self.run_worker(stop.clone()));
        let rounds = stop.run_until_cancelled(self.resume_periodically());
        tokio::join!(futures_util::future::join_all(walkers), rounds);
    }

    /// Every [`RESUME_INTERVAL`], requeues stalled revocations, and queues marks that were never
    /// queued because the request that should have done so was dropped. A mark must be seen in two
    /// successive rounds, so that a request still in progress can queue its own.
    async fn resume_periodically(&self) {
        let mut marked_before: HashSet<TokenKey> = HashSet::new();
        loop {
            self.0.clock.sleep(RESUME_INTERVAL).await;
            {
                let mut queue = self.lock_queue();
                let stalled = std::mem::take(&mut queue.stalled);
                queue.pending.extend(stalled);
            }
            self.0.queue_changed.notify_one();
            let marked: HashSet<_> =
                self.0.tokens.marked_tokens().into_iter().map(|(k, _)| k).collect();
            for key in marked.intersection(&marked_before) {
                if !self.is_parent_being_revoked(key).await {
                    self.enqueue(key);
                }
            }
            marked_before = marked;
        }
    }

    /// Whether the parent is being revoked, which will reach this token as well.
    async fn is_parent_being_revoked(&self, key: &TokenKey) -> bool {
        let stored_token = self.0.tokens.find_by_key(key).await.ok().flatten();
        let parent = stored_token.and_then(|found| found.token.parent.clone());
        parent.is_some_and(|parent| self.0.tokens.mark_of(&parent) == Some(RevocationMark::Tree))
    }

    async fn run_worker(&self, stop: CancellationToken) {
        loop {
            let next = {
                let mut queue = self.lock_queue();
                let next = queue.pending.pop_front();
                if !queue.pending.is_empty() {
                    self.0.queue_changed.notify_one();
                }
                next
            };
            let Some(key) = next else {
                tokio::select! {
                    () = self.0.queue_changed.notified() => continue,
                    () = stop.cancelled() => return,
                }
            };
            let done = tokio::select! {
                done = self.revoke_with_retries(&key) => done,
                () = stop.cancelled() => return,
            };
            let mut queue = self.lock_queue();
            if !done {
                queue.stalled.push(key);
            } else if let Some(end) = queue.completions.remove(&key) {
                let _ = end.send(true);
            }
        }
    }

    /// Attempts a revocation up to [`MAX_ATTEMPTS`] times, so that a failing one doesn't occupy a
    /// worker permanently. Returns whether it completed.
    async fn revoke_with_retries(&self, key: &TokenKey) -> bool {
        for _ in 0..MAX_ATTEMPTS {
            let Err(error) = self.revoke_subtree(key).await else { return true };
            tracing::warn!(error = %chain(&error), "an attempt to revoke a token failed; it will be retried");
            self.0.clock.sleep(RETRY_DELAY).await;
        }
        false
    }

    /// Traverses the subtree of `root` once. The stack holds at most one page of children per
    /// level.
    async fn revoke_subtree(&self, root: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let deadline = self.0.clock.monotonic_time().saturating_add(ENGINE_WAIT);
        let mut stack = vec![(root.clone(), false)];
        while let Some((key, visited)) = stack.last().cloned() {
            if !visited {
                self.revoke_leases(&key, deadline).await?;
                // The token is marked, so nothing new can be written to its cubbyhole.
                self.0.cubbyholes.delete_all(&key).await?;
                if let Some(top) = stack.last_mut() {
                    top.1 = true;
                }
            }
            let children =
                self.0.tokens.list_children(&key, None, PAGE_SIZE).await.map_err(to_lease_error)?;
            if children.is_empty() {
                self.remove_token(&key).await?;
                stack.pop();
            } else if self.0.tokens.mark_of(&key) == Some(RevocationMark::Orphan) {
                for child in &children {
                    self.0.tokens.orphan_child(&key, child).await.map_err(to_lease_error)?;
                }
            } else {
                self.0
                    .tokens
                    .mark_children_for_revocation(&children)
                    .await
                    .map_err(to_lease_error)?;
                stack.extend(children.into_iter().map(|child| (child, false)));
            }
        }
        Ok(())
    }

    /// Marks all leases of a token for revocation, and attempts each once until the monotonic clock
    /// reaches `deadline`. Leases that fail or aren't attempted are left to the expiration manager,
    /// so that a hanging engine doesn't delay other subtrees.
    async fn revoke_leases(
        &self,
        key: &TokenKey,
        deadline: Duration,
    ) -> Result<(), strongroom_lease::Error> {
        let mut pages = self.0.leases.token_id_pages(key.as_str()).with_page_size(PAGE_SIZE);
        while let Some(ids) = pages.next_page().await? {
            self.0.expiration.mark_all_for_revocation(&ids).await?;
            let remaining = deadline.saturating_sub(self.0.clock.monotonic_time());
            if !remaining.is_zero() {
                tokio::select! {
                    tried = self.try_revoke_leases(ids) => tried?,
                    () = self.0.clock.sleep(remaining) => {}
                }
            }
        }
        Ok(())
    }

    async fn try_revoke_leases(&self, ids: Vec<LeaseId>) -> Result<(), strongroom_lease::Error> {
        let attempts = futures_util::stream::iter(ids).map(|id| self.try_revoke_lease(id));
        let mut ended = attempts.buffer_unordered(MAX_CONCURRENT_LEASES);
        while let Some(outcome) = ended.next().await {
            outcome?;
        }
        Ok(())
    }

    /// Attempts to revoke one lease. If too many attempts are in progress already, leaves it to the
    /// expiration manager.
    async fn try_revoke_lease(&self, id: LeaseId) -> Result<(), strongroom_lease::Error> {
        let Ok(permit) = self.0.attempt_permits.clone().try_acquire_owned() else { return Ok(()) };
        let expiration = self.0.expiration.clone();
        let attempt = self.0.tasks.spawn(async move {
            let _permit = permit;
            // A failed attempt is recorded in the lease and retried by the expiration manager.
            expiration.revoke(&id).await.map(|_| ())
        });
        attempt.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted.into()))
    }

    /// Removes a token and its lease, retrying if the expiration manager or a renewal changes the
    /// lease concurrently.
    async fn remove_token(&self, key: &TokenKey) -> Result<(), strongroom_lease::Error> {
        for _ in 0..MAX_CONFLICT_RETRIES {
            match self.try_remove_token(key).await {
                Err(error) if error.is_precondition() => {}
                done => return done,
            }
        }
        self.try_remove_token(key).await
    }

    async fn try_remove_token(&self, key: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let mut batch = Batch::new();
        if let Some(stored_token) = self.0.tokens.find_by_key(key).await.map_err(to_lease_error)? {
            let id = LeaseId::parse(&stored_token.token.lease_id(key));
            if let Ok(id) = id {
                match self.0.leases.get(&id).await {
                    Ok(Some(lease)) => self.0.leases.remove(&mut batch, &lease),
                    Ok(None) => {}
                    // This lease belongs to the token alone, so it can be removed without being
                    // read.
                    Err(error) if error.is_unreadable() => {
                        self.0.leases.remove_unreadable(&mut batch, &id);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.0.tokens.remove(key, batch).await.map_err(to_lease_error)?;
        metrics::counter!(names::TOKEN_REVOKED).increment(1);
        Ok(())
    }

    fn lock_queue(&self) -> std::sync::MutexGuard<'_, RevocationQueue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WeakTokenRevoker {
    /// The token revoker, or `None` once it has been dropped, as after a seal.
    pub fn upgrade(&self) -> Option<TokenRevoker> {
        self.0.upgrade().map(TokenRevoker)
    }
}

impl std::fmt::Debug for TokenRevoker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.lock_queue();
        write!(
            f,
            "TokenRevoker({} waiting, {} in all)",
            queue.pending.len(),
            queue.completions.len()
        )
    }
}

/// Converts the token store's errors to the one error type used here.
fn to_lease_error(error: strongroom_token::Error) -> strongroom_lease::Error {
    match error {
        strongroom_token::Error::Barrier(error) => error.into(),
        _ => strongroom_lease::Error::Contended,
    }
}
