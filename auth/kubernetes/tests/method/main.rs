//! The auth method linked in and behind the plug-in protocol, with a fake API server.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use std::fs;
use std::path::Path;

use strongroom_auth_kubernetes::{blueprint, blueprint_with_local_account};
use strongroom_fakes::kubernetes::{AccountRights, FakeCluster};
use strongroom_fakes::tls::FakeAuthority;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{ErrorKind, Harness, TestError, TestHost, TestResponse, json};

const REVIEW_ONLY: AccountRights =
    AccountRights { review_tokens: true, get_namespaces: false, get_accounts: false };

/// A cluster with the account `ci/builder`.
async fn start_cluster() -> FakeCluster {
    let cluster = FakeCluster::start(None).await.unwrap();
    cluster.create_account("system", "reviewer", AccountRights::ALL);
    cluster.create_account("ci", "builder", AccountRights::default());
    cluster.create_account("web", "builder", AccountRights::default());
    cluster
}

async fn configure(host: &TestHost, cluster: &FakeCluster, reviewer: Option<&str>) {
    let config = json!({
        "kubernetes_host": cluster.url(),
        "kubernetes_ca_cert": FakeAuthority::new().unwrap().cert_pem(),
        "token_reviewer_jwt": reviewer,
    });
    host.write("config", config).await.unwrap();
    let role = json!({
        "bound_service_account_names": "builder,deploy-*",
        "bound_service_account_namespaces": "ci*",
        "token_policies": "build",
        "token_ttl": "10m",
    });
    host.write("role/build", role).await.unwrap();
}

async fn start(host: &TestHost) -> FakeCluster {
    let cluster = start_cluster().await;
    let reviewer = cluster.issue_token("system", "reviewer");
    configure(host, &cluster, Some(&reviewer)).await;
    cluster
}

async fn log_in(host: &TestHost, jwt: &str) -> Result<TestResponse, TestError> {
    host.log_in("login", json!({ "role": "build", "jwt": jwt })).await
}

async fn assert_refused(host: &TestHost, jwt: &str) {
    let error = log_in(host, jwt).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "permission denied"));
}

fn alias_of(login: &TestResponse) -> &str {
    &login.login().alias.as_ref().unwrap().name
}

#[tokio::test]
async fn contract_of_the_sdk() {
    let ca = json!(FakeAuthority::new().unwrap().cert_pem());
    let config = format!(
        r#"{{"kubernetes_host":"https://127.0.0.1:1","kubernetes_ca_cert":{ca},"token_reviewer_jwt":"hunter2"}}"#
    );
    let role = r#"{"bound_service_account_names":"a","bound_service_account_namespaces":"b"}"#;
    contract::check(blueprint(), &[("config", &config), ("role/build", role)]).await;
}

#[tokio::test]
async fn a_service_account_logs_in_with_the_identity_that_the_cluster_names() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let jwt = cluster.issue_token("ci", "builder");
        let got = log_in(&host, &jwt).await.unwrap();
        let login = got.login();
        assert_eq!(login.policies, ["build"]);
        assert_eq!((login.ttl.as_secs(), login.display_name.as_str()), (600, "ci-builder"));
        let shown = |name: &str| login.metadata.get(name).map(String::as_str);
        assert_eq!(shown("role"), Some("build"));
        assert_eq!(shown("service_account_namespace"), Some("ci"));
        assert_eq!(shown("service_account_name"), Some("builder"));
        assert_eq!(shown("service_account_secret_name"), Some("builder-token"));
        assert_eq!(shown("service_account_uid"), Some(alias_of(&got)));
        assert!(alias_of(&got).starts_with("00000000-"));
        assert!(!format!("{login:?}").contains(&jwt), "the token isn't kept");
        let by_name = json!({ "alias_name_source": "serviceaccount_name" });
        host.write("role/BUILD", by_name).await.unwrap();
        assert_eq!(alias_of(&log_in(&host, &jwt).await.unwrap()), "ci/builder");
    })
    .await;
}

