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

use super::plugin::{MAX_SLOTS, PATIENCE};
use super::*;
use crate::address::Address;
use crate::generated::health::health_client::HealthClient;
use crate::generated::health::health_server::{Health, HealthServer};
use crate::generated::health::{HealthCheckRequest, HealthCheckResponse};
use crate::generated::plugin::ConnInfo;
use crate::generated::plugin::conn_info::Knock;
use crate::generated::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::tasks::Tasks;
use crate::tls::{Identity, client_config, server_config};
use crate::transport::{AnySize, Channel, Listener, Services, SocketFolder};

/// The service of an instance: it knows its own name only.
#[derive(Clone)]
struct Named {
    name: String,
    begun: mpsc::UnboundedSender<()>,
}

#[tonic::async_trait]
impl Health for Named {
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

/// Host and plug-in, joined by a main connection.
struct Scene {
    _parent: tempfile::TempDir,
    folder: Arc<SocketFolder>,
    host: Identity,
    plugin: Identity,
    clock: ManualClock,
    host_tasks: Tasks,
    host_tracker: TaskTracker,
    plugin_tasks: Tasks,
    plugin_tracker: TaskTracker,
    main: Channel,
    dialler: PluginBroker,
    begun: (mpsc::UnboundedSender<()>, mpsc::UnboundedReceiver<()>),
}

fn identity(seed: u64) -> Identity {
    Identity::generate(&ManualClock::default(), &SeededEntropy::new(seed)).unwrap()
}

impl Scene {
    async fn new() -> Self {
        Self::with(|broker| Services::new().with(broker.service())).await
    }

    async fn with(services: impl FnOnce(&PluginBroker) -> Services) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = SocketFolder::create(parent.path(), &SeededEntropy::new(1)).unwrap();
        let (folder, clock, plugin_tracker) =
            (Arc::new(folder), ManualClock::default(), TaskTracker::new());
        let host_tracker = TaskTracker::new();
        let host_tasks = Tasks::new(host_tracker.clone(), Arc::new(clock.clone()));
        let plugin_tasks = Tasks::new(plugin_tracker.clone(), Arc::new(clock.clone()));
        let (host, plugin) = (identity(1), identity(2));
        let dialler = PluginBroker::new(&plugin_tasks);

        let listener = Listener::bind(&folder, "plugin").unwrap();
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

    fn open(&self) -> HostBroker {
        let tls = server_config(&self.host, self.plugin.certificate()).unwrap();
        HostBroker::open(&self.main, self.folder.clone(), tls, &self.host_tasks)
    }

    fn services(&self, name: &str) -> Services {
        let named = Named { name: name.to_owned(), begun: self.begun.0.clone() };
        Services::new().with(HealthServer::new(named))
    }

    async fn dial_as(&self, plugin: &Identity, id: u32) -> Result<Channel, DialError> {
        let tls = client_config(plugin, self.host.certificate()).unwrap();
        self.dialler.dial(id, tls).await
    }

    async fn dial(&self, id: u32) -> Result<Channel, DialError> {
        self.dial_as(&self.plugin, id).await
    }

    fn socket(&self, id: u32) -> PathBuf {
        self.folder.path().join(format!("b{id}"))
    }
}

async fn ask(channel: &Channel, service: &str) -> Status {
    let mut client = HealthClient::new(channel.clone()).any_size();
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.unwrap_err()
}

/// A broker that hears nothing but what the test says.
fn alone() -> (PluginBroker, ManualClock) {
    let clock = ManualClock::default();
    (PluginBroker::new(&Tasks::new(TaskTracker::new(), Arc::new(clock.clone()))), clock)
}

fn info(service_id: u32, address: &str) -> ConnInfo {
    ConnInfo { service_id, network: "unix".to_owned(), address: address.to_owned(), knock: None }
}

/// A test that hangs has failed.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await }).unwrap();
}

#[test]
fn each_instance_gets_its_own_services() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        let one = broker.offer(scene.services("one")).await.unwrap();
        let two = broker.offer(scene.services("two")).await.unwrap();
        assert_eq!((one.service_id(), two.service_id()), (1, 2));
        // In the other order, so that one has arrived long before it is asked for.
        let (two, one) = (scene.dial(2).await.unwrap(), scene.dial(1).await.unwrap());
        assert_eq!(ask(&one, "").await.message(), "one");
        assert_eq!(ask(&two, "").await.message(), "two");
    });
}

#[test]
fn dialling_may_come_first() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        let (channel, offered) = tokio::join!(scene.dial(1), broker.offer(scene.services("one")));
        let _offered = offered.unwrap();
        assert_eq!(ask(&channel.unwrap(), "").await.message(), "one");
    });
}

