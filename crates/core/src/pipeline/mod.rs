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
pub(crate) mod route;
pub(crate) mod settle;

use std::sync::Arc;

pub(crate) use authenticate::Caller;
use route::Routed;
use strongroom_telemetry::Stopwatch;
use strongroom_token::TokenKey;
use strongroom_types::ErrorKind;

use crate::admission::RequestPermit;
use crate::core::Core;
use crate::error::Error;
use crate::headers;
use crate::request::{Answer, Headers, Request, Verb};
use crate::status;
use crate::unsealed::Unsealed;
use crate::wrapping;

/// Answers a request.
pub(crate) async fn handle(
    core: &Core,
    mut permit: RequestPermit,
    request: Request,
) -> Result<Answer, Error> {
    let watch = Stopwatch::start();
    let answer = steps(core, &mut permit, request).await;
    core.meters().answered(answer.is_ok(), watch.elapsed_ms());
    answer
}

async fn steps(core: &Core, permit: &mut RequestPermit, request: Request) -> Result<Answer, Error> {
    let admitted = admit::admit(request, core.request_ids())?;
    if status::answers(&admitted) {
        return Box::pin(status::handle(core, admitted)).await;
    }
    let open = match core.open() {
        Ok(open) => open,
        Err(_) if admitted.path.as_str() == "sys/seal" && admitted.verb == Verb::Write => {
            // Who may ask for the seal is known when the tokens can be read.
            if core.is_opening() {
                let text = "the server is being unsealed, and can be sealed after that; try again";
                return Err(Error::plain(ErrorKind::Unavailable, text).retry_after(1));
            }
            // What is asked for is the case already.
            return Ok(Answer::Nothing);
        }
        Err(sealed) => return Err(sealed),
    };
    let clock = open.clock().clone();
    let timeout = open.settings.request_timeout;
    // Made at its first poll: a request that waits for nothing sets no timer.
    let late = async { clock.sleep(timeout).await };
    tokio::select! {
        biased;
        answer = through(open, permit, admitted) => answer,
        () = late => Err(Error::internal("the request took too long and was given up")),
    }
}

/// The steps that need an open server. Dropping this leaves nothing half done.
pub(crate) async fn through(
    open: Arc<Unsealed>,
    permit: &mut RequestPermit,
    admitted: admit::Admitted,
) -> Result<Answer, Error> {
    let mut routed = route::route(&open, admitted);
    wrapping::check_named(&open, &routed).await?;
    routed.headers = headers::passed(&open, &routed).await?;
    // They hold the token, and what else came with them off the wire.
    routed.request.headers = Headers::default();
    // Held to the end with a valid token; with another only until that is known.
    let awaited = routed.request.token.is_some().then(|| open.awaited.token());
    let caller = authenticate::authenticate(&open, &routed).await;
    let caller = caller.map_err(|error| wrapping::spent_meanwhile(&routed, error))?;
    if caller.is_some() && !routed.open_to_all {
        permit.authenticated();
    }
    let _awaited = awaited.filter(|_| caller.is_some());
    let last = caller.as_ref().filter(|caller| caller.last_use);
    let _spent = last.map(|caller| Spent { open: open.clone(), token: caller.found.key.clone() });
    let order = wrapping::Order::of(&routed, caller.as_ref());
    let open_to_all = routed.open_to_all;
    let answer = decide(&open, routed, caller).await;
    let answer = answer.map_err(|error| if open_to_all { error.unlisted() } else { error })?;
    match order {
        Some(order) => Box::pin(order.wrap(&open, answer)).await,
        None => Ok(answer),
    }
}

async fn decide(
    open: &Arc<Unsealed>,
    routed: Box<Routed>,
    caller: Option<Caller>,
) -> Result<Answer, Error> {
    let allowed = authorize::authorize(open, routed, caller).await?;
    dispatch::dispatch(open, allowed).await
}

/// A token whose last use this request is. It is marked already; however the request ends, what the
/// token asked for ends with it.
struct Spent {
    open: Arc<Unsealed>,
    token: TokenKey,
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.open.trees.enqueue(&self.token);
    }
}
