//! [`TokenBackend`]: the backend of `auth/token/`.

use std::sync::Arc;

use serde_json::Value;
use strongroom_core::error::Error;
use strongroom_core::path_access::{PathAccess, PolicyPath, TokenRequirement, WrappingTokenUse};
use strongroom_core::stages::AuthorizedRequest;
use strongroom_core::unsealed::UnsealedCore;
use strongroom_core::unsealed::backend::{Backend, BackendResponse};
use strongroom_mounts::ActiveMount;
use strongroom_policy::FieldReadings;
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, RequestId};

use super::ENDPOINTS;
use crate::endpoint::endpoint_token_requirement;
use crate::endpoint_dispatch::call_endpoint;
use crate::endpoint_docs::document_of_endpoints;
use crate::endpoint_readings::readings_for_endpoints;
use crate::root_paths::is_root_path;

/// Handles the requests below `auth/token/`, by the endpoints of this module.
#[derive(Debug)]
pub(crate) struct TokenBackend;

/// The group's tag in the OpenAPI document.
const TAG: &str = "auth";

impl Backend for TokenBackend {
    fn token_requirement(&self, _: &ActiveMount, relative_path: &str) -> TokenRequirement {
        endpoint_token_requirement(ENDPOINTS, relative_path)
    }

    fn path_access(&self, _: &ActiveMount, _path: &str, relative_path: &str) -> PathAccess {
        PathAccess {
            token: endpoint_token_requirement(ENDPOINTS, relative_path),
            requires_sudo: is_root_path("auth/token/", relative_path),
            policy_path: PolicyPath::AS_GIVEN,
            wrapping_token: WrappingTokenUse::None,
        }
    }

    fn field_readings(&self, _: &ActiveMount, relative_path: &str) -> FieldReadings {
        readings_for_endpoints(ENDPOINTS, relative_path, |readings, _| readings)
    }

    fn handle<'a>(
        &'a self,
        core: &'a Arc<UnsealedCore>,
        request: &'a mut AuthorizedRequest,
    ) -> BoxFuture<'a, Result<BackendResponse, Error>> {
        Box::pin(async move {
            let response = call_endpoint(ENDPOINTS, TAG, core, request).await?;
            Ok(BackendResponse::Complete(response))
        })
    }

    fn openapi<'a>(
        &'a self,
        _: &'a ActiveMount,
        _: &'a RequestId,
        _: &'a dyn Clock,
    ) -> BoxFuture<'a, Option<Value>> {
        Box::pin(async { Some(document_of_endpoints(ENDPOINTS, TAG)) })
    }
}
