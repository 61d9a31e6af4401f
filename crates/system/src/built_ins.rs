//! [`BUILT_INS`]: the parts of the API that the server serves itself.

use strongroom_core::core::BuiltIns;
use strongroom_core::unsealed::backend::BuiltInMount;
use strongroom_types::MountKind;

use crate::auth_token::TokenBackend;
use crate::cubbyhole::CubbyholeBackend;
use crate::status::StatusPaths;
use crate::sys::SystemBackend;

/// The built-in mounts and the paths served while sealed, for [`strongroom_core::Core::new`].
pub const BUILT_INS: BuiltIns = BuiltIns { mounts: MOUNTS, sealed_paths: &StatusPaths };

// Flags and headers are those that the reference server shows.
const MOUNTS: &[BuiltInMount] = &[
    BuiltInMount {
        kind: MountKind::Secret,
        path: "sys/",
        mount_type: "system",
        description: "system endpoints for administration",
        local: false,
        seal_wrap: true,
        passthrough_request_headers: &["Accept"],
        backend: &SystemBackend,
    },
    BuiltInMount {
        kind: MountKind::Auth,
        path: "token/",
        mount_type: "token",
        description: "tokens",
        local: false,
        seal_wrap: false,
        passthrough_request_headers: &[],
        backend: &TokenBackend,
    },
    BuiltInMount {
        kind: MountKind::Secret,
        path: "cubbyhole/",
        mount_type: "cubbyhole",
        description: "private storage of each token",
        local: true,
        seal_wrap: false,
        passthrough_request_headers: &[],
        backend: &CubbyholeBackend,
    },
];
