//! What the server says about its paths.

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::error::Error;

/// What the server says about a path.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PathHelpResponse {
    /// For people.
    pub help: String,
    /// For machines: an OpenAPI document.
    pub openapi: Option<Box<RawValue>>,
}

impl Client {
    /// What the server says about a path.
    pub async fn path_help(&self, path: &str) -> Result<PathHelpResponse, Error> {
        let query = [("help".to_owned(), "1".to_owned())];
        let reply = self.without_wrapping().send(Method::GET, path, &query, None).await?;
        serde_json::from_slice(&reply.body).map_err(|_| Error::InvalidResponse("it isn't help"))
    }
}