#[tokio::test]
async fn every_refusal_has_the_same_text() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let jwt = cluster.issue_token("ci", "builder");
        for bad in
            ["forged", "a b", "a\nb", &cluster.issue_token("web", "builder"), &format!("{jwt}x")]
        {
            assert_refused(&host, bad).await;
        }
        assert_refused(&host, &cluster.issue_token("system", "reviewer")).await;
        let unknown = host.log_in("login", json!({ "role": "none", "jwt": jwt })).await;
        assert_eq!(unknown.unwrap_err().message, "permission denied");
        for (body, text) in [
            (json!({ "jwt": jwt }), "missing role"),
            (json!({ "role": "build" }), "missing jwt"),
            (json!({ "role": "build", "jwt": "" }), "missing jwt"),
        ] {
            assert_eq!(host.log_in("login", body).await.unwrap_err().message, text);
        }
        cluster.delete_account("ci", "builder");
        assert_refused(&host, &jwt).await;
        // The token of an earlier account of the name is none of the new one.
        cluster.create_account("ci", "builder", AccountRights::default());
        assert_refused(&host, &jwt).await;
    })
    .await;
}

/// CVE-2024-5798: an audience is compared as a whole.
#[tokio::test]
async fn cve_2024_5798_a_token_for_another_audience_is_refused() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        host.write("role/build", json!({ "audience": "vault" })).await.unwrap();
        let jwt = cluster.issue_token_for("ci", "builder", "vault");
        log_in(&host, &jwt).await.unwrap();
        for audience in ["vault-2", "vaul", "https://kubernetes.default.svc"] {
            assert_refused(&host, &cluster.issue_token_for("ci", "builder", audience)).await;
        }
        // A cluster that doesn't know audiences can't say that it is the right one.
        cluster.ignore_audiences();
        assert_refused(&host, &jwt).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_reviewer_a_token_reviews_itself() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start_cluster().await;
        configure(&host, &cluster, None).await;
        host.write("config", json!({ "disable_local_ca_jwt": true })).await.unwrap();
        let jwt = cluster.issue_token("ci", "builder");
        assert_refused(&host, &jwt).await;
        assert_refused(&host, "forged").await;
        cluster.create_account("ci", "builder", REVIEW_ONLY);
        let jwt = cluster.issue_token("ci", "builder");
        let got = log_in(&host, &jwt).await.unwrap();
        // The token isn't kept, so nobody can ask whether the account exists.
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert!(error.message.contains("log in again"), "{}", error.message);
        host.write("config", json!({ "check_account_at_renewal": false })).await.unwrap();
        host.renew_login("login", got.login()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reviewer_that_is_refused_is_a_fault_of_the_configuration() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let jwt = cluster.issue_token("ci", "builder");
        for reviewer in ["stale", &jwt] {
            host.write("config", json!({ "token_reviewer_jwt": reviewer })).await.unwrap();
            let error = log_in(&host, &jwt).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal);
            assert!(!error.message.contains(reviewer), "{}", error.message);
        }
    })
    .await;
}

/// The pod's files are those of the moment: the kubelet replaces them.
#[tokio::test]
async fn the_pods_own_account_reviews_and_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |token: &str, ca: &str| {
        fs::write(folder.path().join("token"), format!("{token}\n")).unwrap();
        fs::write(folder.path().join("ca.crt"), ca).unwrap();
    };
    let write = &write;
    Harness::run(blueprint_with_local_account(folder.path()), |host| async move {
        let (authority, other) = (FakeAuthority::new().unwrap(), FakeAuthority::new().unwrap());
        let cluster = start_cluster().await;
        configure(&host, &cluster, None).await;
        host.write("config", json!({ "kubernetes_ca_cert": "" })).await.unwrap();
        let jwt = cluster.issue_token("ci", "builder");
        write(&cluster.issue_token("system", "reviewer"), &authority.cert_pem());
        log_in(&host, &jwt).await.unwrap();
        cluster.create_account("system", "reviewer", AccountRights::ALL);
        assert_eq!(log_in(&host, &jwt).await.unwrap_err().kind, ErrorKind::Internal);
        write(&cluster.issue_token("system", "reviewer"), &other.cert_pem());
        log_in(&host, &jwt).await.unwrap();
        let error =
            host.write("config", json!({ "disable_local_ca_jwt": true })).await.unwrap_err();
        assert!(error.message.starts_with("kubernetes_ca_cert must be given"), "{}", error.message);
    })
    .await;
}

