//! Logins with the tokens of service accounts, which a cluster reviews.

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_example_ports::kubernetes_login::blueprint;
use strongroom_fakes::serve::ReceivedRequest;
use strongroom_fakes::tls::FakeAuthority;
use strongroom_sdk::testing::{ErrorKind, Harness, TestError, TestHost, TestResponse, json};
use strongroom_sdk::{Ttl, contract};

use crate::fake_system::{Behavior, FakeSystem, bearer_token, json_body, unreachable_url};

/// A user of the cluster.
struct User {
    username: String,
    uid: String,
    audience: String,
}

/// An API server with the tokens of its users.
struct Cluster {
    users: BTreeMap<String, User>,
    /// Whether answers say which audiences a token was accepted for.
    knows_audiences: bool,
}

const REVIEWER: &str = "jwt-of-the-reviewer";
const BUILDER: &str = "jwt-of-the-builder";

impl Cluster {
    fn new() -> Self {
        let account = |name: &str, uid: &str| User {
            username: name.to_owned(),
            uid: uid.to_owned(),
            audience: "https://kubernetes".to_owned(),
        };
        let users = [
            (REVIEWER, account("system:serviceaccount:kube-system:reviewer", "uid-0")),
            (BUILDER, account("system:serviceaccount:ci:builder", "uid-1")),
            ("jwt-of-a-node", account("system:node:node-1", "uid-2")),
            ("jwt-of-another", account("system:serviceaccount:web:builder", "uid-3")),
        ];
        let users = users.into_iter().map(|(jwt, user)| (jwt.to_owned(), user)).collect();
        Self { users, knows_audiences: true }
    }
}

fn answer(cluster: &mut Cluster, request: &ReceivedRequest) -> (u16, Value) {
    let is_review = request.path == "/apis/authentication.k8s.io/v1/tokenreviews";
    if request.method != "POST" || !is_review {
        return (404, Value::Null);
    }
    if !cluster.users.contains_key(bearer_token(request)) {
        return (401, json!({ "kind": "Status", "status": "Failure" }));
    }
    let review = json_body(request);
    let (jwt, audiences) = (review["spec"]["token"].as_str(), &review["spec"]["audiences"]);
    let user = jwt.and_then(|jwt| cluster.users.get(jwt)).filter(|user| {
        let asked = audiences.as_array();
        !cluster.knows_audiences
            || asked.is_none_or(|asked| asked.iter().any(|it| *it == *user.audience))
    });
    let Some(user) = user else {
        // The API server repeats what the client claims, and says that it isn't so.
        let claimed = json!({ "username": "system:serviceaccount:ci:builder", "uid": "uid-1" });
        return (201, json!({ "status": { "user": claimed, "error": "invalid bearer token" } }));
    };
    let mut status = json!({
        "authenticated": true,
        "user": { "username": user.username, "uid": user.uid },
    });
    if cluster.knows_audiences {
        status["audiences"] = json!([user.audience]);
    }
    (201, json!({ "kind": "TokenReview", "status": status }))
}

async fn start_cluster(host: &TestHost) -> FakeSystem<Cluster> {
    let cluster = FakeSystem::start(Cluster::new(), answer).await;
    configure(host, &cluster.url(), Some(REVIEWER)).await;
    let role = json!({
        "bound_service_account_names": "builder,deploy-*",
        "bound_service_account_namespaces": "ci*",
        "token_policies": "build",
        "token_ttl": "10m",
    });
    host.write("role/build", role).await.unwrap();
    cluster
}

async fn configure(host: &TestHost, url: &str, reviewer: Option<&str>) {
    let config = json!({ "kubernetes_host": url, "token_reviewer_jwt": reviewer });
    host.write("config", config).await.unwrap();
}

async fn log_in(host: &TestHost, jwt: &str) -> Result<TestResponse, TestError> {
    host.log_in("login", json!({ "role": "build", "jwt": jwt })).await
}

async fn run(body: impl AsyncFn(TestHost)) {
    Harness::run(blueprint(), |host| body(host)).await;
}

const REFUSED: &str = "permission denied";

#[tokio::test]
async fn a_service_account_logs_in_with_the_identity_that_the_cluster_names() {
    run(async |host| {
        let _cluster = start_cluster(&host).await;
        let got = log_in(&host, BUILDER).await.unwrap();
        let login = got.login();
        assert_eq!(login.alias.as_ref().unwrap().name, "uid-1");
        assert_eq!((login.policies.join(","), login.ttl), ("build".into(), Ttl::from_secs(600)));
        assert_eq!(login.metadata["role"], "build");
        assert_eq!(login.metadata["service_account_namespace"], "ci");
        assert_eq!(login.metadata["service_account_name"], "builder");
        assert!(!format!("{login:?}").contains("jwt-of"), "the token isn't kept");
        host.write("role/build", json!({ "alias_name_source": "serviceaccount_name" }))
            .await
            .unwrap();
        let named = log_in(&host, BUILDER).await.unwrap();
        assert_eq!(named.login().alias.as_ref().unwrap().name, "ci/builder");
    })
    .await;
}

