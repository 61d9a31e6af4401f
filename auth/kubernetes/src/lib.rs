//! The auth method `kubernetes`: workloads log in with the tokens of their service accounts, which the
//! cluster reviews.
//!
//! Paths: `config` (the cluster), `role/:name` (which service accounts may log in, and the terms of their
//! tokens) and `login`. The method never decides by itself whether a token is good: it has the cluster
//! review it (`TokenReview` of `authentication.k8s.io/v1`), and takes the service account from the
//! answer. Guide and API reference: `docs/src/auth/kubernetes.md`.
//!
//! - `config`: the cluster
//! - `local_account`: the service account that the server itself runs with
//! - `role`: which service accounts may log in
//! - `namespace_selector`: roles for namespaces with labels
//! - `review`: the questions to the cluster
//! - `login`: logins and renewals

mod config;
mod local_account;
mod login;
mod namespace_selector;
mod review;
mod role;

use std::path::Path;

use strongroom_sdk::Blueprint;
use strongroom_sdk::http::HttpClient;

use crate::config::ClusterConfig;
use crate::local_account::LocalAccount;
use crate::login::ServiceAccountLogin;
use crate::role::Role;

/// The name of the outside system in errors.
pub(crate) const SYSTEM: &str = "kubernetes";

/// The blueprint of the auth method, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    blueprint_with_local_account(Path::new("/var/run/secrets/kubernetes.io/serviceaccount"))
}

/// The same with the server's own service account in another folder, for tests.
#[doc(hidden)]
pub fn blueprint_with_local_account(folder: &Path) -> Blueprint {
    let local = LocalAccount::new(folder);
    Blueprint::auth_method("kubernetes", env!("CARGO_PKG_VERSION"))
        .help("Logs workloads in with the tokens of their Kubernetes service accounts.")
        .document::<ClusterConfig>()
        .document::<Role>()
        .login(ServiceAccountLogin::new(HttpClient::new(SYSTEM), local))
}
