use std::future::{Future, pending};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_types::clock::ManualClock;
use strongroom_types::entropy::SeededEntropy;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Response, Status, Streaming};

use super::plugin::{ANNOUNCEMENT_TIMEOUT, MAX_SLOTS};
use super::*;
use crate::address::PeerAddress;
use crate::generated::health::health_client::HealthClient;
use crate::generated::health::health_server::{Health, HealthServer};
use crate::generated::health::{HealthCheckRequest, HealthCheckResponse};
use crate::generated::plugin::ConnInfo;
use crate::generated::plugin::conn_info::Knock;
use crate::generated::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::tasks::TaskGroup;
use crate::tls::{TlsIdentity, client_config, server_config};
use crate::transport::{AnySize, Channel, GrpcServices, PluginListener, SocketFolder};

/// The service of an instance; it returns the instance's name.
#[derive(Clone)]
struct NamedHealthService {
    name: String,
    begun: mpsc::UnboundedSender<()>,
}

#[tonic::async_trait]
impl Health for NamedHealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if request.into_inner().service == "never" {
            self.begun.send(()).unwrap();
            pending::<()>().await;
        }
        Err(Status::failed_precondition(&self.name))
    }
}

/// A host and a plug-in with a main connection between them.
struct BrokerFixture {
    _parent: tempfile::TempDir,
    folder: Arc<SocketFolder>,
    host: TlsIdentity,
    plugin: TlsIdentity,
    clock: ManualClock,
    host_tasks: TaskGroup,
    host_tracker: TaskTracker,
    plugin_tasks: TaskGroup,
    plugin_tracker: TaskTracker,
    main: Channel,
    dialler: PluginBroker,
    begun: (mpsc::UnboundedSender<()>, mpsc::UnboundedReceiver<()>),
}

fn test_identity(seed: u64) -> TlsIdentity {
    TlsIdentity::generate(&ManualClock::default(), &SeededEntropy::new(seed)).unwrap()
}

impl BrokerFixture {
    async fn new() -> Self {
        Self::with_services(|broker| GrpcServices::new().with_service(broker.broker_server())).await
    }

    async fn with_services(services: impl FnOnce(&PluginBroker) -> GrpcServices) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = SocketFolder::create(parent.path(), &SeededEntropy::new(1)).unwrap();
        let (folder, clock, plugin_tracker) =
            (Arc::new(folder), ManualClock::default(), TaskTracker::new());
        let host_tracker = TaskTracker::new();
        let host_tasks = TaskGroup::new(host_tracker.clone(), Arc::new(clock.clone()));
        let plugin_tasks = TaskGroup::new(plugin_tracker.clone(), Arc::new(clock.clone()));
        let (host, plugin) = (test_identity(1), test_identity(2));
        let dialler = PluginBroker::new(&plugin_tasks);

        let listener = PluginListener::bind(&folder, "plugin").unwrap();
        let address = listener.address().clone();
        let tls = server_config(&plugin, host.certificate()).unwrap();
        let (services, tasks) = (services(&dialler), plugin_tasks.clone());
        plugin_tasks.spawn_counted(async move { listener.serve(tls, services, &tasks).await });
        let tls = client_config(&host, plugin.certificate()).unwrap();
        let main = Channel::connect(&address, tls, &host_tasks).await.unwrap();
        Self {
            _parent: parent,
            folder,
            host,
            plugin,
            clock,
            host_tasks,
            host_tracker,
            plugin_tasks,
            plugin_tracker,
            main,
            dialler,
            begun: mpsc::unbounded_channel(),
        }
    }

    fn open_host_broker(&self) -> HostBroker {
        let tls = server_config(&self.host, self.plugin.certificate()).unwrap();
        HostBroker::open(&self.main, self.folder.clone(), tls, &self.host_tasks)
    }

    fn named_services(&self, name: &str) -> GrpcServices {
        let named = NamedHealthService { name: name.to_owned(), begun: self.begun.0.clone() };
        GrpcServices::new().with_service(HealthServer::new(named))
    }

    async fn dial_as(&self, plugin: &TlsIdentity, id: u32) -> Result<Channel, DialError> {
        let tls = client_config(plugin, self.host.certificate()).unwrap();
        self.dialler.dial(id, tls).await
    }

    async fn dial(&self, id: u32) -> Result<Channel, DialError> {
        self.dial_as(&self.plugin, id).await
    }

    fn socket_path(&self, id: u32) -> PathBuf {
        self.folder.path().join(format!("b{id}"))
    }
}

