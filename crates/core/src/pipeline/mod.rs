//! One request, step by step. Each step is a module; [`handle`] reads like the list of them.
//!
//! ```text
//! (permit)      admission control, before the body was read: see [`crate::admission`]
//! admit         what is refused unseen: bad paths, headers whose meaning isn't built
//! (status)      what is answered while sealed
//! route         the longest mount, and whether the path needs a token
//! authenticate  the token, one use of it counted durably
//! authorize     policies; the engine's existence check
//! dispatch      the engine, or the core's own endpoint
//! settle        lease or token durable before the answer leaves
//! (wrapping)    the answer kept, and a wrapping token in its place
//! ```
//!
//! That a mount doesn't exist is revealed only after `authorize`.
//!
//! The future of a request is allocated and moved before it runs: what few requests need is boxed,
//! which keeps it small.

pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod dispatch;
pub(crate) mod respond;
pub(crate) mod route;

use std::sync::Arc;

pub(crate) use authenticate::AuthenticatedCaller;
use route::RoutedRequest;
use strongroom_telemetry::Stopwatch;
use strongroom_token::TokenKey;
use strongroom_types::ErrorKind;

use crate::admission::RequestPermit;
use crate::core::Core;
use crate::error::Error;
use crate::headers;
use crate::request::{CoreRequest, CoreResponse, RequestHeaders, Verb};
use crate::status;
use crate::unsealed::UnsealedCore;
use crate::wrapping;

/// Answers a request.
pub(crate) async fn handle(
    core: &Core,
    mut permit: RequestPermit,
    request: CoreRequest,
) -> Result<CoreResponse, Error> {
    let watch = Stopwatch::start();
    let answer = run(core, &mut permit, request).await;
    core.request_metrics().record_request(answer.is_ok(), watch.elapsed_ms());
    answer
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
    let open = match core.unsealed() {
        Ok(open) => open,
        Err(_) if admitted.path.as_str() == "sys/seal" && admitted.verb == Verb::Write => {
            // Who may ask for the seal is known when the tokens can be read.
            if core.is_unsealing() {
                let text = "the server is being unsealed, and can be sealed after that; try again";
                return Err(Error::with_message(ErrorKind::Unavailable, text).retry_after(1));
            }
            // What is asked for is the case already.
            return Ok(CoreResponse::Nothing);
        }
        Err(sealed) => return Err(sealed),
    };
    let clock = open.clock().clone();
    let timeout = open.settings.request_timeout;
    // Made at its first poll: a request that waits for nothing sets no timer.
    let late = async { clock.sleep(timeout).await };
    tokio::select! {
        biased;
        answer = run_unsealed(open, permit, admitted) => answer,
        () = late => Err(Error::internal("the request took too long and was given up")),
    }
}

/// The steps that need an open server. Dropping this leaves nothing half done.
pub(crate) async fn run_unsealed(
    open: Arc<UnsealedCore>,
    permit: &mut RequestPermit,
    admitted: admit::AdmittedRequest,
) -> Result<CoreResponse, Error> {
    let mut routed = route::route(&open, admitted);
    wrapping::validate_wrapping_token(&open, &routed).await?;
    routed.headers = headers::passthrough_request_headers(&open, &routed).await?;
    // They hold the token, and what else came with them off the wire.
    routed.request.headers = RequestHeaders::default();
    // Held to the end with a valid token; with another only until that is known.
    let awaited = routed.request.token.is_some().then(|| open.awaited_by_seal.token());
    let caller = authenticate::authenticate(&open, &routed).await;
    let caller = caller.map_err(|error| wrapping::explain_concurrent_use(&routed, error))?;
    if caller.is_some() && !routed.unauthenticated {
        permit.mark_authenticated();
    }
    let _awaited = awaited.filter(|_| caller.is_some());
    let last = caller.as_ref().filter(|caller| caller.last_use);
    let _spent = last
        .map(|caller| RevokeOnDrop { core: open.clone(), token: caller.stored_token.key.clone() });
    let order = wrapping::WrapRequest::from_request(&routed, caller.as_ref());
    let open_to_all = routed.unauthenticated;
    let answer = authorize_and_dispatch(&open, routed, caller).await;
    let answer =
        answer.map_err(|error| if open_to_all { error.into_plain_message() } else { error })?;
    match order {
        Some(order) => Box::pin(order.wrap_response(&open, answer)).await,
        None => Ok(answer),
    }
}

async fn authorize_and_dispatch(
    open: &Arc<UnsealedCore>,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
) -> Result<CoreResponse, Error> {
    let allowed = authorize::authorize(open, routed, caller).await?;
    dispatch::dispatch(open, allowed).await
}

/// A token whose last use this request is. It is marked already; however the request ends, what the
/// token asked for ends with it.
struct RevokeOnDrop {
    core: Arc<UnsealedCore>,
    token: TokenKey,
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        self.core.token_revoker.enqueue(&self.token);
    }
}
