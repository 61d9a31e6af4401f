//! Finds the wrapping token that a request names, and unwraps or rewraps its response, at most
//! once.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_token::{Error as TokenError, StoredToken};
use strongroom_types::{ErrorKind, Fields, RequestId, Secret};

use super::wrapped_response::{WrapMetadata, WrappedResponse};
use super::{NewWrapping, WrappingService, wrap_info_response};
use crate::error::Error;
use crate::path_access::WrappingTokenUse;
use crate::refusal_log::RefusalKind;
use crate::request::{CoreResponse, Verb};
use crate::responses::{data_response_with_warnings, not_found};
use crate::stages::{AuthenticatedCaller, RoutedRequest};

/// The one error for tokens that are malformed, unknown, used, expired or not wrapping tokens. It
/// doesn't reveal which of these it is; clients only need to recognise that the token is invalid.
fn invalid_wrapping_token() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

/// Replaces a `Denied` error of authentication by that of an invalid wrapping token, for an unwrap
/// made with the wrapping token itself: it was used up concurrently. Other errors are returned
/// unchanged.
pub(crate) fn as_invalid_wrapping_token(routed: &RoutedRequest, error: Error) -> Error {
    let uses_own_token = !routed.request.fields.contains("token");
    let unwraps = routed.access.wrapping_token == WrappingTokenUse::Unwraps;
    if uses_own_token && unwraps && error.kind() == ErrorKind::Denied {
        return invalid_wrapping_token();
    }
    error
}

/// The wrapping token of a request: the field `token`, else the token the request is made with.
pub fn token_in_request(
    fields: &Fields,
    own: Option<&Secret<String>>,
) -> Result<Secret<String>, Error> {
    let refused = |what: &str| {
        let text = format!("error validating wrapping token: {what}");
        Error::with_message(ErrorKind::Denied, text)
    };
    match fields.get("token").filter(|raw| raw.get() != "null") {
        Some(raw) => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) if text.is_empty() => Err(refused("empty token in request body")),
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(refused("could not decode token in request body")),
        },
        None => match own.map(Secret::expose_secret).filter(|text| !text.is_empty()) {
            Some(text) => Ok(Secret::from_text(text)),
            None => Err(refused("token is empty")),
        },
    }
}

