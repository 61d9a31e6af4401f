//! Response wrapping: an answer is kept for whoever holds a token that works once, and the client
//! gets that token in its place. Documented at
//! <https://developer.hashicorp.com/vault/docs/concepts/response-wrapping>.
//!
//! - this file: what a request asks for, and the step of the pipeline that wraps
//! - [`kept`]: the wrapped answer as it is stored
//! - [`taking`]: which wrapping token a request names, and what it gives, once
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

pub(crate) mod kept;
pub(crate) mod taking;

use std::sync::Arc;

use kept::{Info, Kept};
use strongroom_barrier::Batch;
use strongroom_lease::{Kind, NewLease};
use strongroom_telemetry::names;
use strongroom_token::{Created, Mark, NewToken, TokenKey};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{LeaseId, PolicyName, Timestamp, Ttl};
pub(crate) use taking::{check_named, read_response, spent_meanwhile};

use crate::error::Error;
use crate::pipeline::Caller;
use crate::pipeline::route::Routed;
use crate::request::{Answer, Envelope, Issued, WrapInfo};
use crate::unsealed::Unsealed;

/// What the header asks for; none if nothing.
pub(crate) fn asked_ttl(header: &str) -> Result<Option<Ttl>, Error> {
    let bad =
        |what: String| Error::invalid(format!("error parsing X-Vault-Wrap-TTL header: {what}"));
    let nanos = parse_nanos(header).map_err(|error| bad(error.to_string()))?;
    let ttl = Ttl::from_nanos(nanos)
        .ok_or_else(|| bad("requested wrap ttl cannot be negative".to_owned()))?;
    Ok((!ttl.is_zero()).then_some(ttl))
}

/// The lifetime that a wrapping token gets for one that was asked for: the server's longest at most,
/// as every other token. What callers have stored ends.
pub(crate) fn capped_ttl(open: &Unsealed, asked: Ttl) -> Ttl {
    asked.capped_by(open.server.lifetimes.max)
}

/// A request's wish to have its answer wrapped.
pub(crate) struct Order {
    ttl: Ttl,
    /// What was asked for, if that is more.
    longer_asked: Option<Ttl>,
    path: String,
    /// None where no token was needed, and none was sent or one of a few uses.
    caller: Option<Caller>,
}

impl Order {
    /// None if the request has no such wish.
    pub(crate) fn of(routed: &Routed, caller: Option<&Caller>) -> Option<Self> {
        let ttl = routed.request.wrap_ttl?;
        let path = routed.request.path.as_str().to_owned();
        // A token of a few uses that isn't spent on this request could wrap without end.
        let spent =
            |caller: &&Caller| !routed.open_to_all || caller.found.token.uses_left.is_none();
        let longer_asked = routed.asked_wrap_ttl.filter(|asked| *asked > ttl);
        Some(Self { ttl, longer_asked, path, caller: caller.filter(spent).cloned() })
    }

    /// The wrapping token in the place of the answer. Answers without content, those of a form of
    /// their own, and wrapped ones stay as they are.
    ///
    /// Cancel safety: the answer is wrapped, or what was issued for it is revoked, also when this is
    /// dropped.
    pub(crate) async fn wrap(self, open: &Arc<Unsealed>, answer: Answer) -> Result<Answer, Error> {
        let issued = answer.issued().cloned();
        let accessor = answer.auth_accessor();
        // A login has a token to show for it, also one of which nothing is kept.
        let asked_for = self.caller.is_some() || accessor.is_some();
        let kept = match answer {
            Answer::Envelope(envelope) if envelope.wrap_info.is_none() => Kept::envelope(*envelope),
            Answer::Raw(raw) if !raw.body.is_empty() => Kept::raw(raw),
            other => return Ok(other),
        };
        let work = open.clone();
        open.to_the_end(async move {
            let wrapped = match asked_for {
                true => self.wrap_kept(&work, &kept).await,
                // It could fill the store with what nobody asked a token for.
                false => Err(Error::invalid(
                    "an answer can be wrapped for a request with a token, or for a login",
                )),
            };
            if let (Err(_), Some(issued)) = (&wrapped, issued) {
                take_back(&work, &issued).await;
            }
            let accessor = accessor.filter(|accessor| !accessor.is_empty());
            let info = WrapInfo { wrapped_accessor: accessor, ..wrapped? };
            Ok(wrapped_answer(info, self.warnings()))
        })
        .await
    }

    fn warnings(&self) -> Vec<String> {
        let warning = |asked: Ttl| {
            format!(
                "Wrapping TTL of {} exceeded the maximum of {}; it is capped accordingly",
                asked.brief(),
                self.ttl.brief()
            )
        };
        self.longer_asked.map(warning).into_iter().collect()
    }

    async fn wrap_kept(&self, open: &Arc<Unsealed>, kept: &Kept) -> Result<WrapInfo, Error> {
        let new = NewWrapping {
            ttl: self.ttl,
            made_at: &self.path,
            creation_path: &self.path,
            display_name: self.caller.as_ref().map_or("", |it| &it.found.token.display_name),
        };
        let mut batch = Batch::new();
        let made = new.add(open, &mut batch, kept)?;
        let alive = self.who_must_be_alive();
        if let Some(key) = alive {
            // Whoever is being revoked leaves nothing behind.
            open.stores.tokens.require_alive(&mut batch, key);
        }
        let Err(error) = open.commit_due(batch, made.expires()).await else {
            return Ok(made.info());
        };
        if !error.is_precondition() {
            // It may have been applied all the same, and nobody will be told of the token.
            take_back(open, &Issued::Token(made.created.key)).await;
        }
        if alive.is_some_and(|key| open.stores.tokens.is_dead(key, &error)) {
            return Err(Error::no_token());
        }
        Err(error.into())
    }

