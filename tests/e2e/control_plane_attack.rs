//! The chain of September 2026 that led from a spelling to code on the server, as far as its links are
//! built here: a policy is named in another spelling, with it the catalog of plug-ins is written, or the
//! store is, and what stands there is started. Each link is tried with those before it passed.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_barrier::{Barrier, BarrierOptions, Batch, SealConfig, UnsealAttempt};
use strongroom_crypto::SystemEntropy;
use strongroom_storage::embedded::{self, EmbeddedStorage};
use strongroom_storage::{Physical, PhysicalBatch as RawBatch};
use strongroom_testkit::programs::sha256_hex;
use strongroom_testkit::{ApiClient, ServerFolder, ServerProcess};
use strongroom_types::{Secret, SystemClock};

use crate::api_token_engine::{self, ENGINE};

const CATALOG: &str = "core/plugin-catalog/";
const MOUNTS: &str = "core/mounts/";
/// A program outside of the folder of plug-ins. It leaves a file behind if it runs.
const OUTSIDE_PROGRAM: &str = "/usr/bin/touch";

#[tokio::test]
async fn controlplane_2026_09_28_the_chain_stops_at_each_link() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    api_token_engine::register_engine(&site, &api, ENGINE).await;
    api.write("sys/mounts/custom", json!({ "type": "api-token" })).await.assert_ok();
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.assert_ok();
    let everything =
        r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    api.write("sys/policies/acl/admin", json!({ "policy": everything })).await.assert_ok();

    path_spellings_give_no_policy(&api).await;
    withdrawn_policies_take_effect(&site, &api).await;
    requests_cannot_write_storage(&site, &api).await;
    // A record of the catalog as the value of a secret, whose ciphertext can be moved.
    api.write("kv/a", malicious_plugin_record("moved", OUTSIDE_PROGRAM, &site)).await.assert_ok();
    assert_eq!(server.stop().await, Some(0));
    moved_ciphertext_is_rejected(&site).await;
    restored_entries_are_checked(&mut site).await;
}

