//! `sys/`: the server's own paths, a file per group. Documented, like the API it is compatible
//! with, at <https://developer.hashicorp.com/vault/api-docs/system>.

mod capabilities;
pub(crate) mod help;
mod key_status;
mod kv_versions;
mod leases;
mod metrics;
mod mount_entry;
mod mount_settings;
mod mounts;
pub(crate) mod openapi;
mod password_policies;
mod plugins;
mod policies;
mod remount;
mod resultant_acl;
mod seal;
mod ui_mounts;
mod wrapping;

use serde::Serialize;
use strongroom_policy::{DerivedField, FieldReading};

use crate::endpoint::ApiEndpoint;
pub(crate) use leases::REVOKE_WAIT;
pub(crate) use mounts::derived_mount_fields;
pub(crate) use plugins::derived_plugin_fields;
pub(crate) use policies::derived_policy_fields;

/// All groups. Of two patterns that match one path, the one that stands first and has the verb wins.
pub(crate) const ENDPOINTS: &[&[ApiEndpoint]] = &[
    mounts::ENDPOINTS,
    remount::ENDPOINTS,
    policies::ENDPOINTS,
    password_policies::ENDPOINTS,
    capabilities::ENDPOINTS,
    leases::ENDPOINTS,
    plugins::ENDPOINTS,
    ui_mounts::ENDPOINTS,
    wrapping::ENDPOINTS,
    resultant_acl::ENDPOINTS,
    metrics::ENDPOINTS,
    seal::ENDPOINTS,
    openapi::ENDPOINTS,
    key_status::ENDPOINTS,
];

/// The endpoints about leases.
#[cfg(test)]
pub(crate) fn lease_endpoints() -> &'static [ApiEndpoint] {
    leases::ENDPOINTS
}

/// The folders whose last part is the name of a policy.
const POLICY_FOLDERS: [&str; 2] = ["sys/policies/acl/", "sys/policy/"];

/// Whether the handlers of a path take a part of it in any case.
pub(crate) fn folds_case(path: &str) -> bool {
    POLICY_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// The one spelling of a path whose handlers take several: names of policies in any case and with
/// blanks around them, mounts with or without a slash at the end. None where the path is that.
pub(crate) fn canonical_path(path: &str) -> Option<String> {
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

/// The other path that reaches the same auth method's settings: what policies deny to it they deny
/// here. Its grants don't count, nor does its `sudo`: clients tune auth methods here without.
pub(crate) fn aliased_path(path: &str) -> Option<String> {
    let method = path.strip_prefix("sys/mounts/auth/")?;
    Some(format!("sys/auth/{}", method.trim_end_matches('/')))
}

/// A field for the conditions of policies that a handler makes of others.
fn derived_field(
    name: &'static str,
    reading: FieldReading,
    value: &impl Serialize,
    is_synonym: bool,
) -> Option<DerivedField> {
    let value = serde_json::value::to_raw_value(value).ok()?;
    Some(DerivedField { name, value, reading, is_synonym })
}

/// Whether answers at this path show the keys of `data` at the top as well.
pub(crate) fn mirrors_data_at_top_level(path: &str) -> bool {
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
