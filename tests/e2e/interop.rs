//! Clients in Go, Python and Node, Go plug-ins, Go hosts.

use std::process::Stdio;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::json;
use strongroom_testkit::features::FeatureList;
use strongroom_testkit::interpreted::{node_interop_command, python_interop_command};
use strongroom_testkit::programs::{
    GO_FAMILIES, build_go_program, build_go_program_of, print_to_stderr, program_path,
};
use strongroom_testkit::server::kill_process;
use strongroom_testkit::wait::wait_until;
use strongroom_testkit::{ExternalTokenService, ServerFolder};
use tokio::process::Command;

use crate::api_token_engine::ENGINE;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a program of ours that says `ok` after each step, and `awaits` of those that it leaves out.
async fn run_program(program: impl Into<Command>, variables: &[(&str, &str)]) -> String {
    let mut command: Command = program.into();
    command.stdin(Stdio::null()).kill_on_drop(true).env("NO_PROXY", "127.0.0.1");
    let output = command.envs(variables.iter().copied()).output();
    let output = tokio::time::timeout(Duration::from_secs(180), output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{wrong}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 5, "{said}\n{wrong}");
    for left_out in said.lines().filter(|line| line.starts_with("awaits ")) {
        print_to_stderr(left_out);
    }
    said
}

/// The API clients of HashiCorp and of OpenBao: initialise, unseal, mounts, policies, tokens, KV,
/// logins, a Go plug-in, leases.
#[tokio::test]
async fn the_go_clients_drive_the_server() {
    let test = "the_go_clients_drive_the_server";
    for family in GO_FAMILIES {
        let (Some(client), Some(plugin)) =
            (build_go_program_of(test, "go-client", family), build_go_program(test, "go-plugin"))
        else {
            return;
        };
        let outside = ExternalTokenService::start().await;
        let site = ServerFolder::new("");
        let server = site.start_sealed().await;
        let digest = site.install_plugin(&plugin);
        let variables = [
            ("VAULT_ADDR", server.api_with_token("").address().to_owned()),
            ("FEATURES", FeatureList::load().built_list()),
            ("PLUGIN_COMMAND", "go-plugin".to_owned()),
            ("PLUGIN_SHA256", digest),
            ("TOKEN_SERVICE_URL", outside.url()),
            ("TOKEN_SERVICE_API_KEY", outside.api_key().to_owned()),
        ];
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
        run_program(std::process::Command::new(client), &variables).await;
        assert_eq!(outside.read_count("live").await, 0);
    }
}

/// hvac, Python's client, from initialisation to sealing.
#[tokio::test]
async fn hvac_drives_the_server() {
    if let Some(client) = python_interop_command("hvac_drives_the_server", "python") {
        run_client(client).await;
    }
}

/// node-vault, Node's client, from initialisation to sealing.
#[tokio::test]
async fn node_vault_drives_the_server() {
    if let Some(client) = node_interop_command("node_vault_drives_the_server", "node") {
        run_client(client).await;
    }
}

/// Plays a client program against a server that isn't initialised.
async fn run_client(client: std::process::Command) {
    let site = ServerFolder::new("");
    let server = site.start_sealed().await;
    let (api, features) = (server.api_with_token(""), FeatureList::load().built_list());
    run_program(client, &[("VAULT_ADDR", api.address()), ("FEATURES", &features)]).await;
    assert_eq!(server.stop().await, Some(0));
}

