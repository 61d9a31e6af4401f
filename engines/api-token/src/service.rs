//! A client of the token service's HTTP API, with the calls that the engine needs.
//!
//! The service is trusted as little as possible: responses are bounded, ids must be plain
//! identifiers, redirects are not followed (the key would be sent along), and error messages
//! contain none of the service's text, since it may quote a token.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde::{Deserialize, Serialize};
use strongroom_sdk::{CommaList, Error, Identifier, Secret};

use crate::Config;

/// The name of the token service in errors.
pub(crate) const SYSTEM: &str = "token service";

/// A client of the token service. It keeps connections, but no address or key, which are passed to
/// each call.
#[derive(Default)]
pub(crate) struct TokenService {
    /// Created by the first call, because that reads the system's certificates and can fail.
    http: OnceLock<Client>,
}

/// A newly created token.
pub(crate) struct ServiceToken {
    pub(crate) id: Identifier,
    pub(crate) token: Secret<String>,
}

#[derive(Serialize)]
struct CreateApiTokenRequest<'a> {
    name: &'a str,
    permissions: &'a [String],
    ttl: u64,
}

#[derive(Serialize)]
struct RenewApiTokenRequest {
    ttl: u64,
}

#[derive(Deserialize)]
struct CreateApiTokenResponse {
    id: String,
    token: String,
}

#[derive(Deserialize)]
struct ListApiTokensResponse {
    tokens: Vec<ApiTokenListItem>,
}

#[derive(Deserialize)]
struct ApiTokenListItem {
    id: String,
    name: String,
}

impl TokenService {
    /// Creates a token that the service itself will delete after `lasts_for`.
    pub(crate) async fn create_token(
        &self,
        config: &Config,
        name: &str,
        permissions: &CommaList,
        lasts_for: Duration,
    ) -> Result<ServiceToken, Error> {
        const CALL: &str = "POST /tokens";
        let body =
            CreateApiTokenRequest { name, permissions: &permissions.0, ttl: whole_secs(lasts_for) };
        let answer = send_request(
            self.authorized_request(config, Method::POST, "/tokens")?.json(&body),
            CALL,
        )
        .await?;
        if !answer.status().is_success() {
            return Err(unexpected_status(CALL, &answer));
        }
        // The token exists from here on: if the response can't be read, the outcome is uncertain.
        let made: CreateApiTokenResponse =
            read_json(answer, CALL, MAX_TOKEN_RESPONSE_BYTES).await?;
        let token = Secret::new(made.token);
        match parse_plain_id(&made.id) {
            Some(id) if !token.expose_secret().is_empty() => Ok(ServiceToken { id, token }),
            _ => Err(unreadable_response(CALL)),
        }
    }

