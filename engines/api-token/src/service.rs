//! The token service's HTTP API, as far as the engine needs it.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use strongroom_sdk::{CommaList, Error, Identifier, Secret};

use crate::Config;

const SYSTEM: &str = "token service";

/// A client of the token service. It keeps connections, not addresses or keys: those come with
/// each call.
pub(crate) struct TokenService {
    http: Client,
}

/// A token that was made.
pub(crate) struct Made {
    pub(crate) id: Identifier,
    pub(crate) token: Secret<String>,
}

#[derive(Serialize)]
struct NewToken<'a> {
    name: &'a str,
    permissions: &'a [String],
    ttl: u64,
}

#[derive(Serialize)]
struct Renewal {
    ttl: u64,
}

#[derive(Deserialize)]
struct CreatedToken {
    id: String,
    token: String,
}

#[derive(Deserialize)]
struct TokenList {
    tokens: Vec<ListedToken>,
}

#[derive(Deserialize)]
struct ListedToken {
    id: String,
}

impl TokenService {
    pub(crate) fn new() -> Self {
        Self { http: Client::new() }
    }

    /// Makes a token that the service itself will drop after `lasts_for`.
    pub(crate) async fn create(
        &self,
        config: &Config,
        name: &str,
        permissions: &CommaList,
        lasts_for: Duration,
    ) -> Result<Made, Error> {
        let body = NewToken { name, permissions: &permissions.0, ttl: lasts_for.as_secs() };
        let call = self.call(config, Method::POST, "/tokens").json(&body);
        let answer = send(call, "POST /tokens").await?;
        if !answer.status().is_success() {
            return Err(unexpected("POST /tokens", &answer));
        }
        // From here on the token exists: an answer that can't be read is an uncertain end.
        let made: CreatedToken = read(answer, "POST /tokens").await?;
        let id = Identifier::parse(&made.id)
            .ok_or_else(|| Error::unanswered(SYSTEM, "POST /tokens", "the id is unusable"))?;
        Ok(Made { id, token: Secret::new(made.token) })
    }

    /// Sets the token's end to `lasts_for` from now.
    pub(crate) async fn renew(
        &self,
        config: &Config,
        id: &str,
        lasts_for: Duration,
    ) -> Result<(), Error> {
        let body = Renewal { ttl: lasts_for.as_secs() };
        let call = self.call(config, Method::POST, &format!("/tokens/{id}/renew")).json(&body);
        let answer = send(call, "POST /tokens/:id/renew").await?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            404 => Err(Error::user("the token is gone from the token service; revoke the lease")),
            _ => Err(unexpected("POST /tokens/:id/renew", &answer)),
        }
    }

    /// Deletes a token. Says whether it was there.
    pub(crate) async fn delete(&self, config: &Config, id: &str) -> Result<bool, Error> {
        let call = self.call(config, Method::DELETE, &format!("/tokens/{id}"));
        let answer = send(call, "DELETE /tokens/:id").await?;
        match answer.status().as_u16() {
            200..=299 => Ok(true),
            404 => Ok(false),
            _ => Err(unexpected("DELETE /tokens/:id", &answer)),
        }
    }

    /// The ids of the tokens with this name.
    pub(crate) async fn find(&self, config: &Config, name: &str) -> Result<Vec<String>, Error> {
        // Names are letters, digits and dashes: nothing to escape.
        let call = self.call(config, Method::GET, &format!("/tokens?name={name}"));
        let answer = send(call, "GET /tokens").await?;
        if !answer.status().is_success() {
            return Err(unexpected("GET /tokens", &answer));
        }
        let list: TokenList = read(answer, "GET /tokens").await?;
        Ok(list.tokens.into_iter().map(|token| token.id).collect())
    }

    fn call(&self, config: &Config, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, config.api_endpoint.join(path))
            .bearer_auth(config.api_key.expose_secret())
    }
}

async fn send(call: RequestBuilder, name: &str) -> Result<Response, Error> {
    call.send().await.map_err(|error| {
        let reason = if error.is_connect() { "could not connect" } else { "the connection failed" };
        Error::unanswered(SYSTEM, name, reason)
    })
}

async fn read<T: for<'de> Deserialize<'de>>(answer: Response, name: &str) -> Result<T, Error> {
    // The decoder's own words may quote the body, and with it a token.
    answer.json().await.map_err(|_| Error::unanswered(SYSTEM, name, "the answer can't be read"))
}

fn unexpected(name: &str, answer: &Response) -> Error {
    Error::answered(SYSTEM, name, answer.status().as_u16())
}
