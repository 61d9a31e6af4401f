//! One request and its response. Nomad is trusted as little as possible: responses are bounded, and
//! error messages contain none of its text, since that may quote a token.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use strongroom_sdk::{Error, Secret};

/// The name of Nomad in errors.
pub(crate) const SYSTEM: &str = "nomad";
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes of an error response are read.
const MAX_REFUSAL_BYTES: usize = 4 << 10;
/// The initial size of a response buffer: a buffer that grows would leave copies of a token behind.
const INITIAL_CAPACITY: usize = 16 << 10;

/// A request, with its name for errors.
pub(crate) struct NomadRequest {
    request: RequestBuilder,
    name: &'static str,
}

/// A response whose body has not been read yet.
pub(crate) struct NomadResponse {
    response: Response,
    name: &'static str,
}

impl NomadRequest {
    pub(crate) fn new(request: RequestBuilder, name: &'static str) -> Self {
        Self { request: request.timeout(REQUEST_TIMEOUT), name }
    }

    pub(crate) fn with_json(self, body: &impl Serialize) -> Self {
        Self { request: self.request.json(body), ..self }
    }

    pub(crate) async fn send(self) -> Result<NomadResponse, Error> {
        let name = self.name;
        let response = self.request.send().await.map_err(|error| {
            // The error's own text shows the address, which the caller may not be allowed to know.
            let reason = match () {
                () if error.is_timeout() => "timed out",
                () if error.is_connect() => "could not connect",
                () => "the connection failed",
            };
            Error::unanswered(SYSTEM, name, reason)
        })?;
        Ok(NomadResponse { response, name })
    }
}

impl NomadResponse {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    /// The error for a response that can't be understood.
    pub(crate) fn unreadable_error(&self) -> Error {
        unreadable_response(self.name)
    }

    /// Reads the body as JSON, of at most `limit` bytes. The decoder's error text is dropped,
    /// because it may quote a token.
    pub(crate) async fn read_json<T: for<'de> Deserialize<'de>>(
        self,
        limit: usize,
    ) -> Result<T, Error> {
        let name = self.name;
        let body = self.read_body(limit).await?;
        serde_json::from_slice(body.expose_secret()).map_err(|_| unreadable_response(name))
    }

    /// The text of an error response; empty if it can't be read.
    pub(crate) async fn refusal_text(self) -> String {
        let body = self.read_body(MAX_REFUSAL_BYTES).await;
        body.map_or_else(
            |_| String::new(),
            |body| String::from_utf8_lossy(body.expose_secret()).into_owned(),
        )
    }

    async fn read_body(mut self, limit: usize) -> Result<Secret<Vec<u8>>, Error> {
        let broken = |_| Error::unanswered(SYSTEM, self.name, "the answer broke off");
        // Wiped when dropped.
        let mut body = Secret::new(Vec::with_capacity(limit.min(INITIAL_CAPACITY)));
        while let Some(chunk) = self.response.chunk().await.map_err(broken)? {
            let body = body.expose_secret_mut();
            if body.len() + chunk.len() > limit {
                return Err(Error::unanswered(SYSTEM, self.name, "the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn unreadable_response(name: &'static str) -> Error {
    Error::unanswered(SYSTEM, name, "the answer can't be read")
}
