//! [`PluginEngine`]: an engine instance that survives restarts of its process.
//!
//! When the process is lost, a task of the instance starts another one, with increasing pauses if
//! that happens often. Requests wait for it, within their deadlines. A request is repeated only if
//! the lost process cannot have received it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use metrics::Histogram;
use strongroom_engine::{
    Engine, EngineDescription, EngineError, EngineRequest, EngineResponse, Existence, MountContext,
};
use strongroom_engine_wire::{HostFacts, InstanceSetup, RemoteEngine, host_services};
use strongroom_telemetry::{Stopwatch, names};
use strongroom_types::clock::{self, with_timeout};
use strongroom_types::{Clock, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::binary::BinarySource;
use crate::error::Error;
use crate::instance_slot::InstanceSlot;
use crate::process::{PluginProcess, ProcessLauncher};
use crate::process_pool::{ProcessKey, ProcessPool};

/// What all instances of a host share: how processes are started, and those that run.
#[derive(Debug)]
pub(crate) struct HostProcesses {
    pub(crate) launcher: ProcessLauncher,
    pub(crate) pool: ProcessPool,
    pub(crate) facts: HostFacts,
}

/// An engine that runs in a plug-in process, which is restarted when it is lost.
pub struct PluginEngine(Arc<PluginInstance>);

struct PluginInstance {
    host: Arc<HostProcesses>,
    key: ProcessKey,
    mount: MountContext,
    label: String,
    description: EngineDescription,
    state: watch::Sender<InstanceState>,
    /// Whether the core has initialized the instance; only then is it initialized again after a
    /// restart.
    initialized: AtomicBool,
    times: CallTimes,
    closing: CancellationToken,
}

/// The kinds of calls, for the metrics.
#[derive(Clone, Copy)]
enum EngineCall {
    Initialize,
    Exists,
    Handle,
    Periodic,
}

/// Durations of calls, by kind. Each histogram is created at the first call of its kind.
#[derive(Default)]
struct CallTimes {
    initialize: OnceLock<Histogram>,
    exists: OnceLock<Histogram>,
    handle: OnceLock<Histogram>,
    periodic: OnceLock<Histogram>,
}

impl CallTimes {
    fn histogram(&self, call: EngineCall, mount_type: &str) -> &Histogram {
        let (known, call) = match call {
            EngineCall::Initialize => (&self.initialize, "initialize"),
            EngineCall::Exists => (&self.exists, "exists"),
            EngineCall::Handle => (&self.handle, "handle"),
            EngineCall::Periodic => (&self.periodic, "periodic"),
        };
        known.get_or_init(|| {
            let mount_type = mount_type.to_owned();
            metrics::histogram!(names::PLUGIN_CALLS, "mount_type" => mount_type, "call" => call)
        })
    }
}

#[derive(Clone)]
enum InstanceState {
    Up(Arc<ProcessGeneration>),
    Down { why: &'static str },
    Closed,
}

/// An instance within the lifetime of one process.
struct ProcessGeneration {
    number: u64,
    remote: RemoteEngine,
    process: Arc<PluginProcess>,
    slot: Mutex<Option<InstanceSlot>>,
}

/// How long each step of setting up an instance may take, and all of them together.
const SET_UP_STEP_TIMEOUT: Duration = Duration::from_secs(30);
const SET_UP_TIMEOUT: Duration = Duration::from_secs(45);
/// How long initialization may take after a restart.
const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request waits at most for a restart.
const RESTART_WAIT: Duration = Duration::from_secs(10);
/// How often a request is sent before it fails.
const MAX_ATTEMPTS: usize = 4;
/// The reason that clients get while restarts fail.
const NOT_RESTARTED: &str = "it could not be restarted; see the server's log";
/// How long to wait for a process that refused a request unprocessed to exit, before sending it
/// again.
const RETRY_DELAY: Duration = Duration::from_millis(50);

impl PluginEngine {
    /// Starts or joins a process, sets up an instance in it, and spawns the task that restarts it.
    pub(crate) async fn open(
        host: Arc<HostProcesses>,
        key: ProcessKey,
        mount: MountContext,
        label: &str,
    ) -> Result<Self, Error> {
        let first = ProcessGeneration::start(&host, &key, &mount, label, 1).await?;
        let description = first.remote.description().clone();
        let first = Arc::new(first);
        let instance = Arc::new(PluginInstance {
            closing: host.launcher.closing.child_token(),
            host,
            key,
            mount,
            label: label.to_owned(),
            description,
            state: watch::Sender::new(InstanceState::Up(first.clone())),
            initialized: AtomicBool::new(false),
            times: CallTimes::default(),
        });
        let supervisor =
            InstanceSupervisor { instance: instance.clone(), backoff: RestartBackoff::default() };
        instance.host.launcher.tracker.spawn(supervisor.run_until_closed(first));
        Ok(Self(instance))
    }

    /// Makes a call and records its duration. It is repeated with another process if the first one
    /// cannot have received it.
    async fn call<T, F>(
        &self,
        kind: EngineCall,
        deadline: Timestamp,
        call: impl Fn(Arc<ProcessGeneration>) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let watch = Stopwatch::start();
        let outcome = self.call_with_retry(deadline, call).await;
        let mount_type = &self.0.key.spec.name;
        self.0.times.histogram(kind, mount_type).record(watch.elapsed_ms());
        if let Err(EngineError::Unavailable { .. } | EngineError::Internal { .. }) = &outcome {
            metrics::counter!(names::PLUGIN_ERRORS, "mount_type" => mount_type.clone())
                .increment(1);
        }
        outcome
    }

    async fn call_with_retry<T, F>(
        &self,
        deadline: Timestamp,
        call: impl Fn(Arc<ProcessGeneration>) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let clock = self.0.clock();
        let patience = clock.now().plus(RESTART_WAIT).min(deadline);
        let (mut over, mut attempts) = (0, 1);
        loop {
            let life = self.0.wait_for_generation_after(over, patience).await?;
            let outcome = call(life.clone()).await;
            let doubt = &life.process.liveness;
            match &outcome {
                Err(EngineError::Unavailable { delivered: false, .. })
                    if attempts < MAX_ATTEMPTS => {}
                Err(EngineError::Unavailable { delivered: false, .. }) => {
                    doubt.record_refusal();
                    return outcome;
                }
                Err(EngineError::Unavailable { .. } | EngineError::Internal { .. }) => {
                    return outcome;
                }
                _ => {
                    doubt.record_answer();
                    return outcome;
                }
            }
            attempts += 1;
            if with_timeout(&*clock, RETRY_DELAY, life.process.wait_until_lost()).await.is_some() {
                over = life.number;
            }
        }
    }
}

#[async_trait]
impl Engine for PluginEngine {
    fn description(&self) -> &EngineDescription {
        &self.0.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        let deadline = self.0.clock().now().plus(INITIALIZE_TIMEOUT);
        self.call(EngineCall::Initialize, deadline, |life| async move {
            life.remote.initialize().await
        })
        .await?;
        self.0.initialized.store(true, Ordering::Release);
        Ok(())
    }

    async fn exists(&self, request: &EngineRequest) -> Result<Existence, EngineError> {
        self.call(EngineCall::Exists, request.deadline, |life| async move {
            life.remote.exists(request).await
        })
        .await
    }

    async fn handle(&self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let request = &request;
        self.call(EngineCall::Handle, request.deadline, |life| async move {
            life.remote.handle_borrowed(request).await
        })
        .await
    }

    async fn invalidate(&self, key: &str) {
        // A process that is being started has no cached state.
        if let Some(life) = self.0.current_generation() {
            life.remote.invalidate(key).await;
        }
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        let deadline = self.0.clock().now().plus(INITIALIZE_TIMEOUT);
        self.call(
            EngineCall::Periodic,
            deadline,
            |life| async move { life.remote.periodic().await },
        )
        .await
    }

    async fn close(&self) {
        self.0.closing.cancel();
        let last = self.0.state.send_replace(InstanceState::Closed);
        if let InstanceState::Up(life) = last {
            life.shut_down(true).await;
        }
    }
}

impl Drop for PluginEngine {
    fn drop(&mut self) {
        // Even without `close`, the current process is released.
        self.0.closing.cancel();
        self.0.state.send_replace(InstanceState::Closed);
    }
}

impl fmt::Debug for PluginEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEngine").field("plugin", &self.0.key.spec).finish_non_exhaustive()
    }
}

