//! The plug-in's side, served in this process: everything is as in a process of its own, but for
//! the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_plugin_protocol::broker::{HostBroker, PluginBroker};
use strongroom_plugin_protocol::tasks::Tasks;
use strongroom_plugin_protocol::tls::{Identity, client_config, server_config};
use strongroom_plugin_protocol::transport::{Channel, Listener, SocketFolder};
use strongroom_types::{Clock, Entropy};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use crate::engine::{Factory, Mount};
use crate::serve::services;
use crate::wire::backend_service::BackendService;
use crate::wire::{HostFacts, RemoteEngine, SetUp, host_services};

/// Host and plug-in, joined by a socket.
#[derive(Debug)]
pub(super) struct Process {
    main: Channel,
    broker: HostBroker,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    tracker: TaskTracker,
}

/// How long each step of the set-up may take, by the test's clock, which stands still.
const LIMIT: Duration = Duration::from_secs(10);

impl Process {
    /// Starts serving and connects.
    pub(super) async fn start(
        factory: Arc<dyn Factory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let tracker = TaskTracker::new();
        let tasks = Tasks::new(tracker.clone(), clock.clone());
        // Never seeded: other tests on this machine make folders too.
        let folder = Arc::new(SocketFolder::create(&temporary(), &SystemEntropy)?);
        let host = Identity::generate(&*clock, &SystemEntropy)?;
        let plugin = Identity::generate(&*clock, &SystemEntropy)?;

        let listener = Listener::bind(&folder, "plugin")?;
        let address = listener.address().clone();
        let to_host = client_config(&plugin, host.certificate())?;
        let broker = PluginBroker::new(&tasks);
        let backend = BackendService::new(factory, broker, to_host, clock.clone(), entropy);
        let (_, nothing_printed) = mpsc::channel(1);
        let services = services::all(&backend, Arc::new(Notify::new()), nothing_printed, &tasks);
        let (server, serving) = (server_config(&plugin, host.certificate())?, tasks.clone());
        tracker.spawn(async move { listener.serve(server, services, &serving).await });

        let to_plugin = client_config(&host, plugin.certificate())?;
        let main = Channel::connect(&address, to_plugin, &tasks).await?;
        let broker =
            HostBroker::open(&main, folder, server_config(&host, plugin.certificate())?, &tasks);
        Ok(Self { main, broker, clock, tasks, tracker })
    }

    /// Sets up the one instance.
    pub(super) async fn open(&self, mount: Mount) -> Result<RemoteEngine, crate::wire::SetUpError> {
        let facts = HostFacts { version: "1.0.0".to_owned() };
        RemoteEngine::set_up(SetUp {
            channel: &self.main,
            broker: &self.broker,
            services: host_services(mount.storage.clone(), mount.system.clone(), facts),
            instance: "test".to_owned(),
            mount: Some(mount),
            clock: self.clock.clone(),
            limit: LIMIT,
        })
        .await
    }

    /// Ends it as a kill would: calls under way get no answer.
    pub(super) async fn kill(self) {
        self.tasks.stop();
        drop((self.main, self.broker));
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Sockets have short paths.
fn temporary() -> PathBuf {
    std::env::temp_dir()
}
