//! The connection to RabbitMQ, and the contract of all engines.

use strongroom_engine_rabbitmq::blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::testing::{ErrorKind, json};

use super::{TestRun, with_rabbitmq};

#[tokio::test]
async fn the_engine_keeps_the_contract() {
    let connection = r#"{"connection_uri":"http://127.0.0.1:9","username":"admin",
        "password":"pw","verify_connection":false,"username_template":""}"#;
    let role = r#"{"tags":"management","vhosts":"{\"/\":{\"read\":\".*\"}}","vhost_topics":{},
        "limits":{"max-channels":1}}"#;
    let lease = r#"{"ttl":"1h","max_ttl":"2h"}"#;
    let user = r#"{"username":"app","rotation_period":"1h","skip_import_rotation":true}"#;
    let samples = [
        ("config/connection", connection),
        ("config/lease", lease),
        ("roles/dev", role),
        ("static-roles/app", user),
    ];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn a_connection_is_stored_if_rabbitmq_accepts_it_and_shown_without_password() {
    with_rabbitmq(
        "a_connection_is_stored_if_rabbitmq_accepts_it_and_shown_without_password",
        |run| async move {
            let host = &run.host;
            let unprivileged = run.rabbit.create_administrator(&run.role).await;
            let path = format!("users/{}", run.role);
            let password = unprivileged["password"].as_str().unwrap();
            let body = json!({ "password": password, "tags": "monitoring" });
            assert_eq!(run.rabbit.put_as(&run.role, password, &path, &body).await, 204);
            for (refused, text) in [
                (run.connection_with("password", "wrong-4711"), "answered 401"),
                (
                    run.connection_with("connection_uri", &TestRun::unused_url()),
                    "could not connect",
                ),
                (run.connection_with("username_template", "{{uuid}}"), "is not supported"),
                (
                    run.connection_with("password_policy", "missing"),
                    "password_policy can't be used",
                ),
                (run.connection_with("username", "a:b"), "username must not contain a colon"),
                (json!({ "connection_uri": "http://evil.example.com" }), "missing required field"),
                (unprivileged, "answered 401"),
            ] {
                let error = host.write("config/connection", refused).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
                assert!(error.message.contains(text) && !error.message.contains("4711"), "{error}");
            }
            let shown = host.read("config/connection").await.unwrap();
            assert_eq!(shown.text("connection_uri"), run.rabbit.url());
            assert!(
                !format!("{:?}", shown.data).contains("password-of"),
                "the password is not shown"
            );
            let with_policy = run.connection_with("password_policy", "known");
            host.write("config/connection", with_policy).await.unwrap();
            run.write_role(json!({ "tags": "management" })).await.unwrap();
            let got = run.issue().await.unwrap();
            assert_eq!(got.text("password"), "correct horse");
            host.revoke(&got.lease().id).await.unwrap();
        },
    )
    .await;
}
