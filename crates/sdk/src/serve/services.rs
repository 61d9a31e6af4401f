//! All gRPC services of a plug-in process: the engine's own, and health, shutdown and standard
//! streams, as go-plugin requires them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt, stream};
use strongroom_engine_wire::BackendService;
use strongroom_plugin_protocol::generated::health;
use strongroom_plugin_protocol::generated::health::health_server::HealthServer;
use strongroom_plugin_protocol::generated::logical::plugin_version_server::PluginVersionServer;
use strongroom_plugin_protocol::generated::multiplexing::plugin_multiplexing_server::PluginMultiplexingServer;
use strongroom_plugin_protocol::generated::pb::backend_server::BackendServer;
use strongroom_plugin_protocol::generated::plugin::grpc_controller_server::GrpcControllerServer;
use strongroom_plugin_protocol::generated::plugin::grpc_stdio_server::GrpcStdioServer;
use strongroom_plugin_protocol::generated::plugin::{self, StdioData, stdio_data};
use strongroom_plugin_protocol::metadata::ForInstance;
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::transport::GrpcServices;
use tokio::sync::{Notify, mpsc};
use tonic::{Request, Response, Status, async_trait};

use super::metadata_mode::MetadataOnly;

/// The parameters that host and plug-in negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NegotiatedTerms {
    /// The process has a single instance, and calls need not name it.
    pub(super) one_instance: bool,
    /// The host may only query metadata.
    pub(super) only_metadata: bool,
}

/// The services of the main connection if instances share the process. `shutdown` is notified when
/// the host wants the process to end; `printed` receives the engine's standard output.
#[cfg(feature = "testing")]
pub(crate) fn multiplexed_services(
    backend: &BackendService,
    shutdown: Arc<Notify>,
    printed: mpsc::Receiver<Vec<u8>>,
    tasks: &TaskGroup,
) -> GrpcServices {
    services_for(NegotiatedTerms::default(), backend, shutdown, printed, tasks)
}

/// The services of the main connection under these terms.
pub(super) fn services_for(
    terms: NegotiatedTerms,
    backend: &BackendService,
    shutdown: Arc<Notify>,
    printed: mpsc::Receiver<Vec<u8>>,
    tasks: &TaskGroup,
) -> GrpcServices {
    let services = GrpcServices::new()
        .with_service(HealthServer::new(HealthService))
        .with_service(backend.broker().broker_server())
        .with_service(GrpcControllerServer::new(ControllerService(shutdown)))
        .with_service(GrpcStdioServer::new(StdioService::new(printed, tasks)))
        .with_service(PluginVersionServer::new(backend.clone()));
    let server = BackendServer::new(backend.clone());
    if terms.one_instance {
        let server = ForInstance::single_instance(server);
        return match terms.only_metadata {
            true => services.with_service(MetadataOnly(server)),
            false => services.with_service(server),
        };
    }
    let services = services.with_service(PluginMultiplexingServer::new(backend.clone()));
    match terms.only_metadata {
        true => services.with_service(MetadataOnly(server)),
        false => services.with_service(server),
    }
}

/// Reports "serving" as long as the process responds.
pub(super) struct HealthService;

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl health::health_server::Health for HealthService {
    async fn check(
        &self,
        request: Request<health::HealthCheckRequest>,
    ) -> Result<Response<health::HealthCheckResponse>, Status> {
        // go-plugin checks the service `plugin`, other clients the empty name.
        if matches!(request.into_inner().service.as_str(), "" | "plugin") {
            let status = health::health_check_response::ServingStatus::Serving.into();
            Ok(Response::new(health::HealthCheckResponse { status }))
        } else {
            Err(Status::not_found("unknown service"))
        }
    }
}

/// Ends the process when the host requests it.
pub(super) struct ControllerService(pub(super) Arc<Notify>);

#[async_trait]
impl plugin::grpc_controller_server::GrpcController for ControllerService {
    async fn shutdown(&self, _: Request<plugin::Empty>) -> Result<Response<plugin::Empty>, Status> {
        self.0.notify_one();
        Ok(Response::new(plugin::Empty {}))
    }
}

/// Streams the engine's standard output to the host. There is one host, so there is one listener.
pub(super) struct StdioService {
    printed: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
    tasks: TaskGroup,
}

impl StdioService {
    pub(super) fn new(printed: mpsc::Receiver<Vec<u8>>, tasks: &TaskGroup) -> Self {
        Self { printed: Mutex::new(Some(printed)), tasks: tasks.clone() }
    }
}

#[async_trait]
impl plugin::grpc_stdio_server::GrpcStdio for StdioService {
    type StreamStdioStream = ResponseStream<StdioData>;

    async fn stream_stdio(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tasks = self.tasks.clone();
        let chunks = match printed {
            Some(mut printed) => {
                let chunks = stream::poll_fn(move |cx| printed.poll_recv(cx));
                let channel = stdio_data::Channel::Stdout.into();
                chunks.map(move |data| Ok(StdioData { channel, data: data.into() })).boxed()
            }
            None => stream::empty().boxed(),
        };
        // The stream stays open until the end, even without output.
        let chunks = chunks.chain(stream::pending());
        let end = async move { tasks.wait_for_drain().await };
        Ok(Response::new(chunks.take_until(Box::pin(end)).boxed()))
    }
}
