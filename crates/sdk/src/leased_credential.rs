//! Runs a [`Credential`] behind a path: handles intents, receipts and lifetimes, so that an
//! engine's `issue` and `revoke` need not.

use std::time::Duration;

use async_trait::async_trait;
use strongroom_engine::{DataResponse, EngineError, EngineResponse, LeaseContext, LeasedResponse};
use strongroom_schema::field::{FieldSpec, InvalidInput, build_object};
use strongroom_types::{Fields, RawObject, Timestamp, Ttl, clock};

use crate::action::{Input, ResponseData, read_input};
use crate::credential::{
    Credential, CredentialName, IssueOperation, IssueRequest, Lifetime, Receipt, RenewRequest,
    Renewal, RequiredDocument, RevokeContext, RevokeOutcome, UndoMethod,
};
use crate::credential_lifetime::{REQUESTED_LIFETIME_FIELDS, RequestedLifetime, shorter_ttl};
use crate::intent::{DueIntent, IntentStore};
use crate::lease_fields::{self, StoredReceipt};
use crate::pending_issue::{PendingIssue, operation_timeout};
use crate::required_document::RequiredDocumentSpec;
use crate::{Context, Error};

/// A credential kind with its type erased.
#[async_trait]
pub(crate) trait ErasedCredential: Send + Sync {
    fn kind(&self) -> &'static str;
    fn issued_by(&self) -> IssueOperation;
    /// The fields that the client may send, with those of the lifetime if it may choose one.
    fn fields(&self) -> Vec<&'static FieldSpec>;
    fn check_defaults(&self) -> Result<(), InvalidInput>;
    /// The documents that can be the configuration.
    fn config_documents(&self) -> Vec<RequiredDocumentSpec>;
    /// The documents that can be the role.
    fn role_documents(&self) -> Vec<RequiredDocumentSpec>;
    async fn issue(
        &self,
        context: &Context,
        intents: &IntentStore,
        captures: &[&str],
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError>;
    async fn renew(
        &self,
        context: &Context,
        lease: &LeaseContext,
    ) -> Result<EngineResponse, EngineError>;
    async fn revoke(&self, context: &Context, lease: &LeaseContext) -> Result<(), EngineError>;
    async fn undo(&self, context: &Context, due: &DueIntent) -> Result<(), Error>;
}

pub(crate) struct LeasedCredential<C>(C);

impl<C> LeasedCredential<C> {
    pub(crate) fn new(credential: C) -> Self {
        Self(credential)
    }
}

#[async_trait]
impl<C: Credential> ErasedCredential for LeasedCredential<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn issued_by(&self) -> IssueOperation {
        C::ISSUED_BY
    }

