use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::fake_outside_system::OutsideBehavior;
use super::test_core::LaunchGate;

const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

async fn register_plugin(bench: &TestCore, version: &'static str) {
    *bench.plugins.plugin_version.lock().unwrap() = version;
    let body = format!(r#"{{"sha256":"{SHA}","command":"outside"}}"#);
    bench.write("sys/plugins/catalog/secret/outside", &body).await;
}

async fn running_version(bench: &TestCore) -> String {
    bench.read("sys/mounts/out").await.text("running_plugin_version")
}

#[tokio::test]
async fn the_highest_version_runs_after_a_reload_and_not_before() {
    let mut bench = TestCore::new().await;
    register_plugin(&bench, "v1.0.0").await;
    let bench_ready = bench.with_credential_engine().await;
    bench = bench_ready;
    assert_eq!(running_version(&bench).await, "v1.0.0");
    register_plugin(&bench, "v2.0.0").await;
    assert_eq!(running_version(&bench).await, "v1.0.0");
    bench.restart().await;
    assert_eq!(running_version(&bench).await, "v1.0.0", "a restart runs exactly what ran before");
    bench.write("sys/plugins/reload/backend", r#"{"plugin":"outside"}"#).await;
    assert_eq!(running_version(&bench).await, "v2.0.0");
    assert_eq!(bench.read("out/creds/dev").await.text("key"), "s3cr3t");
    let error =
        bench.fails(Verb::Write, "sys/plugins/reload/backend", r#"{"plugin":"nope"}"#).await;
    assert_eq!(error.to_string(), "plugin not found in the catalog: \"nope\"");
}

#[tokio::test]
async fn a_mount_is_tuned_to_a_version_only_if_there_is_one() {
    let bench = TestCore::new().await.with_credential_engine().await;
    register_plugin(&bench, "v1.0.0").await;
    let missing = "plugin not found in the catalog: outside, version=v9.9.9";
    for (verb, path, body) in [
        (Verb::Write, "sys/mounts/out/tune", r#"{"plugin_version":"9.9.9","description":"x"}"#),
        (Verb::Write, "sys/mounts/other", r#"{"type":"outside","plugin_version":"9.9.9"}"#),
        (
            Verb::Write,
            "sys/mounts/other",
            r#"{"type":"outside","config":{"plugin_version":"9.9.9"}}"#,
        ),
    ] {
        let error = bench.fails(verb, path, body).await;
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Invalid, missing.to_owned()));
    }
    let mount = bench.read("sys/mounts/out").await;
    assert_eq!((mount.text("plugin_version"), mount.text("description")), <_>::default());
    bench.write("sys/mounts/out/tune", r#"{"plugin_version":"1.0.0"}"#).await;
    assert_eq!(bench.read("sys/mounts/out").await.text("plugin_version"), "v1.0.0");
    bench.write("sys/plugins/reload/backend", r#"{"mounts":"out"}"#).await;
    assert_eq!(running_version(&bench).await, "v1.0.0");
    // The version is deregistered; the error names the version, since another one of the plug-in
    // exists.
    bench
        .succeeds(Verb::Delete, "sys/plugins/catalog/secret/outside", r#"{"version":"v1.0.0"}"#)
        .await;
    register_plugin(&bench, "v2.0.0").await;
    let error = bench.fails(Verb::Write, "sys/plugins/reload/backend", r#"{"mounts":"out"}"#).await;
    let gone = "plugin not found in the catalog: outside, version=v1.0.0";
    assert!(error.to_string().contains(gone), "{error}");
    assert_eq!(running_version(&bench).await, "v1.0.0", "it goes on as it was");
    bench.write("sys/mounts/out/tune", r#"{"plugin_version":""}"#).await;
    bench.write("sys/plugins/reload/backend", r#"{"mounts":"out"}"#).await;
    assert_eq!(running_version(&bench).await, "v2.0.0");
}

#[tokio::test]
async fn a_reload_without_mounts_has_a_warning() {
    let bench = TestCore::new().await;
    let got = bench.write("sys/plugins/reload/backend", r#"{"plugin":"outside"}"#).await;
    assert_eq!(got.warnings, ["no mount runs this plug-in: nothing was reloaded"]);
    assert!(!got.text("reload_id").is_empty());
    let error = bench.fails(Verb::Write, "sys/plugins/reload/auth/outside", "").await;
    assert_eq!(error.to_string(), "plugin not found in the catalog: \"outside\"");
    let bench = bench.with_credential_engine().await;
    let got = bench.write("sys/plugins/reload/backend", r#"{"plugin":"outside"}"#).await;
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
}

#[tokio::test]
async fn a_reload_waits_for_requests_and_fails_none() {
    let bench = TestCore::new().await.with_credential_engine().await;
    register_plugin(&bench, "v2.0.0").await;
    bench.outside.set_behavior(OutsideBehavior::SlowIssue);
    let slow = bench.send(Verb::Read, "out/creds/dev", &bench.root, "");
    let others = async {
        bench.run_until_idle().await;
        let reload = bench.write("sys/plugins/reload/backend", r#"{"mounts":"out"}"#);
        let during = async {
            bench.run_until_idle().await;
            // This request waits, and is served by the new engine.
            let waits = bench.read("out/roles/dev");
            let release = async {
                bench.run_until_idle().await;
                bench.outside.set_behavior(OutsideBehavior::Works);
                bench.outside.unblock();
            };
            tokio::join!(waits, release).0
        };
        let (_, role) = tokio::join!(reload, during);
        assert_eq!(role.json("ttl"), "60");
    };
    let (answer, ()) = tokio::join!(slow, others);
    answer.unwrap();
    assert_eq!(running_version(&bench).await, "v2.0.0");
    assert_eq!(bench.outside.live_credentials(), 1);
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_old_engine_running() {
    let bench = TestCore::new().await.with_credential_engine().await;
    register_plugin(&bench, "v2.0.0").await;
    *bench.plugins.broken.lock().unwrap() = true;
    let error =
        bench.fails(Verb::Write, "sys/plugins/reload/backend", r#"{"plugin":"outside"}"#).await;
    assert!(error.to_string().contains("it does not start"), "{error}");
    assert_eq!(running_version(&bench).await, "v1.0.0+builtin");
    assert_eq!(bench.read("out/creds/dev").await.text("key"), "s3cr3t");
}

#[tokio::test]
async fn a_mount_whose_plugin_does_not_start_stops_nothing_else_and_recovers() {
    let mut bench = TestCore::new().await;
    register_plugin(&bench, "v1.0.0").await;
    let bench_ready = bench.with_credential_engine().await;
    bench = bench_ready;
    *bench.plugins.broken.lock().unwrap() = true;
    bench.restart().await;
    assert!(bench.read("sys/mounts").await.data.contains("out/"));
    let error = bench.fails(Verb::Read, "out/roles/dev", "").await;
    assert!(error.to_string().contains("could not be started"), "{error}");
    *bench.plugins.broken.lock().unwrap() = false;
    bench.run_until_idle().await;
    // A request triggers another attempt to start the engine, which succeeds a little later.
    bench.fails(Verb::Read, "out/roles/dev", "").await;
    bench.run_until_idle().await;
    bench.advance_secs(1).await;
    assert_eq!(bench.read("out/roles/dev").await.json("ttl"), "60");
}

#[tokio::test]
async fn the_catalog_lists_registered_and_builtin_plugins() {
    let bench = TestCore::new().await;
    register_plugin(&bench, "v1.2.3").await;
    let seen =
        bench.send_query("sys/plugins/catalog/secret/outside", &[("version", "1.2.3")]).await;
    assert_eq!(
        (seen.text("version"), seen.text("sha256"), seen.json("builtin")),
        ("v1.2.3".into(), SHA.into(), "false")
    );
    assert_eq!(bench.read("sys/plugins/catalog/secret/outside").await.json("builtin"), "true");
    let all = bench.read("sys/plugins/catalog").await;
    assert_eq!(all.json("secret"), r#"["kv","outside"]"#);
    assert!(all.json("detailed").contains(r#""version":"v1.2.3","builtin":false"#));
    let cases = [
        (r#"{"command":"x"}"#, "missing SHA-256 value"),
        (r#"{"sha256":"zz","command":"x"}"#, "could not decode SHA-256 value: give 64 hex digits"),
        (r#"{"sha256":"SHA"}"#, "missing command value"),
        (
            r#"{"sha256":"SHA","command":"x","version":"zz"}"#,
            "the version is not a valid semantic version: write it as 1.2.3",
        ),
        (
            r#"{"sha256":"SHA","command":"x","version":"9.9.9"}"#,
            "plugin version mismatch: the plug-in reports v1.2.3 and v9.9.9 was given",
        ),
        (
            r#"{"sha256":"SHA","command":"x","oci_image":"i"}"#,
            "running plug-ins in containers is not supported by this server",
        ),
    ];
    for (body, text) in cases {
        let body = body.replace("SHA", SHA);
        let error = bench.fails(Verb::Write, "sys/plugins/catalog/secret/p", &body).await;
        assert_eq!(error.to_string(), text);
    }
    bench
        .succeeds(Verb::Delete, "sys/plugins/catalog/secret/outside", r#"{"version":"v1.2.3"}"#)
        .await;
    assert_eq!(
        bench.read("sys/plugins/catalog").await.json("detailed").matches("1.2.3").count(),
        0
    );
}

#[tokio::test]
async fn cve_2026_105816_no_copy_stays_of_what_is_neither_registered_nor_run() {
    let bench = TestCore::new().await;
    let copies = || bench.plugins.copies.lock().unwrap().clone();
    register_plugin(&bench, "v1.0.0").await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    register_plugin(&bench, "v1.2.3").await;
    assert_eq!(copies(), ["outside v1.0.0", "outside v1.2.3", "outside v1.0.0"]);
    let version = r#"{"version":"v1.0.0"}"#;
    bench.succeeds(Verb::Delete, "sys/plugins/catalog/secret/outside", version).await;
    assert_eq!(copies(), ["outside v1.2.3", "outside v1.0.0"], "a mount runs it");
    bench.write("sys/plugins/reload/secret/outside", "{}").await;
    assert_eq!(copies(), ["outside v1.2.3", "outside v1.2.3"]);
    let version = r#"{"version":"v1.2.3"}"#;
    bench.succeeds(Verb::Delete, "sys/plugins/catalog/secret/outside", version).await;
    bench.succeeds(Verb::Delete, "sys/mounts/out", "{}").await;
    assert!(copies().is_empty(), "{:?}", copies());
}

#[tokio::test]
async fn catalog_changes_beyond_the_queue_limit_are_unavailable() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(Arc::new(held.clone())).await;
    register_plugin(&bench, "v1.0.0").await;
    held.block_writes("catalog");
    let version = r#"{"version":"v1.0.0"}"#;
    let path = "sys/plugins/catalog/secret/outside";
    let ask = |_| bench.send(Verb::Delete, path, &bench.root, version);
    let mut asked: FuturesUnordered<_> = (0..65).map(ask).collect();
    // The other requests are blocked.
    let refused = asked.next().await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "too many changes are waiting; try again");
    assert_eq!((refused.kind(), refused.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
    held.unblock();
    while let Some(done) = asked.next().await {
        done.unwrap();
    }
}

/// A concurrent deregistration, which removes unneeded copies, must keep a copy that is about to be
/// used.
#[tokio::test]
async fn a_copy_stays_for_whoever_registers_or_mounts_a_plugin_meanwhile() {
    let bench = TestCore::new().await;
    let copies = || bench.plugins.copies.lock().unwrap().clone();
    let asked = |path: &'static str, body: String| {
        let gate = Arc::new(LaunchGate::default());
        *bench.plugins.launch_gate.lock().unwrap() = Some(gate.clone());
        let bench = &bench;
        let asking = async move { bench.write(path, &body).await };
        (gate, asking)
    };
    let deregister = async |version: &str| {
        let version = format!(r#"{{"version":"{version}"}}"#);
        bench.succeeds(Verb::Delete, "sys/plugins/catalog/secret/outside", &version).await;
    };
    register_plugin(&bench, "v1.0.0").await;

    // The file was verified, but the catalog entry isn't written yet.
    *bench.plugins.plugin_version.lock().unwrap() = "v2.0.0";
    let body = format!(r#"{{"sha256":"{SHA}","command":"other","version":"v2.0.0"}}"#);
    let (gate, registering) = asked("sys/plugins/catalog/secret/other", body);
    let meanwhile = async {
        gate.reached.notified().await;
        deregister("v9.9.9").await;
        let seen = copies();
        gate.open.notify_one();
        seen
    };
    let (_, seen) = tokio::join!(registering, meanwhile);
    assert!(seen.contains(&"other v2.0.0".to_owned()), "{seen:?}");
    assert!(copies().contains(&"other v2.0.0".to_owned()), "{:?}", copies());

    // The plug-in was started for a mount that isn't in the mount table yet.
    let body = r#"{"type":"outside"}"#.to_owned();
    let (gate, mounting) = asked("sys/mounts/out", body);
    let meanwhile = async {
        gate.reached.notified().await;
        deregister("v1.0.0").await;
        let seen = copies();
        gate.open.notify_one();
        seen
    };
    let (_, seen) = tokio::join!(mounting, meanwhile);
    assert!(seen.contains(&"outside v1.0.0".to_owned()), "{seen:?}");
    deregister("v1.0.0").await;
    assert!(copies().contains(&"outside v1.0.0".to_owned()), "a mount runs it: {:?}", copies());
    assert!(bench.plugins.kept_copy_names().is_empty(), "it is the tables that say so now");
}

/// A version is validated at registration only. What a mounted plug-in reports later is untrusted
/// text.
#[tokio::test]
async fn sr_2026_06_the_version_that_a_mounted_plugin_reports_is_shown_printable_and_bounded() {
    let mut bench = TestCore::new().await;
    register_plugin(&bench, "v1.0.0").await;
    let long = format!("v1.0.0\u{1b}[2J\n\u{202e}{}", "9".repeat(1 << 20));
    *bench.plugins.reported_once_mounted.lock().unwrap() = Some(long.leak());
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    for _ in 0..2 {
        let version = running_version(&bench).await;
        assert!(version.starts_with("v1.0.0 [2J  999"), "{}", &version[..40]);
        assert!(version.len() < 8 << 10, "{} bytes", version.len());
        assert!(!version.contains(['\u{1b}', '\n', '\u{202e}']));
        let all = bench.read("sys/mounts").await;
        assert!(all.json("out/").contains(r#""running_plugin_version":"v1.0.0 [2J  999"#));
        bench.restart().await;
    }
}

/// As in newer versions of Vault; the plug-in reports its version itself.
#[tokio::test]
async fn reading_a_plugin_without_version_returns_the_only_one() {
    let bench = TestCore::new().await;
    let path = "sys/plugins/catalog/secret/reporting";
    let body = format!(r#"{{"sha256":"{}","command":"reporting"}}"#, "00".repeat(32));
    *bench.plugins.plugin_version.lock().unwrap() = "v1.0.0";
    bench.write(path, &body).await;
    assert_eq!(bench.read(path).await.text("version"), "v1.0.0");
    *bench.plugins.plugin_version.lock().unwrap() = "v2.0.0";
    bench.write(path, &body).await;
    bench.fails(Verb::Read, path, "{}").await;
}
