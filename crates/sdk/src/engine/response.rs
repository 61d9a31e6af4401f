//! [`EngineResponse`]: what an engine answers.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_types::{RawObject, Ttl};

use super::auth::EngineAuth;

/// What an engine answers when nothing went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EngineResponse {
    /// Nothing: "not found" to a read or list, plain success to everything else.
    Nothing,
    /// Data.
    Data(DataResponse),
    /// What was asked for isn't there, and this is known of it all the same: "not found", with data
    /// or warnings.
    NotFound(DataResponse),
    /// A credential, for which the core keeps a lease from now on.
    Leased(LeasedResponse),
    /// A login, for which the core makes a token. Only auth methods answer it.
    Auth(Box<EngineAuth>),
    /// A complete HTTP answer, outside the usual envelope.
    Raw(RawResponse),
}

/// Data for the client.
#[derive(Clone, Debug)]
pub struct DataResponse {
    /// The `data` object of the answer.
    pub object: RawObject,
    /// Warnings for the client. One on a write turns "no content" into an answer.
    pub warnings: Vec<String>,
    /// How often a reader should look again; shown as the lease duration of a secret without a
    /// lease.
    pub refresh: Option<Ttl>,
    /// Answer headers, sent on if the mount allows them.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl DataResponse {
    /// Data without anything beside it.
    pub fn new(object: RawObject) -> Self {
        Self { object, warnings: Vec::new(), refresh: None, headers: BTreeMap::new() }
    }
}

impl From<RawObject> for EngineResponse {
    fn from(object: RawObject) -> Self {
        Self::Data(DataResponse::new(object))
    }
}

/// A credential and what is needed to renew and revoke it.
#[derive(Clone, Debug)]
pub struct LeasedResponse {
    /// What the client gets.
    pub data: DataResponse,
    /// What the core keeps and gives back on renewal and revocation.
    pub internal: RawObject,
    /// The lifetime; zero for the mount's default.
    pub ttl: Ttl,
    /// The longest lifetime; zero for the mount's.
    pub max_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The intent in the mount's storage that the lease replaces; see [`crate::intent`].
    pub intent: Option<String>,
    /// Whether the client's data must be kept with the lease. Engines that come over the wire from
    /// other SDKs need it; ours keep a receipt instead of the secret.
    pub keep_data: bool,
}

/// A complete HTTP answer.
#[derive(Clone, PartialEq, Eq)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// The content type; may be empty with status 204.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// `Cache-Control`, `Pragma` and `WWW-Authenticate`, and no other.
    pub headers: BTreeMap<String, String>,
}

impl fmt::Debug for RawResponse {
    /// Of the body its size only: it may be a secret.
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
        };
        let printed =
            format!("{:?} {:?}", EngineResponse::Raw(raw), EngineResponse::Leased(leased));
        let bytes = format!("{:?}", b"hunter2");
        assert!(!printed.contains("hunter2") && !printed.contains(&bytes), "{printed}");
    }
}