/// The guide's engine in Go, unmodified: all steps, a reload, and death in between.
#[tokio::test]
async fn a_go_plug_in_lives_under_our_host() {
    let Some(plugin) = build_go_program("a_go_plug_in_lives_under_our_host", "go-plugin") else {
        return;
    };
    let outside = ExternalTokenService::start().await;
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let sha256 = site.install_plugin(&plugin);
    let body = json!({ "sha256": sha256, "command": "go-plugin" });
    api.write("sys/plugins/catalog/secret/guide", body).await.assert_ok();
    for path in ["sys/mounts/custom", "sys/mounts/beside"] {
        api.write(path, json!({ "type": "guide" })).await.assert_ok();
    }
    assert_eq!(server.child_processes().len(), 1, "two mounts share a process");
    let described = api.read("sys/internal/specs/openapi").await.assert_ok();
    for path in ["/custom/creds/{name}", "/beside/creds/{name}"] {
        assert!(described.body["paths"].get(path).is_some(), "the plug-in describes {path}");
    }
    assert!(described.body.get("x-strongroom-missing").is_none());
    let config = json!({ "api_endpoint": outside.url(), "api_key": outside.api_key() });
    api.write("custom/config", config).await.assert_ok();
    assert_eq!(api.read("beside/config").await.status, 404, "instances don't see each other");
    api.write("custom/roles/dev", json!({ "permissions": "read", "ttl": "30m" })).await.assert_ok();
    let credential = api.read("custom/creds/dev").await.assert_ok();
    let (lease, token) = (credential.text_at("lease_id"), credential.text_at("data/token"));
    assert!(outside.has_token(&token).await);
    api.write("sys/leases/renew", json!({ "lease_id": lease, "increment": "1h" }))
        .await
        .assert_ok();
    assert_eq!(outside.read_count("renewed").await, 1);
    let before = server.child_processes();
    api.write("sys/plugins/reload/backend", json!({ "plugin": "guide" })).await.assert_ok();
    let reloaded = wait_until("the old process is gone", TIMEOUT, || async {
        let now = server.child_processes();
        (now.len() == 1 && now != before).then_some(now)
    })
    .await;
    api.write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true })).await.assert_ok();
    assert!(!outside.has_token(&token).await);
    kill_process(reloaded[0]);
    wait_until("a credential after the crash", TIMEOUT, || async {
        (api.read("custom/creds/dev").await.status == 200).then_some(())
    })
    .await;
    // A panic takes the process with it in Go; the next request finds another.
    let broken = api.read("custom/panic/exit").await;
    assert!(broken.status >= 500, "{broken:?}");
    wait_until("a credential after the panic", TIMEOUT, || async {
        (api.read("custom/creds/dev").await.status == 200).then_some(())
    })
    .await;
    api.delete("sys/mounts/custom").await.assert_ok();
    assert_eq!(outside.read_count("live").await, 0, "unmounting revokes");
    assert_eq!(server.stop().await, Some(0));
}

