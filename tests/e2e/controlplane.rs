//! The chain of September 2026 that led from a spelling to code on the server, as far as its links are
//! built here: a policy is named in another spelling, with it the catalog of plug-ins is written, or the
//! store is, and what stands there is started. Each link is tried with those before it passed.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_barrier::{Barrier, Batch, Options, SealConfig, Unsealing};
use strongroom_crypto::SystemEntropy;
use strongroom_storage::embedded::{self, Embedded};
use strongroom_storage::{Batch as RawBatch, Physical};
use strongroom_testkit::programs::digest;
use strongroom_testkit::{Api, ServerProcess, Site};
use strongroom_types::{Secret, SystemClock};

use crate::engine::{self, ENGINE};

const CATALOG: &str = "core/plugin-catalog/";
const MOUNTS: &str = "core/mounts/";
/// A program outside of the folder of plug-ins. It leaves a file behind if it runs.
const PROGRAM: &str = "/usr/bin/touch";

#[tokio::test]
async fn controlplane_2026_09_28_the_chain_stops_at_each_link() {
    let mut site = Site::new("");
    let (server, api) = site.open().await;
    engine::register(&site, &api, ENGINE).await;
    api.write("sys/mounts/custom", json!({ "type": "api-token" })).await.ok();
    api.write("sys/mounts/kv", json!({ "type": "kv" })).await.ok();
    let everything =
        r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    api.write("sys/policies/acl/admin", json!({ "policy": everything })).await.ok();

    no_spelling_gives_a_policy(&api).await;
    no_policy_outlives_its_withdrawal(&site, &api).await;
    no_request_writes_the_store(&site, &api).await;
    // A record of the catalog as the value of a secret, whose ciphertext can be moved.
    api.write("kv/a", hostile("moved", PROGRAM, &site)).await.ok();
    assert_eq!(server.stop().await, Some(0));
    no_moved_entry_is_taken(&site).await;
    no_restored_entry_is_started(&mut site).await;
}

/// The first link: who may write policies and make tokens, but for one policy, gets at it.
async fn no_spelling_gives_a_policy(api: &Api) {
    let operator = r#"
        path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete"] }
        path "sys/policies/acl/admin" { capabilities = ["read"] }
        path "auth/token/create" { capabilities = ["create", "update", "sudo"]
            denied_parameters = { "policies" = ["admin"] } }"#;
    let operator = token(api, "operator", operator).await;
    let before = api.read("sys/policies/acl/admin").await.ok().text("data/policy");
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
    assert_eq!(api.read("sys/policies/acl/admin").await.ok().text("data/policy"), before);
}

/// The second link: a token has got the policy. No set of policies is kept anywhere, so it ends at once,
/// and what lacks `sudo` doesn't reach the catalog in any spelling of the path.
async fn no_policy_outlives_its_withdrawal(site: &Site, api: &Api) {
    let made = api.write("auth/token/create", json!({ "policies": ["admin"] })).await.ok();
    let admin = api.as_token(&made.text("auth/client_token"));
    admin.read("sys/policies/acl/operator").await.ok();
    let reduced =
        r#"path "sys/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    api.write("sys/policies/acl/admin", json!({ "policy": reduced })).await.ok();
    let body = json!({ "sha256": digest(&site.plugins().join(ENGINE)), "command": ENGINE });
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
    api.delete("sys/policies/acl/admin").await.ok();
    assert_eq!(admin.read("sys/policies/acl/operator").await.status, 403);
    assert!(!catalog(api).await.contains("evil"));
}

