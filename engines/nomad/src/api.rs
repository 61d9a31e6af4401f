//! A client of Nomad's HTTP API, with the calls that the engine needs.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use strongroom_sdk::{Error, Identifier, Secret, Ttl};

use crate::access::NomadAccessConfig;
use crate::exchange::{NomadRequest, NomadResponse, SYSTEM};
use crate::http_client::HttpClientCache;
use crate::role::Role;

/// A client of Nomad's ACL API.
#[derive(Default)]
pub(crate) struct NomadClient {
    clients: HttpClientCache,
}

/// A token to be created.
pub(crate) struct NomadTokenSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a Role,
    /// The lifetime after which Nomad itself deletes the token; zero for none.
    pub(crate) expires: Ttl,
}

/// A newly created token.
pub(crate) struct CreatedNomadToken {
    pub(crate) accessor: Identifier,
    pub(crate) secret: Secret<String>,
    /// Whether Nomad will delete it by itself.
    pub(crate) expires: bool,
}

/// The outcome of a request to create a token.
pub(crate) enum CreateTokenOutcome {
    Created(CreatedNomadToken),
    /// Refused: this is the longest lifetime that Nomad allows.
    ExpirationTooLong(Ttl),
    /// Refused: the lifetime is below Nomad's minimum.
    ExpirationTooShort,
}