/// What a plug-in in Go answers beside data: redirects, wrapped responses and data; and events, which
/// the server doesn't have.
#[tokio::test]
async fn a_go_plug_in_redirects_and_wraps() {
    let Some(plugin) = build_go_program("a_go_plug_in_redirects_and_wraps", "go-plugin") else {
        return;
    };
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let sha256 = site.install_plugin(&plugin);
    let body = json!({ "sha256": sha256, "command": "go-plugin" });
    api.write("sys/plugins/catalog/secret/guide", body).await.assert_ok();
    let mount = json!({ "type": "guide", "config": { "max_lease_ttl": "40s" } });
    api.write("sys/mounts/short", mount).await.assert_ok();
    api.write("sys/mounts/custom", json!({ "type": "guide" })).await.assert_ok();

    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let send = async |url: &str, wrap: &str, token: &str| {
        let sent = client.put(format!("{}/v1/custom/redirect", api.address()));
        let sent = sent.header("x-vault-token", token).header("x-vault-wrap-ttl", wrap);
        sent.json(&json!({ "message": url })).send().await.unwrap()
    };
    let redirect = async |url: &str, wrap: &str| send(url, wrap, "").await;
    let target = "https://idp.example.com/authorize?state=a%20b";
    // CVE-2026-4525: clients would send the token to the other server.
    let answer = send(target, "", api.token()).await;
    assert_eq!(answer.status(), 500);
    assert!(!answer.headers().contains_key("location"), "{answer:?}");
    let answer = redirect(target, "").await;
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], target);
    assert_eq!(answer.bytes().await.unwrap(), "");
    for (url, wrap, status) in [
        ("https://a/\r\nX-Injected: 1", "", 500),
        ("javascript:alert(1)", "", 500),
        ("/v1/sys/health", "", 500),
        (target, "60", 400),
    ] {
        let answer = redirect(url, wrap).await;
        assert_eq!(answer.status(), status, "{url}");
        let names = ["location", "x-injected"];
        assert!(names.iter().all(|name| !answer.headers().contains_key(*name)), "{answer:?}");
    }

    for (path, client_ttl, ttl) in
        [("custom", "", 60), ("custom", "20", 20), ("custom", "90", 60), ("short", "", 40)]
    {
        let api = api.with_header("x-vault-wrap-ttl", client_ttl);
        let answer = api.read(&format!("{path}/wrapped")).await.assert_ok();
        assert!(answer.body["data"].is_null(), "{answer:?}");
        assert_eq!(answer.body["wrap_info"]["ttl"], ttl, "{path} {client_ttl}");
        assert_eq!(answer.text_at("wrap_info/creation_path"), format!("{path}/wrapped"));
        let wrapped = server.api_with_token(&answer.text_at("wrap_info/token"));
        let got = wrapped.write("sys/wrapping/unwrap", json!({})).await.assert_ok();
        assert_eq!(got.text_at("data/wrapped"), "by the plug-in's wish");
    }

    for (path, ttl) in [("custom", 60.0), ("short", 40.0)] {
        let system = api.read(&format!("{path}/system")).await.assert_ok();
        assert_eq!(system.data_field("wrapped/ttl_seconds"), ttl, "{system:?}");
        let token = system.text_at("data/wrapped/token");
        let wrapped = server.api_with_token(&token);
        let got = wrapped.write("sys/wrapping/unwrap", json!({})).await.assert_ok();
        assert_eq!(got.text_at("data/wrapped"), "by the host");
        assert_eq!(wrapped.write("sys/wrapping/unwrap", json!({})).await.status, 400);
    }

    for _ in 0..3 {
        let event = api.read("custom/event").await.assert_ok();
        assert_eq!(
            event.text_at("data/event_error"),
            "rpc error: code = Unimplemented desc = events are not supported by this server"
        );
    }
    assert_eq!(server.child_processes().len(), 1, "the plug-in lives on");
    assert_eq!(server.stop().await, Some(0));
}

