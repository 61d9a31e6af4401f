//! [`ApiEndpoint`]: a path the core answers itself, declared with what it takes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_sdk::action::Input;
use strongroom_sdk::field::{FieldKind, FieldSpec};
use strongroom_sdk::pattern::{PathCaptures, RoutePattern};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Fields, RawObject, RequestId, Secret, Ttl};

use crate::error::Error;
use crate::pipeline::AuthenticatedCaller;
use crate::refusal_log::RequestOrigin;
use crate::request::{CoreResponse, ResponseEnvelope, Verb};
use crate::unsealed::UnsealedCore;

/// Answers one verb of an endpoint.
pub(crate) type EndpointHandler =
    for<'a> fn(&'a EndpointCall) -> BoxFuture<'a, Result<CoreResponse, Error>>;

/// A declared path.
#[derive(Clone, Copy)]
pub(crate) struct ApiEndpoint {
    /// Below `sys/` or `auth/token/`; without a trailing slash for lists.
    pub(crate) pattern: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// The fields its verbs take, over all of them.
    pub(crate) fields: &'static [&'static [FieldSpec]],
    pub(crate) handlers: VerbHandlers,
    pub(crate) access: EndpointAccess,
}

/// The name that stands for every field.
pub(crate) const ANY_FIELD: &str = "*";

/// The fields of an endpoint that takes a body as it is.
pub(crate) const ANY_FIELDS: &[FieldSpec] = &[FieldSpec {
    name: ANY_FIELD,
    help: "Anything.",
    kind: FieldKind::KeyValues,
    secret: true,
    required: false,
    default: None,
}];

/// The verbs it has.
#[derive(Clone, Copy, Default)]
pub(crate) struct VerbHandlers {
    pub(crate) read: Option<EndpointHandler>,
    pub(crate) list: Option<EndpointHandler>,
    pub(crate) write: Option<EndpointHandler>,
    pub(crate) delete: Option<EndpointHandler>,
}

impl VerbHandlers {
    pub(crate) const NONE: Self = Self { read: None, list: None, write: None, delete: None };

    /// Whether it has a verb at all.
    pub(crate) fn has_any(&self) -> bool {
        let all = [self.read, self.list, self.write, self.delete];
        all.iter().any(Option::is_some)
    }

    fn for_verb(&self, verb: Verb) -> Option<EndpointHandler> {
        match verb {
            Verb::Read => self.read,
            Verb::List => self.list,
            Verb::Write => self.write,
            Verb::Delete => self.delete,
            Verb::Patch | Verb::Help => None,
        }
    }
}

/// Who may use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointAccess {
    /// Whom policies allow. Whether that includes `sudo` is said in [`crate::root_paths`].
    #[default]
    Policy,
    /// Everybody; the handler itself decides what they see.
    Unauthenticated,
}

/// Writes a handler as a function pointer.
macro_rules! handler {
    ($function:path) => {
        Some(|call| Box::pin($function(call)))
    };
}
pub(crate) use handler;