#[tokio::test]
async fn a_cluster_without_known_certificates_is_not_asked() {
    Harness::run(blueprint_with_local_account(Path::new("/nonexistent")), |host| async move {
        let cluster = start_cluster().await;
        configure(&host, &cluster, Some("reviewer")).await;
        host.write("config", json!({ "kubernetes_ca_cert": "" })).await.unwrap();
        let error = log_in(&host, "a.b.c").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal, "outside of a pod there are no certificates");
        assert!(cluster.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn namespaces_are_permitted_by_their_labels() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let role = json!({
            "bound_service_account_namespaces": [],
            "bound_service_account_namespace_selector": r#"{"matchLabels":{"team":"a"}}"#,
        });
        host.write("role/build", role).await.unwrap();
        let jwt = cluster.issue_token("ci", "builder");
        assert_refused(&host, &jwt).await;
        cluster.set_labels("ci", &[("team", "b")]);
        assert_refused(&host, &jwt).await;
        cluster.set_labels("ci", &[("team", "a"), ("env", "prod")]);
        let got = log_in(&host, &jwt).await.unwrap();
        host.renew_login("login", got.login()).await.unwrap();
        cluster.set_labels("ci", &[]);
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert_eq!(error.message, "the role no longer permits this service account");
    })
    .await;
}

#[tokio::test]
async fn cve_2026_115356_renewals_ask_for_the_role_and_the_service_account() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let got = log_in(&host, &cluster.issue_token("ci", "builder")).await.unwrap();
        host.write("role/build", json!({ "token_ttl": "5m" })).await.unwrap();
        let renewed = host.renew_login("login", got.login()).await.unwrap();
        assert_eq!(renewed.login().ttl.as_secs(), 300);
        host.write("role/build", json!({ "bound_service_account_names": "other" })).await.unwrap();
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert_eq!(error.message, "the role no longer permits this service account");
        host.write("role/build", json!({ "bound_service_account_names": "builder" }))
            .await
            .unwrap();
        host.renew_login("login", got.login()).await.unwrap();
        // Created anew, it is another account.
        cluster.create_account("ci", "builder", AccountRights::default());
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert_eq!(error.message, "the service account of this token no longer exists");
        cluster.delete_account("ci", "builder");
        let error = host.renew_login("login", got.login()).await.unwrap_err();
        assert_eq!(error.message, "the service account of this token no longer exists");
        host.delete("role/build").await.unwrap();
        assert!(host.renew_login("login", got.login()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_issuer_of_a_token_can_be_required() {
    Harness::run(blueprint(), |host| async move {
        let cluster = start(&host).await;
        let jwt = cluster.issue_token("ci", "builder");
        host.write("config", json!({ "disable_iss_validation": false })).await.unwrap();
        assert_refused(&host, &jwt).await;
        host.write("config", json!({ "issuer": "https://issuer.example" })).await.unwrap();
        log_in(&host, &jwt).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn documents_are_checked_and_show_no_token() {
    Harness::run(blueprint(), |host| async move {
        start(&host).await;
        let shown = host.read("config").await.unwrap();
        assert_eq!(shown.field_json("token_reviewer_jwt_set"), "true");
        assert_eq!(shown.field_json("disable_iss_validation"), "true");
        assert!(!shown.data_json().contains("token_reviewer_jwt\""), "{}", shown.data_json());
        for (path, body, text) in [
            ("config", json!({ "pem_keys": ["key"] }), "pem_keys can't be set"),
            (
                "config",
                json!({ "kubernetes_ca_cert": "x" }),
                "kubernetes_ca_cert is no certificate",
            ),
            ("role/new", json!({}), "\"bound_service_account_names\" can not be empty"),
            (
                "role/new",
                json!({ "bound_service_account_names": "a" }),
                "\"bound_service_account_namespaces\" can not be empty if",
            ),
            ("role/build", json!({ "bound_service_account_names": "a,*" }), "can not mix \"*\""),
            (
                "role/build",
                json!({ "bound_service_account_namespaces": ["a", "*"] }),
                "can not mix",
            ),
            (
                "role/build",
                json!({ "bound_service_account_namespace_selector": "{}" }),
                "invalid \"bound_service_account_namespace_selector\" configured",
            ),
            ("role/build", json!({ "alias_name_source": "x" }), "alias_name_source"),
            ("role/build", json!({ "token_policies": "root" }), "root"),
        ] {
            let error = host.write(path, body).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{text}");
            assert!(error.message.contains(text), "{text}: {}", error.message);
        }
        host.write(
            "role/old",
            json!({
                "bound_service_account_names": "*", "bound_service_account_namespaces": "*",
                "policies": "p", "ttl": 60,
            }),
        )
        .await
        .unwrap();
        let shown = host.read("role/old").await.unwrap();
        assert_eq!((shown.field_json("ttl"), shown.field_json("token_ttl")), ("60", "60"));
        assert_eq!(host.list("role").await.unwrap(), ["build", "old"]);
    })
    .await;
}
