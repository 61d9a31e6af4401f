//! Version 2: metadata and lists.

use std::time::Duration;

use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{ErrorKind, TestError, TestResponse, json};

use crate::on_every_transport;

fn invalid_request_message(outcome: Result<TestResponse, TestError>) -> String {
    let refused = outcome.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused:?}");
    refused.message
}

#[tokio::test]
async fn metadata_shows_settings_and_versions_and_no_data() {
    on_every_transport(|host| async move {
        assert_eq!(host.read("metadata/a").await.unwrap_err().kind, ErrorKind::NotFound);
        let first = host.now().to_rfc3339();
        host.write("data/a", r#"{"data":{"x":"hunter2"}}"#).await.unwrap();
        host.clock().advance(Duration::from_secs(1));
        let second = host.now().to_rfc3339();
        host.write("data/a", r#"{"data":{"x":"hunter2"}}"#).await.unwrap();
        let shown = host.read("metadata/a").await.unwrap().data_json();
        let version = |time: &str| {
            format!(r#"{{"created_time":"{time}","deletion_time":"","destroyed":false}}"#)
        };
        assert_eq!(
            shown,
            format!(
                r#"{{"cas_required":false,"created_time":"{first}","current_metadata_version":0,"current_version":2,"custom_metadata":null,"delete_version_after":"0s","max_versions":0,"metadata_cas_required":false,"oldest_version":0,"updated_time":"{second}","versions":{{"1":{},"2":{}}}}}"#,
                version(&first),
                version(&second)
            )
        );
        // No operation on metadata ever returns data.
        for operation in [Operation::Read, Operation::List, Operation::Patch, Operation::Update] {
            for path in ["metadata/a", "metadata/", "detailed-metadata/", "metadata/a/", "subkeys/a"] {
                let outcome = host.send(operation, path, r#"{"version":1}"#).await;
                assert!(!format!("{outcome:?}").contains("hunter2"));
                assert!(!outcome.is_ok_and(|got| got.data_json().contains("hunter2")));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn settings_create_an_entry_unless_empty() {
    on_every_transport(|host| async move {
        host.write("metadata/m", "{}").await.unwrap();
        host.write("metadata/m", r#"{"junk":1}"#).await.unwrap();
        assert_eq!(host.read("metadata/m").await.unwrap_err().kind, ErrorKind::NotFound);
        let body = json!({
            "max_versions": 3, "cas_required": true, "delete_version_after": "1h30m",
            "custom_metadata": { "a": "b", "c": 4 },
        });
        host.write("metadata/m", body).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        for (name, json) in [
            ("cas_required", "true"),
            ("current_metadata_version", "1"),
            ("current_version", "0"),
            ("custom_metadata", r#"{"a":"b","c":"4"}"#),
            ("delete_version_after", r#""1h30m0s""#),
            ("max_versions", "3"),
            ("versions", "{}"),
        ] {
            assert_eq!(got.field_json(name), json, "{name}");
        }
        for path in ["data/m", "subkeys/m"] {
            assert_eq!(host.read(path).await.unwrap_err().data, "", "{path}");
        }
        let raw = host.patch("data/m", r#"{"data":{}}"#).await.unwrap().raw.unwrap();
        assert_eq!(raw.status, 404);
        let got = host.write("data/m", r#"{"data":{},"options":{"cas":0}}"#).await.unwrap();
        assert_eq!(got.field_json("custom_metadata"), r#"{"a":"b","c":"4"}"#);
        // A write changes only the given settings, but replaces custom metadata as a whole.
        host.write("metadata/m", r#"{"custom_metadata":{"z":"y"}}"#).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        assert_eq!(
            (got.field_json("custom_metadata"), got.field_json("max_versions")),
            (r#"{"z":"y"}"#, "3")
        );
        host.write("metadata/m", r#"{"custom_metadata":null,"max_versions":null}"#).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        assert_eq!(
            (got.field_json("custom_metadata"), got.field_json("max_versions")),
            ("null", "0")
        );
    })
    .await;
}

#[tokio::test]
async fn a_patch_of_metadata_merges_and_null_removes() {
    on_every_transport(|host| async move {
        let raw = host.patch("metadata/m", r#"{"max_versions":1}"#).await.unwrap().raw.unwrap();
        assert_eq!((raw.status, raw.body.len()), (404, 0));
        let raw = host.patch("metadata/m", "{}").await.unwrap().raw.unwrap();
        assert_eq!(raw.status, 404);
        let body = json!({
            "max_versions": 3, "cas_required": true, "delete_version_after": "1h",
            "custom_metadata": { "a": "b", "c": "d" },
        });
        host.write("metadata/m", body).await.unwrap();
        let custom = r#"{"custom_metadata":{"a":null,"e":"f","none":null}}"#;
        host.patch("metadata/m", custom).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        assert_eq!(got.field_json("custom_metadata"), r#"{"c":"d","e":"f"}"#);
        assert_eq!((got.field_json("max_versions"), got.field_json("current_metadata_version")), ("3", "2"));
        let body = r#"{"cas_required":null,"delete_version_after":null,"max_versions":null,"custom_metadata":null}"#;
        host.patch("metadata/m", body).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        assert_eq!((got.field_json("cas_required"), got.field_json("max_versions")), ("false", "0"));
        assert_eq!((got.text("delete_version_after"), got.field_json("custom_metadata")), ("0s".to_owned(), "null"));
        for body in ["{}", r#"{"junk":1}"#] {
            host.patch("metadata/m", body).await.unwrap();
        }
        assert_eq!(host.read("metadata/m").await.unwrap().field_json("current_metadata_version"), "3");
    })
    .await;
}

#[tokio::test]
async fn custom_metadata_has_limits() {
    on_every_transport(|host| async move {
        let (key, value) = ("k".repeat(128), "v".repeat(512));
        let all: serde_json::Map<String, serde_json::Value> =
            (0..64).map(|n| (format!("k{n}"), json!("v"))).collect();
        host.write("metadata/m", json!({ "custom_metadata": all })).await.unwrap();
        host.write("metadata/n", json!({ "custom_metadata": { key.as_str(): value } })).await.unwrap();
        host.write("metadata/n", json!({ "custom_metadata": { "ü": "é" } })).await.unwrap();
        let too_many = "1 error occurred:\n\t* custom_metadata validation failed: payload must contain at most 64 keys, provided 65\n\n";
        // The limit applies to the merged result.
        let more = json!({ "custom_metadata": { "one-more": "v" } });
        assert_eq!(invalid_request_message(host.patch("metadata/m", &more).await), too_many);
        let in_place_of = json!({ "custom_metadata": { "one-more": "v", "k0": null } });
        host.patch("metadata/m", in_place_of).await.unwrap();
        for (custom, text) in [
            (json!({ "": "x" }), r#"length of key "" is 0 but must be 0 < len(key) <= 128"#.to_owned()),
            (json!({ "a": "" }), r#"length of value for key "a" is 0 but must be 0 < len(value) <= 512"#.to_owned()),
            (json!({ "a": null }), r#"length of value for key "a" is 0 but must be 0 < len(value) <= 512"#.to_owned()),
            (json!({ format!("{key}k"): "x" }), format!(r#"length of key "{key}" is 129 but must be 0 < len(key) <= 128"#)),
            (json!({ "a": format!("{value}v") }), r#"length of value for key "a" is 513 but must be 0 < len(value) <= 512"#.to_owned()),
            (json!({ "x\u{1}": "a" }), r#"key "x\u{1}" contains unprintable characters"#.to_owned()),
            (json!({ "x": "\u{202e}" }), r#"value for key "x" contains unprintable characters"#.to_owned()),
        ] {
            let error = invalid_request_message(host.write("metadata/m", json!({ "custom_metadata": custom })).await);
            let whole = format!("1 error occurred:\n\t* custom_metadata validation failed: {text}\n\n");
            assert_eq!(error, whole);
        }
        let two = json!({ "custom_metadata": { "": "x", "a": "" } });
        assert!(invalid_request_message(host.write("metadata/m", two).await).starts_with("2 errors occurred:\n\t* "));
        for custom in [json!({ "a": { "b": "hunter2" } }), json!("a=hunter2"), json!(["hunter2"])] {
            let error = invalid_request_message(host.write("metadata/m", json!({ "custom_metadata": custom })).await);
            assert_eq!(error, "error converting input for field \"custom_metadata\": expected an object of strings");
        }
    })
    .await;
}

#[tokio::test]
async fn numbers_out_of_bounds_are_refused() {
    on_every_transport(|host| async move {
        for body in [
            r#"{"max_versions":-1}"#,
            r#"{"max_versions":4097}"#,
            r#"{"max_versions":4294967296}"#,
            r#"{"max_versions":"x"}"#,
            r#"{"delete_version_after":"-5s"}"#,
            r#"{"delete_version_after":"zz"}"#,
        ] {
            invalid_request_message(host.write("metadata/m", body).await);
        }
        assert!(host.stored_keys().is_empty());
        host.write("metadata/m", r#"{"max_versions":4096,"delete_version_after":90}"#)
            .await
            .unwrap();
        host.write("metadata/m", r#"{"delete_version_after":"1500ms"}"#).await.unwrap();
        assert_eq!(host.read("metadata/m").await.unwrap().text("delete_version_after"), "2s");
    })
    .await;
}

#[tokio::test]
async fn changes_of_metadata_can_depend_on_what_they_replace() {
    const REQUIRED: &str = "metadata check-and-set parameter required for this call";
    const MISMATCH: &str = "metadata check-and-set parameter does not match the current version";
    on_every_transport(|host| async move {
        let fresh = host.write("metadata/m", r#"{"max_versions":1,"metadata_cas":3}"#).await;
        assert_eq!(
            invalid_request_message(fresh),
            "metadata_cas must be 0 when creating new metadata"
        );
        let body = r#"{"metadata_cas_required":true,"metadata_cas":0}"#;
        host.write("metadata/m", body).await.unwrap();
        assert_eq!(
            invalid_request_message(host.write("metadata/m", r#"{"max_versions":3}"#).await),
            REQUIRED
        );
        assert_eq!(
            invalid_request_message(host.patch("metadata/m", r#"{"max_versions":3}"#).await),
            REQUIRED
        );
        for cas in [0, 2, -1] {
            let body = json!({ "max_versions": 3, "metadata_cas": cas });
            assert_eq!(invalid_request_message(host.write("metadata/m", &body).await), MISMATCH);
            assert_eq!(invalid_request_message(host.patch("metadata/m", &body).await), MISMATCH);
        }
        host.write("metadata/m", r#"{"max_versions":3,"metadata_cas":1}"#).await.unwrap();
        host.patch("metadata/m", r#"{"max_versions":4,"metadata_cas":"2"}"#).await.unwrap();
        // Writes of data don't change the metadata.
        host.write("data/m", r#"{"data":{}}"#).await.unwrap();
        let got = host.read("metadata/m").await.unwrap();
        assert_eq!(
            (got.field_json("max_versions"), got.field_json("current_metadata_version")),
            ("4", "3")
        );
        host.write("config", r#"{"metadata_cas_required":true}"#).await.unwrap();
        assert_eq!(
            invalid_request_message(host.write("metadata/other", r#"{"max_versions":3}"#).await),
            REQUIRED
        );
        host.write("metadata/other", "{}").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn entries_are_listed_by_pages() {
    on_every_transport(|host| async move {
        for path in ["metadata", "metadata/", "metadata/none", "detailed-metadata"] {
            assert_eq!(host.list(path).await.unwrap_err().kind, ErrorKind::NotFound, "{path}");
        }
        for path in ["a", "dir", "dir/one", "dir/two", "dir/in/deep"] {
            host.write(&format!("data/{path}"), r#"{"data":{}}"#).await.unwrap();
        }
        assert_eq!(host.list("metadata").await.unwrap(), ["a", "dir", "dir/"]);
        assert_eq!(host.list("metadata/dir").await.unwrap(), ["in/", "one", "two"]);
        assert_eq!(host.list("metadata/dir/in/").await.unwrap(), ["deep"]);
        assert_eq!(host.list("metadata/a").await.unwrap_err().kind, ErrorKind::NotFound);
        for (page, names) in [
            (json!({ "after": "a" }), vec!["dir", "dir/"]),
            (json!({ "after": "dir" }), vec!["dir/"]),
            (json!({ "limit": 1 }), vec!["a"]),
            (json!({ "limit": "2" }), vec!["a", "dir"]),
            (json!({ "limit": 0 }), vec!["a", "dir", "dir/"]),
            (json!({ "limit": -1, "after": "" }), vec!["a", "dir", "dir/"]),
            (json!({ "limit": 1, "after": "a" }), vec!["dir"]),
        ] {
            assert_eq!(host.list_page("metadata", &page).await.unwrap(), names, "{page}");
            let detailed = host.list_page("detailed-metadata", &page).await.unwrap();
            assert_eq!(detailed, names, "{page}");
        }
        let past = host.list_page("metadata", r#"{"after":"zzz"}"#).await.unwrap_err();
        assert_eq!(past.kind, ErrorKind::NotFound);
        let error = host.list_page("metadata", r#"{"limit":"abc"}"#).await.unwrap_err();
        assert!(error.message.starts_with("error converting input for field \"limit\""));
        let got = host.send(Operation::List, "detailed-metadata/dir", "{}").await.unwrap();
        let info: serde_json::Value = serde_json::from_str(got.field_json("key_info")).unwrap();
        assert_eq!(info["in/"], json!({}));
        let own: serde_json::Value =
            serde_json::from_str(&host.read("metadata/dir/one").await.unwrap().data_json())
                .unwrap();
        assert_eq!(info["one"], own);
        assert_eq!(
            host.read("detailed-metadata/a").await.unwrap_err().kind,
            ErrorKind::Unsupported
        );
        host.delete("metadata/dir").await.unwrap();
        assert_eq!(host.list("metadata").await.unwrap(), ["a", "dir/"]);
    })
    .await;
}
