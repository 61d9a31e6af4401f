//! The stages of a request, in the order in which the pipeline produces them: an
//! [`AdmittedRequest`] is routed to a mount ([`RoutedRequest`]), its caller is authenticated
//! ([`AuthenticatedCaller`]), and policies allow it ([`AuthorizedRequest`]). A function that needs
//! a check to have been made takes the stage that the check produces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_engine::{ConnectionInfo, Operation, RawRequestBody};
use strongroom_mounts::ActiveMount;
use strongroom_mounts::handle::InFlight;
use strongroom_policy::Acl;
use strongroom_token::StoredToken;
use strongroom_types::{Fields, RequestPath, Secret, Ttl};

use crate::path_access::{PathAccess, TokenRequirement};
use crate::request::{RequestHeaders, Verb};
use crate::request_span::RequestSpan;

/// A request whose path is in normal form, with its request id.
pub struct AdmittedRequest {
    /// The request's id and span.
    pub span: RequestSpan,
    /// The operation, before the backend distinguishes creates from updates.
    pub verb: Verb,
    /// The path; of a list request always with a trailing slash.
    pub path: RequestPath,
    /// The fields of the body or query; empty once a backend took them.
    pub fields: Fields,
    /// The unparsed body, for engines that declare the path so; `None` once a backend took it.
    pub raw_body: Option<Box<RawRequestBody>>,
    /// The token as sent by the client, which may be invalid.
    pub token: Option<Secret<String>>,
    /// The lifetime of the wrapping token; `None` if the response is not to be wrapped.
    pub wrap_ttl: Option<Ttl>,
    /// The request's headers; cleared once those that the mount passes are known.
    pub headers: RequestHeaders,
    /// The client's address and port; `None` on a Unix socket.
    pub connection: Option<ConnectionInfo>,
}

impl AdmittedRequest {
    /// The client's IP address; `None` on a Unix socket.
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.connection.as_ref().map(|connection| connection.address)
    }

    /// The request's path, address and caller, for the refusal log.
    pub fn request_origin<'a>(
        &'a self,
        caller: Option<&'a AuthenticatedCaller>,
    ) -> RequestOrigin<'a> {
        RequestOrigin { path: self.path.as_str(), address: self.remote_address(), caller }
    }
}

/// A request with the mount it is routed to.
pub struct RoutedRequest {
    /// The request, with its wrapping TTL capped to the server's maximum.
    pub request: AdmittedRequest,
    /// The mount; `None` if no mount matches, which is revealed only to callers whose policies
    /// allow the path.
    pub mounted: Option<Arc<ActiveMount>>,
    /// The path relative to the mount.
    pub relative_path: String,
    /// How the path is authorized.
    pub access: PathAccess,
    /// The lifetime of the wrapping token that the client requested. `request.wrap_ttl` is that
    /// lifetime capped to the server's maximum.
    pub requested_wrap_ttl: Option<Ttl>,
    /// The request headers that the mount passes to its engine.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl RoutedRequest {
    /// Records the mount, the operation and the caller in the request's span.
    pub fn record_in_span(&self, caller: Option<&AuthenticatedCaller>) {
        let mount = self.mounted.as_deref().map_or("", |mounted| &mounted.info.path);
        let token = caller.map(|caller| &*caller.stored_token.token);
        self.request.span.record(mount, self.request.verb.as_str(), token);
    }

    /// Whether the path requires no token.
    pub fn is_unauthenticated(&self) -> bool {
        self.access.token != TokenRequirement::Required
    }
}

/// The caller of a request, identified by a valid token.
#[derive(Clone, Debug)]
pub struct AuthenticatedCaller {
    /// The caller's token and its key in the token store.
    pub stored_token: StoredToken,
    /// The combined rules of the token's policies, as of this request.
    pub acl: Arc<Acl>,
    /// Whether this request consumed the token's last use.
    pub last_use: bool,
}

/// A request that the caller's policies allow, ready to be dispatched.
pub struct AuthorizedRequest {
    /// The request with its mount, boxed because stages are moved.
    pub routed: Box<RoutedRequest>,
    /// The caller; `None` on unauthenticated paths without a valid token.
    pub caller: Option<AuthenticatedCaller>,
    /// The operation, in which creates and updates are distinguished.
    pub operation: Operation,
    /// The in-flight guard of the engine instance that made the existence check; the same instance
    /// then handles the request. `None` if no check was made.
    pub in_flight: Option<InFlight>,
}

/// The path, address and caller of a request, as far as known.
pub struct RequestOrigin<'a> {
    /// The request's path; tokens in it are redacted when it is logged.
    pub path: &'a str,
    /// The client's IP address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The caller; `None` if the request was refused before authentication.
    pub caller: Option<&'a AuthenticatedCaller>,
}