/// An auth method on HashiCorp's SDK: logins, renewals, what its tokens are and when they end.
#[tokio::test]
async fn a_go_auth_method_lives_under_our_host() {
    let test = "a_go_auth_method_lives_under_our_host";
    let Some(plugin) = build_go_program(test, "go-auth-plugin") else { return };
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let sha256 = site.install_plugin(&plugin);
    let body = json!({ "sha256": sha256, "command": "go-auth-plugin" });
    api.write("sys/plugins/catalog/auth/users", body).await.assert_ok();
    for path in ["sys/auth/staff", "sys/auth/guests"] {
        api.write(path, json!({ "type": "users" })).await.assert_ok();
    }
    assert_eq!(server.child_processes().len(), 1, "two mounts share a process");
    assert_eq!(api.write("sys/mounts/x", json!({ "type": "users" })).await.status, 400);
    let bob = json!({
        "password": "pw", "token_policies": "dev", "token_ttl": "10m", "token_num_uses": 50,
    });
    api.write("auth/staff/users/bob", bob).await.assert_ok();
    let nobody = server.api_with_token("");
    let password = json!({ "password": "pw" });
    let guests = nobody.write("auth/guests/login/bob", password.clone()).await;
    assert_eq!(
        (guests.status, guests.text_at("errors/0")),
        (400, "invalid username or password".into())
    );
    let login = nobody.write("auth/staff/login/bob", password.clone()).await.assert_ok();
    assert_eq!(login.body["auth"]["policies"], json!(["default", "dev"]));
    assert_eq!(login.body["auth"]["metadata"], json!({ "username": "bob" }));
    assert_eq!(login.body["auth"]["lease_duration"], 600);
    assert_eq!(login.body["auth"]["num_uses"], 50);
    let token = login.text_at("auth/client_token");
    let own = server.api_with_token(&token);
    let known = own.read("auth/token/lookup-self").await.assert_ok();
    assert_eq!(known.text_at("data/path"), "auth/staff/login/bob");
    assert_eq!(known.text_at("data/display_name"), "staff-bob");
    assert_eq!(known.body["data"]["orphan"], true);

    let renewed =
        own.write("auth/token/renew-self", json!({ "increment": "5m" })).await.assert_ok();
    assert_eq!(renewed.body["auth"]["lease_duration"], 300);
    api.write("auth/staff/users/bob", json!({ "token_policies": "dev,ops" })).await.assert_ok();
    let refused = own.write("auth/token/renew-self", json!({})).await;
    let text =
        "1 error occurred:\n\t* failed to renew entry: policies have changed, not renewing\n\n";
    assert_eq!((refused.status, refused.text_at("errors/0")), (500, text.to_owned()));
    api.delete("auth/staff/users/bob").await.assert_ok();
    assert_eq!(own.write("auth/token/renew-self", json!({})).await.status, 204);

    // CVE-2026-46405: what fails beside a login, or may not be made, leaves no token.
    let count = async || api.send("LIST", "auth/token/accessors", None).await.unwrap();
    let before = count().await.assert_ok().body["data"]["keys"].as_array().unwrap().len();
    let eve = json!({ "password": "pw", "token_policies": "dev" });
    api.write("auth/staff/users/eve", eve.clone()).await.assert_ok();
    for (fail, status) in [("error", 400), ("response", 400)] {
        let body = json!({ "password": "pw", "fail": fail });
        let failed = nobody.write("auth/staff/login/eve", body).await;
        assert_eq!(failed.status, status, "{failed:?}");
        assert!(failed.body["auth"].is_null(), "{failed:?}");
    }
    for (terms, status) in [
        (json!({ "token_policies": "Root" }), 400),
        (json!({ "token_policies": "dev", "token_bound_cidrs": "10.0.0.0/8" }), 403),
    ] {
        api.write("auth/staff/users/eve", terms.clone()).await.assert_ok();
        let refused = nobody.write("auth/staff/login/eve", password.clone()).await;
        assert_eq!(refused.status, status, "{terms} {refused:?}");
    }
    // One that isn't stored has no accessor.
    let batch = json!({ "token_type": "batch", "token_bound_cidrs": "127.0.0.0/8" });
    api.write("auth/staff/users/eve", batch).await.assert_ok();
    let batch = nobody.write("auth/staff/login/eve", password.clone()).await.assert_ok();
    assert_eq!(batch.text_at("auth/token_type"), "batch");
    let batch = server.api_with_token(&batch.text_at("auth/client_token"));
    assert_eq!(batch.read("auth/token/lookup-self").await.status, 200);
    assert_eq!(count().await.assert_ok().body["data"]["keys"].as_array().unwrap().len(), before);

    let tune = json!({
        "passthrough_request_headers": ["Authorization", "X-Mine"],
        "allowed_response_headers": ["X-Probe"],
    });
    api.write("sys/auth/staff/tune", tune).await.assert_ok();
    let probe = api.read("auth/staff/probe/closed").await.assert_ok();
    assert!(probe.body["data"]["headers"].is_null(), "{probe:?}");
    assert_eq!(probe.text_at("data/mount_point"), "auth/staff/");
    // CVE-2026-4525: whatever of a token is in a header stays here.
    let bearer = format!("bearer {}", api.token());
    let told = api.with_header("authorization", &bearer).with_header("x-mine", "a");
    let probe = told.read("auth/staff/probe/closed").await.assert_ok();
    assert_eq!(probe.body["data"]["headers"], json!({ "X-Mine": ["a"] }), "{probe:?}");
    let told = nobody.with_header("Authorization", &format!("Bearer {}", api.token()));
    let probe = told.read("auth/staff/probe/closed").await.assert_ok();
    assert!(probe.body["data"]["headers"].is_null(), "{probe:?}");
    let told = nobody.with_header("authorization", "Negotiate YWJj");
    let probe = told.read("auth/staff/probe/open").await.assert_ok();
    let passed = json!({ "Authorization": ["Negotiate YWJj"] });
    assert_eq!(probe.body["data"]["headers"], passed, "{probe:?}");
    assert_eq!(nobody.read("auth/staff/probe/closed").await.status, 403);
    assert_eq!(nobody.read("auth/staff/probe/open").await.assert_ok().text_at("data/token"), "");

    // A moved method loses its tokens and keeps its users.
    let eve = json!({ "password": "pw", "token_bound_cidrs": "", "token_type": "service" });
    api.write("auth/staff/users/eve", eve).await.assert_ok();
    let login = nobody.write("auth/staff/login/eve", password.clone()).await.assert_ok();
    let token = login.text_at("auth/client_token");
    let body = json!({ "from": "auth/staff", "to": "auth/people" });
    let id = api.write("sys/remount", body).await.assert_ok().text_at("data/migration_id");
    wait_until("the method is moved", TIMEOUT, || async {
        let status = api.read(&format!("sys/remount/status/{id}")).await.assert_ok();
        (status.text_at("data/migration_info/status") == "success").then_some(())
    })
    .await;
    assert_eq!(server.api_with_token(&token).read("auth/token/lookup-self").await.status, 403);
    let login = nobody.write("auth/people/login/eve", password.clone()).await.assert_ok();
    let token = login.text_at("auth/client_token");
    let probe = api.read("auth/people/probe/closed").await.assert_ok();
    assert_eq!(probe.text_at("data/mount_point"), "auth/people/");
    api.delete("sys/auth/people").await.assert_ok();
    assert_eq!(server.api_with_token(&token).read("auth/token/lookup-self").await.status, 403);
    assert_eq!(nobody.write("auth/people/login/eve", password).await.status, 403);
    api.delete("sys/auth/guests").await.assert_ok();
    wait_until("the process is gone", TIMEOUT, || async {
        server.child_processes().is_empty().then_some(())
    })
    .await;
    assert_eq!(server.stop().await, Some(0));
}

/// Our engine and our auth methods under the host code of HashiCorp's and OpenBao's SDK.
#[tokio::test]
async fn our_plug_ins_live_under_the_hosts_of_others() {
    let test = "our_plug_ins_live_under_the_hosts_of_others";
    for family in GO_FAMILIES {
        let Some(host) = build_go_program_of(test, "go-host", family) else { return };
        for mode in ["automtls", "unwrap"] {
            let outside = ExternalTokenService::start().await;
            let (command, url) = (program_path(ENGINE), outside.url());
            let variables = [
                ("PLUGIN_COMMAND", command.to_str().unwrap()),
                ("TOKEN_SERVICE_URL", &*url),
                ("TOKEN_SERVICE_API_KEY", outside.api_key()),
                ("MODE", mode),
            ];
            run_program(std::process::Command::new(&host), &variables).await;
            assert_eq!(outside.read_count("live").await, 0);
            for method in ["userpass", "approle"] {
                let command = program_path(&format!("strongroom-auth-{method}"));
                let variables = [
                    ("PLUGIN_COMMAND", command.to_str().unwrap()),
                    ("METHOD", method),
                    ("MODE", mode),
                ];
                run_program(std::process::Command::new(&host), &variables).await;
            }
        }
    }
}