/// A request to an endpoint, past all checks.
pub(crate) struct EndpointCall {
    pub(crate) core: Arc<UnsealedCore>,
    pub(crate) id: RequestId,
    /// Body or query, with the captures of the path.
    pub(crate) fields: Fields,
    pub(crate) captures: PathCaptures,
    /// The token as it was sent: some answers repeat it to its owner.
    pub(crate) token: Option<Secret<String>>,
    /// The lifetime the client wants its wrapped answer to have.
    pub(crate) wrap_ttl: Option<Ttl>,
    /// None where no token was needed or sent.
    pub(crate) caller: Option<AuthenticatedCaller>,
    /// Where it comes from; none on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The headers that the endpoint reads: see [`crate::headers::passthrough_request_headers`].
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl EndpointCall {
    /// The fields as the input of a handler.
    pub(crate) fn parse_input<I: Input>(&self) -> Result<I, Error> {
        Ok(I::from_fields(&self.fields)?)
    }

    /// The same, where an empty token is as good as none.
    pub(crate) fn parse_input_optional_token<I: Input>(&self) -> Result<I, Error> {
        if self.fields.get("token").is_none_or(|raw| raw.get() != "\"\"") {
            return self.parse_input();
        }
        let mut fields = self.fields.clone();
        fields.remove("token");
        Ok(I::from_fields(&fields)?)
    }

    /// Who sent it, for the log.
    pub(crate) fn request_origin<'a>(&'a self, path: &'a str) -> RequestOrigin<'a> {
        RequestOrigin { id: &self.id, path, address: self.address, caller: self.caller.as_ref() }
    }

    /// What the path captured.
    pub(crate) fn first_capture(&self) -> &str {
        self.captures.first_value()
    }

    /// The caller's own token.
    pub(crate) fn token_id(&self) -> &str {
        self.token.as_ref().map_or("", |token| token.expose_secret())
    }

    /// The caller of a path that needs a token.
    pub(crate) fn require_caller(&self) -> Result<&AuthenticatedCaller, Error> {
        self.caller.as_ref().ok_or_else(Error::invalid_token)
    }
}

/// Finds the endpoint for a path and verb. An endpoint that matches but lacks the verb leaves the
/// word to one further down. What has no list isn't there for whoever lists it: the path of a list
/// is another, with a slash at its end.
pub(crate) fn find_endpoint(
    endpoints: &[&'static [ApiEndpoint]],
    verb: Verb,
    path: &str,
) -> Result<(&'static ApiEndpoint, EndpointHandler, PathCaptures), Error> {
    let path = if verb == Verb::List { path.trim_end_matches('/') } else { path };
    let mut known = false;
    for endpoint in endpoints.iter().flat_map(|group| group.iter()) {
        let Some(captures) = RoutePattern::new(endpoint.pattern).match_path(path) else { continue };
        known = true;
        if let Some(handler) = endpoint.handlers.for_verb(verb) {
            return Ok((endpoint, handler, captures));
        }
    }
    let known = known && verb != Verb::List;
    Err(if known { Error::unsupported_operation() } else { Error::unsupported_path() })
}

/// The endpoint that decides who may use a path, whatever the verb.
pub(crate) fn access_for_path(endpoints: &[&'static [ApiEndpoint]], path: &str) -> EndpointAccess {
    let path = path.trim_end_matches('/');
    let mut all = endpoints.iter().flat_map(|group| group.iter());
    let found = all.find(|endpoint| RoutePattern::new(endpoint.pattern).match_path(path).is_some());
    found.map_or(EndpointAccess::Policy, |endpoint| endpoint.access)
}

/// Data in the usual envelope.
pub(crate) fn data_response(object: RawObject) -> CoreResponse {
    data_response_with_warnings(object, Vec::new())
}

/// Data and warnings in the usual envelope.
pub(crate) fn data_response_with_warnings(
    object: RawObject,
    warnings: Vec<String>,
) -> CoreResponse {
    CoreResponse::Envelope(Box::new(ResponseEnvelope {
        data: Some(object),
        warnings,
        ..ResponseEnvelope::default()
    }))
}

/// Nothing, or an envelope if there are warnings.
pub(crate) fn empty_or_warnings_response(warnings: Vec<String>) -> CoreResponse {
    if warnings.is_empty() {
        return CoreResponse::Nothing;
    }
    CoreResponse::Envelope(Box::new(ResponseEnvelope { warnings, ..ResponseEnvelope::default() }))
}

/// A list of names: 404 if there are none.
pub(crate) fn keys_response(names: &[impl AsRef<str>]) -> Result<CoreResponse, Error> {
    if names.is_empty() {
        return Err(not_found());
    }
    let mut fields = Fields::new();
    fields.set("keys", &names.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    Ok(data_response(fields.to_object()))
}

/// 404 without words.
pub(crate) fn not_found() -> Error {
    Error::without_message(strongroom_types::ErrorKind::NotFound)
}
