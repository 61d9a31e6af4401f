//! Response wrapping: a response is stored for the holder of a single-use token, and the client
//! gets that token instead. Documented at
//! <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>.
//!
//! - this file: parsing the request's header, and the pipeline step that wraps a response
//! - [`wrapped_response`]: the wrapped response as it is stored
//! - `engine_wrapping`: wrapping that an engine asks for
//! - [`unwrap`]: finding the wrapping token of a request, and unwrapping it once
//!
//! Invariants:
//!
//! - A wrapping token has the policy `response-wrapping` and no other, and one use. It is an
//!   orphan, so the wrapped response outlives the token that requested it.
//! - Token, lease and wrapped response are written in one batch. If it doesn't apply, what was
//!   issued for the response is revoked, and the client gets an error.
//! - The use is counted durably before the response is returned. A crash in between loses the
//!   response; it is never returned twice.
//! - The response is stored in the cubbyhole of the wrapping token, where requests can't write, and
//!   is deleted with it.

mod engine_wrapping;
pub mod unwrap;
pub(crate) mod wrapped_response;

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_lease::{LeaseKind, NewLease};
use strongroom_telemetry::names;
use strongroom_token::{IssuedToken, NewToken, RevocationMark, TokenKey};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{LeaseId, Timestamp, Ttl, chain};
pub(crate) use unwrap::as_invalid_wrapping_token;
use wrapped_response::{WrapMetadata, WrappedResponse};

use crate::cubbyhole_store::CubbyholeStore;
use crate::error::Error;
use crate::leases::LeaseService;
use crate::refusal_log::RefusalLog;
use crate::request::{CoreResponse, IssuedSecret, ResponseEnvelope, WrapInfo};
use crate::stages::{AuthenticatedCaller, RoutedRequest};
use crate::tokens::TokenService;

/// Parses the header `X-Vault-Wrap-TTL`. `None` if it is empty or zero.
pub(crate) fn parse_wrap_ttl(header: &str) -> Result<Option<Ttl>, Error> {
    let bad =
        |what: String| Error::invalid(format!("error parsing X-Vault-Wrap-TTL header: {what}"));
    let nanos = parse_nanos(header).map_err(|error| bad(error.to_string()))?;
    let ttl = Ttl::from_nanos(nanos)
        .ok_or_else(|| bad("requested wrap ttl cannot be negative".to_owned()))?;
    Ok((!ttl.is_zero()).then_some(ttl))
}

/// Wraps responses in single-use tokens, and unwraps each of them once.
#[derive(Debug)]
pub struct WrappingService {
    pub(crate) tokens: Arc<TokenService>,
    /// Holds the wrapped responses.
    pub(crate) cubbyholes: CubbyholeStore,
    /// The server's maximum lifetime of tokens.
    pub(crate) max_ttl: Ttl,
    /// Logs invalid wrapping tokens.
    pub(crate) refusal_log: RefusalLog,
}

impl WrappingService {
    /// The lifetime of a wrapping token: the requested one, capped by the server's maximum as for
    /// every other token, so that stored responses always expire.
    pub(crate) fn cap_wrap_ttl(&self, requested: Ttl) -> Ttl {
        requested.capped_by(self.max_ttl)
    }

    fn leases(&self) -> &LeaseService {
        &self.tokens.leases
    }

    fn now(&self) -> Timestamp {
        self.leases().clock().now()
    }

    /// Revokes the lease or token of a response that won't be returned. A failure is logged.
    async fn revoke_issued(&self, issued: &IssuedSecret) {
        let failed = match issued {
            IssuedSecret::Lease(id) => self.leases().revoke_issued(id).await.err().map(Error::from),
            IssuedSecret::Token(key) => {
                let result = self.tokens.revoker.begin_revocation(key, RevocationMark::Tree).await;
                result.err().map(Error::from)
            }
        };
        if let Some(error) = failed {
            tracing::error!(error = %chain(&error), "failed to revoke what was issued for a response that could not be wrapped; it stays valid until it expires");
        }
    }
}

/// A request to wrap the response: the requested lifetime, and the caller.
#[derive(Debug)]
pub struct WrapRequest {
    ttl: Ttl,
    /// The lifetime originally requested, if it exceeded `ttl`; the response then has a warning.
    uncapped_ttl: Option<Ttl>,
    path: String,
    /// `None` on an unauthenticated path of an engine, and on one of the server's own unless a
    /// valid token without limited uses was sent.
    caller: Option<AuthenticatedCaller>,
}

impl WrapRequest {
    /// `None` if the request doesn't ask for wrapping.
    pub fn from_request(
        routed: &RoutedRequest,
        caller: Option<&AuthenticatedCaller>,
    ) -> Option<Self> {
        let ttl = routed.request.wrap_ttl?;
        let uncapped_ttl = routed.requested_wrap_ttl.filter(|requested| *requested > ttl);
        Some(Self::new(ttl, uncapped_ttl, routed, caller))
    }

