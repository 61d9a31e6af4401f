//! `config/access`, `config/lease` and roles.

use strongroom_engine_nomad::blueprint;
use strongroom_sdk::testing::{ErrorKind, Harness, TestHost, json};

#[tokio::test]
async fn config_access_is_stored_and_hides_token_and_key() {
    Harness::run(blueprint(), |host| async move {
        let access = json!({ "address": "http://localhost:4646/", "token": "s3cr3t-token" });
        host.write("config/access", access).await.unwrap();
        assert_eq!(
            host.read("config/access").await.unwrap().data_json(),
            r#"{"address":"http://localhost:4646","ca_cert":"","client_cert":"","max_token_name_length":0}"#
        );
        let stored = host.stored_entry("config/access").unwrap();
        assert!(stored.seal_wrap && String::from_utf8_lossy(&stored.value).contains("s3cr3t"));
        // An update keeps the fields it doesn't contain, including the token; empty strings don't
        // count.
        let update = json!({ "max_token_name_length": "64", "client_key": "", "ca_cert": "" });
        host.write("config/access", update).await.unwrap();
        let stored = host.stored_entry("config/access").unwrap().value;
        assert!(String::from_utf8_lossy(&stored).contains("s3cr3t"));
        assert_eq!(host.read("config/access").await.unwrap().field_json("max_token_name_length"), "64");
        host.delete("config/access").await.unwrap();
        assert_eq!(host.read("config/access").await.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

async fn assert_refused(host: &TestHost, path: &str, cases: &[(serde_json::Value, &str)]) {
    for (body, text) in cases {
        let error = host.write(path, body).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, *text), "{body}");
    }
}

#[tokio::test]
async fn an_invalid_config_access_is_refused() {
    const NO_TOKEN: &str = "token is missing: this engine does not bootstrap Nomad's ACL system. \
                            Run \"nomad acl bootstrap\" if nobody has yet, make a management token \
                            for this engine with \"nomad acl token create -type=management\", and \
                            write it here";
    let url = "error converting input for field \"address\": expected a URL such as \
               https://api.example.com";
    let access = |more: serde_json::Value| {
        let mut access = json!({ "address": "https://h:4646", "token": "t" });
        access.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        access
    };
    let other = pem_with_label("CERTIFICATE");
    let cases = [
        (json!({ "token": "t" }), "missing required field \"address\""),
        (json!({ "address": "https://h" }), NO_TOKEN),
        (access(json!({ "token": "" })), NO_TOKEN),
        (access(json!({ "address": "h:4646" })), url),
        (access(json!({ "address": "http://u:pw@h" })), url),
        (access(json!({ "address": "unix:///run/nomad.sock" })), url),
        (
            access(json!({ "token": "a\nb" })),
            "token contains characters that are invalid in a Nomad token",
        ),
        (
            access(json!({ "max_token_name_length": 25 })),
            "max_token_name_length must be 0, or from 26 to 256",
        ),
        (
            access(json!({ "max_token_name_length": 257 })),
            "max_token_name_length must be 0, or from 26 to 256",
        ),
        (access(json!({ "client_cert": "c" })), "client_cert and client_key need each other"),
        (access(json!({ "client_key": "k" })), "client_cert and client_key need each other"),
        (
            access(json!({ "address": "http://h", "ca_cert": "c" })),
            "ca_cert, client_cert and client_key need an https address",
        ),
        (access(json!({ "ca_cert": "no PEM" })), "ca_cert is no certificate in PEM"),
        (access(json!({ "ca_cert": other })), "ca_cert is no certificate in PEM"),
        (
            access(json!({ "client_cert": "no PEM", "client_key": "hunter2" })),
            "client_cert is no certificate in PEM",
        ),
    ];
    Harness::run(blueprint(), |host| {
        let cases = &cases;
        async move {
            assert_refused(&host, "config/access", cases).await;
            assert!(host.stored_keys().is_empty());
        }
    })
    .await;
}

/// A value of the wrong format may be a secret in the wrong field.
#[tokio::test]
async fn cve_2025_4166_what_was_sent_is_not_repeated() {
    Harness::run(blueprint(), |host| async move {
        let fields =
            ["address", "token", "max_token_name_length", "ca_cert", "client_cert", "client_key"];
        for field in fields {
            for odd in [json!("hunter2\u{7}"), json!({ "hunter2": "hunter2" }), json!(["hunter2"])]
            {
                let mut access = json!({ "address": "https://h:4646", "token": "t" });
                access[field] = odd.clone();
                let error = host.write("config/access", &access).await.unwrap_err();
                assert_eq!(error.kind, ErrorKind::Invalid, "{field}");
                assert!(!error.message.contains("hunter2"), "{field}: {error}");
            }
        }
    })
    .await;
}

/// A PEM block whose content doesn't match its label.
fn pem_with_label(label: &str) -> String {
    format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
}

#[tokio::test]
async fn config_lease_is_stored() {
    Harness::run(blueprint(), |host| async move {
        assert_eq!(host.read("config/lease").await.unwrap_err().kind, ErrorKind::NotFound);
        host.write("config/lease", json!({ "ttl": 1800, "max_ttl": "1h" })).await.unwrap();
        let shown = host.read("config/lease").await.unwrap().data_json();
        assert_eq!(shown, r#"{"max_ttl":3600,"ttl":1800}"#);
        let longer = (json!({ "ttl": "2h" }), "ttl must not be longer than max_ttl");
        assert_refused(&host, "config/lease", &[longer]).await;
        host.delete("config/lease").await.unwrap();
        assert_eq!(host.read("config/lease").await.unwrap_err().kind, ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn roles_are_kept_and_listed() {
    Harness::run(blueprint(), |host| async move {
        host.write("role/b", json!({ "policies": ["readonly"] })).await.unwrap();
        let admin = json!({ "type": "management", "global": "true", "ttl": "5m", "max_ttl": "1h" });
        host.write("role/admin", admin).await.unwrap();
        for path in ["role", "role/"] {
            assert_eq!(host.list(path).await.unwrap(), ["admin", "b"]);
        }
        assert_eq!(
            host.read("role/b").await.unwrap().data_json(),
            r#"{"global":false,"max_ttl":0,"policies":["readonly"],"ttl":0,"type":"client"}"#
        );
        assert_eq!(
            host.read("role/admin").await.unwrap().data_json(),
            r#"{"global":true,"max_ttl":3600,"policies":[],"ttl":300,"type":"management"}"#
        );
        host.write("role/b", json!({ "policies": "x, y", "global": 1 })).await.unwrap();
        assert_eq!(host.read("role/b").await.unwrap().field_json("policies"), r#"["x","y"]"#);
        host.delete("role/b").await.unwrap();
        assert_eq!(host.read("role/b").await.unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(host.list("role").await.unwrap(), ["admin"]);
    })
    .await;
}

/// With Vault's error texts.
#[tokio::test]
async fn an_invalid_role_is_refused() {
    let cases = [
        (json!({}), "policies cannot be empty when using client tokens"),
        (json!({ "policies": "," }), "policies cannot be empty when using client tokens"),
        (
            json!({ "type": "management", "policies": "p" }),
            "policies should be empty when using management tokens",
        ),
        (json!({ "type": "Client", "policies": "p" }), "type must be \"client\" or \"management\""),
        (
            json!({ "policies": "p", "ttl": 61, "max_ttl": "1m" }),
            "ttl must not be longer than max_ttl",
        ),
    ];
    Harness::run(blueprint(), |host| {
        let cases = &cases;
        async move {
            assert_refused(&host, "role/r", cases).await;
            assert!(host.stored_keys().is_empty());
        }
    })
    .await;
}
