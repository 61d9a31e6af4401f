//! Version 2: data and its versions.

use std::time::Duration;

use strongroom_engine_kv::versioned_blueprint;
use strongroom_sdk::contract;
use strongroom_sdk::engine::{Existence, Operation};
use strongroom_sdk::testing::{ErrorKind, TestError, TestHost, json};

use crate::on_every_transport;

/// The error text of an invalid request.
fn invalid_request_message(
    outcome: Result<strongroom_sdk::testing::TestResponse, TestError>,
) -> String {
    let refused = outcome.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused:?}");
    refused.message
}

async fn read(host: &TestHost, path: &str, version: i64) -> Result<String, TestError> {
    let got = host.send(Operation::Read, path, json!({ "version": version })).await?;
    Ok(got.field_json("data").to_owned())
}

#[tokio::test]
async fn keeps_to_the_contract() {
    let samples = [
        ("data/app", r#"{"data":{"password":"p"}}"#),
        ("metadata/other", r#"{"max_versions":3}"#),
        ("metadata/app2", r#"{"custom_metadata":{"a":"b"}}"#),
    ];
    contract::check(versioned_blueprint(), &samples).await;
}

#[tokio::test]
async fn each_write_makes_a_version_that_can_be_read() {
    on_every_transport(|host| async move {
        let first = r#"{"d":1.10,"n":12345678901234567890,"y":{"z":[1,2],"n":null}}"#;
        let got = host.write("data/app/db", format!(r#"{{"data":{first}}}"#)).await.unwrap();
        let time = host.now().to_rfc3339();
        assert_eq!(
            got.data_json(),
            format!(
                r#"{{"created_time":"{time}","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}}"#
            )
        );
        host.clock().advance(Duration::from_secs(5));
        host.write("data/app/db", r#"{"data":{"x":2}}"#).await.unwrap();
        for version in [0, 2, -1] {
            assert_eq!(read(&host, "data/app/db", version).await.unwrap(), r#"{"x":2}"#);
        }
        assert_eq!(read(&host, "data/app/db", 1).await.unwrap(), first);
        for version in [3, 99] {
            let missing = read(&host, "data/app/db", version).await.unwrap_err();
            assert_eq!((missing.kind, missing.data.as_str()), (ErrorKind::NotFound, ""));
        }
        let got = host.send(Operation::Read, "data/app/db", r#"{"version":"1"}"#).await.unwrap();
        let about = format!(
            r#"{{"created_time":"{time}","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}}"#
        );
        assert_eq!(got.field_json("metadata"), about);
        let error = host.send(Operation::Read, "data/app/db", r#"{"version":"abc"}"#).await;
        assert!(invalid_request_message(error).starts_with("error converting input for field \"version\""));
    })
    .await;
}

#[tokio::test]
async fn data_of_any_size_comes_back() {
    on_every_transport(|host| async move {
        // Small data is stored in the entry, large data separately; either may follow the other.
        let sizes = [10, 16 << 10, 16_373, 16_374, 16_375, 1 << 20, 0, 70_000, 70_001, 5];
        for (index, size) in sizes.into_iter().enumerate() {
            let data = format!(r#"{{"x":"{}"}}"#, "y".repeat(size));
            host.write("data/a", format!(r#"{{"data":{data}}}"#)).await.unwrap();
            for (before, size) in sizes.iter().take(index + 1).enumerate() {
                let data = format!(r#"{{"x":"{}"}}"#, "y".repeat(*size));
                let number = i64::try_from(before + 1).unwrap();
                assert!(read(&host, "data/a", number).await.unwrap() == data, "{index} {before}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_read_costs_one_look_at_storage_or_two() {
    on_every_transport(|host| async move {
        host.write("data/a", r#"{"data":{"x":1}}"#).await.unwrap();
        let large = format!(r#"{{"data":{{"x":"{}"}}}}"#, "y".repeat(20_000));
        host.write("data/b", large).await.unwrap();
        let before = host.storage_reads();
        host.read("data/a").await.unwrap();
        assert_eq!(host.storage_reads() - before, 1);
        host.read("data/b").await.unwrap();
        assert_eq!(host.storage_reads() - before, 3);
    })
    .await;
}

#[tokio::test]
async fn a_write_needs_data_and_null_is_data() {
    on_every_transport(|host| async move {
        for body in ["{}", r#"{"foo":1}"#, r#"{"options":{"cas":0}}"#] {
            assert_eq!(
                invalid_request_message(host.write("data/a", body).await),
                "no data provided"
            );
        }
        for body in [r#"{"data":"text"}"#, r#"{"data":[1,2]}"#, r#"{"data":5}"#] {
            let error = invalid_request_message(host.write("data/a", body).await);
            assert_eq!(error, "error converting input for field \"data\": expected an object");
        }
        assert!(host.stored_keys().is_empty());
        host.write("data/a", r#"{"data":null}"#).await.unwrap();
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), "null");
        host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), "{}");
        assert_eq!(read(&host, "data/a", 1).await.unwrap(), "null");
        let got = host.write("data/a", r#"{"data":{},"extra":2,"path":"q"}"#).await.unwrap();
        assert_eq!(
            got.warnings,
            [
                "Endpoint ignored these unrecognized parameters: [extra]",
                "Endpoint replaced the value of these parameters with the values captured from the \
                 endpoint's path: [path]"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_write_can_check_and_set() {
    const MISMATCH: &str = "check-and-set parameter did not match the current version";
    on_every_transport(|host| async move {
        let write = |cas: &'static str| {
            let host = host.clone();
            let body = format!(r#"{{"data":{{"x":1}},"options":{{"cas":{cas}}}}}"#);
            async move { host.write("data/a", body).await }
        };
        assert_eq!(invalid_request_message(write("1").await), MISMATCH);
        write("0").await.unwrap();
        for cas in ["0", "2", "-1", "null"] {
            assert_eq!(invalid_request_message(write(cas).await), MISMATCH, "{cas}");
        }
        write("\"1\"").await.unwrap();
        for cas in ["\"abc\"", "1.5", "{}"] {
            assert_eq!(
                invalid_request_message(write(cas).await),
                "error parsing check-and-set parameter"
            );
        }
        // A deleted version is still the latest one.
        host.delete("data/a").await.unwrap();
        assert_eq!(invalid_request_message(write("0").await), MISMATCH);
        write("2").await.unwrap();
        // A null counts as zero, which is right for a new secret.
        host.write("data/b", r#"{"data":{},"options":{"cas":null}}"#).await.unwrap();
        let error = host.write("data/b", r#"{"data":{},"options":"cas"}"#).await;
        assert!(
            invalid_request_message(error)
                .starts_with("error converting input for field \"options\"")
        );
    })
    .await;
}

#[tokio::test]
async fn mounts_and_entries_can_require_cas() {
    const REQUIRED: &str = "check-and-set parameter required for this call";
    on_every_transport(|host| async move {
        host.write("metadata/own", r#"{"cas_required":true}"#).await.unwrap();
        assert_eq!(
            invalid_request_message(host.write("data/own", r#"{"data":{}}"#).await),
            REQUIRED
        );
        host.write("data/own", r#"{"data":{},"options":{"cas":0}}"#).await.unwrap();
        host.write("data/free", r#"{"data":{}}"#).await.unwrap();
        host.write("config", r#"{"cas_required":true}"#).await.unwrap();
        assert_eq!(
            invalid_request_message(host.write("data/free", r#"{"data":{}}"#).await),
            REQUIRED
        );
        assert_eq!(
            invalid_request_message(host.patch("data/free", r#"{"data":{}}"#).await),
            REQUIRED
        );
        host.patch("data/free", r#"{"data":{},"options":{"cas":1}}"#).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn deleted_and_destroyed_versions_say_so() {
    on_every_transport(|host| async move {
        for n in 1..=3 {
            host.write("data/a", json!({ "data": { "n": n } })).await.unwrap();
        }
        let created = host.now().to_rfc3339();
        host.clock().advance(Duration::from_secs(60));
        let deleted = host.now().to_rfc3339();
        host.delete("data/a").await.unwrap();
        let about = |version, deletion: &str, destroyed| {
            format!(
                r#"{{"created_time":"{created}","custom_metadata":null,"deletion_time":"{deletion}","destroyed":{destroyed},"version":{version}}}"#
            )
        };
        let gone = host.read("data/a").await.unwrap_err();
        let shown = format!(r#"{{"data":null,"metadata":{}}}"#, about(3, &deleted, false));
        assert_eq!((gone.kind, gone.data), (ErrorKind::NotFound, shown));
        assert_eq!(read(&host, "data/a", 2).await.unwrap(), r#"{"n":2}"#);
        // The time of the first deletion is kept.
        host.clock().advance(Duration::from_secs(60));
        host.delete("data/a").await.unwrap();
        host.write("delete/a", r#"{"versions":[3]}"#).await.unwrap();
        assert!(host.read("data/a").await.unwrap_err().data.contains(&deleted));
        host.write("undelete/a", r#"{"versions":"3"}"#).await.unwrap();
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), r#"{"n":3}"#);
        host.write("destroy/a", r#"{"versions":[3,"1"]}"#).await.unwrap();
        host.write("undelete/a", r#"{"versions":[1,2,3]}"#).await.unwrap();
        for version in [1, 3] {
            let gone = read(&host, "data/a", version).await.unwrap_err();
            let shown = format!(r#"{{"data":null,"metadata":{}}}"#, about(version, "", true));
            assert_eq!(gone.data, shown);
        }
        assert_eq!(read(&host, "data/a", 2).await.unwrap(), r#"{"n":2}"#);
        assert!(!storage_contains(&host, r#""n":1"#) && !storage_contains(&host, r#""n":3"#), "destroyed data is stored");
        // Version numbers continue.
        let got = host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(got.field_json("version"), "4");
    })
    .await;
}

/// Whether any stored value contains this text.
pub(crate) fn storage_contains(host: &TestHost, text: &str) -> bool {
    host.stored_keys().iter().any(|key| {
        let value = host.stored_entry(key).map(|stored| stored.value).unwrap_or_default();
        value.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn changing_missing_versions_is_no_error() {
    on_every_transport(|host| async move {
        host.delete("data/none").await.unwrap();
        host.delete("metadata/none").await.unwrap();
        for path in ["delete/none", "undelete/none", "destroy/none"] {
            host.write(path, r#"{"versions":[1]}"#).await.unwrap();
        }
        assert!(host.stored_keys().is_empty());
        host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        for path in ["delete/a", "undelete/a", "destroy/a"] {
            host.write(path, r#"{"versions":[99,-1,0]}"#).await.unwrap();
            let text = invalid_request_message(host.write(path, "{}").await);
            assert_eq!(text.to_lowercase(), "no version number provided");
            assert_eq!(invalid_request_message(host.write(path, r#"{"versions":[]}"#).await), text);
            assert!(host.write(path, r#"{"versions":"x"}"#).await.is_err());
            assert_eq!(host.exists(path).await, Ok(Existence::NoCheck));
            let unsupported = host.read(path).await.unwrap_err();
            assert_eq!(unsupported.kind, ErrorKind::Unsupported);
        }
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), "{}");
    })
    .await;
}

#[tokio::test]
async fn a_patch_merges_into_the_latest_version() {
    on_every_transport(|host| async move {
        let missing = host.patch("data/a", r#"{"data":{"x":1}}"#).await.unwrap();
        let raw = missing.raw.unwrap();
        assert_eq!((raw.status, raw.body.len()), (404, 0));
        let data = r#"{"a":1.10,"b":{"c":1,"d":2},"e":[1]}"#;
        host.write("data/a", format!(r#"{{"data":{data}}}"#)).await.unwrap();
        let patch = r#"{"data":{"b":{"c":null,"n":{"x":1,"y":null}},"e":null,"f":2}}"#;
        let got = host.patch("data/a", patch).await.unwrap();
        assert_eq!(got.field_json("version"), "2");
        let now: serde_json::Value =
            serde_json::from_str(&read(&host, "data/a", 0).await.unwrap()).unwrap();
        assert_eq!(now, json!({ "a": 1.10, "b": { "d": 2, "n": { "x": 1 } }, "f": 2 }));
        assert_eq!(read(&host, "data/a", 1).await.unwrap(), data);
        assert_eq!(invalid_request_message(host.patch("data/a", "{}").await), "no data provided");
        let stale = host.patch("data/a", r#"{"data":{},"options":{"cas":1}}"#).await;
        assert_eq!(
            invalid_request_message(stale),
            "check-and-set parameter did not match the current version"
        );
        // Large data is stored separately, and can be patched too.
        let large = "y".repeat(40_000);
        host.patch("data/a", format!(r#"{{"data":{{"large":"{large}"}}}}"#)).await.unwrap();
        host.patch("data/a", r#"{"data":{"a":7,"large":null}}"#).await.unwrap();
        assert!(read(&host, "data/a", 3).await.unwrap().contains(&large));
        assert!(read(&host, "data/a", 4).await.unwrap().starts_with(r#"{"a":7,"#));
        // Patching with null makes the data null, and a further patch merges into that as into no
        // data.
        host.patch("data/a", r#"{"data":null}"#).await.unwrap();
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), "null");
        host.patch("data/a", r#"{"data":{"x":1}}"#).await.unwrap();
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), r#"{"x":1}"#);
        host.delete("data/a").await.unwrap();
        let gone = host.patch("data/a", r#"{"data":{"x":2}}"#).await.unwrap_err();
        assert_eq!(gone.kind, ErrorKind::NotFound);
        assert!(gone.data.starts_with("{\"created_time\"") && gone.data.contains("\"version\":6"));
    })
    .await;
}

#[tokio::test]
async fn subkeys_show_names_and_never_values() {
    on_every_transport(|host| async move {
        let data = r#"{"data":{"a":"hunter2","b":{"c":{"d":["hunter2"]},"n":null}}}"#;
        host.write("data/s", data).await.unwrap();
        let subkeys = |body: &'static str| {
            let host = host.clone();
            async move {
                let got = host.send(Operation::Read, "subkeys/s", body).await.unwrap();
                assert!(!got.data_json().contains("hunter2"));
                assert!(got.field_json("metadata").contains("\"version\":1"));
                got.field_json("subkeys").to_owned()
            }
        };
        let all = r#"{"a":null,"b":{"c":{"d":null},"n":null}}"#;
        assert_eq!(subkeys("{}").await, all);
        assert_eq!(subkeys(r#"{"depth":0,"version":1}"#).await, all);
        assert_eq!(subkeys(r#"{"depth":1}"#).await, r#"{"a":null,"b":null}"#);
        assert_eq!(subkeys(r#"{"depth":"2"}"#).await, r#"{"a":null,"b":{"c":null,"n":null}}"#);
        assert_eq!(subkeys(r#"{"depth":-1}"#).await, r#"{"a":null,"b":null}"#);
        let missing = host.send(Operation::Read, "subkeys/s", r#"{"version":2}"#).await;
        assert_eq!(missing.unwrap_err().data, "");
        assert_eq!(host.read("subkeys/none").await.unwrap_err().kind, ErrorKind::NotFound);
        host.delete("data/s").await.unwrap();
        let gone = host.read("subkeys/s").await.unwrap_err();
        assert!(gone.data.contains(r#""subkeys":null"#), "{gone:?}");
        host.write("data/s", r#"{"data":null}"#).await.unwrap();
        assert_eq!(host.read("subkeys/s").await.unwrap().field_json("subkeys"), "null");
    })
    .await;
}

#[tokio::test]
async fn writes_prune_old_versions() {
    on_every_transport(|host| async move {
        for n in 1..=12 {
            host.write("data/ten", json!({ "data": { "n": n } })).await.unwrap();
        }
        let got = host.read("metadata/ten").await.unwrap();
        assert_eq!(
            (got.field_json("oldest_version"), got.field_json("current_version")),
            ("3", "12")
        );
        assert_eq!(read(&host, "data/ten", 2).await.unwrap_err().data, "");
        assert_eq!(read(&host, "data/ten", 3).await.unwrap(), r#"{"n":3}"#);
        assert!(!storage_contains(&host, r#"{"n":2}"#), "what made room is gone");
        // The larger of the mount's and the entry's number applies, and only the next write prunes.
        host.write("config", r#"{"max_versions":2}"#).await.unwrap();
        host.write("metadata/ten", r#"{"max_versions":4}"#).await.unwrap();
        assert_eq!(host.read("metadata/ten").await.unwrap().field_json("oldest_version"), "3");
        host.write("data/ten", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(host.read("metadata/ten").await.unwrap().field_json("oldest_version"), "10");
        host.write("metadata/ten", r#"{"max_versions":1}"#).await.unwrap();
        host.write("data/ten", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(host.read("metadata/ten").await.unwrap().field_json("oldest_version"), "13");
        let records = host.stored_keys().iter().filter(|key| key.contains('v')).count();
        assert_eq!(records, 1, "{:?}", host.stored_keys());
    })
    .await;
}

#[tokio::test]
async fn many_old_versions_are_pruned_in_batches() {
    on_every_transport(|host| async move {
        host.write("config", r#"{"max_versions":700}"#).await.unwrap();
        for n in 0..700 {
            host.write("data/a", json!({ "data": { "n": n } })).await.unwrap();
        }
        assert_eq!(host.stored_keys().len(), 701);
        host.write("config", r#"{"max_versions":1}"#).await.unwrap();
        host.largest_batch();
        host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(host.stored_keys().len(), 2, "the entry and the settings are left");
        let largest = host.largest_batch();
        assert!(largest <= 258, "{largest}");
        assert_eq!(host.read("metadata/a").await.unwrap().field_json("oldest_version"), "701");
        host.write("config", r#"{"max_versions":4097}"#).await.unwrap_err();
        host.write("config", r#"{"max_versions":-1}"#).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn large_entries_are_removed_in_batches() {
    on_every_transport(|host| async move {
        host.write("config", r#"{"max_versions":700}"#).await.unwrap();
        for n in 0..600 {
            host.write("data/a", json!({ "data": { "n": n } })).await.unwrap();
        }
        host.write("data/a/b", r#"{"data":{}}"#).await.unwrap();
        let numbers: Vec<i32> = (1..=300).collect();
        host.largest_batch();
        host.write("destroy/a", json!({ "versions": numbers })).await.unwrap();
        assert_eq!(host.stored_keys().len(), 302);
        host.delete("metadata/a").await.unwrap();
        assert_eq!(host.stored_keys().len(), 2, "{:?}", host.stored_keys());
        let largest = host.largest_batch();
        assert!(largest <= 258, "{largest}");
        assert_eq!(host.read("data/a").await.unwrap_err().data, "");
        host.read("data/a/b").await.unwrap();
        // A later write starts again at version 1.
        let got = host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(got.field_json("version"), "1");
    })
    .await;
}

#[tokio::test]
async fn versions_are_deleted_by_the_clock() {
    on_every_transport(|host| async move {
        host.write("config", r#"{"delete_version_after":"1h"}"#).await.unwrap();
        let got = host.write("data/a", r#"{"data":{"x":1}}"#).await.unwrap();
        let ends = host.now().plus(Duration::from_secs(3600)).to_rfc3339();
        assert_eq!(got.text("deletion_time"), ends);
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), r#"{"x":1}"#);
        host.clock().advance(Duration::from_secs(3599));
        read(&host, "data/a", 0).await.unwrap();
        host.clock().advance(Duration::from_secs(1));
        let gone = read(&host, "data/a", 0).await.unwrap_err();
        assert!(gone.data.contains(&ends), "{gone:?}");
        // An undeleted version is not deleted by its age again.
        host.write("undelete/a", r#"{"versions":[1]}"#).await.unwrap();
        host.clock().advance(Duration::from_secs(999_999));
        assert_eq!(read(&host, "data/a", 1).await.unwrap(), r#"{"x":1}"#);
        // The entry's age applies if it is smaller, and none applies if the mount switches deletion
        // off.
        host.write("metadata/a", r#"{"delete_version_after":"90s"}"#).await.unwrap();
        let got = host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        let ends = host.now().plus(Duration::from_secs(90)).to_rfc3339();
        assert_eq!(got.text("deletion_time"), ends);
        host.write("config", r#"{"delete_version_after":"-1s"}"#).await.unwrap();
        assert_eq!(host.read("config").await.unwrap().text("delete_version_after"), "-1s");
        let got = host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        assert_eq!(got.text("deletion_time"), "");
    })
    .await;
}

#[tokio::test]
async fn settings_of_the_mount_are_there_before_they_are_written() {
    on_every_transport(|host| async move {
        let shown = r#"{"cas_required":false,"delete_version_after":"0s","max_versions":0,"metadata_cas_required":false}"#;
        assert_eq!(host.read("config").await.unwrap().data_json(), shown);
        host.write("config", "{}").await.unwrap();
        host.write("config", r#"{"delete_version_after":"3h","max_versions":"2"}"#).await.unwrap();
        host.write("config", r#"{"cas_required":"true"}"#).await.unwrap();
        let shown = r#"{"cas_required":true,"delete_version_after":"3h0m0s","max_versions":2,"metadata_cas_required":false}"#;
        assert_eq!(host.read("config").await.unwrap().data_json(), shown);
        host.reopen().await;
        assert_eq!(host.read("config").await.unwrap().data_json(), shown);
        for body in [r#"{"max_versions":"x"}"#, r#"{"delete_version_after":"zz"}"#] {
            assert!(invalid_request_message(host.write("config", body).await).contains("field") );
        }
        for operation in [Operation::Patch, Operation::Delete] {
            let unsupported = host.send(operation, "config", "{}").await.unwrap_err();
            assert_eq!(unsupported.kind, ErrorKind::Unsupported);
        }
    })
    .await;
}

#[tokio::test]
async fn create_and_update_are_told_apart() {
    on_every_transport(|host| async move {
        for path in ["data/a", "metadata/a"] {
            assert_eq!(host.exists(path).await, Ok(Existence::Absent));
        }
        host.write("data/a", r#"{"data":{}}"#).await.unwrap();
        host.delete("data/a").await.unwrap();
        for path in ["data/a", "metadata/a"] {
            assert_eq!(host.exists(path).await, Ok(Existence::Exists), "{path}");
        }
        for path in ["data/a/", "metadata/a/", "data/a/b"] {
            assert_eq!(host.exists(path).await, Ok(Existence::Absent), "{path}");
        }
        assert_eq!(host.exists("subkeys/a").await, Ok(Existence::NoCheck));
    })
    .await;
}

#[tokio::test]
async fn a_slash_at_the_end_is_no_other_name_for_a_secret() {
    on_every_transport(|host| async move {
        host.write("data/a", r#"{"data":{"x":1}}"#).await.unwrap();
        let text = "cannot write to a path ending in '/'";
        for path in ["data/a/", "metadata/a/", "delete/a/", "undelete/a/", "destroy/a/"] {
            let body = r#"{"data":{},"versions":[1],"max_versions":1}"#;
            assert_eq!(invalid_request_message(host.write(path, body).await), text, "{path}");
        }
        for path in ["data/a/", "metadata/a/"] {
            let body = r#"{"data":{},"max_versions":1}"#;
            assert_eq!(invalid_request_message(host.patch(path, body).await), text, "{path}");
            host.delete(path).await.unwrap();
        }
        for path in ["data/a/", "metadata/a/", "subkeys/a/"] {
            assert_eq!(host.read(path).await.unwrap_err().data, "", "{path}");
        }
        assert_eq!(read(&host, "data/a", 0).await.unwrap(), r#"{"x":1}"#);
    })
    .await;
}

#[tokio::test]
async fn paths_of_version_1_get_a_hint() {
    on_every_transport(|host| async move {
        for (operation, command) in [
            (Operation::Read, "get"),
            (Operation::Update, "put"),
            (Operation::Patch, "patch"),
            (Operation::Delete, "delete"),
            (Operation::List, "list"),
        ] {
            let missing = host.send(operation, "app/db", r#"{"x":1}"#).await.unwrap_err();
            let warning = &missing.warnings[0];
            assert_eq!((missing.kind, missing.data.as_str()), (ErrorKind::NotFound, "null"));
            assert!(
                warning.starts_with("Invalid path for a versioned K/V secrets engine:")
                    && warning.contains(&format!("'strongroom kv {command}'")),
                "{warning}"
            );
        }
        for root in ["data", "metadata", "delete", "data/"] {
            let missing = host.read(root).await.unwrap_err();
            let text = "Non-listing operations on the root of a K/V v2 mount are not supported.";
            assert_eq!(missing.warnings, [text], "{root}");
        }
        for path in ["data", "data/a", "subkeys/a"] {
            assert_eq!(host.list(path).await.unwrap_err().kind, ErrorKind::Unsupported, "{path}");
        }
    })
    .await;
}
