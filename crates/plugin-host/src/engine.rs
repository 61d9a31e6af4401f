//! [`PluginEngine`]: an instance that outlives its process.
//!
//! When the process is lost, a task of the instance starts another, with a growing pause if that
//! happens often. Meanwhile requests wait, within their deadlines. A request is repeated only if
//! the lost process can't have seen it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::Histogram;
use strongroom_sdk::engine::{
    Description, Engine, EngineError, Existence, Mount, Request, Response,
};
use strongroom_sdk::wire::{RemoteEngine, SetUp, host_services};
use strongroom_telemetry::{Stopwatch, names};
use strongroom_types::clock::{self, within};
use strongroom_types::{Clock, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::binary::Source;
use crate::error::Error;
use crate::host::Shared;
use crate::place::Place;
use crate::pool::Key;
use crate::process::Process;

/// An engine in a plug-in process.
pub struct PluginEngine(Arc<Instance>);

struct Instance {
    host: Arc<Shared>,
    key: Key,
    mount: Mount,
    label: String,
    description: Description,
    state: watch::Sender<State>,
    /// Whether the core has let it begin; before that a new process must not begin by itself.
    initialized: AtomicBool,
    times: CallTimes,
    closing: CancellationToken,
}

/// What an instance is called for.
#[derive(Clone, Copy)]
enum Call {
    Initialize,
    Exists,
    Handle,
    Periodic,
}

/// How long calls took, by kind. Each metric is looked up at the first call of its kind.
#[derive(Default)]
struct CallTimes {
    initialize: OnceLock<Histogram>,
    exists: OnceLock<Histogram>,
    handle: OnceLock<Histogram>,
    periodic: OnceLock<Histogram>,
}

impl CallTimes {
    fn of(&self, call: Call, mount_type: &str) -> &Histogram {
        let (known, call) = match call {
            Call::Initialize => (&self.initialize, "initialize"),
            Call::Exists => (&self.exists, "exists"),
            Call::Handle => (&self.handle, "handle"),
            Call::Periodic => (&self.periodic, "periodic"),
        };
        known.get_or_init(|| {
            let mount_type = mount_type.to_owned();
            metrics::histogram!(names::PLUGIN_CALLS, "mount_type" => mount_type, "call" => call)
        })
    }
}

#[derive(Clone)]
enum State {
    Up(Arc<Life>),
    Down { why: &'static str },
    Closed,
}

/// An instance within the life of one process.
struct Life {
    number: u64,
    remote: RemoteEngine,
    process: Arc<Process>,
    place: Mutex<Option<Place>>,
}

/// How long each step of setting up may take, and all of them.
const SET_UP: Duration = Duration::from_secs(30);
const ALL_OF_SET_UP: Duration = Duration::from_secs(45);
/// How long initialising may take after a restart.
const INITIALIZE: Duration = Duration::from_secs(60);
/// How long a request waits for a restart, at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is handed over before it is given up.
const ATTEMPTS: usize = 4;
/// What clients are told meanwhile.
const NOT_RESTARTED: &str = "it could not be restarted; the server's log says why";
/// How long a process that refused a request unseen is given to go before it is asked again.
const BREATH: Duration = Duration::from_millis(50);

impl PluginEngine {
    /// Starts or joins a process and sets an instance up in it.
    pub(crate) async fn open(
        host: Arc<Shared>,
        key: Key,
        mount: Mount,
        label: &str,
    ) -> Result<Self, Error> {
        let first = Life::begin(&host, &key, &mount, label, 1).await?;
        let description = first.remote.description().clone();
        let first = Arc::new(first);
        let instance = Arc::new(Instance {
            closing: host.launcher.closing.child_token(),
            host,
            key,
            mount,
            label: label.to_owned(),
            description,
            state: watch::Sender::new(State::Up(first.clone())),
            initialized: AtomicBool::new(false),
            times: CallTimes::default(),
        });
        let supervisor = Supervisor { instance: instance.clone(), backoff: Backoff::default() };
        instance.host.launcher.tracker.spawn(supervisor.watch(first));
        Ok(Self(instance))
    }

    /// Does `call`, with another process if the present one can't have seen it.
    async fn call<T, F>(
        &self,
        kind: Call,
        deadline: Timestamp,
        call: impl Fn(Arc<Life>) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let watch = Stopwatch::start();
        let outcome = self.deliver(deadline, call).await;
        let mount_type = &self.0.key.spec.name;
        self.0.times.of(kind, mount_type).record(watch.elapsed_ms());
        if let Err(EngineError::Unavailable { .. } | EngineError::Internal { .. }) = &outcome {
            metrics::counter!(names::PLUGIN_ERRORS, "mount_type" => mount_type.clone())
                .increment(1);
        }
        outcome
    }

    async fn deliver<T, F>(
        &self,
        deadline: Timestamp,
        call: impl Fn(Arc<Life>) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let clock = self.0.clock();
        let patience = clock.now().plus(PATIENCE).min(deadline);
        let (mut over, mut attempts) = (0, 1);
        loop {
            let life = self.0.after(over, patience).await?;
            let outcome = call(life.clone()).await;
            let doubt = &life.process.doubt;
            match &outcome {
                Err(EngineError::Unavailable { delivered: false, .. }) if attempts < ATTEMPTS => {}
                Err(EngineError::Unavailable { delivered: false, .. }) => {
                    doubt.refuses();
                    return outcome;
                }
                Err(EngineError::Unavailable { .. } | EngineError::Internal { .. }) => {
                    return outcome;
                }
                _ => {
                    doubt.heard();
                    return outcome;
                }
            }
            attempts += 1;
            if within(&*clock, BREATH, life.process.lost()).await.is_some() {
                over = life.number;
            }
        }
    }
}

#[async_trait]
impl Engine for PluginEngine {
    fn description(&self) -> &Description {
        &self.0.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        let deadline = self.0.clock().now().plus(INITIALIZE);
        self.call(Call::Initialize, deadline, |life| async move { life.remote.initialize().await })
            .await?;
        self.0.initialized.store(true, Ordering::Release);
        Ok(())
    }

    async fn exists(&self, request: &Request) -> Result<Existence, EngineError> {
        self.call(Call::Exists, request.deadline, |life| async move {
            life.remote.exists(request).await
        })
        .await
    }

    async fn handle(&self, request: Request) -> Result<Response, EngineError> {
        let request = &request;
        self.call(
            Call::Handle,
            request.deadline,
            |life| async move { life.remote.ask(request).await },
        )
        .await
    }

    async fn invalidate(&self, key: &str) {
        // A process that is being started has nothing to forget.
        if let Some(life) = self.0.up() {
            life.remote.invalidate(key).await;
        }
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        let deadline = self.0.clock().now().plus(INITIALIZE);
        self.call(Call::Periodic, deadline, |life| async move { life.remote.periodic().await })
            .await
    }

    async fn close(&self) {
        self.0.closing.cancel();
        let last = self.0.state.send_replace(State::Closed);
        if let State::Up(life) = last {
            life.end(true).await;
        }
    }
}

impl Drop for PluginEngine {
    fn drop(&mut self) {
        // Without a close the last life still gives its place up.
        self.0.closing.cancel();
        self.0.state.send_replace(State::Closed);
    }
}

impl fmt::Debug for PluginEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEngine").field("plugin", &self.0.key.spec).finish_non_exhaustive()
    }
}

