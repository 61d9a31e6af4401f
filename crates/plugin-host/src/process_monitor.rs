//! [`ProcessMonitor`]: monitors one process until it exits, and checks its health.

use std::convert::Infallible;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom_plugin_protocol::generated::health::HealthCheckRequest;
use strongroom_plugin_protocol::generated::health::health_check_response::ServingStatus;
use strongroom_plugin_protocol::generated::health::health_client::HealthClient;
use strongroom_plugin_protocol::generated::plugin::Empty;
use strongroom_plugin_protocol::generated::plugin::grpc_controller_client::GrpcControllerClient;
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::transport::error::{Delivery, TransportError};
use strongroom_plugin_protocol::transport::{AnySize, Channel};
use strongroom_telemetry::names;
use strongroom_types::Clock;
use strongroom_types::clock::with_timeout;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::{Request as Call, Status};

use crate::process_metrics::ProcessMetrics;
use crate::spawn::ChildProcess;

/// What callers of a process report to its monitor. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct LivenessHints(Arc<LivenessHintsInner>);

#[derive(Debug, Default)]
struct LivenessHintsInner {
    /// A call was answered since the monitor last checked.
    has_answered: AtomicBool,
    /// Notified when the process refuses calls.
    refusing: Notify,
}

impl LivenessHints {
    /// Records that the process answered a call, so that no health check is needed.
    pub fn record_answer(&self) {
        self.0.has_answered.store(true, Ordering::Relaxed);
    }

    /// Records that it refused a call repeatedly without processing it: it may have sent GOAWAY
    /// without exiting. The monitor then checks its health at once.
    pub fn record_refusal(&self) {
        self.0.refusing.notify_one();
    }
}

/// Monitors one process until it exits, and shuts it down when asked to.
pub(crate) struct ProcessMonitor {
    pub(crate) title: String,
    pub(crate) child: ChildProcess,
    pub(crate) channel: Channel,
    pub(crate) liveness: LivenessHints,
    pub(crate) stop: CancellationToken,
    pub(crate) exited: CancellationToken,
    pub(crate) tasks: TaskGroup,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: ProcessMetrics,
}

/// How long a process may take to exit after it was asked to, before it is killed.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for a killed process. The system may be unable to end it.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the memory of a process is read.
const MEMORY_INTERVAL: Duration = Duration::from_secs(15);
/// How often the health of a process that answers no calls is checked.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How long a health check may take.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of consecutive failed health checks after which a process is replaced.
const MAX_MISSED_CHECKS: u32 = 3;

enum ExitReason {
    Ended(Option<ExitStatus>),
    ConnectionLost,
    Requested,
    Unhealthy(&'static str),
}

impl ProcessMonitor {
    pub(crate) async fn run(mut self) {
        let pid = self.child.pid();
        // However this task ends, `exited` is cancelled, so that no caller waits for the process.
        let _over = self.exited.clone().drop_guard();
        let _counted = self.meter.add_process(&self.title, pid);
        tracing::info!(plugin = self.title, pid, "a plug-in process was started");
        let why = tokio::select! {
            biased;
            end = self.child.wait() => ExitReason::Ended(end.ok()),
            () = self.channel.wait_until_lost() => ExitReason::ConnectionLost,
            () = self.stop.cancelled() => ExitReason::Requested,
            why = watch_health(&self.channel, &self.liveness, &*self.clock) => ExitReason::Unhealthy(why),
            never = measure_memory(&self.meter, &self.title, pid, &*self.clock) => match never {},
        };
        if let ExitReason::Unhealthy(reason) = why {
            tracing::error!(plugin = self.title, pid, reason, "a plug-in process is replaced");
        }
        // No new instance may join the process from here on. `stop` does not show whether a
        // shutdown was requested: callers that find the process dead also cancel it, perhaps before
        // this task ran.
        self.stop.cancel();
        let end = match &why {
            ExitReason::Ended(end) => *end,
            ExitReason::ConnectionLost | ExitReason::Requested | ExitReason::Unhealthy(_) => {
                self.shut_down().await
            }
        };
        self.tasks.stop();
        let end = describe_exit(end);
        if matches!(why, ExitReason::Requested) {
            tracing::info!(plugin = self.title, pid, end, "a plug-in process was ended");
            return;
        }
        metrics::counter!(names::PLUGIN_CRASHES, "plugin" => self.title.clone()).increment(1);
        if matches!(why, ExitReason::Ended(_) | ExitReason::ConnectionLost) {
            tracing::error!(plugin = self.title, pid, end, "a plug-in process ended by itself");
        }
    }