async fn call_health(channel: &Channel, service: &str) -> Status {
    let mut client = HealthClient::new(channel.clone()).any_size();
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.unwrap_err()
}

/// A broker that receives only what the test records.
fn isolated_broker() -> (PluginBroker, ManualClock) {
    let clock = ManualClock::default();
    (PluginBroker::new(&TaskGroup::new(TaskTracker::new(), Arc::new(clock.clone()))), clock)
}

fn conn_info(service_id: u32, address: &str) -> ConnInfo {
    ConnInfo { service_id, network: "unix".to_owned(), address: address.to_owned(), knock: None }
}

/// A test that hangs fails.
fn run_with_timeout(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await }).unwrap();
}

#[test]
fn each_instance_gets_its_own_services() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let one = broker.offer(scene.named_services("one")).await.unwrap();
        let two = broker.offer(scene.named_services("two")).await.unwrap();
        assert_eq!((one.service_id(), two.service_id()), (1, 2));
        // In reverse order, so that one announcement has arrived long before it is asked for.
        let (two, one) = (scene.dial(2).await.unwrap(), scene.dial(1).await.unwrap());
        assert_eq!(call_health(&one, "").await.message(), "one");
        assert_eq!(call_health(&two, "").await.message(), "two");
    });
}

#[test]
fn dialling_may_come_first() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let (channel, offered) =
            tokio::join!(scene.dial(1), broker.offer(scene.named_services("one")));
        let _offered = offered.unwrap();
        assert_eq!(call_health(&channel.unwrap(), "").await.message(), "one");
    });
}

#[test]
fn what_is_offered_is_for_the_plugin_alone() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let _offered = scene.open_host_broker().offer(scene.named_services("one")).await.unwrap();
        let stranger = scene.dial_as(&test_identity(9), 1).await.unwrap();
        assert_eq!(call_health(&stranger, "").await.code(), Code::Unavailable);
    });
}

#[test]
fn dialling_times_out_without_an_announcement() {
    run_with_timeout(async {
        let (broker, clock) = isolated_broker();
        let (dialled, ()) =
            tokio::join!(broker.wait_for_address(1), async { clock.advance(ANNOUNCEMENT_TIMEOUT) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(1))), "{dialled:?}");
        // The ID can be requested again.
        let (dialled, ()) = tokio::join!(broker.wait_for_address(1), async {
            broker.0.record_announcement(&conn_info(1, "/x"));
        });
        assert_eq!(dialled.unwrap(), PeerAddress::unix("/x").unwrap());
    });
}

#[test]
fn an_announcement_nobody_collects_is_dropped() {
    run_with_timeout(async {
        let (broker, clock) = isolated_broker();
        broker.0.record_announcement(&conn_info(1, "/x"));
        clock.advance(ANNOUNCEMENT_TIMEOUT - Duration::from_nanos(1));
        broker.0.record_announcement(&conn_info(2, "/x"));
        assert!(broker.wait_for_address(1).await.is_ok());
        clock.advance(ANNOUNCEMENT_TIMEOUT);
        let (dialled, ()) =
            tokio::join!(broker.wait_for_address(2), async { clock.advance(ANNOUNCEMENT_TIMEOUT) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(2))), "{dialled:?}");
    });
}

