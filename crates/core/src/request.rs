//! [`CoreRequest`] and [`CoreResponse`]: the interface between `http` and the core.

use std::collections::BTreeMap;

use strongroom_engine::{ConnectionInfo, RawRequestBody, RawResponse, RedirectTarget};
use strongroom_token::TokenKey;
use strongroom_types::{Accessor, Fields, LeaseId, RawObject, Secret, Timestamp, Ttl};

use crate::request_span::RequestSpan;

/// The operation of a request, from its HTTP method. Whether a write is a create or an update is
/// decided later, by the engine's existence check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET: reads the data at the path.
    Read,
    /// LIST, or GET with `list=true`: lists the names below the path.
    List,
    /// POST or PUT: creates or updates, which are not distinguished here.
    Write,
    /// PATCH: changes some fields of existing data.
    Patch,
    /// DELETE: removes the data at the path.
    Delete,
    /// HELP, or GET with `help=1`: returns documentation of the path.
    Help,
}

impl Verb {
    /// The operation's name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::Help => "help",
        }
    }
}

/// A decoded request that was not checked yet: neither its path nor its token is known to be valid.
pub struct CoreRequest {
    /// The request's id and span, from [`Core::begin_request`](crate::Core::begin_request).
    pub span: RequestSpan,
    /// The requested operation, which `http` derives from the method and query.
    pub verb: Verb,
    /// The path below `/v1/`, percent-decoded; [`crate::Core::handle`] checks that it is in normal
    /// form.
    pub path: String,
    /// The fields of the JSON or form body of a write, else of the query string.
    pub fields: Fields,
    /// The unparsed body of a write to a path for which
    /// [`RequestPermit::takes_raw_body`](crate::RequestPermit::takes_raw_body) is true; `fields` then
    /// has those of the query.
    pub raw_body: Option<Box<RawRequestBody>>,
    /// The client token, if one was sent; not yet checked.
    pub token: Option<Secret<String>>,
    /// The request's headers, without the one that carried the token.
    pub headers: RequestHeaders,
    /// The client's address and port; `None` on a Unix socket.
    pub connection: Option<ConnectionInfo>,
}

/// The headers of a request, with names in lower case. Never contains the header that carried the
/// token.
#[derive(Default)]
pub struct RequestHeaders {
    /// The API's own headers, `x-vault-…`; the core evaluates or refuses each of them.
    pub vault_headers: Vec<(String, String)>,
    /// Access to all headers, for mounts that pass some of them to their engine.
    pub passthrough: Option<Box<dyn HeaderSource>>,
}

/// Access to request headers by name, used only for mounts that pass headers to their engine.
pub trait HeaderSource: Send + Sync {
    /// The values of a header, whose name is given in lower case; empty if it is absent or not
    /// text.
    fn values(&self, name: &str) -> Vec<String>;
}

#[cfg(any(test, feature = "testing"))]
impl HeaderSource for BTreeMap<String, Vec<String>> {
    fn values(&self, name: &str) -> Vec<String> {
        self.get(name).cloned().unwrap_or_default()
    }
}

impl RequestHeaders {
    /// The value of one of the API's own headers.
    pub(crate) fn vault_header(&self, name: &str) -> Option<&str> {
        let mut named = self.vault_headers.iter().filter(|(it, _)| it == name);
        named.next().map(|(_, value)| value.as_str())
    }
}

#[cfg(any(test, feature = "testing"))]
impl From<BTreeMap<String, Vec<String>>> for RequestHeaders {
    /// Builds the headers as `http` does.
    fn from(headers: BTreeMap<String, Vec<String>>) -> Self {
        let of_the_api = headers.iter().filter(|(name, _)| name.starts_with("x-vault-"));
        let of_the_api = of_the_api.map(|(name, values)| (name.clone(), values.concat())).collect();
        Self { vault_headers: of_the_api, passthrough: Some(Box::new(headers)) }
    }
}