    async fn shut_down(&mut self) -> Option<ExitStatus> {
        let mut client = GrpcControllerClient::new(self.channel.clone()).any_size();
        let mut call = Call::new(Empty {});
        call.set_timeout(SHUTDOWN_TIMEOUT);
        // The process usually exits during the call, which then fails; the outcome doesn't matter.
        let asking = async {
            drop(client.shutdown(call).await);
            std::future::pending::<Infallible>().await
        };
        let ending = async {
            tokio::select! {
                end = self.child.wait() => end,
                never = asking => match never {},
            }
        };
        if let Some(end) = with_timeout(&*self.clock, SHUTDOWN_TIMEOUT, ending).await {
            return end.ok();
        }
        let (plugin, pid) = (&self.title, self.child.pid());
        tracing::warn!(
            plugin,
            pid,
            "a plug-in process did not end within {} s and is killed",
            SHUTDOWN_TIMEOUT.as_secs()
        );
        self.child.kill();
        match with_timeout(&*self.clock, KILL_TIMEOUT, self.child.wait()).await {
            Some(end) => end.ok(),
            None => {
                tracing::error!(
                    plugin,
                    pid,
                    "a plug-in process can't be killed and is left behind"
                );
                None
            }
        }
    }
}

/// Resolves with the reason when the process should be replaced. A process that answers calls is
/// not checked, so a busy one is not replaced.
async fn watch_health(channel: &Channel, doubt: &LivenessHints, clock: &dyn Clock) -> &'static str {
    let mut misses = 0;
    loop {
        let refusing = tokio::select! {
            () = clock.sleep(HEALTH_CHECK_INTERVAL) => false,
            () = doubt.0.refusing.notified() => true,
        };
        if doubt.0.has_answered.swap(false, Ordering::Relaxed) && !refusing {
            misses = 0;
            continue;
        }
        let answer =
            with_timeout(clock, HEALTH_CHECK_TIMEOUT, ask_health(channel, HEALTH_CHECK_TIMEOUT))
                .await;
        let unseen = |error: &TransportError| error.delivery() == Delivery::NotDelivered;
        match answer {
            Some(Ok(status)) if status == ServingStatus::Serving as i32 => misses = 0,
            Some(Err(status))
                if refusing && TransportError::from_status(&status).is_some_and(unseen) =>
            {
                return "it takes no calls any more, and does not go";
            }
            _ => misses += 1,
        }
        if misses == MAX_MISSED_CHECKS {
            return "it does not respond to health checks";
        }
    }
}

async fn measure_memory(
    meter: &ProcessMetrics,
    title: &str,
    pid: u32,
    clock: &dyn Clock,
) -> Infallible {
    loop {
        clock.sleep(MEMORY_INTERVAL).await;
        meter.update_memory(title, pid);
    }
}

pub(crate) fn describe_exit(end: Option<ExitStatus>) -> String {
    end.map_or_else(|| "no exit status".to_owned(), |status| status.to_string())
}

