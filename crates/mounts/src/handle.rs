//! [`EngineHandle`]: the replaceable engine instance behind a mount.
//!
//! A request acquires an in-flight guard on the current instance, uses it, and drops it. To replace
//! the instance the handle's gate is closed: new requests wait, requests in flight finish, and when
//! the gate opens the waiting ones use the new instance. No request fails because of it.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use strongroom_engine::{Engine, EngineError};
use tokio::sync::{Notify, watch};

use crate::mount_load::MountLoad;
use crate::storage::InstanceStorage;

/// The engine behind a mount. Cheap to clone; all clones share one instance and one gate.
#[derive(Clone)]
pub struct EngineHandle(Arc<EngineHandleInner>);

struct EngineHandleInner {
    /// The current instance; `None` while the engine is not running.
    current: ArcSwapOption<MountInstance>,
    gate_closed: watch::Sender<bool>,
    waiting_requests: AtomicUsize,
    /// The reason why no engine is running, for error messages.
    unavailable_reason: ArcSwapOption<String>,
    /// Notified when a request needs an engine that is not running.
    start_requested: Option<Arc<Notify>>,
    /// A [`Blocked`] reason for refusing requests, or zero. Revocations still reach the engine.
    blocked: AtomicU8,
    start_state: Mutex<StartState>,
    /// The count of requests under the mount; shared with the handle that succeeds this one.
    mount_load: Arc<MountLoad>,
}

/// The reason why an engine refuses new requests while it still performs revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Blocked {
    /// The mount is being removed, so requests are refused permanently.
    Removing = 1,
    /// The mount is being remounted, or was: then this handle belongs to the old path.
    Moving = 2,
}

/// The state of attempts to start an engine that is not running.
#[derive(Debug, Default)]
struct StartState {
    in_progress: bool,
    failures: u32,
    next_start: Option<Duration>,
}

/// The only running attempt to start an engine. Dropping it allows the next attempt.
pub struct StartAttempt(EngineHandle);

/// The maximum pause between two attempts.
const MAX_START_DELAY: Duration = Duration::from_secs(60);

/// An opened engine instance, with its storage and the count of requests in flight.
pub struct MountInstance {
    /// The engine, linked in or in a plug-in process.
    pub engine: Arc<dyn Engine>,
    /// The storage of the mount, through the view of this instance.
    pub storage: Arc<InstanceStorage>,
    in_flight: AtomicUsize,
    last_left: Notify,
}

/// A guard that counts a request in flight on an instance. A drain waits until all are dropped.
pub struct InFlight(Arc<MountInstance>);

/// The maximum number of requests of one mount that wait while its engine is replaced; further
/// ones are refused. Requests that run are counted in [`MountLoad`].
const MAX_WAITING_AT_GATE: usize = 4096;

impl MountInstance {
    /// Creates an instance with no request in flight.
    pub fn new(engine: Arc<dyn Engine>, storage: Arc<InstanceStorage>) -> Arc<Self> {
        Arc::new(Self { engine, storage, in_flight: AtomicUsize::new(0), last_left: Notify::new() })
    }

    /// Waits until no request is in flight. Has no timeout; the caller adds one where it needs it.
    pub async fn wait_until_drained(&self) {
        loop {
            let drained = self.last_left.notified();
            tokio::pin!(drained);
            // Registered before the count is read; otherwise the last notification could be missed.
            drained.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            drained.await;
        }
    }
}

impl InFlight {
    /// A second in-flight guard on the same instance, for work that outlives the request.
    pub fn another(&self) -> Self {
        self.0.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.last_left.notify_waiters();
        }
    }
}

impl std::ops::Deref for InFlight {
    type Target = MountInstance;

    fn deref(&self) -> &MountInstance {
        &self.0
    }
}

