//! [`AccountClaim`]: which role rotates the password of an account. There is at most one.
//!
//! ```text
//! staticaccount/<folder of the role>/<name of the account in hex>    the name of the role
//! ```
//!
//! The record is written and removed in one batch with the document of the role. On hosts without
//! batches a crash may leave it behind: so it counts only as long as there is such a role, and that has
//! this account.

use std::fmt::Write as _;

use super::StaticAccount;
use crate::document_hooks::SeenRecord;
use crate::linked_records::LinkedRecords;
use crate::records::RecordKey;
use crate::{Context, Error};

const CLAIM_BUCKET: &str = "staticaccount";
/// The name of an account in hex fits into a storage key.
const MAX_ACCOUNT_BYTES: usize = 1024;

/// The claim of the role `name` on an account.
pub(super) struct AccountClaim<'a> {
    context: &'a Context,
    name: &'a str,
    key: RecordKey,
}

impl<'a> AccountClaim<'a> {
    /// The claim of a role with this account.
    ///
    /// # Errors
    ///
    /// A user error if the name of the account is too long.
    pub(super) fn new<R: StaticAccount>(
        context: &'a Context,
        name: &'a str,
        role: &R,
    ) -> Result<Self, Error> {
        let key = claim_key(R::PATH, &role.account_identity())?;
        Ok(Self { context, name, key })
    }

    /// Adds the claim to the batch of the role, if it isn't stored yet. Returns whether it was added.
    ///
    /// # Errors
    ///
    /// A user error if another role has the account.
    pub(super) async fn add<R: StaticAccount>(
        &self,
        role: &R,
        records: &mut LinkedRecords,
    ) -> Result<bool, Error> {
        let seen = SeenRecord::read(self.context.records(), &self.key).await?;
        match seen.value() {
            Some(owner) if owner == self.name.as_bytes() => return Ok(false),
            Some(owner) => self.check_abandoned(owner, role).await?,
            None => {}
        }
        records.put(seen, self.name.as_bytes().to_vec());
        Ok(true)
    }

    /// Refuses the account if the role `owner` has it.
    async fn check_abandoned<R: StaticAccount>(&self, owner: &[u8], role: &R) -> Result<(), Error> {
        let owner = String::from_utf8_lossy(owner);
        let other = self.context.documents().get::<R>(&[&owner]).await?;
        match other.is_some_and(|other| other.account_identity() == role.account_identity()) {
            true => Err(Error::user(format!(
                "the password of this account is rotated by the role {owner:?} already; use that role, \
                 or delete it first"
            ))),
            false => Ok(()),
        }
    }

    /// Removes the claim with the batch of the role.
    pub(super) async fn add_removal(&self, records: &mut LinkedRecords) -> Result<(), Error> {
        let seen = SeenRecord::read(self.context.records(), &self.key).await?;
        if seen.value() == Some(self.name.as_bytes()) {
            records.delete(seen);
        }
        Ok(())
    }

    /// What identifies the account among those of all mounts.
    pub(super) fn turn_key(&self) -> String {
        format!("{}/{}", self.context.services().mount.uuid, self.key.as_str())
    }
}

fn claim_key(role_path: &str, account: &str) -> Result<RecordKey, Error> {
    if account.len() > MAX_ACCOUNT_BYTES {
        return Err(Error::user(format!(
            "the name of the account is longer than {MAX_ACCOUNT_BYTES} bytes"
        )));
    }
    let folder = role_path.split_once('{').map_or(role_path, |(folder, _)| folder);
    let mut name = folder.to_owned();
    for byte in account.bytes() {
        // Writing to a string can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(RecordKey::new(CLAIM_BUCKET, &name))
}
