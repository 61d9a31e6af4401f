//! The example of a plug-in in Python, as `examples/python-plugin/README.md` runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use strongroom_testkit::interpreted::python_environment;
use strongroom_testkit::programs::repository_root;
use strongroom_testkit::server::kill_process;
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ApiClient, ServerFolder};

const TIMEOUT: Duration = Duration::from_secs(30);
const PLUGIN: &str = "htpasswd_plugin.py";

/// Writes the plug-in with the interpreter of its environment in its first line, and returns its
/// digest.
fn install_plugin(site: &ServerFolder, python: &Path, change: impl Fn(String) -> String) -> String {
    let source = repository_root().join("examples/python-plugin").join(PLUGIN);
    let text = fs::read_to_string(source).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.starts_with("#!"), "{first}");
    let file = site.root_path().join(PLUGIN);
    fs::write(&file, change(format!("#!{}\n{rest}", python.display()))).unwrap();
    site.install_plugin(&file)
}

/// The names of the users in the htpasswd file.
fn users(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

async fn issue(api: &ApiClient) -> (String, String) {
    let credential = wait_until("a credential", TIMEOUT, || async {
        let answer = api.read("web/creds/dev").await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(credential.text_at("data/password").len() > 20);
    (credential.text_at("lease_id"), credential.text_at("data/username"))
}

struct PythonPluginSite {
    site: ServerFolder,
    server: strongroom_testkit::server::ServerProcess,
    api: ApiClient,
    python: PathBuf,
    htpasswd: PathBuf,
}

impl PythonPluginSite {
    /// A server with the plug-in registered, mounted at `web/` and configured.
    async fn start(test: &str) -> Option<Self> {
        let requirements = repository_root().join("examples/python-plugin/requirements.txt");
        let python = python_environment(test, "python-plugin", &requirements, &[])?;
        let mut site = ServerFolder::new("");
        site.allow_scripts();
        let (server, api) = site.start_unsealed().await;
        let sha256 = install_plugin(&site, &python, |text| text);
        let body = json!({ "sha256": sha256, "command": PLUGIN, "version": "v1.0.0" });
        api.write("sys/plugins/catalog/secret/htpasswd", body).await.assert_ok();
        api.write("sys/mounts/web", json!({ "type": "htpasswd" })).await.assert_ok();
        let htpasswd = site.root_path().join("htpasswd");
        fs::write(&htpasswd, "alice:$apr1$x\n").unwrap();
        fs::set_permissions(&htpasswd, fs::Permissions::from_mode(0o640)).unwrap();
        api.write("web/config", json!({ "file": htpasswd })).await.assert_ok();
        api.write("web/roles/dev", json!({ "ttl": 600, "max_ttl": "3600" })).await.assert_ok();
        Some(Self { site, server, api, python, htpasswd })
    }
}

#[tokio::test]
async fn a_python_plug_in_issues_renews_and_revokes() {
    let test = "a_python_plug_in_issues_renews_and_revokes";
    let Some(PythonPluginSite { site, server, api, htpasswd, .. }) =
        PythonPluginSite::start(test).await
    else {
        return;
    };
    // What clients get wrong is their fault, and the engine's words reach them.
    let refused = api.write("web/roles/bad", json!({ "ttl": "soon" })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let text = "config takes file; a role takes ttl and max_ttl in seconds";
    assert_eq!(refused.text_at("errors/0"), text);
    let unknown = api.read("web/creds/nobody").await;
    assert_eq!(
        (unknown.status, unknown.text_at("errors/0")),
        (400, "role \"nobody\" does not exist".into())
    );
    assert_eq!(api.read("web/roles/nobody").await.status, 404);
    assert_eq!(api.read("web/nothing").await.status, 404);
    assert_eq!(api.write("web/creds/dev", json!({})).await.status, 405);
    assert_eq!(api.list("web/roles").await.assert_ok().list_keys(), ["dev"]);
    let role = api.read("web/roles/dev").await.assert_ok();
    assert_eq!(role.body["data"], json!({ "ttl": 600, "max_ttl": 3600 }));

    // The existence check and the special paths count for policies.
    let policy = "path \"web/roles/*\" { capabilities = [\"create\"] }\n\
                  path \"web/config\" { capabilities = [\"read\"] }";
    api.write("sys/policies/acl/creator", json!({ "policy": policy })).await.assert_ok();
    let token =
        api.write("auth/token/create", json!({ "policies": ["creator"] })).await.assert_ok();
    let creator = server.api_with_token(&token.text_at("auth/client_token"));
    creator.write("web/roles/new", json!({})).await.assert_ok();
    assert_eq!(creator.write("web/roles/new", json!({})).await.status, 403);
    assert_eq!(creator.read("web/config").await.status, 403, "config takes sudo");

    let credential = api.read("web/creds/dev").await.assert_ok();
    assert_eq!(credential.body["lease_duration"], 600);
    let (lease, user) = (credential.text_at("lease_id"), credential.text_at("data/username"));
    assert_eq!(users(&htpasswd), ["alice", &user]);
    let mode = fs::metadata(&htpasswd).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the file keeps its mode");
    let renewal = json!({ "lease_id": lease, "increment": "2h" });
    let renewed = api.write("sys/leases/renew", renewal).await.assert_ok();
    let secs = renewed.body["lease_duration"].as_u64().unwrap();
    assert!((3500..=3600).contains(&secs), "the maximum of the role applies: {secs}");
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert_eq!(users(&htpasswd), ["alice"]);
    api.write("web/roles/dev", json!({ "ttl": 60 })).await.assert_ok();
    let role = api.read("web/roles/dev").await.assert_ok();
    assert_eq!(
        role.body["data"],
        json!({ "ttl": 60, "max_ttl": 3600 }),
        "an update keeps the rest"
    );
    issue(&api).await;
    api.delete("sys/mounts/web").await.assert_ok();
    assert_eq!(users(&htpasswd), ["alice"], "unmounting revokes");
    wait_until("the process is gone", TIMEOUT, || async {
        server.child_processes().is_empty().then_some(())
    })
    .await;
    assert_eq!(server.stop().await, Some(0));
    assert!(!site.read_log().contains("a call failed"), "{}", site.read_log());
}

#[tokio::test]
async fn a_python_plug_in_is_killed_and_reloaded() {
    let test = "a_python_plug_in_is_killed_and_reloaded";
    let Some(PythonPluginSite { site, server, api, python, htpasswd }) =
        PythonPluginSite::start(test).await
    else {
        return;
    };
    api.write("sys/mounts/beside", json!({ "type": "htpasswd" })).await.assert_ok();
    assert_eq!(api.read("beside/config").await.status, 404, "instances don't see each other");
    let (lease, _) = issue(&api).await;
    let before = server.child_processes();
    assert_eq!(before.len(), 1, "two mounts share a process");
    kill_process(before[0]);
    let (second, _) = issue(&api).await;
    let after = server.child_processes();
    assert_ne!(before, after);
    // What was issued before the crash is revoked after it.
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert_eq!(users(&htpasswd).len(), 2);

    let sha256 = install_plugin(&site, &python, |text| text.replace("v1.0.0", "v2.0.0"));
    let body = json!({ "sha256": sha256, "command": PLUGIN, "version": "v2.0.0" });
    api.write("sys/plugins/catalog/secret/htpasswd", body).await.assert_ok();
    api.write("sys/plugins/reload/backend", json!({ "plugin": "htpasswd" })).await.assert_ok();
    let mount = api.read("sys/mounts/web").await.assert_ok();
    assert_eq!(mount.text_at("data/running_plugin_version"), "v2.0.0");
    wait_until("only the new process is left", TIMEOUT, || async {
        let now = server.child_processes();
        (now.len() == 1 && now != after).then_some(())
    })
    .await;
    api.write("sys/leases/revoke", json!({ "lease_id": second, "sync": true })).await.assert_ok();
    assert_eq!(users(&htpasswd), ["alice"]);
    issue(&api).await;
    server.kill().await;
}

/// A death between the file and the lease: the file is written, and no response follows.
#[tokio::test]
#[ignore = "waits a minute for the server's periodic call: make test-long"]
async fn a_user_without_a_lease_is_removed_by_the_periodic_call() {
    let test = "a_user_without_a_lease_is_removed_by_the_periodic_call";
    let Some(PythonPluginSite { site, server, api, python, htpasswd }) =
        PythonPluginSite::start(test).await
    else {
        return;
    };
    let dying = |text: String| {
        let at = "        self.storage.delete(f\"wal/{user}\")\n        lease =";
        assert!(text.contains(at), "the engine deletes its entry at another place");
        text.replace(at, &format!("        os._exit(9)\n{at}"))
            .replace("UNFINISHED_SECS = 60", "UNFINISHED_SECS = 0")
            .replace("v1.0.0", "v1.0.1")
    };
    let sha256 = install_plugin(&site, &python, dying);
    let body = json!({ "sha256": sha256, "command": PLUGIN, "version": "v1.0.1" });
    api.write("sys/plugins/catalog/secret/htpasswd", body).await.assert_ok();
    api.write("sys/plugins/reload/backend", json!({ "plugin": "htpasswd" })).await.assert_ok();
    let lost = api.read("web/creds/dev").await;
    assert!(lost.status >= 500, "{lost:?}");
    assert_eq!(users(&htpasswd).len(), 2, "nobody has its password");
    wait_until("the next process", TIMEOUT, || async {
        (api.read("web/config").await.status == 200).then_some(())
    })
    .await;
    // The server calls once a minute.
    wait_until("the user is removed", Duration::from_secs(90), || async {
        (users(&htpasswd) == ["alice"]).then_some(())
    })
    .await;
    server.kill().await;
}
