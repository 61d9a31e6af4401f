//! The JSON forms of a mount: complete, without details for callers without a token, and its
//! tunable settings.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_engine::MountLifetimes;
use strongroom_mounts::{ActiveMount, MountConfig, MountEntry};
use strongroom_types::MountKind;

/// A mount as in responses of `sys/mounts`, `sys/auth` and `sys/internal/ui/mounts`.
#[derive(Serialize)]
pub(crate) struct MountResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    accessor: Option<&'a str>,
    #[serde(rename = "type")]
    mount_type: &'a str,
    description: &'a str,
    options: &'a Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    more: Option<MountDetailsResponse<'a>>,
}

#[derive(Serialize)]
struct MountDetailsResponse<'a> {
    uuid: &'a str,
    local: bool,
    seal_wrap: bool,
    external_entropy_access: bool,
    config: MountConfigResponse<'a>,
    plugin_version: &'a str,
    running_plugin_version: &'a str,
    running_sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
}

#[derive(Serialize)]
struct MountConfigResponse<'a> {
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    force_no_cache: bool,
    #[serde(flatten)]
    more: MountSettingsResponse<'a>,
}

/// Settings that are left out of the response unless they are set.
#[derive(Serialize)]
struct MountSettingsResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_request_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    audit_non_hmac_response_keys: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    passthrough_request_headers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_response_headers: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

/// The complete form of a mount, for callers with a token.
pub(crate) fn mount_response(mounted: &ActiveMount) -> MountResponse<'_> {
    let entry = &mounted.entry;
    let running = entry.running.as_ref();
    let linked_in = running.is_none_or(|running| running.plugin.is_none());
    MountResponse {
        accessor: Some(&entry.accessor),
        mount_type: &entry.mount_type,
        description: &entry.description,
        options: &entry.options,
        more: Some(MountDetailsResponse {
            uuid: entry.uuid.as_str(),
            local: entry.local,
            seal_wrap: entry.seal_wrap,
            external_entropy_access: false,
            config: MountConfigResponse {
                default_lease_ttl: entry.config.default_lease_ttl.as_secs(),
                max_lease_ttl: entry.config.max_lease_ttl.as_secs(),
                force_no_cache: entry.config.force_no_cache,
                more: settings_response(entry),
            },
            plugin_version: &entry.plugin_version,
            running_plugin_version: running.map_or("", |running| &running.version),
            running_sha256: running.map_or("", |running| running.sha256()),
            deprecation_status: (linked_in && mounted.engine_handle().is_some())
                .then_some("supported"),
        }),
    }
}

impl<'a> MountResponse<'a> {
    /// The form for callers without access to the mount: no accessor, UUID or configuration.
    pub(crate) fn without_details(mounted: &'a ActiveMount) -> Self {
        let entry = &mounted.entry;
        Self {
            accessor: None,
            mount_type: &entry.mount_type,
            description: &entry.description,
            options: &entry.options,
            more: None,
        }
    }
}

/// The response of `sys/mounts/<path>/tune`: the current value of every tunable setting.
#[derive(Serialize)]
pub(super) struct TuneResponse<'a> {
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    description: &'a str,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a BTreeMap<String, String>>,
    #[serde(flatten)]
    more: MountSettingsResponse<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    plugin_version: &'a str,
}

/// Builds the tune response. The lease TTLs are the effective ones: the mount's own, else the
/// server's.
pub(super) fn tune_response(mounted: &ActiveMount, server: MountLifetimes) -> TuneResponse<'_> {
    let entry = &mounted.entry;
    let lifetimes = entry.effective_lifetimes(server);
    TuneResponse {
        default_lease_ttl: lifetimes.default.as_secs(),
        max_lease_ttl: lifetimes.max.as_secs(),
        description: &entry.description,
        force_no_cache: entry.config.force_no_cache,
        options: entry.options.as_ref().filter(|options| !options.is_empty()),
        more: settings_response(entry),
        plugin_version: &entry.plugin_version,
    }
}

fn settings_response(entry: &MountEntry) -> MountSettingsResponse<'_> {
    let config: &MountConfig = &entry.config;
    MountSettingsResponse {
        listing_visibility: &config.listing_visibility,
        audit_non_hmac_request_keys: &config.audit_non_hmac_request_keys,
        audit_non_hmac_response_keys: &config.audit_non_hmac_response_keys,
        passthrough_request_headers: &config.passthrough_request_headers,
        allowed_response_headers: &config.allowed_response_headers,
        token_type: (entry.kind == MountKind::Auth).then(|| config.token_type.as_str()),
    }
}