#[test]
fn what_is_offered_is_for_the_plugin_alone() {
    run(async {
        let scene = Scene::new().await;
        let _offered = scene.open().offer(scene.services("one")).await.unwrap();
        let stranger = scene.dial_as(&identity(9), 1).await.unwrap();
        assert_eq!(ask(&stranger, "").await.code(), Code::Unavailable);
    });
}

#[test]
fn an_announcement_is_waited_for_and_then_not() {
    run(async {
        let (broker, clock) = alone();
        let (dialled, ()) = tokio::join!(broker.announced(1), async { clock.advance(PATIENCE) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(1))), "{dialled:?}");
        // It can be asked for again.
        let (dialled, ()) =
            tokio::join!(broker.announced(1), async { broker.0.deliver(&info(1, "/x")) });
        assert_eq!(dialled.unwrap(), Address::unix("/x").unwrap());
    });
}

#[test]
fn an_announcement_nobody_collects_is_dropped() {
    run(async {
        let (broker, clock) = alone();
        broker.0.deliver(&info(1, "/x"));
        clock.advance(PATIENCE - Duration::from_nanos(1));
        broker.0.deliver(&info(2, "/x"));
        assert!(broker.announced(1).await.is_ok());
        clock.advance(PATIENCE);
        let (dialled, ()) = tokio::join!(broker.announced(2), async { clock.advance(PATIENCE) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(2))), "{dialled:?}");
    });
}

#[test]
fn an_id_is_announced_once_and_dialled_once() {
    run(async {
        let (broker, clock) = alone();
        broker.0.deliver(&info(1, "/first"));
        broker.0.deliver(&info(1, "/second"));
        assert_eq!(broker.announced(1).await.unwrap(), Address::unix("/first").unwrap());
        let (one, two, ()) = tokio::join!(broker.announced(1), broker.announced(1), async {
            clock.advance(PATIENCE);
        });
        assert!(matches!(one, Err(DialError::NotAnnounced(1))), "{one:?}");
        assert!(matches!(two, Err(DialError::Taken(1))), "{two:?}");
    });
}

#[test]
fn whoever_gives_up_leaves_no_trace() {
    run(async {
        let (broker, _) = alone();
        {
            let mut dialling = Box::pin(broker.announced(1));
            assert!(futures_util::poll!(&mut dialling).is_pending());
        }
        broker.0.deliver(&info(1, "/x"));
        assert!(broker.announced(1).await.is_ok());
    });
}

#[test]
fn what_is_remembered_is_bounded() {
    run(async {
        let (broker, clock) = alone();
        let slots = u32::try_from(MAX_SLOTS).unwrap();
        for id in 0..slots + 10 {
            broker.0.deliver(&info(id, "/x"));
        }
        let dialled = broker.announced(slots).await;
        assert!(matches!(dialled, Err(DialError::TooMany)), "{dialled:?}");
        assert!(broker.announced(slots - 1).await.is_ok());
        clock.advance(PATIENCE);
        broker.0.deliver(&info(7777, "/x"));
        assert!(broker.announced(7777).await.is_ok());
    });
}

#[test]
fn strange_announcements_are_errors_or_nothing() {
    run(async {
        let (broker, clock) = alone();
        broker.0.deliver(&info(1, "not absolute"));
        broker.0.deliver(&ConnInfo { network: "tcp".to_owned(), ..info(2, "10.0.0.1:80") });
        for id in [1, 2] {
            let dialled = broker.announced(id).await;
            assert!(matches!(dialled, Err(DialError::Address(_))), "{dialled:?}");
        }
        broker.0.deliver(&ConnInfo { knock: Some(Knock::default()), ..info(3, "/x") });
        let (dialled, ()) = tokio::join!(broker.announced(3), async { clock.advance(PATIENCE) });
        assert!(matches!(dialled, Err(DialError::NotAnnounced(3))), "{dialled:?}");
    });
}

/// Announcing and asking at the very same time, many times over: whoever is first, both meet.
#[test]
fn no_announcement_is_missed() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let (broker, _) = alone();
        for id in 0..5000 {
            let (announcing, asking) = (broker.clone(), broker.clone());
            let barrier = Arc::new(tokio::sync::Barrier::new(2));
            let tracker = TaskTracker::new();
            let gate = barrier.clone();
            tracker.spawn(async move {
                gate.wait().await;
                announcing.0.deliver(&info(id, "/x"));
            });
            let asked = tracker.spawn(async move {
                barrier.wait().await;
                asking.announced(id).await
            });
            let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
            assert!(asked.expect("it was missed").unwrap().is_ok());
        }
    });
}

