//! A client of Nomad's HTTP API, with the calls that the engine needs.

use serde::{Deserialize, Serialize};
use strongroom_sdk::http::plain_identifier;
use strongroom_sdk::http::{HttpResponse, HttpService, parse_plain_identifier};
use strongroom_sdk::{Context, Error, Identifier, RevokeOutcome, Secret, Ttl};

use crate::access::NomadAccessConfig;
use crate::role::Role;

/// The name of Nomad in errors.
pub(crate) const SYSTEM: &str = "nomad";

/// Nomad's ACL API, for one operation.
pub(crate) struct NomadApi<'a>(HttpService<'a>);

/// A token to be created.
pub(crate) struct NomadTokenSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a Role,
    /// The lifetime after which Nomad itself deletes the token; zero for none.
    pub(crate) expires: Ttl,
}

/// A newly created token.
#[derive(Deserialize)]
pub(crate) struct CreatedNomadToken {
    #[serde(rename = "AccessorID", deserialize_with = "plain_identifier")]
    pub(crate) accessor: Identifier,
    #[serde(rename = "SecretID")]
    pub(crate) secret: Secret<String>,
    /// When Nomad will delete the token by itself; versions before 1.4 never do.
    #[serde(rename = "ExpirationTime")]
    pub(crate) expires: Option<String>,
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
                Err(Error::answered(SYSTEM, "POST /v1/acl/token", 400))
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
struct AclTokenStub {
    #[serde(rename = "AccessorID")]
    accessor_id: String,
    #[serde(rename = "Name")]
    name: String,
}

/// The maximum size in bytes of a response with one token, which repeats the policy names.
const MAX_TOKEN_RESPONSE_BYTES: usize = 512 << 10;
/// The maximum size in bytes of one page of a list.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// The number of tokens per page, and of pages to read. The call's deadline usually ends a list
/// earlier.
const TOKENS_PER_PAGE: &str = "500";
const MAX_PAGES: usize = 10_000;

impl<'a> NomadApi<'a> {
    /// A client for the configured Nomad. Without a management token, every call fails.
    pub(crate) fn new(context: &'a Context, access: &'a NomadAccessConfig) -> Result<Self, Error> {
        let unusable = || Error::internal("the stored management token can't be used");
        let token = access.token.as_ref().ok_or_else(unusable)?;
        let service = context.http(&access.address).tls(access.tls());
        Ok(Self(service.secret_header("x-nomad-token", token)))
    }

    /// Creates a token.
    pub(crate) async fn create_token(
        &self,
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
        let request = self.0.post("/v1/acl/token").json(&body).handle_statuses(&[400]);
        let answer = request.max_response_bytes(MAX_TOKEN_RESPONSE_BYTES).send().await?;
        match answer.status() {
            400 => classify_refusal(&String::from_utf8_lossy(answer.body()), wish.expires)
                .ok_or_else(|| answer.unexpected_status().into()),
            _ => Ok(CreateTokenOutcome::Created(answer.read_json()?)),
        }
    }

    /// Deletes a token.
    pub(crate) async fn delete_token(&self, accessor: &str) -> Result<RevokeOutcome, Error> {
        let request = self.0.delete("/v1/acl/token/:accessor").path_value("accessor", accessor);
        let answer = request.handle_statuses(&[400, 500]).send().await?;
        match answer.status() {
            // Only this text of Nomad proves that the token doesn't exist: another 400, or any 404,
            // can have other causes.
            400 | 500 => {
                let gone = format!("Cannot delete nonexistent tokens: {accessor}");
                let is_gone = answer.contains_text(&gone).then_some(RevokeOutcome::AlreadyGone);
                is_gone.ok_or_else(|| answer.unexpected_status().into())
            }
            _ => Ok(RevokeOutcome::Now),
        }
    }

    /// Whether a token exists. This reads a list, because lists don't contain the tokens' secrets.
    pub(crate) async fn token_exists(&self, accessor: &str) -> Result<bool, Error> {
        let (tokens, _) = self.list_page(&[("prefix", accessor)]).await?;
        Ok(tokens.iter().any(|token| token.accessor_id == accessor))
    }

    /// The accessors of the tokens whose names end with `end`, the random part that can't be
    /// guessed.
    pub(crate) async fn find_by_name_suffix(&self, end: &str) -> Result<Vec<Identifier>, Error> {
        let filter = format!("Name contains \"{end}\"");
        let mut found = Vec::new();
        let mut next = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("filter", &*filter), ("per_page", TOKENS_PER_PAGE)];
            query.extend((!next.is_empty()).then_some(("next_token", &*next)));
            let (tokens, answer) = self.list_page(&query).await?;
            // The caller deletes every token returned here, so check the name again: a version of
            // Nomad that ignores the filter returns other people's tokens.
            for token in tokens.iter().filter(|token| token.name.ends_with(end)) {
                let accessor = parse_plain_identifier(&token.accessor_id);
                found.push(accessor.ok_or_else(|| answer.unreadable())?);
            }
            match answer.header("x-nomad-nexttoken") {
                None | Some("") => return Ok(found),
                Some(more) => match parse_plain_identifier(more) {
                    Some(more) => more.as_str().clone_into(&mut next),
                    None => return Err(answer.unreadable().into()),
                },
            }
        }
        Err(Error::unanswered(SYSTEM, "GET /v1/acl/tokens", "the list has no end"))
    }

    async fn list_page(
        &self,
        query: &[(&str, &str)],
    ) -> Result<(Vec<AclTokenStub>, HttpResponse), Error> {
        let request = self.0.get("/v1/acl/tokens").max_response_bytes(MAX_PAGE_BYTES);
        let request = query.iter().fold(request, |it, (name, value)| it.query(name, value));
        let answer = request.send().await?;
        Ok((answer.read_json()?, answer))
    }
}

/// Classifies a refusal to create a token. Only a refused lifetime can be handled; `None` for any
/// other.
fn classify_refusal(text: &str, asked: Ttl) -> Option<CreateTokenOutcome> {
    if asked.is_zero() {
        return None;
    }
    let limit = text_between(text, "expiration time cannot be more than ", " in the future")
        .and_then(|limit| Ttl::parse_rounded_down(limit).ok())
        .filter(|limit| !limit.is_zero() && *limit < asked);
    let too_short = text.contains("expiration time cannot be less than ");
    limit
        .map(CreateTokenOutcome::ExpirationTooLong)
        .or_else(|| too_short.then_some(CreateTokenOutcome::ExpirationTooShort))
}

fn text_between<'t>(text: &'t str, before: &str, behind: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_expiry_says_what_is_allowed() {
        let asked = Ttl::from_secs(768 * 3600);
        let told = |text: &str| match classify_refusal(text, asked) {
            Some(CreateTokenOutcome::ExpirationTooLong(limit)) => limit.to_string(),
            Some(CreateTokenOutcome::ExpirationTooShort) => "short".to_owned(),
            Some(CreateTokenOutcome::Created(_)) => "made".to_owned(),
            None => "refused".to_owned(),
        };
        let refused = "refused";
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
        assert!(classify_refusal("expiration time cannot be less than 1m0s", Ttl::ZERO).is_none());
    }
}
