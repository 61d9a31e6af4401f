//! Flags for a mount's settings, which `enable` and `tune` share, of engines and of auth methods.

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::MountConfigInput;

use crate::flags::{DurationSeconds, parse_duration, parse_name_value};

/// What can be set when a mount is made, and later.
#[derive(Args)]
pub(in super::super) struct MountConfigFlags {
    /// How long its leases last by default
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    default_lease_ttl: Option<DurationSeconds>,
    /// How long its leases last at most
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, allow_hyphen_values = true)]
    max_lease_ttl: Option<DurationSeconds>,
    /// Request field that the audit log shows as it is; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Answer field that the audit log shows as it is; repeatable
    #[arg(long, value_name = "FIELD")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Who sees it in the list that user interfaces show: hidden or unauth
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
    pub(in super::super) plugin_version: Option<String>,
    /// Setting of the engine's own; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_name_value)]
    options: Vec<(String, String)>,
    /// The engine's version, where it has several
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
}

impl MountConfigFlags {
    /// The engine's own settings, with its version among them.
    pub(in super::super) fn engine_options(&self) -> BTreeMap<String, String> {
        let mut options: BTreeMap<_, _> = self.options.iter().cloned().collect();
        if let Some(version) = self.version.filter(|version| *version > 0) {
            options.insert("version".to_owned(), version.to_string());
        }
        options
    }

    /// The settings for the API, beside `more`; what no flag names is left out.
    pub(in super::super) fn into_config_input(self, more: MountConfigInput) -> MountConfigInput {
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

/// A list flag, if it is there at all.
fn list_if_given(given: &[String]) -> Option<Vec<String>> {
    (!given.is_empty()).then(|| given.iter().map(|item| item.trim().to_owned()).collect())
}