    /// The token that must not be being revoked. None where this request is its last use: it is
    /// marked already. A token that isn't stored would be none either.
    fn who_must_be_alive(&self) -> Option<&TokenKey> {
        let found = &self.caller.as_ref().filter(|caller| !caller.last_use)?.found;
        // A batch token has no record; it lives as long as who made it.
        if found.token.is_batch() { found.token.parent.as_ref() } else { Some(&found.key) }
    }
}

/// A wrapping token that is to be.
pub(crate) struct NewWrapping<'a> {
    /// Bounded by [`capped_ttl`] when it is made.
    pub(crate) ttl: Ttl,
    /// The path of the request that makes it.
    pub(crate) made_at: &'a str,
    /// The path whose answer it holds.
    pub(crate) creation_path: &'a str,
    pub(crate) display_name: &'a str,
}

impl NewWrapping<'_> {
    /// Adds token, lease and wrapped answer to a batch.
    pub(crate) fn add(
        &self,
        open: &Unsealed,
        batch: &mut Batch,
        kept: &Kept,
    ) -> Result<Made, Error> {
        let now = open.clock().now();
        let ttl = capped_ttl(open, self.ttl);
        let new = NewToken {
            id: None,
            parent: None,
            policies: vec![PolicyName::response_wrapping()],
            path: self.made_at.to_owned(),
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
            kind: Kind::Token { key: created.key.as_str().to_owned(), login: None },
            token: None,
            issued: now,
            ttl,
            max_ttl: ttl,
            renewable: false,
        };
        open.stores.leases.add(batch, lease);
        let info = Info::new(self.creation_path, now, ttl);
        info.put(&open.stores.cubbyholes, batch, &created.key);
        kept.put(&open.stores.cubbyholes, batch, &created.key);
        Ok(Made { created, creation_path: self.creation_path.to_owned() })
    }
}

/// A wrapping token whose batch is not applied yet.
pub(crate) struct Made {
    created: Created,
    creation_path: String,
}

impl Made {
    pub(crate) fn expires(&self) -> Timestamp {
        self.created.token.expires.unwrap_or(Timestamp::FAR_FUTURE)
    }

    /// What the client gets, once the batch is applied.
    pub(crate) fn info(self) -> WrapInfo {
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
pub(crate) fn wrapped_answer(info: WrapInfo, warnings: Vec<String>) -> Answer {
    let wrap_info = Some(Box::new(info));
    Answer::Envelope(Box::new(Envelope { wrap_info, warnings, ..Envelope::default() }))
}

/// Revokes what was issued for an answer that will not be given.
async fn take_back(open: &Arc<Unsealed>, issued: &Issued) {
    let failed = match issued {
        Issued::Lease(id) => take_lease_back(open, id).await.err().map(|error| error.to_string()),
        Issued::Token(key) => take_token_back(open, key).await.err().map(|error| error.to_string()),
    };
    if let Some(error) = failed {
        tracing::error!(%error, "what was issued for an answer that could not be wrapped lives on to its end");
    }
}

async fn take_lease_back(open: &Unsealed, id: &LeaseId) -> Result<(), strongroom_lease::Error> {
    // Ordered durably: if the first attempt fails, the keeper goes on.
    open.keeper.order_all(std::slice::from_ref(id)).await?;
    open.keeper.revoke(id).await?.ok();
    Ok(())
}

async fn take_token_back(open: &Unsealed, key: &TokenKey) -> Result<(), strongroom_token::Error> {
    open.trees.mark(key, Mark::Tree).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(header: &str) -> Result<Option<u64>, String> {
        let ttl = asked_ttl(header).map(|ttl| ttl.map(Ttl::as_secs));
        ttl.map_err(|error| error.to_string())
    }

    #[test]
    fn the_header_is_seconds_or_a_duration() {
        for (header, secs) in [("60", 60), ("60s", 60), (" 1h", 3600), ("1d", 86400), ("1500ms", 2)]
        {
            assert_eq!(asked(header), Ok(Some(secs)), "{header:?}");
        }
        for header in ["", "0", "0s", " ", "0h"] {
            assert_eq!(asked(header), Ok(None), "{header:?}");
        }
    }

    #[test]
    fn less_than_a_second_is_not_nothing() {
        for header in ["100ms", "1ns", "0.5"] {
            assert_eq!(asked(header), Ok(Some(1)), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_lifetime_is_refused_in_known_words() {
        let text = "error parsing X-Vault-Wrap-TTL header: time: invalid duration: write it as 90 or 1h30m";
        assert_eq!(asked("zz"), Err(text.to_owned()));
        let text = "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative";
        for header in ["-5", "-5s", "-1ns"] {
            assert_eq!(asked(header), Err(text.to_owned()));
        }
        assert!(asked("99999999999").is_err());
    }
}
