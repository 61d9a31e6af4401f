//! Watches one process to its end, and asks now and then whether it is well.

use std::convert::Infallible;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strongroom_plugin_protocol::generated::health::health_check_response::ServingStatus;
use strongroom_plugin_protocol::generated::plugin::Empty;
use strongroom_plugin_protocol::generated::plugin::grpc_controller_client::GrpcControllerClient;
use strongroom_plugin_protocol::tasks::Tasks;
use strongroom_plugin_protocol::transport::error::{Delivery, TransportError};
use strongroom_plugin_protocol::transport::{AnySize, Channel};
use strongroom_telemetry::names;
use strongroom_types::Clock;
use strongroom_types::clock::within;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Request as Call;

use crate::meter::Meter;
use crate::process::ask_health;
use crate::spawn::Running;

/// What those who call a process tell its keeper. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Doubt(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    /// It answered something since somebody looked.
    heard: AtomicBool,
    /// It refuses calls.
    refusing: Notify,
}

impl Doubt {
    /// It answered, so it is alive.
    pub fn heard(&self) {
        self.0.heard.store(true, Ordering::Relaxed);
    }

    /// It refused a call several times, unseen: it may have said goodbye and not gone.
    pub fn refuses(&self) {
        self.0.refusing.notify_one();
    }
}

/// Watches one process to its end.
pub(crate) struct Keeper {
    pub(crate) title: String,
    pub(crate) child: Running,
    pub(crate) channel: Channel,
    pub(crate) doubt: Doubt,
    pub(crate) stop: CancellationToken,
    pub(crate) over: CancellationToken,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
}

/// How long a process may take to end after it was asked to, before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// How long one that was killed is waited for. The system may not let go of it.
const DEATH: Duration = Duration::from_secs(3);
/// How often memory is looked at.
const MEASURE: Duration = Duration::from_secs(15);
/// How often one that says nothing is asked whether it is well.
const ASK: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Questions without an answer, in a row, after which it is given up.
const MISSES: u32 = 3;

enum Why {
    Ended(Option<ExitStatus>),
    Lost,
    Asked,
    Unwell(&'static str),
}

impl Keeper {
    pub(crate) async fn keep(mut self) {
        let pid = self.child.id();
        // Whatever ends this task, nobody waits for the process any more.
        let _over = self.over.clone().drop_guard();
        let _counted = self.meter.count(&self.title, pid);
        tracing::info!(plugin = self.title, pid, "a plug-in process was started");
        let why = tokio::select! {
            biased;
            end = self.child.ended() => Why::Ended(end.ok()),
            () = self.channel.lost() => Why::Lost,
            () = self.stop.cancelled() => Why::Asked,
            why = watch(&self.channel, &self.doubt, &*self.clock) => Why::Unwell(why),
            never = measure(&self.meter, &self.title, pid, &*self.clock) => match never {},
        };
        if let Why::Unwell(reason) = why {
            tracing::error!(plugin = self.title, pid, reason, "a plug-in process is replaced");
        }
        // Whoever comes from here on must not get a place in it. Whether it was asked to end is not
        // read from here: who meets a dead process gives it up at once, perhaps before this task ran.
        self.stop.cancel();
        let end = match &why {
            Why::Ended(end) => *end,
            Why::Lost | Why::Asked | Why::Unwell(_) => self.shut_down().await,
        };
        self.tasks.stop();
        let end = describe_end(end);
        if matches!(why, Why::Asked) {
            tracing::info!(plugin = self.title, pid, end, "a plug-in process was ended");
            return;
        }
        metrics::counter!(names::PLUGIN_CRASHES, "plugin" => self.title.clone()).increment(1);
        if matches!(why, Why::Ended(_) | Why::Lost) {
            tracing::error!(plugin = self.title, pid, end, "a plug-in process ended by itself");
        }
    }

