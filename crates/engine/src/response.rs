//! [`EngineResponse`]: what an engine returns for a request it handled.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_types::{RawObject, Ttl};

use crate::auth::EngineAuth;
use crate::data_response::DataResponse;
use crate::redirect::RedirectTarget;

/// The successful result of [`Engine::handle`](super::Engine::handle).
///
/// Hosts and the plug-in wire handle every variant, so a new one doesn't compile until they do.
#[derive(Clone, Debug)]
pub enum EngineResponse {
    /// No content: "not found" (404) for a read or list, success (204) for everything else.
    Nothing,
    /// Data for the client, in the usual response envelope.
    Data(DataResponse),
    /// The object does not exist, but there is something to report about it, such as that it was
    /// deleted: 404 with data or warnings.
    NotFound(DataResponse),
    /// A credential. The core creates a lease for it.
    Leased(LeasedResponse),
    /// A successful login, for which the core creates a token. Only auth methods return it.
    Auth(Box<EngineAuth>),
    /// A complete HTTP response outside the usual envelope.
    Raw(RawResponse),
    /// The client is sent to another URL: 307 without a body.
    Redirect(RedirectTarget),
}

impl From<RawObject> for EngineResponse {
    fn from(object: RawObject) -> Self {
        Self::Data(DataResponse::new(object))
    }
}

/// A credential, and what is needed to renew and revoke it.
#[derive(Clone, Debug)]
pub struct LeasedResponse {
    /// The data that the client receives, secrets included.
    pub data: DataResponse,
    /// Data that the core stores with the lease and passes to the engine on renewal and revocation.
    pub internal: RawObject,
    /// The lease's lifetime; zero for the mount's default.
    pub ttl: Ttl,
    /// The maximum lifetime, which renewals can't exceed; zero for the mount's maximum.
    pub max_ttl: Ttl,
    /// Whether clients may renew the lease.
    pub renewable: bool,
    /// The id of the intent in the mount's storage that this lease replaces; see
    /// [`intent`](crate::intent).
    pub intent: Option<String>,
    /// Whether the client's data must be stored with the lease. Plug-ins built with other SDKs need
    /// it; engines of this SDK store a receipt without the secret instead.
    pub keep_data: bool,
    /// Whether the lease must be stored under the seal as well, because the internal data contains
    /// a secret.
    pub seal_wrap: bool,
}

/// A complete HTTP response, sent to the client as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct RawResponse {
    /// The HTTP status code of the response.
    pub status: u16,
    /// The `Content-Type`; may be empty with status 204.
    pub content_type: String,
    /// The bytes of the response body; may be empty.
    pub body: Vec<u8>,
    /// Response headers, by name in lower case. `Cache-Control`, `Pragma` and `WWW-Authenticate` are
    /// sent, and others that the mount allows (`allowed_response_headers`).
    pub headers: BTreeMap<String, String>,
}

impl fmt::Debug for RawResponse {
    /// Prints only the size of the body, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawResponse")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_what_may_be_a_secret() {
        let raw = RawResponse {
            status: 200,
            content_type: "text/plain".to_owned(),
            body: b"hunter2".to_vec(),
            headers: [("pragma".to_owned(), "hunter2".to_owned())].into(),
        };
        let object = RawObject::from_own_json(r#"{"key":"hunter2"}"#);
        let leased = LeasedResponse {
            data: DataResponse::new(object.clone()),
            internal: object,
            ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            renewable: false,
            intent: None,
            keep_data: true,
            seal_wrap: false,
        };
        let printed =
            format!("{:?} {:?}", EngineResponse::Raw(raw), EngineResponse::Leased(leased));
        let bytes = format!("{:?}", b"hunter2");
        assert!(!printed.contains("hunter2") && !printed.contains(&bytes), "{printed}");
    }
}