/// The response to a request, which `http` turns into an HTTP response.
#[derive(Debug)]
pub enum CoreResponse {
    /// Success without a body: HTTP 204.
    Nothing,
    /// The standard response envelope, as JSON.
    Envelope(Box<ResponseEnvelope>),
    /// A complete document that does not use the envelope, such as that of `sys/health`.
    WithoutEnvelope {
        /// The HTTP status; for `sys/health` it carries the server's state.
        status: u16,
        /// The document's bytes.
        body: Vec<u8>,
        /// The value of the `Content-Type` header.
        content_type: &'static str,
    },
    /// An HTTP response that an engine composed itself: status, content type and body.
    Raw(RawResponse),
    /// An engine sends the client to another URL: HTTP 307 without a body.
    Redirect(RedirectTarget),
}

/// The standard envelope of a response, in which nearly all paths return their data.
#[derive(Debug, Default)]
pub struct ResponseEnvelope {
    /// The id of the request, as it appears in the log; empty in a wrapped response.
    pub request_id: String,
    /// The id of the lease; empty if the response has none.
    pub lease_id: String,
    /// Whether the lease can be renewed; false without a lease.
    pub renewable: bool,
    /// The lifetime of the lease. Without a lease, the interval after which an engine suggests
    /// reading again, or zero.
    pub lease_duration: Ttl,
    /// The data that the engine or endpoint returned.
    pub data: Option<RawObject>,
    /// Messages for the user; `null` in JSON if empty.
    pub warnings: Vec<String>,
    /// The `auth` object of a token that was created or renewed.
    pub auth: Option<RawObject>,
    /// The type of the mount that produced the response.
    pub mount_type: String,
    /// Whether `http` repeats the keys of `data` at the top level, as old clients expect on some
    /// paths.
    pub mirrors_data_at_top_level: bool,
    /// Whether the HTTP status is 202: the operation has begun and continues.
    pub accepted: bool,
    /// Whether the HTTP status is 404: nothing is at the path, but the response has `data` or
    /// `warnings`.
    pub not_found: bool,
    /// The engine's response headers that the mount permits.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The wrapping token, if the response was wrapped. Then `data`, `auth` and the lease fields
    /// are not set.
    pub wrap_info: Option<Box<WrapInfo>>,
    /// The lease or token issued with this response. Code that withholds the response must revoke
    /// it.
    pub issued: Option<IssuedSecret>,
}

/// A lease or token that was issued together with a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedSecret {
    /// A credential, by the id of its lease.
    Lease(LeaseId),
    /// A token, by its key in the token store.
    Token(TokenKey),
}

/// The wrapping token that replaces a wrapped response.
pub struct WrapInfo {
    /// The id of the wrapping token, which can be used once.
    pub token: Secret<String>,
    /// The accessor of the wrapping token, with which it can be looked up or revoked without its
    /// id.
    pub accessor: Accessor,
    /// The lifetime of the wrapping token, after which the response can no longer be unwrapped.
    pub ttl: Ttl,
    /// The time at which the response was wrapped.
    pub creation_time: Timestamp,
    /// The path of the request whose response is wrapped.
    pub creation_path: String,
    /// The accessor of the token in the wrapped response, if it contains one.
    pub wrapped_accessor: Option<String>,
}

impl std::fmt::Debug for WrapInfo {
    /// Formats the value without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrapInfo")
            .field("ttl", &self.ttl)
            .field("creation_path", &self.creation_path)
            .finish_non_exhaustive()
    }
}

impl CoreResponse {
    /// A JSON response that does not use the standard envelope.
    pub fn json(status: u16, document: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(document).unwrap_or_default();
        Self::WithoutEnvelope { status, body, content_type: "application/json" }
    }

    /// The same response with its issued lease or token recorded; unchanged if it is not an
    /// envelope.
    #[must_use]
    pub fn with_issued_secret(self, issued: IssuedSecret) -> Self {
        match self {
            Self::Envelope(envelope) => {
                Self::Envelope(Box::new(ResponseEnvelope { issued: Some(issued), ..*envelope }))
            }
            other => other,
        }
    }

    /// The lease or token that was issued with the response, if any.
    pub(crate) fn issued_secret(&self) -> Option<&IssuedSecret> {
        match self {
            Self::Envelope(envelope) => envelope.issued.as_ref(),
            _ => None,
        }
    }

    /// The accessor of the token in the response's `auth`, if there is one.
    pub(crate) fn auth_accessor(&self) -> Option<String> {
        match self {
            Self::Envelope(envelope) => envelope.auth.as_ref()?.fields().text("accessor"),
            _ => None,
        }
    }
}
