//! What `secrets` and `auth` share: mounting, listing, moving, tuning. Engines and auth methods are
//! mounted alike; only words differ.

pub(super) mod enable;
pub(super) mod listing;
pub(super) mod moving;
pub(super) mod settings;

use strongroom_client::sys::mounts::Table;

/// The words for what a table mounts.
pub(super) fn noun(table: Table) -> &'static str {
    match table {
        Table::Secrets => "secrets engine",
        Table::Auth => "auth method",
    }
}
