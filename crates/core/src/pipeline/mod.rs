//! One request, step by step. Each step is a module; [`handle`] reads like the list of them.
//!
//! ```text
//! admit         what is refused unseen: bad paths, headers whose meaning isn't built
//! (status)      what is answered while sealed
//! route         the longest mount, and whether the path needs a token
//! authenticate  the token, one use of it counted durably
//! authorize     policies; the engine's existence check
//! dispatch      the engine, or the core's own endpoint
//! settle        lease or token durable before the answer leaves
//! ```
//!
//! That a mount doesn't exist is revealed only after `authorize`.

pub(crate) mod admit;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod dispatch;
pub(crate) mod route;
pub(crate) mod settle;

pub(crate) use authenticate::Caller;
use strongroom_telemetry::{Stopwatch, names};

use crate::core::Core;
use crate::error::Error;
use crate::request::{Answer, Request, Verb};
use crate::status;

/// Answers a request.
pub(crate) async fn handle(core: &Core, request: Request) -> Result<Answer, Error> {
    let watch = Stopwatch::start();
    let answer = steps(core, request).await;
    metrics::histogram!(names::HANDLE_REQUEST).record(watch.elapsed_ms());
    let outcome = if answer.is_ok() { "ok" } else { "error" };
    metrics::counter!(names::REQUESTS, "outcome" => outcome).increment(1);
    answer
}

async fn steps(core: &Core, request: Request) -> Result<Answer, Error> {
    let admitted = admit::admit(request, &**core.entropy())?;
    if status::answers(&admitted) {
        return status::handle(core, admitted).await;
    }
    let open = match core.open() {
        Ok(open) => open,
        // What is asked for is the case already.
        Err(_) if admitted.path.as_str() == "sys/seal" && admitted.verb == Verb::Write => {
            return Ok(Answer::Nothing);
        }
        Err(sealed) => return Err(sealed),
    };
    let clock = open.clock().clone();
    let late = clock.sleep_until(clock.now().plus(open.settings.request_timeout));
    tokio::select! {
        answer = through(open, admitted) => answer,
        () = late => Err(Error::internal("the request took too long and was given up")),
    }
}

async fn through(
    open: std::sync::Arc<crate::unsealed::Unsealed>,
    admitted: admit::Admitted,
) -> Result<Answer, Error> {
    let routed = route::route(&open, admitted);
    let caller = authenticate::authenticate(&open, &routed).await?;
    let used_up = caller.as_ref().is_some_and(|caller| caller.last_use);
    let token = caller.as_ref().map(|caller| caller.found.key.clone());
    let answer = match authorize::authorize(&open, routed, caller).await {
        Ok(allowed) => dispatch::dispatch(&open, allowed).await,
        Err(denied) => Err(denied),
    };
    if let (true, Some(token)) = (used_up, token) {
        // The token is marked already; this only starts the walk.
        open.trees.enqueue(&token);
    }
    answer
}
