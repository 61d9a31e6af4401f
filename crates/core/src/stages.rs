//! The stages of a request, in the order in which the pipeline produces them: an
//! [`AdmittedRequest`] is routed to a mount ([`RoutedRequest`]), its caller is authenticated
//! ([`AuthenticatedCaller`]), and policies allow it ([`AuthorizedRequest`]). A function that needs
//! a check to have been made takes the stage that the check produces.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_policy::Acl;
use strongroom_sdk::engine::{ConnectionInfo, Operation};
use strongroom_token::StoredToken;
use strongroom_types::{Fields, RequestId, RequestPath, Secret, Ttl};

use crate::mounts::ActiveMount;
use crate::mounts::handle::InFlight;
use crate::path_access::{PathAccess, TokenRequirement};
use crate::request::{RequestHeaders, Verb};

/// A request whose path is in normal form, with its request id.
pub(crate) struct AdmittedRequest {
    pub(crate) id: RequestId,
    pub(crate) verb: Verb,
    /// The path; of a list request always with a trailing slash.
    pub(crate) path: RequestPath,
    pub(crate) fields: Fields,
    pub(crate) token: Option<Secret<String>>,
    /// The lifetime of the wrapping token; `None` if the response is not to be wrapped.
    pub(crate) wrap_ttl: Option<Ttl>,
    pub(crate) headers: RequestHeaders,
    pub(crate) connection: Option<ConnectionInfo>,
}

impl AdmittedRequest {
    /// The client's IP address; `None` on a Unix socket.
    pub(crate) fn remote_address(&self) -> Option<IpAddr> {
        self.connection.map(|connection| connection.address)
    }

    /// The request's id, path, address and caller, for the refusal log.
    pub(crate) fn request_origin<'a>(
        &'a self,
        caller: Option<&'a AuthenticatedCaller>,
    ) -> RequestOrigin<'a> {
        RequestOrigin {
            id: &self.id,
            path: self.path.as_str(),
            address: self.remote_address(),
            caller,
        }
    }
}

/// A request with the mount it is routed to.
pub(crate) struct RoutedRequest {
    pub(crate) request: AdmittedRequest,
    /// The mount; `None` if no mount matches, which is revealed only to callers whose policies
    /// allow the path.
    pub(crate) mounted: Option<Arc<ActiveMount>>,
    /// The path relative to the mount.
    pub(crate) relative_path: String,
    /// How the path is authorized.
    pub(crate) access: PathAccess,
    /// The lifetime of the wrapping token that the client requested. `request.wrap_ttl` is that
    /// lifetime capped to the server's maximum.
    pub(crate) requested_wrap_ttl: Option<Ttl>,
    /// The request headers that the mount passes to its engine.
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl RoutedRequest {
    /// Whether the path requires no token.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.access.token != TokenRequirement::Required
    }
}

/// The caller of a request, identified by a valid token.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatedCaller {
    pub(crate) stored_token: StoredToken,
    /// The combined rules of the token's policies, as of this request.
    pub(crate) acl: Arc<Acl>,
    /// Whether this request consumed the token's last use.
    pub(crate) last_use: bool,
}

/// A request that the caller's policies allow, ready to be dispatched.
pub(crate) struct AuthorizedRequest {
    pub(crate) routed: Box<RoutedRequest>,
    pub(crate) caller: Option<AuthenticatedCaller>,
    pub(crate) operation: Operation,
    /// The in-flight guard of the engine instance that made the existence check; the same instance
    /// then handles the request. `None` if no check was made.
    pub(crate) in_flight: Option<InFlight>,
}

/// The id, path, address and caller of a request, as far as known.
pub(crate) struct RequestOrigin<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) path: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) caller: Option<&'a AuthenticatedCaller>,
}
