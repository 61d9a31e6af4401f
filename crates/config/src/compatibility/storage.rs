//! The settings of `storage`, and the types of `storage`, `seal` and `service_registration`.

use super::SettingOrigin::{Both, OpenBao, Own, Vault};
use super::{SettingOrigin, SettingTable, honoured, ignored, refused};

const SINGLE_NODE: &str = "this server runs as a single node";
const CLUSTER: &str = "this server runs as a single node and can't join others";
const NO_RAFT_LOG: &str = "the store has no Raft log";
const OWN_BOUNDS: &str = "the store has bounds of its own: 4 KiB a key, 2 MiB a value";
const AT_THE_TOP: &str = "it is api_addr, at the top of the file";

/// The settings of `embedded`, `file`, and `raft` with one node.
pub const EMBEDDED_STORAGE: SettingTable = SettingTable {
    title: "`storage \"raft\"`, `storage \"file\"` and `storage \"embedded\"`",
    example_context: [
        "listener \"tcp\" { tls_disable = true }\nstorage \"raft\" {\npath = \"/d\"\n",
        "\n}",
    ],
    settings: &[
        honoured(Both, "path", "path = \"/d\""),
        honoured(Own, "cache_bytes", "cache_bytes = 1048576"),
        ignored(Both, "node_id", "node_id = \"a\"", SINGLE_NODE),
        ignored(Both, "performance_multiplier", "performance_multiplier = 1", SINGLE_NODE),
        ignored(Both, "trailing_logs", "trailing_logs = 10000", NO_RAFT_LOG),
        ignored(Both, "snapshot_threshold", "snapshot_threshold = 8192", NO_RAFT_LOG),
        ignored(Both, "snapshot_interval", "snapshot_interval = 120", NO_RAFT_LOG),
        ignored(Both, "max_entry_size", "max_entry_size = 1048576", OWN_BOUNDS),
        ignored(
            Vault,
            "max_mount_and_namespace_table_entry_size",
            "max_mount_and_namespace_table_entry_size = 1048576",
            OWN_BOUNDS,
        ),
        ignored(OpenBao, "max_transaction_size", "max_transaction_size = 8388608", OWN_BOUNDS),
        ignored(Vault, "raft_wal", "raft_wal = \"true\"", NO_RAFT_LOG),
        ignored(
            Vault,
            "raft_log_verifier_enabled",
            "raft_log_verifier_enabled = \"true\"",
            NO_RAFT_LOG,
        ),
        ignored(
            Vault,
            "raft_log_verification_interval",
            "raft_log_verification_interval = \"60s\"",
            NO_RAFT_LOG,
        ),
        ignored(
            Both,
            "autopilot_reconcile_interval",
            "autopilot_reconcile_interval = \"10s\"",
            SINGLE_NODE,
        ),
        ignored(
            Both,
            "autopilot_update_interval",
            "autopilot_update_interval = \"2s\"",
            SINGLE_NODE,
        ),
        ignored(
            Vault,
            "autopilot_upgrade_version",
            "autopilot_upgrade_version = \"1\"",
            SINGLE_NODE,
        ),
        ignored(
            Vault,
            "autopilot_redundancy_zone",
            "autopilot_redundancy_zone = \"a\"",
            SINGLE_NODE,
        ),
        ignored(Both, "redirect_addr", "redirect_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "advertise_addr", "advertise_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "cluster_addr", "cluster_addr = \"https://x\"", SINGLE_NODE),
        ignored(Both, "disable_clustering", "disable_clustering = \"false\"", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(Both, "ha_enabled", "ha_enabled = \"true\"", SINGLE_NODE),
        refused(Both, "retry_join", "retry_join { leader_api_addr = \"https://x\" }", CLUSTER),
        refused(Both, "retry_join_as_non_voter", "retry_join_as_non_voter = true", CLUSTER),
    ],
};

/// All settings of a `storage "inmem"` block in both reference servers.
pub const INMEM_STORAGE: SettingTable = SettingTable {
    title: "`storage \"inmem\"`",
    example_context: ["listener \"tcp\" { tls_disable = true }\nstorage \"inmem\" {\n", "\n}"],
    settings: &[
        ignored(Both, "redirect_addr", "redirect_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "advertise_addr", "advertise_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "cluster_addr", "cluster_addr = \"https://x\"", SINGLE_NODE),
        ignored(Both, "disable_clustering", "disable_clustering = \"false\"", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(Both, "max_value_size", "max_value_size = 1048576", OWN_BOUNDS),
    ],
};

/// A type of storage or seal, and how it is treated.
pub struct BlockKind {
    /// The label of the block, such as `raft` in `storage "raft"`.
    pub name: &'static str,
    /// Which of the reference servers has blocks of this type.
    pub origin: SettingOrigin,
    /// Whether this server can be configured with it; otherwise the configuration is refused.
    pub is_supported: bool,
}

const fn supported(origin: SettingOrigin, name: &'static str) -> BlockKind {
    BlockKind { name, origin, is_supported: true }
}

const fn unsupported(origin: SettingOrigin, name: &'static str) -> BlockKind {
    BlockKind { name, origin, is_supported: false }
}

/// The types that can follow `storage`.
pub const STORAGE_KINDS: &[BlockKind] = &[
    supported(Own, "embedded"),
    supported(Both, "raft"),
    supported(Both, "file"),
    supported(Both, "inmem"),
    unsupported(Both, "inmem_ha"),
    unsupported(Both, "inmem_transactional"),
    unsupported(Both, "inmem_transactional_ha"),
    unsupported(Both, "file_transactional"),
    unsupported(Both, "postgresql"),
    unsupported(Vault, "aerospike"),
    unsupported(Vault, "alicloudoss"),
    unsupported(Vault, "azure"),
    unsupported(Vault, "cassandra"),
    unsupported(Vault, "cockroachdb"),
    unsupported(Vault, "consul"),
    unsupported(Vault, "couchdb"),
    unsupported(Vault, "dynamodb"),
    unsupported(Vault, "etcd"),
    unsupported(Vault, "foundationdb"),
    unsupported(Vault, "gcs"),
    unsupported(Vault, "manta"),
    unsupported(Vault, "mssql"),
    unsupported(Vault, "mysql"),
    unsupported(Vault, "oci"),
    unsupported(Vault, "s3"),
    unsupported(Vault, "spanner"),
    unsupported(Vault, "swift"),
    unsupported(Vault, "zookeeper"),
];

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
        "pods get no labels such as vault-active, so that a service which selects by them has no \
         pod: select by the name of the application",
    ),
    (
        "consul",
        "the server isn't registered in Consul, so that the names active.vault and vault aren't \
         found there: name its address",
    ),
];
