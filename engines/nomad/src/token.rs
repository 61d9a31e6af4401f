//! [`NomadToken`]: issuing, renewing and revoking tokens, and cleaning up after a crash.

use std::time::Duration;

use strongroom_sdk::{
    ByName, Credential, CredentialName, Error, Identifier, IssueRequest, IssuedCredential,
    Lifetime, Receipt, RenewInPlace, RenewableInPlace, ResponseData, RevokeContext, RevokeOutcome,
    Secret, Ttl, UndoByName, UndoOutcome,
};

use crate::access::NomadAccessConfig;
use crate::api::{CreateTokenOutcome, CreatedNomadToken, NomadApi, NomadTokenSpec};
use crate::role::Role;

/// The response of `creds/:name`.
#[derive(ResponseData)]
pub(crate) struct NomadTokenResponse {
    /// The accessor of the token, which grants no access by itself.
    accessor_id: Identifier,
    /// The token.
    secret_id: Secret<String>,
}

/// What is stored with the lease: the accessor, which is enough to delete the token. Only the
/// client has the token itself.
#[derive(Receipt)]
pub(crate) struct NomadTokenReceipt {
    accessor_id: Identifier,
}

/// The credential type: ACL tokens of Nomad.
pub(crate) struct NomadToken;

impl Credential for NomadToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "Issues an ACL token with the policies of the role.";
    /// Two calls, because Nomad may refuse the requested lifetime first.
    const CALLS: u32 = 2;

    type Config = NomadAccessConfig;
    type Role = Role;
    type Input = ();
    type Response = NomadTokenResponse;
    type Receipt = NomadTokenReceipt;
    type Renewal = RenewableInPlace;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        role.lifetime.to_lifetime()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        // A renewal can't change Nomad's own expiry, so it is set to the lease's maximum.
        let longest = round_up_to_secs(order.lasts_for());
        let name = order.name.fit(order.config.max_name_length());
        let wish = |expires| NomadTokenSpec { name: &name, role: order.role, expires };
        let api = NomadApi::new(order.context, order.config)?;
        let nomad = async |expires| api.create_token(&wish(expires)).await;
        match nomad(longest).await? {
            CreateTokenOutcome::Created(made) => Ok(issued_token(made, longest)),
            // Only Nomad knows its limit, which is another one for a token that is valid in all
            // regions.
            CreateTokenOutcome::ExpirationTooLong(limit) => {
                let made = nomad(limit).await?.into_created()?;
                Ok(issued_token(made, limit).warn(format!(
                    "Nomad lets no token live longer than {limit} (its acl.token_max_expiration_ttl): \
                     the lease's longest lifetime is that and not {longest}"
                )))
            }
            CreateTokenOutcome::ExpirationTooShort => {
                Ok(issued_token(nomad(Ttl::ZERO).await?.into_created()?, Ttl::ZERO))
            }
        }
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &NomadTokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let api = NomadApi::new(outside.context, outside.config)?;
        api.delete_token(receipt.accessor_id.as_str()).await
    }
}

impl UndoByName for NomadToken {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        // Search for the part that is never truncated: the name may have been created under another
        // length limit.
        let api = NomadApi::new(outside.context, outside.config)?;
        let accessors = api.find_by_name_suffix(&name.fit(0)).await?;
        for accessor in &accessors {
            api.delete_token(accessor.as_str()).await?;
        }
        Ok(if accessors.is_empty() { UndoOutcome::NotFound } else { UndoOutcome::Removed })
    }
}

/// Renewing needs no change in Nomad, where the token lives until the lease's maximum anyway.
impl RenewInPlace for NomadToken {
    async fn still_exists(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &NomadTokenReceipt,
    ) -> Result<bool, Error> {
        let api = NomadApi::new(outside.context, outside.config)?;
        api.token_exists(receipt.accessor_id.as_str()).await
    }
}

/// Rounds up to a whole second. The fraction that has passed since the request must not make the
/// lease a second shorter than the role's TTL.
fn round_up_to_secs(time: Duration) -> Ttl {
    let rounded = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Ttl::from_secs(rounded.max(1))
}

/// `expires` is the lifetime that was requested from Nomad; zero if none was.
fn issued_token(made: CreatedNomadToken, expires: Ttl) -> IssuedCredential<NomadToken> {
    let expires_itself = made.expires.is_some();
    let answer = NomadTokenResponse { accessor_id: made.accessor.clone(), secret_id: made.secret };
    let issued = IssuedCredential::new(answer, NomadTokenReceipt { accessor_id: made.accessor });
    if expires.is_zero() {
        return issued;
    }
    if expires_itself {
        return issued.ends_within(expires);
    }
    // Nomad before 1.4 doesn't support expiry.
    issued.warn("this Nomad has no token expiry: only the end of the lease deletes the token")
}
