//! Logins of machines at a whole server, with the command line's own login among them.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use strongroom_testkit::programs::program_path;
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ApiClient, ServerFolder};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;

const REFUSED: &str = "invalid role or secret ID";

/// Enables the method, writes a role, and returns its role id.
async fn write_role(api: &ApiClient, fields: serde_json::Value) -> String {
    api.write("sys/auth/approle", json!({ "type": "approle" })).await.assert_ok();
    api.write("auth/approle/role/ci", fields).await.assert_ok();
    api.read("auth/approle/role/ci/role-id").await.assert_ok().text_at("data/role_id")
}

async fn issue(api: &ApiClient, fields: serde_json::Value) -> String {
    let issued = api.write("auth/approle/role/ci/secret-id", fields).await.assert_ok();
    issued.text_at("data/secret_id")
}

#[tokio::test]
async fn machines_log_in_and_a_restart_changes_nothing() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let role = json!({ "token_policies": "dev", "token_ttl": "1h", "token_type": "service" });
    let role_id = write_role(&api, role).await;
    let secret_id = issue(&api, json!({ "metadata": "team=a", "num_uses": 3 })).await;
    let anonymous = api.as_token("");
    let body = json!({ "role_id": role_id, "secret_id": secret_id });
    let login = anonymous.write("auth/approle/login", body.clone()).await.assert_ok();
    assert_eq!(login.body["auth"]["metadata"], json!({ "role_name": "ci", "team": "a" }));
    let token = api.as_token(&login.text_at("auth/client_token"));
    let own = token.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(own.data_field("display_name"), "approle");
    assert_eq!(own.data_field("policies"), &json!(["default", "dev"]));
    token.write("auth/token/renew-self", json!({})).await.assert_ok();

    // Whoever destroys a role ends its secret ids; tokens stay, and can't be renewed.
    assert_eq!(server.stop().await, Some(0));
    let server = site.start_sealed().await;
    site.unseal(&server).await;
    let api = server.api_with_token(api.token());
    let anonymous = api.as_token("");
    anonymous.write("auth/approle/login", body.clone()).await.assert_ok();
    api.delete("auth/approle/role/ci").await.assert_ok();
    let refused = anonymous.write("auth/approle/login", body).await;
    assert_eq!((refused.status, refused.text_at("errors/0")), (400, REFUSED.to_owned()));
    let token = api.as_token(&login.text_at("auth/client_token"));
    token.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(token.write("auth/token/renew-self", json!({})).await.status, 400);
    let log = site.read_log();
    assert!(!log.contains(&secret_id), "{log}");
    assert_eq!(server.stop().await, Some(0));
}

/// Logins at the same time share the uses of a secret id, on the real store.
#[tokio::test]
async fn of_many_logins_at_once_one_gets_the_single_use() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let role_id = write_role(&api, json!({ "secret_id_num_uses": 1 })).await;
    let secret_id = issue(&api, json!({})).await;
    let mut logins = JoinSet::new();
    // Fewer than the failures that would lock the role.
    for _ in 0..4 {
        let client = api.as_token("");
        let body = json!({ "role_id": role_id, "secret_id": secret_id });
        logins.spawn(async move { client.write("auth/approle/login", body).await.status });
    }
    let mut statuses = logins.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400]);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_role_is_locked_by_its_role_id_after_wrong_secret_ids() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let role_id = write_role(&api, json!({})).await;
    let secret_id = issue(&api, json!({})).await;
    let anonymous = api.as_token("");
    let log_in = async |role_id: &str, secret_id: &str| {
        let body = json!({ "role_id": role_id, "secret_id": secret_id });
        let answer = anonymous.write("auth/approle/login", body).await;
        (answer.status, answer.text_at("errors/0"))
    };
    for role_id in [role_id.as_str(), "unknown"] {
        for _ in 0..5 {
            assert_eq!(log_in(role_id, "wrong").await, (400, REFUSED.to_owned()));
        }
        let locked = (403, "permission denied".to_owned());
        assert_eq!(log_in(role_id, &secret_id).await, locked);
    }
    let users = api.read("sys/locked-users").await.assert_ok();
    assert_eq!(users.data_field("total"), 2);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_batch_token_of_a_role_works_and_a_wrapped_secret_id_is_given_out_once() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let role_id = write_role(&api, json!({ "token_type": "batch", "token_ttl": 60 })).await;
    let wrapped = api
        .with_header("X-Vault-Wrap-TTL", "60s")
        .write("auth/approle/role/ci/secret-id", json!({}))
        .await
        .assert_ok();
    let holder = api.as_token(&wrapped.text_at("wrap_info/token"));
    let inner = holder.write("sys/wrapping/unwrap", json!({})).await.assert_ok();
    let body = json!({ "role_id": role_id, "secret_id": inner.text_at("data/secret_id") });
    let login = api.as_token("").write("auth/approle/login", body).await.assert_ok();
    assert_eq!(login.body["auth"]["token_type"], "batch");
    let token = api.as_token(&login.text_at("auth/client_token"));
    token.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(holder.write("sys/wrapping/unwrap", json!({})).await.status, 400);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn expired_secret_ids_are_removed_on_request() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    write_role(&api, json!({})).await;
    issue(&api, json!({ "ttl": "1s" })).await;
    let list = "auth/approle/role/ci/secret-id";
    assert_eq!(api.list(list).await.assert_ok().data_field("keys").as_array().unwrap().len(), 1);
    // The second must pass, and the removal is in the background.
    wait_until("the expired secret id is gone", Duration::from_secs(30), || async {
        let answer = api.write("auth/approle/tidy/secret-id", json!({})).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        (api.list(list).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(server.stop().await, Some(0));
}

/// The command line reads the secret id from standard input or a file, so that it is in no process
/// list.
#[tokio::test]
async fn the_command_line_logs_in_with_a_secret_id_from_outside_of_its_arguments() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let role_id = write_role(&api, json!({ "secret_id_num_uses": 2 })).await;
    let secret_id = issue(&api, json!({})).await;
    let file = site.root_path().join("secret-id");
    std::fs::write(&file, format!("{secret_id}\n")).unwrap();
    for (source, input) in
        [("-".to_owned(), secret_id.as_str()), (format!("@{}", file.display()), "")]
    {
        let mut login = Command::new(program_path("strongroom"))
            .args(["login", "-method=approle", "-token-only", &format!("role_id={role_id}")])
            .arg(format!("secret_id={source}"))
            .env("VAULT_ADDR", api.address())
            .env("HOME", site.root_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        login.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = login.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let token = String::from_utf8(output.stdout).unwrap();
        let own = api.as_token(token.trim()).read("auth/token/lookup-self").await.assert_ok();
        assert_eq!(own.data_field("meta"), &json!({ "role_name": "ci" }));
    }
    assert_eq!(server.stop().await, Some(0));
}