#[test]
fn an_id_is_announced_once_and_dialled_once() {
    run_with_timeout(async {
        let (broker, clock) = isolated_broker();
        broker.0.record_announcement(&conn_info(1, "/first"));
        broker.0.record_announcement(&conn_info(1, "/second"));
        assert_eq!(broker.wait_for_address(1).await.unwrap(), PeerAddress::unix("/first").unwrap());
        let (one, two, ()) =
            tokio::join!(broker.wait_for_address(1), broker.wait_for_address(1), async {
                clock.advance(ANNOUNCEMENT_TIMEOUT);
            });
        assert!(matches!(one, Err(DialError::NotAnnounced(1))), "{one:?}");
        assert!(matches!(two, Err(DialError::Taken(1))), "{two:?}");
    });
}

#[test]
fn a_cancelled_dial_leaves_no_slot() {
    run_with_timeout(async {
        let (broker, _) = isolated_broker();
        {
            let mut dialling = Box::pin(broker.wait_for_address(1));
            assert!(futures_util::poll!(&mut dialling).is_pending());
        }
        broker.0.record_announcement(&conn_info(1, "/x"));
        assert!(broker.wait_for_address(1).await.is_ok());
    });
}

#[test]
fn announcement_slots_are_bounded() {
    run_with_timeout(async {
        let (broker, clock) = isolated_broker();
        let slots = u32::try_from(MAX_SLOTS).unwrap();
        for id in 0..slots + 10 {
            broker.0.record_announcement(&conn_info(id, "/x"));
        }
        let dialled = broker.wait_for_address(slots).await;
        assert!(matches!(dialled, Err(DialError::TooMany)), "{dialled:?}");
        assert!(broker.wait_for_address(slots - 1).await.is_ok());
        clock.advance(ANNOUNCEMENT_TIMEOUT);
        broker.0.record_announcement(&conn_info(7777, "/x"));
        assert!(broker.wait_for_address(7777).await.is_ok());
    });
}

#[test]
fn strange_announcements_are_errors_or_nothing() {
    run_with_timeout(async {
        let (broker, clock) = isolated_broker();
        broker.0.record_announcement(&conn_info(1, "not absolute"));
        broker.0.record_announcement(&ConnInfo {
            network: "tcp".to_owned(),
            ..conn_info(2, "10.0.0.1:80")
        });
        for id in [1, 2] {
            let dialled = broker.wait_for_address(id).await;
            assert!(matches!(dialled, Err(DialError::Address(_))), "{dialled:?}");
        }
        broker
            .0
            .record_announcement(&ConnInfo { knock: Some(Knock::default()), ..conn_info(3, "/x") });
        let (dialled, ()) =
            tokio::join!(broker.wait_for_address(3), async { clock.advance(ANNOUNCEMENT_TIMEOUT) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(3))), "{dialled:?}");
    });
}

/// Announces and asks at the same time, many times over: whichever is first, the address is found.
#[test]
fn no_announcement_is_missed() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (broker, _) = isolated_broker();
        for id in 0..5000 {
            let (announcing, asking) = (broker.clone(), broker.clone());
            let barrier = Arc::new(tokio::sync::Barrier::new(2));
            let tracker = TaskTracker::new();
            let gate = barrier.clone();
            tracker.spawn(async move {
                gate.wait().await;
                announcing.0.record_announcement(&conn_info(id, "/x"));
            });
            let asked = tracker.spawn(async move {
                barrier.wait().await;
                asking.wait_for_address(id).await
            });
            let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
            assert!(asked.expect("it was missed").unwrap().is_ok());
        }
    });
}

#[test]
fn the_end_of_the_host_is_noticed() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let _offered = broker.offer(scene.named_services("one")).await.unwrap();
        scene.dialler.wait_for_address(1).await.unwrap();
        assert!(futures_util::poll!(Box::pin(scene.dialler.host_gone())).is_pending());
        drop(broker);
        scene.dialler.host_gone().await;

        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let _offered = broker.offer(scene.named_services("one")).await.unwrap();
        scene.dialler.wait_for_address(1).await.unwrap();
        scene.host_tasks.stop();
        scene.dialler.host_gone().await;
    });
}

