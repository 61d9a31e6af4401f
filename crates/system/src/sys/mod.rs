//! The endpoints below `sys/`, a file per group. The API they are compatible with is documented at
//! <https://developer.hashicorp.com/vault/api-docs/system>.

mod backend;
mod capabilities;
mod key_status;
mod kv_versions;
mod leases;
mod locked_users;
mod metrics;
mod mount_entry;
mod mount_settings;
mod mounts;
mod openapi;
mod password_policies;
mod plugins;
mod policies;
mod remount;
mod resultant_acl;
mod seal;
mod ui_mounts;
mod wrapping;

pub(crate) use backend::SystemBackend;
pub(crate) use leases::REVOKE_WAIT;
use serde::Serialize;
use strongroom_policy::{DerivedField, FieldReading};

use crate::endpoint::ApiEndpoint;

/// All endpoints below `sys/`. If several patterns match a path, the first that has a handler for
/// the verb is used.
pub(crate) const ENDPOINTS: &[&[ApiEndpoint]] = &[
    mounts::ENDPOINTS,
    remount::ENDPOINTS,
    policies::ENDPOINTS,
    policies::LEGACY_ENDPOINTS,
    password_policies::GENERATE_ENDPOINTS,
    password_policies::ENDPOINTS,
    capabilities::ENDPOINTS,
    leases::ENDPOINTS,
    locked_users::ENDPOINTS,
    plugins::ENDPOINTS,
    ui_mounts::ENDPOINTS,
    wrapping::ENDPOINTS,
    resultant_acl::ENDPOINTS,
    metrics::ENDPOINTS,
    seal::ENDPOINTS,
    openapi::ENDPOINTS,
    key_status::ENDPOINTS,
];

/// The endpoints that name leases, for a test that must cover all of them.
#[cfg(test)]
pub(crate) fn lease_endpoints() -> &'static [ApiEndpoint] {
    leases::ENDPOINTS
}

/// The request header that `sys/metrics` reads, by its name in lower case.
const ACCEPT_HEADER: &str = "accept";

/// Folders whose entries are policy names, which the handlers trim and lower-case.
const POLICY_FOLDERS: [&str; 2] = ["sys/policies/acl/", "sys/policy/"];

/// Whether the handlers of a path ignore the case of a part of it, so that policies must as well.
fn folds_case(path: &str) -> bool {
    POLICY_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// The canonical spelling of a path whose handlers accept several: policy names in any case and
/// with surrounding blanks, mount paths with or without a trailing slash. `None` if `path` is
/// canonical already.
fn canonical_path(path: &str) -> Option<String> {
    for folder in POLICY_FOLDERS {
        if let Some(name) = path.strip_prefix(folder) {
            let plain = format!("{folder}{}", name.trim().to_lowercase());
            return (plain != path).then_some(plain);
        }
    }
    let mounts = ["sys/mounts/", "sys/auth/"].iter().any(|folder| path.starts_with(folder));
    let plain = path.trim_end_matches('/');
    (mounts && plain != path && plain.contains('/')).then(|| plain.to_owned())
}

/// The other path to the same auth method's settings (`sys/auth/x` for `sys/mounts/auth/x`). Only
/// denials on it apply here: its grants and its `sudo` requirement don't, because clients tune auth
/// methods through `sys/mounts/auth/` without `sudo`.
fn aliased_path(path: &str) -> Option<String> {
    let method = path.strip_prefix("sys/mounts/auth/")?;
    Some(format!("sys/auth/{}", method.trim_end_matches('/')))
}

/// A derived field for policy conditions: a value that a handler computes from the request's
/// fields. `None` if it can't be serialized.
fn derived_field(
    name: &'static str,
    reading: FieldReading,
    value: &impl Serialize,
    is_synonym: bool,
) -> Option<DerivedField> {
    let value = serde_json::value::to_raw_value(value).ok()?;
    Some(DerivedField { name, value, reading, is_synonym })
}

/// Whether responses at this path repeat the keys of `data` at the top level, as Vault's older API
/// does.
fn mirrors_data_at_top_level(path: &str) -> bool {
    const EXACT: [&str; 8] = [
        "sys/auth",
        "sys/capabilities",
        "sys/capabilities-accessor",
        "sys/capabilities-self",
        "sys/key-status",
        "sys/mounts",
        "sys/policy",
        "sys/remount",
    ];
    const BELOW: [&str; 3] = ["sys/auth/", "sys/mounts/", "sys/policy/"];
    EXACT.contains(&path) || BELOW.iter().any(|prefix| path.starts_with(prefix))
}
