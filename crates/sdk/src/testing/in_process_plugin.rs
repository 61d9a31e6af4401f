//! A plug-in served within the test process, over the same sockets and protocol as a separate
//! process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_engine::{EngineFactory, MountContext};
use strongroom_engine_wire::{
    BackendService, HostFacts, InstanceSetup, InstanceSetupError, RemoteEngine, host_services,
};
use strongroom_plugin_protocol::broker::{HostBroker, PluginBroker};
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, server_config};
use strongroom_plugin_protocol::transport::{Channel, PluginListener, SocketFolder};
use strongroom_types::{Clock, Entropy};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use crate::serve::services;

/// A host and a plug-in, connected by a socket.
#[derive(Debug)]
pub(super) struct InProcessPlugin {
    main: Channel,
    broker: HostBroker,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    tracker: TaskTracker,
}

/// How long each step of the set-up may take, by the test's clock, which doesn't advance by itself.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

impl InProcessPlugin {
    /// Starts serving the engine and connects to it.
    pub(super) async fn start(
        factory: Arc<dyn EngineFactory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let tracker = TaskTracker::new();
        let tasks = TaskGroup::new(tracker.clone(), clock.clone());
        // Not from seeded randomness: other tests on this machine create folders too.
        let folder = Arc::new(SocketFolder::create(&socket_parent_folder(), &SystemEntropy)?);
        let host = TlsIdentity::generate(&*clock, &SystemEntropy)?;
        let plugin = TlsIdentity::generate(&*clock, &SystemEntropy)?;

        let listener = PluginListener::bind(&folder, "plugin")?;
        let address = listener.address().clone();
        let to_host = client_config(&plugin, host.certificate())?;
        let broker = PluginBroker::new(&tasks);
        let backend = BackendService::new(factory, broker, to_host, clock.clone(), entropy);
        let (_, nothing_printed) = mpsc::channel(1);
        let services = services::multiplexed_services(
            &backend,
            Arc::new(Notify::new()),
            nothing_printed,
            &tasks,
        );
        let (server, serving) = (server_config(&plugin, host.certificate())?, tasks.clone());
        tracker.spawn(async move { listener.serve(server, services, &serving).await });

        let to_plugin = client_config(&host, plugin.certificate())?;
        let main = Channel::connect(&address, to_plugin, &tasks).await?;
        let broker =
            HostBroker::open(&main, folder, server_config(&host, plugin.certificate())?, &tasks);
        Ok(Self { main, broker, clock, tasks, tracker })
    }

    /// Creates and initialises the only instance.
    pub(super) async fn set_up_instance(
        &self,
        mount: MountContext,
    ) -> Result<RemoteEngine, InstanceSetupError> {
        let facts = HostFacts { version: "1.0.0".to_owned() };
        RemoteEngine::set_up(InstanceSetup {
            channel: &self.main,
            broker: &self.broker,
            services: host_services(mount.storage.clone(), mount.system.clone(), facts),
            instance: "test".to_owned(),
            mount: Some(mount),
            clock: self.clock.clone(),
            limit: SETUP_TIMEOUT,
        })
        .await
    }

    /// Stops it as a kill would: calls in progress get no response.
    pub(super) async fn kill(self) {
        self.tasks.stop();
        drop((self.main, self.broker));
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Socket paths have a small maximum length.
fn socket_parent_folder() -> PathBuf {
    std::env::temp_dir()
}
