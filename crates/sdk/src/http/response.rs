//! [`HttpResponse`]: a response that was read in full.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use strongroom_types::printable;

use super::error::{CallFailure, HttpError};
use super::exchange::HandledResponse;

/// A response of an outside system, whose status is 2xx or handled by the caller. Its body is wiped
/// when it is dropped, and `Debug` shows neither body nor headers.
pub struct HttpResponse(HandledResponse);

impl HttpResponse {
    pub(super) fn new(handled: HandledResponse) -> Self {
        Self(handled)
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.0.received.status
    }

    /// The value of a header; `None` if it is missing or has other characters than ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.received.headers.get(name)?.to_str().ok()
    }

    /// Reads the body as JSON. Give secrets in it the type
    /// [`Secret<String>`](strongroom_types::Secret), and ids that are to be in a path later a check
    /// such as [`plain_identifier`](super::plain_identifier).
    ///
    /// ```no_run
    /// use serde::Deserialize;
    /// use strongroom_sdk::http::{HttpResponse, plain_identifier};
    /// use strongroom_sdk::{Error, Identifier, Secret};
    ///
    /// #[derive(Deserialize)]
    /// struct CreatedToken {
    ///     #[serde(deserialize_with = "plain_identifier")]
    ///     id: Identifier,
    ///     token: Secret<String>,
    /// }
    ///
    /// fn read_token(response: &HttpResponse) -> Result<CreatedToken, Error> {
    ///     Ok(response.read_json()?)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`HttpResponse::unreadable`] if the body is not JSON of this type, so a credential whose
    /// creation got such a response is undone. The decoder's text, which may quote the body, is
    /// dropped. [`HttpResponse::unexpected_status`] if the status is not 2xx.
    pub fn read_json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        if !(200..300).contains(&self.status()) {
            return Err(self.unexpected_status());
        }
        serde_json::from_slice(self.body()).map_err(|_| self.unreadable())
    }

    /// Reads one field of the JSON object in the body, for systems that wrap what they send, such as
    /// `{"tokens": […]}`.
    ///
    /// # Errors
    ///
    /// As of [`HttpResponse::read_json`]; a missing field is unreadable too.
    pub fn read_json_field<T: DeserializeOwned>(&self, name: &str) -> Result<T, HttpError> {
        if !(200..300).contains(&self.status()) {
            return Err(self.unexpected_status());
        }
        // The values stay in the body, so no copy of a secret is left behind.
        let fields: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_slice(self.body()).map_err(|_| self.unreadable())?;
        let value = fields.get(name).ok_or_else(|| self.unreadable())?;
        serde_json::from_str(value.get()).map_err(|_| self.unreadable())
    }

    /// The body as it was sent. It may contain secrets: don't put it into errors or logs. Of a
    /// response with another status than 2xx there are at most 16 KiB.
    pub fn body(&self) -> &[u8] {
        self.0.received.body.expose_secret()
    }

    /// Whether the body contains a text, for outside systems that distinguish their errors by text
    /// only.
    pub fn contains_text(&self, text: &str) -> bool {
        String::from_utf8_lossy(self.body()).contains(text)
    }

    /// The body for a message to people: one line of at most `max_bytes` bytes, without unprintable
    /// characters and without the secret headers of the request. Use it only for an outside system
    /// whose error texts are known to contain no other secrets.
    pub fn quotable_text(&self, max_bytes: usize) -> String {
        let mut text = String::from_utf8_lossy(self.body());
        for secret in self.0.request_secrets.iter().filter_map(|value| value.to_str().ok()) {
            // Without the scheme, such as `Bearer`.
            let secret = secret.rsplit(' ').next().unwrap_or_default();
            if !secret.is_empty() && text.contains(secret) {
                text = Cow::Owned(text.replace(secret, "[secret]"));
            }
        }
        printable(&text, max_bytes).into_owned()
    }

    /// The error for a response whose content makes no sense. The call may have taken effect.
    pub fn unreadable(&self) -> HttpError {
        let reason = "the answer can't be read";
        self.error_for(CallFailure::NoAnswer { reason, broken: false })
    }

    /// The error for a status that the caller handles, and that turns out to be a failure.
    pub fn unexpected_status(&self) -> HttpError {
        self.error_for(CallFailure::Status(self.status()))
    }

    fn error_for(&self, failure: CallFailure) -> HttpError {
        HttpError::new(self.0.call.clone(), failure, false)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status())
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}
