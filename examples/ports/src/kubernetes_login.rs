//! Logs in with the token of a Kubernetes service account, which the cluster verifies.
//!
//! Paths: `config` (the cluster), `role/:name` (which service accounts may log in, and the terms of
//! their tokens) and `login`.
//!
//! The method never reads the token itself: it sends it to the cluster for a review (`TokenReview` of
//! `authentication.k8s.io/v1`). The alias of the login comes from the cluster's answer, by way of
//! [`AttestedClient`].

use serde::{Deserialize, Serialize};
use strongroom_sdk::http::{HttpService, TlsSettings, serialize_exposed};
use strongroom_sdk::login_attestation::{Attestation, AttestedClient};
use strongroom_sdk::*;

/// The blueprint of the auth method.
pub fn blueprint() -> Blueprint {
    Blueprint::auth_method("kubernetes", env!("CARGO_PKG_VERSION"))
        .help("Logs in with the token of a Kubernetes service account.")
        .outside_system("Kubernetes")
        .document::<Config>()
        .document::<Role>()
        .login(ServiceAccountLogin)
}

/// The cluster whose service accounts may log in.
#[derive(Document)]
#[document(path = "config", seal_wrap, validate = check_config)]
struct Config {
    /// URL of the cluster's API server.
    #[field(required)]
    kubernetes_host: BaseUrl,
    /// Certificates in PEM of the authorities of the API server; empty for those of the machine.
    kubernetes_ca_cert: String,
    /// Token of a service account that may review tokens. Without it, a client's token is reviewed
    /// with the client's own rights. Never shown.
    token_reviewer_jwt: Option<Secret<String>>,
}

fn check_config(config: &Config) -> Result<(), String> {
    TlsSettings::new()
        .ca_cert(&config.kubernetes_ca_cert)
        .check()
        .map_err(|error| error.to_string())
}

/// Which service accounts may log in, and the terms of their tokens.
#[derive(Document)]
#[document(path = "role/{name}", validate = check_role)]
struct Role {
    /// Names of service accounts. A `*` at the beginning or end stands for any text.
    #[field(required)]
    bound_service_account_names: CommaList,
    /// Namespaces of service accounts. A `*` at the beginning or end stands for any text.
    #[field(required)]
    bound_service_account_namespaces: CommaList,
    /// Audience that tokens must be issued for; empty for that of the API server.
    audience: String,
    /// Which property of the service account identifies the client.
    #[field(default = "serviceaccount_uid")]
    alias_name_source: AliasSource,
    #[field(embed)]
    token: TokenFields,
}

/// What the alias of a login is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FieldChoice)]
enum AliasSource {
    /// The id of the service account, which no later account gets.
    #[choice(rename = "serviceaccount_uid")]
    Uid,
    /// Namespace and name, which an account has again if it is created anew.
    #[choice(rename = "serviceaccount_name")]
    Name,
}

fn check_role(role: &Role) -> Result<(), String> {
    let (names, namespaces) =
        (&role.bound_service_account_names.0, &role.bound_service_account_namespaces.0);
    if names.is_empty() || namespaces.is_empty() {
        return Err("names and namespaces of service accounts must be given".to_owned());
    }
    let permits_all = |patterns: &[String]| patterns.iter().any(|pattern| pattern == "*");
    match permits_all(names) && permits_all(namespaces) {
        true => Err("names and namespaces of service accounts can't both be \"*\"".to_owned()),
        false => Ok(()),
    }
}

impl Role {
    fn permits(&self, namespace: &str, name: &str) -> bool {
        let matches = |patterns: &CommaList, text: &str| {
            patterns.0.iter().any(|pattern| matches_pattern(pattern, text))
        };
        matches(&self.bound_service_account_namespaces, namespace)
            && matches(&self.bound_service_account_names, name)
    }
}

/// Whether a pattern with a `*` at its beginning, its end or both fits a text.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (None, None) => pattern == text,
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (Some(rest), Some(_)) => text.contains(rest.trim_end_matches('*')),
    }
}

/// A service account's token, and the role that it wants.
#[derive(Input)]
struct LoginInput {
    /// Name of the role.
    #[field(required)]
    role: String,
    /// Token of the service account.
    #[field(required)]
    jwt: Secret<String>,
}

/// The request of a review.
#[derive(Serialize)]
struct ReviewRequest<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    spec: ReviewSpec<'a>,
}

#[derive(Serialize)]
struct ReviewSpec<'a> {
    #[serde(serialize_with = "serialize_exposed")]
    token: &'a Secret<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audiences: Vec<&'a str>,
}

