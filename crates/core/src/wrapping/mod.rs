//! Response wrapping: an answer is kept for whoever holds a token that works once, and the client
//! gets that token in its place. Documented at
//! <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>.
//!
//! - this file: what a request asks for, and the step of the pipeline that wraps
//! - [`wrapped_response`]: the wrapped answer as it is stored
//! - [`unwrap`]: which wrapping token a request names, and what it gives, once
//!
//! What holds:
//!
//! - A wrapping token has the policy `response-wrapping` and no other, and one use. It is an orphan,
//!   so what it wraps outlives whoever wrapped it.
//! - Token, lease and wrapped answer are one batch. If it doesn't apply, what was issued for the
//!   answer is revoked, and the client gets an error.
//! - The use is counted, durably, before the answer is given. A crash in between loses the answer;
//!   nothing gives it twice.
//! - The answer lies in the cubbyhole of the wrapping token, where no request can write, and goes
//!   with it.

pub(crate) mod unwrap;
pub(crate) mod wrapped_response;

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_lease::{LeaseKind, NewLease};
use strongroom_telemetry::names;
use strongroom_token::{IssuedToken, NewToken, RevocationMark, TokenKey};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{LeaseId, PolicyName, Timestamp, Ttl};
pub(crate) use unwrap::{explain_concurrent_use, read_cubbyhole_response, validate_wrapping_token};
use wrapped_response::{WrapMetadata, WrappedResponse};

use crate::error::Error;
use crate::pipeline::AuthenticatedCaller;
use crate::pipeline::route::RoutedRequest;
use crate::request::{CoreResponse, IssuedSecret, ResponseEnvelope, WrapInfo};
use crate::unsealed::UnsealedCore;

/// What the header asks for; none if nothing.
pub(crate) fn parse_wrap_ttl(header: &str) -> Result<Option<Ttl>, Error> {
    let bad =
        |what: String| Error::invalid(format!("error parsing X-Vault-Wrap-TTL header: {what}"));
    let nanos = parse_nanos(header).map_err(|error| bad(error.to_string()))?;
    let ttl = Ttl::from_nanos(nanos)
        .ok_or_else(|| bad("requested wrap ttl cannot be negative".to_owned()))?;
    Ok((!ttl.is_zero()).then_some(ttl))
}

/// The lifetime that a wrapping token gets for one that was asked for: the server's longest at most,
/// as every other token. What callers have stored ends.
pub(crate) fn cap_wrap_ttl(open: &UnsealedCore, asked: Ttl) -> Ttl {
    asked.capped_by(open.server_info.lifetimes.max)
}

/// A request's wish to have its answer wrapped.
pub(crate) struct WrapRequest {
    ttl: Ttl,
    /// What was asked for, if that is more.
    uncapped_ttl: Option<Ttl>,
    path: String,
    /// None where no token was needed, and none was sent or one of a few uses.
    caller: Option<AuthenticatedCaller>,
}

impl WrapRequest {
    /// None if the request has no such wish.
    pub(crate) fn from_request(
        routed: &RoutedRequest,
        caller: Option<&AuthenticatedCaller>,
    ) -> Option<Self> {
        let ttl = routed.request.wrap_ttl?;
        let path = routed.request.path.as_str().to_owned();
        // A token of a few uses that isn't spent on this request could wrap without end.
        let spent = |caller: &&AuthenticatedCaller| {
            !routed.unauthenticated || caller.stored_token.token.uses_left.is_none()
        };
        let longer_asked = routed.requested_wrap_ttl.filter(|asked| *asked > ttl);
        Some(Self { ttl, uncapped_ttl: longer_asked, path, caller: caller.filter(spent).cloned() })
    }

    /// The wrapping token in the place of the answer. Answers without content, those of a form of
    /// their own, and wrapped ones stay as they are.
    ///
    /// Cancel safety: the answer is wrapped, or what was issued for it is revoked, also when this is
    /// dropped.
    pub(crate) async fn wrap_response(
        self,
        open: &Arc<UnsealedCore>,
        answer: CoreResponse,
    ) -> Result<CoreResponse, Error> {
        let issued = answer.issued_secret().cloned();
        let accessor = answer.auth_accessor();
        // A login has a token to show for it, also one of which nothing is kept.
        let asked_for = self.caller.is_some() || accessor.is_some();
        let kept = match answer {
            CoreResponse::Envelope(envelope) if envelope.wrap_info.is_none() => {
                WrappedResponse::from_envelope(*envelope)
            }
            CoreResponse::Raw(raw) if !raw.body.is_empty() => WrappedResponse::from_raw(raw),
            other => return Ok(other),
        };
        let work = open.clone();
        open.run_detached(async move {
            let wrapped = match asked_for {
                true => self.store_wrapped(&work, &kept).await,
                // It could fill the store with what nobody asked a token for.
                false => Err(Error::invalid(
                    "an answer can be wrapped for a request with a token, or for a login",
                )),
            };
            if let (Err(_), Some(issued)) = (&wrapped, issued) {
                revoke_issued(&work, &issued).await;
            }
            let accessor = accessor.filter(|accessor| !accessor.is_empty());
            let info = WrapInfo { wrapped_accessor: accessor, ..wrapped? };
            Ok(wrap_info_response(info, self.cap_warnings()))
        })
        .await
    }

    fn cap_warnings(&self) -> Vec<String> {
        let warning = |asked: Ttl| {
            format!(
                "Wrapping TTL of {} exceeded the maximum of {}; it is capped accordingly",
                asked.to_short_string(),
                self.ttl.to_short_string()
            )
        };
        self.uncapped_ttl.map(warning).into_iter().collect()
    }

