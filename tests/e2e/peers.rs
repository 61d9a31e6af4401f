//! Our engines and auth methods under a real Vault or OpenBao server, which `STRONGROOM_PEER` names:
//! registered, mounted, used and removed. At the end their processes are gone, and none of the
//! secrets is in the server's log.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use strongroom_fakes::nomad::{FakeNomad, Options};
use strongroom_testkit::programs::{print_to_stderr, program_path};
use strongroom_testkit::server::child_processes_of;
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ApiClient, ExternalTokenService, ServerFolder};
use tokio::process::{Child, Command};

use crate::api_token_engine::{ENGINE, configure_engine};

const TIMEOUT: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery staple";

/// One of our plug-ins, as the peer's catalog has it.
pub(crate) struct Plugin {
    /// `secret` or `auth`.
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    pub(crate) binary: &'static str,
    pub(crate) version: &'static str,
    /// Where it is mounted, such as `custom`.
    pub(crate) path: &'static str,
}

impl Plugin {
    fn mount_path(&self) -> String {
        let list = if self.kind == "auth" { "auth" } else { "mounts" };
        format!("sys/{list}/{}", self.path)
    }

    fn catalog_path(&self) -> String {
        format!("sys/plugins/catalog/{}/{}", self.kind, self.name)
    }
}

/// A whole server of others, with one of our plug-ins.
pub(crate) struct PeerServer {
    server: Child,
    pub(crate) api: ApiClient,
    site: ServerFolder,
    plugin: Plugin,
}