    async fn shut_down(&mut self) -> Option<ExitStatus> {
        let mut client = GrpcControllerClient::new(self.channel.clone()).any_size();
        let mut call = Call::new(Empty {});
        call.set_timeout(GRACE);
        // It usually ends within the call, which then fails: every outcome is fine.
        let asking = async {
            drop(client.shutdown(call).await);
            std::future::pending::<Infallible>().await
        };
        let ending = async {
            tokio::select! {
                end = self.child.ended() => end,
                never = asking => match never {},
            }
        };
        if let Some(end) = within(&*self.clock, GRACE, ending).await {
            return end.ok();
        }
        let (plugin, pid) = (&self.title, self.child.id());
        tracing::warn!(
            plugin,
            pid,
            "a plug-in process did not end within {} s and is killed",
            GRACE.as_secs()
        );
        self.child.kill();
        match within(&*self.clock, DEATH, self.child.ended()).await {
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

/// Resolves with a reason when the process should be replaced. One that answers calls is not
/// asked, so a busy one is not suspected.
async fn watch(channel: &Channel, doubt: &Doubt, clock: &dyn Clock) -> &'static str {
    let mut misses = 0;
    loop {
        let refusing = tokio::select! {
            () = clock.sleep(ASK) => false,
            () = doubt.0.refusing.notified() => true,
        };
        if doubt.0.heard.swap(false, Ordering::Relaxed) && !refusing {
            misses = 0;
            continue;
        }
        let answer = within(clock, ANSWER, ask_health(channel, ANSWER)).await;
        let unseen = |error: &TransportError| error.delivery() == Delivery::NotDelivered;
        match answer {
            Some(Ok(status)) if status == ServingStatus::Serving as i32 => misses = 0,
            Some(Err(status)) if refusing && TransportError::of(&status).is_some_and(unseen) => {
                return "it takes no calls any more, and does not go";
            }
            _ => misses += 1,
        }
        if misses == MISSES {
            return "it does not answer when asked for its health";
        }
    }
}

async fn measure(meter: &Meter, title: &str, pid: u32, clock: &dyn Clock) -> Infallible {
    loop {
        clock.sleep(MEASURE).await;
        meter.measure(title, pid);
    }
}

pub(crate) fn describe_end(end: Option<ExitStatus>) -> String {
    end.map_or_else(|| "no exit status".to_owned(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use strongroom_plugin_protocol::generated::health::health_server::{Health, HealthServer};
    use strongroom_plugin_protocol::generated::health::{HealthCheckRequest, HealthCheckResponse};
    use strongroom_plugin_protocol::tls::{Identity, client_config, server_config};
    use strongroom_plugin_protocol::transport::{Listener, Services, SocketFolder};
    use strongroom_types::clock::ManualClock;
    use strongroom_types::entropy::SeededEntropy;
    use tokio_util::task::TaskTracker;
    use tonic::{Response, Status};

    use super::*;

    /// A plug-in that can be asked for its health alone.
    #[derive(Clone, Default)]
    struct Patient {
        is_dazed: Arc<AtomicBool>,
        asked: Arc<Notify>,
    }

    #[tonic::async_trait]
    impl Health for Patient {
        async fn check(
            &self,
            _: Call<HealthCheckRequest>,
        ) -> Result<Response<HealthCheckResponse>, Status> {
            self.asked.notify_one();
            if self.is_dazed.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let status = ServingStatus::Serving as i32;
            Ok(Response::new(HealthCheckResponse { status }))
        }
    }

    struct Scene {
        patient: Patient,
        clock: ManualClock,
        server: Tasks,
        channel: Channel,
        _parent: tempfile::TempDir,
    }

    impl Scene {
        async fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            let entropy = SeededEntropy::new(1);
            let folder = Arc::new(SocketFolder::create(parent.path(), &entropy).unwrap());
            let clock = ManualClock::default();
            let tasks = || Tasks::new(TaskTracker::new(), Arc::new(clock.clone()));
            let (server, client) = (tasks(), tasks());
            let identity = || Identity::generate(&clock, &entropy).unwrap();
            let (host, plugin) = (identity(), identity());
            let patient = Patient::default();
            let services = Services::new().with(HealthServer::new(patient.clone()));
            let listener = Listener::bind(&folder, "x").unwrap();
            let address = listener.address().clone();
            let security = server_config(&plugin, host.certificate()).unwrap();
            let serving = server.clone();
            TaskTracker::new()
                .spawn(async move { listener.serve(security, services, &serving).await });
            let security = client_config(&host, plugin.certificate()).unwrap();
            let channel = Channel::connect(&address, security, &client).await.unwrap();
            Self { patient, clock, server, channel, _parent: parent }
        }

        async fn watch(&self, doubt: &Doubt, seconds: u64) -> Option<(u64, &'static str)> {
            self.watch_while(false, doubt, seconds).await
        }

        /// Lets so many seconds pass while it is watched; gives when and why it was given up.
        async fn watch_while(
            &self,
            is_busy: bool,
            doubt: &Doubt,
            seconds: u64,
        ) -> Option<(u64, &'static str)> {
            let mut watching = pin!(watch(&self.channel, doubt, &self.clock));
            for second in 0..=seconds {
                if is_busy {
                    doubt.heard();
                }
                self.clock.advance(Duration::from_secs(u64::from(second > 0)));
                // Long enough for a question to arrive and its answer to come back.
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
    async fn one_that_answers_is_left_alone() {
        let scene = Scene::new().await;
        assert_eq!(scene.watch(&Doubt::default(), 300).await, None);
        scene.patient.asked.notified().await;
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_given_up_after_a_while() {
        let scene = Scene::new().await;
        scene.patient.is_dazed.store(true, Ordering::Relaxed);
        let (second, _) = scene.watch(&Doubt::default(), 300).await.unwrap();
        assert_eq!(second, 3 * (ASK + ANSWER).as_secs());
    }

    #[tokio::test]
    async fn a_busy_one_is_not_suspected() {
        let scene = Scene::new().await;
        scene.patient.is_dazed.store(true, Ordering::Relaxed);
        assert_eq!(scene.watch_while(true, &Doubt::default(), 300).await, None);
    }

    /// It said goodbye and keeps the connection, on which something still runs.
    #[tokio::test]
    async fn one_that_takes_no_calls_is_given_up_at_once() {
        let scene = Scene::new().await;
        let Patient { is_dazed, asked } = &scene.patient;
        is_dazed.store(true, Ordering::Relaxed);
        let mut held = pin!(ask_health(&scene.channel, Duration::from_secs(1000)));
        tokio::select! {
            _ = &mut held => panic!("it answers"),
            () = asked.notified() => is_dazed.store(false, Ordering::Relaxed),
        }
        let doubt = Doubt::default();
        doubt.refuses();
        assert_eq!(scene.watch(&doubt, 1).await, None, "it was a false alarm");
        scene.server.drain();
        let refused = async {
            while ask_health(&scene.channel, ANSWER).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        refused.await;
        assert!(!scene.channel.is_lost());
        doubt.refuses();
        let (second, why) = scene.watch(&doubt, 5).await.unwrap();
        assert_eq!((second, why), (0, "it takes no calls any more, and does not go"));
        assert!(futures_util::poll!(held).is_pending());
    }
}
