//! What can go wrong between a client and a server.

use std::fmt;

use crate::response::SecretResponse;
use crate::unreachable::UnreachableReason;

/// Why a call didn't give what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The server could not be reached, or went away before it had answered.
    #[error("{call}: {reason}")]
    Unreachable {
        /// The call: its method and URL.
        call: String,
        /// What happened.
        reason: UnreachableReason,
    },
    /// The client can't be made, or the call can't be sent, as configured.
    #[error("{0}")]
    Config(String),
    /// The server sends on from TLS to an address without. That is never followed.
    #[error("the server redirects from https:// to http://, which is not followed")]
    TlsDowngrade,
    /// The server sends on to another one. What a call carries, the token first of all, is for the
    /// server that was named, so nobody else gets it.
    #[error(
        "the server redirects to {0}, where the token is not sent unasked: use that address instead"
    )]
    RedirectToOtherServer(String),
    /// The answer is longer than the client takes.
    #[error("the server's answer is longer than {0} bytes")]
    ResponseTooLarge(usize),
    /// Nothing was sent: the client only rehearses ([`crate::Client::with_dry_run`]).
    #[error("the call was not sent")]
    NotSent,
    /// The answer isn't what the API says it is. No part of it is repeated.
    #[error("the server's answer can't be understood: {0}")]
    InvalidResponse(&'static str),
}

impl Error {
    /// The HTTP status, if the server answered with an error.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            _ => None,
        }
    }

    /// What the server answered beside the error, if anything.
    pub fn response(&self) -> Option<&SecretResponse> {
        match self {
            Self::Api(error) => error.response.as_ref(),
            _ => None,
        }
    }
}

/// What a server refused. Prints exactly as Vault's own tools do, since scripts read it.
pub struct ApiError {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// Whether the request carried a token.
    pub token_sent: bool,
    /// The namespace that the server names.
    pub namespace: Option<String>,
    /// What it says.
    pub errors: Vec<String>,
    /// The body, if it isn't the API's kind of error: something between client and server sent it.
    pub raw: Option<String>,
    /// An envelope in the same body, if it has data or warnings.
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
