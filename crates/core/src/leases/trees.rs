//! [`Trees`]: the walk that revokes a token and everything below it.
//!
//! A revocation begins with a durable mark; from then on the whole tree is refused, and nothing new
//! grows in it. The walk goes down first and removes on its way up: a token goes when its leases
//! and children are gone. Marks of tokens that are not reached yet survive a crash, and the walk is
//! taken up again at the next unseal. Leases that can't be revoked stay with the keeper.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use strongroom_barrier::Batch;
use strongroom_lease::{Keeper, LeaseStore};
use strongroom_telemetry::names;
use strongroom_token::{Mark, TokenKey, TokenStore};
use strongroom_types::{Clock, LeaseId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Revokes trees of tokens. Cheap to clone; [`Trees::run`] is the task.
#[derive(Clone)]
pub struct Trees(Arc<Shared>);

struct Shared {
    tokens: TokenStore,
    leases: LeaseStore,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    added: Notify,
}

#[derive(Default)]
struct Queue {
    order: VecDeque<TokenKey>,
    /// Queued or being walked, with the signal of its end.
    ends: HashMap<TokenKey, watch::Sender<bool>>,
}

/// Walks at the same time.
const WALKERS: usize = 8;
/// Leases of one token that are revoked at the same time.
const LEASES_AT_ONCE: usize = 16;
const PAGE: usize = 128;
/// The pause after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Trees {
    /// Nothing runs yet.
    pub fn new(
        tokens: TokenStore,
        leases: LeaseStore,
        keeper: Keeper,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (queue, added) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { tokens, leases, keeper, clock, queue, added }))
    }

    /// Marks a token and queues its walk. When this answers, the token and everything below it is
    /// refused for good. `None` if there is no such token; else a signal of the walk's end.
    pub async fn mark(
        &self,
        key: &TokenKey,
        mark: Mark,
    ) -> Result<Option<watch::Receiver<bool>>, strongroom_token::Error> {
        if !self.0.tokens.mark(key, mark).await? {
            return Ok(None);
        }
        Ok(Some(self.enqueue(key)))
    }

    /// Queues the walk of a token that is marked already.
    pub fn enqueue(&self, key: &TokenKey) -> watch::Receiver<bool> {
        let mut queue = self.lock();
        if let Some(known) = queue.ends.get(key) {
            return known.subscribe();
        }
        let (sender, receiver) = watch::channel(false);
        queue.ends.insert(key.clone(), sender);
        queue.order.push_back(key.clone());
        drop(queue);
        self.0.added.notify_one();
        receiver
    }

    /// Takes up what an earlier life of the server left marked, and walks until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        for (key, _) in self.0.tokens.marked() {
            self.enqueue(&key);
        }
        let walkers = (0..WALKERS).map(|_| self.walk_queue(stop.clone()));
        futures_util::future::join_all(walkers).await;
    }

    async fn walk_queue(&self, stop: CancellationToken) {
        loop {
            let next = {
                let mut queue = self.lock();
                let next = queue.order.pop_front();
                if !queue.order.is_empty() {
                    self.0.added.notify_one();
                }
                next
            };
            let Some(key) = next else {
                tokio::select! {
                    () = self.0.added.notified() => continue,
                    () = stop.cancelled() => return,
                }
            };
            tokio::select! {
                () = self.walk_until_done(&key) => {}
                () = stop.cancelled() => return,
            }
            if let Some(end) = self.lock().ends.remove(&key) {
                let _ = end.send(true);
            }
        }
    }

    async fn walk_until_done(&self, key: &TokenKey) {
        while let Err(error) = self.walk(key).await {
            tracing::warn!(%error, "a token's revocation was held up by the store; going on soon");
            self.0.clock.sleep_until(self.0.clock.now().plus(PAUSE)).await;
        }
    }

    /// One walk. The stack holds at most a page of children for each level, whatever the tree.
    async fn walk(&self, root: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let mut stack = vec![(root.clone(), false)];
        while let Some((key, visited)) = stack.last().cloned() {
            if !visited {
                self.end_leases(&key).await?;
                if let Some(top) = stack.last_mut() {
                    top.1 = true;
                }
            }
            let children = self.0.tokens.children(&key, None, PAGE).await.map_err(token_error)?;
            if children.is_empty() {
                self.remove(&key).await?;
                stack.pop();
            } else if self.0.tokens.mark_of(&key) == Some(Mark::Orphan) {
                for child in &children {
                    self.0.tokens.orphan(&key, child).await.map_err(token_error)?;
                }
            } else {
                self.0.tokens.mark_children(&children).await.map_err(token_error)?;
                stack.extend(children.into_iter().map(|child| (child, false)));
            }
        }
        Ok(())
    }

    /// Revokes the leases of a token, each tried once; what fails stays with the keeper.
    async fn end_leases(&self, key: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let mut after: Option<LeaseId> = None;
        loop {
            let ids = self.0.leases.of_token(key.as_str(), after.as_ref(), PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            after = ids.last().cloned();
            self.0.keeper.order_all(&ids).await?;
            let attempts = futures_util::stream::iter(ids)
                .map(|id| async move { self.0.keeper.revoke(&id).await });
            let mut ended = attempts.buffer_unordered(LEASES_AT_ONCE);
            while let Some(outcome) = ended.next().await {
                // A failed attempt is written down and tried again by the keeper.
                let _ = outcome?;
            }
        }
    }

    async fn remove(&self, key: &TokenKey) -> Result<(), strongroom_lease::Error> {
        let mut batch = Batch::new();
        if let Some(found) = self.0.tokens.find(key).await.map_err(token_error)? {
            let id = LeaseId::parse(&found.token.lease_id(key));
            let lease = match id {
                Ok(id) => self.0.leases.get(&id).await?,
                Err(_) => None,
            };
            if let Some(lease) = lease {
                self.0.leases.remove(&mut batch, &lease);
            }
        }
        self.0.tokens.remove(key, batch).await.map_err(token_error)?;
        metrics::counter!(names::TOKEN_REVOKED).increment(1);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.lock();
        write!(f, "Trees({} waiting, {} in all)", queue.order.len(), queue.ends.len())
    }
}

/// The walk has one error type; a token's is a lease's in other words.
fn token_error(error: strongroom_token::Error) -> strongroom_lease::Error {
    match error {
        strongroom_token::Error::Barrier(error) => error.into(),
        _ => strongroom_lease::Error::Contended,
    }
}
