//! [`RoleWrite`] and [`RoleRemoval`]: what is stored in one batch with the document of a static role.

use strongroom_types::Timestamp;

use super::account_claim::AccountClaim;
use super::account_state::AccountState;
use super::account_store::{AccountStore, StoredAccount};
use super::responses::ImportFields;
use super::{RotationFields, StaticAccount};
use crate::linked_records::LinkedRecords;
use crate::stored_document::JointChange;
use crate::{Context, Error, Secret};

/// What became of an account whose role was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adoption {
    /// The role is a new one.
    New,
    /// The role had the account before.
    Known,
    /// As [`Known`](Self::Known), and the password that the client imports is ignored.
    PasswordIgnored,
}

/// The write of a role: the state of its account follows it.
pub(super) struct RoleWrite<'a> {
    pub(super) context: &'a Context,
    pub(super) name: &'a str,
    /// The path of the role, by which its account is stored.
    pub(super) path: &'a str,
    pub(super) import: &'a ImportFields,
    pub(super) outcome: Adoption,
}

impl<R: StaticAccount> JointChange<R> for RoleWrite<'_> {
    const READS_STORED: bool = true;

    async fn add(
        &mut self,
        before: Option<&R>,
        role: &R,
        records: &mut LinkedRecords,
    ) -> Result<(), Error> {
        // The password of the earlier account would be lost.
        if before.is_some_and(|before| before.account() != role.account()) {
            return Err(Error::user(
                "the account of a role can't be changed; delete the role and create another one",
            ));
        }
        AccountClaim::new(self.context, self.name, role)?.add(role, records).await?;
        let stored = AccountStore::new(self.context).get(self.path).await?;
        let stored = stored.filter(|stored| stored.state.account == role.account());
        self.outcome = match stored {
            Some(stored) => self.follow(stored, before.is_none(), role.rotation(), records),
            // Without a stored state, or with that of another account: the role was deleted, and the
            // process died before its state was.
            None => {
                let fresh = new_account(self.context, self.path, role, self.import).await?;
                AccountStore::add_write(self.path, &fresh, records);
                Adoption::New
            }
        };
        Ok(())
    }
}

impl RoleWrite<'_> {
    /// Makes a state follow its role. A password that the client imports replaces the present one until
    /// the first rotation, and if rotations fail.
    fn follow(
        &self,
        mut stored: StoredAccount,
        is_new: bool,
        rotation: &RotationFields,
        records: &mut LinkedRecords,
    ) -> Adoption {
        let (state, now) = (&mut stored.state, self.context.now());
        let planned_before = state.next_attempt;
        match is_new {
            true => state.set_next(first_rotation(self.import, rotation, now)),
            false => state.plan(rotation, now),
        }
        let accepts = is_new || state.accepts_import();
        let imported = copy_password(self.import);
        let is_ignored = imported.is_some() && !accepts;
        let accepted = imported.filter(|_| accepts);
        let is_changed = accepted.is_some() || state.next_attempt != planned_before;
        if accepted.is_some() {
            state.present = accepted;
            if self.import.abandon_rotation {
                state.candidate = None;
            }
        }
        if is_changed {
            AccountStore::add_write(self.path, &stored, records);
        }
        match (is_new, is_ignored) {
            (true, _) => Adoption::New,
            (false, true) => Adoption::PasswordIgnored,
            (false, false) => Adoption::Known,
        }
    }
}

/// The state of an account that had none. Its record may exist, with the state of another account.
pub(super) async fn new_account(
    context: &Context,
    path: &str,
    role: &impl StaticAccount,
    import: &ImportFields,
) -> Result<StoredAccount, Error> {
    let now = context.now();
    let planned = first_rotation(import, role.rotation(), now);
    let state = AccountState::new(role.account(), copy_password(import), now, planned);
    Ok(match AccountStore::new(context).get(path).await? {
        Some(mut stored) => {
            stored.state = state;
            stored
        }
        None => StoredAccount::new(path, state),
    })
}

/// When the password of a new role is rotated first.
fn first_rotation(import: &ImportFields, rotation: &RotationFields, now: Timestamp) -> Timestamp {
    match import.skip_import_rotation {
        true => rotation.next_rotation(now),
        false => now,
    }
}

fn copy_password(import: &ImportFields) -> Option<Secret<String>> {
    import.password.as_ref().map(|password| Secret::from_text(password.expose_secret()))
}

/// The removal of a role: the state of its account goes with it.
pub(super) struct RoleRemoval<'a> {
    pub(super) context: &'a Context,
    pub(super) name: &'a str,
    pub(super) path: &'a str,
}

impl<R: StaticAccount> JointChange<R> for RoleRemoval<'_> {
    async fn add(
        &mut self,
        _: Option<&R>,
        role: &R,
        records: &mut LinkedRecords,
    ) -> Result<(), Error> {
        AccountClaim::new(self.context, self.name, role)?.add_removal(records).await?;
        if let Some(stored) = AccountStore::new(self.context).get(self.path).await? {
            AccountStore::add_removal(self.path, &stored, records);
        }
        Ok(())
    }
}
