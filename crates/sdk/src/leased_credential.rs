//! Runs a [`Credential`] behind a path: handles intents, receipts and lifetimes, so that an
//! engine's `issue` and `revoke` need not.

use std::time::Duration;

use async_trait::async_trait;
use strongroom_engine::intent::INTENT_FIELD;
use strongroom_engine::{DataResponse, EngineError, EngineResponse, LeaseContext, LeasedResponse};
use strongroom_schema::field::build_object;
use strongroom_types::{Fields, RawObject, Timestamp, Ttl, clock};

use crate::action::ResponseData;
use crate::credential::{
    Credential, CredentialName, IssueRequest, IssuedCredential, Receipt, ReceiptWriter,
    RenewRequest, Renewal, RequiredDocument, RevokeContext,
};
use crate::intent::{DueIntent, Intent, IntentStore};
use crate::required_document::RequiredDocumentSpec;
use crate::{Context, Error};

/// The field of a lease's internal data that names the kind of credential. Go engines use the same
/// name, so that their leases can be taken over.
pub(crate) const KIND_FIELD: &str = "secret_type";
/// The field with the name of the role.
const ROLE_FIELD: &str = "role";
/// The field with the seconds after which the outside system ends the credential by itself.
const ENDS_WITHIN_FIELD: &str = "strongroom_ends_within";

