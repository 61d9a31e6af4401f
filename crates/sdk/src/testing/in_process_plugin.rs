//! The plug-in's side, served in this process: everything is as in a process of its own, but for
//! the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_plugin_protocol::broker::{HostBroker, PluginBroker};
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, server_config};
use strongroom_plugin_protocol::transport::{Channel, PluginListener, SocketFolder};
use strongroom_types::{Clock, Entropy};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use crate::engine::{EngineFactory, MountContext};
use crate::serve::services;
use crate::wire::backend_service::BackendService;
use crate::wire::{HostFacts, InstanceSetup, RemoteEngine, host_services};

/// Host and plug-in, joined by a socket.
#[derive(Debug)]
pub(super) struct InProcessPlugin {
    main: Channel,
    broker: HostBroker,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    tracker: TaskTracker,
}

/// How long each step of the set-up may take, by the test's clock, which stands still.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

impl InProcessPlugin {
    /// Starts serving and connects.
    pub(super) async fn start(
        factory: Arc<dyn EngineFactory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let tracker = TaskTracker::new();
        let tasks = TaskGroup::new(tracker.clone(), clock.clone());
        // Never seeded: other tests on this machine make folders too.
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

    /// Sets up the one instance.
    pub(super) async fn set_up_instance(
        &self,
        mount: MountContext,
    ) -> Result<RemoteEngine, crate::wire::InstanceSetupError> {
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

    /// Ends it as a kill would: calls under way get no answer.
    pub(super) async fn kill(self) {
        self.tasks.stop();
        drop((self.main, self.broker));
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Sockets have short paths.
fn socket_parent_folder() -> PathBuf {
    std::env::temp_dir()
}