#[tokio::test]
async fn every_refusal_has_the_same_text() {
    run(async |host| {
        let cluster = start_cluster(&host).await;
        for jwt in ["jwt-that-is-forged", "jwt-of-a-node", "jwt-of-another", REVIEWER] {
            let refused = log_in(&host, jwt).await.unwrap_err();
            assert_eq!(refused.message, REFUSED, "{jwt}");
        }
        let unknown = host.log_in("login", json!({ "role": "none", "jwt": BUILDER })).await;
        assert_eq!(unknown.unwrap_err().message, REFUSED);
        let nameless = json!({ "jwt": BUILDER });
        assert!(host.log_in("login", nameless).await.unwrap_err().message.contains("role"));
        // An account whose answer lacks the property that identifies it is nobody.
        cluster.lock().users.get_mut(BUILDER).unwrap().uid.clear();
        assert_eq!(log_in(&host, BUILDER).await.unwrap_err().message, REFUSED);
    })
    .await;
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_also_by_a_cluster_that_ignores_audiences() {
    run(async |host| {
        let cluster = start_cluster(&host).await;
        host.write("role/build", json!({ "audience": "strongroom" })).await.unwrap();
        for knows_audiences in [true, false] {
            cluster.lock().knows_audiences = knows_audiences;
            assert_eq!(log_in(&host, BUILDER).await.unwrap_err().message, REFUSED);
        }
        cluster.lock().knows_audiences = true;
        cluster.lock().users.get_mut(BUILDER).unwrap().audience = "strongroom".to_owned();
        log_in(&host, BUILDER).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_a_reviewer_a_token_is_reviewed_with_its_own_rights() {
    run(async |host| {
        let cluster = start_cluster(&host).await;
        host.delete("config").await.unwrap();
        configure(&host, &cluster.url(), None).await;
        log_in(&host, BUILDER).await.unwrap();
        assert_eq!(log_in(&host, "jwt-that-is-forged").await.unwrap_err().message, REFUSED);
    })
    .await;
}

#[tokio::test]
async fn a_cluster_that_cannot_decide_is_an_error_and_no_refusal() {
    run(async |host| {
        let cluster = start_cluster(&host).await;
        for behavior in [Behavior::Refuses(500), Behavior::LosesResponse, Behavior::LosesRequest] {
            cluster.set_behavior(behavior);
            let failed = log_in(&host, BUILDER).await.unwrap_err();
            assert_eq!(failed.kind, ErrorKind::Internal, "{behavior:?}");
            assert!(!failed.message.contains("jwt-of"), "{}", failed.message);
        }
        cluster.set_behavior(Behavior::Normal);
        configure(&host, &cluster.url(), Some("jwt-that-has-expired")).await;
        assert_eq!(log_in(&host, BUILDER).await.unwrap_err().kind, ErrorKind::Internal);
        configure(&host, &unreachable_url(), Some(REVIEWER)).await;
        assert_eq!(log_in(&host, BUILDER).await.unwrap_err().kind, ErrorKind::Internal);
        configure(&host, &cluster.url(), Some(REVIEWER)).await;
        log_in(&host, BUILDER).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_renewal_checks_the_role_again() {
    run(async |host| {
        let _cluster = start_cluster(&host).await;
        let login = log_in(&host, BUILDER).await.unwrap().login().clone();
        host.write("role/build", json!({ "token_ttl": "5m" })).await.unwrap();
        let renewed = host.renew_login("login", &login).await.unwrap();
        assert_eq!(renewed.login().ttl, Ttl::from_secs(300));
        host.write("role/build", json!({ "bound_service_account_namespaces": "web" }))
            .await
            .unwrap();
        let refused = host.renew_login("login", &login).await.unwrap_err();
        assert_eq!(refused.message, "the role no longer permits this service account");
        host.delete("role/build").await.unwrap();
        let gone = host.renew_login("login", &login).await.unwrap_err();
        assert_eq!(gone.message, "role \"build\" not found");
    })
    .await;
}

#[tokio::test]
async fn a_login_writes_nothing_and_survives_a_crash_of_the_method() {
    run(async |host| {
        let _cluster = start_cluster(&host).await;
        host.fail_writes_after(0);
        let login = log_in(&host, BUILDER).await.unwrap().login().clone();
        host.repair_storage();
        host.crash().await;
        host.reopen().await;
        host.renew_login("login", &login).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn settings_that_permit_everyone_or_cannot_work_are_refused() {
    run(async |host| {
        let role = |names: &str, namespaces: &str| {
            json!({
                "bound_service_account_names": names,
                "bound_service_account_namespaces": namespaces,
            })
        };
        let all = host.write("role/all", role("*", "*")).await.unwrap_err();
        assert!(all.message.contains("can't both be"), "{}", all.message);
        assert!(host.write("role/all", role("a", "")).await.is_err());
        host.write("role/all", role("*", "ci")).await.unwrap();
        let bad = json!({ "kubernetes_host": "https://127.0.0.1", "kubernetes_ca_cert": "none" });
        let refused = host.write("config", bad).await.unwrap_err();
        assert_eq!(refused.message, "ca_cert is no certificate in PEM");
        let ca = FakeAuthority::new().unwrap().cert_pem();
        let good = json!({ "kubernetes_host": "https://127.0.0.1", "kubernetes_ca_cert": ca });
        host.write("config", good).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let config = r#"{"kubernetes_host":"http://127.0.0.1:1","token_reviewer_jwt":"jwt-1"}"#;
    let role = r#"{"bound_service_account_names":["a"],"bound_service_account_namespaces":["b"]}"#;
    contract::check(blueprint(), &[("config", config), ("role/build", role)]).await;
}
