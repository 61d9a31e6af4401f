//! [`ClusterReview`]: the questions to the cluster.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use strongroom_sdk::http::{HttpClient, HttpService, TlsSettings, serialize_exposed};
use strongroom_sdk::login_attestation::{Attestation, AttestedClient};
use strongroom_sdk::{Context, Error, LoginError, LoginRequest, Secret};

use crate::config::ClusterConfig;
use crate::local_account::LocalAccount;

/// The cluster, with the token that it is asked with.
pub(crate) struct ClusterReview<'a> {
    client: &'a HttpClient,
    context: &'a Context,
    config: &'a ClusterConfig,
    ca_cert: String,
    /// The token that reviews others; `None` if the client's own has to.
    reviewer: Option<Secret<String>>,
}

/// The request of a review.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewRequest<'a> {
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

/// The cluster's answer to a review.
#[derive(Deserialize)]
pub(crate) struct TokenReview {
    #[serde(default)]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewStatus {
    authenticated: bool,
    error: String,
    user: ReviewedUser,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewedUser {
    username: String,
    uid: String,
}

impl Attestation for TokenReview {
    fn accepts_client(&self) -> bool {
        self.status.authenticated
            && self.status.error.is_empty()
            && self.service_account().is_some()
    }
}

impl TokenReview {
    /// Namespace and name of the service account; `None` if the user is none.
    pub(crate) fn service_account(&self) -> Option<(&str, &str)> {
        let account = self.status.user.username.strip_prefix("system:serviceaccount:")?;
        let (namespace, name) = account.split_once(':')?;
        let is_whole = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
        is_whole.then_some((namespace, name))
    }

    /// The id of the service account; `None` if the cluster doesn't say it.
    pub(crate) fn uid(&self) -> Option<String> {
        Some(self.status.user.uid.clone()).filter(|uid| !uid.is_empty())
    }

    /// The name of the service account with that of its namespace.
    pub(crate) fn full_name(&self) -> Option<String> {
        let (namespace, name) = self.service_account()?;
        Some(format!("{namespace}/{name}"))
    }
}

/// An object of the cluster.
#[derive(Deserialize)]
struct ClusterObject {
    metadata: ObjectMetadata,
}

#[derive(Deserialize)]
struct ObjectMetadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What a renewal learns about a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountState {
    Exists,
    Gone,
    /// The reviewer may not ask, or there is none.
    Unknown,
}

/// The claims of a token that has been reviewed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReviewedClaims {
    #[serde(rename = "iss")]
    pub(crate) issuer: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub(crate) secret_name: String,
}

impl ReviewedClaims {
    /// Reads the claims without verifying anything: only for a token that the cluster has accepted.
    pub(crate) fn of_accepted_token(jwt: &Secret<String>) -> Option<Self> {
        let payload = jwt.expose_secret().split('.').nth(1)?;
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
        serde_json::from_slice(&payload).ok()
    }
}

impl<'a> ClusterReview<'a> {
    /// Finds the certificates and the token for questions to the cluster.
    ///
    /// # Errors
    ///
    /// An internal error if there are no certificates, or the files of the pod can't be read.
    pub(crate) async fn new(
        client: &'a HttpClient,
        context: &'a Context,
        config: &'a ClusterConfig,
        local: &LocalAccount,
    ) -> Result<Self, Error> {
        let is_local = !config.disable_local_ca_jwt;
        let ca_cert = match config.kubernetes_ca_cert.as_str() {
            "" if is_local => local.ca_cert().await?.unwrap_or_default(),
            configured => configured.to_owned(),
        };
        if ca_cert.is_empty() {
            return Err(Error::internal(
                "the cluster's certificates aren't known: write kubernetes_ca_cert to config",
            ));
        }
        let reviewer = match &config.token_reviewer_jwt {
            Some(configured) => Some(Secret::from_text(configured.expose_secret())),
            None if is_local => local.token().await?,
            None => None,
        };
        Ok(Self { client, context, config, ca_cert, reviewer })
    }

    fn service(&self) -> HttpService<'_> {
        let tls = TlsSettings::new().ca_cert(&self.ca_cert);
        self.client.service(self.context, &self.config.kubernetes_host).tls(tls)
    }

    /// Has the cluster review a client's token.
    pub(crate) async fn review(
        &self,
        request: &LoginRequest<'_>,
        jwt: &Secret<String>,
        audience: &str,
    ) -> Result<AttestedClient<TokenReview>, LoginError> {
        let audiences = if audience.is_empty() { Vec::new() } else { vec![audience] };
        let review = ReviewRequest {
            api_version: "authentication.k8s.io/v1",
            kind: "TokenReview",
            spec: ReviewSpec { token: jwt, audiences },
        };
        let service = self.service().bearer_token(self.reviewer.as_ref().unwrap_or(jwt));
        let call = service.post("/apis/authentication.k8s.io/v1/tokenreviews").json(&review);
        // The client's own token is refused if it is bad, and if it may not review tokens.
        let refusals: &[u16] = if self.reviewer.is_none() { &[401, 403] } else { &[] };
        let response = call.handle_statuses(refusals).send().await.map_err(Error::from)?;
        if response.status() == 403 {
            tracing::warn!(
                "a login was refused: the token of the client may not review tokens; write \
                 token_reviewer_jwt to config, or give the client's service account the role \
                 system:auth-delegator"
            );
        }
        if matches!(response.status(), 401 | 403) {
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

    /// The labels of a namespace; `None` if there is no such namespace.
    ///
    /// # Errors
    ///
    /// An internal error if there is no reviewer, since the client's token isn't used for it; the error
    /// of the call otherwise.
    pub(crate) async fn namespace_labels(
        &self,
        namespace: &str,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let Some(reviewer) = &self.reviewer else {
            return Err(Error::internal(
                "a role has a namespace selector: write token_reviewer_jwt to config",
            ));
        };
        let service = self.service().bearer_token(reviewer);
        let call = service.get("/api/v1/namespaces/:namespace").path_value("namespace", namespace);
        let response = call.handle_statuses(&[404]).send().await?;
        if response.status() == 404 {
            return Ok(None);
        }
        let found: ClusterObject = response.read_json()?;
        Ok(Some(found.metadata.labels))
    }

    /// Whether a service account with this id still exists.
    pub(crate) async fn account_state(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<AccountState, Error> {
        let Some(reviewer) = &self.reviewer else { return Ok(AccountState::Unknown) };
        let service = self.service().bearer_token(reviewer);
        let call = service
            .get("/api/v1/namespaces/:namespace/serviceaccounts/:name")
            .path_value("namespace", namespace)
            .path_value("name", name);
        let response = call.handle_statuses(&[401, 403, 404]).send().await?;
        Ok(match response.status() {
            401 | 403 => AccountState::Unknown,
            404 => AccountState::Gone,
            _ => {
                let found: ClusterObject = response.read_json()?;
                if found.metadata.uid == uid { AccountState::Exists } else { AccountState::Gone }
            }
        })
    }
}