#[test]
fn the_end_of_the_plugin_is_noticed() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let offered = broker.offer(scene.named_services("one")).await.unwrap();
        scene.dialler.wait_for_address(1).await.unwrap();
        // An open stream of announcements does not delay the end.
        scene.plugin_tasks.drain();
        scene.plugin_tracker.close();
        scene.plugin_tracker.wait().await;
        scene.main.wait_until_lost().await;
        // The stream has ended; the sender may notice that a little later.
        while broker.offer(scene.named_services("two")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let offer = broker.offer(scene.named_services("two")).await;
        assert!(matches!(offer, Err(OfferError::Closed)), "{offer:?}");
        drop(offered);
        scene.host_tracker.close();
        scene.host_tracker.wait().await;
        let left = std::fs::read_dir(scene.folder.path()).unwrap().count();
        assert_eq!(left, 0, "what was not offered leaves nothing behind");
    });
}

/// A Go plug-in sends no response on the stream of announcements until it announces something
/// itself.
#[derive(Clone)]
struct SilentBroker(PluginBroker);

#[tonic::async_trait]
impl GrpcBroker for SilentBroker {
    type StartStreamStream = <PluginBroker as GrpcBroker>::StartStreamStream;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let mut incoming = request.into_inner();
        while let Some(info) = incoming.message().await? {
            self.0.0.record_announcement(&info);
        }
        Err(Status::cancelled("the host said goodbye"))
    }
}

#[test]
fn a_silent_plugin_still_receives_announcements() {
    run_with_timeout(async {
        let scene = BrokerFixture::with_services(|broker| {
            GrpcServices::new().with_service(GrpcBrokerServer::new(SilentBroker(broker.clone())))
        })
        .await;
        let broker = scene.open_host_broker();
        let _offered = broker.offer(scene.named_services("one")).await.unwrap();
        assert_eq!(call_health(&scene.dial(1).await.unwrap(), "").await.message(), "one");
    });
}

#[test]
fn closing_lets_calls_end_but_not_for_ever() {
    run_with_timeout(async {
        let mut scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let offered = broker.offer(scene.named_services("one")).await.unwrap();
        let channel = scene.dial(1).await.unwrap();
        assert_eq!(call_health(&channel, "").await.message(), "one");
        // No call is running, so closing doesn't wait for the clock.
        offered.close(ANNOUNCEMENT_TIMEOUT).await;
        assert!(!scene.socket_path(1).exists());
        channel.wait_until_lost().await;

        let offered = broker.offer(scene.named_services("two")).await.unwrap();
        let channel = scene.dial(2).await.unwrap();
        let (answer, ()) = tokio::join!(call_health(&channel, "never"), async {
            scene.begun.1.recv().await.unwrap();
            let clock = scene.clock.clone();
            tokio::join!(offered.close(ANNOUNCEMENT_TIMEOUT), async {
                clock.advance(ANNOUNCEMENT_TIMEOUT);
            });
        });
        assert_eq!(answer.code(), Code::Unavailable);
    });
}

#[test]
fn dropping_an_offer_ends_it() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        let offered = broker.offer(scene.named_services("one")).await.unwrap();
        let other = broker.offer(scene.named_services("two")).await.unwrap();
        let (channel, neighbour) = (scene.dial(1).await.unwrap(), scene.dial(2).await.unwrap());
        drop(offered);
        channel.wait_until_lost().await;
        assert_eq!(call_health(&neighbour, "").await.message(), "two");
        drop(other);
    });
}

#[test]
fn ids_are_never_used_twice() {
    run_with_timeout(async {
        let scene = BrokerFixture::new().await;
        let broker = scene.open_host_broker();
        broker.last_id.store(u32::MAX - 1, Ordering::Relaxed);
        let offered = broker.offer(scene.named_services("last")).await.unwrap();
        assert_eq!(offered.service_id(), u32::MAX);
        let offer = broker.offer(scene.named_services("more")).await;
        assert!(matches!(offer, Err(OfferError::UsedUp)), "{offer:?}");
    });
}
