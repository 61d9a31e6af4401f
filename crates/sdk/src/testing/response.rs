//! What the client of an engine gets.

use std::fmt;

use strongroom_types::{ErrorKind, Fields, Ttl};

use super::TestLease;
use crate::engine::{DataResponse, EngineError, RawResponse};

/// An answer, as the client sees it.
#[derive(Debug, Default)]
pub struct TestResponse {
    /// The `data` of the answer; no fields when there is nothing to say.
    pub data: Fields,
    /// Warnings.
    pub warnings: Vec<String>,
    /// After how long to look again, if the engine says so.
    pub refresh: Option<Ttl>,
    /// The lease of a credential.
    pub lease: Option<TestLease>,
    /// An answer outside the usual envelope.
    pub raw: Option<RawResponse>,
}

impl TestResponse {
    /// A field that is text.
    ///
    /// # Panics
    /// When it isn't.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        match self.data.text(name) {
            Some(text) => text,
            None => panic!("no text {name:?} among {:?}", self.data),
        }
    }

    /// A field as JSON; empty if it isn't there.
    pub fn field_json(&self, name: &str) -> &str {
        self.data.get(name).map_or("", |raw| raw.get())
    }

    /// The lease that must be there.
    ///
    /// # Panics
    /// When it isn't.
    #[track_caller]
    pub fn lease(&self) -> &TestLease {
        match &self.lease {
            Some(lease) => lease,
            None => panic!("no lease, only {:?}", self.data),
        }
    }

    /// The whole of `data` as JSON.
    pub fn data_json(&self) -> String {
        String::from_utf8_lossy(self.data.to_object().as_bytes()).into_owned()
    }
}

/// A request that was not done. Prints as its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestError {
    /// The sort of failure, from which the HTTP status follows.
    pub kind: ErrorKind,
    /// The status, where the engine chose one itself.
    pub status: Option<u16>,
    /// What the client is told, or for an internal error the log.
    pub message: String,
    /// What is known of the thing that isn't there, as JSON; empty if nothing is.
    pub data: String,
    /// Warnings with it.
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
    /// "Not found", and what is known.
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
