//! The server's own paths that require the `sudo` capability in addition to the ordinary one, for
//! every verb: the list of the API page
//! <https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints>,
//! limited to the paths that are implemented.

use crate::endpoint::ApiEndpoint;

/// All root-protected paths below `/v1/`. A trailing `*` matches any rest. A list request has a
/// trailing slash, so `sys/plugins/catalog/*` covers the list of the whole catalog.
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

/// Whether a path below `sys/` or `auth/token/` requires `sudo`. A trailing slash does not bypass
/// the check.
pub(crate) fn is_root_path(folder: &str, below: &str) -> bool {
    let covers = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => below.starts_with(prefix),
        None => below == pattern || below.strip_suffix('/') == Some(pattern),
    };
    ROOT_PATHS.iter().filter_map(|pattern| pattern.strip_prefix(folder)).any(covers)
}

/// Whether all verbs of a declared endpoint require `sudo`. `tag` is the group's tag in the OpenAPI
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
