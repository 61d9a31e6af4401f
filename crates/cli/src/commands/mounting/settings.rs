//! Flags for a mount's settings, shared by `enable` and `tune` of secrets engines and auth methods.

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::MountConfigInput;

use crate::flags::{DurationSeconds, parse_duration, parse_name_value};

/// What can be set when a mount is made, and later.
#[derive(Args)]
pub(super) struct MountConfigFlags {
    /// Default lifetime of its leases
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    default_lease_ttl: Option<DurationSeconds>,
    /// Maximum lifetime of its leases
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    max_lease_ttl: Option<DurationSeconds>,
    /// Request field that the audit log records in plain text; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Response field that the audit log records in plain text; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Whether unauthenticated user interfaces list it: hidden or unauth
    #[arg(long, value_name = "VISIBILITY")]
    listing_visibility: Option<String>,
    /// Header that is passed on to the engine; repeatable
    #[arg(long, value_name = "HEADER")]
    passthrough_request_headers: Vec<String>,
    /// Header that the engine may set; repeatable
    #[arg(long, value_name = "HEADER")]
    allowed_response_headers: Vec<String>,
    /// The plug-in's version; by default the newest, and later newer ones on reload
    #[arg(long, value_name = "VERSION")]
    pub(super) plugin_version: Option<String>,
    /// Option that the engine defines; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_name_value)]
    options: Vec<(String, String)>,
    /// Version of the engine, if it has several
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
}

impl MountConfigFlags {
    /// The options that the engine defines, including its version.
    pub(super) fn engine_options(&self) -> BTreeMap<String, String> {
        let mut options: BTreeMap<_, _> = self.options.iter().cloned().collect();
        if let Some(version) = self.version.filter(|version| *version > 0) {
            options.insert("version".to_owned(), version.to_string());
        }
        options
    }

    /// The settings for the API, merged into `more`; settings without a flag are left out.
    pub(super) fn into_config_input(self, more: MountConfigInput) -> MountConfigInput {
        MountConfigInput {
            default_lease_ttl: self.default_lease_ttl.map(DurationSeconds::to_api_setting),
            max_lease_ttl: self.max_lease_ttl.map(DurationSeconds::to_api_setting),
            audit_non_hmac_request_keys: list_if_given(&self.audit_non_hmac_request_keys),
            audit_non_hmac_response_keys: list_if_given(&self.audit_non_hmac_response_keys),
            listing_visibility: self.listing_visibility,
            passthrough_request_headers: list_if_given(&self.passthrough_request_headers),
            allowed_response_headers: list_if_given(&self.allowed_response_headers),
            plugin_version: self.plugin_version,
            ..more
        }
    }
}

/// The values of a repeatable flag; `None` if it wasn't given.
fn list_if_given(given: &[String]) -> Option<Vec<String>> {
    (!given.is_empty()).then(|| given.iter().map(|item| item.trim().to_owned()).collect())
}
