//! [`ClusterConfig`]: the cluster whose service accounts log in.

use strongroom_sdk::document_hooks::ReadHook;
use strongroom_sdk::http::TlsSettings;
use strongroom_sdk::*;

/// The cluster whose service accounts may log in, and how its API server is asked.
#[derive(Document)]
#[document(path = "config", seal_wrap, validate = check_config, ReadHook)]
pub(crate) struct ClusterConfig {
    /// URL of the cluster's API server.
    #[field(required)]
    pub(crate) kubernetes_host: BaseUrl,
    /// Certificates in PEM of the authorities of the API server; empty for the file ca.crt of the pod
    /// that the server runs in.
    #[field(display(name = "Kubernetes CA Certificate"))]
    pub(crate) kubernetes_ca_cert: String,
    /// Token of a service account that may review tokens. Without it the token of the pod that the server
    /// runs in is used, or outside of a pod the client's own. Never shown.
    #[field(display(name = "Token Reviewer JWT"))]
    pub(crate) token_reviewer_jwt: Option<Secret<String>>,
    /// Uses neither the token nor the certificates of the pod that the server runs in.
    #[field(display(name = "Disable use of local CA and service account JWT"))]
    pub(crate) disable_local_ca_jwt: bool,
    /// Can't be set: the cluster reviews every token, which includes its signature.
    #[field(public)]
    pub(crate) pem_keys: CommaList,
    /// Issuer that tokens must have if disable_iss_validation is false.
    pub(crate) issuer: String,
    /// Leaves the issuer of tokens to the cluster's review.
    #[field(default = "true")]
    pub(crate) disable_iss_validation: bool,
    /// Asks the cluster at a renewal whether the service account still exists. The reviewer needs the
    /// right to get service accounts.
    #[field(default = "true")]
    pub(crate) check_account_at_renewal: bool,
}

/// The issuer of tokens of old clusters, if no other is configured.
const DEFAULT_ISSUER: &str = "kubernetes/serviceaccount";

impl ClusterConfig {
    /// The issuer that tokens must have; `None` if any is accepted that the cluster accepts.
    pub(crate) fn required_issuer(&self) -> Option<&str> {
        match (self.disable_iss_validation, self.issuer.as_str()) {
            (true, _) => None,
            (false, "") => Some(DEFAULT_ISSUER),
            (false, issuer) => Some(issuer),
        }
    }
}

fn check_config(config: &ClusterConfig) -> Result<(), String> {
    if config.disable_local_ca_jwt && config.kubernetes_ca_cert.is_empty() {
        return Err("kubernetes_ca_cert must be given when disable_local_ca_jwt is true".to_owned());
    }
    if !config.pem_keys.0.is_empty() {
        return Err(
            "pem_keys can't be set: the cluster reviews every token, which includes its signature"
                .to_owned(),
        );
    }
    let tls = TlsSettings::new().ca_cert(&config.kubernetes_ca_cert);
    tls.check().map_err(|_| "kubernetes_ca_cert is no certificate in PEM".to_owned())
}

/// What a read shows beside the stored fields.
#[derive(ResponseData)]
pub(crate) struct ReviewerState {
    token_reviewer_jwt_set: bool,
}

impl ReadHook for ClusterConfig {
    type Computed = ReviewerState;

    async fn computed_fields(&self, _: &Context, _: &str) -> Result<ReviewerState, Error> {
        Ok(ReviewerState { token_reviewer_jwt_set: self.token_reviewer_jwt.is_some() })
    }
}