    fn new(
        ttl: Ttl,
        uncapped_ttl: Option<Ttl>,
        routed: &RoutedRequest,
        caller: Option<&AuthenticatedCaller>,
    ) -> Self {
        let path = routed.request.path.as_str().to_owned();
        // Unauthenticated paths consume no use, so a token with limited uses could wrap any number
        // of times.
        let may_wrap = |caller: &&AuthenticatedCaller| {
            !routed.is_unauthenticated() || caller.stored_token.token.uses_left.is_none()
        };
        Self { ttl, uncapped_ttl, path, caller: caller.filter(may_wrap).cloned() }
    }

    /// Stores the response and returns one with the wrapping token instead. Returned unchanged are
    /// responses without content, those already wrapped, and [`CoreResponse::WithoutEnvelope`].
    ///
    /// Cancel safety: the response is wrapped, or what was issued for it is revoked, even if this
    /// future is dropped.
    pub async fn wrap_response(
        self,
        wrapping: &Arc<WrappingService>,
        response: CoreResponse,
    ) -> Result<CoreResponse, Error> {
        let issued = response.issued_secret().cloned();
        let accessor = response.auth_accessor();
        // A login counts as authenticated: its response has a token, be it an unstored batch token.
        let is_authenticated = self.caller.is_some() || accessor.is_some();
        let stored_response = match response {
            CoreResponse::Envelope(envelope) if envelope.wrap_info.is_none() => {
                WrappedResponse::from_envelope(*envelope)
            }
            CoreResponse::Raw(raw) if !raw.body.is_empty() => WrappedResponse::from_raw(raw),
            // Unwrapping it would send the wrapping token to the target: clients repeat a request
            // with its headers.
            CoreResponse::Redirect(_) => {
                let text = "the engine redirects this request, and a redirect can't be wrapped: \
                            send it without X-Vault-Wrap-TTL";
                return Err(Error::invalid(text));
            }
            other => return Ok(other),
        };
        let work = wrapping.clone();
        let detached = &wrapping.leases().detached;
        let wrapped = async move {
            let wrapped = match is_authenticated {
                true => self.store_wrapped(&work, &stored_response).await,
                // Otherwise anonymous requests could fill the storage with wrapped responses.
                false => Err(Error::invalid(
                    "a response can only be wrapped for a request with a token, or for a login",
                )),
            };
            if let (Err(_), Some(issued)) = (&wrapped, issued) {
                work.revoke_issued(&issued).await;
            }
            let accessor = accessor.filter(|accessor| !accessor.is_empty());
            let info = WrapInfo { wrapped_accessor: accessor, ..wrapped? };
            Ok(wrap_info_response(info, self.cap_warnings()))
        };
        detached.run(wrapped).await
    }

    fn cap_warnings(&self) -> Vec<String> {
        let warning = |requested: Ttl| {
            format!(
                "Wrapping TTL of {} exceeded the maximum of {}; it is capped accordingly",
                requested.to_short_string(),
                self.ttl.to_short_string()
            )
        };
        self.uncapped_ttl.map(warning).into_iter().collect()
    }

    async fn store_wrapped(
        &self,
        wrapping: &WrappingService,
        stored_response: &WrappedResponse,
    ) -> Result<WrapInfo, Error> {
        let new = NewWrapping {
            ttl: self.ttl,
            token_path: &self.path,
            creation_path: &self.path,
            display_name: self.caller.as_ref().map_or("", |it| &it.stored_token.token.display_name),
        };
        let mut batch = Batch::new();
        let created = new.add_to_batch(wrapping, &mut batch, stored_response)?;
        let alive = self.required_live_token();
        if let Some(key) = alive {
            // A token that is being revoked can't leave a wrapped response behind.
            wrapping.tokens.store.require_not_revoking(&mut batch, key);
        }
        let Err(error) = wrapping.leases().commit_and_notify(batch, created.expires_at()).await
        else {
            return Ok(created.into_wrap_info());
        };
        if !error.is_precondition() {
            // The batch may have been applied, but the client won't learn the wrapping token.
            wrapping.revoke_issued(&IssuedSecret::Token(created.created.key)).await;
        }
        if alive.is_some_and(|key| wrapping.tokens.store.is_gone_or_revoking(key, &error)) {
            return Err(Error::invalid_token());
        }
        Err(error.into())
    }