impl WrappingService {
    /// Refuses a request that names an invalid wrapping token, before the caller is authenticated
    /// and a use is counted. This only decides which error the client sees first; the handlers look
    /// the token up again.
    pub(crate) async fn validate_wrapping_token(
        &self,
        routed: &RoutedRequest,
    ) -> Result<(), Error> {
        let use_of_token = routed.access.wrapping_token;
        if use_of_token == WrappingTokenUse::None || routed.request.verb == Verb::Help {
            return Ok(());
        }
        let looked_up = async {
            let id = token_in_request(&routed.request.fields, routed.request.token.as_ref())?;
            self.look_up(&id).await
        };
        let Err(error) = Box::pin(looked_up).await else { return Ok(()) };
        if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Denied) {
            // Logged, because it may mean that someone intercepted the wrapping token and used it
            // first.
            routed.record_in_span(None);
            let origin = routed.request.request_origin(None);
            self.refusal_log.log_refusal(RefusalKind::InvalidToken, &origin, &error.to_string());
        }
        Err(error)
    }

    /// Looks up a valid wrapping token and the metadata of its response. Consumes no use.
    pub async fn look_up(&self, id: &Secret<String>) -> Result<(StoredToken, WrapMetadata), Error> {
        let stored_token = self.tokens.store.look_up(id.expose_secret(), self.now()).await?;
        let stored_token = stored_token
            .filter(|found| found.token.is_wrapping())
            .ok_or_else(invalid_wrapping_token)?;
        let info = WrapMetadata::read(&self.cubbyholes, &stored_token.key).await?;
        Ok((stored_token, info.ok_or_else(invalid_wrapping_token)?))
    }

    /// Returns the wrapped response and consumes the wrapping token's one use.
    pub async fn unwrap_response(
        self: &Arc<Self>,
        id: &Secret<String>,
        caller: &AuthenticatedCaller,
    ) -> Result<CoreResponse, Error> {
        if self.tokens.store.key_of(id.expose_secret()) == caller.stored_token.key {
            return self.read_own_response(caller).await?.into_response();
        }
        let (stored_token, _) = self.look_up(id).await?;
        let response = WrappedResponse::read(&self.cubbyholes, &stored_token.key)
            .await?
            .ok_or_else(invalid_wrapping_token)?;
        self.consume_wrapping_token(stored_token, Batch::new()).await?;
        response.into_response()
    }

    /// Moves the wrapped response to a new wrapping token. One batch consumes the old token and
    /// creates the new one, so exactly one of them is valid at any time.
    pub async fn rewrap_response(
        self: &Arc<Self>,
        id: &Secret<String>,
        caller: &AuthenticatedCaller,
    ) -> Result<CoreResponse, Error> {
        let (stored_token, info) = self.look_up(id).await?;
        let response = WrappedResponse::read(&self.cubbyholes, &stored_token.key)
            .await?
            .ok_or_else(invalid_wrapping_token)?;
        let new = NewWrapping {
            ttl: info.creation_ttl,
            token_path: "sys/wrapping/rewrap",
            creation_path: &info.creation_path,
            display_name: &caller.stored_token.token.display_name,
        };
        let mut batch = Batch::new();
        let created = new.add_to_batch(self, &mut batch, &response)?;
        let expires = created.expires_at();
        self.consume_wrapping_token(stored_token, batch).await?;
        self.leases().expiration.notify_due(expires);
        Ok(wrap_info_response(created.into_wrap_info(), Vec::new()))
    }

    /// `cubbyhole/response`, the deprecated way to unwrap: older clients read it with the wrapping
    /// token. The response is returned as one JSON string.
    pub async fn read_cubbyhole_response(
        &self,
        caller: &AuthenticatedCaller,
        path: &str,
        id: &RequestId,
    ) -> Result<CoreResponse, Error> {
        if path != "response" {
            return Err(not_found());
        }
        let response = self.read_own_response(caller).await?;
        let mut fields = Fields::new();
        fields.set("response", &response.to_json(id)?);
        let warning = "Reading cubbyhole/response is deprecated: use sys/wrapping/unwrap instead";
        Ok(data_response_with_warnings(fields.to_object(), vec![warning.to_owned()]))
    }

    /// The response wrapped by the caller's own token. Its use was counted at authentication, which
    /// grants `last_use` to exactly one of several concurrent requests.
    async fn read_own_response(
        &self,
        caller: &AuthenticatedCaller,
    ) -> Result<WrappedResponse, Error> {
        if !caller.last_use || !caller.stored_token.token.is_wrapping() {
            return Err(invalid_wrapping_token());
        }
        let response = WrappedResponse::read(&self.cubbyholes, &caller.stored_token.key).await?;
        response.ok_or_else(invalid_wrapping_token)
    }

    /// Consumes the use of a wrapping token other than the caller's, together with `batch`, and
    /// queues its revocation.
    async fn consume_wrapping_token(
        self: &Arc<Self>,
        stored_token: StoredToken,
        batch: Batch,
    ) -> Result<(), Error> {
        let work = self.clone();
        let consumed = async move {
            match work.tokens.store.consume_last_use(&stored_token, batch).await {
                Ok(()) => {
                    work.tokens.revoker.enqueue(&stored_token.key);
                    Ok(())
                }
                // Another request consumed it and may still be reading what the revocation deletes, so
                // don't queue that here.
                Err(TokenError::Revoked) => Err(invalid_wrapping_token()),
                // If the mark was written after all, the token revoker's periodic scan queues the
                // revocation.
                Err(other) => Err(other.into()),
            }
        };
        self.leases().detached.run(consumed).await
    }
}
