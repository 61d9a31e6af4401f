//! Metadata mode: the host may only query what kind of engine the plug-in is.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use strongroom_plugin_protocol::handshake::mode::METADATA_REFUSAL;
use strongroom_plugin_protocol::transport::AnySize;
use strongroom_types::clock::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

/// Wraps the engine's gRPC service and lets only metadata calls through.
#[derive(Clone)]
pub(super) struct MetadataOnly<S>(pub(super) S);

/// The permitted calls. Calls that are added to the service later are rejected by default.
const ALLOWED: [&str; 4] = ["Setup", "Type", "SpecialPaths", "Cleanup"];

impl<S> Service<Request<Body>> for MetadataOnly<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        if ALLOWED.contains(&method) {
            Box::pin(self.0.call(request))
        } else {
            // The code that Go plug-ins respond with, which is gRPC's default.
            Box::pin(async { Ok(Status::unknown(METADATA_REFUSAL).into_http()) })
        }
    }
}

impl<S: NamedService> NamedService for MetadataOnly<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: AnySize> AnySize for MetadataOnly<S> {
    fn any_size(self) -> Self {
        Self(self.0.any_size())
    }
}
