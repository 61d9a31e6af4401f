//! Logging in with an auth method.
//!
//! <https://developer.hashicorp.com/vault/docs/auth>

use reqwest::Method;
use strongroom_types::Fields;

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

impl Client {
    /// Logs in at a path below `auth/`, such as `userpass/login/bob`, without sending the client's
    /// own token. The response has a token in `auth`, or in `auth.mfa_requirement` the second
    /// factors that are required first.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; an empty response is an [`Error::InvalidResponse`].
    pub async fn login(&self, path: &str, fields: &Fields) -> Result<SecretResponse, Error> {
        let body = fields.to_object().into_bytes();
        let path = format!("auth/{path}");
        let reply = self.with_token(None)?.send(Method::PUT, &path, &[], Some(body)).await?;
        SecretResponse::parse(&reply.body)?.ok_or(Error::InvalidResponse("it is empty"))
    }
}
