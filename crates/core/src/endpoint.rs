//! [`Endpoint`]: a path the core answers itself, declared with what it takes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use strongroom_sdk::action::Input;
use strongroom_sdk::field::{FieldKind, FieldSpec};
use strongroom_sdk::pattern::{Captures, Pattern};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Fields, RawObject, RequestId, Secret, Ttl};

use crate::error::Error;
use crate::pipeline::Caller;
use crate::refusals::Origin;
use crate::request::{Answer, Envelope, Verb};
use crate::unsealed::Unsealed;

/// Answers one verb of an endpoint.
pub(crate) type Handler = for<'a> fn(&'a Call) -> BoxFuture<'a, Result<Answer, Error>>;

/// A declared path.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    /// Below `sys/` or `auth/token/`; without a trailing slash for lists.
    pub(crate) pattern: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// The fields its verbs take, over all of them.
    pub(crate) fields: &'static [&'static [FieldSpec]],
    pub(crate) handlers: Handlers,
    pub(crate) access: Access,
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
pub(crate) struct Handlers {
    pub(crate) read: Option<Handler>,
    pub(crate) list: Option<Handler>,
    pub(crate) write: Option<Handler>,
    pub(crate) delete: Option<Handler>,
}

impl Handlers {
    pub(crate) const NONE: Self = Self { read: None, list: None, write: None, delete: None };

    /// Whether it has a verb at all.
    pub(crate) fn has_any(&self) -> bool {
        let all = [self.read, self.list, self.write, self.delete];
        all.iter().any(Option::is_some)
    }

    fn of(&self, verb: Verb) -> Option<Handler> {
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
pub(crate) enum Access {
    /// Whom policies allow. Whether that includes `sudo` is said in [`crate::root_paths`].
    #[default]
    Policy,
    /// Everybody; the handler itself decides what they see.
    Anyone,
}

/// Writes a handler as a function pointer.
macro_rules! handler {
    ($function:path) => {
        Some(|call| Box::pin($function(call)))
    };
}
pub(crate) use handler;

/// A request to an endpoint, past all checks.
pub(crate) struct Call {
    pub(crate) open: Arc<Unsealed>,
    pub(crate) id: RequestId,
    /// Body or query, with the captures of the path.
    pub(crate) fields: Fields,
    pub(crate) captures: Captures,
    /// The token as it was sent: some answers repeat it to its owner.
    pub(crate) token: Option<Secret<String>>,
    /// The lifetime the client wants its wrapped answer to have.
    pub(crate) wrap_ttl: Option<Ttl>,
    /// None where no token was needed or sent.
    pub(crate) caller: Option<Caller>,
    /// Where it comes from; none on a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The headers that the endpoint reads: see [`crate::headers::passed`].
    pub(crate) headers: BTreeMap<String, Vec<String>>,
}

impl Call {
    /// The fields as the input of a handler.
    pub(crate) fn input<I: Input>(&self) -> Result<I, Error> {
        Ok(I::from_fields(&self.fields)?)
    }

    /// The same, where an empty token is as good as none.
    pub(crate) fn input_with_token<I: Input>(&self) -> Result<I, Error> {
        if self.fields.get("token").is_none_or(|raw| raw.get() != "\"\"") {
            return self.input();
        }
        let mut fields = self.fields.clone();
        fields.remove("token");
        Ok(I::from_fields(&fields)?)
    }

    /// Who sent it, for the log.
    pub(crate) fn origin<'a>(&'a self, path: &'a str) -> Origin<'a> {
        Origin { id: &self.id, path, address: self.address, caller: self.caller.as_ref() }
    }

    /// What the path captured.
    pub(crate) fn captured(&self) -> &str {
        self.captures.first()
    }

    /// The caller's own token.
    pub(crate) fn token_id(&self) -> &str {
        self.token.as_ref().map_or("", |token| token.expose_secret())
    }

    /// The caller of a path that needs a token.
    pub(crate) fn caller(&self) -> Result<&Caller, Error> {
        self.caller.as_ref().ok_or_else(Error::no_token)
    }
}

/// Finds the endpoint for a path and verb. An endpoint that matches but lacks the verb leaves the
/// word to one further down. What has no list isn't there for whoever lists it: the path of a list
/// is another, with a slash at its end.
pub(crate) fn find(
    endpoints: &[&'static [Endpoint]],
    verb: Verb,
    path: &str,
) -> Result<(&'static Endpoint, Handler, Captures), Error> {
    let path = if verb == Verb::List { path.trim_end_matches('/') } else { path };
    let mut known = false;
    for endpoint in endpoints.iter().flat_map(|group| group.iter()) {
        let Some(captures) = Pattern::new(endpoint.pattern).matches(path) else { continue };
        known = true;
        if let Some(handler) = endpoint.handlers.of(verb) {
            return Ok((endpoint, handler, captures));
        }
    }
    let known = known && verb != Verb::List;
    Err(if known { Error::unsupported_operation() } else { Error::unsupported_path() })
}

/// The endpoint that decides who may use a path, whatever the verb.
pub(crate) fn access(endpoints: &[&'static [Endpoint]], path: &str) -> Access {
    let path = path.trim_end_matches('/');
    let mut all = endpoints.iter().flat_map(|group| group.iter());
    let found = all.find(|endpoint| Pattern::new(endpoint.pattern).matches(path).is_some());
    found.map_or(Access::Policy, |endpoint| endpoint.access)
}

/// Data in the usual envelope.
pub(crate) fn data(object: RawObject) -> Answer {
    with_warnings(object, Vec::new())
}

/// Data and warnings in the usual envelope.
pub(crate) fn with_warnings(object: RawObject, warnings: Vec<String>) -> Answer {
    Answer::Envelope(Box::new(Envelope { data: Some(object), warnings, ..Envelope::default() }))
}

/// Nothing, or an envelope if there are warnings.
pub(crate) fn nothing_or(warnings: Vec<String>) -> Answer {
    if warnings.is_empty() {
        return Answer::Nothing;
    }
    Answer::Envelope(Box::new(Envelope { warnings, ..Envelope::default() }))
}

/// A list of names: 404 if there are none.
pub(crate) fn keys(names: &[impl AsRef<str>]) -> Result<Answer, Error> {
    if names.is_empty() {
        return Err(not_found());
    }
    let mut fields = Fields::new();
    fields.set("keys", &names.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    Ok(data(fields.to_object()))
}

/// 404 without words.
pub(crate) fn not_found() -> Error {
    Error::silent(strongroom_types::ErrorKind::NotFound)
}
