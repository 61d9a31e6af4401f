//! [`CoreRequest`] and [`CoreResponse`]: what `http` hands in, and gets back.

use std::collections::BTreeMap;

use strongroom_sdk::engine::{ConnectionInfo, RawResponse};
use strongroom_token::TokenKey;
use strongroom_types::{Accessor, Fields, LeaseId, RawObject, Secret, Timestamp, Ttl};

/// What is asked of a path. Whether a write creates or updates is found out later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET.
    Read,
    /// LIST, or GET with `list=true`.
    List,
    /// POST and PUT.
    Write,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// HELP, or GET with `help=1`.
    Help,
}

/// A request as it came off the wire: decoded, not yet judged.
pub struct CoreRequest {
    /// What is asked.
    pub verb: Verb,
    /// The path below `/v1/`, percent-decoded.
    pub path: String,
    /// The fields of the body, or of the query.
    pub fields: Fields,
    /// The token, if one was sent.
    pub token: Option<Secret<String>>,
    /// The headers, without the token's.
    pub headers: RequestHeaders,
    /// The client's end of the connection; none on a Unix socket.
    pub connection: Option<ConnectionInfo>,
}

/// The headers of a request, with names in lower case. Never has that of the token.
#[derive(Default)]
pub struct RequestHeaders {
    /// Those of the API, `x-vault-…`: each means something to the core, or is refused by it.
    pub vault_headers: Vec<(String, String)>,
    /// All, for the few mounts that let some of them through.
    pub passthrough: Option<Box<dyn HeaderSource>>,
}

/// Headers that are read only for a mount that lets them through.
pub trait HeaderSource: Send + Sync {
    /// The values under a name in lower case; none if it isn't there or isn't text.
    fn values(&self, name: &str) -> Vec<String>;
}

#[cfg(test)]
impl HeaderSource for BTreeMap<String, Vec<String>> {
    fn values(&self, name: &str) -> Vec<String> {
        self.get(name).cloned().unwrap_or_default()
    }
}

impl RequestHeaders {
    /// A header of the API.
    pub(crate) fn vault_header(&self, name: &str) -> Option<&str> {
        let mut named = self.vault_headers.iter().filter(|(it, _)| it == name);
        named.next().map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
impl From<BTreeMap<String, Vec<String>>> for RequestHeaders {
    /// As `http` hands them in.
    fn from(headers: BTreeMap<String, Vec<String>>) -> Self {
        let of_the_api = headers.iter().filter(|(name, _)| name.starts_with("x-vault-"));
        let of_the_api = of_the_api.map(|(name, values)| (name.clone(), values.concat())).collect();
        Self { vault_headers: of_the_api, passthrough: Some(Box::new(headers)) }
    }
}

/// How a request was answered.
#[derive(Debug)]
pub enum CoreResponse {
    /// Done, with nothing to say.
    Nothing,
    /// The usual envelope.
    Envelope(Box<ResponseEnvelope>),
    /// A JSON document of its own form, with its status.
    WithoutEnvelope {
        /// The HTTP status; part of what these answers say.
        status: u16,
        /// The document.
        body: Vec<u8>,
        /// Its content type.
        content_type: &'static str,
    },
    /// An engine's complete HTTP answer.
    Raw(RawResponse),
}

/// The envelope of nearly every answer.
#[derive(Debug, Default)]
pub struct ResponseEnvelope {
    /// The request's id.
    pub request_id: String,
    /// The lease's id; empty for none.
    pub lease_id: String,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// The lease's lifetime, or how often to read again.
    pub lease_duration: Ttl,
    /// The engine's answer.
    pub data: Option<RawObject>,
    /// For people.
    pub warnings: Vec<String>,
    /// A token that was created or renewed.
    pub auth: Option<RawObject>,
    /// The type of the mount that answered.
    pub mount_type: String,
    /// Whether the keys of `data` are shown at the top as well, as old clients expect of some paths.
    pub mirrors_data_at_top_level: bool,
    /// Answered 202: begun, and going on.
    pub accepted: bool,
    /// Answered 404: it isn't there, and this is known of it.
    pub not_found: bool,
    /// Answer headers the mount allows.
    pub headers: BTreeMap<String, Vec<String>>,
    /// How to get at the answer this one stands for. Nothing else is set then.
    pub wrap_info: Option<Box<WrapInfo>>,
    /// What was issued with this answer. Whoever withholds the answer revokes it.
    pub issued: Option<IssuedSecret>,
}

/// Something that was issued with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedSecret {
    /// A credential, with its lease.
    Lease(LeaseId),
    /// A token, by its name in storage.
    Token(TokenKey),
}

/// A wrapping token, in the place of the answer it wraps.
pub struct WrapInfo {
    /// The token.
    pub token: Secret<String>,
    /// Its accessor.
    pub accessor: Accessor,
    /// Its lifetime.
    pub ttl: Ttl,
    /// When the answer was wrapped.
    pub creation_time: Timestamp,
    /// The path of the request whose answer it wraps.
    pub creation_path: String,
    /// The accessor of the token in the wrapped answer, if there is one.
    pub wrapped_accessor: Option<String>,
}

impl std::fmt::Debug for WrapInfo {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrapInfo")
            .field("ttl", &self.ttl)
            .field("creation_path", &self.creation_path)
            .finish_non_exhaustive()
    }
}

impl CoreResponse {
    /// A JSON document of its own form.
    pub fn json(status: u16, document: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(document).unwrap_or_default();
        Self::WithoutEnvelope { status, body, content_type: "application/json" }
    }

    /// The same answer, with what was issued for it.
    #[must_use]
    pub(crate) fn with_issued_secret(self, issued: IssuedSecret) -> Self {
        match self {
            Self::Envelope(envelope) => {
                Self::Envelope(Box::new(ResponseEnvelope { issued: Some(issued), ..*envelope }))
            }
            other => other,
        }
    }

    /// What was issued with it.
    pub(crate) fn issued_secret(&self) -> Option<&IssuedSecret> {
        match self {
            Self::Envelope(envelope) => envelope.issued.as_ref(),
            _ => None,
        }
    }

    /// The accessor of the token in it, if there is one.
    pub(crate) fn auth_accessor(&self) -> Option<String> {
        match self {
            Self::Envelope(envelope) => envelope.auth.as_ref()?.fields().text("accessor"),
            _ => None,
        }
    }
}
