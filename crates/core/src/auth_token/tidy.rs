//! `tidy`.

use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::request::{Answer, Envelope};

pub(super) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "tidy",
    help: "Removes what is left of tokens that are gone, in the background.",
    fields: &[],
    handlers: Handlers { write: handler!(tidy), ..Handlers::NONE },
    access: Access::Policy,
}];

async fn tidy(call: &Call) -> Result<Answer, Error> {
    let warning = match call.open.stores.tokens.begin_tidying() {
        None => "tokens are being tidied already",
        Some(turn) => {
            call.open.in_background(async move {
                match turn.run().await {
                    Ok(done) => tracing::info!(
                        seen = done.seen,
                        accessors = done.accessors,
                        children = done.children,
                        "tokens were tidied"
                    ),
                    Err(error) => tracing::warn!(%error, "tidying tokens ended early"),
                }
            });
            "tokens are being tidied: what is found will be in the server's log"
        }
    };
    let warnings = vec![warning.to_owned()];
    Ok(Answer::Envelope(Box::new(Envelope { warnings, accepted: true, ..Envelope::default() })))
}
