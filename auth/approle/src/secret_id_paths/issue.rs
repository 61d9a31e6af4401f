//! Issuing secret ids, and the list of their accessors.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strongroom_sdk::field::{Field, FieldKind, InvalidValue};
use strongroom_sdk::*;

use super::{load_role, missing_secret_id, unknown_role};
use crate::network_list::NetworkList;
use crate::role::Role;
use crate::secret_id_entry::SecretIdTerms;
use crate::secret_id_store::{self, DestroyTarget, MAX_SECRET_ID_BYTES, SecretIdPlace};

/// The properties of a new secret id.
#[derive(Input)]
pub(super) struct NewSecretId {
    /// Name of the role; taken from the path.
    role_name: String,
    /// Metadata that tokens of the secret id get: a JSON object in a text, or texts of the form
    /// name=value.
    metadata: SecretIdMetadata,
    /// Addresses and networks (CIDR) from which clients may log in with it; empty for those of the
    /// role, of which they must be a part.
    cidr_list: CidrList,
    /// Addresses and networks (CIDR) from which the tokens may be used; empty for those of the role,
    /// of which they must be a part.
    token_bound_cidrs: CidrList,
    /// How many logins it is good for; by default and at most the role's secret_id_num_uses.
    num_uses: Option<i64>,
    /// How long it is valid; by default and at most the role's secret_id_ttl.
    ttl: Option<DurationSecs>,
}

/// The properties of a secret id that was chosen elsewhere.
#[derive(Input)]
pub(super) struct CustomSecretId {
    /// Name of the role; taken from the path.
    role_name: String,
    /// The secret id.
    secret_id: Option<Secret<String>>,
    /// Metadata that tokens of the secret id get: a JSON object in a text, or texts of the form
    /// name=value.
    metadata: SecretIdMetadata,
    /// Addresses and networks (CIDR) from which clients may log in with it; empty for those of the
    /// role, of which they must be a part.
    cidr_list: CidrList,
    /// Addresses and networks (CIDR) from which the tokens may be used; empty for those of the role,
    /// of which they must be a part.
    token_bound_cidrs: CidrList,
    /// How many logins it is good for; by default and at most the role's secret_id_num_uses.
    num_uses: Option<i64>,
    /// How long it is valid; by default and at most the role's secret_id_ttl.
    ttl: Option<DurationSecs>,
}

/// A new secret id.
#[derive(ResponseData)]
struct IssuedSecretId {
    secret_id: Secret<String>,
    secret_id_accessor: String,
    secret_id_num_uses: u64,
    secret_id_ttl: DurationSecs,
}

/// Which role.
#[derive(Input)]
pub(super) struct RoleInput {
    /// Name of the role; taken from the path.
    role_name: String,
}

/// Issues a random secret id.
pub(super) async fn issue(context: Context, input: NewSecretId) -> Result<Response, Error> {
    let secret_id = Secret::new(context.entropy().uuid());
    issue_secret_id(&context, secret_id, input).await
}

/// Stores a secret id that was chosen elsewhere.
pub(super) async fn issue_custom(
    context: Context,
    input: CustomSecretId,
) -> Result<Response, Error> {
    let CustomSecretId {
        role_name,
        secret_id,
        metadata,
        cidr_list,
        token_bound_cidrs,
        num_uses,
        ttl,
    } = input;
    let has_text = |secret_id: &Secret<String>| !secret_id.expose_secret().trim().is_empty();
    let secret_id = secret_id.filter(has_text).ok_or_else(missing_secret_id)?;
    if secret_id.expose_secret().len() > MAX_SECRET_ID_BYTES {
        return Err(Error::user(format!("a secret_id has at most {MAX_SECRET_ID_BYTES} bytes")));
    }
    let properties =
        NewSecretId { role_name, metadata, cidr_list, token_bound_cidrs, num_uses, ttl };
    issue_secret_id(&context, secret_id, properties).await
}

