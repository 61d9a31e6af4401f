//! [`MountKind`]: whether a mount is a secrets engine or an auth method.

use serde::{Deserialize, Serialize};

/// The two kinds of mounts, which the API manages separately. Serialises as `auth` or `secret`,
/// which is also how stored mounts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// An auth method, managed below `sys/auth`; its route begins with `auth/`.
    Auth,
    /// A secrets engine, managed below `sys/mounts`.
    Secret,
}

impl MountKind {
    /// The name of the kind, `auth` or `secret`. Vault's plug-in types for mounts have the same
    /// names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Secret => "secret",
        }
    }

    /// What error messages call a mount of this kind: "No secret engine mount at …". Clients match
    /// on these messages.
    pub fn noun_in_messages(self) -> &'static str {
        match self {
            Self::Auth => "auth engine",
            Self::Secret => "secret engine mount",
        }
    }

    /// The route of the mount of this kind at `path`: the path, prefixed with `auth/` for auth
    /// methods.
    pub fn route_to(self, path: &str) -> String {
        match self {
            Self::Auth => format!("auth/{path}"),
            Self::Secret => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_form_is_the_name() {
        for kind in [MountKind::Auth, MountKind::Secret] {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.as_str()));
            assert_eq!(serde_json::from_str::<MountKind>(&json).unwrap(), kind);
        }
    }
}
