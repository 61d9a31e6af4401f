//! [`TestResponse`] and [`TestError`]: what the client of an engine receives.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_engine::{DataResponse, EngineAuth, EngineError, RawResponse, RedirectTarget};
use strongroom_types::{ErrorKind, Fields, RawObject, Ttl};

use super::TestLease;

/// A successful response, as the client receives it.
#[derive(Debug, Default)]
pub struct TestResponse {
    /// The `data` of the response; without fields if there is none.
    pub data: Fields,
    /// The warnings that the response carries.
    pub warnings: Vec<String>,
    /// The headers of the response, by name; a server passes on those that the mount allows.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The interval after which to read again, if the engine sets one.
    pub refresh: Option<Ttl>,
    /// The lease, if the response is a credential.
    pub lease: Option<TestLease>,
    /// A complete HTTP response, if the engine returned one.
    pub raw: Option<RawResponse>,
    /// The lifetime of the wrapping token, if the engine asked the server to wrap the response. The test
    /// host shows the response itself.
    pub wrap_ttl: Option<Ttl>,
    /// Where the client is sent instead, if the engine redirects it.
    pub redirect: Option<RedirectTarget>,
    /// The token's terms and the identity, if the response is a login.
    pub login: Option<Box<EngineAuth>>,
}

impl TestResponse {
    /// The value of a string field of `data`.
    ///
    /// # Panics
    ///
    /// If the field is missing or not a string.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        match self.data.text(name) {
            Some(text) => text,
            None => panic!("no text {name:?} among {:?}", self.data),
        }
    }

    /// A field of `data` as JSON; empty if it is missing.
    pub fn field_json(&self, name: &str) -> &str {
        self.data.get(name).map_or("", |raw| raw.get())
    }

    /// The lease of the response.
    ///
    /// # Panics
    ///
    /// If the response has no lease.
    #[track_caller]
    pub fn lease(&self) -> &TestLease {
        match &self.lease {
            Some(lease) => lease,
            None => panic!("no lease, only {:?}", self.data),
        }
    }

    pub(super) fn from_login(mut auth: EngineAuth) -> Self {
        let data = std::mem::replace(&mut auth.data, DataResponse::new(RawObject::null()));
        Self {
            data: data.object.fields(),
            warnings: data.warnings,
            wrap_ttl: data.wrap_ttl,
            headers: data.headers,
            login: Some(Box::new(auth)),
            ..Self::default()
        }
    }

    /// The login of the response, with which [`TestHost::renew_login`](super::TestHost) can be
    /// called.
    ///
    /// # Panics
    ///
    /// If the response is no login.
    #[track_caller]
    pub fn login(&self) -> &EngineAuth {
        match &self.login {
            Some(login) => login,
            None => panic!("no login, only {:?}", self.data),
        }
    }

    /// The whole `data` object as JSON.
    pub fn data_json(&self) -> String {
        String::from_utf8_lossy(self.data.to_object().as_bytes()).into_owned()
    }
}

/// A failed request. `Display` prints the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestError {
    /// The category of the error, which determines the HTTP status.
    pub kind: ErrorKind,
    /// The HTTP status, if the engine chose one itself.
    pub status: Option<u16>,
    /// The message that the client receives.
    pub message: String,
    /// With "not found", data about the missing object, as JSON; empty if there is none.
    pub data: String,
    /// The warnings that the error response carries.
    pub warnings: Vec<String>,
}

impl TestError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            message: message.into(),
            data: String::new(),
            warnings: Vec::new(),
        }
    }
}

impl TestError {
    /// A "not found" error with the data and warnings of the response.
    pub(super) fn not_found(data: &DataResponse) -> Self {
        Self {
            data: String::from_utf8_lossy(data.object.as_bytes()).into_owned(),
            warnings: data.warnings.clone(),
            ..Self::new(ErrorKind::NotFound, "")
        }
    }
}

impl From<EngineError> for TestError {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::Coded { status, .. } => Some(*status),
            _ => None,
        };
        Self { status, ..Self::new(error.kind(), error.to_string()) }
    }
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TestError {}