/// The first link: who may write policies and make tokens, but for one policy, gets at it.
async fn path_spellings_give_no_policy(api: &ApiClient) {
    let operator = r#"
        path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete"] }
        path "sys/policies/acl/admin" { capabilities = ["read"] }
        path "auth/token/create" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "policies" = ["admin"] } }"#;
    let operator = token_with_policy(api, "operator", operator).await;
    let before = api.read("sys/policies/acl/admin").await.assert_ok().text_at("data/policy");
    for name in ["admin", "ADMIN", "Admin", "admin%20", "%20aDmin"] {
        let path = format!("sys/policies/acl/{name}");
        let body = json!({ "policy": r#"path "a" {}"# });
        assert_eq!(operator.write(&path, body).await.status, 403, "{path}");
        assert_eq!(operator.delete(&path).await.status, 403, "{path}");
    }
    for policies in [json!("ADMIN"), json!(" admin"), json!("a,Admin"), json!(["a", " ADMIN "])] {
        let body = json!({ "policies": policies });
        let answer = operator.write("auth/token/create", body).await;
        assert_eq!(answer.status, 403, "{policies}: {answer:?}");
    }
    assert_eq!(api.read("sys/policies/acl/admin").await.assert_ok().text_at("data/policy"), before);
}

/// The second link: a token has got the policy. No set of policies is kept anywhere, so it ends at once,
/// and what lacks `sudo` doesn't reach the catalog in any spelling of the path.
async fn withdrawn_policies_take_effect(site: &ServerFolder, api: &ApiClient) {
    let made = api.write("auth/token/create", json!({ "policies": ["admin"] })).await.assert_ok();
    let admin = api.as_token(&made.text_at("auth/client_token"));
    admin.read("sys/policies/acl/operator").await.assert_ok();
    let reduced =
        r#"path "sys/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    api.write("sys/policies/acl/admin", json!({ "policy": reduced })).await.assert_ok();
    let body =
        json!({ "sha256": sha256_hex(&site.plugins_folder().join(ENGINE)), "command": ENGINE });
    for path in [
        "sys/plugins/catalog/secret/evil",
        "sys/plugins/catalog/secret/evil/",
        "sys/plugins/Catalog/secret/evil",
        "SYS/plugins/catalog/secret/evil",
        "sys//plugins/catalog/secret/evil",
        "sys/policies/../plugins/catalog/secret/evil",
        "sys/plugins%2fcatalog/secret/evil",
    ] {
        let answer = admin.write(path, body.clone()).await;
        assert!(answer.status >= 400, "{path}: {answer:?}");
    }
    api.delete("sys/policies/acl/admin").await.assert_ok();
    assert_eq!(admin.read("sys/policies/acl/operator").await.status, 403);
    assert!(!read_catalog(api).await.contains("evil"));
}

/// The third link: a root token. It registers only what lies in the folder of plug-ins, and no path puts
/// an entry into the store.
async fn requests_cannot_write_storage(site: &ServerFolder, api: &ApiClient) {
    for (command, env) in [
        ("../../../../usr/bin/touch", ""),
        (OUTSIDE_PROGRAM, ""),
        ("touch", ""),
        (ENGINE, "LD_PRELOAD=/a"),
    ] {
        let file = if command == ENGINE {
            site.plugins_folder().join(ENGINE)
        } else {
            OUTSIDE_PROGRAM.into()
        };
        let env: Vec<&str> = Some(env).filter(|env| !env.is_empty()).into_iter().collect();
        let body = json!({ "sha256": sha256_hex(&file), "command": command, "env": env });
        let answer = api.write("sys/plugins/catalog/secret/evil", body).await;
        assert_eq!(answer.status, 400, "{command} {env:?}: {answer:?}");
    }
    for path in [
        "sys/raw/core/plugin-catalog/secret/evil/-",
        "sys/storage/raw/core/plugin-catalog/secret/evil/-",
        "sys/storage/raft/snapshot",
        "sys/storage/raft/snapshot-force",
        "sys/config/reload/plugins",
    ] {
        let answer = api.write(path, malicious_plugin_record("evil", OUTSIDE_PROGRAM, site)).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert!(!read_catalog(api).await.contains("evil"));
}

/// Still the third link: the files of the store can be written, without its keys. The ciphertext of a
/// secret, which says what a record of the catalog says, is put where the catalog has its records.
async fn moved_ciphertext_is_rejected(site: &ServerFolder) {
    let target = format!("{CATALOG}secret/moved/-");
    let store = open_store(site);
    let secrets = store.scan("logical/", None, 100).await.unwrap();
    assert!(!secrets.is_empty());
    store.close().await;
    for secret in secrets {
        let store = open_store(site);
        let value = store.get(&secret).await.unwrap().unwrap().value;
        store.commit(RawBatch::put(&*target, value)).await.unwrap();
        store.close().await;
        let server = site.start_sealed().await;
        let answer =
            server.api_with_token("").write("sys/unseal", json!({ "key": site.key_share() })).await;
        assert!(answer.status >= 500, "{secret}: {answer:?}");
        assert_nothing_runs(&server, site);
        server.kill().await;
    }
    let store = open_store(site);
    store.commit(RawBatch::delete(target)).await.unwrap();
    store.close().await;
}

/// The last link: the store was written with its keys, as by the restore of a prepared one. What a mount
/// runs, and what a new mount would, is judged when it is started.
async fn restored_entries_are_checked(site: &mut ServerFolder) {
    let own = |command: &str, env: &str| {
        let file = site.plugins_folder().join(ENGINE);
        json!({ "command": command, "sha256": sha256_hex(&file), "args": [], "env": [env] })
    };
    let entries = [
        malicious_plugin_record("evil", "../../../../../../../../usr/bin/touch", site),
        malicious_plugin_record("evil", OUTSIDE_PROGRAM, site),
        malicious_plugin_record("evil", "touch", site),
        own(ENGINE, "LD_PRELOAD=/nowhere/a.so"),
        own(ENGINE, "PATH=/nowhere"),
    ];
    for entry in entries {
        rewrite_plugin_records(site, |record| {
            for (name, value) in entry.as_object().unwrap() {
                if matches!(name.as_str(), "command" | "args" | "env" | "sha256") {
                    record[name] = value.clone();
                }
            }
        })
        .await;
        let (server, api) = site.start_unsealed().await;
        let answer = api.write("sys/mounts/new", json!({ "type": "api-token" })).await;
        assert!(answer.status >= 400, "{entry}: {answer:?}");
        api.write("sys/plugins/reload/backend", json!({ "mounts": "custom/" })).await;
        assert_nothing_runs(&server, site);
        assert_eq!(server.stop().await, Some(0));
    }
    // The control: the same entries as they were are started.
    let digest = sha256_hex(&site.plugins_folder().join(ENGINE));
    rewrite_plugin_records(site, |record| {
        record["command"] = ENGINE.into();
        record["sha256"] = digest.clone().into();
        record["args"] = json!([]);
        record["env"] = json!([]);
    })
    .await;
    let (server, api) = site.start_unsealed().await;
    api.write("sys/mounts/new", json!({ "type": "api-token" })).await.assert_ok();
    assert_eq!(server.child_processes().len(), 1);
    assert_eq!(server.stop().await, Some(0));
}

/// A record of the catalog that starts a program outside of the folder of plug-ins.
fn malicious_plugin_record(name: &str, command: &str, site: &ServerFolder) -> Value {
    json!({
        "v": 1,
        "name": name,
        "kind": "secret",
        "version": "",
        "command": command,
        "args": [marker_file(site)],
        "env": [],
        "sha256": sha256_hex(Path::new(OUTSIDE_PROGRAM)),
    })
}

fn marker_file(site: &ServerFolder) -> std::path::PathBuf {
    site.root_path().join("it-ran")
}

fn assert_nothing_runs(server: &ServerProcess, site: &ServerFolder) {
    assert!(server.child_processes().is_empty(), "a process was started");
    assert!(!marker_file(site).exists(), "the program was run");
}

async fn read_catalog(api: &ApiClient) -> String {
    api.read("sys/plugins/catalog").await.assert_ok().body.to_string()
}

async fn token_with_policy(api: &ApiClient, name: &str, policy: &str) -> ApiClient {
    api.write(&format!("sys/policies/acl/{name}"), json!({ "policy": policy })).await.assert_ok();
    let made = api.write("auth/token/create", json!({ "policies": [name] })).await.assert_ok();
    api.as_token(&made.text_at("auth/client_token"))
}

/// Changes the plug-in's record in the catalog, and in the mount that runs it, with the store's keys.
async fn rewrite_plugin_records(site: &ServerFolder, change: impl Fn(&mut Value)) {
    let store = Arc::new(open_store(site));
    let barrier = open_barrier(store.clone(), site.key_share()).await;
    let mut batch = Batch::new();
    let mut changed = 0;
    for (prefix, pointer) in [(CATALOG, ""), (MOUNTS, "/running/plugin")] {
        let view = barrier.view(prefix);
        for key in view.list_keys("", None, 100).await.unwrap() {
            let mut document: Value = view.get_json(&key).await.unwrap().unwrap();
            let record = document.pointer_mut(pointer);
            if let Some(record) = record.filter(|record| record["name"] == "api-token") {
                change(record);
                view.put_json(&mut batch, &key, &document);
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 2, "one in the catalog, one with the mount");
    barrier.commit(batch).await.unwrap();
    barrier.close();
    store.close().await;
}

/// The store of a site whose server was stopped.
fn open_store(site: &ServerFolder) -> EmbeddedStorage {
    EmbeddedStorage::open(&site.root_path().join("data"), embedded::EmbeddedOptions::default())
        .unwrap()
}

async fn open_barrier(physical: Arc<dyn Physical>, share: &str) -> Barrier {
    let config = SealConfig::load(&*physical).await.unwrap().unwrap();
    let share = data_encoding::HEXLOWER.decode(share.as_bytes()).unwrap();
    let shares = UnsealAttempt::new(config).add_share(Secret::new(share), &SystemEntropy).unwrap();
    let entropy = Arc::new(SystemEntropy);
    let clock = Arc::new(SystemClock);
    shares
        .open_barrier(BarrierOptions { physical, entropy, clock, cache_bytes: 1 << 20 })
        .await
        .unwrap()
        .unwrap()
}
