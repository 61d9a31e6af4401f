//! [`RoleLogin`]: the login with a role id and a secret id.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_sdk::*;

use crate::role::{Role, index};
use crate::secret_id_entry::SecretIdEntry;
use crate::secret_id_store::{self, SecretIdPlace};

/// The name of the metadata that has the role's name.
const ROLE_NAME: &str = "role_name";

/// The login with a role id and, if the role wants one, a secret id.
pub(crate) struct RoleLogin;

/// Who logs in, and the proof.
#[derive(Input)]
pub(crate) struct LoginInput {
    /// The id of the role.
    role_id: String,
    /// A secret id of the role. Not needed if the role doesn't set bind_secret_id.
    secret_id: Option<Secret<String>>,
}

impl Login for RoleLogin {
    const PATH: &'static str = "login";
    const HELP: &'static str = "Logs a machine in with a role id and a secret id.";
    const REFUSED: &'static str = "invalid role or secret ID";
    type Input = LoginInput;

    fn alias(&self, input: &LoginInput) -> Option<String> {
        Some(input.role_id.trim().to_owned()).filter(|role_id| !role_id.is_empty())
    }

    async fn resolve_role(
        &self,
        context: &Context,
        input: &LoginInput,
    ) -> Result<Option<String>, Error> {
        index::find_role_name(context, input.role_id.trim()).await
    }

    fn check_input(&self, input: &LoginInput) -> Result<(), Error> {
        match input.role_id.trim().is_empty() {
            true => Err(Error::user("missing role_id")),
            false => Ok(()),
        }
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: LoginInput,
    ) -> Result<LoginGrant, LoginError> {
        let LoginInput { role_id, secret_id } = input;
        let secret_id = secret_id.filter(|it| !it.expose_secret().trim().is_empty());
        let name = index::find_role_name(request.context(), role_id.trim()).await?;
        let mut outcome = ProofOutcome::Refused;
        let (found, role_id) = (&mut outcome, role_id.trim());
        let proves = move |role: Arc<Role>| async move {
            *found = check_proof(request, &role, role_id, secret_id.as_ref()).await?;
            Ok(matches!(found, ProofOutcome::Accepted { .. }))
        };
        // No role has the empty name, so an unknown role id is checked against the decoy.
        let name = name.unwrap_or_default();
        let verified = request.verify_account(&name, Role::decoy(), proves).await;
        if let ProofOutcome::SecretIdMissing = outcome {
            return Err(LoginError::missing("secret_id"));
        }
        let role = verified?;
        let ProofOutcome::Accepted { terms, metadata } = outcome else {
            return Err(LoginError::refused());
        };
        let identity = Identity::new(&role.name_from(|role| &role.role_id)).with_display_name("");
        let add = |identity: Identity, (name, value)| identity.with_metadata(name, value);
        // The name of the role comes last: metadata of the secret id can't replace it.
        let identity =
            metadata.into_iter().fold(identity, add).with_metadata(ROLE_NAME, role.name());
        Ok(LoginGrant::with_terms(identity, terms))
    }

    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        let name = renewal.metadata(ROLE_NAME).unwrap_or_default();
        let role = match name.is_empty() {
            true => None,
            false => renewal.context().documents().get::<Role>(&[name]).await?,
        };
        // A role of the same name that was created later has another role id, unless the operator chose
        // the same one: then it is meant to be the same role.
        let role = role.filter(|role| role.role_id == renewal.alias());
        let role = role.ok_or_else(|| Error::user("the role of this token no longer exists"))?;
        Ok(TokenTerms::from(&role.token))
    }
}

/// What came of checking a client's proof.
enum ProofOutcome {
    Refused,
    /// The role wants a secret id, and the client sent none. The decoy wants one too.
    SecretIdMissing,
    Accepted {
        terms: TokenTerms,
        metadata: BTreeMap<String, String>,
    },
}

/// Checks the secret id, and the address of the client. A use is used up only if nothing else speaks
/// against the login.
async fn check_proof(
    request: &LoginRequest<'_>,
    role: &Role,
    role_id: &str,
    secret_id: Option<&Secret<String>>,
) -> Result<ProofOutcome, Error> {
    let (context, address) = (request.context(), request.address());
    let terms = TokenTerms::from(&role.token);
    // False for the decoy, and for a role that got another role id since it was found by this one.
    let has_role_id = role.role_id == role_id;
    if !role.bind_secret_id {
        let is_inside =
            permits(&role.secret_id_bound_cidrs.0, address) && terms.permits_login_from(address);
        if is_inside && has_role_id {
            return Ok(ProofOutcome::Accepted { terms, metadata: BTreeMap::new() });
        }
        // The response to a role id that doesn't exist, which the decoy gives.
        return Ok(match secret_id {
            Some(_) => ProofOutcome::Refused,
            None => ProofOutcome::SecretIdMissing,
        });
    }
    let Some(secret_id) = secret_id else { return Ok(ProofOutcome::SecretIdMissing) };
    let place = SecretIdPlace::of(role, secret_id)?;
    let found = secret_id_store::find(context, &place).await?;
    let Some(entry) = found.filter(|_| has_role_id) else { return Ok(ProofOutcome::Refused) };
    let Some(terms) = terms_with(role, &entry, terms, address) else {
        tracing::info!(
            "a login with a valid secret id was refused because of the client's address"
        );
        return Ok(ProofOutcome::Refused);
    };
    if entry.num_uses > 0 && !secret_id_store::use_up(context, &place, &entry).await? {
        return Ok(ProofOutcome::Refused);
    }
    Ok(ProofOutcome::Accepted { terms, metadata: entry.metadata })
}

/// The terms of a login with this secret id; `None` if the client may not log in from its address.
/// The networks of the secret id must still be a part of the role's, which may have changed.
fn terms_with(
    role: &Role,
    entry: &SecretIdEntry,
    terms: TokenTerms,
    address: Option<IpAddr>,
) -> Option<TokenTerms> {
    let (own, of_role) = (entry.cidrs(), &role.secret_id_bound_cidrs.0);
    let is_part = own.0.is_empty() || of_role.covers(&own);
    if !is_part || !permits(of_role, address) || !permits(&own, address) {
        return None;
    }
    let terms = terms.restricted_to(&entry.token_cidrs())?;
    terms.permits_login_from(address).then_some(terms)
}

/// Whether a client may log in from its address. An unknown address is in no network.
fn permits(networks: &CidrList, address: Option<IpAddr>) -> bool {
    networks.0.is_empty() || address.is_some_and(|address| networks.permits(address))
}