    /// The token on which the batch is conditional: it must exist and not be marked for revocation.
    /// `None` if this request is the token's last use, since the token is then already marked, and
    /// for a batch token without a parent.
    fn required_live_token(&self) -> Option<&TokenKey> {
        let stored_token = &self.caller.as_ref().filter(|caller| !caller.last_use)?.stored_token;
        // A batch token has no record; it is valid as long as its parent.
        if stored_token.token.is_batch() {
            stored_token.token.parent.as_ref()
        } else {
            Some(&stored_token.key)
        }
    }
}

/// The parameters of a new wrapping token.
pub(crate) struct NewWrapping<'a> {
    /// The requested lifetime; [`add_to_batch`](Self::add_to_batch) applies [`WrappingService::cap_wrap_ttl`].
    pub(crate) ttl: Ttl,
    /// The path of the request that creates the wrapping token, recorded in the token.
    pub(crate) token_path: &'a str,
    /// The path whose response is wrapped; unlike `token_path`, it survives rewrapping.
    pub(crate) creation_path: &'a str,
    pub(crate) display_name: &'a str,
}

impl NewWrapping<'_> {
    /// Adds the writes of token, lease and wrapped response to a batch.
    pub(crate) fn add_to_batch(
        &self,
        wrapping: &WrappingService,
        batch: &mut Batch,
        stored_response: &WrappedResponse,
    ) -> Result<CreatedWrapping, Error> {
        let now = wrapping.now();
        let ttl = wrapping.cap_wrap_ttl(self.ttl);
        let new = NewToken::wrapping(self.token_path, self.display_name, ttl);
        let created = wrapping.tokens.store.create(batch, new, now);
        let id = LeaseId::parse(&created.token.lease_id(&created.key))
            .map_err(|_| Error::invalid("the path is too long for its response to be wrapped"))?;
        let lease = NewLease {
            id,
            kind: LeaseKind::Token { key: created.key.as_str().to_owned(), login: None },
            token: None,
            issued: now,
            ttl,
            max_ttl: ttl,
            renewable: false,
        };
        wrapping.leases().store.create(batch, lease);
        let info = WrapMetadata::new(self.creation_path, now, ttl);
        info.add_to_batch(&wrapping.cubbyholes, batch, &created.key);
        stored_response.add_to_batch(&wrapping.cubbyholes, batch, &created.key);
        Ok(CreatedWrapping { created, creation_path: self.creation_path.to_owned() })
    }
}

/// A wrapping token whose batch isn't committed yet.
pub(crate) struct CreatedWrapping {
    created: IssuedToken,
    creation_path: String,
}

impl CreatedWrapping {
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.created.token.expires.unwrap_or(Timestamp::FAR_FUTURE)
    }

    /// The client's `wrap_info`. To be called once the batch is committed.
    pub(crate) fn into_wrap_info(self) -> WrapInfo {
        metrics::counter!(names::TOKEN_CREATED).increment(1);
        let token = self.created.token;
        WrapInfo {
            token: self.created.id,
            accessor: token.accessor,
            ttl: token.creation_ttl,
            creation_time: token.created,
            creation_path: self.creation_path,
            wrapped_accessor: None,
        }
    }
}

/// A response that contains `wrap_info`, the given warnings and nothing else.
pub(crate) fn wrap_info_response(info: WrapInfo, warnings: Vec<String>) -> CoreResponse {
    let wrap_info = Some(Box::new(info));
    CoreResponse::Envelope(Box::new(ResponseEnvelope {
        wrap_info,
        warnings,
        ..ResponseEnvelope::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_wrap_secs(header: &str) -> Result<Option<u64>, String> {
        let ttl = parse_wrap_ttl(header).map(|ttl| ttl.map(Ttl::as_secs));
        ttl.map_err(|error| error.to_string())
    }

    #[test]
    fn the_header_is_seconds_or_a_duration() {
        for (header, secs) in [("60", 60), ("60s", 60), (" 1h", 3600), ("1d", 86400), ("1500ms", 2)]
        {
            assert_eq!(parse_wrap_secs(header), Ok(Some(secs)), "{header:?}");
        }
        for header in ["", "0", "0s", " ", "0h"] {
            assert_eq!(parse_wrap_secs(header), Ok(None), "{header:?}");
        }
    }

    #[test]
    fn durations_below_a_second_round_up() {
        for header in ["100ms", "1ns", "0.5"] {
            assert_eq!(parse_wrap_secs(header), Ok(Some(1)), "{header:?}");
        }
    }

    #[test]
    fn invalid_durations_are_refused_as_vault_does() {
        let text = "error parsing X-Vault-Wrap-TTL header: time: invalid duration: write it as 90 or 1h30m";
        assert_eq!(parse_wrap_secs("zz"), Err(text.to_owned()));
        let text = "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative";
        for header in ["-5", "-5s", "-1ns"] {
            assert_eq!(parse_wrap_secs(header), Err(text.to_owned()));
        }
        assert!(parse_wrap_secs("99999999999").is_err());
    }
}