    fn fields(&self) -> Vec<&'static FieldSpec> {
        let lifetimes = if C::CLIENT_SETS_LIFETIME { REQUESTED_LIFETIME_FIELDS } else { &[] };
        C::Input::FIELDS.iter().chain(lifetimes).collect()
    }

    fn check_defaults(&self) -> Result<(), InvalidInput> {
        C::Input::check_defaults()
    }

    fn config_documents(&self) -> Vec<RequiredDocumentSpec> {
        C::Config::document_specs()
    }

    fn role_documents(&self) -> Vec<RequiredDocumentSpec> {
        C::Role::document_specs()
    }

    async fn issue(
        &self,
        context: &Context,
        intents: &IntentStore,
        captures: &[&str],
        fields: &Fields,
    ) -> Result<EngineResponse, EngineError> {
        let input: C::Input = read_input(fields)?;
        let requested = match C::CLIENT_SETS_LIFETIME {
            true => RequestedLifetime::read(fields)?,
            false => RequestedLifetime::default(),
        };
        let config = C::Config::load_required(context, &[]).await?;
        let role = C::Role::load_required(context, captures).await?;
        let terms = LeaseTerms::load::<C>(context, &config, &role, requested).await?;
        let role_name = captures.first().copied().unwrap_or_default();
        let format = C::name_format(&config, &role);
        let name =
            CredentialName::new(&format, role_name, context.display_name(), context.entropy());
        let now = context.now();
        let intent = PendingIssue::begin::<C>(context, intents, &config, &name).await?;
        let order = IssueRequest {
            config: &*config,
            role: &*role,
            role_name,
            input: &input,
            name: &name,
            lasts_until: now.plus(terms.max.as_duration()),
            context,
        };
        let call = self.0.issue(&order);
        let issued =
            with_deadline::<C, _>(context, &config, intent.deadline(), "issue", call).await;
        // Zero would mean no wrapping.
        let issued = issued.and_then(|issued| match issued.wrap_ttl {
            Some(Ttl::ZERO) => Err(Error::internal("a wrapped credential needs a lifetime")),
            _ => Ok(issued),
        });
        match issued {
            Ok(issued) => {
                // The lease starts now, but the outside system's expiry counts from before the
                // call.
                let ends = shorter_ttl(issued.ends_within, terms.longest_life);
                let ends = remaining_ttl(ends, context.now().since(now));
                let stored =
                    StoredReceipt { captures, ends, requested, intent: intent.hosted_id() };
                let (internal, seal_wrap) = stored.to_internal_data::<C>(&issued.receipt);
                let hosted = intent.hand_over(context, intents).await?;
                let object = response_object(&issued.response);
                let (headers, wrap_ttl) = (issued.headers, issued.wrap_ttl);
                let mut warnings = issued.warnings;
                warnings.extend(terms.warning);
                Ok(EngineResponse::Leased(LeasedResponse {
                    data: DataResponse { warnings, wrap_ttl, headers, ..DataResponse::new(object) },
                    internal,
                    ttl: terms.ttl.capped_by(ends),
                    max_ttl: shorter_ttl(terms.lifetime.max_ttl, ends),
                    renewable: C::Renewal::RENEWABLE,
                    intent: hosted,
                    keep_data: false,
                    seal_wrap,
                }))
            }
            Err(error) => {
                self.clean_up_after_failure(context, intents, intent, &error, &terms).await;
                Err(error.into())
            }
        }
    }

    async fn renew(
        &self,
        context: &Context,
        lease: &LeaseContext,
    ) -> Result<EngineResponse, EngineError> {
        let fields = lease.internal.fields();
        let receipt = read_receipt::<C>(&fields)?;
        let captures = lease_fields::captures(&fields);
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        let config = C::Config::load_required(context, &[]).await?;
        let role = C::Role::load_required(context, &captures).await?;
        let requested = lease_fields::requested_lifetime(&fields);
        let terms = LeaseTerms::load::<C>(context, &config, &role, requested).await?;
        let ends = lease_fields::ends_within(&fields);
        let max = terms.max.capped_by(ends);
        let lasts_until = lease.issued.plus(max.as_duration());
        if lasts_until <= context.now() {
            return Err(EngineError::user("past the max TTL, cannot renew"));
        }
        let order = RenewRequest { config: &*config, role: &*role, lasts_until, context };
        let begun = context.now();
        let until = begun.plus(operation_timeout::<C>(&config));
        let call = C::Renewal::renew(&self.0, &order, &receipt);
        let renewed = with_deadline::<C, _>(context, &config, until, "renew", call).await?;
        // The stored expiry counts from when the lease was issued.
        let since_issue = Ttl::from_secs(begun.since(lease.issued).as_secs());
        let ends = renewed.ends_within.map_or(ends, |time| match time.is_zero() {
            true => Ttl::ZERO,
            false => Ttl::from_secs(since_issue.as_secs().saturating_add(time.as_secs())),
        });
        let stored = StoredReceipt { captures: &captures, ends, requested, intent: None };
        let receipt = renewed.receipt.as_ref().unwrap_or(&receipt);
        let (internal, seal_wrap) = stored.to_internal_data::<C>(receipt);
        let object = RawObject::empty();
        Ok(EngineResponse::Leased(LeasedResponse {
            data: DataResponse { warnings: renewed.warnings, ..DataResponse::new(object) },
            internal,
            ttl: terms.ttl.min(terms.max).capped_by(ends),
            max_ttl: shorter_ttl(terms.lifetime.max_ttl, ends),
            renewable: C::Renewal::RENEWABLE,
            intent: None,
            keep_data: false,
            seal_wrap,
        }))
    }

    async fn revoke(&self, context: &Context, lease: &LeaseContext) -> Result<(), EngineError> {
        let receipt = read_receipt::<C>(&lease.internal.fields())?;
        let config = C::Config::load_required(context, &[]).await?;
        let outside = RevokeContext { config: &*config, context };
        let until = context.now().plus(operation_timeout::<C>(&config));
        let call = self.0.revoke(&outside, &receipt);
        let outcome = with_deadline::<C, _>(context, &config, until, "revoke", call).await?;
        if outcome == RevokeOutcome::LeftToExpire {
            if C::Undo::FINDS_BY_NAME {
                return Err(EngineError::internal(format!(
                    "a credential of the kind {:?} can't be left to expire: it doesn't declare that \
                     it ends alone",
                    C::KIND
                )));
            }
            tracing::info!(
                kind = C::KIND,
                "a credential that can't be revoked was left to expire by itself"
            );
        }
        Ok(())
    }

    async fn undo(&self, context: &Context, due: &DueIntent) -> Result<(), Error> {
        let config = C::Config::load_required(context, &[]).await?;
        let outside = RevokeContext { config: &*config, context };
        let name = &due.intent.data.name;
        let until =
            context.now().plus(operation_timeout::<C>(&config).saturating_mul(UNDO_TIMEOUT_FACTOR));
        let call = C::Undo::undo(&self.0, &outside, name);
        with_deadline::<C, _>(context, &config, until, "undo", call).await?;
        Ok(())
    }
}

