//! [`Backend`]: what handles the requests below a mount. The pipeline treats all backends alike,
//! whether one is an engine or part of the server.

use std::sync::Arc;

use serde_json::Value;
use strongroom_engine::{EngineResponse, Operation};
use strongroom_mounts::handle::InFlight;
use strongroom_mounts::{ActiveMount, MountBackend};
use strongroom_policy::FieldReadings;
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, MountKind, RequestId};

use super::UnsealedCore;
use crate::error::Error;
use crate::path_access::{PathAccess, TokenRequirement};
use crate::request::CoreResponse;
use crate::stages::{AuthenticatedCaller, AuthorizedRequest, RoutedRequest};

/// Handles the requests below a mount. A backend has no state of its own: its mount is in the
/// request, and the server's state in the [`UnsealedCore`] parameter.
pub trait Backend: Send + Sync {
    /// Whether a path requires a token. Called for every request before its body is read, so it
    /// must be cheap.
    fn token_requirement(&self, mounted: &ActiveMount, relative_path: &str) -> TokenRequirement;

    /// Whether the backend takes the bodies of writes to this path unparsed. Called for every request
    /// before its body is read, so it must be cheap. By default bodies are parsed.
    fn takes_raw_body(&self, _mounted: &ActiveMount, _relative_path: &str) -> bool {
        false
    }

    /// How a path is authorized. `path` is the whole path below `/v1/`, `relative_path` its part
    /// below the mount.
    fn path_access(&self, mounted: &ActiveMount, path: &str, relative_path: &str) -> PathAccess;

    /// How the backend interprets the fields of a request to this path, for policies with
    /// parameter conditions.
    fn field_readings(&self, mounted: &ActiveMount, relative_path: &str) -> FieldReadings;

    /// Whether a write to the path is a create or an update. Called only if the caller's policies
    /// grant at least one of them. A backend that does not distinguish them keeps this default, by
    /// which every write requires `update`.
    fn write_operation<'a>(
        &'a self,
        _core: &'a UnsealedCore,
        _routed: &'a RoutedRequest,
        _caller: Option<&'a AuthenticatedCaller>,
    ) -> BoxFuture<'a, Result<WriteOperation, Error>> {
        Box::pin(async { Ok(WriteOperation::UPDATE) })
    }

    /// Handles a request that policies allow. The backend may take the request's fields, token and
    /// headers out of it; the rest is still needed for the response.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the request's deadline passes. Work that must complete runs in a
    /// task of its own.
    fn handle<'a>(
        &'a self,
        core: &'a Arc<UnsealedCore>,
        request: &'a mut AuthorizedRequest,
    ) -> BoxFuture<'a, Result<BackendResponse, Error>>;

    /// The OpenAPI document of the mount, with paths relative to it. `None` if the backend provides
    /// none in time.
    fn openapi<'a>(
        &'a self,
        mounted: &'a ActiveMount,
        id: &'a RequestId,
        clock: &'a dyn Clock,
    ) -> BoxFuture<'a, Option<Value>>;

    /// The request headers that the backend reads at this path, by name in lower case, in addition
    /// to those that the mount's `passthrough_request_headers` names.
    fn request_headers(&self, _relative_path: &str) -> &'static [&'static str] {
        &[]
    }
}

/// The result of handling a request.
pub enum BackendResponse {
    /// The response to the client. Leases and tokens in it are already stored.
    Complete(CoreResponse),
    /// An engine's response. A credential or login in it gets its lease or token before the
    /// response leaves; until then the guard keeps the instance from being replaced.
    FromEngine {
        /// The engine's response, not yet checked.
        response: EngineResponse,
        /// The in-flight guard of the instance that made it.
        in_flight: InFlight,
    },
}

/// The result of a backend's existence check.
pub struct WriteOperation {
    /// `Create` or `Update`.
    pub operation: Operation,
    /// The in-flight guard of the engine instance that made the check; the same instance then
    /// handles the request. `None` if no engine was called.
    pub in_flight: Option<InFlight>,
}

impl WriteOperation {
    /// For a backend that does not distinguish creates: every write requires `update`.
    pub const UPDATE: Self = Self { operation: Operation::Update, in_flight: None };
}

/// A mount that exists in every server, with the backend that handles its requests.
pub struct BuiltInMount {
    /// Whether the mount is listed as a secrets engine or as an auth method.
    pub kind: MountKind,
    /// The mount path, without the `auth/` prefix of auth methods.
    pub path: &'static str,
    /// The mount's type, by which its backend is found.
    pub mount_type: &'static str,
    /// The description that mount lists show.
    pub description: &'static str,
    /// The API's `local` flag, as the reference server shows it.
    pub local: bool,
    /// The API's `seal_wrap` flag, as the reference server shows it.
    pub seal_wrap: bool,
    /// The `passthrough_request_headers` that the reference server shows.
    pub passthrough_request_headers: &'static [&'static str],
    /// Handles the mount's requests.
    pub backend: &'static dyn Backend,
}

impl std::fmt::Debug for BuiltInMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuiltInMount").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The mounts that exist in every server, and the adapter that makes an engine a backend.
#[derive(Clone, Copy)]
pub struct Backends {
    builtin: &'static [BuiltInMount],
    engines: &'static dyn Backend,
}

impl Backends {
    /// Combines the built-in mounts with the adapter for engines.
    pub fn new(builtin: &'static [BuiltInMount], engines: &'static dyn Backend) -> Self {
        Self { builtin, engines }
    }

    /// The mounts that exist in every server.
    pub fn builtin_mounts(&self) -> &'static [BuiltInMount] {
        self.builtin
    }

    /// How a path of a mount is authorized; see [`Backend::path_access`].
    pub fn path_access(
        &self,
        mounted: &ActiveMount,
        path: &str,
        relative_path: &str,
    ) -> PathAccess {
        self.backend_of(mounted).map_or(PathAccess::UNKNOWN, |backend| {
            backend.path_access(mounted, path, relative_path)
        })
    }

    /// The backend of a mount; `None` for a built-in mount that is not registered.
    pub fn backend_of(&self, mounted: &ActiveMount) -> Option<&'static dyn Backend> {
        match &mounted.backend {
            MountBackend::Engine(_) => Some(self.engines),
            MountBackend::BuiltIn => {
                let of_type = &mounted.entry.mount_type;
                let found = self.builtin.iter().find(|mount| mount.mount_type == of_type);
                found.map(|mount| mount.backend)
            }
        }
    }
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").field("builtin", &self.builtin).finish_non_exhaustive()
    }
}