impl PluginInstance {
    fn clock(&self) -> Arc<dyn Clock> {
        self.host.launcher.clock.clone()
    }

    fn current_generation(&self) -> Option<Arc<ProcessGeneration>> {
        match &*self.state.borrow() {
            InstanceState::Up(life) => Some(life.clone()),
            _ => None,
        }
    }

    /// Waits until the deadline for a generation with a higher number than `over`.
    async fn wait_for_generation_after(
        &self,
        over: u64,
        deadline: Timestamp,
    ) -> Result<Arc<ProcessGeneration>, EngineError> {
        if let Some(life) = self.current_generation().filter(|life| life.number > over) {
            return Ok(life);
        }
        let mut states = self.state.subscribe();
        let clock = self.clock();
        let waiting = states.wait_for(|state| match state {
            InstanceState::Up(life) => life.number > over,
            InstanceState::Down { .. } => false,
            InstanceState::Closed => true,
        });
        let unavailable = |why: &str| EngineError::Unavailable {
            message: format!("the plug-in {} is not running: {why}", self.key.spec.display_name()),
            delivered: false,
        };
        let found = tokio::select! {
            found = waiting => match found.as_deref() {
                Ok(InstanceState::Up(life)) => Some(life.clone()),
                _ => return Err(unavailable("it was closed")),
            },
            () = clock::wait_for_deadline(&*clock, deadline) => None,
        };
        found.ok_or_else(|| match &*self.state.borrow() {
            InstanceState::Down { why } => unavailable(why),
            InstanceState::Up(_) | InstanceState::Closed => unavailable("it is being restarted"),
        })
    }
}

