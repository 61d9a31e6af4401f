//! Nomad's HTTP API, as far as the engine needs it.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use strongroom_sdk::{Error, Identifier, Secret, Ttl};

use crate::access::NomadAccessConfig;
use crate::exchange::{NomadRequest, NomadResponse, SYSTEM};
use crate::http_client::HttpClientCache;
use crate::role::Role;

/// Nomad.
#[derive(Default)]
pub(crate) struct NomadClient {
    clients: HttpClientCache,
}

/// A token that is wanted.
pub(crate) struct NomadTokenSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a Role,
    /// After how long Nomad is to end it by itself; zero for never.
    pub(crate) expires: Ttl,
}

/// A token that was made.
pub(crate) struct CreatedNomadToken {
    pub(crate) accessor: Identifier,
    pub(crate) secret: Secret<String>,
    /// Whether Nomad will end it by itself.
    pub(crate) expires: bool,
}

/// What came of a wish.
pub(crate) enum CreateTokenOutcome {
    Created(CreatedNomadToken),
    /// Refused: Nomad lets tokens live this long at most.
    ExpirationTooLong(Ttl),
    /// Refused: Nomad's shortest expiry is longer.
    ExpirationTooShort,
}

impl CreateTokenOutcome {
    /// The token. A second refusal is one for good.
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
/// The longest answer with one token in it: it repeats the policies' names.
const MAX_TOKEN_RESPONSE_BYTES: usize = 512 << 10;
/// The longest page of a list.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Tokens on a page, and pages that are read. The call's deadline ends a list before that.
const TOKENS_PER_PAGE: usize = 500;
const MAX_PAGES: usize = 10_000;

impl NomadClient {
    /// Makes a token.
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
            // A cluster that lost its leader over it may still have done it.
            status @ 500.. => return Err(Error::in_doubt(SYSTEM, CREATE, status)),
            status => return Err(Error::answered(SYSTEM, CREATE, status)),
        }
        // From here on the token exists: an answer that can't be read is an uncertain end.
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

    /// Deletes a token. Says whether it was there.
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
            // Its own words, since another 400, and any 404, says nothing about the token.
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

    /// Whether a token is there. Asked of the list, which doesn't repeat the token itself.
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

    /// The accessors of the tokens whose name ends with this one: letters and digits that nobody can
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
            // What is found is deleted, so Nomad's own filter isn't enough: a version that ignores
            // it answers with everybody's tokens.
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

/// Why Nomad refused to make a token. Only its refusal of an expiry is of use to us.
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

/// An id that can stand in a path as it is.
fn parse_plain_id(id: &str) -> Option<Identifier> {
    Identifier::parse(id).filter(|id| is_url_safe(id.as_str()))
}

fn is_url_safe(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= 128 && text.chars().all(plain) && !text.starts_with('.')
}

/// The accessor of a receipt, looked at again: a lease may be older than this version.
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
            // Nothing that could be tried again.
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
