//! What `secrets` and `auth` share: mounting, listing, moving, tuning. Both kinds of mounts work
//! alike; only the wording of messages differs.

pub(super) mod enable;
pub(super) mod listing;
pub(super) mod remount;
pub(super) mod settings;

use strongroom_client::sys::mounts::MountTableKind;

/// What the mounts of a table are called in messages.
pub(super) fn mount_kind_name(table: MountTableKind) -> &'static str {
    match table {
        MountTableKind::Secrets => "secrets engine",
        MountTableKind::Auth => "auth method",
    }
}