impl EngineHandle {
    /// Creates a handle with a running instance and an open gate.
    pub fn new(instance: Arc<MountInstance>) -> Self {
        Self(Arc::new(EngineHandleInner {
            current: ArcSwapOption::from(Some(instance)),
            gate_closed: watch::Sender::new(false),
            waiting_requests: AtomicUsize::new(0),
            unavailable_reason: ArcSwapOption::empty(),
            start_requested: None,
            blocked: AtomicU8::new(0),
            start_state: Mutex::default(),
            mount_load: Arc::default(),
        }))
    }

    /// Creates a handle without an instance, for the reason `trouble`. `wanted` is notified when a
    /// request needs the engine.
    pub fn without_engine(trouble: impl Into<String>, wanted: Arc<Notify>) -> Self {
        Self(Arc::new(EngineHandleInner {
            current: ArcSwapOption::empty(),
            gate_closed: watch::Sender::new(false),
            waiting_requests: AtomicUsize::new(0),
            unavailable_reason: ArcSwapOption::from_pointee(trouble.into()),
            start_requested: Some(wanted),
            blocked: AtomicU8::new(0),
            start_state: Mutex::default(),
            mount_load: Arc::default(),
        }))
    }

    /// Acquires the current instance for a request, and waits while the gate is closed. The wait
    /// has no timeout of its own: the caller's deadline applies.
    ///
    /// # Errors
    ///
    /// An error with status 503 if the mount is being moved or too many requests wait at the gate,
    /// `User` if it is being removed, `Unavailable` if no engine is running.
    pub async fn acquire(&self) -> Result<InFlight, EngineError> {
        let in_flight = self.acquire_for_revocation().await?;
        // Checked after the guard is taken: code that blocks the handle then waits for all guards.
        match self.0.blocked.load(Ordering::SeqCst) {
            0 => Ok(in_flight),
            why if why == Blocked::Moving as u8 => Err(EngineError::Coded {
                status: 503,
                message: "the mount is being moved".to_owned(),
            }),
            _ => Err(EngineError::user("the mount is being removed")),
        }
    }

    /// [`EngineHandle::acquire`] for revoking what the engine issued, which is possible also while
    /// the handle is blocked.
    pub async fn acquire_for_revocation(&self) -> Result<InFlight, EngineError> {
        loop {
            if *self.0.gate_closed.borrow() {
                self.wait_for_gate().await?;
            }
            let Some(instance) = self.0.current.load_full() else {
                if let Some(start_requested) = &self.0.start_requested {
                    start_requested.notify_one();
                }
                let reason = self.0.unavailable_reason.load();
                let reason = reason.as_deref().map_or("unknown cause", |text| text.as_str());
                return Err(EngineError::Unavailable {
                    message: format!("the plug-in could not be started: {reason}"),
                    delivered: false,
                });
            };
            instance.in_flight.fetch_add(1, Ordering::SeqCst);
            let in_flight = InFlight(instance);
            // The gate may have closed meanwhile. A drain relies on no request entering after that.
            if !*self.0.gate_closed.borrow() {
                return Ok(in_flight);
            }
        }
    }

    /// The current instance, for internal work not tied to a request; `None` if no engine is
    /// running.
    pub fn current_instance(&self) -> Option<Arc<MountInstance>> {
        self.0.current.load_full()
    }

    /// Closes the gate until the guard is dropped: requests wait, those in flight continue.
    pub fn close_gate(&self) -> ClosedGate {
        self.0.gate_closed.send_replace(true);
        ClosedGate(self.clone())
    }

    /// Replaces the current instance and returns the old one, if there was one.
    pub fn replace_instance(&self, instance: Arc<MountInstance>) -> Option<Arc<MountInstance>> {
        self.0.unavailable_reason.store(None);
        self.0.current.swap(Some(instance))
    }

    /// Refuses requests from now on, for this reason. Revocations are still possible.
    pub fn block(&self, why: Blocked) {
        self.0.blocked.store(why as u8, Ordering::SeqCst);
    }

