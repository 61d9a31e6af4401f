//! Getting a token from an auth method.
//!
//! <https://developer.hashicorp.com/vault/docs/auth>

use reqwest::Method;
use strongroom_types::Fields;

use crate::answer::SecretAnswer;
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Logs in at a path below `auth/`, such as `userpass/login/bob`. The answer has a token, or
    /// says what is still needed before there is one.
    pub async fn login(&self, path: &str, fields: &Fields) -> Result<SecretAnswer, Error> {
        let body = fields.to_object().into_bytes();
        let path = format!("auth/{path}");
        let reply = self.with_token(None)?.send(Method::PUT, &path, &[], Some(body)).await?;
        SecretAnswer::parse(&reply.body)?.ok_or(Error::Answer("it is empty"))
    }
}
