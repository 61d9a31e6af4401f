//! The steps that a request passes through. Each step is a module or a function named below, and
//! [`run_unsealed`] calls them in this order:
//!
//! ```text
//!    (permit)      admission control, before the body is read (`permit`)
//! 1  admit         refuse malformed paths, and headers whose feature isn't implemented
//! 2  (sealed?)     paths that are also served while sealed leave the pipeline here
//! 3  route         find the mount, and how its backend authorizes the path
//!    headers       keep the request headers that the mount passes to its backend
//! 4  authenticate  look up the token, count one use of it durably
//! 5  authorize     evaluate policies; make the backend's existence check
//! 6  audit         the request, denied ones too (audit devices are not implemented)
//! 7  dispatch      the backend handles the request
//! 8  settle        write the lease or token before the response leaves; fill the envelope
//! 9  wrap          store the response, and return a wrapping token instead
//! 10 audit         the response (audit devices are not implemented)
//! ```
//!
//! Whether a mount exists is revealed only after `authorize`.
//!
//! The future of a request is allocated and moved before it runs, so rarely taken branches are
//! boxed to keep it small.

pub mod admit;
pub mod authenticate;
pub(crate) mod authorize;
pub(crate) mod dispatch;
mod permit;
pub mod route;
pub(crate) mod settle;

use std::sync::Arc;

use strongroom_telemetry::Stopwatch;
use strongroom_token::TokenKey;
use strongroom_types::{ErrorKind, RunToCompletion};

use crate::admission::RequestPermit;
use crate::core::Core;
use crate::error::Error;
use crate::headers;
use crate::request::{CoreRequest, CoreResponse, RequestHeaders, Verb};
use crate::stages::{AdmittedRequest, AuthenticatedCaller, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::wrapping::{self, WrapRequest};

impl Core {
    /// Handles a request that [`Core::admit`] admitted, and returns its response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the work: it continues in a task of its own, and the
    /// request counts against the admission limits until that task ends.
    pub async fn handle(
        &self,
        permit: RequestPermit,
        request: CoreRequest,
    ) -> Result<CoreResponse, Error> {
        let requests = self.request_tracker(&request.path);
        let core = self.clone();
        let counted = requests.token();
        let work = async move {
            let _counted = counted;
            run_and_record(&core, permit, request).await
        };
        // Runs in the caller's task while the client is connected: spawning would cost two context
        // switches per request.
        let work = RunToCompletion::new(&requests, work);
        work.await.unwrap_or_else(|panic| {
            Err(Error::internal("the request ended without an answer").caused_by(panic))
        })
    }
}

/// Runs all steps for a request, and records its duration and outcome in the metrics.
async fn run_and_record(
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
    let admitted = admit::admit(request)?;
    if core.sealed_paths().serves(admitted.path.as_str()) && admitted.verb != Verb::Help {
        admitted.span.record("sys/", admitted.verb.as_str(), None);
        return core.sealed_paths().handle(core, admitted).await;
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
        () = late => Err(Error::internal("the request exceeded its deadline and was aborted")),
    }
}

/// The steps that need an unsealed server. Dropping the future leaves no step half done: work that
/// must complete runs in tasks of its own.
pub async fn run_unsealed(
    core: Arc<UnsealedCore>,
    permit: &mut RequestPermit,
    admitted: AdmittedRequest,
) -> Result<CoreResponse, Error> {
    let mut routed = route::route(&core, admitted);
    core.wrapping.validate_wrapping_token(&routed).await?;
    routed.headers = headers::passthrough_request_headers(&core, &routed).await?;
    // The raw headers contain the token and other data of the client; later steps don't need them.
    routed.request.headers = RequestHeaders::default();
    // A seal waits for requests with a valid token. Until the token is checked, a request with any
    // token counts as one.
    let awaited = routed.request.token.is_some().then(|| core.detached.count_request());
    let caller = authenticate::authenticate(&core, &routed).await;
    routed.record_in_span(caller.as_ref().ok().and_then(Option::as_ref));
    let caller = caller.map_err(|error| wrapping::as_invalid_wrapping_token(&routed, error))?;
    let unauthenticated = routed.is_unauthenticated();
    if caller.is_some() && !unauthenticated {
        permit.mark_authenticated();
    }
    let _awaited = awaited.filter(|_| caller.is_some());
    let _revocation = RevokeOnDrop::after_last_use(&core, caller.as_ref());
    let wrap_request = WrapRequest::from_request(&routed, caller.as_ref());
    let response = authorize_and_dispatch(&core, routed, caller).await;
    let (response, of_engine) =
        response.map_err(|error| if unauthenticated { error.uncollected() } else { error })?;
    match WrapRequest::shorter(wrap_request, of_engine) {
        Some(wrap_request) => Box::pin(wrap_request.wrap_response(&core.wrapping, response)).await,
        None => Ok(response),
    }
}

/// The steps whose errors have the format of the path: see [`Error::uncollected`].
async fn authorize_and_dispatch(
    core: &Arc<UnsealedCore>,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
) -> Result<(CoreResponse, Option<WrapRequest>), Error> {
    let mut authorized = authorize::authorize(core, routed, caller).await?;
    let response = dispatch::dispatch(core, &mut authorized).await?;
    settle::settle(core, &authorized, response).await
}

/// Queues the revocation of a token whose last use this request consumed, however the request ends.
/// The token is already marked for revocation.
struct RevokeOnDrop {
    core: Arc<UnsealedCore>,
    token: TokenKey,
}

impl RevokeOnDrop {
    /// `None` if the token has uses left.
    fn after_last_use(
        core: &Arc<UnsealedCore>,
        caller: Option<&AuthenticatedCaller>,
    ) -> Option<Self> {
        let caller = caller.filter(|caller| caller.last_use)?;
        Some(Self { core: core.clone(), token: caller.stored_token.key.clone() })
    }
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        self.core.tokens.revoker.enqueue(&self.token);
    }
}
