//! Policies, and the capabilities of a token on a path.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/policies>

use reqwest::Method;
use serde::Serialize;
use strongroom_types::Secret;

use crate::client::{Client, ListPage, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

impl Client {
    /// Lists the names of all ACL policies. The names are in the server's order.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn list_policies(&self) -> Result<Vec<String>, Error> {
        let answer = self.list("sys/policies/acl", &ListPage::default()).await?;
        let keys = answer.and_then(|answer| answer.list_keys());
        keys.ok_or(Error::InvalidResponse("it isn't a list of policies"))
    }

    /// Reads the text of a policy; `None` if there is no such policy.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn read_policy(&self, name: &str) -> Result<Option<String>, Error> {
        let answer = self.read(&format!("sys/policies/acl/{name}"), &[]).await?;
        let Some(answer) = answer else { return Ok(None) };
        answer
            .data_field("policy")
            .map(Some)
            .ok_or(Error::InvalidResponse("no policy found in response"))
    }

    /// Creates or replaces a policy. The response is there if the server has warnings.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn put_policy(
        &self,
        name: &str,
        text: &str,
    ) -> Result<Option<SecretResponse>, Error> {
        #[derive(Serialize)]
        struct PutPolicyBody<'a> {
            policy: &'a str,
        }
        let reply = self
            .put_json(&format!("sys/policies/acl/{name}"), &PutPolicyBody { policy: text })
            .await?;
        SecretResponse::parse(&reply.body)
    }

    /// Deletes a policy. Does nothing if there is no such policy.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn delete_policy(&self, name: &str) -> Result<(), Error> {
        let path = format!("sys/policies/acl/{name}");
        self.send(Method::DELETE, &path, &[], None).await.map(drop)
    }

    /// The capabilities of a token on a path; with `None`, those of the client's own token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn capabilities(
        &self,
        token: Option<&Secret<String>>,
        path: &str,
    ) -> Result<Vec<String>, Error> {
        #[derive(Serialize)]
        struct CapabilitiesBody<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
            path: &'a str,
        }
        let at = if token.is_some() { "sys/capabilities" } else { "sys/capabilities-self" };
        let token = token.map(|token| token.expose_secret().as_str());
        let reply = self
            .send(Method::POST, at, &[], Some(to_json(&CapabilitiesBody { token, path })?))
            .await?;
        let answer = SecretResponse::parse(&reply.body)?;
        let answer = answer.ok_or(Error::InvalidResponse("data from server response is empty"))?;
        let found = answer.data_field(path).or_else(|| answer.data_field("capabilities"));
        Ok(found.unwrap_or_default())
    }
}
