//! What `secrets` and `auth` share: mounting, listing, moving, tuning. Engines and auth methods are
//! mounted alike; only words differ.

pub(super) mod enable;
pub(super) mod listing;
pub(super) mod remount;
pub(super) mod settings;

use strongroom_client::sys::mounts::MountTableKind;

/// The words for what a table mounts.
pub(super) fn mount_kind_name(table: MountTableKind) -> &'static str {
    match table {
        MountTableKind::Secrets => "secrets engine",
        MountTableKind::Auth => "auth method",
    }
}