async fn issue_secret_id(
    context: &Context,
    secret_id: Secret<String>,
    input: NewSecretId,
) -> Result<Response, Error> {
    let role = load_role(context, &input.role_name).await?;
    if !role.bind_secret_id {
        return Err(Error::user("bind_secret_id is not set on the role"));
    }
    let role_name = input.role_name.clone();
    let terms = terms_of(context, &role, input).await?;
    let secret_id_ttl = DurationSecs(terms.capped_ttl);
    let place = SecretIdPlace::of(&role, &secret_id)?;
    let entry = secret_id_store::issue(context, place.clone(), terms).await?;
    let now = context.documents().get::<Role>(&[&role_name]).await?;
    if now.is_none_or(|now| now.generation != role.generation) {
        // The role was deleted meanwhile, and what that left to be removed doesn't include this.
        secret_id_store::destroy(context, place, DestroyTarget::Any).await?;
        return Err(Error::not_found(unknown_role(&role_name)));
    }
    Ok(Response::unleased_secret(&IssuedSecretId {
        secret_id,
        secret_id_accessor: entry.accessor,
        secret_id_num_uses: entry.num_uses,
        secret_id_ttl,
    }))
}

/// Checks what was asked for against the role, and adds its defaults.
async fn terms_of(
    context: &Context,
    role: &Role,
    input: NewSecretId,
) -> Result<SecretIdTerms, Error> {
    let NewSecretId { metadata, cidr_list, token_bound_cidrs, num_uses, ttl, .. } = input;
    check_subset(&role.secret_id_bound_cidrs.0, &cidr_list)?;
    check_subset(&role.token.token_bound_cidrs, &token_bound_cidrs)?;
    let (most_uses, longest) = (role.default_num_uses(), role.secret_id_ttl.0);
    let num_uses = match num_uses.map(u64::try_from).transpose() {
        Err(_) => return Err(Error::user("num_uses cannot be negative")),
        Ok(None) => most_uses,
        Ok(Some(asked)) if most_uses > 0 && (asked == 0 || asked > most_uses) => {
            let text = "num_uses cannot be higher than the role's secret_id_num_uses";
            return Err(Error::user(text));
        }
        Ok(Some(asked)) => asked,
    };
    let ttl = match ttl.map(|ttl| ttl.0) {
        None => longest,
        Some(asked) if !longest.is_zero() && (asked.is_zero() || asked > longest) => {
            return Err(Error::user("ttl cannot be longer than the role's secret_id_ttl"));
        }
        Some(asked) => asked,
    };
    let capped_ttl = match ttl.is_zero() {
        true => ttl,
        false => ttl.min(context.lifetimes().await?.max),
    };
    Ok(SecretIdTerms {
        num_uses,
        ttl,
        capped_ttl,
        metadata: metadata.0,
        cidrs: cidr_list,
        token_cidrs: token_bound_cidrs,
    })
}

fn check_subset(role: &CidrList, secret_id: &CidrList) -> Result<(), Error> {
    if secret_id.0.is_empty() || role.covers(secret_id) {
        return Ok(());
    }
    let show = |list: &CidrList| NetworkList(list.clone()).to_texts();
    let (role, secret_id) = (show(role), show(secret_id));
    Err(Error::user(format!(
        "failed to verify subset relationship between CIDR blocks on the role {role:?} and CIDR \
         blocks on the secret ID {secret_id:?}"
    )))
}

/// Lists the accessors of the role's secret ids, sorted.
pub(super) async fn list_accessors(
    context: Context,
    input: RoleInput,
    listing: Listing,
) -> Result<Response, Error> {
    let role = context.documents().get::<Role>(&[&input.role_name]).await?;
    let role = role.ok_or_else(|| Error::user(unknown_role(&input.role_name)))?;
    let (keys, Listing { after, limit, .. }) = (role.secret_id_keys(), listing);
    let (bucket, folder) = (keys.buckets.accessors, keys.folder());
    let names = context.records().list(bucket, &folder, after.as_deref(), limit).await?;
    Ok(Response::keys(&names))
}

/// Metadata of a secret id: an object of texts, a text that contains such an object in JSON, or texts
/// of the form `name=value`. At most 4096 entries.
struct SecretIdMetadata(BTreeMap<String, String>);

impl Field for SecretIdMetadata {
    // Conditions of policies on a field of this kind apply to each of its forms.
    const KIND: FieldKind = FieldKind::Json;

    fn value_if_absent() -> Option<Self> {
        Some(Self(BTreeMap::new()))
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        let text = String::read(raw).unwrap_or_default();
        if !text.trim_start().starts_with('{') {
            return KeyValues::read(raw).map(|pairs| Self(pairs.0));
        }
        const BAD: InvalidValue =
            InvalidValue("a JSON object of texts, or texts of the form name=value");
        let object: &RawValue = serde_json::from_str(&text).map_err(|_| BAD)?;
        KeyValues::read(object).map(|pairs| Self(pairs.0))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        KeyValues(self.0.clone()).write(out)
    }
}