/// The third link: a root token. It registers only what lies in the folder of plug-ins, and no path puts
/// an entry into the store.
async fn no_request_writes_the_store(site: &Site, api: &Api) {
    for (command, env) in
        [("../../../../usr/bin/touch", ""), (PROGRAM, ""), ("touch", ""), (ENGINE, "LD_PRELOAD=/a")]
    {
        let file = if command == ENGINE { site.plugins().join(ENGINE) } else { PROGRAM.into() };
        let env: Vec<&str> = Some(env).filter(|env| !env.is_empty()).into_iter().collect();
        let body = json!({ "sha256": digest(&file), "command": command, "env": env });
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
        let answer = api.write(path, hostile("evil", PROGRAM, site)).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    assert!(!catalog(api).await.contains("evil"));
}

/// Still the third link: the files of the store can be written, without its keys. The ciphertext of a
/// secret, which says what a record of the catalog says, is put where the catalog has its records.
async fn no_moved_entry_is_taken(site: &Site) {
    let target = format!("{CATALOG}secret/moved/-");
    let store = open(site);
    let secrets = store.scan("logical/", None, 100).await.unwrap();
    assert!(!secrets.is_empty());
    store.close().await;
    for secret in secrets {
        let store = open(site);
        let value = store.get(&secret).await.unwrap().unwrap().value;
        store.commit(RawBatch::put(&*target, value)).await.unwrap();
        store.close().await;
        let server = site.start().await;
        let answer = server.api("").write("sys/unseal", json!({ "key": site.key_share() })).await;
        assert!(answer.status >= 500, "{secret}: {answer:?}");
        assert_nothing_runs(&server, site);
        server.kill().await;
    }
    let store = open(site);
    store.commit(RawBatch::delete(target)).await.unwrap();
    store.close().await;
}

/// The last link: the store was written with its keys, as by the restore of a prepared one. What a mount
/// runs, and what a new mount would, is judged when it is started.
async fn no_restored_entry_is_started(site: &mut Site) {
    let own = |command: &str, env: &str| {
        let file = site.plugins().join(ENGINE);
        json!({ "command": command, "sha256": digest(&file), "args": [], "env": [env] })
    };
    let entries = [
        hostile("evil", "../../../../../../../../usr/bin/touch", site),
        hostile("evil", PROGRAM, site),
        hostile("evil", "touch", site),
        own(ENGINE, "LD_PRELOAD=/nowhere/a.so"),
        own(ENGINE, "PATH=/nowhere"),
    ];
    for entry in entries {
        rewrite(site, |record| {
            for (name, value) in entry.as_object().unwrap() {
                if matches!(name.as_str(), "command" | "args" | "env" | "sha256") {
                    record[name] = value.clone();
                }
            }
        })
        .await;
        let (server, api) = site.open().await;
        let answer = api.write("sys/mounts/new", json!({ "type": "api-token" })).await;
        assert!(answer.status >= 400, "{entry}: {answer:?}");
        api.write("sys/plugins/reload/backend", json!({ "mounts": "custom/" })).await;
        assert_nothing_runs(&server, site);
        assert_eq!(server.stop().await, Some(0));
    }
    // The control: the same entries as they were are started.
    let digest = digest(&site.plugins().join(ENGINE));
    rewrite(site, |record| {
        record["command"] = ENGINE.into();
        record["sha256"] = digest.clone().into();
        record["args"] = json!([]);
        record["env"] = json!([]);
    })
    .await;
    let (server, api) = site.open().await;
    api.write("sys/mounts/new", json!({ "type": "api-token" })).await.ok();
    assert_eq!(server.children().len(), 1);
    assert_eq!(server.stop().await, Some(0));
}

/// A record of the catalog that starts a program outside of the folder of plug-ins.
fn hostile(name: &str, command: &str, site: &Site) -> Value {
    json!({
        "v": 1,
        "name": name,
        "kind": "secret",
        "version": "",
        "command": command,
        "args": [marker(site)],
        "env": [],
        "sha256": digest(Path::new(PROGRAM)),
    })
}

fn marker(site: &Site) -> std::path::PathBuf {
    site.path().join("it-ran")
}

fn assert_nothing_runs(server: &ServerProcess, site: &Site) {
    assert!(server.children().is_empty(), "a process was started");
    assert!(!marker(site).exists(), "the program was run");
}

async fn catalog(api: &Api) -> String {
    api.read("sys/plugins/catalog").await.ok().body.to_string()
}

async fn token(api: &Api, name: &str, policy: &str) -> Api {
    api.write(&format!("sys/policies/acl/{name}"), json!({ "policy": policy })).await.ok();
    let made = api.write("auth/token/create", json!({ "policies": [name] })).await.ok();
    api.as_token(&made.text("auth/client_token"))
}

/// Changes the plug-in's record in the catalog, and in the mount that runs it, with the store's keys.
async fn rewrite(site: &Site, change: impl Fn(&mut Value)) {
    let store = Arc::new(open(site));
    let barrier = barrier(store.clone(), site.key_share()).await;
    let mut batch = Batch::new();
    let mut changed = 0;
    for (prefix, pointer) in [(CATALOG, ""), (MOUNTS, "/running/plugin")] {
        let view = barrier.view(prefix);
        for key in view.keys("", None, 100).await.unwrap() {
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
fn open(site: &Site) -> Embedded {
    Embedded::open(&site.path().join("data"), embedded::Options::default()).unwrap()
}

async fn barrier(physical: Arc<dyn Physical>, share: &str) -> Barrier {
    let config = SealConfig::load(&*physical).await.unwrap().unwrap();
    let share = data_encoding::HEXLOWER.decode(share.as_bytes()).unwrap();
    let shares = Unsealing::new(config).add(Secret::new(share), &SystemEntropy).unwrap();
    let entropy = Arc::new(SystemEntropy);
    let clock = Arc::new(SystemClock);
    shares.open(Options { physical, entropy, clock, cache_bytes: 1 << 20 }).await.unwrap().unwrap()
}
