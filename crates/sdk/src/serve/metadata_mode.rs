//! Metadata mode: the host asks what an engine is, and may ask nothing else.

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

/// The `EngineInstance` service, of which only questions about the engine itself are let through.
#[derive(Clone)]
pub(super) struct MetadataOnly<S>(pub(super) S);

/// What may be asked. Nothing that is not here is let through, whatever is added to the service.
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
            // With the code that Go plug-ins answer: they don't choose one.
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
