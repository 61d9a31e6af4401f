//! [`ReadCache`]: a cache of store reads that also caches which keys are absent.
//!
//! - **Bounded in bytes.** Present and absent keys have separate limits: a client that requests
//!   many nonexistent keys evicts other absent keys, never a present one.
//! - **One load per key.** Callers that request a key while it is being loaded wait for that load
//!   and get its result, including "not found" and errors. All waiters wake together.
//! - **Never stale.** [`ReadCache::invalidate`] drops the cached entry and detaches any load in
//!   progress: its result goes only to the callers already waiting for it and isn't cached. Later
//!   callers start a new load.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

/// A cache of values of type `V` by key, loaded with errors of type `E`.
pub struct ReadCache<V, E> {
    present: Cache<String, V, EntryWeigher<V>>,
    absent: Cache<String, (), EntryWeigher<()>>,
    /// Loads in progress, sharded to reduce lock contention. The locks are held for map operations
    /// only. There are never more loads than waiting callers.
    loads: Vec<Mutex<PendingLoads<V, E>>>,
    hasher: RandomState,
}

/// Loads in progress by key.
type PendingLoads<V, E> = HashMap<String, PendingLoad<V, E>, RandomState>;

/// The result of a load, once it has finished.
type LoadOutcome<V, E> = OnceCell<Result<Option<V>, E>>;

struct PendingLoad<V, E> {
    outcome: Arc<LoadOutcome<V, E>>,
    /// Callers that run the load or wait for it. The last one to be dropped removes it.
    callers: usize,
}

/// Weighs an entry by the bytes of its key, its value and the cache's overhead.
#[derive(Clone)]
struct EntryWeigher<V>(fn(&V) -> usize);

