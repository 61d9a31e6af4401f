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
    help: "Removes index entries of tokens that no longer exist, in the background.",
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
        None => "a tidy operation is already running",
        Some(turn) => {
            let tidy = async move {
                match turn.run().await {
                    Ok(done) => tracing::info!(
                        seen = done.seen,
                        accessors = done.accessors,
                        children = done.children,
                        "the tidy operation finished"
                    ),
                    Err(error) => {
                        tracing::warn!(error = %chain(&error), "the tidy operation failed");
                    }
                }
            };
            background.spawn(tidy.in_current_span());
            "the tidy operation was started; its result will be in the server's log"
        }
    };
    let warnings = vec![warning.to_owned()];
    Ok(CoreResponse::Envelope(Box::new(ResponseEnvelope {
        warnings,
        accepted: true,
        ..ResponseEnvelope::default()
    })))
}