/// Calls the health service; returns a number of [`ServingStatus`].
pub(crate) async fn ask_health(channel: &Channel, limit: Duration) -> Result<i32, Status> {
    let mut call = Call::new(HealthCheckRequest { service: "plugin".to_owned() });
    call.set_timeout(limit);
    let mut client = HealthClient::new(channel.clone()).any_size();
    Ok(client.check(call).await?.get_ref().status)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use strongroom_plugin_protocol::generated::health::HealthCheckResponse;
    use strongroom_plugin_protocol::generated::health::health_server::{Health, HealthServer};
    use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, server_config};
    use strongroom_plugin_protocol::transport::{GrpcServices, PluginListener, SocketFolder};
    use strongroom_types::clock::ManualClock;
    use strongroom_types::entropy::SeededEntropy;
    use tokio_util::task::TaskTracker;
    use tonic::Response;

    use super::*;

    /// A plug-in that implements the health service only.
    #[derive(Clone, Default)]
    struct FakeHealthService {
        is_unresponsive: Arc<AtomicBool>,
        asked: Arc<Notify>,
    }

    #[tonic::async_trait]
    impl Health for FakeHealthService {
        async fn check(
            &self,
            _: Call<HealthCheckRequest>,
        ) -> Result<Response<HealthCheckResponse>, Status> {
            self.asked.notify_one();
            if self.is_unresponsive.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let status = ServingStatus::Serving as i32;
            Ok(Response::new(HealthCheckResponse { status }))
        }
    }

    struct HealthCheckFixture {
        service: FakeHealthService,
        clock: ManualClock,
        server: TaskGroup,
        channel: Channel,
        _parent: tempfile::TempDir,
    }

    impl HealthCheckFixture {
        async fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            let entropy = SeededEntropy::new(1);
            let folder = Arc::new(SocketFolder::create(parent.path(), &entropy).unwrap());
            let clock = ManualClock::default();
            let tasks = || TaskGroup::new(TaskTracker::new(), Arc::new(clock.clone()));
            let (server, client) = (tasks(), tasks());
            let identity = || TlsIdentity::generate(&clock, &entropy).unwrap();
            let (host, plugin) = (identity(), identity());
            let service = FakeHealthService::default();
            let services = GrpcServices::new().with_service(HealthServer::new(service.clone()));
            let listener = PluginListener::bind(&folder, "x").unwrap();
            let address = listener.address().clone();
            let security = server_config(&plugin, host.certificate()).unwrap();
            let serving = server.clone();
            TaskTracker::new()
                .spawn(async move { listener.serve(security, services, &serving).await });
            let security = client_config(&host, plugin.certificate()).unwrap();
            let channel = Channel::connect(&address, security, &client).await.unwrap();
            Self { service, clock, server, channel, _parent: parent }
        }

        async fn watch_idle(
            &self,
            doubt: &LivenessHints,
            seconds: u64,
        ) -> Option<(u64, &'static str)> {
            self.watch_while(false, doubt, seconds).await
        }

        /// Advances the clock second by second while the process is watched; returns when and why
        /// it was found unhealthy.
        async fn watch_while(
            &self,
            is_busy: bool,
            doubt: &LivenessHints,
            seconds: u64,
        ) -> Option<(u64, &'static str)> {
            let mut watching = pin!(watch_health(&self.channel, doubt, &self.clock));
            for second in 0..=seconds {
                if is_busy {
                    doubt.record_answer();
                }
                self.clock.advance(Duration::from_secs(u64::from(second > 0)));
                // Enough polls for a request and its response.
                for _ in 0..100 {
                    tokio::select! {
                        biased;
                        why = &mut watching => return Some((second, why)),
                        () = tokio::task::yield_now() => {}
                    }
                }
            }
            None
        }
    }

    #[tokio::test]
    async fn a_healthy_process_is_kept() {
        let scene = HealthCheckFixture::new().await;
        assert_eq!(scene.watch_idle(&LivenessHints::default(), 300).await, None);
        scene.service.asked.notified().await;
    }

    #[tokio::test]
    async fn a_silent_process_is_replaced_after_missed_checks() {
        let scene = HealthCheckFixture::new().await;
        scene.service.is_unresponsive.store(true, Ordering::Relaxed);
        let (second, _) = scene.watch_idle(&LivenessHints::default(), 300).await.unwrap();
        assert_eq!(second, 3 * (HEALTH_CHECK_INTERVAL + HEALTH_CHECK_TIMEOUT).as_secs());
    }

    #[tokio::test]
    async fn a_busy_process_is_not_checked() {
        let scene = HealthCheckFixture::new().await;
        scene.service.is_unresponsive.store(true, Ordering::Relaxed);
        assert_eq!(scene.watch_while(true, &LivenessHints::default(), 300).await, None);
    }

    /// It has sent GOAWAY, and keeps the connection open for a call that is still running.
    #[tokio::test]
    async fn a_process_that_refuses_calls_is_replaced_at_once() {
        let scene = HealthCheckFixture::new().await;
        let FakeHealthService { is_unresponsive, asked } = &scene.service;
        is_unresponsive.store(true, Ordering::Relaxed);
        let mut held = pin!(ask_health(&scene.channel, Duration::from_secs(1000)));
        tokio::select! {
            _ = &mut held => panic!("it answers"),
            () = asked.notified() => is_unresponsive.store(false, Ordering::Relaxed),
        }
        let doubt = LivenessHints::default();
        doubt.record_refusal();
        assert_eq!(scene.watch_idle(&doubt, 1).await, None, "it was a false alarm");
        scene.server.drain();
        let refused = async {
            while ask_health(&scene.channel, HEALTH_CHECK_TIMEOUT).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        refused.await;
        assert!(!scene.channel.is_lost());
        doubt.record_refusal();
        let (second, why) = scene.watch_idle(&doubt, 5).await.unwrap();
        assert_eq!((second, why), (0, "it takes no calls any more, and does not go"));
        assert!(futures_util::poll!(held).is_pending());
    }
}