impl<V> Weighter<String, V> for EntryWeigher<V> {
    fn weight(&self, key: &String, value: &V) -> u64 {
        const OVERHEAD: usize = 160;
        let bytes = key.len().saturating_add((self.0)(value)).saturating_add(OVERHEAD);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

const LOAD_SHARDS: usize = 16;
/// Entries for which space is allocated up front; the caches grow beyond that.
const INITIAL_CAPACITY: usize = 256;
/// The absent-key cache gets this fraction of the present-key cache's bytes, in addition to them.
const ABSENT_DIVISOR: u64 = 8;

impl<V: Clone, E: Clone> ReadCache<V, E> {
    /// An empty cache. Present keys may take `bytes`, absent keys another eighth of that; `weigh`
    /// returns the size of a value in bytes.
    pub fn new(bytes: u64, weigh: fn(&V) -> usize) -> Self {
        Self {
            present: Cache::with_weighter(INITIAL_CAPACITY, bytes, EntryWeigher(weigh)),
            absent: Cache::with_weighter(
                INITIAL_CAPACITY,
                bytes / ABSENT_DIVISOR,
                EntryWeigher(|()| 0),
            ),
            loads: (0..LOAD_SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
        }
    }

    /// Looks the key up in the cache only: `None` if nothing is cached, `Some(None)` if the key is
    /// known to be absent.
    pub fn get_cached(&self, key: &str) -> Option<Option<V>> {
        match self.present.get(key) {
            Some(value) => Some(Some(value)),
            None => self.absent.get(key).map(|()| None),
        }
    }

    /// Returns the cached result for a key, or runs `load` and caches what it returns (errors are
    /// not cached). Of concurrent callers for the same key one loads; the others get its result.
    ///
    /// # Errors
    ///
    /// Whatever `load` returns, to every caller that waited for it.
    ///
    /// # Cancel safety
    ///
    /// If the caller that loads is dropped, the caller that has waited longest runs its own load
    /// instead.
    pub async fn get_or_load(
        &self,
        key: &str,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, E> {
        if let Some(known) = self.get_cached(key) {
            return Ok(known);
        }
        let place = match self.join_load(key) {
            Ok(place) => place,
            Err(known) => return Ok(known),
        };
        let run = async {
            let result = load.await;
            self.finish_load(&place, &result);
            result
        };
        place.outcome.get_or_init(|| run).await.clone()
    }

    /// Drops the cached entry for a key. Call it after each change of the key, even a failed one,
    /// and before the change is reported to anyone.
    pub fn invalidate(&self, key: &str) {
        let mut loads = self.load_shard(key);
        loads.remove(key);
        self.present.remove(key);
        self.absent.remove(key);
    }

    /// Drops all cached entries and detaches all loads in progress.
    pub fn clear(&self) {
        for part in &self.loads {
            part.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.present.clear();
        self.absent.clear();
    }

    /// Number of present keys in the cache.
    pub fn present_len(&self) -> usize {
        self.present.len()
    }

    /// Joins or starts the load of a key, or returns the entry that was cached in the meantime.
    fn join_load<'a>(&'a self, key: &'a str) -> Result<LoadParticipant<'a, V, E>, Option<V>> {
        let mut loads = self.load_shard(key);
        if let Some(known) = self.get_cached(key) {
            return Err(known);
        }
        if let Some(load) = loads.get_mut(key) {
            load.callers += 1;
            return Ok(LoadParticipant { cache: self, key, outcome: load.outcome.clone() });
        }
        let outcome = Arc::new(OnceCell::new());
        loads.insert(key.to_owned(), PendingLoad { outcome: outcome.clone(), callers: 1 });
        Ok(LoadParticipant { cache: self, key, outcome })
    }

    /// Caches what was loaded, unless the key was invalidated during the load.
    fn finish_load(&self, place: &LoadParticipant<'_, V, E>, result: &Result<Option<V>, E>) {
        let mut loads = self.load_shard(place.key);
        if !loads.get(place.key).is_some_and(|load| Arc::ptr_eq(&load.outcome, &place.outcome)) {
            return;
        }
        loads.remove(place.key);
        match result {
            Ok(Some(value)) => self.present.insert(place.key.to_owned(), value.clone()),
            Ok(None) => self.absent.insert(place.key.to_owned(), ()),
            Err(_) => {}
        }
    }
}

impl<V, E> ReadCache<V, E> {
    fn load_shard(&self, key: &str) -> MutexGuard<'_, PendingLoads<V, E>> {
        let hash = self.hasher.hash_one(key) % LOAD_SHARDS as u64;
        let index = usize::try_from(hash).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "there are LOAD_SHARDS of them")]
        self.loads[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One caller's participation in a load.
struct LoadParticipant<'a, V, E> {
    cache: &'a ReadCache<V, E>,
    key: &'a str,
    outcome: Arc<LoadOutcome<V, E>>,
}

impl<V, E> Drop for LoadParticipant<'_, V, E> {
    fn drop(&mut self) {
        let mut loads = self.cache.load_shard(self.key);
        let Some(load) = loads.get_mut(self.key) else { return };
        if Arc::ptr_eq(&load.outcome, &self.outcome) {
            load.callers -= 1;
            if load.callers == 0 {
                loads.remove(self.key);
            }
        }
    }
}

impl<V: Clone, E> fmt::Debug for ReadCache<V, E> {
    /// Prints counts only: keys and values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadCache")
            .field("present", &self.present.len())
            .field("absent", &self.absent.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{Semaphore, oneshot};
    use tokio::task::JoinSet;

    use super::*;

    type TextCache = ReadCache<String, &'static str>;

    fn small_cache() -> Arc<TextCache> {
        Arc::new(ReadCache::new(64 << 10, String::len))
    }

    fn pending_load_count(cache: &TextCache) -> usize {
        cache.loads.iter().map(|part| part.lock().unwrap().len()).sum()
    }

    /// Starts `callers` of one key whose loads wait for `gate`; returns their results and counts
    /// the loads.
    fn spawn_callers(
        cache: &Arc<TextCache>,
        callers: usize,
        gate: &Arc<Semaphore>,
        loads: &Arc<AtomicUsize>,
        result: &Result<Option<String>, &'static str>,
    ) -> JoinSet<Result<Option<String>, &'static str>> {
        let mut asked = JoinSet::new();
        for _ in 0..callers {
            let (cache, gate) = (cache.clone(), gate.clone());
            let (loads, result) = (loads.clone(), result.clone());
            asked.spawn(async move {
                let load = async {
                    loads.fetch_add(1, Ordering::Relaxed);
                    let _ = gate.acquire().await;
                    result
                };
                cache.get_or_load("key", load).await
            });
        }
        asked
    }

    #[tokio::test]
    async fn callers_of_one_key_share_a_load_and_its_result() {
        for result in [Ok(Some("value".to_owned())), Ok(None), Err("failed")] {
            let (cache, gate) = (small_cache(), Arc::new(Semaphore::new(0)));
            let loads = Arc::new(AtomicUsize::new(0));
            let asked = spawn_callers(&cache, 64, &gate, &loads, &result);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            gate.close();
            let got = asked.join_all().await;
            assert!(got.len() == 64 && got.iter().all(|got| *got == result), "{got:?}");
            assert_eq!(loads.load(Ordering::Relaxed), 1, "{result:?}");
            assert_eq!(pending_load_count(&cache), 0);
            // The result is now cached, also "not found"; an error isn't.
            assert_eq!(cache.get_cached("key"), result.ok());
        }
    }

    #[tokio::test]
    async fn a_key_invalidated_during_a_load_is_not_cached() {
        for found in [Some("old".to_owned()), None] {
            let cache = small_cache();
            let (go, gate) = oneshot::channel::<()>();
            let old = found.clone();
            let first = async {
                let load = async {
                    let _ = gate.await;
                    Ok(old)
                };
                cache.get_or_load("key", load).await
            };
            let change = async {
                cache.invalidate("key");
                // Requested after the change: it must not get the result of the load before it.
                let after = cache.get_or_load("key", async { Ok(Some("new".to_owned())) }).await;
                go.send(()).unwrap();
                after
            };
            let (first, after) = tokio::join!(first, change);
            assert_eq!((first, after), (Ok(found), Ok(Some("new".to_owned()))));
            assert_eq!(cache.get_cached("key"), Some(Some("new".to_owned())));
            assert_eq!(pending_load_count(&cache), 0);
        }
    }

    #[tokio::test]
    async fn a_dropped_caller_leaves_its_load_to_the_next() {
        let cache = small_cache();
        let never = std::future::pending::<Result<Option<String>, &'static str>>();
        let mut first = Box::pin(cache.get_or_load("key", never));
        let poll_once = std::future::poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        });
        poll_once.await;
        let second = cache.get_or_load("key", async { Ok(None) });
        let leave = async { drop(first) };
        let (second, ()) = tokio::join!(second, leave);
        assert_eq!((second, pending_load_count(&cache)), (Ok(None), 0));
        // Nobody waits for this load any more.
        let never = std::future::pending::<Result<Option<String>, &'static str>>();
        let mut alone = Box::pin(cache.get_or_load("other", never));
        let poll_once = std::future::poll_fn(|cx| std::task::Poll::Ready(alone.as_mut().poll(cx)));
        assert!(poll_once.await.is_pending() && pending_load_count(&cache) == 1);
        drop(alone);
        assert_eq!(pending_load_count(&cache), 0);
    }

    #[tokio::test]
    async fn present_keys_are_bounded_in_bytes() {
        const BOUND: usize = 64 << 10;
        let cache = small_cache();
        // Large values, then small values under large keys: a client can choose either.
        for (key_bytes, value_bytes) in [(10, 1000), (1000, 10)] {
            for n in 0..1000 {
                let key = format!("{n:0>key_bytes$}");
                let value = async { Ok(Some("v".repeat(value_bytes))) };
                cache.get_or_load(&key, value).await.unwrap();
            }
            let bytes = cache.present_len() * (key_bytes + value_bytes);
            assert!(bytes <= BOUND, "{bytes} bytes are kept");
            assert!(bytes > BOUND / 4, "only {bytes} bytes are kept");
        }
        // An entry larger than the whole cache isn't kept.
        cache.get_or_load("large", async { Ok(Some("v".repeat(2 * BOUND))) }).await.unwrap();
        assert_eq!(cache.get_cached("large"), None);
    }

    #[tokio::test]
    async fn absent_keys_are_bounded_and_evict_no_present_one() {
        let cache = small_cache();
        let present = |n: usize| format!("present/{n}");
        for n in 0..20 {
            cache.get_or_load(&present(n), async { Ok(Some("v".repeat(100))) }).await.unwrap();
        }
        for n in 0..20_000 {
            let key = format!("absent/{n:0>200}");
            assert_eq!(cache.get_or_load(&key, async { Ok(None) }).await, Ok(None));
        }
        assert!(cache.absent.weight() <= (64 << 10) / ABSENT_DIVISOR, "{cache:?}");
        assert!((0..20).all(|n| cache.get_cached(&present(n)).is_some()), "{cache:?}");
        cache.clear();
        assert_eq!((cache.present.len(), cache.absent.len()), (0, 0));
    }
}
