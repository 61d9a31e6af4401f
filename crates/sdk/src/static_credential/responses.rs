//! Inputs and responses of the paths of static credentials.

use strongroom_types::Timestamp;

use crate::{DurationSecs, Input, ResponseData, Secret};

/// Which role.
#[derive(Input)]
pub(super) struct RoleName {
    /// Name of the role; taken from the path.
    pub(super) name: String,
}

/// Fields of a role that are not stored with it.
#[derive(Default, Input)]
pub(super) struct ImportFields {
    /// Present password of the account, if it is known. Without it, clients can read a password only
    /// after the first rotation. Once the engine has rotated the password, this field is ignored,
    /// unless rotations fail.
    pub(super) password: Option<Secret<String>>,
    /// With `password`: forgets a password that the engine may have set, because the outside system
    /// has refused it since and the account has the given one.
    pub(super) abandon_rotation: bool,
    /// Leaves the password as it is until the first planned rotation. Otherwise it is rotated when the
    /// role is created.
    pub(super) skip_import_rotation: bool,
}

/// The response to a read of a static credential.
#[derive(ResponseData)]
pub(super) struct StaticCredentialResponse {
    /// Name of the account.
    pub(super) username: String,
    /// Its password.
    pub(super) password: Secret<String>,
    /// When the password was last rotated; missing if it was imported and hasn't been rotated yet.
    pub(super) last_vault_rotation: Option<Timestamp>,
    /// Seconds until the next rotation.
    pub(super) ttl: DurationSecs,
    /// When the password is rotated next.
    pub(super) next_vault_rotation: Timestamp,
    /// Time between two rotations; missing for a role with a schedule.
    pub(super) rotation_period: Option<DurationSecs>,
    /// Times of rotations; missing for a role with a period.
    pub(super) rotation_schedule: Option<String>,
}
