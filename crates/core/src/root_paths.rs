//! The server's own paths that need the `sudo` capability beside the ordinary one, whatever the verb:
//! the list of the API page <https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints>,
//! as far as those paths are built here.

use crate::endpoint::ApiEndpoint;

/// All of them, below `/v1/`. `*` at the end stands for any rest. A list asks for its folder, with
/// the slash at the end, so `sys/plugins/catalog/*` covers the list of the whole catalog.
pub(crate) const ROOT_PATHS: &[&str] = &[
    "auth/token/accessors/*",
    "sys/auth/*",
    "sys/leases",
    "sys/leases/lookup/*",
    "sys/leases/revoke-force/*",
    "sys/leases/revoke-prefix/*",
    "sys/plugins/catalog/*",
    "sys/remount",
    "sys/revoke-force/*",
    "sys/revoke-prefix/*",
    "sys/seal",
    "sys/step-down",
];

/// Whether a path in a folder of the server's own (`sys/`, `auth/token/`) needs `sudo`. A slash at its
/// end opens no way around.
pub(crate) fn is_root_path(folder: &str, below: &str) -> bool {
    let covers = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => below.starts_with(prefix),
        None => below == pattern || below.strip_suffix('/') == Some(pattern),
    };
    ROOT_PATHS.iter().filter_map(|pattern| pattern.strip_prefix(folder)).any(covers)
}

/// Whether all verbs of a declared endpoint need `sudo`. The tag is that of its group in the OpenAPI
/// document.
pub(crate) fn is_root_endpoint(endpoint: &ApiEndpoint, tag: &str) -> bool {
    let folder = match tag {
        "system" => "sys/",
        "auth" => "auth/token/",
        _ => return false,
    };
    let handlers = &endpoint.handlers;
    let lists_only =
        handlers.read.is_none() && handlers.write.is_none() && handlers.delete.is_none();
    is_root_path(folder, endpoint.pattern)
        || (lists_only && is_root_path(folder, &format!("{}/", endpoint.pattern)))
}
