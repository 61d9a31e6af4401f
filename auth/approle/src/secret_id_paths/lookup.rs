//! Looking up and destroying secret ids, by themselves and by their accessors.

use strongroom_sdk::*;

use super::{load_role, missing_secret_id};
use crate::network_list::NetworkList;
use crate::secret_id_entry::SecretIdEntry;
use crate::secret_id_store::{self, DestroyTarget, SecretIdPlace};

/// A secret id of a role.
#[derive(Input)]
pub(super) struct SecretIdInput {
    /// Name of the role; taken from the path.
    role_name: String,
    /// The secret id.
    secret_id: Option<Secret<String>>,
}

/// The accessor of a secret id of a role.
#[derive(Input)]
pub(super) struct AccessorInput {
    /// Name of the role; taken from the path.
    role_name: String,
    /// The accessor of the secret id.
    secret_id_accessor: String,
}

/// The properties of a secret id.
#[derive(ResponseData)]
struct SecretIdProperties {
    cidr_list: NetworkList,
    creation_time: Timestamp,
    /// RFC 3339; the first second of the year 1 if it doesn't expire.
    expiration_time: String,
    last_updated_time: Timestamp,
    metadata: KeyValues,
    secret_id_accessor: String,
    secret_id_num_uses: u64,
    secret_id_ttl: u64,
    token_bound_cidrs: NetworkList,
}

/// The time that Vault shows for a secret id that doesn't expire.
const NO_EXPIRATION: &str = "0001-01-01T00:00:00Z";

impl SecretIdProperties {
    fn of(entry: SecretIdEntry) -> Self {
        let expires = entry.expires().map(Timestamp::to_rfc3339);
        Self {
            cidr_list: NetworkList(entry.cidrs()),
            creation_time: entry.created(),
            expiration_time: expires.unwrap_or_else(|| NO_EXPIRATION.to_owned()),
            last_updated_time: entry.updated(),
            token_bound_cidrs: NetworkList(entry.token_cidrs()),
            metadata: KeyValues(entry.metadata),
            secret_id_accessor: entry.accessor,
            secret_id_num_uses: entry.num_uses,
            secret_id_ttl: entry.ttl_secs,
        }
    }
}

/// Shows a secret id; 204 if there is none.
pub(super) async fn look_up(context: Context, input: SecretIdInput) -> Result<Response, Error> {
    let secret_id = input.secret_id.ok_or_else(missing_secret_id)?;
    let role = load_role(&context, &input.role_name).await?;
    let place = SecretIdPlace::of(&role, &secret_id)?;
    Ok(show(secret_id_store::find(&context, &place).await?))
}

/// Shows the secret id with an accessor; 404 if there is none.
pub(super) async fn look_up_accessor(
    context: Context,
    input: AccessorInput,
) -> Result<Response, Error> {
    let accessor = accessor_of(&input)?;
    let role = load_role(&context, &input.role_name).await?;
    match secret_id_store::find_by_accessor(&context, &role, accessor).await? {
        Some(place) => Ok(show(secret_id_store::find(&context, &place).await?)),
        None => Ok(Response::not_found_with_error(unknown_accessor(accessor))),
    }
}

fn show(found: Option<SecretIdEntry>) -> Response {
    let data = |entry| Response::data(&SecretIdProperties::of(entry));
    found.map_or_else(Response::no_content, data)
}

/// Destroys a secret id; does nothing if there is none.
pub(super) async fn destroy(context: Context, input: SecretIdInput) -> Result<Response, Error> {
    let secret_id = input.secret_id.ok_or_else(missing_secret_id)?;
    let role = load_role(&context, &input.role_name).await?;
    let place = SecretIdPlace::of(&role, &secret_id)?;
    secret_id_store::destroy(&context, place, DestroyTarget::Any).await?;
    Ok(Response::no_content())
}

/// Destroys the secret id with an accessor. One of another role is not found (CVE-2023-24999).
pub(super) async fn destroy_by_accessor(
    context: Context,
    input: AccessorInput,
) -> Result<Response, Error> {
    let accessor = accessor_of(&input)?;
    let role = load_role(&context, &input.role_name).await?;
    let found = secret_id_store::find_by_accessor(&context, &role, accessor).await?;
    let place = found.ok_or_else(|| Error::not_found(unknown_accessor(accessor)))?;
    let target = DestroyTarget::Accessor(accessor.to_owned());
    secret_id_store::destroy(&context, place, target).await?;
    Ok(Response::no_content())
}

fn accessor_of(input: &AccessorInput) -> Result<&str, Error> {
    let accessor = input.secret_id_accessor.as_str();
    let missing = || Error::user("missing secret_id_accessor");
    (!accessor.is_empty()).then_some(accessor).ok_or_else(missing)
}

fn unknown_accessor(accessor: &str) -> String {
    format!("failed to find accessor entry for secret_id_accessor: {accessor:?}")
}
