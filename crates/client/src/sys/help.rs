//! The help texts that the server has for its paths.

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::error::Error;

/// The server's help on a path, as text and as an OpenAPI document.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PathHelpResponse {
    /// The help text, to be shown to a user.
    pub help: String,
    /// The endpoints as an OpenAPI document, in raw JSON.
    pub openapi: Option<Box<RawValue>>,
}

impl Client {
    /// Reads the server's help on a path (`?help=1`).
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn path_help(&self, path: &str) -> Result<PathHelpResponse, Error> {
        let query = [("help".to_owned(), "1".to_owned())];
        let reply = self.without_wrapping().send(Method::GET, path, &query, None).await?;
        serde_json::from_slice(&reply.body).map_err(|_| Error::InvalidResponse("it isn't help"))
    }
}