impl CreateTokenOutcome {
    /// The token; a refusal is an error now, since there is no third attempt.
    pub(crate) fn into_created(self) -> Result<CreatedNomadToken, Error> {
        match self {
            Self::Created(made) => Ok(made),
            Self::ExpirationTooLong(_) | Self::ExpirationTooShort => {
                Err(Error::answered(SYSTEM, CREATE, 400))
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAclTokenRequest<'a> {
    name: &'a str,
    r#type: &'a str,
    policies: &'a [String],
    global: bool,
    #[serde(rename = "ExpirationTTL", skip_serializing_if = "Option::is_none")]
    expiration_ttl: Option<String>,
}

#[derive(Deserialize)]
struct CreateAclTokenResponse {
    #[serde(rename = "AccessorID")]
    accessor_id: String,
    #[serde(rename = "SecretID")]
    secret_id: String,
    #[serde(rename = "ExpirationTime")]
    expiration_time: Option<String>,
}

#[derive(Deserialize)]
struct AclTokenStub {
    #[serde(rename = "AccessorID")]
    accessor_id: String,
    #[serde(rename = "Name")]
    name: String,
}

const CREATE: &str = "POST /v1/acl/token";
const DELETE: &str = "DELETE /v1/acl/token/:accessor";
const LIST: &str = "GET /v1/acl/tokens";
/// The maximum size in bytes of a response with one token, which repeats the policy names.
const MAX_TOKEN_RESPONSE_BYTES: usize = 512 << 10;
/// The maximum size in bytes of one page of a list.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// The number of tokens per page, and of pages to read. The call's deadline usually ends a list
/// earlier.
const TOKENS_PER_PAGE: usize = 500;
const MAX_PAGES: usize = 10_000;

impl NomadClient {
    /// Creates a token.
    pub(crate) async fn create_token(
        &self,
        access: &NomadAccessConfig,
        wish: &NomadTokenSpec<'_>,
    ) -> Result<CreateTokenOutcome, Error> {
        let body = CreateAclTokenRequest {
            name: wish.name,
            r#type: &wish.role.token_type,
            policies: &wish.role.policies.0,
            global: wish.role.global,
            expiration_ttl: (!wish.expires.is_zero())
                .then(|| format!("{}s", wish.expires.as_secs())),
        };
        let call = self.authorized_request(access, Method::POST, "/v1/acl/token", CREATE)?;
        let answer = call.with_json(&body).send().await?;
        match answer.status() {
            200..=299 => {}
            400 => return classify_refusal(&answer.refusal_text().await, wish.expires),
            // A cluster that lost its leader during the request may still have created the token.
            status @ 500.. => return Err(Error::in_doubt(SYSTEM, CREATE, status)),
            status => return Err(Error::answered(SYSTEM, CREATE, status)),
        }
        // The token exists from here on: if the response can't be read, the outcome is uncertain.
        let unreadable = answer.unreadable_error();
        let made: CreateAclTokenResponse = answer.read_json(MAX_TOKEN_RESPONSE_BYTES).await?;
        let secret = Secret::new(made.secret_id);
        match parse_plain_id(&made.accessor_id) {
            Some(accessor) if !secret.expose_secret().is_empty() => {
                Ok(CreateTokenOutcome::Created(CreatedNomadToken {
                    accessor,
                    secret,
                    expires: made.expiration_time.is_some(),
                }))
            }
            _ => Err(unreadable),
        }
    }

    /// Deletes a token; returns whether it existed.
    pub(crate) async fn delete_token(
        &self,
        access: &NomadAccessConfig,
        accessor: &Identifier,
    ) -> Result<bool, Error> {
        let accessor = path_segment(accessor)?;
        let path = format!("/v1/acl/token/{accessor}");
        let answer = self.authorized_request(access, Method::DELETE, &path, DELETE)?.send().await?;
        match answer.status() {
            200..=299 => Ok(true),
            // Only Nomad's own text counts: another 400, and any 404, says nothing about the token.
            status @ (400 | 500) => {
                let gone = format!("Cannot delete nonexistent tokens: {accessor}");
                if answer.refusal_text().await.contains(&gone) {
                    return Ok(false);
                }
                Err(Error::answered(SYSTEM, DELETE, status))
            }
            status => Err(Error::answered(SYSTEM, DELETE, status)),
        }
    }

    /// Whether a token exists. This reads a list, because lists don't contain the tokens' secrets.
    pub(crate) async fn token_exists(
        &self,
        access: &NomadAccessConfig,
        accessor: &Identifier,
    ) -> Result<bool, Error> {
        let accessor = path_segment(accessor)?;
        let path = format!("/v1/acl/tokens?prefix={accessor}");
        let answer = self.authorized_request(access, Method::GET, &path, LIST)?.send().await?;
        let tokens: Vec<AclTokenStub> = read_token_list(answer).await?;
        Ok(tokens.iter().any(|token| token.accessor_id == accessor))
    }

    /// The accessors of the tokens whose name has this ending, the random part that nobody can
    /// guess.
    pub(crate) async fn find_by_name_suffix(
        &self,
        access: &NomadAccessConfig,
        end: &str,
    ) -> Result<Vec<Identifier>, Error> {
        let filter = format!("filter=Name%20contains%20%22{end}%22&per_page={TOKENS_PER_PAGE}");
        let mut found = Vec::new();
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!("/v1/acl/tokens?{filter}{next}");
            let answer = self.authorized_request(access, Method::GET, &path, LIST)?.send().await?;
            let unreadable = answer.unreadable_error();
            let more = answer.header("x-nomad-nexttoken");
            let tokens: Vec<AclTokenStub> = read_token_list(answer).await?;
            // The caller deletes every token returned here, so check the name again: a version of
            // Nomad that ignores the filter returns other people's tokens.
            for token in tokens.iter().filter(|token| token.name.ends_with(end)) {
                match parse_plain_id(&token.accessor_id) {
                    Some(accessor) => found.push(accessor),
                    None => return Err(unreadable),
                }
            }
            match more.as_deref() {
                None | Some("") => return Ok(found),
                Some(more) if is_url_safe(more) => next = format!("&next_token={more}"),
                Some(_) => return Err(unreadable),
            }
        }
        Err(Error::unanswered(SYSTEM, LIST, "the list has no end"))
    }

    fn authorized_request(
        &self,
        access: &NomadAccessConfig,
        method: Method,
        path: &str,
        name: &'static str,
    ) -> Result<NomadRequest, Error> {
        let client = self.clients.client_for(access).map_err(Error::internal)?;
        let request = client.request(method, access.address.join(path));
        Ok(NomadRequest::new(request.header("x-nomad-token", access.token_header()?), name))
    }
}

async fn read_token_list(answer: NomadResponse) -> Result<Vec<AclTokenStub>, Error> {
    match answer.status() {
        200..=299 => answer.read_json(MAX_PAGE_BYTES).await,
        status => Err(Error::answered(SYSTEM, LIST, status)),
    }
}

/// Classifies a refusal to create a token. Only a refused lifetime can be handled.
fn classify_refusal(text: &str, asked: Ttl) -> Result<CreateTokenOutcome, Error> {
    if !asked.is_zero() {
        if let Some(limit) =
            text_between(text, "expiration time cannot be more than ", " in the future")
            && let Ok(limit) = Ttl::parse_rounded_down(limit)
            && !limit.is_zero()
            && limit < asked
        {
            return Ok(CreateTokenOutcome::ExpirationTooLong(limit));
        }
        if text.contains("expiration time cannot be less than ") {
            return Ok(CreateTokenOutcome::ExpirationTooShort);
        }
    }
    Err(Error::answered(SYSTEM, CREATE, 400))
}

fn text_between<'t>(text: &'t str, before: &str, behind: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(inner, _)| inner)
}