    /// Creates another handle on the same engine that is not blocked. This handle remains blocked,
    /// for requests that still hold it.
    pub fn successor(&self) -> Self {
        Self(Arc::new(EngineHandleInner {
            current: ArcSwapOption::from(self.current_instance()),
            gate_closed: watch::Sender::new(false),
            waiting_requests: AtomicUsize::new(0),
            unavailable_reason: ArcSwapOption::from(self.0.unavailable_reason.load_full()),
            start_requested: self.0.start_requested.clone(),
            blocked: AtomicU8::new(0),
            start_state: Mutex::default(),
            mount_load: self.0.mount_load.clone(),
        }))
    }

    /// The count of requests being processed under the mount.
    pub(crate) fn mount_load(&self) -> &Arc<MountLoad> {
        &self.0.mount_load
    }

    /// Begins an attempt to start the engine. `None` if it is running, another attempt is running,
    /// or the pause after the last failure has not passed. `now` is the time on the server's
    /// monotonic clock.
    pub fn begin_start(&self, now: Duration) -> Option<StartAttempt> {
        let mut starting = self.lock_start_state();
        let due = starting.next_start.is_none_or(|at| at <= now);
        if starting.in_progress || !due || self.current_instance().is_some() {
            return None;
        }
        starting.in_progress = true;
        Some(StartAttempt(self.clone()))
    }

    /// [`EngineHandle::begin_start`] without the pause after failures, for an operator's explicit
    /// request.
    pub fn begin_start_now(&self, now: Duration) -> Option<StartAttempt> {
        self.lock_start_state().next_start = None;
        self.begin_start(now)
    }

    fn lock_start_state(&self) -> std::sync::MutexGuard<'_, StartState> {
        self.0.start_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the reason why no engine is running, for error messages.
    pub fn set_unavailable_reason(&self, trouble: String) {
        self.0.unavailable_reason.store(Some(Arc::new(trouble)));
    }

    /// Removes and returns the instance. Later requests fail with `why`.
    pub fn take_instance(&self, why: &str) -> Option<Arc<MountInstance>> {
        self.0.unavailable_reason.store(Some(Arc::new(why.to_owned())));
        self.0.current.swap(None)
    }

    async fn wait_for_gate(&self) -> Result<(), EngineError> {
        if self.0.waiting_requests.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING_AT_GATE {
            self.0.waiting_requests.fetch_sub(1, Ordering::SeqCst);
            return Err(EngineError::Coded {
                status: 503,
                message: "too many requests wait while the plug-in is reloaded; try again"
                    .to_owned(),
            });
        }
        let _place = WaitingSlot(&self.0.waiting_requests);
        let mut closed = self.0.gate_closed.subscribe();
        // An error means that the handle was dropped, and then there is nothing to wait for.
        let _ = closed.wait_for(|closed| !closed).await;
        Ok(())
    }
}

impl StartAttempt {
    /// Records a failed attempt. The next one may begin after a pause that doubles from 1 second up
    /// to 60.
    pub fn record_failure(self, why: String, now: Duration) {
        {
            let mut starting = self.0.lock_start_state();
            let pause = Duration::from_secs(1_u64 << starting.failures.min(6)).min(MAX_START_DELAY);
            starting.failures = starting.failures.saturating_add(1);
            starting.next_start = Some(now.saturating_add(pause));
        }
        self.0.set_unavailable_reason(why);
    }
}

impl Drop for StartAttempt {
    fn drop(&mut self) {
        self.0.lock_start_state().in_progress = false;
    }
}

/// Counts a waiting request; decrements the count on drop.
struct WaitingSlot<'a>(&'a AtomicUsize);

impl Drop for WaitingSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens the gate when dropped, so that waiting requests continue.
#[must_use]
pub struct ClosedGate(EngineHandle);

impl Drop for ClosedGate {
    fn drop(&mut self) {
        self.0.0.gate_closed.send_replace(false);
    }
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.current.load() {
            Some(instance) => write!(f, "EngineHandle({:?})", instance.engine),
            None => f.write_str("EngineHandle(broken)"),
        }
    }
}
