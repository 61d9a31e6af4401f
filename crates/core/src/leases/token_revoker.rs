//! [`TokenRevoker`]: the walk that revokes a token and everything below it.
//!
//! A revocation begins with a durable mark; from then on the whole tree is refused, and nothing new
//! grows in it. The walk goes down first and removes on its way up: a token goes when its leases
//! are ordered to end, its cubbyhole is empty and its children are gone. Marks of tokens that are not reached yet survive a
//! crash, and the walk is taken up again at the next unseal. Leases that can't be revoked, or not
//! soon, stay with the keeper. A walk that can't go on makes room for others and is taken up later.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use strongroom_barrier::Batch;
use strongroom_lease::{ExpirationManager, LeaseStore};
use strongroom_telemetry::names;
use strongroom_token::{RevocationMark, TokenKey, TokenStore};
use strongroom_types::{Clock, LeaseId};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cubbyhole::CubbyholeStore;

/// Revokes trees of tokens. Cheap to clone; [`TokenRevoker::run`] is the task.
#[derive(Clone)]
pub struct TokenRevoker(Arc<TokenRevokerInner>);

/// [`TokenRevoker`] as long as somebody else keeps it. For what it needs itself, as the keeper does: were
/// that to hold it, nothing of the two would ever be dropped, and a seal would leave it in memory.
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
    /// Marks being made and leases being tried. They run to their end even when nobody waits.
    tasks: TaskTracker,
    /// Bounds the leases being tried, also those no walk waits for any more.
    attempt_permits: Arc<Semaphore>,
}

#[derive(Default)]
struct RevocationQueue {
    pending: VecDeque<TokenKey>,
    /// Walks that could not go on, to be taken up later.
    stalled: Vec<TokenKey>,
    /// Queued, held up or being walked, with the signal of its end.
    completions: HashMap<TokenKey, watch::Sender<bool>>,
}

/// Walks at the same time.
const WORKERS: usize = 8;
/// Leases of one token that are revoked at the same time.
const MAX_CONCURRENT_LEASES: usize = 16;
const PAGE_SIZE: usize = 128;
/// The pause after the store failed, and how often a walk is tried before it makes room.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_ATTEMPTS: usize = 3;
/// How often a token is tried again at once because others change its lease.
const MAX_CONFLICT_RETRIES: usize = 8;
/// How long one walk waits for engines, for all its leases together. The rest is the keeper's.
const ENGINE_WAIT: Duration = Duration::from_secs(10);
/// How often what was held up or forgotten is taken up.
const RESUME_INTERVAL: Duration = Duration::from_secs(60);

impl TokenRevoker {
    /// Nothing runs yet.
    pub fn new(
        tokens: TokenStore,
        leases: LeaseStore,
        cubbyholes: CubbyholeStore,
        keeper: ExpirationManager,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (queue, added, tasks) = (Mutex::default(), Notify::new(), TaskTracker::new());
        let tries = Arc::new(Semaphore::new(WORKERS * MAX_CONCURRENT_LEASES));
        Self(Arc::new(TokenRevokerInner {
            tokens,
            leases,
            cubbyholes,
            expiration: keeper,
            clock,
            queue,
            queue_changed: added,
            tasks,
            attempt_permits: tries,
        }))
    }

    /// The same without keeping it.
    pub fn downgrade(&self) -> WeakTokenRevoker {
        WeakTokenRevoker(Arc::downgrade(&self.0))
    }