/// The cluster's answer.
#[derive(Deserialize)]
struct TokenReview {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
struct ReviewStatus {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: ReviewedUser,
    #[serde(default)]
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
struct ReviewedUser {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
}

impl Attestation for TokenReview {
    fn accepts_client(&self) -> bool {
        self.status.authenticated && self.service_account().is_some()
    }
}

impl TokenReview {
    /// Namespace and name of the service account; `None` if the user is none.
    fn service_account(&self) -> Option<(&str, &str)> {
        let account = self.status.user.username.strip_prefix("system:serviceaccount:")?;
        let (namespace, name) = account.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty()).then_some((namespace, name))
    }

    fn alias_name(&self) -> Option<String> {
        let (namespace, name) = self.service_account()?;
        Some(format!("{namespace}/{name}"))
    }
}

/// The login.
struct ServiceAccountLogin;

impl ServiceAccountLogin {
    /// Has the cluster review a token.
    async fn review(
        &self,
        request: &LoginRequest<'_>,
        role: &Role,
        jwt: &Secret<String>,
    ) -> Result<AttestedClient<TokenReview>, LoginError> {
        let config = request.context().config::<Config>().await?;
        let reviewer = config.token_reviewer_jwt.as_ref().unwrap_or(jwt);
        let tls = TlsSettings::new().ca_cert(&config.kubernetes_ca_cert);
        let service: HttpService<'_> = request.context().http(&config.kubernetes_host).tls(tls);
        let audience = role.audience.as_str();
        let audiences = if audience.is_empty() { Vec::new() } else { vec![audience] };
        let review = ReviewRequest {
            api_version: "authentication.k8s.io/v1",
            kind: "TokenReview",
            spec: ReviewSpec { token: jwt, audiences },
        };
        let service = service.bearer_token(reviewer);
        let call = service.post("/apis/authentication.k8s.io/v1/tokenreviews").json(&review);
        let mut unauthorised = Vec::new();
        if config.token_reviewer_jwt.is_none() {
            // The request authenticates with the token under review: the client's is refused.
            unauthorised.push(401);
        }
        let response = call.handle_statuses(&unauthorised).send().await.map_err(Error::from)?;
        if response.status() == 401 {
            return Err(LoginError::refused());
        }
        let client = request.attested_by::<TokenReview>(&response)?;
        // An API server that knows no audiences accepts the token for any, and says so by their
        // absence.
        match audience.is_empty() || client.status.audiences.iter().any(|it| it == audience) {
            true => Ok(client),
            false => Err(LoginError::refused()),
        }
    }
}

/// Names of metadata, by which a renewal finds the role and checks it again.
const ROLE: &str = "role";
const NAMESPACE: &str = "service_account_namespace";
const ACCOUNT: &str = "service_account_name";

impl Login for ServiceAccountLogin {
    const PATH: &'static str = "login";
    const HELP: &'static str = "Logs in with the token of a service account.";
    const REFUSED: &'static str = "permission denied";
    type Input = LoginInput;

    /// Only the cluster can say whose token it is.
    fn alias(&self, _: &LoginInput) -> Option<String> {
        None
    }

    fn role(&self, input: &LoginInput) -> Option<String> {
        Some(input.role.clone())
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: LoginInput,
    ) -> Result<LoginGrant, LoginError> {
        let role = request.context().named::<Role>(&input.role).await?;
        let client = self.review(request, &role, &input.jwt).await?;
        let Some((namespace, name)) = client.service_account() else {
            return Err(LoginError::refused());
        };
        if !role.permits(namespace, name) {
            return Err(LoginError::refused());
        }
        let alias = match role.alias_name_source {
            AliasSource::Uid => client.name_from(|review| Some(review.status.user.uid.clone())),
            AliasSource::Name => client.name_from(TokenReview::alias_name),
        }?;
        let identity = Identity::new(&alias)
            .with_display_name(format!("{namespace}-{name}"))
            .with_metadata(ROLE, &input.role)
            .with_metadata(NAMESPACE, namespace)
            .with_metadata(ACCOUNT, name);
        Ok(LoginGrant::new(identity, &role.token))
    }

    /// The role may have been changed or deleted since the login. The token of the service account
    /// isn't stored, so the cluster can't be asked again.
    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        let stored = |name| {
            renewal
                .metadata(name)
                .ok_or_else(|| Error::internal("the login has no service account"))
        };
        let role = renewal.context().named::<Role>(stored(ROLE)?).await?;
        match role.permits(stored(NAMESPACE)?, stored(ACCOUNT)?) {
            true => Ok(TokenTerms::from(&role.token)),
            false => Err(Error::user("the role no longer permits this service account")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_star_at_either_end() {
        for (pattern, text, fits) in [
            ("ci", "ci", true),
            ("ci", "ci-2", false),
            ("ci-*", "ci-2", true),
            ("*-ci", "web-ci", true),
            ("*ci*", "a-ci-b", true),
            ("*", "anything", true),
            ("*-ci", "ci", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }
}
