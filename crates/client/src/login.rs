//! Getting a token from an auth method.
//!
//! <https://developer.hashicorp.com/vault/docs/auth>

use reqwest::Method;
use strongroom_types::Fields;

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

impl Client {
    /// Logs in at a path below `auth/`, such as `userpass/login/bob`. The answer has a token, or
    /// says what is still needed before there is one.
    pub async fn login(&self, path: &str, fields: &Fields) -> Result<SecretResponse, Error> {
        let body = fields.to_object().into_bytes();
        let path = format!("auth/{path}");
        let reply = self.with_token(None)?.send(Method::PUT, &path, &[], Some(body)).await?;
        SecretResponse::parse(&reply.body)?.ok_or(Error::InvalidResponse("it is empty"))
    }
}
