//! The auth method linked in and behind the plug-in protocol.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use std::net::IpAddr;

use strongroom_auth_userpass::blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::engine::Existence;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, json};

const PASSWORD: &str = "correct horse";

async fn write_bob(host: &TestHost) {
    let user = json!({
        "password": PASSWORD,
        "token_policies": "Dev, ops",
        "token_ttl": "1h",
        "token_max_ttl": "2h",
    });
    assert!(host.write("users/Bob", user).await.unwrap().warnings.is_empty());
}

async fn refusal(host: &TestHost, path: &str, body: serde_json::Value) -> String {
    let error = host.log_in(path, body).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    error.message
}

#[tokio::test]
async fn contract_of_the_sdk() {
    let samples = [("users/bob", r#"{"password":"correct horse","token_ttl":"1h"}"#)];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn a_user_logs_in_and_gets_the_terms_of_the_document() {
    Harness::run(blueprint(), |host| async move {
        write_bob(&host).await;
        let got = host.log_in("login/BOB", json!({ "password": PASSWORD })).await.unwrap();
        let login = got.login();
        assert_eq!(login.policies, ["dev", "ops"]);
        assert_eq!((login.ttl.as_secs(), login.max_ttl.as_secs()), (3600, 7200));
        assert_eq!(login.display_name, "bob");
        assert_eq!(login.alias.as_ref().unwrap().name, "bob");
        assert_eq!(login.metadata.get("username").map(String::as_str), Some("bob"));
        assert!(login.renewable);
        assert!(got.data.is_empty() && got.warnings.is_empty());
    })
    .await;
}

#[tokio::test]
async fn unknown_users_and_wrong_passwords_get_one_text() {
    Harness::run(blueprint(), |host| async move {
        write_bob(&host).await;
        let long = "x".repeat(100);
        for (path, password) in
            [("login/bob", "wrong"), ("login/nobody", PASSWORD), ("login/bob", &long)]
        {
            let text = refusal(&host, path, json!({ "password": password })).await;
            assert_eq!(text, "invalid username or password", "{path}");
        }
        let missing = host.log_in("login/bob", json!({})).await.unwrap_err();
        assert_eq!(
            (missing.kind, missing.message.as_str()),
            (ErrorKind::Invalid, "missing password")
        );
    })
    .await;
}

#[tokio::test]
async fn reads_show_neither_password_nor_hash() {
    Harness::run(blueprint(), |host| async move {
        assert_eq!(host.exists("users/bob").await.unwrap(), Existence::Absent);
        write_bob(&host).await;
        assert_eq!(host.exists("users/BOB").await.unwrap(), Existence::Exists);
        let shown = host.read("users/bob").await.unwrap().data_json();
        assert!(!shown.contains("password") && !shown.contains("$2"), "{shown}");
        assert!(shown.contains(r#""token_policies":["dev","ops"]"#), "{shown}");
        assert!(shown.contains(r#""token_type":"default""#), "{shown}");
        assert_eq!(host.list("users").await.unwrap(), ["bob"]);
        let stored = host.stored_entry("users/bob").unwrap();
        let stored = String::from_utf8_lossy(&stored.value).into_owned();
        assert!(stored.contains("$2b$10$") && !stored.contains(PASSWORD), "{stored}");
        host.delete("users/bob").await.unwrap();
        assert_eq!(host.read("users/bob").await.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn passwords_change_with_the_user_or_alone_and_can_be_imported() {
    Harness::run(blueprint(), |host| async move {
        let missing = host.write("users/bob", json!({ "token_ttl": 60 })).await.unwrap_err();
        assert_eq!(missing.message, "must provide either password or password_hash");
        write_bob(&host).await;
        // A write without a password keeps it.
        host.write("users/bob", json!({ "token_ttl": 60 })).await.unwrap();
        host.log_in("login/bob", json!({ "password": PASSWORD })).await.unwrap();
        host.write("users/bob/password", json!({ "password": "second" })).await.unwrap();
        refusal(&host, "login/bob", json!({ "password": PASSWORD })).await;
        host.log_in("login/bob", json!({ "password": "second" })).await.unwrap();
        // The hash of "third" with another prefix, as Go writes it.
        let hash = bcrypt_of("third").replace("$2b$", "$2a$");
        host.write("users/bob", json!({ "password_hash": hash })).await.unwrap();
        host.log_in("login/bob", json!({ "password": "third" })).await.unwrap();
        for (path, body) in [
            ("users/bob", json!({ "password_hash": "plain" })),
            ("users/bob", json!({ "password_hash": hash.replace("$10$", "$31$") })),
            ("users/bob", json!({ "password": "a", "password_hash": bcrypt_of("b") })),
            ("users/bob", json!({ "password": "x".repeat(73) })),
            ("users/bob", json!({ "password": "a\u{0}a" })),
            ("users/bob", json!({ "password_hash": hash.replace("$10$", "$04$") })),
            ("users/bob", json!({ "password_hash": hash.replace("$2a$", "$2x$") })),
            ("users/bob", json!({ "password_hash": format!("{}!", hash.split_at(59).0) })),
            ("users/bob/policies", json!({ "token_polices": "a" })),
            ("users/bob/password", json!({})),
            ("users/bob/password", json!({ "password_hash": "plain" })),
            ("users/nobody/password", json!({ "password": "a" })),
            ("users/nobody/policies", json!({ "policies": "a" })),
        ] {
            let error = host.write(path, body).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{path}");
        }
        host.log_in("login/bob", json!({ "password": "third" })).await.unwrap();
    })
    .await;
}

fn bcrypt_of(password: &str) -> String {
    bcrypt::hash_with_salt(password, 10, [7; 16]).unwrap().to_string()
}

#[tokio::test]
async fn the_root_policy_is_refused() {
    Harness::run(blueprint(), |host| async move {
        write_bob(&host).await;
        for path in ["users/bob", "users/bob/policies"] {
            let error =
                host.write(path, json!({ "token_policies": "dev,Root" })).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid, "{path}");
        }
        host.write("users/bob/policies", json!({ "policies": "audit" })).await.unwrap();
        let got = host.log_in("login/bob", json!({ "password": PASSWORD })).await.unwrap();
        assert_eq!(got.login().policies, ["audit"]);
    })
    .await;
}

#[tokio::test]
async fn token_fields_are_checked_together() {
    Harness::run(blueprint(), |host| async move {
        for (fields, text) in [
            (
                json!({ "token_ttl": 2, "token_max_ttl": 1 }),
                "'token_ttl' cannot be greater than 'token_max_ttl'",
            ),
            (
                json!({ "token_type": "batch", "token_period": 1 }),
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens",
            ),
            (
                json!({ "token_type": "default-batch", "token_num_uses": 1 }),
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
            ),
        ] {
            let mut body = fields.as_object().unwrap().clone();
            body.insert("password".to_owned(), PASSWORD.into());
            let error = host.write("users/bob", json!(body)).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, text));
        }
    })
    .await;
}

#[tokio::test]
async fn logins_are_bound_to_addresses() {
    Harness::run(blueprint(), |host| async move {
        let body = json!({ "password": PASSWORD, "token_bound_cidrs": "10.0.0.0/8" });
        host.write("users/bob", body).await.unwrap();
        let (inside, outside): (IpAddr, IpAddr) =
            ("10.1.2.3".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let password = json!({ "password": PASSWORD });
        let got = host.log_in_from(inside, "login/bob", password.clone()).await.unwrap();
        assert_eq!(got.login().bound_cidrs, ["10.0.0.0/8"]);
        // From outside, the right password gets the same response as a wrong one.
        let right = host.log_in_from(outside, "login/bob", password.clone()).await.unwrap_err();
        let wrong = json!({ "password": "wrong" });
        let wrong = host.log_in_from(outside, "login/bob", wrong).await.unwrap_err();
        assert_eq!((right.kind, &right.message), (wrong.kind, &wrong.message));
        host.write("users/bob", json!({ "token_strictly_bind_ip": true })).await.unwrap();
        let got = host.log_in_from(inside, "login/bob", password).await.unwrap();
        assert_eq!(got.login().bound_cidrs, ["10.1.2.3"]);
    })
    .await;
}

#[tokio::test]
async fn renewals_ask_the_document_again() {
    Harness::run(blueprint(), |host| async move {
        write_bob(&host).await;
        let got = host.log_in("login/bob", json!({ "password": PASSWORD })).await.unwrap();
        host.write("users/bob", json!({ "token_ttl": "30m" })).await.unwrap();
        let renewed = host.renew_login("login/bob", got.login()).await.unwrap();
        assert_eq!(renewed.login().ttl.as_secs(), 1800);
        host.write("users/bob", json!({ "token_policies": "other" })).await.unwrap();
        let error = host.renew_login("login/bob", got.login()).await.unwrap_err();
        assert_eq!(error.message, "policies have changed, not renewing");
        host.delete("users/bob").await.unwrap();
        let error = host.renew_login("login/bob", got.login()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Invalid, "the account of this token no longer exists")
        );
    })
    .await;
}
