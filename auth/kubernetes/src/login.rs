//! [`ServiceAccountLogin`]: logins with the tokens of service accounts, and renewals.

use std::sync::Arc;

use strongroom_sdk::http::HttpClient;
use strongroom_sdk::*;

use crate::config::ClusterConfig;
use crate::local_account::LocalAccount;
use crate::review::{AccountState, ClusterReview, ReviewedClaims, TokenReview};
use crate::role::{AliasNameSource, Role};

/// The login with the token of a service account.
pub(crate) struct ServiceAccountLogin {
    client: HttpClient,
    local: LocalAccount,
}

/// A service account's token, and the role that it wants.
#[derive(Input)]
pub(crate) struct LoginInput {
    /// Name of the role.
    role: LowerCase,
    /// Token of the service account.
    jwt: Option<Secret<String>>,
}

/// Names of metadata, by which a renewal finds the role and the service account again.
const ROLE: &str = "role";
const NAMESPACE: &str = "service_account_namespace";
const ACCOUNT: &str = "service_account_name";
const UID: &str = "service_account_uid";
const SECRET_NAME: &str = "service_account_secret_name";

impl ServiceAccountLogin {
    pub(crate) fn new(client: HttpClient, local: LocalAccount) -> Self {
        Self { client, local }
    }
}

impl Login for ServiceAccountLogin {
    const PATH: &'static str = "login";
    const HELP: &'static str = "Logs a workload in with the token of its service account.";
    const REFUSED: &'static str = "permission denied";
    type Input = LoginInput;

    /// Only the cluster can say whose token it is.
    fn alias(&self, _: &LoginInput) -> Option<String> {
        None
    }

    fn role(&self, input: &LoginInput) -> Option<String> {
        Some(input.role.as_str().to_owned())
    }

    fn check_input(&self, input: &LoginInput) -> Result<(), Error> {
        match (input.role.as_str(), &input.jwt) {
            ("", _) => Err(Error::user("missing role")),
            (_, None) => Err(Error::user("missing jwt")),
            _ => Ok(()),
        }
    }

    async fn authenticate(
        &self,
        request: &LoginRequest<'_>,
        input: LoginInput,
    ) -> Result<LoginGrant, LoginError> {
        // No other text is a token, or could be sent as one.
        let is_token =
            |jwt: &Secret<String>| jwt.expose_secret().bytes().all(|it| it.is_ascii_graphic());
        let Some(jwt) = input.jwt.filter(is_token) else { return Err(LoginError::refused()) };
        let context = request.context();
        let config = configuration(context).await?;
        let role = context.named::<Role>(input.role.as_str()).await?;
        let cluster = ClusterReview::new(&self.client, context, &config, &self.local).await?;
        let client =
            cluster.review(request, &jwt, role.audience.as_deref().unwrap_or_default()).await?;
        let Some((namespace, name)) = client.service_account() else {
            return Err(LoginError::refused());
        };
        if !permits(&cluster, &role, namespace, name).await? {
            return Err(LoginError::refused());
        }
        // The cluster has accepted the token, so its claims are true.
        let claims = ReviewedClaims::of_accepted_token(&jwt).unwrap_or_default();
        if config.required_issuer().is_some_and(|issuer| issuer != claims.issuer) {
            tracing::info!("a login was refused because of the issuer of the token");
            return Err(LoginError::refused());
        }
        let uid = client.name_from(TokenReview::uid)?;
        let alias = match role.alias_name_source {
            AliasNameSource::Uid => uid.clone(),
            AliasNameSource::Name => client.name_from(TokenReview::full_name)?,
        };
        let identity = Identity::new(&alias)
            .with_display_name(format!("{namespace}-{name}"))
            .with_metadata(ROLE, input.role)
            .with_metadata(NAMESPACE, namespace)
            .with_metadata(ACCOUNT, name)
            .with_metadata(UID, &uid)
            .with_metadata(SECRET_NAME, claims.secret_name);
        Ok(LoginGrant::new(identity, &role.token))
    }

    /// The role must still permit the service account, and the service account must still exist. The
    /// token isn't stored, so it isn't reviewed again.
    async fn renew(&self, renewal: &LoginRenewal<'_>) -> Result<TokenTerms, Error> {
        let context = renewal.context();
        let stored = |name| {
            let missing = || Error::internal("the login has no service account");
            renewal.metadata(name).ok_or_else(missing)
        };
        let (namespace, name) = (stored(NAMESPACE)?, stored(ACCOUNT)?);
        let config = configuration(context).await?;
        let role = context.named::<Role>(stored(ROLE)?).await?;
        let cluster = ClusterReview::new(&self.client, context, &config, &self.local).await?;
        if !permits(&cluster, &role, namespace, name).await? {
            return Err(Error::user("the role no longer permits this service account"));
        }
        if config.check_account_at_renewal {
            match cluster.account_state(namespace, name, stored(UID)?).await? {
                AccountState::Exists => {}
                AccountState::Gone => {
                    return Err(Error::user("the service account of this token no longer exists"));
                }
                AccountState::Unknown => {
                    return Err(Error::user(
                        "the cluster doesn't say whether the service account exists: log in again, or \
                         give the reviewer the right to get service accounts",
                    ));
                }
            }
        }
        Ok(TokenTerms::from(&role.token))
    }
}

async fn configuration(context: &Context) -> Result<Arc<ClusterConfig>, Error> {
    let config = context.documents().get::<ClusterConfig>(&[]).await?;
    config.ok_or_else(|| Error::internal("could not load backend configuration: write config"))
}

/// Whether a role permits a service account, by name and by namespace or labels of the namespace.
async fn permits(
    cluster: &ClusterReview<'_>,
    role: &Role,
    namespace: &str,
    name: &str,
) -> Result<bool, Error> {
    if !role.permits_name(name) {
        return Ok(false);
    }
    if role.permits_namespace(namespace) {
        return Ok(true);
    }
    let Some(selector) = role.namespace_selector() else { return Ok(false) };
    let labels = cluster.namespace_labels(namespace).await?;
    Ok(labels.is_some_and(|labels| selector.selects(&labels)))
}
