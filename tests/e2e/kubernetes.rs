//! The auth method `kubernetes` with a fake cluster: built in, and as a plug-in of a server of others.

use serde_json::{Value, json};
use strongroom_fakes::kubernetes::{AccountRights, FakeCluster};
use strongroom_fakes::tls::FakeAuthority;
use strongroom_testkit::{ApiClient, ServerFolder};

use crate::peers::{PeerServer, Plugin};

/// Configures the method at `mount` with a role for the account `ci/builder`.
async fn configure(api: &ApiClient, mount: &str) -> FakeCluster {
    let cluster = FakeCluster::start(None).await.unwrap();
    cluster.create_account("system", "reviewer", AccountRights::ALL);
    cluster.create_account("ci", "builder", AccountRights::default());
    let config = json!({
        "kubernetes_host": cluster.url(),
        "kubernetes_ca_cert": FakeAuthority::new().unwrap().cert_pem(),
        "token_reviewer_jwt": cluster.issue_token("system", "reviewer"),
    });
    api.write(&format!("auth/{mount}/config"), config).await.assert_ok();
    let role = json!({
        "bound_service_account_names": "builder", "bound_service_account_namespaces": "ci",
        "token_policies": "build", "token_ttl": "10m",
    });
    api.write(&format!("auth/{mount}/role/build"), role).await.assert_ok();
    cluster
}

async fn log_in(api: &ApiClient, mount: &str, jwt: &str) -> Value {
    let body = json!({ "role": "build", "jwt": jwt });
    api.as_token("").write(&format!("auth/{mount}/login"), body).await.body
}

/// Logs in, is refused with another token, and can't renew once the service account is gone.
async fn check_logins(api: &ApiClient, mount: &str, cluster: &FakeCluster) -> String {
    let login = log_in(api, mount, &cluster.issue_token("ci", "builder")).await;
    assert_eq!(login["auth"]["policies"], json!(["build", "default"]), "{login}");
    assert_eq!(login["auth"]["metadata"]["service_account_name"], "builder");
    let token = login["auth"]["client_token"].as_str().unwrap().to_owned();
    let builder = api.as_token(&token);
    builder.write("auth/token/renew-self", json!({})).await.assert_ok();
    let refused = log_in(api, mount, &cluster.issue_token("system", "reviewer")).await;
    assert_eq!(refused["errors"], json!(["permission denied"]));
    cluster.delete_account("ci", "builder");
    let refused = builder.write("auth/token/renew-self", json!({})).await;
    assert!(refused.status >= 400, "{refused:?}");
    token
}

#[tokio::test]
async fn service_accounts_log_in_and_renew_as_long_as_they_exist() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/auth/pods", json!({ "type": "kubernetes" })).await.assert_ok();
    let cluster = configure(&api, "pods").await;
    let token = check_logins(&api, "pods", &cluster).await;
    assert!(!site.read_log().contains(&token));
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn service_accounts_log_in_under_a_real_peer() {
    let test = "service_accounts_log_in_under_a_real_peer";
    let plugin = Plugin {
        kind: "auth",
        name: "kubernetes",
        binary: "strongroom-auth-kubernetes",
        version: "v1.0.0",
        path: "pods",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let cluster = configure(&peer.api, "pods").await;
    let token = check_logins(&peer.api, "pods", &cluster).await;
    peer.unmount().await;
    peer.remove(&[&token]).await;
}
