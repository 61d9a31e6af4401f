//! Engines in processes: one process for several mounts, crash, reload under load, what the log
//! shows and what it doesn't.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use strongroom_testkit::server::kill_process;
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ExternalTokenService, ServerFolder};

use crate::api_token_engine::{self, ENGINE};

const TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn mounts_share_a_process_and_get_another_when_it_dies() {
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    api.write("sys/mounts/second", json!({ "type": "api-token" })).await.assert_ok();
    let before = server.child_processes();
    assert_eq!(before.len(), 1, "two mounts share a process");
    let credential = api.read("custom/creds/dev").await.assert_ok();
    kill_process(before[0]);
    // The next request may meet the dying process; none after it fails.
    let token = wait_until("a credential after the crash", TIMEOUT, || async {
        let answer = api.read("custom/creds/dev").await;
        (answer.status == 200).then(|| answer.text_at("data/token"))
    })
    .await;
    assert!(outside.has_token(&token).await);
    api.read("second/config").await;
    let after = server.child_processes();
    assert_eq!(after.len(), 1, "both mounts share the new process");
    assert_ne!(before, after);
    // What was issued before the crash is revoked after it.
    let lease = credential.text_at("lease_id");
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert!(!outside.has_token(&credential.text_at("data/token")).await);
    let metrics = api.send("GET", "sys/metrics?format=prometheus", None).await.unwrap();
    assert_eq!(metrics.status, 200);
    assert_eq!(server.stop().await, Some(0));
    assert!(site.read_log().contains("a plug-in process ended by itself"));
}

#[tokio::test]
async fn children_die_with_the_server() {
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    let children = server.child_processes();
    assert_eq!(children.len(), 1);
    server.kill().await;
    wait_until("the plug-in is gone", TIMEOUT, || async {
        (!std::path::Path::new(&format!("/proc/{}", children[0])).exists()).then_some(())
    })
    .await;
}

/// Requests go on while the engine is replaced by another version and back, again and again.
#[tokio::test]
async fn a_reload_fails_no_request() {
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    api_token_engine::register_engine(&site, &api, "strongroom-engine-api-token-2").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let (api, stop, done) = (api.clone(), stop.clone(), done.clone());
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let path = if caller % 2 == 0 { "custom/creds/dev" } else { "custom/roles/dev" };
                let answer = api.read(path).await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for version in ["v2.0.0", "v1.0.0", "v2.0.0", "v1.0.0"] {
        let at_least = done.load(Ordering::Relaxed) + 20;
        wait_until("some requests in between", TIMEOUT, || async {
            (done.load(Ordering::Relaxed) >= at_least).then_some(())
        })
        .await;
        api.write("sys/mounts/custom/tune", json!({ "plugin_version": version })).await.assert_ok();
        api.write("sys/plugins/reload/backend", json!({ "mounts": "custom/" })).await.assert_ok();
        let mount = api.read("sys/mounts/custom").await.assert_ok();
        assert_eq!(mount.text_at("data/running_plugin_version"), version);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let issued = api_token_engine::list_leases(&api).await.len();
    assert_eq!(outside.read_count("live").await, issued as u64, "each credential has its lease");
    wait_until("only the last process is left", TIMEOUT, || async {
        (server.child_processes().len() == 1).then_some(())
    })
    .await;
    assert_eq!(server.stop().await, Some(0));
    assert!(!site.read_log().contains("ended by itself"), "{}", site.read_log());
}

#[tokio::test]
async fn a_mount_runs_what_it_was_enabled_with() {
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    // Another file under the same name: the mount goes on with its copy, a registration refuses.
    std::fs::remove_file(site.plugins_folder().join(ENGINE)).unwrap();
    std::fs::copy("/bin/true", site.plugins_folder().join(ENGINE)).unwrap();
    server.kill().await;
    let (server, api) = site.start_unsealed().await;
    wait_until("the mount is back", TIMEOUT, || async {
        (api.read("custom/creds/dev").await.status == 200).then_some(())
    })
    .await;
    let digest = "0".repeat(64);
    let body = json!({ "sha256": digest, "command": ENGINE });
    let refused = api.write("sys/plugins/catalog/secret/other", body).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.to_string().contains("checksums did not match"), "{refused:?}");
    drop(server);
}

#[tokio::test]
async fn what_is_no_plug_in_is_refused_with_its_reason() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let digest = site.install_plugin(std::path::Path::new("/bin/true"));
    // The same program with another processor in its header: what the kernel refuses must not be
    // run by a shell.
    let mut foreign = std::fs::read("/bin/true").unwrap();
    foreign[18..20].copy_from_slice(&243_u16.to_le_bytes());
    let foreign_file = site.plugins_folder().with_file_name("foreign");
    std::fs::write(&foreign_file, &foreign).unwrap();
    let foreign = site.install_plugin(&foreign_file);
    let registered = api.list("sys/plugins/catalog/secret").await.list_keys();
    let try_it = |body: serde_json::Value| {
        let api = api.clone();
        async move { api.write("sys/plugins/catalog/secret/odd", body).await }
    };
    let cases = [
        (json!({ "sha256": digest, "command": "true" }), "before it was ready"),
        (json!({ "sha256": digest, "command": "missing" }), "can't be used"),
        (json!({ "sha256": digest, "command": "../true" }), ""),
        (
            json!({ "sha256": digest, "command": "true", "env": ["LD_PRELOAD=hunter2"] }),
            "LD_PRELOAD",
        ),
        (
            json!({ "sha256": digest, "command": "true", "env": ["OPENSSL_CONF=hunter2"] }),
            "OPENSSL_CONF configures a cryptographic library",
        ),
        (
            json!({ "sha256": foreign, "command": "foreign" }),
            "it was built for riscv64 (64 bits, little-endian) and this server runs on",
        ),
        (json!({ "sha256": "zz", "command": "true" }), ""),
        (json!({ "command": "true" }), "missing SHA-256 value"),
    ];
    for (body, text) in cases {
        let answer = try_it(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body.to_string().contains(text), "{answer:?}");
        assert!(!answer.body.to_string().contains("hunter2"), "{answer:?}");
    }
    assert_eq!(api.list("sys/plugins/catalog/secret").await.list_keys(), registered);
    assert!(server.child_processes().is_empty());
}

/// Neither the key of the outside service nor a credential nor a token of the server may show up.
#[tokio::test]
async fn the_log_holds_no_secret() {
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::enable_engine(&site, &api, &outside, "10s").await;
    let credential = api.read("custom/creds/dev").await.assert_ok();
    let (lease, token) = (credential.text_at("lease_id"), credential.text_at("data/token"));
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    let root = api.token().to_owned();
    let metrics = api.send("GET", "sys/metrics?format=prometheus", None).await.unwrap();
    assert_eq!(server.stop().await, Some(0));
    let log = format!("{}{metrics:?}", site.read_log());
    assert!(log.contains("a plug-in process was started"), "{log}");
    for secret in [&*root, outside.api_key(), &*token] {
        assert!(!log.contains(secret), "{log}");
    }
}
