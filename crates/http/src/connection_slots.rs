//! [`ConnectionSlots`]: how many connections a listener has, and which of them makes room for a new one.
//!
//! Strangers can open as many connections as there are places, and keep them. So that an operator
//! still gets in, a listener that is full closes connections over which no valid token came: first
//! those that are idle after a request, then those whose request is being answered and those over which
//! no request came yet. Of each, the one that has been so for longest goes first. One over which a valid
//! token came is never closed for this; if there are only such, who is new waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places of a listener. Clones are the same.
#[derive(Clone)]
pub(crate) struct ConnectionSlots(Arc<ConnectionSlotsInner>);

struct ConnectionSlotsInner {
    free: Arc<Semaphore>,
    /// How many connections are closed at once: each time all are looked through.
    at_once: usize,
    occupied: Mutex<HashMap<u64, Arc<ConnectionActivity>>>,
    /// Counts whatever happens to connections. What has the higher count came later.
    events: AtomicU64,
}

/// A connection, as far as it matters for who leaves.
struct ConnectionActivity {
    /// Whether a valid token came over it.
    is_trusted: Arc<AtomicBool>,
    /// Whether a request began. Until then, in a TLS handshake or while a head is sent, it is not idle.
    has_asked: AtomicBool,
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Since when there are requests or none; before the first one, since it was accepted. Requests
    /// beside others, over HTTP/2, don't change it.
    since: AtomicU64,
    evicted: CancellationToken,
}

/// The place of one connection, until it is dropped.
pub(crate) struct ConnectionSlot {
    slots: ConnectionSlots,
    number: u64,
    activity: Arc<ConnectionActivity>,
    _permit: OwnedSemaphorePermit,
}

/// A request that is being answered.
pub(crate) struct InFlightRequest {
    slots: ConnectionSlots,
    activity: Arc<ConnectionActivity>,
}

/// Of a full listener, every so-manieth connection is closed at once.
const EVICTION_DIVISOR: usize = 64;

impl ConnectionSlots {
    pub(crate) fn new(number: usize) -> Self {
        Self(Arc::new(ConnectionSlotsInner {
            free: Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS))),
            at_once: (number / EVICTION_DIVISOR).max(1),
            occupied: Mutex::default(),
            events: AtomicU64::new(0),
        }))
    }

    /// A place for a new connection; waits if nobody can be made to leave. `is_trusted` is set once a
    /// valid token came over it.
    pub(crate) async fn acquire(&self, is_trusted: Arc<AtomicBool>) -> Option<ConnectionSlot> {
        if self.0.free.available_permits() == 0 {
            self.evict_unauthenticated();
        }
        // Never closed.
        let permit = self.0.free.clone().acquire_owned().await.ok()?;
        let number = self.next_event();
        let occupant = Arc::new(ConnectionActivity {
            is_trusted,
            has_asked: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            since: AtomicU64::new(number),
            evicted: CancellationToken::new(),
        });
        self.lock_occupied().insert(number, occupant.clone());
        Some(ConnectionSlot { slots: self.clone(), number, activity: occupant, _permit: permit })
    }

    /// Tells some connections to leave.
    fn evict_unauthenticated(&self) {
        let mut strangers: Vec<_> = {
            let taken = self.lock_occupied();
            taken.values().filter(|it| !it.is_trusted.load(Ordering::Relaxed)).cloned().collect()
        };
        let rank = |it: &Arc<ConnectionActivity>| {
            let has_asked = it.has_asked.load(Ordering::Relaxed);
            let is_idle = has_asked && it.requests.load(Ordering::Relaxed) == 0;
            (!is_idle, it.since.load(Ordering::Relaxed))
        };
        // Ranked once: they change meanwhile.
        strangers.sort_by_cached_key(rank);
        for stranger in strangers.iter().take(self.0.at_once) {
            stranger.evicted.cancel();
        }
    }

    fn next_event(&self) -> u64 {
        self.0.events.fetch_add(1, Ordering::Relaxed)
    }

    fn lock_occupied(&self) -> MutexGuard<'_, HashMap<u64, Arc<ConnectionActivity>>> {
        self.0.occupied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Cancelled when the connection is to make room.
    pub(crate) fn eviction_token(&self) -> CancellationToken {
        self.activity.evicted.clone()
    }

    /// What tells of requests over the connection.
    pub(crate) fn request_tracker(&self) -> impl Fn() -> InFlightRequest + Send + Sync + use<> {
        let (places, occupant) = (self.slots.clone(), self.activity.clone());
        move || {
            occupant.has_asked.store(true, Ordering::Relaxed);
            if occupant.requests.fetch_add(1, Ordering::Relaxed) == 0 {
                occupant.since.store(places.next_event(), Ordering::Relaxed);
            }
            InFlightRequest { slots: places.clone(), activity: occupant.clone() }
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.lock_occupied().remove(&self.number);
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        if self.activity.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.activity.since.store(self.slots.next_event(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn unauthenticated_slot(places: &ConnectionSlots) -> ConnectionSlot {
        places.acquire(Arc::default()).await.unwrap()
    }

    /// Which of them are told to leave when one more comes.
    async fn are_evicted<const N: usize>(
        places: &ConnectionSlots,
        taken: [&ConnectionSlot; N],
    ) -> [bool; N] {
        let mut waiting = Box::pin(places.acquire(Arc::default()));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "there is a place left");
        taken.map(|place| place.activity.evicted.is_cancelled())
    }

    #[tokio::test]
    async fn sr_2026_02_who_has_not_asked_yet_stays_longer_than_older_strangers() {
        let places = ConnectionSlots::new(4);
        let (busy, idle) =
            (unauthenticated_slot(&places).await, unauthenticated_slot(&places).await);
        let _request = busy.request_tracker()();
        let new = unauthenticated_slot(&places).await;
        let newer = unauthenticated_slot(&places).await;
        drop(idle.request_tracker()());
        let all = [&busy, &idle, &new, &newer];
        // The idle one first, though it is the one that did something last.
        assert_eq!(are_evicted(&places, all).await, [false, true, false, false]);
        drop(idle);
        let newest = unauthenticated_slot(&places).await;
        let all = [&busy, &new, &newer, &newest];
        assert_eq!(are_evicted(&places, all).await, [true, false, false, false]);
        drop(busy);
        // One that never asks doesn't stay for ever.
        let _request = newest.request_tracker()();
        let last = unauthenticated_slot(&places).await;
        let all = [&new, &newer, &newest, &last];
        assert_eq!(are_evicted(&places, all).await, [true, false, false, false]);
    }

    #[tokio::test]
    async fn sr_2026_02_requests_beside_others_keep_no_stranger_longer() {
        let places = ConnectionSlots::new(2);
        let (first, second) =
            (unauthenticated_slot(&places).await, unauthenticated_slot(&places).await);
        let _first_request = first.request_tracker()();
        let _second_request = second.request_tracker()();
        drop(first.request_tracker()());
        assert_eq!(are_evicted(&places, [&first, &second]).await, [true, false]);
    }
}
