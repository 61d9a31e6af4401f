//! `auth/token/tidy`: removes index entries of tokens that no longer exist, in the background.

use strongroom_core::background::BackgroundTasks;
use strongroom_core::error::Error;
use strongroom_core::request::{CoreResponse, ResponseEnvelope};
use strongroom_core::tokens::TokenService;
use strongroom_types::chain;
use tracing::Instrument;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(super) const ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "tidy",
    help: "Removes what is left of tokens that are gone, in the background.",
    fields: &[],
    handlers: VerbHandlers {
        write: handler!(tidy_tokens, tokens, background),
        ..VerbHandlers::NONE
    },
    access: EndpointAccess::Policy,
}];

async fn tidy_tokens(
    _: &EndpointCall,
    tokens: &TokenService,
    background: &BackgroundTasks,
) -> Result<CoreResponse, Error> {
    let warning = match tokens.store.try_start_tidy() {
        None => "tokens are being tidied already",
        Some(turn) => {
            let tidy = async move {
                match turn.run().await {
                    Ok(done) => tracing::info!(
                        seen = done.seen,
                        accessors = done.accessors,
                        children = done.children,
                        "tokens were tidied"
                    ),
                    Err(error) => tracing::warn!(error = %chain(&error), "tidying tokens failed"),
                }
            };
            background.spawn(tidy.in_current_span());
            "tokens are being tidied: what is found will be in the server's log"
        }
    };
    let warnings = vec![warning.to_owned()];
    Ok(CoreResponse::Envelope(Box::new(ResponseEnvelope {
        warnings,
        accepted: true,
        ..ResponseEnvelope::default()
    })))
}
