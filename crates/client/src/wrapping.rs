//! Unwrapping wrapped responses.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/wrapping-unwrap>

use reqwest::Method;
use serde::Serialize;
use strongroom_types::Secret;

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

impl Client {
    /// Unwraps a wrapped response, which works once. With `None`, the client's own token is the
    /// wrapping token; a client without a token authenticates with the wrapping token itself.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; the server refuses a wrapping token that was used or has expired.
    pub async fn unwrap_response(
        &self,
        token: Option<&Secret<String>>,
    ) -> Result<Option<SecretResponse>, Error> {
        #[derive(Serialize)]
        struct UnwrapBody<'a> {
            token: &'a str,
        }
        const PATH: &str = "sys/wrapping/unwrap";
        let client = self.without_wrapping();
        let reply = match token {
            Some(token) if !self.has_token(None) => {
                client.with_token(Some(token))?.send(Method::PUT, PATH, &[], None).await?
            }
            Some(token) if !self.has_token(Some(token)) => {
                let body = UnwrapBody { token: token.expose_secret() };
                client.send(Method::PUT, PATH, &[], Some(to_json(&body)?)).await?
            }
            _ => client.send(Method::PUT, PATH, &[], None).await?,
        };
        SecretResponse::parse(&reply.body)
    }
}
