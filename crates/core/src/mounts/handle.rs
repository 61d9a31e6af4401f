//! [`EngineHandle`]: the exchangeable engine behind a mount.
//!
//! A request enters, uses the engine of the moment, and leaves. To replace the engine the gate is
//! closed: new requests wait in front of it, those inside finish, and when it opens again they
//! find the new engine. No request fails for it.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use strongroom_sdk::engine::{Engine, EngineError};
use tokio::sync::{Notify, watch};

use super::storage::InstanceStorage;
use crate::admission::MountLoad;

/// The engine behind a mount. Cheap to clone; all clones are the same gate.
#[derive(Clone)]
pub struct EngineHandle(Arc<EngineHandleInner>);

struct EngineHandleInner {
    /// None while the engine can't be started.
    current: ArcSwapOption<MountInstance>,
    gate_closed: watch::Sender<bool>,
    waiting_requests: AtomicUsize,
    /// Why there is no engine.
    unavailable_reason: ArcSwapOption<String>,
    /// Told when somebody asks and there is no engine.
    start_requested: Option<Arc<Notify>>,
    /// Why no request gets in any more, though the engine still ends what it issued: a
    /// [`Blocked`], or zero.
    blocked: AtomicU8,
    start_state: Mutex<StartState>,
    /// Requests being worked on under the mount; the same for a handle that succeeds this one.
    mount_load: Arc<MountLoad>,
}

/// Why no request gets into an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Blocked {
    /// Its mount is being removed.
    Removing = 1,
    /// Its mount is being moved, or was: this handle is the one of the old path.
    Moving = 2,
}

/// Attempts to start an engine that isn't there.
#[derive(Debug, Default)]
struct StartState {
    in_progress: bool,
    failures: u32,
    next_start: Option<Duration>,
}

/// The one attempt to start an engine. Dropping it ends the attempt.
pub struct StartAttempt(EngineHandle);

/// The longest pause between two attempts.
const MAX_START_DELAY: Duration = Duration::from_secs(60);

/// One instance of an engine, with its storage.
pub struct MountInstance {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its storage.
    pub storage: Arc<InstanceStorage>,
    in_flight: AtomicUsize,
    last_left: Notify,
}

/// A request inside an instance.
pub struct InFlight(Arc<MountInstance>);

/// Requests that may wait in front of a closed gate.
const MAX_WAITING: usize = 4096;

impl MountInstance {
    /// With nobody inside.
    pub fn new(engine: Arc<dyn Engine>, storage: Arc<InstanceStorage>) -> Arc<Self> {
        Arc::new(Self { engine, storage, in_flight: AtomicUsize::new(0), last_left: Notify::new() })
    }

