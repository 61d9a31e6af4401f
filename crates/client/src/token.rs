//! Tokens.
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

/// How to make a token. No `Debug`: it may hold the token.
#[derive(Default, Serialize)]
pub struct TokenRequest {
    /// The token itself; empty for one that the server draws.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its policies; none for the caller's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// What to remember with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// How long it lasts; empty for the server's time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ttl: String,
    /// What no renewal gets past; empty for no such limit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explicit_max_ttl: String,
    /// Every renewal gives this long; empty for a token that isn't periodic.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub period: String,
    /// Whether it has no parent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_parent: bool,
    /// Whether it lacks the policy `default`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_default_policy: bool,
    /// A name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// How often it can be used; zero for any number.
    pub num_uses: u32,
    /// Whether it can be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewable: Option<bool>,
    /// `service` or `batch`.
    #[serde(skip_serializing_if = "String::is_empty", rename = "type")]
    pub kind: String,
    /// Whom it is for. Only with a role.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entity_alias: String,
}

/// Which token.
#[derive(Clone, Copy)]
pub enum TokenSelector<'a> {
    /// The caller's own.
    OwnToken,
    /// This one.
    Token(&'a Secret<String>),
    /// The one with this accessor.
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
    /// Makes a token, as a child of the caller's, with a role's rules if one is named.
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

    /// What is known of a token.
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

    /// Renews a token, from now; zero for its usual time.
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

    /// Revokes a token and its children; one that isn't there is no error.
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

    /// Revokes a token; its children stay, without a parent.
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
