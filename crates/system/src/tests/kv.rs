//! Both versions of the KV engine, used through mounts, tokens and policies.

use strongroom_core::request::{CoreResponse, Verb};
use strongroom_types::ErrorKind;

use super::TestCore;
use super::test_core::ReportedMessages;

const UPGRADE_WARNING: &str = "the mount is being upgraded from version 1 to version 2: requests to it fail until the upgrade is complete";

impl TestCore {
    /// The warnings and data of a "not found" response that has an envelope.
    async fn not_found_with_data(
        &self,
        verb: Verb,
        path: &str,
        body: &str,
    ) -> (String, Vec<String>) {
        match self.send(verb, path, &self.root, body).await {
            Ok(CoreResponse::Envelope(envelope)) if envelope.not_found => {
                assert!(!envelope.request_id.is_empty() && envelope.mount_type == "kv");
                let data = envelope.data.unwrap();
                (String::from_utf8(data.as_bytes().to_vec()).unwrap(), envelope.warnings)
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Waits until a mount stops reporting that it is being upgraded.
    async fn wait_for_upgrade(&self, path: &str) {
        for _ in 0..1000 {
            match self.send(Verb::Read, path, &self.root, "").await {
                Err(error) if error.to_string().starts_with("Upgrading from non-versioned") => {
                    tokio::task::yield_now().await;
                }
                _ => return,
            }
        }
        panic!("the upgrade does not end");
    }
}

#[tokio::test]
async fn a_mount_chooses_its_version_by_an_option_or_an_old_name() {
    let bench = TestCore::new().await;
    for (path, body, version) in [
        ("v", r#"{"type":"kv"}"#, ""),
        ("v0", r#"{"type":"kv","options":{"version":""}}"#, ""),
        ("g", r#"{"type":"generic"}"#, ""),
        ("v1", r#"{"type":"kv-v1"}"#, "1"),
        ("v2", r#"{"type":"kv-v2"}"#, "2"),
        ("o2", r#"{"type":"kv","options":{"version":2}}"#, "2"),
        ("both", r#"{"type":"kv-v2","options":{"version":"1","x":"y"}}"#, "2"),
    ] {
        bench.write(&format!("sys/mounts/{path}"), body).await;
        let shown = bench.read(&format!("sys/mounts/{path}")).await;
        assert_eq!(shown.text("type"), "kv", "{path}");
        let said = shown.json("options").contains(&format!("\"version\":\"{version}\""));
        assert!(said || version.is_empty(), "{path}: {}", shown.json("options"));
        if version == "2" {
            bench.write(&format!("{path}/data/a"), r#"{"data":{"x":"1"}}"#).await;
        } else {
            bench.write(&format!("{path}/a"), r#"{"x":"1"}"#).await;
        }
        // The CLI's preflight request shows the same.
        let seen = bench.read(&format!("sys/internal/ui/mounts/{path}/a")).await;
        assert_eq!(seen.json("options"), shown.json("options"));
    }
}

#[tokio::test]
async fn not_found_keeps_its_envelope_where_there_is_something_to_say() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv-v2"}"#).await;
    assert!(bench.fails(Verb::Read, "kv/data/a", "").await.messages().is_empty());
    let made = bench.write("kv/data/a", r#"{"data":{"n":1.10}}"#).await;
    assert_eq!(made.json("version"), "1");
    assert_eq!(bench.read("kv/data/a").await.json("data"), r#"{"n":1.10}"#);
    bench.succeeds(Verb::Delete, "kv/data/a", "").await;
    let (data, warnings) = bench.not_found_with_data(Verb::Read, "kv/data/a", "").await;
    assert!(data.starts_with(r#"{"data":null,"metadata":{"created_time":"#), "{data}");
    assert!(warnings.is_empty());
    for (verb, path) in
        [(Verb::Read, "kv/a"), (Verb::Write, "kv/a"), (Verb::List, "kv"), (Verb::Delete, "kv/a")]
    {
        let (data, warnings) = bench.not_found_with_data(verb, path, r#"{"x":"1"}"#).await;
        assert_eq!(data, "null");
        assert!(warnings[0].starts_with("Invalid path for a versioned K/V secrets engine:"));
    }
    bench.succeeds(Verb::Patch, "kv/data/none", r#"{"data":{"x":1}}"#).await;
    assert_eq!(bench.fails(Verb::List, "kv/data", "").await.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn tuning_upgrades_version_1_and_never_downgrades() {
    let mut bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    for n in 0..200 {
        bench.write(&format!("kv/app/{n}"), &format!(r#"{{"n":{n}}}"#)).await;
    }
    bench.write("kv/config", r#"{"mine":true}"#).await;
    assert!(
        bench
            .write("sys/mounts/kv/tune", r#"{"options":{"version":"1"}}"#)
            .await
            .warnings
            .is_empty()
    );
    for version in ["3", "x"] {
        let body = format!(r#"{{"options":{{"version":"{version}"}}}}"#);
        let error = bench.fails(Verb::Write, "sys/mounts/kv/tune", &body).await;
        assert_eq!(error.to_string(), "invalid version provided: must be 1 or 2");
    }
    let tuned =
        bench.write("sys/mounts/kv/tune", r#"{"options":{"version":"2"},"description":"d"}"#);
    assert_eq!(tuned.await.warnings, [UPGRADE_WARNING]);
    bench.wait_for_upgrade("kv/config").await;
    for n in 0..200 {
        let got = bench.read(&format!("kv/data/app/{n}")).await;
        assert_eq!(got.json("data"), format!(r#"{{"n":{n}}}"#));
    }
    assert_eq!(bench.read("kv/data/config").await.json("data"), r#"{"mine":true}"#);
    assert_eq!(bench.read("kv/config").await.json("max_versions"), "0");
    let shown = bench.read("sys/mounts/kv").await;
    assert_eq!(
        (shown.json("options"), shown.text("description")),
        (r#"{"version":"2"}"#, "d".to_owned())
    );
    for body in [r#"{"options":{"version":"2"}}"#, r#"{"options":{"other":"x"}}"#] {
        assert!(bench.write("sys/mounts/kv/tune", body).await.warnings.is_empty());
    }
    let back =
        bench.fails(Verb::Write, "sys/mounts/kv/tune", r#"{"options":{"version":"1"}}"#).await;
    assert_eq!(back.to_string(), "cannot downgrade mount from version 2");
    bench.write("kv/data/app/7", r#"{"data":{"n":8}}"#).await;
    bench.restart().await;
    assert_eq!(bench.read("kv/data/app/7").await.json("data"), r#"{"n":8}"#);
    assert_eq!(bench.read("kv/data/app/8").await.json("data"), r#"{"n":8}"#);
}

#[tokio::test]
async fn an_upgrade_that_was_cut_off_goes_on_after_a_restart() {
    let mut bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    for n in 0..300 {
        bench.write(&format!("kv/app/{n}"), &format!(r#"{{"n":{n}}}"#)).await;
    }
    bench.write("sys/mounts/kv/tune", r#"{"options":{"version":"2"}}"#).await;
    // The process crashes before the upgrade is complete.
    bench.restart().await;
    bench.wait_for_upgrade("kv/config").await;
    let listed = bench.succeeds(Verb::List, "kv/metadata/app", "").await;
    let names: Vec<String> = serde_json::from_str(listed.json("keys")).unwrap();
    assert_eq!(names.len(), 300);
    for n in 0..300 {
        let got = bench.read(&format!("kv/data/app/{n}")).await;
        assert_eq!(got.json("data"), format!(r#"{{"n":{n}}}"#));
    }
}

#[tokio::test]
async fn policies_apply_to_each_kv_v2_path() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv-v2"}"#).await;
    bench.write("kv/data/old", r#"{"data":{"x":"hunter2"}}"#).await;
    let denied = async |token: &str, verb, path: &str, body: &str| {
        let error = bench.fails_as(token, verb, path, body).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{path}");
    };
    let only = async |path: &str, capability: &str| {
        let policy = format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}");
        bench.token_with_policy(&policy, "").await
    };
    let data = r#"{"data":{"x":"1"}}"#;
    let creator = only("kv/data/*", "create").await;
    bench.succeeds_as(&creator, Verb::Write, "kv/data/new", data).await;
    denied(&creator, Verb::Write, "kv/data/old", data).await;
    denied(&creator, Verb::Patch, "kv/data/old", data).await;
    let updater = only("kv/data/*", "update").await;
    bench.succeeds_as(&updater, Verb::Write, "kv/data/old", data).await;
    denied(&updater, Verb::Write, "kv/data/newer", data).await;
    let creator = only("kv/metadata/*", "create").await;
    bench.succeeds_as(&creator, Verb::Write, "kv/metadata/noted", r#"{"max_versions":3}"#).await;
    denied(&creator, Verb::Write, "kv/metadata/old", r#"{"max_versions":3}"#).await;
    let patcher = only("kv/data/*", "patch").await;
    bench.succeeds_as(&patcher, Verb::Patch, "kv/data/old", r#"{"data":{"y":"2"}}"#).await;
    denied(&patcher, Verb::Write, "kv/data/old", data).await;
    denied(&patcher, Verb::Read, "kv/data/old", "").await;
    let outliner = only("kv/subkeys/*", "read").await;
    let shown = bench.succeeds_as(&outliner, Verb::Read, "kv/subkeys/old", "").await;
    assert_eq!(shown.json("subkeys"), r#"{"x":null,"y":null}"#);
    denied(&outliner, Verb::Read, "kv/data/old", "").await;
}

#[tokio::test]
async fn metadata_policies_grant_no_access_to_data() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv-v2"}"#).await;
    bench.write("kv/data/a", r#"{"data":{"x":"hunter2"}}"#).await;
    let all = r#"["create", "read", "update", "patch", "delete", "list"]"#;
    let policy = format!(
        r#"path "kv/metadata/*" {{ capabilities = {all} }} path "kv/detailed-metadata/*" {{ capabilities = {all} }}"#
    );
    let token = bench.token_with_policy(&policy, "").await;
    let verbs = [Verb::Read, Verb::List, Verb::Write, Verb::Patch];
    for path in ["kv/metadata/a", "kv/metadata/", "kv/detailed-metadata/", "kv/metadata/a/"] {
        for verb in verbs {
            if let Ok(CoreResponse::Envelope(envelope)) =
                bench.send(verb, path, &token, r#"{"version":1}"#).await
            {
                let data = envelope.data.unwrap();
                assert!(!String::from_utf8_lossy(data.as_bytes()).contains("hunter2"), "{path}");
            }
        }
    }
    for path in ["kv/data/a", "kv/subkeys/a", "kv/data/a/", "kv/delete/a", "kv/destroy/a"] {
        for verb in [Verb::Read, Verb::Write, Verb::Patch, Verb::Delete] {
            let body = r#"{"versions":[1],"data":{}}"#;
            let error = bench.fails_as(&token, verb, path, body).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
        }
    }
    assert_eq!(bench.read("kv/data/a").await.json("data"), r#"{"x":"hunter2"}"#);
}

#[tokio::test]
async fn cve_2026_3605_dot_segments_reach_no_data_of_others() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv-v2"}"#).await;
    bench.write("kv/data/theirs", r#"{"data":{"x":"1"}}"#).await;
    let policy = r#"path "kv/+/mine/*" { capabilities = ["read", "update", "delete"] }"#;
    let token = bench.token_with_policy(policy, "").await;
    for path in [
        "kv/data/mine/../theirs",
        "kv/metadata/mine/../theirs",
        "kv/metadata/mine/./../theirs",
        "kv/data/mine//../theirs",
    ] {
        for verb in [Verb::Read, Verb::Delete, Verb::Write] {
            let error = bench.fails_as(&token, verb, path, r#"{"data":{}}"#).await;
            assert_eq!(error.kind(), ErrorKind::Invalid, "{verb:?} {path}");
        }
    }
    let got = bench.read("kv/data/theirs").await;
    assert!(got.json("metadata").contains("\"version\":1"));
}

#[tokio::test]
async fn ghsa_xp3c_3jw3_4vcr_a_slash_at_the_end_is_no_way_around_a_deny() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv-v2"}"#).await;
    bench.write("kv/data/a", r#"{"data":{"x":"1"}}"#).await;
    let policy = r#"
        path "kv/*" { capabilities = ["create", "read", "update", "delete", "list"] }
        path "kv/metadata/a" { capabilities = ["deny"] }
        path "kv/data/a" { capabilities = ["deny"] }"#;
    let token = bench.token_with_policy(policy, "").await;
    // A trailing slash doesn't evade a denial.
    for (verb, path) in [
        (Verb::Read, "kv/data/a/"),
        (Verb::Delete, "kv/data/a/"),
        (Verb::Delete, "kv/metadata/a/"),
        (Verb::Read, "kv/metadata/a/"),
    ] {
        let answer = bench.send(verb, path, &token, "").await;
        assert!(!format!("{answer:?}").contains("version"), "{path}");
    }
    assert_eq!(bench.read("kv/data/a").await.json("data"), r#"{"x":"1"}"#);
}