#[test]
fn the_end_of_the_host_is_noticed() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        let _offered = broker.offer(scene.services("one")).await.unwrap();
        scene.dialler.announced(1).await.unwrap();
        assert!(futures_util::poll!(Box::pin(scene.dialler.host_gone())).is_pending());
        drop(broker);
        scene.dialler.host_gone().await;

        let scene = Scene::new().await;
        let broker = scene.open();
        let _offered = broker.offer(scene.services("one")).await.unwrap();
        scene.dialler.announced(1).await.unwrap();
        scene.host_tasks.stop();
        scene.dialler.host_gone().await;
    });
}

#[test]
fn the_end_of_the_plugin_is_noticed() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        let offered = broker.offer(scene.services("one")).await.unwrap();
        scene.dialler.announced(1).await.unwrap();
        // An open stream of announcements does not hold up the end.
        scene.plugin_tasks.drain();
        scene.plugin_tracker.close();
        scene.plugin_tracker.wait().await;
        scene.main.lost().await;
        // The stream has ended; that the sender sees it too may take it a moment.
        while broker.offer(scene.services("two")).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let offer = broker.offer(scene.services("two")).await;
        assert!(matches!(offer, Err(OfferError::Closed)), "{offer:?}");
        drop(offered);
        scene.host_tracker.close();
        scene.host_tracker.wait().await;
        let left = std::fs::read_dir(scene.folder.path()).unwrap().count();
        assert_eq!(left, 0, "what was not offered leaves nothing behind");
    });
}

/// Go answers the stream of announcements only when it has something to say itself.
#[derive(Clone)]
struct Taciturn(PluginBroker);

#[tonic::async_trait]
impl GrpcBroker for Taciturn {
    type StartStreamStream = <PluginBroker as GrpcBroker>::StartStreamStream;

    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let mut incoming = request.into_inner();
        while let Some(info) = incoming.message().await? {
            self.0.0.deliver(&info);
        }
        Err(Status::cancelled("the host said goodbye"))
    }
}

#[test]
fn a_plugin_that_never_answers_the_stream_hears_all_the_same() {
    run(async {
        let scene = Scene::with(|broker| {
            Services::new().with(GrpcBrokerServer::new(Taciturn(broker.clone())))
        })
        .await;
        let broker = scene.open();
        let _offered = broker.offer(scene.services("one")).await.unwrap();
        assert_eq!(ask(&scene.dial(1).await.unwrap(), "").await.message(), "one");
    });
}

#[test]
fn closing_lets_calls_end_but_not_for_ever() {
    run(async {
        let mut scene = Scene::new().await;
        let broker = scene.open();
        let offered = broker.offer(scene.services("one")).await.unwrap();
        let channel = scene.dial(1).await.unwrap();
        assert_eq!(ask(&channel, "").await.message(), "one");
        // Nothing runs: the end does not wait for the clock.
        offered.close(PATIENCE).await;
        assert!(!scene.socket(1).exists());
        channel.lost().await;

        let offered = broker.offer(scene.services("two")).await.unwrap();
        let channel = scene.dial(2).await.unwrap();
        let (answer, ()) = tokio::join!(ask(&channel, "never"), async {
            scene.begun.1.recv().await.unwrap();
            let clock = scene.clock.clone();
            tokio::join!(offered.close(PATIENCE), async { clock.advance(PATIENCE) });
        });
        assert_eq!(answer.code(), Code::Unavailable);
    });
}

#[test]
fn dropping_an_offer_ends_it() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        let offered = broker.offer(scene.services("one")).await.unwrap();
        let other = broker.offer(scene.services("two")).await.unwrap();
        let (channel, neighbour) = (scene.dial(1).await.unwrap(), scene.dial(2).await.unwrap());
        drop(offered);
        channel.lost().await;
        assert_eq!(ask(&neighbour, "").await.message(), "two");
        drop(other);
    });
}

#[test]
fn ids_are_never_used_twice() {
    run(async {
        let scene = Scene::new().await;
        let broker = scene.open();
        broker.last_id.store(u32::MAX - 1, Ordering::Relaxed);
        let offered = broker.offer(scene.services("last")).await.unwrap();
        assert_eq!(offered.service_id(), u32::MAX);
        let offer = broker.offer(scene.services("more")).await;
        assert!(matches!(offer, Err(OfferError::UsedUp)), "{offer:?}");
    });
}
