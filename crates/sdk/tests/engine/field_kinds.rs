//! Field kinds as clients see them: what they may send, what a read shows, help and OpenAPI.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strongroom_sdk::testing::{Harness, TestHost};
use strongroom_sdk::{
    Blueprint, CidrList, Document, FieldChoice, HeaderList, IntegerList, Json, LowerCase,
    PolicyNames, SignedDurationSecs, Timestamp,
};

/// How the service is called.
#[derive(Clone, Copy, Debug, FieldChoice)]
enum CallMode {
    Direct,
    ViaProxy,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Permission {
    path: String,
    #[serde(default)]
    write: bool,
}

/// A document with a field of each kind that has no test of its own.
#[derive(Document)]
#[document(path = "config")]
struct KindsConfig {
    /// A user of the directory.
    user: LowerCase,
    /// Policies of tokens.
    policies: PolicyNames,
    /// From where logins are accepted.
    networks: CidrList,
    /// Ports of the service.
    #[field(default = "80,443")]
    ports: IntegerList,
    /// Share of calls that are logged.
    #[field(default = "0.5")]
    ratio: f64,
    /// When the account ends.
    ends_at: Option<Timestamp>,
    /// Leeway of clocks.
    leeway: SignedDurationSecs,
    /// Headers of each call.
    headers: HeaderList,
    /// How the service is called.
    #[field(default = "direct")]
    mode: CallMode,
    /// What the account may do.
    #[field(default = "[]")]
    permissions: Json<Vec<Permission>>,
}

async fn shown_config(host: &TestHost) -> Value {
    serde_json::from_str(&host.read("config").await.unwrap().data_json()).unwrap()
}

#[tokio::test]
async fn every_kind_is_stored_and_shown() {
    let engine = Blueprint::new("kinds", "1.0.0").document::<KindsConfig>();
    Harness::run(engine, |host| async move {
        host.write("config", json!({ "leeway": "-1m" })).await.unwrap();
        let expected = json!({
            "user": "", "policies": [], "networks": [], "ports": [80, 443], "ratio": 0.5,
            "leeway": -60, "headers": {}, "mode": "direct", "permissions": [],
        });
        assert_eq!(shown_config(&host).await, expected);
        let sent = json!({
            "user": " Alice",
            "policies": "Ops,dev",
            "networks": "10.0.0.1/32",
            "ports": ["8080"],
            "ratio": "0.25",
            "ends_at": 1_700_000_000,
            "headers": { "x-team": "a" },
            "mode": "via-proxy",
            "permissions": r#"[{"path":"a"}]"#,
        });
        host.write("config", sent).await.unwrap();
        let expected = json!({
            "user": "alice", "policies": ["dev", "ops"], "networks": ["10.0.0.1"],
            "ports": [8080], "ratio": 0.25, "ends_at": "2023-11-14T22:13:20Z", "leeway": -60,
            "headers": { "X-Team": ["a"] }, "mode": "via-proxy",
            "permissions": [{ "path": "a", "write": false }],
        });
        assert_eq!(shown_config(&host).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_wrong_value_is_refused_with_what_was_expected() {
    let engine = Blueprint::new("kinds", "1.0.0").document::<KindsConfig>();
    Harness::run(engine, |host| async move {
        for (sent, expected) in [
            (json!({ "policies": "root" }), "other than root and response-wrapping"),
            (json!({ "networks": "hunter2" }), "networks such as 10.0.0.0/8"),
            (json!({ "mode": "hunter2" }), r#"one of "direct", "via-proxy""#),
            (json!({ "permissions": { "hunter2": 1 } }), "JSON with the fields"),
            (json!({ "ends_at": "hunter2" }), "a time such as"),
        ] {
            let refused = host.write("config", sent).await.unwrap_err();
            assert!(refused.message.contains(expected), "{}", refused.message);
            assert!(!refused.message.contains("hunter2"), "{}", refused.message);
        }
    })
    .await;
}

#[tokio::test]
async fn help_and_openapi_name_the_kinds_and_the_allowed_values() {
    let engine = Blueprint::new("kinds", "1.0.0").document::<KindsConfig>();
    Harness::run(engine, |host| async move {
        let help = host.help("config").await.unwrap();
        for line in [
            "user (lowercase string)",
            "policies (slice)",
            "networks (slice)",
            "ports (slice)",
            "ratio (float)",
            "ends_at (time)",
            "leeway (duration (sec))",
            "headers (header)",
            "mode (string)",
            "Allowed values: direct, via-proxy.",
            "permissions (map)",
        ] {
            assert!(help.contains(line), "{line}: {help}");
        }
        let got = host.send(strongroom_sdk::Operation::Help, "config", "{}").await.unwrap();
        let document: Value = serde_json::from_str(got.field_json("openapi")).unwrap();
        let schema = document.pointer(
            "/paths/~1config/post/requestBody/content/application~1json/schema/properties",
        );
        let property = |name: &str| schema.and_then(|it| it.get(name)).cloned().unwrap();
        assert_eq!(property("mode")["enum"], json!(["direct", "via-proxy"]));
        assert_eq!(property("ports")["items"], json!({ "type": "integer" }));
        assert_eq!(property("ports")["default"], json!([80, 443]));
        assert_eq!(property("ends_at")["format"], "date-time");
    })
    .await;
}
