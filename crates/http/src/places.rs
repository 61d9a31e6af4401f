//! [`Places`]: how many connections a listener has, and which of them makes room for a new one.
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
pub(crate) struct Places(Arc<Shared>);

struct Shared {
    free: Arc<Semaphore>,
    /// How many connections are closed at once: each time all are looked through.
    at_once: usize,
    taken: Mutex<HashMap<u64, Arc<Occupant>>>,
    /// Counts whatever happens to connections. What has the higher count came later.
    events: AtomicU64,
}

/// A connection, as far as it matters for who leaves.
struct Occupant {
    /// Whether a valid token came over it.
    is_trusted: Arc<AtomicBool>,
    /// Whether a request began. Until then, in a TLS handshake or while a head is sent, it is not idle.
    has_asked: AtomicBool,
    /// Requests that are being answered.
    requests: AtomicUsize,
    /// Since when there are requests or none; before the first one, since it was accepted. Requests
    /// beside others, over HTTP/2, don't change it.
    since: AtomicU64,
    leaves: CancellationToken,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    places: Places,
    number: u64,
    occupant: Arc<Occupant>,
    _permit: OwnedSemaphorePermit,
}

/// A request that is being answered.
pub(crate) struct Busy {
    places: Places,
    occupant: Arc<Occupant>,
}

/// Of a full listener, every so-manieth connection is closed at once.
const PART_AT_ONCE: usize = 64;

impl Places {
    pub(crate) fn new(number: usize) -> Self {
        Self(Arc::new(Shared {
            free: Arc::new(Semaphore::new(number.min(Semaphore::MAX_PERMITS))),
            at_once: (number / PART_AT_ONCE).max(1),
            taken: Mutex::default(),
            events: AtomicU64::new(0),
        }))
    }

    /// A place for a new connection; waits if nobody can be made to leave. `is_trusted` is set once a
    /// valid token came over it.
    pub(crate) async fn take(&self, is_trusted: Arc<AtomicBool>) -> Option<Place> {
        if self.0.free.available_permits() == 0 {
            self.make_room();
        }
        // Never closed.
        let permit = self.0.free.clone().acquire_owned().await.ok()?;
        let number = self.event();
        let occupant = Arc::new(Occupant {
            is_trusted,
            has_asked: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            since: AtomicU64::new(number),
            leaves: CancellationToken::new(),
        });
        self.taken().insert(number, occupant.clone());
        Some(Place { places: self.clone(), number, occupant, _permit: permit })
    }

    /// Tells some connections to leave.
    fn make_room(&self) {
        let mut strangers: Vec<_> = {
            let taken = self.taken();
            taken.values().filter(|it| !it.is_trusted.load(Ordering::Relaxed)).cloned().collect()
        };
        let rank = |it: &Arc<Occupant>| {
            let has_asked = it.has_asked.load(Ordering::Relaxed);
            let is_idle = has_asked && it.requests.load(Ordering::Relaxed) == 0;
            (!is_idle, it.since.load(Ordering::Relaxed))
        };
        // Ranked once: they change meanwhile.
        strangers.sort_by_cached_key(rank);
        for stranger in strangers.iter().take(self.0.at_once) {
            stranger.leaves.cancel();
        }
    }

    fn event(&self) -> u64 {
        self.0.events.fetch_add(1, Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<u64, Arc<Occupant>>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Cancelled when the connection is to make room.
    pub(crate) fn needed(&self) -> CancellationToken {
        self.occupant.leaves.clone()
    }

    /// What tells of requests over the connection.
    pub(crate) fn requests(&self) -> impl Fn() -> Busy + Send + Sync + use<> {
        let (places, occupant) = (self.places.clone(), self.occupant.clone());
        move || {
            occupant.has_asked.store(true, Ordering::Relaxed);
            if occupant.requests.fetch_add(1, Ordering::Relaxed) == 0 {
                occupant.since.store(places.event(), Ordering::Relaxed);
            }
            Busy { places: places.clone(), occupant: occupant.clone() }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.occupant.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.occupant.since.store(self.places.event(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stranger(places: &Places) -> Place {
        places.take(Arc::default()).await.unwrap()
    }

    /// Which of them are told to leave when one more comes.
    async fn leaving<const N: usize>(places: &Places, taken: [&Place; N]) -> [bool; N] {
        let mut waiting = Box::pin(places.take(Arc::default()));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "there is a place left");
        taken.map(|place| place.occupant.leaves.is_cancelled())
    }

    #[tokio::test]
    async fn sr_2026_02_who_has_not_asked_yet_stays_longer_than_older_strangers() {
        let places = Places::new(4);
        let (busy, idle) = (stranger(&places).await, stranger(&places).await);
        let _request = busy.requests()();
        let new = stranger(&places).await;
        let newer = stranger(&places).await;
        drop(idle.requests()());
        let all = [&busy, &idle, &new, &newer];
        // The idle one first, though it is the one that did something last.
        assert_eq!(leaving(&places, all).await, [false, true, false, false]);
        drop(idle);
        let newest = stranger(&places).await;
        let all = [&busy, &new, &newer, &newest];
        assert_eq!(leaving(&places, all).await, [true, false, false, false]);
        drop(busy);
        // One that never asks doesn't stay for ever.
        let _request = newest.requests()();
        let last = stranger(&places).await;
        let all = [&new, &newer, &newest, &last];
        assert_eq!(leaving(&places, all).await, [true, false, false, false]);
    }

    #[tokio::test]
    async fn sr_2026_02_requests_beside_others_keep_no_stranger_longer() {
        let places = Places::new(2);
        let (first, second) = (stranger(&places).await, stranger(&places).await);
        let _first_request = first.requests()();
        let _second_request = second.requests()();
        drop(first.requests()());
        assert_eq!(leaving(&places, [&first, &second]).await, [true, false]);
    }
}