impl ProcessGeneration {
    /// Cancel safety: when dropped, an instance that may have been set up is cleaned up in the
    /// background.
    async fn start(
        host: &Arc<HostProcesses>,
        key: &ProcessKey,
        mount: &MountContext,
        label: &str,
        number: u64,
    ) -> Result<Self, Error> {
        let launcher = &host.launcher;
        let start = || {
            let (host, spec) = (host.clone(), key.spec.clone());
            async move { host.launcher.start(&spec, BinarySource::AnyCopy).await }
        };
        let process_ref = host.pool.acquire(key, label, start).await?;
        let process = process_ref.process().clone();
        let instance = launcher.entropy.base62(10);
        let place = InstanceSlot::new(process_ref, &instance, launcher);
        let services =
            host_services(mount.storage.clone(), mount.system.clone(), host.facts.clone());
        let setting_up = RemoteEngine::set_up(InstanceSetup {
            channel: &process.channel,
            broker: &process.broker,
            services,
            instance,
            mount: Some(mount.clone()),
            clock: launcher.clock.clone(),
            limit: SET_UP_STEP_TIMEOUT,
        });
        let failure = match with_timeout(&*launcher.clock, SET_UP_TIMEOUT, setting_up).await {
            Some(Ok(remote)) => {
                return Ok(Self { number, remote, process, slot: Mutex::new(Some(place)) });
            }
            Some(Err(error)) => error.into(),
            None => {
                let reason = "it was not set up in time".to_owned();
                Error::Failed { plugin: key.spec.display_name(), reason }
            }
        };
        let (plugin, reason) = (key.spec.display_name(), failure.details());
        tracing::error!(plugin, mount = label, reason, "an instance could not be set up");
        place.clean_up().await;
        Err(failure)
    }

    /// Releases the process. Calls in progress are aborted; if `orderly`, the engine is closed
    /// first.
    async fn shut_down(&self, orderly: bool) {
        if orderly {
            self.remote.close().await;
        }
        let place = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            place.release().await;
        }
    }
}

