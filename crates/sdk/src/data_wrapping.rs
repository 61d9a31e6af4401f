//! [`Context::wrap_data`]: data that the server wraps for an engine.

use strongroom_engine::WrappingToken;
use strongroom_schema::field::build_object;
use strongroom_types::Ttl;

use crate::action::ResponseData;
use crate::{Context, Error};

impl Context {
    /// Wraps data for somebody else than the caller, or a part of a response: returns a single-use token
    /// with which its holder gets the data once, within `ttl`. The mount's and the server's maximum
    /// lifetimes limit `ttl`. The server stores the data meanwhile; under Strongroom the token ends with
    /// the mount. Its `creation_path` is `sys/wrapping/wrap`, as for everybody who wraps data. To wrap
    /// the response itself, see [`Response::wrapped`](crate::Response::wrapped).
    ///
    /// On an unauthenticated path anybody could fill the server's storage in this way: wrap data only
    /// after the request was found to be legitimate.
    ///
    /// # Errors
    ///
    /// An internal error if `ttl` is zero, or the server does not answer or doesn't wrap the data.
    ///
    /// # Cancel safety
    ///
    /// The data may be wrapped even if the future is dropped; nobody then has the token, and it
    /// expires.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::{Context, Error, Response, ResponseData, Secret, Ttl};
    ///
    /// #[derive(ResponseData)]
    /// struct NodeKey {
    ///     node_key: Secret<String>,
    /// }
    ///
    /// #[derive(ResponseData)]
    /// struct EnrolResponse {
    ///     /// For the node, which unwraps it.
    ///     wrapping_token: Secret<String>,
    /// }
    ///
    /// async fn enrol(context: Context, (): ()) -> Result<Response, Error> {
    ///     let key = NodeKey { node_key: Secret::new(context.entropy().base62(32)) };
    ///     let wrapping = context.wrap_data(&key, Ttl::from_secs(600)).await?;
    ///     let answer = EnrolResponse { wrapping_token: wrapping.token };
    ///     Ok(Response::unleased_secret(&answer))
    /// }
    /// # let _ = enrol;
    /// ```
    pub async fn wrap_data(
        &self,
        data: &impl ResponseData,
        ttl: Ttl,
    ) -> Result<WrappingToken, Error> {
        let object = build_object(|out| data.write(out));
        Ok(self.system().wrap_data(object, ttl).await?)
    }
}
