//! [`GrpcServices`]: the services on one connection, with the message size limits that they need.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;

use http::{Request, Response};
use strongroom_types::clock::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::generated::{health, logical, multiplexing, pb, plugin, strongroom};

/// A generated client or server whose message size limits can be raised. The default limit of gRPC
/// libraries, 4 MiB, is less than a response may need.
pub trait AnySize {
    /// Raises both limits. Received messages are limited to [`MAX_MESSAGE_BYTES`], because the
    /// library allocates as much memory as the length prefix of a message announces.
    #[must_use]
    fn any_size(self) -> Self;
}

/// The maximum size of a received message in bytes. HTTP requests and responses are smaller.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The services of one connection. A caller is identified by its connection alone, so each backend
/// instance gets services of its own.
#[derive(Default)]
pub struct GrpcServices(HashMap<&'static str, Box<dyn GrpcHandler>>);

impl GrpcServices {
    /// An empty set of services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one of the servers in [`generated`](crate::generated), with raised message size limits.
    #[must_use]
    pub fn with_service<S>(mut self, service: S) -> Self
    where
        S: AnySize + NamedService + Clone + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        self.0.insert(S::NAME, Box::new(ServiceHandler(service.any_size())));
        self
    }

    /// Starts a call. An unknown service gets the same error as from Go's gRPC.
    pub(super) fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let path = request.uri().path();
        let name = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match name.and_then(|(name, _)| self.0.get(name)) {
            Some(handler) => handler.call(request),
            None => Box::pin(async { Status::unimplemented("unknown service").into_http() }),
        }
    }
}

impl fmt::Debug for GrpcServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

trait GrpcHandler: Send + Sync {
    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

struct ServiceHandler<S>(S);

impl<S> GrpcHandler for ServiceHandler<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync,
    S::Future: Send + 'static,
{
    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        // Generated servers are always ready.
        let answer = self.0.clone().call(request);
        Box::pin(async {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }
}

macro_rules! any_size {
    ($($package:ident: $($client:ident::$Client:ident $server:ident::$Server:ident),+;)*) => {$($(
        impl<C> AnySize for $package::$client::$Client<C>
        where
            C: tonic::client::GrpcService<Body>,
            C::Error: Into<tonic::codegen::StdError>,
            C::ResponseBody: tonic::codegen::Body<Data = bytes::Bytes> + Send + 'static,
            <C::ResponseBody as tonic::codegen::Body>::Error:
                Into<tonic::codegen::StdError> + Send,
        {
            fn any_size(self) -> Self {
                self.max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(usize::MAX)
            }
        }

        impl<S> AnySize for $package::$server::$Server<S> {
            fn any_size(self) -> Self {
                self.max_decoding_message_size(MAX_MESSAGE_BYTES)
                    .max_encoding_message_size(usize::MAX)
            }
        }
    )+)*};
}

any_size! {
    health: health_client::HealthClient health_server::HealthServer;
    logical: plugin_version_client::PluginVersionClient plugin_version_server::PluginVersionServer;
    multiplexing: plugin_multiplexing_client::PluginMultiplexingClient
        plugin_multiplexing_server::PluginMultiplexingServer;
    pb: backend_client::BackendClient backend_server::BackendServer,
        events_client::EventsClient events_server::EventsServer,
        observations_client::ObservationsClient observations_server::ObservationsServer,
        storage_client::StorageClient storage_server::StorageServer,
        system_view_client::SystemViewClient system_view_server::SystemViewServer;
    plugin: grpc_broker_client::GrpcBrokerClient grpc_broker_server::GrpcBrokerServer,
        grpc_controller_client::GrpcControllerClient grpc_controller_server::GrpcControllerServer,
        grpc_stdio_client::GrpcStdioClient grpc_stdio_server::GrpcStdioServer;
    strongroom: mount_storage_client::MountStorageClient mount_storage_server::MountStorageServer;
}