/// Restarts an instance's process whenever it is lost.
struct InstanceSupervisor {
    instance: Arc<PluginInstance>,
    backoff: RestartBackoff,
}

impl InstanceSupervisor {
    async fn run_until_closed(self, first: Arc<ProcessGeneration>) {
        let closing = self.instance.closing.clone();
        // `close` releases the current process; a restart in progress is dropped, which ends its
        // process.
        closing.run_until_cancelled(self.keep_alive(first)).await;
    }

    async fn keep_alive(mut self, mut life: Arc<ProcessGeneration>) {
        let clock = self.instance.clock();
        loop {
            let born = clock.monotonic_time();
            life.process.wait_until_lost().await;
            self.backoff.reset_after_long_run(clock.monotonic_time().saturating_sub(born));
            let mut why = "its process ended";
            let number = life.number;
            life.shut_down(false).await;
            drop(life);
            life = loop {
                if !self.publish_state(InstanceState::Down { why }) {
                    return;
                }
                let pause = self.backoff.next();
                clock.sleep(pause).await;
                match self.restart(number + 1).await {
                    Ok(life) => break Arc::new(life),
                    Err(error) => {
                        let plugin = self.instance.key.spec.display_name();
                        let mount = &self.instance.label;
                        let reason = error.details();
                        tracing::error!(plugin, mount, reason, "a plug-in could not be restarted");
                        // Every client of the mount can receive this text.
                        why = NOT_RESTARTED;
                    }
                }
            };
            if !self.publish_state(InstanceState::Up(life.clone())) {
                life.shut_down(true).await;
                return;
            }
        }
    }

    /// Returns false if the instance was closed meanwhile; it is never reopened.
    fn publish_state(&self, state: InstanceState) -> bool {
        self.instance.state.send_if_modified(|current| {
            let open = !matches!(current, InstanceState::Closed);
            if open {
                *current = state;
            }
            open
        })
    }

    async fn restart(&self, number: u64) -> Result<ProcessGeneration, Error> {
        let PluginInstance { host, key, mount, label, description, .. } = &*self.instance;
        let life = ProcessGeneration::start(host, key, mount, label, number).await?;
        let plugin = || key.spec.display_name();
        let seen = life.remote.description();
        if seen.kind != description.kind || seen.special_paths != description.special_paths {
            life.shut_down(true).await;
            let reason = "it declares another type or other special paths than before".to_owned();
            return Err(Error::Failed { plugin: plugin(), reason });
        }
        if self.instance.initialized.load(Ordering::Acquire) {
            let clock = self.instance.clock();
            let begun = with_timeout(&*clock, INITIALIZE_TIMEOUT, life.remote.initialize()).await;
            let failure = match begun {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(error.to_string()),
                None => Some("it did not initialise in time".to_owned()),
            };
            if let Some(reason) = failure {
                life.shut_down(true).await;
                return Err(Error::Failed { plugin: plugin(), reason });
            }
        }
        Ok(life)
    }
}

/// Pauses between restarts: the first is immediate, the next waits 1 s, doubling up to 60 s. After
/// 60 s of uptime the pauses start over.
#[derive(Debug, Default)]
struct RestartBackoff {
    pause: Option<Duration>,
}

const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

impl RestartBackoff {
    fn reset_after_long_run(&mut self, life: Duration) {
        if life >= MAX_PAUSE {
            self.pause = None;
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause.unwrap_or_default();
        self.pause = Some((pause * 2).clamp(MIN_PAUSE, MAX_PAUSE));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_slow_down_and_recover() {
        let mut backoff = RestartBackoff::default();
        let pauses: Vec<u64> = (0..9).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.reset_after_long_run(Duration::from_secs(59));
        assert_eq!(backoff.next(), MAX_PAUSE);
        backoff.reset_after_long_run(MAX_PAUSE);
        assert_eq!(backoff.next(), Duration::ZERO);
    }
}
