//! [`ConnectionSlots`]: limits a listener's connections, and chooses which to close for a new one.
//!
//! Unauthenticated clients can open connections until the limit is reached, and keep them open. So
//! that an operator can still connect, a full listener closes connections on which no valid token
//! was sent: first those that are idle after a request, then those with a request in progress and
//! those that sent none yet. Within each group the one that has been in that state for longest is
//! closed first. A connection on which a valid token was sent is never closed for this; if all are
//! such, a new connection waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The connection slots of a listener. Clones share the state.
#[derive(Clone)]
pub(crate) struct ConnectionSlots(Arc<ConnectionSlotsInner>);

struct ConnectionSlotsInner {
    free: Arc<Semaphore>,
    /// How many connections to close at once. Each time all of them are scanned, so closing several
    /// saves work.
    at_once: usize,
    occupied: Mutex<HashMap<u64, Arc<ConnectionActivity>>>,
    /// A logical clock of connection events: the event with the higher number happened later.
    events: AtomicU64,
}

/// The state of a connection that decides when it is closed.
struct ConnectionActivity {
    /// Whether a valid token was sent on it.
    is_trusted: Arc<AtomicBool>,
    /// Whether a request was ever started. Before that, during the TLS handshake or while a head is
    /// being received, the connection does not count as idle.
    has_asked: AtomicBool,
    /// Number of requests in progress.
    requests: AtomicUsize,
    /// The event at which the connection became busy or idle; before its first request, the one at
    /// which it was accepted. Concurrent requests over HTTP/2 do not change it.
    since: AtomicU64,
    evicted: CancellationToken,
}

/// The slot of one connection, freed on drop.
pub(crate) struct ConnectionSlot {
    slots: ConnectionSlots,
    number: u64,
    activity: Arc<ConnectionActivity>,
    _permit: OwnedSemaphorePermit,
}

/// A request in progress. On drop the connection counts as idle again if it was the last one.
pub(crate) struct InFlightRequest {
    slots: ConnectionSlots,
    activity: Arc<ConnectionActivity>,
}

/// A full listener closes 1/64 of its connections at once.
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

    /// Waits for a slot for a new connection. If all are taken, some unauthenticated connections
    /// are told to close first. `is_trusted` is set by the caller once a valid token was sent on
    /// the connection.
    pub(crate) async fn acquire(&self, is_trusted: Arc<AtomicBool>) -> Option<ConnectionSlot> {
        if self.0.free.available_permits() == 0 {
            self.evict_unauthenticated();
        }
        // The semaphore is never closed.
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

    /// Cancels the eviction tokens of the connections that are first in the order to be closed.
    fn evict_unauthenticated(&self) {
        let mut unauthenticated: Vec<_> = {
            let occupied = self.lock_occupied();
            occupied.values().filter(|it| !it.is_trusted.load(Ordering::Relaxed)).cloned().collect()
        };
        let rank = |it: &Arc<ConnectionActivity>| {
            let has_asked = it.has_asked.load(Ordering::Relaxed);
            let is_idle = has_asked && it.requests.load(Ordering::Relaxed) == 0;
            (!is_idle, it.since.load(Ordering::Relaxed))
        };
        // The keys are cached because they change concurrently.
        unauthenticated.sort_by_cached_key(rank);
        for connection in unauthenticated.iter().take(self.0.at_once) {
            connection.evicted.cancel();
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
    /// Cancelled when the connection must close to free its slot.
    pub(crate) fn eviction_token(&self) -> CancellationToken {
        self.activity.evicted.clone()
    }

    /// A function to call for each request on the connection; the result is held until the response
    /// is ready.
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

    /// Which of these connections are evicted when one more connects.
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
        // The idle one goes first, though its last request is the most recent event.
        assert_eq!(are_evicted(&places, all).await, [false, true, false, false]);
        drop(idle);
        let newest = unauthenticated_slot(&places).await;
        let all = [&busy, &new, &newer, &newest];
        assert_eq!(are_evicted(&places, all).await, [true, false, false, false]);
        drop(busy);
        // One that has sent no request is evicted in the end as well.
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
