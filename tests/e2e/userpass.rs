//! Logins with passwords at a whole server, and users that are locked after failed ones.

use serde_json::json;
use strongroom_testkit::{ApiClient, ServerFolder};
use tokio::task::JoinSet;

const PASSWORD: &str = "correct horse battery staple";

/// A failed login: its status, and the text of the error.
async fn failed_login(anonymous: &ApiClient, user: &str, password: &str) -> (u16, String) {
    let path = format!("auth/userpass/login/{user}");
    let answer = anonymous.write(&path, json!({ "password": password })).await;
    assert!(answer.body["auth"].is_null(), "{answer:?}");
    (answer.status, answer.text_at("errors/0"))
}

#[tokio::test]
async fn users_log_in_and_are_locked_after_five_failures() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/auth/userpass", json!({ "type": "userpass" })).await.assert_ok();
    for user in ["sally", "bob"] {
        let body = json!({ "password": PASSWORD, "token_policies": "dev", "token_ttl": "1h" });
        api.write(&format!("auth/userpass/users/{user}"), body).await.assert_ok();
    }
    let anonymous = api.as_token("");
    let body = json!({ "password": PASSWORD });
    let login = anonymous.write("auth/userpass/login/Sally", body.clone()).await.assert_ok();
    let sally = api.as_token(&login.text_at("auth/client_token"));
    let own = sally.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(own.data_field("display_name"), "userpass-sally");
    assert_eq!(own.data_field("policies"), &json!(["default", "dev"]));
    sally.write("auth/token/renew-self", json!({})).await.assert_ok();

    let refused = (400, "invalid username or password".to_owned());
    // Spellings of one name share a count.
    for user in ["bob", "BOB", "Bob", "bOb", "boB"] {
        assert_eq!(failed_login(&anonymous, user, "wrong").await, refused);
    }
    let locked = (403, "permission denied".to_owned());
    assert_eq!(failed_login(&anonymous, "bob", PASSWORD).await, locked);
    // Users that don't exist are locked in the same way.
    for _ in 0..5 {
        assert_eq!(failed_login(&anonymous, "nobody", "wrong").await, refused);
    }
    assert_eq!(failed_login(&anonymous, "nobody", "wrong").await, locked);
    // A locked user disturbs neither others nor the tokens that it has.
    anonymous.write("auth/userpass/login/sally", body.clone()).await.assert_ok();

    let mount = api.read("sys/auth/userpass").await.assert_ok().text_at("data/accessor");
    let users = api.read("sys/locked-users").await.assert_ok();
    assert_eq!(users.data_field("total"), 2);
    let of_mount = &users.data_field("by_namespace")[0]["mount_accessors"][0];
    assert_eq!(of_mount["mount_accessor"], mount);
    assert_eq!(of_mount["alias_identifiers"], json!(["bob", "nobody"]));
    assert_eq!(sally.read("sys/locked-users").await.status, 403);
    let unlock = format!("sys/locked-users/{mount}/unlock/bob");
    assert_eq!(api.write(&unlock, json!({})).await.status, 204);
    anonymous.write("auth/userpass/login/bob", body).await.assert_ok();

    let log = site.read_log();
    assert!(log.contains("a user was locked after too many failed logins"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    assert_eq!(server.stop().await, Some(0));
}

/// Logins at the same time are no more guesses than one after the other.
#[tokio::test]
async fn many_logins_at_once_give_no_more_guesses() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api.write("sys/auth/userpass", json!({ "type": "userpass" })).await.assert_ok();
    api.write("auth/userpass/users/bob", json!({ "password": PASSWORD })).await.assert_ok();
    let anonymous = api.as_token("");
    let mut guesses = JoinSet::new();
    for n in 0..40 {
        let client = anonymous.clone();
        guesses.spawn(async move { failed_login(&client, "bob", &format!("guess {n}")).await });
    }
    let answers = guesses.join_all().await;
    let answered = answers.iter().filter(|(status, _)| *status == 400).count();
    assert_eq!(answered, 5, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| matches!(status, 400 | 403)), "{answers:?}");
    assert_eq!(failed_login(&anonymous, "bob", PASSWORD).await.0, 403);
    assert_eq!(server.stop().await, Some(0));
}
