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
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    /// None while the engine can't be started.
    current: ArcSwapOption<Instance>,
    closed: watch::Sender<bool>,
    waiting: AtomicUsize,
    /// Why there is no engine.
    trouble: ArcSwapOption<String>,
    /// Told when somebody asks and there is no engine.
    wanted: Option<Arc<Notify>>,
    /// Why no request gets in any more, though the engine still ends what it issued: a
    /// [`ShutOut`], or zero.
    shut_out: AtomicU8,
    starting: Mutex<Starting>,
    /// Requests being worked on under the mount; the same for a handle that succeeds this one.
    load: Arc<MountLoad>,
}

/// Why no request gets into an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShutOut {
    /// Its mount is being removed.
    Removed = 1,
    /// Its mount is being moved, or was: this handle is the one of the old path.
    Moved = 2,
}

/// Attempts to start an engine that isn't there.
#[derive(Debug, Default)]
struct Starting {
    under_way: bool,
    failures: u32,
    not_before: Option<Duration>,
}

/// The one attempt to start an engine. Dropping it ends the attempt.
pub struct Attempt(EngineHandle);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One instance of an engine, with its storage.
pub struct Instance {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Its storage.
    pub storage: Arc<InstanceStorage>,
    inside: AtomicUsize,
    left: Notify,
}

/// A request inside an instance.
pub struct Visit(Arc<Instance>);

/// Requests that may wait in front of a closed gate.
const MAX_WAITING: usize = 4096;

impl Instance {
    /// With nobody inside.
    pub fn new(engine: Arc<dyn Engine>, storage: Arc<InstanceStorage>) -> Arc<Self> {
        Arc::new(Self { engine, storage, inside: AtomicUsize::new(0), left: Notify::new() })
    }