impl<C: Credential> LeasedCredential<C> {
    /// Cleans up after a failed `issue`: runs `undo` at once, unless the call may still take effect.
    /// Then the intent stays until the call can no longer be running.
    async fn clean_up_after_failure(
        &self,
        context: &Context,
        intents: &IntentStore,
        issue: PendingIssue,
        error: &Error,
        terms: &LeaseTerms,
    ) {
        let Some(due) = issue.into_due_intent() else {
            if error.is_uncertain() {
                let (kind, lives_secs) = (C::KIND, terms.longest_life.as_secs());
                tracing::warn!(
                    %error,
                    kind,
                    lives_secs,
                    "a credential may have been issued without a lease; it ends by itself"
                );
            }
            return;
        };
        if error.is_uncertain() {
            return;
        }
        let outcome = match self.undo(context, &due).await {
            Ok(()) => intents.delete(&due.uuid).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, intent = due.uuid, "a failed credential will be undone later");
        }
    }
}

/// How long a lease may last, as the role, the client, the mount and the outside system set it.
struct LeaseTerms {
    /// As the engine sets it, before the mount's limits.
    lifetime: Lifetime,
    /// The lifetime until the next renewal. It may exceed the maximum, to which the host limits it.
    ttl: Ttl,
    /// The maximum lifetime.
    max: Ttl,
    /// When the outside system ends each credential by itself at the latest; zero for never.
    longest_life: Ttl,
    /// For the client, if it asked for more than it gets.
    warning: Option<String>,
}

impl LeaseTerms {
    async fn load<C: Credential>(
        context: &Context,
        config: &C::Config,
        role: &C::Role,
        requested: RequestedLifetime,
    ) -> Result<Self, Error> {
        let usual = C::usual_lifetime(context).await?;
        let mount = context.lifetimes().await?;
        let longest_life = C::Undo::longest_life(config, role);
        let lifetime = requested.apply_to(C::lifetime(role).with_fallback(usual));
        let max = lifetime.max_ttl.nonzero_or(mount.max).min(mount.max).capped_by(longest_life);
        let asked = requested.0.max_ttl;
        let warning = (asked > max).then(|| {
            format!("max_ttl of {asked} is longer than the maximum of {max}, which applies")
        });
        let ttl = match requested.0.ttl.is_zero() {
            true => lifetime.ttl.nonzero_or(mount.default).min(max),
            false => requested.0.ttl,
        };
        Ok(Self { lifetime, ttl, max, longest_life, warning })
    }
}

/// How many times as long `undo` may take as `issue`: it has to search for the credential first,
/// and may find several.
const UNDO_TIMEOUT_FACTOR: u32 = 4;

fn read_receipt<C: Credential>(fields: &Fields) -> Result<C::Receipt, EngineError> {
    C::Receipt::from_fields(fields).map_err(|error| {
        EngineError::internal(format!("the lease's receipt can't be read: {error}"))
    })
}

/// The remaining time until the outside system's own expiry: at least a second, since zero means
/// none.
fn remaining_ttl(ends_within: Ttl, spent: Duration) -> Ttl {
    let left = ends_within.as_secs().saturating_sub(spent.as_secs());
    if ends_within.is_zero() { Ttl::ZERO } else { Ttl::from_secs(left.max(1)) }
}

fn response_object(answer: &impl ResponseData) -> RawObject {
    build_object(|out| answer.write(out))
}

/// Runs a call to the outside system until `until` on the instance's clock, but not longer than the
/// duration until then if the clock is set back. If `until` has passed, the call isn't started:
/// storing the intent took too long, and it may have been claimed already.
async fn with_deadline<C: Credential, T>(
    context: &Context,
    config: &C::Config,
    until: Timestamp,
    what: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = clock::wait_for_deadline(&**context.clock(), until) => {
            let (kind, calls, limit) = (C::KIND, C::CALLS.max(1), C::timeout(config).as_secs_f64());
            tracing::warn!(
                kind,
                calls,
                limit,
                "a credential operation was aborted: {what} makes more or longer calls than \
                 Credential::CALLS and Credential::timeout allow, or the outside system hangs"
            );
            let reason = match calls {
                1 => format!("timed out: 1 call of {limit} s is allowed for"),
                _ => format!("timed out: {calls} calls of {limit} s each are allowed for"),
            };
            Err(Error::unanswered(context.outside_system(), format!("{what} {kind}"), reason))
        }
        outcome = call => outcome,
    }
}
