//! The OpenAPI document of everything that is mounted, plug-ins included, as a validator of others
//! reads it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use strongroom_testkit::ServerFolder;
use strongroom_testkit::programs::build_go_program;

#[tokio::test]
async fn the_openapi_document_is_valid() {
    let test = "the_openapi_document_is_valid";
    let (Some(validator), Some(plugin), Some(method)) = (
        build_go_program(test, "openapi"),
        build_go_program(test, "go-plugin"),
        build_go_program(test, "go-auth-plugin"),
    ) else {
        return;
    };
    assert!(!is_valid(&validator, &json!({ "openapi": "3.0.2", "paths": {} })), "it does judge");
    let mut site = ServerFolder::new("");
    let (server, api) = site.start_unsealed().await;
    for (kind, name, binary) in [("secret", "guide", &plugin), ("auth", "users", &method)] {
        let command = binary.file_name().unwrap().to_str().unwrap();
        let body = json!({ "sha256": site.install_plugin(binary), "command": command });
        api.write(&format!("sys/plugins/catalog/{kind}/{name}"), body).await.assert_ok();
    }
    for (path, kind) in [
        ("sys/mounts/one", "kv"),
        ("sys/mounts/two", "kv-v2"),
        ("sys/mounts/deep/down", "kv-v2"),
        ("sys/mounts/jobs", "nomad"),
        ("sys/mounts/go", "guide"),
        ("sys/mounts/go-too", "guide"),
        ("sys/auth/people", "users"),
    ] {
        api.write(path, json!({ "type": kind })).await.assert_ok();
    }
    let whole = api.read("sys/internal/specs/openapi").await.assert_ok().body;
    assert!(is_valid(&validator, &whole));
    assert!(whole.get("x-strongroom-missing").is_none(), "each engine describes itself");
    assert!(whole["paths"].as_object().unwrap().len() > 100);
    for (path, verb) in [
        ("/two/data/{path}", "patch"),
        ("/deep/down/metadata/{path}", "get"),
        ("/jobs/creds/{name}", "get"),
        ("/go/creds/{name}", "get"),
        ("/cubbyhole/{path}", "delete"),
        ("/auth/people/login/{name}", "post"),
        ("/auth/token/roles/{role_name}", "post"),
        ("/sys/wrapping/unwrap", "post"),
    ] {
        assert!(whole["paths"][path].get(verb).is_some(), "{verb} {path}");
    }
    assert_eq!(server.stop().await, Some(0));
}

fn is_valid(validator: &Path, document: &Value) -> bool {
    let mut child =
        Command::new(validator).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
    child.wait().unwrap().success()
}
