//! The index by which a role is found by its role id: a record for each role id that contains the
//! role's name.
//!
//! The record is changed in one batch with the role. Hosts without batches may leave a record that
//! names a role with another role id, or none, if the process dies in between. So a record counts
//! only if the role that it names has that role id.

use strongroom_sdk::document_hooks::{DocumentDelete, DocumentWrite};
use strongroom_sdk::lookup::digest_of_name;
use strongroom_sdk::records::RecordKey;
use strongroom_sdk::{Context, Error};

use super::Role;

const INDEX_BUCKET: &str = "roleid";

/// A role id may have any length and any characters, and a storage key may not.
fn index_key(role_id: &str) -> RecordKey {
    RecordKey::new(INDEX_BUCKET, digest_of_name(role_id).as_str())
}

/// The name of the role with this role id.
pub(crate) async fn find_role_name(
    context: &Context,
    role_id: &str,
) -> Result<Option<String>, Error> {
    let Some(name) = context.records().get(&index_key(role_id)).await? else { return Ok(None) };
    let Some(name) = parse_name(&name) else { return Ok(None) };
    Ok(has_role_id(context, name, role_id).await?.then(|| name.to_owned()))
}

/// Makes the role that is written the one that is found by `role_id`.
///
/// # Errors
///
/// A user error if another role has this role id.
pub(crate) async fn claim(write: &mut DocumentWrite<'_, Role>, role_id: &str) -> Result<(), Error> {
    let (context, name) = (write.context(), write.name());
    let previous = write.stored().map(|stored| stored.role_id.as_str());
    let seen = write.read_record(&index_key(role_id)).await?;
    let found = seen.value().and_then(parse_name);
    let is_own = found == Some(name);
    if let Some(other) = found.filter(|other| *other != name)
        && has_role_id(context, other, role_id).await?
    {
        return Err(Error::user("role_id already in use"));
    }
    // Also written if it is right but the role has it newly: the record then changes, so that another
    // role that claims it meanwhile fails.
    if !is_own || previous != Some(role_id) {
        write.put_record(seen, name.as_bytes().to_vec());
    }
    if let Some(previous) = previous.filter(|previous| *previous != role_id) {
        let seen = write.read_record(&index_key(previous)).await?;
        if seen.value().and_then(parse_name) == Some(name) {
            write.delete_record(seen);
        }
    }
    Ok(())
}

/// Removes the index of a role that is deleted.
pub(crate) async fn release(delete: &mut DocumentDelete<'_>, role_id: &str) -> Result<(), Error> {
    let seen = delete.read_record(&index_key(role_id)).await?;
    if seen.value().and_then(parse_name) == Some(delete.name()) {
        delete.delete_record(seen);
    }
    Ok(())
}

async fn has_role_id(context: &Context, name: &str, role_id: &str) -> Result<bool, Error> {
    let role = context.documents().get::<Role>(&[name]).await?;
    Ok(role.is_some_and(|role| role.role_id == role_id))
}

fn parse_name(record: &[u8]) -> Option<&str> {
    std::str::from_utf8(record).ok()
}