impl Instance {
    fn clock(&self) -> Arc<dyn Clock> {
        self.host.launcher.clock.clone()
    }

    fn up(&self) -> Option<Arc<Life>> {
        match &*self.state.borrow() {
            State::Up(life) => Some(life.clone()),
            _ => None,
        }
    }

    /// A life later than this one, waiting for it until the deadline.
    async fn after(&self, over: u64, deadline: Timestamp) -> Result<Arc<Life>, EngineError> {
        if let Some(life) = self.up().filter(|life| life.number > over) {
            return Ok(life);
        }
        let mut states = self.state.subscribe();
        let clock = self.clock();
        let waiting = states.wait_for(|state| match state {
            State::Up(life) => life.number > over,
            State::Down { .. } => false,
            State::Closed => true,
        });
        let unavailable = |why: &str| EngineError::Unavailable {
            message: format!("the plug-in {} is not running: {why}", self.key.spec.title()),
            delivered: false,
        };
        let found = tokio::select! {
            found = waiting => match found.as_deref() {
                Ok(State::Up(life)) => Some(life.clone()),
                _ => return Err(unavailable("it was closed")),
            },
            () = clock::deadline(&*clock, deadline) => None,
        };
        found.ok_or_else(|| match &*self.state.borrow() {
            State::Down { why } => unavailable(why),
            State::Up(_) | State::Closed => unavailable("it is being restarted"),
        })
    }
}

