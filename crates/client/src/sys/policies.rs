//! Policies, and what a token may do at a path.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/policies>

use reqwest::Method;
use serde::Serialize;
use strongroom_types::Secret;

use crate::answer::SecretAnswer;
use crate::client::{Client, Page, json};
use crate::error::Error;

impl Client {
    /// Names of all policies.
    pub async fn policies(&self) -> Result<Vec<String>, Error> {
        let answer = self.list("sys/policies/acl", &Page::default()).await?;
        let keys = answer.and_then(|answer| answer.keys());
        keys.ok_or(Error::Answer("it isn't a list of policies"))
    }

    /// A policy's text, if there is such a policy.
    pub async fn policy(&self, name: &str) -> Result<Option<String>, Error> {
        let answer = self.read(&format!("sys/policies/acl/{name}"), &[]).await?;
        let Some(answer) = answer else { return Ok(None) };
        answer.field("policy").map(Some).ok_or(Error::Answer("no policy found in response"))
    }

    /// Writes a policy. The answer has warnings, if any.
    pub async fn put_policy(&self, name: &str, text: &str) -> Result<Option<SecretAnswer>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            policy: &'a str,
        }
        let reply = self.put(&format!("sys/policies/acl/{name}"), &Body { policy: text }).await?;
        SecretAnswer::parse(&reply.body)
    }

    /// Deletes a policy; one that isn't there is no error.
    pub async fn delete_policy(&self, name: &str) -> Result<(), Error> {
        let path = format!("sys/policies/acl/{name}");
        self.send(Method::DELETE, &path, &[], None).await.map(drop)
    }

    /// What a token may do at a path; without a token, what the caller may.
    pub async fn capabilities(
        &self,
        token: Option<&Secret<String>>,
        path: &str,
    ) -> Result<Vec<String>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
            path: &'a str,
        }
        let at = if token.is_some() { "sys/capabilities" } else { "sys/capabilities-self" };
        let token = token.map(|token| token.expose_secret().as_str());
        let reply = self.send(Method::POST, at, &[], Some(json(&Body { token, path })?)).await?;
        let answer = SecretAnswer::parse(&reply.body)?;
        let answer = answer.ok_or(Error::Answer("data from server response is empty"))?;
        let found = answer.field(path).or_else(|| answer.field("capabilities"));
        Ok(found.unwrap_or_default())
    }
}
