//! Creating, looking up, renewing and revoking tokens.
//!
//! <https://developer.hashicorp.com/vault/api-docs/auth/token>

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use strongroom_types::{Secret, Ttl};

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

/// How to create a token. No `Debug`: `id` may hold the token itself.
#[derive(Default, Serialize)]
pub struct TokenRequest {
    /// The token's own value; empty to have the server generate one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The policies of the token; empty to inherit those of the caller's token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Metadata to store with the token and show when it is looked up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// The lifetime, as a duration; empty for the server's default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ttl: String,
    /// The total lifetime that renewals can't extend, as a duration; empty for no such limit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explicit_max_ttl: String,
    /// The lifetime after each renewal of a periodic token; empty for one that isn't periodic.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub period: String,
    /// Whether to create an orphan: a token that is not revoked with the caller's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_parent: bool,
    /// Whether to leave the policy `default` out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_default_policy: bool,
    /// A name shown in the audit log and in look-ups.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// How many requests the token is valid for; zero for no limit.
    pub num_uses: u32,
    /// Whether the token can be renewed; `None` for the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewable: Option<bool>,
    /// The token type, `service` or `batch`; empty for the default.
    #[serde(skip_serializing_if = "String::is_empty", rename = "type")]
    pub kind: String,
    /// The alias of the entity to attach. Only allowed together with a token role.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity_alias: String,
}

/// Selects the token that a request is about. It determines both the endpoint and the body of the
/// request.
#[derive(Clone, Copy)]
pub enum TokenSelector<'a> {
    /// The token that the client itself uses.
    OwnToken,
    /// The token with this value.
    Token(&'a Secret<String>),
    /// The token with this accessor; its value stays unknown.
    Accessor(&'a str),
}

#[derive(Serialize)]
struct TokenSelectorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accessor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    increment: Option<u64>,
}

impl<'a> TokenSelector<'a> {
    fn request_body(self, increment: Option<Duration>) -> TokenSelectorBody<'a> {
        let increment = increment.map(|increment| Ttl::rounded_up(increment).as_secs());
        let (token, accessor) = match self {
            Self::OwnToken => (None, None),
            Self::Token(token) => (Some(token.expose_secret().as_str()), None),
            Self::Accessor(accessor) => (None, Some(accessor)),
        };
        TokenSelectorBody { token, accessor, increment }
    }
}

impl Client {
    /// Creates a token as a child of the caller's, under the rules of a token role if one is named.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`]; an empty response is an [`Error::InvalidResponse`].
    pub async fn create_token(
        &self,
        request: &TokenRequest,
        role: Option<&str>,
    ) -> Result<SecretResponse, Error> {
        let path = match role {
            Some(role) => format!("auth/token/create/{role}"),
            None => "auth/token/create".to_owned(),
        };
        self.post_for_response(&path, request).await
    }

    /// Looks up a token's policies, lifetime and metadata.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn look_up_token(&self, which: TokenSelector<'_>) -> Result<SecretResponse, Error> {
        let body = which.request_body(None);
        match which {
            TokenSelector::OwnToken => {
                let reply = self.send(Method::GET, "auth/token/lookup-self", &[], None).await?;
                SecretResponse::parse(&reply.body)?.ok_or(Error::InvalidResponse("it is empty"))
            }
            TokenSelector::Token(_) => self.post_for_response("auth/token/lookup", &body).await,
            TokenSelector::Accessor(_) => {
                self.post_for_response("auth/token/lookup-accessor", &body).await
            }
        }
    }

    /// Renews a token for `increment` from now, rounded up to seconds; zero for its usual lifetime.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn renew_token(
        &self,
        which: TokenSelector<'_>,
        increment: Duration,
    ) -> Result<SecretResponse, Error> {
        let body = which.request_body(Some(increment));
        match which {
            TokenSelector::OwnToken => self.put_for_response("auth/token/renew-self", &body).await,
            TokenSelector::Token(_) => self.put_for_response("auth/token/renew", &body).await,
            TokenSelector::Accessor(_) => {
                self.post_for_response("auth/token/renew-accessor", &body).await
            }
        }
    }

    /// Revokes a token and its children. Does nothing if there is no such token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn revoke_token(&self, which: TokenSelector<'_>) -> Result<(), Error> {
        let body = which.request_body(None);
        match which {
            TokenSelector::OwnToken => {
                self.put_json("auth/token/revoke-self", &body).await.map(drop)
            }
            TokenSelector::Token(_) => self.put_json("auth/token/revoke", &body).await.map(drop),
            TokenSelector::Accessor(_) => {
                let body = Some(to_json(&body)?);
                self.send(Method::POST, "auth/token/revoke-accessor", &[], body).await.map(drop)
            }
        }
    }

    /// Revokes a token but not its children, which become orphans.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn revoke_token_orphan(&self, token: &Secret<String>) -> Result<(), Error> {
        let body = TokenSelector::Token(token).request_body(None);
        self.put_json("auth/token/revoke-orphan", &body).await.map(drop)
    }

    async fn post_for_response(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<SecretResponse, Error> {
        let reply = self.send(Method::POST, path, &[], Some(to_json(body)?)).await?;
        SecretResponse::parse(&reply.body)?.ok_or(Error::InvalidResponse("it is empty"))
    }
}