impl PeerServer {
    /// Starts the server, if there is one, registers the plug-in and mounts it.
    pub(crate) async fn start(test: &str, plugin: Plugin) -> Option<Self> {
        let Ok(peer) = std::env::var("STRONGROOM_PEER") else {
            // Nothing in the repository can install one, so this is never a failure.
            let why = "STRONGROOM_PEER names no server binary";
            print_to_stderr(&format!("SKIPPED {test}: {why}"));
            return None;
        };
        let site = ServerFolder::new("");
        let sha256 = site.install_plugin(&program_path(plugin.binary));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        // Where `ServerFolder::read_log` reads.
        let log = fs::File::create(site.root_path().join("log")).unwrap();
        let server = Command::new(peer)
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"])
            .arg("-log-level=debug")
            .arg(format!("-dev-listen-address={address}"))
            .arg(format!("-dev-plugin-dir={}", site.plugins_folder().display()))
            .env("HOME", site.root_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let api = ApiClient::new(&format!("http://{address}"), "root");
        wait_until("the peer is up", TIMEOUT, || async {
            (api.send("GET", "sys/health", None).await.ok()?.status == 200).then_some(())
        })
        .await;
        let Plugin { name, binary, version, .. } = plugin;
        let body = json!({ "sha256": sha256, "command": binary, "version": version });
        api.write(&plugin.catalog_path(), body).await.assert_ok();
        // Methods have the names of built-in ones; the version says which is meant.
        let body = json!({ "type": name, "config": { "plugin_version": version } });
        api.write(&plugin.mount_path(), body).await.assert_ok();
        let mount = api.read(&plugin.mount_path()).await.assert_ok();
        assert_eq!(mount.text_at("data/running_plugin_version"), version, "{mount:?}");
        let peer = Self { server, api, site, plugin };
        assert_eq!(peer.plugin_processes().len(), 1);
        Some(peer)
    }

    fn plugin_processes(&self) -> Vec<u32> {
        child_processes_of(self.server.id().unwrap())
    }

    /// Lets a new process of the plug-in start, which finds what the old one stored.
    pub(crate) async fn reload(&self) {
        let before = self.plugin_processes();
        let mount = self.plugin.mount_path();
        let mount = mount.trim_start_matches("sys/").trim_start_matches("mounts/");
        let body = json!({ "mounts": [format!("{mount}/")] });
        self.api.write("sys/plugins/reload/backend", body).await.assert_ok();
        wait_until("a new process", TIMEOUT, || async {
            let now = self.plugin_processes();
            (now.len() == 1 && now != before).then_some(())
        })
        .await;
    }

    /// Removes the mount.
    pub(crate) async fn unmount(&self) {
        self.api.delete(&self.plugin.mount_path()).await.assert_ok();
    }

    /// Removes the plug-in and ends the server. Nothing of what it was used for is left.
    pub(crate) async fn remove(mut self, secrets: &[&str]) {
        let catalog = format!("{}?version={}", self.plugin.catalog_path(), self.plugin.version);
        self.api.read(&catalog).await.assert_ok();
        self.api.delete(&catalog).await.assert_ok();
        assert_eq!(self.api.read(&catalog).await.status, 404);
        wait_until("the plug-in's process is gone", TIMEOUT, || async {
            self.plugin_processes().is_empty().then_some(())
        })
        .await;
        self.server.kill().await.unwrap();
        let log = self.site.read_log();
        assert!(log.contains(self.plugin.name), "the log is not of this server: {log}");
        for secret in secrets {
            assert!(!log.contains(secret), "a secret was logged");
        }
        for trouble in ["panic", "failed to exit gracefully"] {
            assert!(!log.contains(trouble), "{trouble}: {log}");
        }
    }
}

#[tokio::test]
async fn api_tokens_are_issued_renewed_and_revoked_under_a_real_peer() {
    let test = "api_tokens_are_issued_renewed_and_revoked_under_a_real_peer";
    let plugin = Plugin {
        kind: "secret",
        name: "api-token",
        binary: ENGINE,
        version: "v1.0.0",
        path: "custom",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let (api, outside) = (&peer.api, ExternalTokenService::start().await);
    configure_engine(api, &outside, "10s").await;
    let credential = api.read("custom/creds/dev").await.assert_ok();
    let (lease, token) = (credential.text_at("lease_id"), credential.text_at("data/token"));
    assert!(outside.has_token(&token).await);
    let renewal = json!({ "lease_id": lease, "increment": 7200 });
    let renewed = api.write("sys/leases/renew", renewal).await.assert_ok();
    assert_eq!(renewed.body["lease_duration"], 7200);
    assert_eq!(outside.read_count("renewed").await, 1);
    peer.reload().await;
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert!(!outside.has_token(&token).await);
    let refused = api.read("custom/creds/nobody").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let other = api.read("custom/creds/dev").await.assert_ok().text_at("data/token");
    peer.unmount().await;
    assert!(!outside.has_token(&other).await);
    peer.remove(&[&token, &other, outside.api_key()]).await;
}

#[tokio::test]
async fn nomad_tokens_are_issued_renewed_and_revoked_under_a_real_peer() {
    let test = "nomad_tokens_are_issued_renewed_and_revoked_under_a_real_peer";
    let plugin = Plugin {
        kind: "secret",
        name: "nomad",
        binary: "strongroom-engine-nomad",
        version: "v1.0.0",
        path: "cluster",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let (api, nomad) = (&peer.api, FakeNomad::start(Options::default()).await.unwrap());
    let management = nomad.bootstrap().unwrap();
    let access = json!({ "address": nomad.url(), "token": management });
    api.write("cluster/config/access", access).await.assert_ok();
    assert!(api.read("cluster/config/access").await.assert_ok().data_field("token").is_null());
    api.write("cluster/config/lease", json!({ "ttl": "10m", "max_ttl": "2h" })).await.assert_ok();
    api.write("cluster/role/ci", json!({ "policies": "deploy" })).await.assert_ok();
    let issue = async || {
        let credential = api.read("cluster/creds/ci").await.assert_ok();
        let secret = credential.text_at("data/secret_id");
        assert!(nomad.accepts(&secret));
        assert_eq!(credential.body["lease_duration"], 600);
        (credential.text_at("lease_id"), secret)
    };
    let (lease, secret) = issue().await;
    let renewal = json!({ "lease_id": lease, "increment": 1200 });
    let renewed = api.write("sys/leases/renew", renewal).await.assert_ok();
    assert_eq!(renewed.body["lease_duration"], 1200);
    peer.reload().await;
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert!(!nomad.accepts(&secret));
    // A lease whose token somebody deleted can't be renewed, and can be revoked.
    let (lease, gone) = issue().await;
    nomad.delete_token(&nomad.tokens().pop().unwrap().accessor);
    assert!(api.write("sys/leases/renew", json!({ "lease_id": lease })).await.status >= 400);
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    let (_, last) = issue().await;
    peer.unmount().await;
    assert_eq!(nomad.tokens(), []);
    peer.remove(&[&management, &secret, &gone, &last]).await;
}

/// Records, and a document that lies apart: their storage takes no key with a character that doesn't
/// show.
#[tokio::test]
async fn versioned_entries_live_under_a_real_peer() {
    let test = "versioned_entries_live_under_a_real_peer";
    let plugin = Plugin {
        kind: "secret",
        name: "versioned",
        binary: "strongroom-engine-kv-versioned",
        version: concat!("v", env!("CARGO_PKG_VERSION")),
        path: "ours",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let api = &peer.api;
    api.write("ours/config", json!({ "max_versions": 3 })).await.assert_ok();
    for number in 1..=4 {
        let data = json!({ "n": number, "secret": PASSWORD });
        let body = json!({ "data": data, "options": { "cas": number - 1 } });
        let written = api.write("ours/data/team/a b/ü", body).await.assert_ok();
        assert_eq!(written.body["data"]["version"], number);
    }
    let late = json!({ "data": {}, "options": { "cas": 1 } });
    assert_eq!(api.write("ours/data/team/a b/ü", late).await.status, 400);
    let read = api.read("ours/data/team/a b/ü").await.assert_ok();
    assert_eq!(read.body["data"]["data"]["n"], 4);
    assert_eq!(api.read("ours/config").await.assert_ok().body["data"]["max_versions"], 3);
    assert_eq!(api.list("ours/metadata/team/a b").await.list_keys(), ["ü"]);
    peer.reload().await;
    let old = api.read("ours/data/team/a b/ü?version=2").await.assert_ok();
    assert_eq!(old.body["data"]["data"]["n"], 2);
    api.delete("ours/metadata/team/a b/ü").await.assert_ok();
    assert_eq!(api.read("ours/data/team/a b/ü").await.status, 404);
    peer.unmount().await;
    peer.remove(&[PASSWORD]).await;
}

#[tokio::test]
async fn users_log_in_under_a_real_peer() {
    let test = "users_log_in_under_a_real_peer";
    let plugin = Plugin {
        kind: "auth",
        name: "userpass",
        binary: "strongroom-auth-userpass",
        version: "v1.0.0",
        path: "staff",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let (api, anonymous) = (&peer.api, peer.api.as_token(""));
    for user in ["sally", "bob"] {
        let body = json!({ "password": PASSWORD, "token_policies": "dev", "token_ttl": "1h" });
        api.write(&format!("auth/staff/users/{user}"), body).await.assert_ok();
    }
    assert_eq!(api.list("auth/staff/users").await.list_keys(), ["bob", "sally"]);
    let log_in = async |user: &str, password: &str| {
        let body = json!({ "password": password });
        anonymous.write(&format!("auth/staff/login/{user}"), body).await
    };
    let login = log_in("sally", PASSWORD).await.assert_ok();
    assert_eq!(login.body["auth"]["metadata"], json!({ "username": "sally" }));
    assert_eq!(login.body["auth"]["policies"], json!(["default", "dev"]));
    let token = login.text_at("auth/client_token");
    let sally = api.as_token(&token);
    let own = sally.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(own.data_field("display_name"), "staff-sally");
    // The peer finds the same entity for both spellings of the name.
    let spelled = log_in("SALLY", PASSWORD).await.assert_ok();
    let entity = login.text_at("auth/entity_id");
    assert!(!entity.is_empty() && spelled.text_at("auth/entity_id") == entity, "{spelled:?}");
    let renew = async || sally.write("auth/token/renew-self", json!({ "increment": 600 })).await;
    assert_eq!(renew().await.assert_ok().body["auth"]["lease_duration"], 600);
    peer.reload().await;
    renew().await.assert_ok();
    api.write("auth/staff/users/sally/policies", json!({ "token_policies": "ops" }))
        .await
        .assert_ok();
    let refused = renew().await;
    assert!(refused.status >= 400, "{refused:?}");
    sally.write("auth/token/revoke-self", json!({})).await.assert_ok();
    assert_eq!(sally.read("auth/token/lookup-self").await.status, 403);

    let last = log_in("sally", PASSWORD).await.assert_ok().text_at("auth/client_token");
    // It counts no failed logins of plug-ins for the lock: the wire has no code for them.
    for user in ["bob", "nobody"] {
        let refused = log_in(user, "wrong").await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.text_at("errors/0"), "invalid username or password");
    }
    peer.unmount().await;
    assert_eq!(api.as_token(&last).read("auth/token/lookup-self").await.status, 403);
    peer.remove(&[PASSWORD, &token, &last]).await;
}

#[tokio::test]
async fn machines_log_in_under_a_real_peer() {
    let test = "machines_log_in_under_a_real_peer";
    let plugin = Plugin {
        kind: "auth",
        name: "approle",
        binary: "strongroom-auth-approle",
        version: "v1.0.0",
        path: "machines",
    };
    let Some(peer) = PeerServer::start(test, plugin).await else { return };
    let (api, anonymous) = (&peer.api, peer.api.as_token(""));
    let role = json!({ "token_policies": "dev", "token_ttl": "1h", "secret_id_num_uses": 2 });
    api.write("auth/machines/role/ci", role).await.assert_ok();
    let role_id = api.read("auth/machines/role/ci/role-id").await.assert_ok();
    let role_id = role_id.text_at("data/role_id");
    let log_in = async |secret_id: &str| {
        let body = json!({ "role_id": role_id, "secret_id": secret_id });
        anonymous.write("auth/machines/login", body).await
    };
    let issue = async |api: &ApiClient| {
        let body = json!({ "metadata": "team=a" });
        api.write("auth/machines/role/ci/secret-id", body).await.assert_ok()
    };
    let issued = issue(api).await;
    let secret_id = issued.text_at("data/secret_id");
    assert_eq!(issued.text_at("data/secret_id_accessor").len(), 36);
    let login = log_in(&secret_id).await.assert_ok();
    assert_eq!(login.body["auth"]["metadata"], json!({ "role_name": "ci", "team": "a" }));
    assert_eq!(login.body["auth"]["policies"], json!(["default", "dev"]));
    assert!(!login.text_at("auth/entity_id").is_empty());
    let token = login.text_at("auth/client_token");
    let machine = api.as_token(&token);
    let renew = async || machine.write("auth/token/renew-self", json!({ "increment": 600 })).await;
    assert_eq!(renew().await.assert_ok().body["auth"]["lease_duration"], 600);
    peer.reload().await;
    renew().await.assert_ok();
    // The second use is the last.
    log_in(&secret_id).await.assert_ok();
    let refused = log_in(&secret_id).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.text_at("errors/0"), "invalid role or secret ID");

    let wrapped = issue(&api.with_header("X-Vault-Wrap-TTL", "60s")).await;
    let holder = api.as_token(&wrapped.text_at("wrap_info/token"));
    let inner = holder.write("sys/wrapping/unwrap", json!({})).await.assert_ok();
    let wrapped = inner.text_at("data/secret_id");
    let last = log_in(&wrapped).await.assert_ok().text_at("auth/client_token");
    let accessors = api.list("auth/machines/role/ci/secret-id").await.list_keys();
    assert_eq!(accessors, [inner.text_at("data/secret_id_accessor")]);
    let body = json!({ "secret_id_accessor": accessors[0] });
    api.write("auth/machines/role/ci/secret-id-accessor/destroy", body).await.assert_ok();
    assert_eq!(log_in(&wrapped).await.status, 400);
    // A quota of a role, for which the peer asks the method by whose role id a login is.
    let quota = json!({ "path": "auth/machines", "role": "ci", "rate": 1, "interval": "1h" });
    api.write("sys/quotas/rate-limit/ci", quota).await.assert_ok();
    assert_eq!([log_in("wrong").await.status, log_in("wrong").await.status], [400, 429]);
    let unknown = json!({ "role_id": "unknown", "secret_id": "wrong" });
    assert_eq!(anonymous.write("auth/machines/login", unknown).await.status, 400);
    api.delete("sys/quotas/rate-limit/ci").await.assert_ok();
    let tidy = api.write("auth/machines/tidy/secret-id", json!({})).await;
    assert_eq!(tidy.status, 202, "{tidy:?}");

    machine.write("auth/token/revoke-self", json!({})).await.assert_ok();
    assert_eq!(machine.read("auth/token/lookup-self").await.status, 403);
    api.delete("auth/machines/role/ci").await.assert_ok();
    let last_one = api.as_token(&last);
    let refused = last_one.write("auth/token/renew-self", json!({})).await;
    assert!(refused.status >= 400, "{refused:?}");
    peer.unmount().await;
    assert_eq!(last_one.read("auth/token/lookup-self").await.status, 403);
    peer.remove(&[&secret_id, &wrapped, &token, &last]).await;
}