/// Parses an id that needs no escaping in a path.
fn parse_plain_id(id: &str) -> Option<Identifier> {
    Identifier::parse(id).filter(|id| is_url_safe(id.as_str()))
}

fn is_url_safe(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 128 && text.chars().all(plain) && !text.starts_with('.')
}

/// The accessor in a receipt as a path segment. Checked again, since the lease may be from an older
/// version.
fn path_segment(id: &Identifier) -> Result<&str, Error> {
    let unusable = || Error::internal("the lease's receipt names no token");
    parse_plain_id(id.as_str()).map(|_| id.as_str()).ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_expiry_says_what_is_allowed() {
        let asked = Ttl::from_secs(768 * 3600);
        let told = |text: &str| match classify_refusal(text, asked) {
            Ok(CreateTokenOutcome::ExpirationTooLong(limit)) => limit.to_string(),
            Ok(CreateTokenOutcome::ExpirationTooShort) => "short".to_owned(),
            Ok(CreateTokenOutcome::Created(_)) => "made".to_owned(),
            Err(error) => error.to_string(),
        };
        let refused = "nomad: POST /v1/acl/token answered 400";
        for (text, outcome) in [
            (
                "* expiration time cannot be more than 24h0m0s in the future (was 768h0m0s)",
                "24h0m0s",
            ),
            ("* expiration time cannot be more than 1h30m0.5s in the future (was 768h)", "1h30m0s"),
            ("* expiration time cannot be less than 1m0s in the future (was 30s)", "short"),
            // Refusals that a second attempt can't avoid.
            (
                "* expiration time cannot be more than 900h0m0s in the future (was 768h0m0s)",
                refused,
            ),
            ("* expiration time cannot be more than 768h0m0s in the future", refused),
            ("* expiration time cannot be more than 0s in the future", refused),
            ("* expiration time cannot be more than ever in the future", refused),
            ("* expiration time cannot be more than 1h", refused),
            ("* token name too long", refused),
            ("", refused),
        ] {
            assert_eq!(told(text), outcome, "{text}");
        }
        assert!(classify_refusal("expiration time cannot be less than 1m0s", Ttl::ZERO).is_err());
    }

    #[test]
    fn ids_stand_in_a_path_as_they_are() {
        assert!(parse_plain_id("56344737-2b4c-7a56-94fe-38549de0504a").is_some());
        for bad in ["", "..", "../jobs", "a/b", "a?b=c", "a%2fb", "ü", &"a".repeat(129)] {
            assert!(parse_plain_id(bad).is_none(), "{bad}");
        }
    }
}
