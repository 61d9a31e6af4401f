//! [`Error`]: why a request failed, on the way to the server or there.

use std::fmt;

use crate::response::SecretResponse;
use crate::unreachable::UnreachableReason;

/// Why a request failed: the server refused it, couldn't be reached, or sent an unusable response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error status.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The server could not be reached, or the connection ended before the response was complete.
    #[error("{call}: {reason}")]
    Unreachable {
        /// The method and URL of the request.
        call: String,
        /// Why there was no response.
        reason: UnreachableReason,
    },
    /// The configuration is unusable, or the request can't be expressed with it; the text has the
    /// reason.
    #[error("{0}")]
    Config(String),
    /// The server redirected from `https` to `http`. Such a redirect is never followed.
    #[error("the server redirects from https:// to http://, which is not followed")]
    TlsDowngrade,
    /// The server redirected to another server. It is not followed, because the request carries a
    /// token that is meant for the configured server only.
    #[error(
        "the server redirects to {0}, where the token is not sent unasked: use that address instead"
    )]
    RedirectToOtherServer(String),
    /// The response body is longer than [`ClientConfig::max_response_bytes`], the limit given here.
    ///
    /// [`ClientConfig::max_response_bytes`]: crate::ClientConfig::max_response_bytes
    #[error("the server's answer is longer than {0} bytes")]
    ResponseTooLarge(usize),
    /// Nothing was sent: the client does a dry run ([`crate::Client::with_dry_run`]).
    #[error("the call was not sent")]
    NotSent,
    /// The response is not what the API specifies. The text never quotes it.
    #[error("the server's answer can't be understood: {0}")]
    InvalidResponse(&'static str),
}

impl Error {
    /// The HTTP status, if the server answered with an error status. `None` if the request failed
    /// without a response, or the response was invalid.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            _ => None,
        }
    }

    /// The id of the request, if the server sent it with an error status. Operators find the request
    /// in the server's log by it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api(error) => error.request_id.as_deref(),
            _ => None,
        }
    }

    /// The data and warnings that came with an error status, if any.
    pub fn response(&self) -> Option<&SecretResponse> {
        match self {
            Self::Api(error) => error.response.as_ref(),
            _ => None,
        }
    }
}

/// An error response of the server. Displayed exactly as Vault's own tools do, since scripts
/// parse that text.
pub struct ApiError {
    /// The HTTP method of the request.
    pub method: String,
    /// The whole URL of the request.
    pub url: String,
    /// The HTTP status of the response.
    pub status: u16,
    /// Whether the request carried a token.
    pub token_sent: bool,
    /// The namespace that the server names in its response, if any.
    pub namespace: Option<String>,
    /// The messages of the response's `errors` list.
    pub errors: Vec<String>,
    /// The id of the request, by which operators find it in the server's log. Strongroom sends it
    /// with errors of the server (5xx).
    pub request_id: Option<String>,
    /// The body, if it isn't an API error: it may come from a proxy in between.
    pub raw: Option<String>,
    /// The response envelope in the same body, if it has data or warnings.
    pub response: Option<SecretResponse>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Error making API request.\n\n")?;
        if let Some(namespace) = self.namespace.as_deref().filter(|name| *name != "root/") {
            writeln!(f, "Namespace: {namespace}")?;
        }
        let what = if self.raw.is_some() { "Raw Message" } else { "Errors" };
        write!(f, "URL: {} {}\nCode: {}. {what}:\n\n", self.method, self.url, self.status)?;
        match &self.raw {
            Some(raw) => f.write_str(raw),
            None => self.errors.iter().try_for_each(|error| write!(f, "* {error}")),
        }
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiError({} {}: {} {:?})", self.method, self.url, self.status, self.errors)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden_error() -> ApiError {
        ApiError {
            method: "GET".to_owned(),
            url: "http://127.0.0.1:8200/v1/kv/a".to_owned(),
            status: 403,
            token_sent: true,
            namespace: None,
            errors: vec!["permission denied".to_owned()],
            request_id: None,
            raw: None,
            response: None,
        }
    }

    #[test]
    fn prints_as_vault_does() {
        assert_eq!(
            forbidden_error().to_string(),
            "Error making API request.\n\nURL: GET http://127.0.0.1:8200/v1/kv/a\nCode: 403. \
             Errors:\n\n* permission denied"
        );
        let with_namespace = ApiError { namespace: Some("a/b/".to_owned()), ..forbidden_error() };
        assert!(with_namespace.to_string().contains("request.\n\nNamespace: a/b/\nURL: GET"));
        let raw = ApiError { raw: Some("<html>".to_owned()), status: 502, ..forbidden_error() };
        assert!(raw.to_string().ends_with("Code: 502. Raw Message:\n\n<html>"));
    }
}