    /// Resolves once nobody is inside.
    pub async fn wait_until_drained(&self) {
        loop {
            let left = self.last_left.notified();
            tokio::pin!(left);
            // Registered before looking, or the last one could leave unseen.
            left.as_mut().enable();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl InFlight {
    /// One more stay inside the same instance, for work that outlives the request.
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
    /// With an engine.
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

    /// Without an engine, for this reason. Whoever asks for it is told to `wanted`.
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

    /// Enters the engine of the moment with a request; waits while the gate is closed. The caller
    /// has a deadline.
    pub async fn acquire(&self) -> Result<InFlight, EngineError> {
        let visit = self.acquire_for_revocation().await?;
        // Looked at inside: whoever shuts requests out then waits for those that are in.
        match self.0.blocked.load(Ordering::SeqCst) {
            0 => Ok(visit),
            why if why == Blocked::Moving as u8 => Err(EngineError::Coded {
                status: 503,
                message: "the mount is being moved".to_owned(),
            }),
            _ => Err(EngineError::user("the mount is being removed")),
        }
    }

    /// [`EngineHandle::acquire`] for ending what the engine issued, which goes on to the last.
    pub async fn acquire_for_revocation(&self) -> Result<InFlight, EngineError> {
        loop {
            if *self.0.gate_closed.borrow() {
                self.wait_for_gate().await?;
            }
            let Some(instance) = self.0.current.load_full() else {
                if let Some(wanted) = &self.0.start_requested {
                    wanted.notify_one();
                }
                let trouble = self.0.unavailable_reason.load();
                let trouble = trouble.as_deref().map_or("unknown cause", |text| text.as_str());
                return Err(EngineError::Unavailable {
                    message: format!("the plug-in could not be started: {trouble}"),
                    delivered: false,
                });
            };
            instance.in_flight.fetch_add(1, Ordering::SeqCst);
            let visit = InFlight(instance);
            // Closed in between: whoever drains must be able to count on nobody entering.
            if !*self.0.gate_closed.borrow() {
                return Ok(visit);
            }
        }
    }

    /// The instance of the moment, for what is no request.
    pub fn current_instance(&self) -> Option<Arc<MountInstance>> {
        self.0.current.load_full()
    }

    /// Closes the gate until the guard is dropped.
    pub fn close_gate(&self) -> ClosedGate {
        self.0.gate_closed.send_replace(true);
        ClosedGate(self.clone())
    }

    /// Puts another instance in place and gives the old one.
    pub fn replace_instance(&self, instance: Arc<MountInstance>) -> Option<Arc<MountInstance>> {
        self.0.unavailable_reason.store(None);
        self.0.current.swap(Some(instance))
    }

    /// From now on requests are refused.
    pub fn block(&self, why: Blocked) {
        self.0.blocked.store(why as u8, Ordering::SeqCst);
    }

    /// Another handle on the same engine, which lets requests in. Whoever still has this one stays
    /// shut out.
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

    /// Requests being worked on under the mount.
    pub(crate) fn mount_load(&self) -> &Arc<MountLoad> {
        &self.0.mount_load
    }

    /// Begins to start an engine where none is. None while another attempt is under way or, after
    /// failures, too soon. `now` is how long the server's clock has been running.
    pub fn begin_start(&self, now: Duration) -> Option<StartAttempt> {
        let mut starting = self.lock_start_state();
        let due = starting.next_start.is_none_or(|at| at <= now);
        if starting.in_progress || !due || self.current_instance().is_some() {
            return None;
        }
        starting.in_progress = true;
        Some(StartAttempt(self.clone()))
    }

    /// [`EngineHandle::begin_start`] whatever failed before: an operator asks for it.
    pub fn begin_start_now(&self, now: Duration) -> Option<StartAttempt> {
        self.lock_start_state().next_start = None;
        self.begin_start(now)
    }

    fn lock_start_state(&self) -> std::sync::MutexGuard<'_, StartState> {
        self.0.start_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why there is still no engine.
    pub fn set_unavailable_reason(&self, trouble: String) {
        self.0.unavailable_reason.store(Some(Arc::new(trouble)));
    }

    /// Takes the instance away: later requests hear why.
    pub fn take_instance(&self, why: &str) -> Option<Arc<MountInstance>> {
        self.0.unavailable_reason.store(Some(Arc::new(why.to_owned())));
        self.0.current.swap(None)
    }

    async fn wait_for_gate(&self) -> Result<(), EngineError> {
        if self.0.waiting_requests.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING {
            self.0.waiting_requests.fetch_sub(1, Ordering::SeqCst);
            return Err(EngineError::Coded {
                status: 503,
                message: "too many requests wait while the plug-in is reloaded; try again"
                    .to_owned(),
            });
        }
        let _place = WaitingSlot(&self.0.waiting_requests);
        let mut closed = self.0.gate_closed.subscribe();
        // An error means that the handle is gone, and then there is nothing to wait for.
        let _ = closed.wait_for(|closed| !closed).await;
        Ok(())
    }
}

impl StartAttempt {
    /// It failed: the next one may begin after a pause that doubles each time.
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

/// A place in front of the gate; given back however the wait ends.
struct WaitingSlot<'a>(&'a AtomicUsize);

impl Drop for WaitingSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens the gate when dropped.
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
