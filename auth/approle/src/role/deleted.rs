//! [`DeletedRole`]: the note that a deleted role leaves, so that its secret ids are removed later.

use serde::{Deserialize, Serialize};
use strongroom_sdk::Error;
use strongroom_sdk::document_hooks::DocumentDelete;
use strongroom_sdk::records::RecordKey;

use crate::secret_id_entry::encode_entry;
use crate::secret_id_keys::SecretIdKeys;

/// The bucket of the notes.
pub(crate) const DELETED_ROLES: &str = "deletedrole";

/// What is noted of a deleted role, under its generation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeletedRole {
    pub(crate) name: String,
    pub(crate) is_local: bool,
    /// When it was deleted, in nanoseconds since 1970.
    pub(crate) deleted: i64,
}

/// Notes, in one batch with the deletion of a role, that its secret ids have to be removed, if it has
/// ever had any.
///
/// # Errors
///
/// A storage error if the note can't be read.
pub(crate) async fn note_deleted_role(
    delete: &mut DocumentDelete<'_>,
    keys: &SecretIdKeys,
) -> Result<(), Error> {
    let generation = delete.read_record(&keys.generation_record()).await?;
    if generation.value().is_none() {
        // If the first one is issued meanwhile, this runs again.
        delete.require_unchanged(&generation);
        return Ok(());
    }
    delete.delete_record(generation);
    let seen = delete.read_record(&RecordKey::new(DELETED_ROLES, keys.generation())).await?;
    let deleted = delete.context().now().as_nanos();
    let note = encode_entry(&DeletedRole {
        name: delete.name().to_owned(),
        is_local: keys.is_local(),
        deleted,
    })?;
    delete.put_record(seen, note);
    Ok(())
}