    /// Resolves once nobody is inside.
    pub async fn drained(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            // Registered before looking, or the last one could leave unseen.
            left.as_mut().enable();
            if self.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Visit {
    /// One more stay inside the same instance, for work that outlives the request.
    pub fn stay(&self) -> Self {
        self.0.inside.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

impl std::ops::Deref for Visit {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0
    }
}

impl EngineHandle {
    /// With an engine.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwapOption::from(Some(instance)),
            closed: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            trouble: ArcSwapOption::empty(),
            wanted: None,
            shut_out: AtomicU8::new(0),
            starting: Mutex::default(),
            load: Arc::default(),
        }))
    }

    /// Without an engine, for this reason. Whoever asks for it is told to `wanted`.
    pub fn broken(trouble: impl Into<String>, wanted: Arc<Notify>) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwapOption::empty(),
            closed: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            trouble: ArcSwapOption::from_pointee(trouble.into()),
            wanted: Some(wanted),
            shut_out: AtomicU8::new(0),
            starting: Mutex::default(),
            load: Arc::default(),
        }))
    }

    /// Enters the engine of the moment with a request; waits while the gate is closed. The caller
    /// has a deadline.
    pub async fn enter(&self) -> Result<Visit, EngineError> {
        let visit = self.enter_to_end().await?;
        // Looked at inside: whoever shuts requests out then waits for those that are in.
        match self.0.shut_out.load(Ordering::SeqCst) {
            0 => Ok(visit),
            why if why == ShutOut::Moved as u8 => Err(EngineError::Coded {
                status: 503,
                message: "the mount is being moved".to_owned(),
            }),
            _ => Err(EngineError::user("the mount is being removed")),
        }
    }

    /// [`EngineHandle::enter`] for ending what the engine issued, which goes on to the last.
    pub async fn enter_to_end(&self) -> Result<Visit, EngineError> {
        loop {
            if *self.0.closed.borrow() {
                self.wait_in_front().await?;
            }
            let Some(instance) = self.0.current.load_full() else {
                if let Some(wanted) = &self.0.wanted {
                    wanted.notify_one();
                }
                let trouble = self.0.trouble.load();
                let trouble = trouble.as_deref().map_or("unknown cause", |text| text.as_str());
                return Err(EngineError::Unavailable {
                    message: format!("the plug-in could not be started: {trouble}"),
                    delivered: false,
                });
            };
            instance.inside.fetch_add(1, Ordering::SeqCst);
            let visit = Visit(instance);
            // Closed in between: whoever drains must be able to count on nobody entering.
            if !*self.0.closed.borrow() {
                return Ok(visit);
            }
        }
    }

    /// The instance of the moment, for what is no request.
    pub fn instance(&self) -> Option<Arc<Instance>> {
        self.0.current.load_full()
    }

    /// Closes the gate until the guard is dropped.
    pub fn close_gate(&self) -> ClosedGate {
        self.0.closed.send_replace(true);
        ClosedGate(self.clone())
    }

    /// Puts another instance in place and gives the old one.
    pub fn replace(&self, instance: Arc<Instance>) -> Option<Arc<Instance>> {
        self.0.trouble.store(None);
        self.0.current.swap(Some(instance))
    }

    /// From now on requests are refused.
    pub fn shut_out(&self, why: ShutOut) {
        self.0.shut_out.store(why as u8, Ordering::SeqCst);
    }

    /// Another handle on the same engine, which lets requests in. Whoever still has this one stays
    /// shut out.
    pub fn succeed(&self) -> Self {
        Self(Arc::new(Shared {
            current: ArcSwapOption::from(self.instance()),
            closed: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            trouble: ArcSwapOption::from(self.0.trouble.load_full()),
            wanted: self.0.wanted.clone(),
            shut_out: AtomicU8::new(0),
            starting: Mutex::default(),
            load: self.0.load.clone(),
        }))
    }

    /// Requests being worked on under the mount.
    pub(crate) fn load(&self) -> &Arc<MountLoad> {
        &self.0.load
    }

    /// Begins to start an engine where none is. None while another attempt is under way or, after
    /// failures, too soon. `now` is how long the server's clock has been running.
    pub fn attempt(&self, now: Duration) -> Option<Attempt> {
        let mut starting = self.starting();
        let due = starting.not_before.is_none_or(|at| at <= now);
        if starting.under_way || !due || self.instance().is_some() {
            return None;
        }
        starting.under_way = true;
        Some(Attempt(self.clone()))
    }

    /// [`EngineHandle::attempt`] whatever failed before: an operator asks for it.
    pub fn attempt_now(&self, now: Duration) -> Option<Attempt> {
        self.starting().not_before = None;
        self.attempt(now)
    }

    fn starting(&self) -> std::sync::MutexGuard<'_, Starting> {
        self.0.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why there is still no engine.
    pub fn explain(&self, trouble: String) {
        self.0.trouble.store(Some(Arc::new(trouble)));
    }

    /// Takes the instance away: later requests hear why.
    pub fn take(&self, why: &str) -> Option<Arc<Instance>> {
        self.0.trouble.store(Some(Arc::new(why.to_owned())));
        self.0.current.swap(None)
    }

    async fn wait_in_front(&self) -> Result<(), EngineError> {
        if self.0.waiting.fetch_add(1, Ordering::SeqCst) >= MAX_WAITING {
            self.0.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(EngineError::Coded {
                status: 503,
                message: "too many requests wait while the plug-in is reloaded; try again"
                    .to_owned(),
            });
        }
        let _place = Place(&self.0.waiting);
        let mut closed = self.0.closed.subscribe();
        // An error means that the handle is gone, and then there is nothing to wait for.
        let _ = closed.wait_for(|closed| !closed).await;
        Ok(())
    }
}

impl Attempt {
    /// It failed: the next one may begin after a pause that doubles each time.
    pub fn failed(self, why: String, now: Duration) {
        {
            let mut starting = self.0.starting();
            let pause = Duration::from_secs(1_u64 << starting.failures.min(6)).min(LONGEST_PAUSE);
            starting.failures = starting.failures.saturating_add(1);
            starting.not_before = Some(now.saturating_add(pause));
        }
        self.0.explain(why);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.starting().under_way = false;
    }
}

/// A place in front of the gate; given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Opens the gate when dropped.
#[must_use]
pub struct ClosedGate(EngineHandle);

impl Drop for ClosedGate {
    fn drop(&mut self) {
        self.0.0.closed.send_replace(false);
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