    async fn store_wrapped(
        &self,
        open: &Arc<UnsealedCore>,
        kept: &WrappedResponse,
    ) -> Result<WrapInfo, Error> {
        let new = NewWrapping {
            ttl: self.ttl,
            token_path: &self.path,
            creation_path: &self.path,
            display_name: self.caller.as_ref().map_or("", |it| &it.stored_token.token.display_name),
        };
        let mut batch = Batch::new();
        let made = new.add_to_batch(open, &mut batch, kept)?;
        let alive = self.required_live_token();
        if let Some(key) = alive {
            // Whoever is being revoked leaves nothing behind.
            open.stores.tokens.require_not_revoking(&mut batch, key);
        }
        let Err(error) = open.commit_and_notify(batch, made.expires_at()).await else {
            return Ok(made.into_wrap_info());
        };
        if !error.is_precondition() {
            // It may have been applied all the same, and nobody will be told of the token.
            revoke_issued(open, &IssuedSecret::Token(made.created.key)).await;
        }
        if alive.is_some_and(|key| open.stores.tokens.is_gone_or_revoking(key, &error)) {
            return Err(Error::invalid_token());
        }
        Err(error.into())
    }

    /// The token that must not be being revoked. None where this request is its last use: it is
    /// marked already. A token that isn't stored would be none either.
    fn required_live_token(&self) -> Option<&TokenKey> {
        let found = &self.caller.as_ref().filter(|caller| !caller.last_use)?.stored_token;
        // A batch token has no record; it lives as long as who made it.
        if found.token.is_batch() { found.token.parent.as_ref() } else { Some(&found.key) }
    }
}

/// A wrapping token that is to be.
pub(crate) struct NewWrapping<'a> {
    /// Bounded by [`cap_wrap_ttl`] when it is made.
    pub(crate) ttl: Ttl,
    /// The path of the request that makes it.
    pub(crate) token_path: &'a str,
    /// The path whose answer it holds.
    pub(crate) creation_path: &'a str,
    pub(crate) display_name: &'a str,
}

impl NewWrapping<'_> {
    /// Adds token, lease and wrapped answer to a batch.
    pub(crate) fn add_to_batch(
        &self,
        open: &UnsealedCore,
        batch: &mut Batch,
        kept: &WrappedResponse,
    ) -> Result<CreatedWrapping, Error> {
        let now = open.clock().now();
        let ttl = cap_wrap_ttl(open, self.ttl);
        let new = NewToken {
            id: None,
            parent: None,
            policies: vec![PolicyName::response_wrapping()],
            path: self.token_path.to_owned(),
            display_name: self.display_name.to_owned(),
            meta: None,
            ttl,
            renewable: false,
            period: Ttl::ZERO,
            explicit_max_ttl: ttl,
            num_uses: 1,
            role: None,
            bound_cidrs: Vec::new(),
        };
        let created = open.stores.tokens.create(batch, new, now);
        let id = LeaseId::parse(&created.token.lease_id(&created.key))
            .map_err(|_| Error::invalid("the path is too long for its answer to be wrapped"))?;
        let lease = NewLease {
            id,
            kind: LeaseKind::Token { key: created.key.as_str().to_owned(), login: None },
            token: None,
            issued: now,
            ttl,
            max_ttl: ttl,
            renewable: false,
        };
        open.stores.leases.create(batch, lease);
        let info = WrapMetadata::new(self.creation_path, now, ttl);
        info.add_to_batch(&open.stores.cubbyholes, batch, &created.key);
        kept.add_to_batch(&open.stores.cubbyholes, batch, &created.key);
        Ok(CreatedWrapping { created, creation_path: self.creation_path.to_owned() })
    }
}

/// A wrapping token whose batch is not applied yet.
pub(crate) struct CreatedWrapping {
    created: IssuedToken,
    creation_path: String,
}

impl CreatedWrapping {
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.created.token.expires.unwrap_or(Timestamp::FAR_FUTURE)
    }

    /// What the client gets, once the batch is applied.
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

/// An answer that tells how to get at another, and nothing else.
pub(crate) fn wrap_info_response(info: WrapInfo, warnings: Vec<String>) -> CoreResponse {
    let wrap_info = Some(Box::new(info));
    CoreResponse::Envelope(Box::new(ResponseEnvelope {
        wrap_info,
        warnings,
        ..ResponseEnvelope::default()
    }))
}

/// Revokes what was issued for an answer that will not be given.
async fn revoke_issued(open: &Arc<UnsealedCore>, issued: &IssuedSecret) {
    let failed = match issued {
        IssuedSecret::Lease(id) => {
            revoke_issued_lease(open, id).await.err().map(|error| error.to_string())
        }
        IssuedSecret::Token(key) => {
            revoke_issued_token(open, key).await.err().map(|error| error.to_string())
        }
    };
    if let Some(error) = failed {
        tracing::error!(%error, "what was issued for an answer that could not be wrapped lives on to its end");
    }
}

async fn revoke_issued_lease(
    open: &UnsealedCore,
    id: &LeaseId,
) -> Result<(), strongroom_lease::Error> {
    // Ordered durably: if the first attempt fails, the keeper goes on.
    open.expiration.mark_all_for_revocation(std::slice::from_ref(id)).await?;
    open.expiration.revoke(id).await?.ok();
    Ok(())
}

async fn revoke_issued_token(
    open: &UnsealedCore,
    key: &TokenKey,
) -> Result<(), strongroom_token::Error> {
    open.token_revoker.begin_revocation(key, RevocationMark::Tree).await?;
    Ok(())
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
