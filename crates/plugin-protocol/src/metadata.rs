//! `multiplex_id`: the metadata key that names the instance a call is for.

use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request};
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;

use crate::transport::AnySize;

/// The metadata key that names the instance in every call to `Backend`, `Database` and
/// `PluginVersion`, also for plug-ins that serve a single one.
pub const MULTIPLEX_ID: &str = "multiplex_id";

/// The error message of peers for a call to an instance that was never set up, or was cleaned up.
pub const NO_INSTANCE: &str = "no backend instance found";

/// The call does not name the instance it is for, or names several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no multiplexing ID found")]
pub struct NoInstanceId;

impl From<NoInstanceId> for tonic::Status {
    /// With the status code of Go plug-ins, which set none and so return "unknown".
    fn from(error: NoInstanceId) -> Self {
        Self::unknown(error.to_string())
    }
}

/// The instance that a call is for. Exactly one non-empty value must be present.
pub fn instance_id(metadata: &MetadataMap) -> Result<&str, NoInstanceId> {
    let mut values = metadata.get_all(MULTIPLEX_ID).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().filter(|id| !id.is_empty()).ok_or(NoInstanceId),
        _ => Err(NoInstanceId),
    }
}

/// A channel or service that sets the instance on every call, replacing what the caller set.
#[derive(Clone, Debug)]
pub struct ForInstance<C> {
    channel: C,
    id: HeaderValue,
}

impl<C> ForInstance<C> {
    /// Sends calls through `channel` for the instance `id`, which must be non-empty visible ASCII.
    pub fn new(channel: C, id: &str) -> Result<Self, NoInstanceId> {
        match HeaderValue::from_str(id) {
            Ok(id) if !id.is_empty() && id.to_str().is_ok() => Ok(Self { channel, id }),
            _ => Err(NoInstanceId),
        }
    }

    /// Sends calls through `channel` to a process with a single instance, as in versions 3 and 4.
    /// They carry a fixed ID.
    pub fn single_instance(channel: C) -> Self {
        Self { channel, id: HeaderValue::from_static("only") }
    }
}

impl<C: Service<Request<B>>, B> Service<Request<B>> for ForInstance<C> {
    type Response = C::Response;
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> C::Future {
        // `insert` replaces existing values, so the caller can't address another instance.
        request.headers_mut().insert(MULTIPLEX_HEADER, self.id.clone());
        self.channel.call(request)
    }
}

impl<S: NamedService> NamedService for ForInstance<S> {
    const NAME: &'static str = S::NAME;
}

impl<C: AnySize> AnySize for ForInstance<C> {
    fn any_size(self) -> Self {
        Self { channel: self.channel.any_size(), id: self.id }
    }
}

const MULTIPLEX_HEADER: HeaderName = HeaderName::from_static(MULTIPLEX_ID);

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use super::*;

    #[derive(Clone)]
    struct HeaderEcho;

    impl Service<Request<()>> for HeaderEcho {
        type Response = http::HeaderMap;
        type Error = ();
        type Future = Ready<Result<http::HeaderMap, ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            ready(Ok(request.headers().clone()))
        }
    }

    fn metadata_with_ids(values: &[&'static str]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for value in values {
            map.append(MULTIPLEX_ID, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn exactly_one_id_counts() {
        assert_eq!(instance_id(&metadata_with_ids(&["abc"])), Ok("abc"));
        for values in [&[][..], &[""], &["a", "b"], &["a", "a"]] {
            assert_eq!(instance_id(&metadata_with_ids(values)), Err(NoInstanceId), "{values:?}");
        }
        let status = tonic::Status::from(NoInstanceId);
        assert_eq!(status.message(), "no multiplexing ID found");
    }

    #[tokio::test]
    async fn every_call_is_for_the_instance() {
        let mut channel = ForInstance::new(HeaderEcho, "abc").unwrap();
        let request = Request::builder().header(MULTIPLEX_ID, "other").header(MULTIPLEX_ID, "x");
        let headers = channel.call(request.body(()).unwrap()).await.unwrap();
        let ids: Vec<_> = headers.get_all(MULTIPLEX_ID).iter().collect();
        assert_eq!(ids, ["abc"]);

        let headers =
            ForInstance::single_instance(HeaderEcho).call(Request::new(())).await.unwrap();
        assert_eq!(headers.get_all(MULTIPLEX_ID).iter().count(), 1);
    }

    #[test]
    fn ids_that_no_header_can_carry_are_refused() {
        for id in ["", "a\nb", "ü"] {
            assert!(ForInstance::new(HeaderEcho, id).is_err(), "{id:?}");
        }
    }
}