impl Life {
    /// Cancel safety: when dropped, what may have been set up is cleaned up in the background.
    async fn begin(
        host: &Arc<Shared>,
        key: &Key,
        mount: &Mount,
        label: &str,
        number: u64,
    ) -> Result<Self, Error> {
        let launcher = &host.launcher;
        let start = || {
            let (host, spec) = (host.clone(), key.spec.clone());
            async move { host.launcher.start(&spec, Source::AnyCopy).await }
        };
        let seat = host.pool.seat(key, label, start).await?;
        let process = seat.process().clone();
        let instance = launcher.entropy.base62(10);
        let place = Place::new(seat, &instance, launcher);
        let services =
            host_services(mount.storage.clone(), mount.system.clone(), host.facts.clone());
        let setting_up = RemoteEngine::set_up(SetUp {
            channel: &process.channel,
            broker: &process.broker,
            services,
            instance,
            mount: Some(mount.clone()),
            clock: launcher.clock.clone(),
            limit: SET_UP,
        });
        let failure = match within(&*launcher.clock, ALL_OF_SET_UP, setting_up).await {
            Some(Ok(remote)) => {
                return Ok(Self { number, remote, process, place: Mutex::new(Some(place)) });
            }
            Some(Err(error)) => error.into(),
            None => {
                let reason = "it was not set up in time".to_owned();
                Error::Failed { plugin: key.spec.title(), reason }
            }
        };
        let (plugin, reason) = (key.spec.title(), failure.details());
        tracing::error!(plugin, mount = label, reason, "an instance could not be set up");
        place.clean_up().await;
        Err(failure)
    }

    /// Gives the place up. Calls under way are cut off.
    async fn end(&self, orderly: bool) {
        if orderly {
            self.remote.close().await;
        }
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            place.leave().await;
        }
    }
}

/// Gives an instance a new process when it loses one.
struct Supervisor {
    instance: Arc<Instance>,
    backoff: Backoff,
}

impl Supervisor {
    async fn watch(self, first: Arc<Life>) {
        let closing = self.instance.closing.clone();
        // Closing takes what is there; a restart under way is dropped, which ends its process.
        closing.run_until_cancelled(self.keep_alive(first)).await;
    }

    async fn keep_alive(mut self, mut life: Arc<Life>) {
        let clock = self.instance.clock();
        loop {
            let born = clock.running();
            life.process.lost().await;
            self.backoff.lived(clock.running().saturating_sub(born));
            let mut why = "its process ended";
            let number = life.number;
            life.end(false).await;
            drop(life);
            life = loop {
                if !self.publish(State::Down { why }) {
                    return;
                }
                let pause = self.backoff.next();
                clock.sleep(pause).await;
                match self.revive(number + 1).await {
                    Ok(life) => break Arc::new(life),
                    Err(error) => {
                        let plugin = self.instance.key.spec.title();
                        let mount = &self.instance.label;
                        let reason = error.details();
                        tracing::error!(plugin, mount, reason, "a plug-in could not be restarted");
                        // Every client of the mount reads it.
                        why = NOT_RESTARTED;
                    }
                }
            };
            if !self.publish(State::Up(life.clone())) {
                life.end(true).await;
                return;
            }
        }
    }

    /// False if the instance was closed meanwhile, which is final.
    fn publish(&self, state: State) -> bool {
        self.instance.state.send_if_modified(|current| {
            let open = !matches!(current, State::Closed);
            if open {
                *current = state;
            }
            open
        })
    }

    async fn revive(&self, number: u64) -> Result<Life, Error> {
        let Instance { host, key, mount, label, description, .. } = &*self.instance;
        let life = Life::begin(host, key, mount, label, number).await?;
        let plugin = || key.spec.title();
        let seen = life.remote.description();
        if seen.kind != description.kind || seen.special != description.special {
            life.end(true).await;
            let reason = "it declares another type or other special paths than before".to_owned();
            return Err(Error::Failed { plugin: plugin(), reason });
        }
        if self.instance.initialized.load(Ordering::Acquire) {
            let clock = self.instance.clock();
            let begun = within(&*clock, INITIALIZE, life.remote.initialize()).await;
            let failure = match begun {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(error.to_string()),
                None => Some("it did not initialise in time".to_owned()),
            };
            if let Some(reason) = failure {
                life.end(true).await;
                return Err(Error::Failed { plugin: plugin(), reason });
            }
        }
        Ok(life)
    }
}

/// Pauses between restarts: none, then one second, doubling to a minute. A life of a minute makes
/// up for everything before.
#[derive(Debug, Default)]
struct Backoff {
    pause: Option<Duration>,
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

impl Backoff {
    fn lived(&mut self, life: Duration) {
        if life >= LONGEST {
            self.pause = None;
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause.unwrap_or_default();
        self.pause = Some((pause * 2).clamp(SHORTEST, LONGEST));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_slow_down_and_recover() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..9).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.lived(Duration::from_secs(59));
        assert_eq!(backoff.next(), LONGEST);
        backoff.lived(LONGEST);
        assert_eq!(backoff.next(), Duration::ZERO);
    }
}