/// A credential kind with its type erased.
#[async_trait]
pub(crate) trait ErasedCredential: Send + Sync {
    fn kind(&self) -> &'static str;
    /// The documents that the credential requires: its configuration and its role.
    fn required_documents(&self) -> [Option<RequiredDocumentSpec>; 2];
    async fn issue(
        &self,
        context: &Context,
        intents: &IntentStore,
        role: &str,
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

    fn required_documents(&self) -> [Option<RequiredDocumentSpec>; 2] {
        [C::Config::document_spec(), C::Role::document_spec()]
    }

    async fn issue(
        &self,
        context: &Context,
        intents: &IntentStore,
        role_name: &str,
    ) -> Result<EngineResponse, EngineError> {
        let config = C::Config::load_required(context, "").await?;
        let role = C::Role::load_required(context, role_name).await?;
        let lifetime = C::lifetime(&role).with_fallback(C::usual_lifetime(context).await?);
        let mount = context.lifetimes().await?;
        let now = context.now();
        let max = lifetime.max_ttl.nonzero_or(mount.max).min(mount.max);
        let name = CredentialName::new(role_name, context.display_name(), context.entropy());
        let waited_for = context.deadline().since(now);
        let timeout = C::timeout(&config).min(waited_for);
        let given_up = now.plus(operation_timeout::<C>(&config).min(waited_for));
        let intent = Intent::new(C::KIND, name.clone(), now, given_up, timeout);
        let uuid = intents.create(&intent).await?;
        let order = IssueRequest {
            config: &*config,
            role: &*role,
            role_name,
            name: &name,
            lasts_until: now.plus(max.as_duration()),
            context,
        };
        match with_deadline::<C, _>(
            context,
            &config,
            intent.deadline(),
            "issue",
            self.0.issue(&order),
        )
        .await
        {
            Ok(issued) => {
                // The lease starts now, but the outside system's expiry counts from before the
                // call.
                let ends = remaining_ttl(issued.ends_within, context.now().since(now));
                let internal = self.internal_data(
                    &issued,
                    ends,
                    role_name,
                    &uuid,
                    intents.host_deletes_intents,
                );
                if !intents.host_deletes_intents {
                    delete_wal_entry(context, intents, &uuid, &intent).await?;
                }
                let object = response_object(&issued.response);
                Ok(EngineResponse::Leased(LeasedResponse {
                    data: DataResponse { warnings: issued.warnings, ..DataResponse::new(object) },
                    internal,
                    ttl: lifetime.ttl.nonzero_or(mount.default).min(max).capped_by(ends),
                    max_ttl: shorter_ttl(lifetime.max_ttl, ends),
                    renewable: C::Renewal::RENEWABLE,
                    intent: intents.host_deletes_intents.then_some(uuid),
                    keep_data: false,
                }))
            }
            Err(error) => {
                self.undo_after_failure(context, intents, uuid, intent, &error).await;
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
        let config = C::Config::load_required(context, "").await?;
        let role =
            C::Role::load_required(context, &fields.text(ROLE_FIELD).unwrap_or_default()).await?;
        let lifetime = C::lifetime(&role).with_fallback(C::usual_lifetime(context).await?);
        let mount = context.lifetimes().await?;
        let ends = ends_within(&fields);
        let max = lifetime.max_ttl.nonzero_or(mount.max).min(mount.max).capped_by(ends);
        let lasts_until = lease.issued.plus(max.as_duration());
        if lasts_until <= context.now() {
            return Err(EngineError::user("past the max TTL, cannot renew"));
        }
        let order = RenewRequest { config: &*config, role: &*role, lasts_until, context };
        let until = context.now().plus(operation_timeout::<C>(&config));
        with_deadline::<C, _>(
            context,
            &config,
            until,
            "renew",
            C::Renewal::renew(&self.0, &order, &receipt),
        )
        .await?;
        Ok(EngineResponse::Leased(LeasedResponse {
            data: DataResponse::new(RawObject::empty()),
            internal: lease.internal.clone(),
            ttl: lifetime.ttl.nonzero_or(mount.default).min(max),
            max_ttl: shorter_ttl(lifetime.max_ttl, ends),
            renewable: C::Renewal::RENEWABLE,
            intent: None,
            keep_data: false,
        }))
    }

    async fn revoke(&self, context: &Context, lease: &LeaseContext) -> Result<(), EngineError> {
        let receipt = read_receipt::<C>(&lease.internal.fields())?;
        let config = C::Config::load_required(context, "").await?;
        let outside = RevokeContext { config: &*config, context };
        let until = context.now().plus(operation_timeout::<C>(&config));
        with_deadline::<C, _>(context, &config, until, "revoke", self.0.revoke(&outside, &receipt))
            .await?;
        Ok(())
    }

    async fn undo(&self, context: &Context, due: &DueIntent) -> Result<(), Error> {
        let config = C::Config::load_required(context, "").await?;
        let outside = RevokeContext { config: &*config, context };
        let name = &due.intent.data.name;
        let until =
            context.now().plus(operation_timeout::<C>(&config).saturating_mul(UNDO_TIMEOUT_FACTOR));
        with_deadline::<C, _>(context, &config, until, "undo", self.0.undo(&outside, name)).await?;
        Ok(())
    }
}

impl<C: Credential> LeasedCredential<C> {
    fn internal_data(
        &self,
        issued: &IssuedCredential<C>,
        ends: Ttl,
        role_name: &str,
        uuid: &str,
        hosted: bool,
    ) -> RawObject {
        let mut fields = ReceiptWriter::write_to_object(&issued.receipt).fields();
        fields.set(KIND_FIELD, &C::KIND);
        fields.set(ROLE_FIELD, &role_name);
        if !ends.is_zero() {
            fields.set(ENDS_WITHIN_FIELD, &ends.as_secs());
        }
        if hosted {
            fields.set(INTENT_FIELD, &uuid);
        }
        fields.to_object()
    }

    /// Cleans up after a failed `issue`: runs `undo` at once, unless the call may still take effect.
    /// Then the intent stays until the call can no longer be running.
    async fn undo_after_failure(
        &self,
        context: &Context,
        intents: &IntentStore,
        uuid: String,
        intent: Intent,
        error: &Error,
    ) {
        if error.is_uncertain() {
            return;
        }
        let due = DueIntent { uuid, intent };
        let outcome = match self.undo(context, &due).await {
            Ok(()) => intents.delete(&due.uuid).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, intent = due.uuid, "a failed credential will be undone later");
        }
    }
}

/// For a host that doesn't handle intents: the entry is deleted before the response is sent, unless
/// so much time has passed that the credential may have been undone meanwhile.
async fn delete_wal_entry(
    context: &Context,
    intents: &IntentStore,
    uuid: &str,
    intent: &Intent,
) -> Result<(), EngineError> {
    intents.delete(uuid).await?;
    if context.now() < intent.stale_at() {
        return Ok(());
    }
    // It may or may not have been undone already, so restore the entry and let it be undone again.
    intents.restore(uuid, intent).await?;
    Err(EngineError::internal("issuing took too long; the credential is undone"))
}

/// How many times as long `undo` may take as `issue`: it has to search for the credential first,
/// and may find several.
const UNDO_TIMEOUT_FACTOR: u32 = 4;

/// How long one operation may take, with all its calls to the outside system.
fn operation_timeout<C: Credential>(config: &C::Config) -> Duration {
    C::timeout(config).saturating_mul(C::CALLS.max(1))
}

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

/// The outside system's own expiry, as stored in the lease.
fn ends_within(fields: &Fields) -> Ttl {
    let secs = fields.get(ENDS_WITHIN_FIELD).and_then(|raw| raw.get().parse().ok());
    Ttl::from_secs(secs.unwrap_or_default())
}

/// The shorter of two limits, where zero means no limit.
fn shorter_ttl(one: Ttl, other: Ttl) -> Ttl {
    one.nonzero_or(other).capped_by(other)
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
            Err(Error::unanswered(C::SYSTEM, format!("{what} {kind}"), reason))
        }
        outcome = call => outcome,
    }
}

/// The kind of the credential that a lease belongs to.
pub(crate) fn credential_kind(lease: &LeaseContext) -> String {
    lease.internal.fields().text(KIND_FIELD).unwrap_or_default()
}
