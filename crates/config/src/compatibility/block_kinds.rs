//! The types that blocks such as `seal` can have, and which of them this server has.

use super::SettingOrigin::{self, Both, OpenBao};

/// A type of storage or seal, and how it is treated.
pub struct BlockKind {
    /// The label of the block, such as `raft` in `storage "raft"`.
    pub name: &'static str,
    /// Which of the reference servers has blocks of this type.
    pub origin: SettingOrigin,
    /// Whether this server can be configured with it; otherwise the configuration is refused.
    pub is_supported: bool,
}

pub(crate) const fn supported(origin: SettingOrigin, name: &'static str) -> BlockKind {
    BlockKind { name, origin, is_supported: true }
}

pub(crate) const fn unsupported(origin: SettingOrigin, name: &'static str) -> BlockKind {
    BlockKind { name, origin, is_supported: false }
}

/// The types that can follow `seal`.
pub const SEAL_KINDS: &[BlockKind] = &[
    supported(Both, "shamir"),
    unsupported(Both, "alicloudkms"),
    unsupported(Both, "awskms"),
    unsupported(Both, "azurekeyvault"),
    unsupported(Both, "gcpckms"),
    unsupported(OpenBao, "kmip"),
    unsupported(Both, "ocikms"),
    unsupported(OpenBao, "ovhcloud"),
    unsupported(Both, "pkcs11"),
    unsupported(OpenBao, "static"),
    unsupported(OpenBao, "tcloudpublic"),
    unsupported(Both, "transit"),
];

/// The types that can follow `service_registration`. None is supported; each is ignored with a
/// warning.
pub const REGISTRATION_KINDS: &[(&str, &str)] = &[
    (
        "kubernetes",
        "pods get no labels such as vault-active, so a service that selects by them matches no \
         pod: select by the name of the application",
    ),
    (
        "consul",
        "the server isn't registered in Consul, so the names active.vault and vault don't resolve \
         there: use its address",
    ),
];
