//! The engine under each transport, with a real RabbitMQ of Debian's package `rabbitmq-server`.
#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use strongroom_engine_rabbitmq::blueprint;
use strongroom_sdk::{Ttl, contract, testing::Harness, testing::TestHost, testing::json};
use strongroom_testkit::RabbitMq;

/// Runs a body under each transport, connected as an administrator whose name the body gets.
async fn with_rabbitmq(test: &str, body: impl AsyncFn(&TestHost, &RabbitMq, &str)) {
    let Some(rabbit) = RabbitMq::shared(test).await else { return };
    Harness::run(blueprint(), async |host| {
        let name = format!("{test}-{:?}", host.transport());
        host.write("config/connection", rabbit.create_administrator(&name).await).await.unwrap();
        body(&host, rabbit, &name).await;
    })
    .await;
}

#[tokio::test]
async fn the_engine_keeps_the_contract() {
    let connection =
        r#"{"connection_uri":"http://h","username":"a","password":"pw","verify_connection":false}"#;
    let user = r#"{"username":"app","rotation_period":"1h","skip_import_rotation":true}"#;
    let role = ("roles/dev", r#"{"vhosts":{"/":{}},"limits":{"max-channels":1}}"#);
    let lease = ("config/lease", r#"{"ttl":"1h","max_ttl":"2h"}"#);
    let samples = [("config/connection", connection), role, lease, ("static-roles/app", user)];
    contract::check(blueprint(), &samples).await;
}

#[tokio::test]
async fn a_connection_is_tried_before_it_is_stored() {
    with_rabbitmq("tried", async |host, rabbit, _| {
        for (field, value, text) in [
            ("password", "wrong-4711", "answered 401"),
            ("connection_uri", "http://127.0.0.1:1", "could not connect"),
            ("username", "a:b", "username must not contain a colon"),
            ("password_policy", "missing", "password_policy can't be used"),
            ("username_template", "{{uuid}}", "is not supported"),
        ] {
            let mut body = rabbit.connection();
            body[field] = value.into();
            let error = host.write("config/connection", body).await.unwrap_err();
            assert!(error.message.contains(text) && !error.message.contains("4711"), "{error}");
        }
        let shown = host.read("config/connection").await.unwrap().data_json();
        assert!(shown.contains(rabbit.url()) && !shown.contains("password-of"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn a_user_has_what_its_role_grants_until_its_lease_ends() {
    with_rabbitmq("granted", async |host, rabbit, run| {
        let role = json!({
            "tags": "management", "max_ttl": "10m", "limits": { "max-channels": 7 },
            "vhosts": r#"{"/": {"configure": "^jobs-", "read": ".*"}}"#,
            "vhost_topics": { "/": { "amq.topic": { "write": "^a", "read": "^b" } } },
        });
        host.write(&format!("roles/{run}"), role).await.unwrap();
        host.write("config/lease", json!({ "ttl": "2m", "max_ttl": "5m" })).await.unwrap();
        let got = host.read(&format!("creds/{run}")).await.unwrap();
        let (name, password, lease) = (got.text("username"), got.text("password"), got.lease());
        let user = rabbit.get(&format!("users/{name}")).await.1;
        let has = json!([user["tags"], user["limits"]]);
        assert_eq!(has, json!([["management"], { "max-channels": 7 }]));
        let topics = rabbit.get(&format!("users/{name}/topic-permissions")).await.1;
        assert_eq!((&topics[0]["write"], &topics[0]["read"]), (&json!("^a"), &json!("^b")));
        for (queue, status) in [(format!("jobs-{name}"), 201), (format!("mine-{name}"), 401)] {
            let path = format!("queues/%2F/{queue}");
            assert_eq!(rabbit.put_as(&name, &password, &path, &json!({})).await, status, "{queue}");
        }
        assert_eq!((lease.ttl, lease.max_ttl), (Ttl::from_secs(120), Ttl::from_secs(600)));
        host.renew(&lease.id, Ttl::ZERO).await.unwrap();
        host.revoke(&lease.id).await.unwrap();
        assert_eq!(rabbit.get_as(&name, &password, "whoami").await.0, 401);
    })
    .await;
}

#[tokio::test]
async fn no_failure_leaves_a_user_without_a_lease() {
    with_rabbitmq("unleased", async |host, rabbit, role| {
        let users = async || rabbit.user_names(&format!("strongroom-{role}-")).await.len();
        let write = async |body| host.write(&format!("roles/{role}"), body).await.unwrap();
        write(json!({ "vhosts": { "/": {}, "missing": {} } })).await;
        let error = host.read(&format!("creds/{role}")).await.unwrap_err();
        assert!(error.message.contains("rejects the permissions in \"missing\""), "{error}");
        assert_eq!(users().await, 0, "what was created of the user is deleted at once");
        // So many calls that there is time for a crash between them.
        let exchanges: Vec<_> = (0..40).map(|number| format!("\"e-{number}\":{{}}")).collect();
        write(json!({ "vhost_topics": format!("{{\"/\":{{{}}}}}", exchanges.join(",")) })).await;
        contract::check_issuing(host, &format!("creds/{role}"), users).await;
    })
    .await;
}

#[tokio::test]
async fn passwords_of_users_are_rotated() {
    with_rabbitmq("rotated", async |host, rabbit, own| {
        let fits = async |user, secret: &str| rabbit.get_as(user, secret, "whoami").await.0 == 200;
        let app = &*format!("{own}-app");
        rabbit.create_administrator(app).await;
        let role = json!({ "username": app, "rotation_period": "1h" });
        host.write("static-roles/app", role).await.unwrap();
        let read = async || host.read("static-creds/app").await.unwrap().text("password");
        let first = read().await;
        host.write("rotate-role/app", json!({})).await.unwrap();
        assert!(!fits(app, &first).await && fits(app, &read().await).await);
        let old = rabbit.connection()["password"].as_str().unwrap().to_owned();
        let rotate = async || host.write("config/rotate-root", json!({})).await;
        host.fail_at_each_write(rotate, async |writes| {
            assert_eq!(fits(own, &old).await, writes == 0, "after {writes} writes");
            host.write("rotate-role/app", json!({})).await.unwrap();
        })
        .await;
        let tags = rabbit.get(&format!("users/{own}")).await.1["tags"].clone();
        assert_eq!(tags, json!(["administrator", "monitoring"]));
    })
    .await;
}