    /// Sets the token's expiry to `lasts_for` from now.
    pub(crate) async fn renew_token(
        &self,
        config: &Config,
        id: &Identifier,
        lasts_for: Duration,
    ) -> Result<(), Error> {
        const CALL: &str = "POST /tokens/:id/renew";
        let body = RenewApiTokenRequest { ttl: whole_secs(lasts_for) };
        let path = format!("/tokens/{}/renew", path_segment(id)?);
        let answer =
            send_request(self.authorized_request(config, Method::POST, &path)?.json(&body), CALL)
                .await?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            404 => Err(Error::user("the token is gone from the token service; revoke the lease")),
            _ => Err(unexpected_status(CALL, &answer)),
        }
    }

    /// Deletes a token; returns whether it existed.
    pub(crate) async fn delete_token(
        &self,
        config: &Config,
        id: &Identifier,
    ) -> Result<bool, Error> {
        const CALL: &str = "DELETE /tokens/:id";
        let path = format!("/tokens/{}", path_segment(id)?);
        let answer =
            send_request(self.authorized_request(config, Method::DELETE, &path)?, CALL).await?;
        match answer.status().as_u16() {
            200..=299 => Ok(true),
            404 => Ok(false),
            _ => Err(unexpected_status(CALL, &answer)),
        }
    }

    /// The ids of all tokens with this name.
    pub(crate) async fn find_by_name(
        &self,
        config: &Config,
        name: &str,
    ) -> Result<Vec<Identifier>, Error> {
        const CALL: &str = "GET /tokens";
        // The name has letters, digits and dashes only, so it needs no escaping.
        let path = format!("/tokens?name={name}");
        let answer =
            send_request(self.authorized_request(config, Method::GET, &path)?, CALL).await?;
        if !answer.status().is_success() {
            return Err(unexpected_status(CALL, &answer));
        }
        let list: ListApiTokensResponse = read_json(answer, CALL, MAX_LIST_RESPONSE_BYTES).await?;
        // The caller deletes every token returned here, so check the name again: a service that
        // ignored the filter would return other people's tokens.
        let ours = list.tokens.iter().filter(|token| token.name == name);
        ours.map(|token| parse_plain_id(&token.id).ok_or_else(|| unreadable_response(CALL)))
            .collect()
    }

    fn authorized_request(
        &self,
        config: &Config,
        method: Method,
        path: &str,
    ) -> Result<RequestBuilder, Error> {
        let url = config.api_endpoint.join(path);
        let call = self.http_client()?.request(method, url);
        let timeout = config.request_timeout.0.as_duration();
        Ok(call.timeout(timeout).bearer_auth(config.api_key.expose_secret()))
    }

    fn http_client(&self) -> Result<&Client, Error> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let made = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("strongroom-engine-api-token/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::internal("the HTTP client of the engine can't be made"))?;
        Ok(self.http.get_or_init(|| made))
    }
}

/// How long connecting alone may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size in bytes of a response with one token.
const MAX_TOKEN_RESPONSE_BYTES: usize = 16 << 10;
/// The maximum size in bytes of a list.
const MAX_LIST_RESPONSE_BYTES: usize = 1 << 20;

/// Rounds down to whole seconds for the service, but never to 0, which it takes for an hour.
fn whole_secs(lasts_for: Duration) -> u64 {
    lasts_for.as_secs().max(1)
}

async fn send_request(call: RequestBuilder, name: &str) -> Result<Response, Error> {
    call.send().await.map_err(|error| {
        // The error's own text shows the address, which the caller may not be allowed to know.
        let reason = match () {
            () if error.is_timeout() => "timed out",
            () if error.is_connect() => "could not connect",
            () => "the connection failed",
        };
        Error::unanswered(SYSTEM, name, reason)
    })
}

/// Reads a response of at most `limit` bytes. The decoder's error text is dropped, because it may
/// quote a token.
async fn read_json<T: for<'de> Deserialize<'de>>(
    mut answer: Response,
    name: &str,
    limit: usize,
) -> Result<T, Error> {
    let broken = |_| Error::unanswered(SYSTEM, name, "the answer broke off");
    // Wiped when dropped. It is large enough for a token from the start, because a buffer that
    // grows would leave a copy behind.
    let mut body = Secret::new(Vec::with_capacity(limit.min(MAX_TOKEN_RESPONSE_BYTES)));
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        let body = body.expose_secret_mut();
        if body.len() + chunk.len() > limit {
            return Err(Error::unanswered(SYSTEM, name, "the answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(body.expose_secret()).map_err(|_| unreadable_response(name))
}

/// Parses an id that needs no escaping in a path.
fn parse_plain_id(id: &str) -> Option<Identifier> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    Identifier::parse(id).filter(|id| id.as_str().len() <= 128 && id.as_str().chars().all(plain))
}

/// The id in a receipt as a path segment. Checked again, since the lease may be from an older
/// version.
fn path_segment(id: &Identifier) -> Result<&str, Error> {
    let unusable = || Error::internal("the lease's receipt names no token");
    parse_plain_id(id.as_str()).map(|_| id.as_str()).ok_or_else(unusable)
}

fn unreadable_response(name: &str) -> Error {
    Error::unanswered(SYSTEM, name, "the answer can't be read")
}

fn unexpected_status(name: &str, answer: &Response) -> Error {
    Error::answered(SYSTEM, name, answer.status().as_u16())
}
