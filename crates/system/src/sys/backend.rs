//! [`SystemBackend`]: the backend of `sys/`.

use std::sync::Arc;

use serde_json::Value;
use strongroom_core::error::Error;
use strongroom_core::path_access::{PathAccess, PolicyPath, TokenRequirement, WrappingTokenUse};
use strongroom_core::request::CoreResponse;
use strongroom_core::stages::AuthorizedRequest;
use strongroom_core::unsealed::UnsealedCore;
use strongroom_core::unsealed::backend::{Backend, BackendResponse};
use strongroom_mounts::ActiveMount;
use strongroom_policy::{FieldReadings, InnerField, PathCase};
use strongroom_schema::display::PathDisplay;
use strongroom_schema::openapi::{PathDoc, PathVerbs};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, RequestId};

use super::{ACCEPT_HEADER, ENDPOINTS, aliased_path, canonical_path, folds_case};
use crate::endpoint::endpoint_token_requirement;
use crate::endpoint_dispatch::call_endpoint;
use crate::endpoint_docs::{document_of_paths, path_doc};
use crate::endpoint_readings::readings_for_endpoints;
use crate::root_paths::is_root_path;
use crate::status::STATUS_PATHS;

/// Handles the requests below `sys/`, by the endpoints of this module.
#[derive(Debug)]
pub(crate) struct SystemBackend;

/// The group's tag in the OpenAPI document.
const TAG: &str = "system";

/// Paths whose requests name a wrapping token, relative to `sys/`.
const WRAPPING_TOKEN_PATHS: [&str; 3] = ["wrapping/lookup", "wrapping/unwrap", "wrapping/rewrap"];

/// Fields of a mount request that the handler also takes from the `config` object.
const NESTED_CONFIG_FIELDS: &[InnerField] = &[
    InnerField { object: "config", name: "plugin_name" },
    InnerField { object: "config", name: "plugin_version" },
];

impl Backend for SystemBackend {
    fn token_requirement(&self, _: &ActiveMount, relative_path: &str) -> TokenRequirement {
        endpoint_token_requirement(ENDPOINTS, relative_path)
    }

    fn path_access(&self, _: &ActiveMount, path: &str, relative_path: &str) -> PathAccess {
        PathAccess {
            token: endpoint_token_requirement(ENDPOINTS, relative_path),
            requires_sudo: is_root_path("sys/", relative_path),
            policy_path: PolicyPath {
                case: if folds_case(path) { PathCase::MayFold } else { PathCase::Distinct },
                canonical_spelling: canonical_path(path),
                aliased_path: aliased_path(path),
                canonical: None,
            },
            wrapping_token: match relative_path {
                "wrapping/unwrap" => WrappingTokenUse::Unwraps,
                path if WRAPPING_TOKEN_PATHS.contains(&path.trim_end_matches('/')) => {
                    WrappingTokenUse::Named
                }
                _ => WrappingTokenUse::None,
            },
        }
    }

    fn field_readings(&self, _: &ActiveMount, relative_path: &str) -> FieldReadings {
        let refine = if relative_path.starts_with("mounts/") {
            with_derived_fields_of_secrets
        } else {
            with_derived_fields
        };
        readings_for_endpoints(ENDPOINTS, relative_path, refine)
    }

    fn handle<'a>(
        &'a self,
        core: &'a Arc<UnsealedCore>,
        request: &'a mut AuthorizedRequest,
    ) -> BoxFuture<'a, Result<BackendResponse, Error>> {
        Box::pin(async move {
            let mut response = call_endpoint(ENDPOINTS, TAG, core, request).await?;
            if let CoreResponse::Envelope(envelope) = &mut response
                && envelope.wrap_info.is_none()
            {
                let path = request.routed.request.path.as_str();
                envelope.mirrors_data_at_top_level = super::mirrors_data_at_top_level(path);
            }
            Ok(BackendResponse::Complete(response))
        })
    }

    fn openapi<'a>(
        &'a self,
        _: &'a ActiveMount,
        _: &'a RequestId,
        _: &'a dyn Clock,
    ) -> BoxFuture<'a, Option<Value>> {
        Box::pin(async { Some(document()) })
    }

    fn request_headers(&self, relative_path: &str) -> &'static [&'static str] {
        if relative_path == "metrics" { &[ACCEPT_HEADER] } else { &[] }
    }
}

/// Adds the values that handlers compute from a request's fields, for policy conditions.
fn with_derived_fields(readings: FieldReadings, declared: &dyn Fn(&str) -> bool) -> FieldReadings {
    if declared("config") && declared("plugin_name") {
        readings.with_inner(NESTED_CONFIG_FIELDS)
    } else if declared("command") {
        readings.with_derived(super::plugins::derived_plugin_fields)
    } else if declared("policy") {
        readings.with_derived(super::policies::derived_policy_fields)
    } else {
        readings
    }
}

/// [`with_derived_fields`], for secrets engines, whose types have synonyms.
fn with_derived_fields_of_secrets(
    readings: FieldReadings,
    declared: &dyn Fn(&str) -> bool,
) -> FieldReadings {
    let mounts = declared("config") && declared("plugin_name");
    let readings = with_derived_fields(readings, declared);
    if mounts { readings.with_derived(super::mounts::derived_mount_fields) } else { readings }
}

/// The OpenAPI document of `sys/`, including the paths that are served while sealed.
fn document() -> Value {
    let of_status = STATUS_PATHS.iter().map(|path| PathDoc {
        pattern: path.name,
        help: path.help,
        fields: path.fields.iter().collect(),
        verbs: PathVerbs { read: path.reads, write: path.writes, ..PathVerbs::default() },
        free_form: false,
        raw_body: false,
        creates: false,
        root: false,
        unauthenticated: true,
        display: PathDisplay::new(),
    });
    let others = ENDPOINTS.iter().flat_map(|group| group.iter());
    document_of_paths(of_status.chain(others.map(|endpoint| path_doc(endpoint, TAG))), TAG)
}
