//! How user interfaces and code generators are told to present paths and fields.

use serde_json::{Value, json};
use strongroom_sdk::engine::Operation;
use strongroom_sdk::testing::{Harness, TestHost};
use strongroom_sdk::{Blueprint, Context, Document, Error, Input, PathDisplay, Response, Secret};

/// What a token may do.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    /// Permissions, one per line.
    #[field(display(
        name = "Permissions",
        description = "One permission on each line",
        value = "read",
        group = "Access",
        edit_type = "textarea"
    ))]
    permissions: String,
    /// A note that is masked.
    #[field(display(sensitive))]
    note: String,
    /// A secret.
    #[field(display(name = "API key"))]
    api_key: Option<Secret<String>>,
    /// A plain field.
    plain: String,
}

/// What to generate.
#[derive(Input)]
struct GenerateInput {
    /// Which kind.
    #[field(display(name = "Kind"), legacy = "type_of")]
    kind: String,
}

async fn generate(_: Context, input: GenerateInput) -> Result<Response, Error> {
    match input.kind.as_str() {
        "" => Ok(Response::not_found()),
        _ => Ok(Response::no_content()),
    }
}

fn displayed_engine() -> Blueprint {
    let role = PathDisplay::new().navigation().item_type("Role").action("Create");
    let role = role.operation_prefix("api-token").operation_suffix("role");
    let generate_display =
        PathDisplay::new().operation_prefix("api-token").operation_verb("generate");
    Blueprint::new("tokens", "1.0.0")
        .document::<Role>()
        .display(role)
        .write("keys/{kind}", "Generates a key.", generate)
        .display(generate_display.operation_suffix("key"))
        .write("plain", "Has no display attributes.", generate)
}

async fn paths_of(host: &TestHost) -> Value {
    let help = host.send(Operation::Help, "", "{}").await.unwrap();
    let document: Value = serde_json::from_str(help.field_json("openapi")).unwrap();
    document.pointer("/paths").unwrap().clone()
}

#[tokio::test]
async fn openapi_has_the_display_attributes_of_paths_and_fields() {
    Harness::run(displayed_engine(), |host| async move {
        let paths = paths_of(&host).await;
        let shown = |path: &str| paths[path]["x-vault-displayAttrs"].clone();
        assert_eq!(shown("/roles"), json!({ "navigation": true, "itemType": "Role" }));
        assert_eq!(shown("/roles/{name}"), json!({ "itemType": "Role", "action": "Create" }));
        assert_eq!(shown("/keys/{kind}"), Value::Null, "operation hints are not shown");
        let post = &paths["/roles/{name}"]["post"];
        let schema = &post["requestBody"]["content"]["application/json"]["schema"];
        let field = |name: &str| schema["properties"][name]["x-vault-displayAttrs"].clone();
        assert_eq!(
            field("permissions"),
            json!({
                "name": "Permissions", "description": "One permission on each line",
                "value": "read", "group": "Access", "editType": "textarea",
            })
        );
        assert_eq!(field("note"), json!({ "sensitive": true }));
        assert_eq!(field("api_key"), json!({ "name": "API key", "sensitive": true }));
        assert_eq!(field("plain"), Value::Null);
    })
    .await;
}

#[tokio::test]
async fn operation_ids_follow_the_hints_as_in_gos_framework() {
    Harness::run(displayed_engine(), |host| async move {
        let paths = paths_of(&host).await;
        for (path, method, id) in [
            ("/roles", "get", "api-token-list-role"),
            ("/roles/{name}", "get", "api-token-read-role"),
            ("/roles/{name}", "post", "api-token-write-role"),
            ("/roles/{name}", "delete", "api-token-delete-role"),
            ("/keys/{kind}", "post", "api-token-generate-key"),
            ("/plain", "post", "tokens-write-plain"),
        ] {
            assert_eq!(paths[path][method]["operationId"], id, "{method} {path}");
        }
    })
    .await;
}
