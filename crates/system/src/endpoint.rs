//! [`ApiEndpoint`]: a path that the core serves itself, declared with its handlers and fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_core::error::Error;
use strongroom_core::path_access::TokenRequirement;
use strongroom_core::request::{CoreResponse, Verb};
pub(crate) use strongroom_core::responses::{
    data_response, data_response_with_warnings, empty_or_warnings_response, keys_response,
    not_found,
};
use strongroom_core::stages::{AuthenticatedCaller, RequestOrigin};
use strongroom_core::unsealed::UnsealedCore;
use strongroom_engine::ConnectionInfo;
use strongroom_schema::Input;
use strongroom_schema::display::FieldDisplay;
use strongroom_schema::field::{FieldKind, FieldSpec};
use strongroom_schema::pattern::{PathCaptures, RoutePattern};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, Fields, RequestId, Secret, Ttl};

/// The function that handles one verb of an endpoint.
pub(crate) type EndpointHandler =
    for<'a> fn(&'a EndpointCall, &'a UnsealedCore) -> BoxFuture<'a, Result<CoreResponse, Error>>;

/// A path of the core's own API, with its handlers, fields and documentation.
#[derive(Clone, Copy)]
pub(crate) struct ApiEndpoint {
    /// The path pattern below `sys/` or `auth/token/`; without a trailing slash, also for lists.
    pub(crate) pattern: &'static str,
    /// Its description in `help` responses and the OpenAPI document.
    pub(crate) help: &'static str,
    /// The request fields of all its verbs together.
    pub(crate) fields: &'static [&'static [FieldSpec]],
    pub(crate) handlers: VerbHandlers,
    pub(crate) access: EndpointAccess,
}

/// The field name that matches every field, for endpoints without a fixed set.
pub(crate) const ANY_FIELD: &str = "*";

/// The `fields` of an endpoint that accepts an arbitrary body.
pub(crate) const ANY_FIELDS: &[FieldSpec] = &[FieldSpec {
    name: ANY_FIELD,
    help: "Arbitrary fields.",
    kind: FieldKind::KeyValues,
    allowed_values: &[],
    secret: true,
    required: false,
    internal: false,
    keep: false,
    default: None,
    legacy: None,
    display: FieldDisplay::NONE,
}];

/// The handler for each supported verb; `None` where the verb is not supported.
#[derive(Clone, Copy, Default)]
pub(crate) struct VerbHandlers {
    pub(crate) read: Option<EndpointHandler>,
    pub(crate) list: Option<EndpointHandler>,
    pub(crate) write: Option<EndpointHandler>,
    pub(crate) delete: Option<EndpointHandler>,
}

impl VerbHandlers {
    pub(crate) const NONE: Self = Self { read: None, list: None, write: None, delete: None };

    /// Whether any verb has a handler.
    pub(crate) fn has_any(&self) -> bool {
        let all = [self.read, self.list, self.write, self.delete];
        all.iter().any(Option::is_some)
    }

    pub(crate) fn for_verb(&self, verb: Verb) -> Option<EndpointHandler> {
        match verb {
            Verb::Read => self.read,
            Verb::List => self.list,
            Verb::Write => self.write,
            Verb::Delete => self.delete,
            Verb::Patch | Verb::Help => None,
        }
    }
}

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointAccess {
    /// Requires a token whose policies allow it. [`crate::root_paths`] lists where `sudo` is
    /// required as well.
    #[default]
    Policy,
    /// Requires no token; the handler itself decides what the caller may see.
    Unauthenticated,
}

/// Turns the path of an async function into an [`EndpointHandler`]. The names that follow are the
/// services of the [`UnsealedCore`] that the function takes, in the order of its parameters.
macro_rules! handler {
    ($function:path) => {
        Some(|call, _| Box::pin($function(call)))
    };
    ($function:path, $($service:ident),+) => {
        Some(|call, core| Box::pin($function(call, $(&core.$service),+)))
    };
}
pub(crate) use handler;

/// A request to an endpoint, after authentication and authorization.
pub(crate) struct EndpointCall {
    /// The source of time.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) id: RequestId,
    /// The fields of the body or query, including the captures of the path.
    pub(crate) fields: Fields,
    pub(crate) captures: PathCaptures,
    /// The token as sent by the client: some responses return it to its owner.
    pub(crate) token: Option<Secret<String>>,
    /// The lifetime of the wrapping token, capped by the server's maximum; `None` if the response
    /// is not to be wrapped.
    pub(crate) wrap_ttl: Option<Ttl>,
    /// The authenticated caller; `None` on unauthenticated paths without a valid token.
    pub(crate) caller: Option<AuthenticatedCaller>,
    /// The client's end of the connection; `None` on a Unix socket.
    pub(crate) connection: Option<ConnectionInfo>,
    /// The request headers that the endpoint reads: see
    /// [`strongroom_core::headers::passthrough_request_headers`].
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl EndpointCall {
    /// Parses the fields into the handler's input type; `Invalid` if a field has the wrong type.
    pub(crate) fn parse_input<I: Input>(&self) -> Result<I, Error> {
        Ok(I::from_fields(&self.fields)?)
    }

    /// [`EndpointCall::parse_input`], but treats an empty `token` field as absent.
    pub(crate) fn parse_input_optional_token<I: Input>(&self) -> Result<I, Error> {
        if self.fields.get("token").is_none_or(|raw| raw.get() != "\"\"") {
            return self.parse_input();
        }
        let mut fields = self.fields.clone();
        fields.remove("token");
        Ok(I::from_fields(&fields)?)
    }

    /// The request's id, path, address and caller, for the refusal log.
    pub(crate) fn request_origin<'a>(&'a self, path: &'a str) -> RequestOrigin<'a> {
        let address = self.connection.as_ref().map(|connection| connection.address);
        RequestOrigin { path, address, caller: self.caller.as_ref() }
    }

    /// The value of the first capture in the path pattern.
    pub(crate) fn first_capture(&self) -> &str {
        self.captures.first_value()
    }

    /// The id of the caller's token; empty if none was sent.
    pub(crate) fn token_id(&self) -> &str {
        self.token.as_ref().map_or("", |token| token.expose_secret())
    }

    /// The authenticated caller; `Denied` if there is none.
    pub(crate) fn require_caller(&self) -> Result<&AuthenticatedCaller, Error> {
        self.caller.as_ref().ok_or_else(Error::invalid_token)
    }
}

/// The access rule of a path: that of the first endpoint that matches, whatever the verb.
pub(crate) fn access_for_path(endpoints: &[&'static [ApiEndpoint]], path: &str) -> EndpointAccess {
    let path = path.trim_end_matches('/');
    let mut all = endpoints.iter().flat_map(|group| group.iter());
    let found = all.find(|endpoint| RoutePattern::new(endpoint.pattern).match_path(path).is_some());
    found.map_or(EndpointAccess::Policy, |endpoint| endpoint.access)
}

/// Whether a path requires a token, by the endpoint that it matches.
pub(crate) fn endpoint_token_requirement(
    endpoints: &[&'static [ApiEndpoint]],
    below: &str,
) -> TokenRequirement {
    match access_for_path(endpoints, below) {
        EndpointAccess::Policy => TokenRequirement::Required,
        // On the server's own unauthenticated paths a valid token identifies the caller.
        EndpointAccess::Unauthenticated => TokenRequirement::Optional,
    }
}
