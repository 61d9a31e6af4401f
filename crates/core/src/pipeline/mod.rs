//! The steps that a request passes through. Each step is a module, and [`handle`] calls them in
//! order:
//!
//! ```text
//! (permit)      admission control, before the body is read: see [`crate::admission`]
//! admit         refuse malformed paths, and headers whose feature isn't implemented
//! (status)      paths that are also served while sealed
//! route         find the mount, and whether the path needs a token
//! authenticate  look up the token, count one use of it durably
//! authorize     evaluate policies; make the engine's existence check
//! dispatch      call the engine, or the core's own endpoint
//! respond       write the lease or token before the response leaves
//! (wrapping)    store the response, and return a wrapping token instead
//! ```
//!
//! Whether a mount exists is revealed only after `authorize`.
//!
//! The future of a request is allocated and moved before it runs, so rarely taken branches are
//! boxed to keep it small.

pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod dispatch;
pub(crate) mod respond;
pub(crate) mod route;

use std::sync::Arc;

use strongroom_telemetry::Stopwatch;
use strongroom_token::TokenKey;
use strongroom_types::ErrorKind;

use crate::admission::RequestPermit;
use crate::core::Core;
use crate::error::Error;
use crate::headers;
use crate::request::{CoreRequest, CoreResponse, RequestHeaders, Verb};
use crate::stages::{AdmittedRequest, AuthenticatedCaller, RoutedRequest};
use crate::status;
use crate::unsealed::UnsealedCore;
use crate::wrapping;

/// Runs all steps for a request, and records its duration and outcome in the metrics.
pub(crate) async fn handle(
    core: &Core,
    mut permit: RequestPermit,
    request: CoreRequest,
) -> Result<CoreResponse, Error> {
    let watch = Stopwatch::start();
    let response = run(core, &mut permit, request).await;
    core.request_metrics().record_request(response.is_ok(), watch.elapsed_ms());
    response
}

async fn run(
    core: &Core,
    permit: &mut RequestPermit,
    request: CoreRequest,
) -> Result<CoreResponse, Error> {
    let admitted = admit::admit(request, core.request_ids())?;
    if status::is_status_request(&admitted) {
        return Box::pin(status::handle_status_request(core, admitted)).await;
    }
    let unsealed = match core.unsealed() {
        Ok(unsealed) => unsealed,
        Err(_) if admitted.path.as_str() == "sys/seal" && admitted.verb == Verb::Write => {
            // Tokens can't be looked up yet, so the caller can't be authorized to seal.
            if core.is_unsealing() {
                let text = "the server is being unsealed, and can be sealed after that; try again";
                return Err(Error::with_message(ErrorKind::Unavailable, text).retry_after(1));
            }
            // The server is sealed already.
            return Ok(CoreResponse::Nothing);
        }
        Err(sealed) => return Err(sealed),
    };
    let clock = unsealed.clock().clone();
    let timeout = unsealed.settings.request_timeout;
    // Created at its first poll: a request that completes without waiting sets no timer.
    let late = async { clock.sleep(timeout).await };
    tokio::select! {
        biased;
        response = run_unsealed(unsealed, permit, admitted) => response,
        () = late => Err(Error::internal("the request took too long and was given up")),
    }
}

/// The steps that need an unsealed server. Dropping the future leaves no step half done: work that
/// must complete runs in tasks of its own.
pub(crate) async fn run_unsealed(
    core: Arc<UnsealedCore>,
    permit: &mut RequestPermit,
    admitted: AdmittedRequest,
) -> Result<CoreResponse, Error> {
    let mut routed = route::route(&core, admitted);
    wrapping::validate_wrapping_token(&core, &routed).await?;
    routed.headers = headers::passthrough_request_headers(&core, &routed).await?;
    // The raw headers contain the token and other data of the client; later steps don't need them.
    routed.request.headers = RequestHeaders::default();
    // A seal waits for requests with a valid token. Until the token is checked, a request with any
    // token counts as one.
    let awaited = routed.request.token.is_some().then(|| core.awaited_by_seal.token());
    let caller = authenticate::authenticate(&core, &routed).await;
    let caller = caller.map_err(|error| wrapping::as_invalid_wrapping_token(&routed, error))?;
    if caller.is_some() && !routed.unauthenticated {
        permit.mark_authenticated();
    }
    let _awaited = awaited.filter(|_| caller.is_some());
    let last_use = caller.as_ref().filter(|caller| caller.last_use);
    let _revocation = last_use
        .map(|caller| RevokeOnDrop { core: core.clone(), token: caller.stored_token.key.clone() });
    let wrap_request = wrapping::WrapRequest::from_request(&routed, caller.as_ref());
    let unauthenticated = routed.unauthenticated;
    let response = authorize_and_dispatch(&core, routed, caller).await;
    let response = response
        .map_err(|error| if unauthenticated { error.into_plain_message() } else { error })?;
    match wrap_request {
        Some(wrap_request) => Box::pin(wrap_request.wrap_response(&core, response)).await,
        None => Ok(response),
    }
}

async fn authorize_and_dispatch(
    core: &Arc<UnsealedCore>,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
) -> Result<CoreResponse, Error> {
    let allowed = authorize::authorize(core, routed, caller).await?;
    dispatch::dispatch(core, allowed).await
}

/// Queues the revocation of a token whose last use this request consumed, however the request ends.
/// The token is already marked for revocation.
struct RevokeOnDrop {
    core: Arc<UnsealedCore>,
    token: TokenKey,
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        self.core.token_revoker.enqueue(&self.token);
    }
}
