//! `strongroom plugin docs`: the pages of our plug-ins and of one in Go, from their files and from a
//! mount.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use strongroom_testkit::ServerFolder;
use strongroom_testkit::programs::{build_go_program, program_path};

use crate::api_token_engine::ENGINE;

/// Runs the command with a temporary folder of its own, in which it must leave nothing. Returns
/// whether it succeeded, and what it printed.
fn describe(subject: &Path, variables: &[(&str, &str)]) -> (bool, String) {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(program_path("strongroom"))
        .args(["plugin", "docs"])
        .arg(subject)
        .env("TMPDIR", place.path())
        .env("HOME", place.path())
        .env_remove("VAULT_ADDR")
        .env_remove("VAULT_TOKEN")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn page_of_program(program: &Path) -> String {
    let (success, page) = describe(program, &[]);
    assert!(success, "{page}");
    page
}

fn assert_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|shown| shown == *line), "{line}\nis not in\n{page}");
    }
}

#[test]
fn an_engine_is_described_from_its_file() {
    let page = page_of_program(&program_path(ENGINE));
    assert_lines(
        &page,
        &[
            &format!("# {ENGINE}"),
            "Issues API tokens of a token service and revokes them when their leases end.",
            &format!("$ strongroom secrets enable {ENGINE}"),
            &format!("$ strongroom write {ENGINE}/config api_endpoint=… api_key=…"),
            "### `roles/{name}`",
            &format!("| create, update | `POST /v1/{ENGINE}/roles/{{name}}` |"),
            &format!("| list | `LIST /v1/{ENGINE}/roles` |"),
            "| `api_endpoint` | string | to create |  | Base URL of the token service. |",
            "| `ttl` | duration |  | `3600` | Lifetime of a token until it is renewed. |",
        ],
    );
}

#[test]
fn an_auth_method_is_described_below_auth() {
    let name = "strongroom-auth-userpass";
    let page = page_of_program(&program_path(name));
    assert_lines(
        &page,
        &[
            &format!("$ strongroom plugin register -sha256=\"$SHA256\" auth {name}"),
            &format!("$ strongroom auth enable {name}"),
            "No token is needed.",
            &format!("| update | `POST /v1/auth/{name}/login/{{username}}` |"),
        ],
    );
}

#[test]
fn a_go_plug_in_is_described_like_ours() {
    let Some(plugin) = build_go_program("a_go_plug_in_is_described_like_ours", "go-plugin") else {
        return;
    };
    let page = page_of_program(&plugin);
    assert_lines(
        &page,
        &[
            "Brokers tokens of a token service, and shows how a host treats plug-ins.",
            "$ strongroom write go-plugin/config api_endpoint=… api_key=…",
            "| `api_endpoint` | string | yes |  | URL of the token service |",
            "| `name` | string | in the path |  | Name of the role |",
        ],
    );
}

#[tokio::test]
async fn a_mount_is_described_by_its_server() {
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    let kv = json!({ "type": "kv", "options": { "version": "2" } });
    api.write("sys/mounts/team/secret", kv).await.assert_ok();
    let variables = [("VAULT_ADDR", api.address()), ("VAULT_TOKEN", api.token())];
    let describe = |subject: &'static str| {
        let variables = variables.map(|(name, value)| (name, value.to_owned()));
        tokio::task::spawn_blocking(move || {
            let variables: Vec<_> =
                variables.iter().map(|(name, value)| (*name, &**value)).collect();
            describe(Path::new(subject), &variables)
        })
    };
    let (success, page) = describe("team/secret/").await.unwrap();
    assert!(success, "{page}");
    assert_lines(&page, &["# team/secret", "| read | `GET /v1/team/secret/data/{path}` |"]);
    assert!(!page.contains("plugin register"), "{page}");
    let (success, error) = describe("nothing/").await.unwrap();
    assert!(!success && error.contains("Error retrieving help"), "{error}");
    assert_eq!(server.stop().await, Some(0));
}

#[test]
fn a_file_that_is_no_plug_in_is_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("notes");
    fs::write(&file, "about these").unwrap();
    let (success, error) = describe(&file, &[]);
    assert!(!success && error.contains("it is not an executable program"), "{error}");
    let (success, error) = describe(Path::new("/bin/true"), &[]);
    assert!(!success && error.contains("can't be registered"), "{error}");
}
