//! What the commands `secrets` and `auth` share: secrets engines and auth methods are mounted,
//! unmounted, listed, moved and tuned alike. Each command passes the [`MountTableKind`] it works on;
//! the texts that depend on it are in [`MountTexts`].

pub(super) mod disable;
pub(super) mod enable;
pub(super) mod listing;
pub(super) mod remount;
mod settings;
pub(super) mod tune;

use strongroom_client::sys::mounts::MountTableKind;

/// The texts in which commands for secrets engines differ from those for auth methods.
struct MountTexts {
    /// What a mount is called in messages.
    kind: &'static str,
    /// What all mounts are called where listing them fails.
    listed: &'static str,
    /// The column of the detailed table that only this kind of mounts has.
    own_column: &'static str,
}

impl MountTexts {
    const SECRETS_ENGINES: Self =
        Self { kind: "secrets engine", listed: "secrets engines", own_column: "Force No Cache" };

    const AUTH_METHODS: Self =
        Self { kind: "auth method", listed: "enabled authentications", own_column: "Token Type" };

    /// The texts for the mounts of this table.
    fn of(table: MountTableKind) -> &'static Self {
        match table {
            MountTableKind::Secrets => &Self::SECRETS_ENGINES,
            MountTableKind::Auth => &Self::AUTH_METHODS,
        }
    }
}