    /// Marks a token and queues its walk. When this answers, the token and everything below it is
    /// refused for good. `None` if there is no such token; else a signal of the walk's end.
    ///
    /// Cancel safety: a mark that was begun is made, and its walk queued.
    pub async fn begin_revocation(
        &self,
        key: &TokenKey,
        mark: RevocationMark,
    ) -> Result<Option<watch::Receiver<bool>>, strongroom_token::Error> {
        let (trees, key) = (self.clone(), key.clone());
        let work = self.0.tasks.spawn(async move {
            let marked = trees.0.tokens.mark_for_revocation(&key, mark).await?;
            Ok(marked.then(|| trees.enqueue(&key)))
        });
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted.into()))
    }

    /// Queues the walk of a token that is marked already.
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

    /// Queues what an earlier life of the server left marked. Before the first request: the walk of
    /// a token that is marked by its own last use must not overtake that request.
    pub fn resume_pending(&self) {
        for (key, _) in self.0.tokens.marked_tokens() {
            self.enqueue(&key);
        }
    }

    /// Walks until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let walkers = (0..WORKERS).map(|_| self.run_worker(stop.clone()));
        let rounds = stop.run_until_cancelled(self.resume_periodically());
        tokio::join!(futures_util::future::join_all(walkers), rounds);
    }

    /// Now and then takes up walks that were held up, and marks without a walk: the request that was
    /// to queue it may have been dropped. What has been marked since the round before is left to
    /// its request.
    async fn resume_periodically(&self) {
        let mut known: HashSet<TokenKey> = HashSet::new();
        loop {
            self.0.clock.sleep(RESUME_INTERVAL).await;
            {
                let mut queue = self.lock_queue();
                let held_up = std::mem::take(&mut queue.stalled);
                queue.pending.extend(held_up);
            }
            self.0.queue_changed.notify_one();
            let marked: HashSet<_> =
                self.0.tokens.marked_tokens().into_iter().map(|(k, _)| k).collect();
            for key in marked.intersection(&known) {
                if !self.is_parent_being_revoked(key).await {
                    self.enqueue(key);
                }
            }
            known = marked;
        }
    }

    /// Whether the walk of the parent will come to a token.
    async fn is_parent_being_revoked(&self, key: &TokenKey) -> bool {
        let found = self.0.tokens.find_by_key(key).await.ok().flatten();
        let parent = found.and_then(|found| found.token.parent.clone());
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

    /// Whether the walk came to its end. One that doesn't must not keep a walker for ever.
    async fn revoke_with_retries(&self, key: &TokenKey) -> bool {
        for _ in 0..MAX_ATTEMPTS {
            let Err(error) = self.revoke_subtree(key).await else { return true };
            tracing::warn!(%error, "a token's revocation was held up by the store; going on soon");
            self.0.clock.sleep(RETRY_DELAY).await;
        }
        false
    }

    /// One walk. The stack holds at most a page of children for each level, whatever the tree.
    async fn revoke_subtree(&self, root: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let patience = self.0.clock.monotonic_time().saturating_add(ENGINE_WAIT);
        let mut stack = vec![(root.clone(), false)];
        while let Some((key, visited)) = stack.last().cloned() {
            if !visited {
                self.revoke_leases(&key, patience).await?;
                // Marked by now, so nothing is put there any more.
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

    /// Orders the leases of a token to end and tries each once, until the server's clock has been
    /// running for `patience`. What
    /// fails or isn't tried is the keeper's: an engine that hangs must not hold up other trees.
    async fn revoke_leases(
        &self,
        key: &TokenKey,
        patience: Duration,
    ) -> Result<(), strongroom_lease::Error> {
        let mut after: Option<LeaseId> = None;
        loop {
            let ids = self.0.leases.ids_by_token(key.as_str(), after.as_ref(), PAGE_SIZE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            after = ids.last().cloned();
            self.0.expiration.mark_all_for_revocation(&ids).await?;
            let left = patience.saturating_sub(self.0.clock.monotonic_time());
            if !left.is_zero() {
                tokio::select! {
                    tried = self.try_revoke_leases(ids) => tried?,
                    () = self.0.clock.sleep(left) => {}
                }
            }
        }
    }

    async fn try_revoke_leases(&self, ids: Vec<LeaseId>) -> Result<(), strongroom_lease::Error> {
        let attempts = futures_util::stream::iter(ids).map(|id| self.try_revoke_lease(id));
        let mut ended = attempts.buffer_unordered(MAX_CONCURRENT_LEASES);
        while let Some(outcome) = ended.next().await {
            outcome?;
        }
        Ok(())
    }

    /// Where too many are being tried already, the keeper has one more.
    async fn try_revoke_lease(&self, id: LeaseId) -> Result<(), strongroom_lease::Error> {
        let Ok(place) = self.0.attempt_permits.clone().try_acquire_owned() else { return Ok(()) };
        let keeper = self.0.expiration.clone();
        let attempt = self.0.tasks.spawn(async move {
            let _place = place;
            // A failed attempt is written down and tried again by the keeper.
            keeper.revoke(&id).await.map(|_| ())
        });
        attempt.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted.into()))
    }

    /// The keeper, or somebody who renews, may be quicker with the token's own lease.
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
        if let Some(found) = self.0.tokens.find_by_key(key).await.map_err(to_lease_error)? {
            let id = LeaseId::parse(&found.token.lease_id(key));
            if let Ok(id) = id {
                match self.0.leases.get(&id).await {
                    Ok(Some(lease)) => self.0.leases.remove(&mut batch, &lease),
                    Ok(None) => {}
                    // It ends this token and nothing else.
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
    /// `None` once the server is sealed.
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

/// The walk has one error type; a token's is a lease's in other words.
fn to_lease_error(error: strongroom_token::Error) -> strongroom_lease::Error {
    match error {
        strongroom_token::Error::Barrier(error) => error.into(),
        _ => strongroom_lease::Error::Contended,
    }
}
