//! `sys/internal/specs/openapi`: one OpenAPI document for everything mounted, plug-ins included.
//! Each engine provides the document of its own paths through its help operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::unsealed::backend::Backends;
use strongroom_mounts::ActiveMount;
use strongroom_mounts::MountRegistry;
use strongroom_mounts::system_view::ServerInfo;
use strongroom_schema::Input;
use strongroom_schema::openapi;
use strongroom_types::MountKind;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "internal/specs/openapi",
    help: "Returns an OpenAPI document of the mounts that the caller can access.",
    fields: &[SpecInput::FIELDS],
    handlers: VerbHandlers {
        read: handler!(read_openapi, mounts, server_info, backends),
        write: handler!(read_openapi, mounts, server_info, backends),
        ..VerbHandlers::NONE
    },
    access: EndpointAccess::Unauthenticated,
}];

#[derive(Input)]
struct SpecInput {
    /// Whether to replace the path of a mount with the parameter `{<mount>_mount_path}`.
    generic_mount_paths: bool,
}

/// How many engines are queried concurrently.
const MAX_CONCURRENT_ENGINES: usize = 8;
/// The mount path of this backend.
const SYSTEM_PATH: &str = "sys/";
/// The extension that lists the mounts missing from the document because their engines failed to
/// provide theirs.
const MISSING_EXTENSION: &str = "x-strongroom-missing";

async fn read_openapi(
    call: &EndpointCall,
    mounts: &MountRegistry,
    server_info: &ServerInfo,
    backends: &Backends,
) -> Result<CoreResponse, Error> {
    let input: SpecInput = call.parse_input()?;
    let mut whole =
        CombinedDocument { generic: input.generic_mount_paths, ..CombinedDocument::default() };
    if let Some(caller) = &call.caller {
        let table = mounts.table();
        let mut mounts: Vec<Arc<ActiveMount>> = table
            .all_mounts()
            .filter(|it| caller.acl.grants_anything_below(&it.info.path))
            .cloned()
            .collect();
        mounts.sort_unstable_by(|a, b| a.info.path.cmp(&b.info.path));
        let asked = mounts.into_iter().map(|mounted| async move {
            let document = match backends.backend_of(&mounted) {
                Some(backend) => backend.openapi(&mounted, &call.id, &*call.clock).await,
                None => None,
            };
            (mounted, document)
        });
        let mut answers = futures_util::stream::iter(asked).buffered(MAX_CONCURRENT_ENGINES);
        while let Some((mounted, document)) = answers.next().await {
            whole.add_mount(&mounted, document);
        }
    }
    Ok(CoreResponse::json(200, &whole.into_document(&server_info.version)))
}

/// The combined document, to which the documents of the mounts are added one by one.
#[derive(Default)]
struct CombinedDocument {
    generic: bool,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    /// How often each operation id was requested, to number the duplicates.
    operations: BTreeMap<String, u32>,
    missing: Vec<String>,
}

impl CombinedDocument {
    fn add_mount(&mut self, mounted: &ActiveMount, document: Option<Value>) {
        let Some(mut document) = document else {
            self.missing.push(mounted.info.path.clone());
            return;
        };
        let schemas = document.pointer_mut("/components/schemas").map(Value::take);
        let paths = document.get_mut("paths").map(Value::take);
        let Some(Value::Object(mut paths)) = paths else {
            self.missing.push(mounted.info.path.clone());
            return;
        };
        let renamed = match schemas {
            Some(Value::Object(schemas)) => self.merge_schemas(schemas),
            _ => BTreeMap::new(),
        };
        // `sys/` is at the same path in every server.
        let generic = self.generic && mounted.info.path != SYSTEM_PATH;
        let (prefix, parameter) =
            if generic { generic_prefix(mounted) } else { (mounted.info.path.clone(), None) };
        for (path, item) in &mut paths {
            let Some(below) = path.strip_prefix('/') else { continue };
            let whole = format!("/{prefix}{below}");
            rename_references(item, &renamed);
            fix_string_defaults(item);
            self.assign_operation_ids(item, &whole, generic);
            if let (Some(parameter), Some(item)) = (&parameter, item.as_object_mut()) {
                let parameters = item.entry("parameters").or_insert_with(|| json!([]));
                if let Some(parameters) = parameters.as_array_mut() {
                    parameters.push(parameter.clone());
                }
            }
            self.paths.insert(whole, item.take());
        }
    }

    /// Adds the schemas of one document. A schema whose name is already used for a different one is
    /// renamed; returns the renamed references, old to new.
    fn merge_schemas(&mut self, schemas: Map<String, Value>) -> BTreeMap<String, String> {
        let reference = |name: &str| format!("#/components/schemas/{name}");
        let mut renamed = BTreeMap::new();
        let mut schemas = schemas;
        schemas.values_mut().for_each(fix_string_defaults);
        for (name, schema) in &schemas {
            if self.schemas.get(name).is_none_or(|known| known == schema) {
                continue;
            }
            let numbered = (2_u32..).map(|number| format!("{name}{number}"));
            let free = numbered
                .into_iter()
                .find(|new| !self.schemas.contains_key(new) && !schemas.contains_key(new));
            renamed.extend(free.map(|new| (reference(name), reference(&new))));
        }
        for (name, mut schema) in schemas {
            rename_references(&mut schema, &renamed);
            let name = match renamed.get(&reference(&name)) {
                Some(new) => new.rsplit('/').next().unwrap_or_default().to_owned(),
                None => name,
            };
            self.schemas.entry(name).or_insert(schema);
        }
        renamed
    }

    /// Derives operation ids from the whole path, so that two mounts of one engine get different
    /// ids. A generic document, from which clients are generated, has the engine's own ids instead.
    /// Ids that occur more than once get a number appended.
    fn assign_operation_ids(&mut self, item: &mut Value, path: &str, generic: bool) {
        let Some(item) = item.as_object_mut() else { return };
        for (method, operation) in item {
            let named = operation.as_object_mut().filter(|it| it.contains_key("operationId"));
            let Some(operation) = named else { continue };
            let verb = match method.as_str() {
                "get" if path.ends_with('/') => "list",
                "get" => "read",
                "post" => "write",
                other => other,
            };
            let own_id = operation.get("operationId").and_then(Value::as_str);
            let id = match own_id.filter(|id| generic && is_operation_id(id)) {
                Some(id) => id.to_owned(),
                None => openapi::operation_id(verb, path),
            };
            let times = self.operations.entry(id.clone()).or_default();
            *times += 1;
            let id = if *times == 1 { id } else { format!("{id}--{times}") };
            operation.insert("operationId".to_owned(), id.into());
        }
    }

    fn into_document(self, version: &str) -> Value {
        let mut document =
            openapi::build_document("Strongroom", version, &self.paths, &self.schemas);
        if let (false, Some(document)) = (self.missing.is_empty(), document.as_object_mut()) {
            document.insert(MISSING_EXTENSION.to_owned(), json!(self.missing));
        }
        document
    }
}

/// Whether an engine's operation id has the form of those of Go's framework.
fn is_operation_id(id: &str) -> bool {
    const MAX_ID_BYTES: usize = 200;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(fits)
}

/// The path prefix `{<mount>_mount_path}/`, and the declaration of that parameter.
fn generic_prefix(mounted: &ActiveMount) -> (String, Option<Value>) {
    let path = mounted.entry.path.trim_end_matches('/');
    let name = format!("{}_mount_path", path.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let parameter = json!({
        "name": name, "in": "path", "required": true,
        "description": "Where the engine is mounted.",
        "schema": { "type": "string", "default": path },
    });
    let prefix = match mounted.entry.kind {
        MountKind::Auth => format!("auth/{{{name}}}/"),
        MountKind::Secret => format!("{{{name}}}/"),
    };
    (prefix, Some(parameter))
}

/// Turns numeric and boolean defaults of string fields into strings. Go's SDK declares durations as
/// strings with numeric defaults, which OpenAPI validators reject.
fn fix_string_defaults(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(fix_string_defaults),
        Value::Object(object) => {
            let is_text = object.get("type").is_some_and(|it| it == "string");
            if let (true, Some(default @ (Value::Number(_) | Value::Bool(_)))) =
                (is_text, object.get_mut("default"))
            {
                *default = default.to_string().into();
            }
            object.values_mut().for_each(fix_string_defaults);
        }
        _ => {}
    }
}

/// Rewrites `$ref` values according to `renamed`. Recursion is bounded by the depth limit of the
/// JSON parser.
fn rename_references(value: &mut Value, renamed: &BTreeMap<String, String>) {
    if renamed.is_empty() {
        return;
    }
    match value {
        Value::Array(values) => {
            values.iter_mut().for_each(|value| rename_references(value, renamed));
        }
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(to) if key == "$ref" => {
                        if let Some(new) = renamed.get(to.as_str()) {
                            to.clone_from(new);
                        }
                    }
                    value => rename_references(value, renamed),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use strongroom_core::request::Verb;

    use super::*;
    use crate::tests::TestCore;

    async fn fetch_document(bench: &TestCore, token: &str, query: &str) -> Value {
        let answer = bench.send(Verb::Read, "sys/internal/specs/openapi", token, query).await;
        let Ok(CoreResponse::WithoutEnvelope { status: 200, body, .. }) = answer else {
            panic!("{answer:?}")
        };
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn all_that_is_mounted_is_in_one_document() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/a/kv", r#"{"type":"kv"}"#).await;
        bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
        let whole = fetch_document(&bench, &bench.root, "{}").await;
        assert_eq!(whole["openapi"], openapi::VERSION);
        let paths = whole["paths"].as_object().unwrap();
        for path in
            ["/a/kv/{path}", "/out/creds/{name}", "/out/roles", "/sys/health", "/auth/token/create"]
        {
            assert!(paths.contains_key(path), "{path}");
        }
        assert_eq!(paths["/a/kv/{path}"]["get"]["operationId"], "read-a-kv-path");
        assert_eq!(paths["/sys/seal"]["x-vault-sudo"], true);
        assert_eq!(paths["/sys/health"]["x-vault-unauthenticated"], true);
        let ids: Vec<&str> = paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .filter_map(|operation| operation.get("operationId")?.as_str())
            .collect();
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), different.len(), "operations have names of their own");
        let generic =
            fetch_document(&bench, &bench.root, r#"{"generic_mount_paths":"true"}"#).await;
        let item = &generic["paths"]["/{a_kv_mount_path}/{path}"];
        let mount = item["parameters"].as_array().unwrap().last().unwrap();
        assert_eq!(mount["schema"]["default"], "a/kv");
        assert!(generic["paths"].get("/sys/health").is_some());
        // The engine's own ids, which don't depend on where it is mounted.
        assert_eq!(item["get"]["operationId"], "kv-read-path");
        assert_eq!(generic["paths"]["/sys/health"]["get"]["operationId"], "read-sys-health");
    }

    #[tokio::test]
    async fn the_document_shows_nothing_of_mounts_out_of_reach() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
        bench.write("sys/mounts/other", r#"{"type":"kv"}"#).await;
        assert_eq!(fetch_document(&bench, "", "{}").await["paths"], json!({}));
        let token =
            bench.token_with_policy("path \"kv/x\" { capabilities = [\"read\"] }", "").await;
        let whole = fetch_document(&bench, &token, "{}").await;
        assert!(whole["paths"].get("/kv/{path}").is_some());
        assert!(whole["paths"].get("/other/{path}").is_none());
    }

    #[tokio::test]
    async fn mounts_without_a_document_are_listed_as_missing() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
        let table = bench.core.unsealed().unwrap().mounts.table();
        let mounted = table.get(MountKind::Secret, "kv/").unwrap();
        let mut whole = CombinedDocument::default();
        whole.add_mount(mounted, None);
        whole.add_mount(mounted, Some(json!({ "paths": "nonsense" })));
        assert_eq!(whole.into_document("1")[MISSING_EXTENSION], json!(["kv/", "kv/"]));
    }

    #[tokio::test]
    async fn display_attributes_pass_through_and_equal_operation_ids_are_numbered() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/a", r#"{"type":"kv"}"#).await;
        bench.write("sys/mounts/b", r#"{"type":"kv"}"#).await;
        let table = bench.core.unsealed().unwrap().mounts.table();
        let shown = json!({ "itemType": "Role", "navigation": true, "other": [1] });
        let document = json!({ "paths": { "/x": {
            "x-vault-displayAttrs": shown,
            "get": { "operationId": "guide-read-role" },
            "post": { "operationId": "bad id\n" },
        } } });
        let mut whole = CombinedDocument { generic: true, ..CombinedDocument::default() };
        for mount in ["a/", "b/"] {
            let mounted = table.get(MountKind::Secret, mount).unwrap();
            whole.add_mount(mounted, Some(document.clone()));
        }
        let paths = &whole.into_document("1")["paths"];
        let (a, b) = (&paths["/{a_mount_path}/x"], &paths["/{b_mount_path}/x"]);
        assert_eq!((&a["x-vault-displayAttrs"], &b["x-vault-displayAttrs"]), (&shown, &shown));
        assert_eq!(a["get"]["operationId"], "guide-read-role");
        assert_eq!(b["get"]["operationId"], "guide-read-role--2");
        assert_eq!(a["post"]["operationId"], "write-a-mount-path-x");
    }

    #[tokio::test]
    async fn schemas_with_equal_names_are_kept_apart() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/a", r#"{"type":"kv"}"#).await;
        bench.write("sys/mounts/b", r#"{"type":"kv"}"#).await;
        let table = bench.core.unsealed().unwrap().mounts.table();
        let of = |kind: &str| {
            let schema = json!({ "$ref": "#/components/schemas/Thing" });
            Some(json!({
                "paths": { "/x": { "post": { "operationId": "x", "schema": schema } } },
                "components": { "schemas": { "Thing": { "type": kind, "default": 3600 } } },
            }))
        };
        let mut whole = CombinedDocument::default();
        for (mount, kind) in [("a/", "string"), ("b/", "object"), ("a/", "string")] {
            whole.add_mount(table.get(MountKind::Secret, mount).unwrap(), of(kind));
        }
        let whole = whole.into_document("1");
        let schemas = whole["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.len(), 2);
        assert_eq!(whole["paths"]["/a/x"]["post"]["schema"]["$ref"], "#/components/schemas/Thing");
        assert_eq!(whole["paths"]["/b/x"]["post"]["schema"]["$ref"], "#/components/schemas/Thing2");
        assert_eq!(schemas["Thing2"]["type"], "object");
        assert_eq!(schemas["Thing"]["default"], "3600", "a default is of its type");
    }

    #[tokio::test]
    async fn help_includes_the_openapi_of_its_path() {
        let bench = TestCore::new().await;
        bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
        for (path, inside) in [
            ("sys/mounts/x", "/mounts/{path}"),
            ("auth/token/create", "/create"),
            ("kv/some/secret", "/{path}"),
        ] {
            let help = bench.succeeds(Verb::Help, path, "").await;
            let document: Value = serde_json::from_str(help.json("openapi")).unwrap();
            let paths = document["paths"].as_object().unwrap();
            assert_eq!(paths.keys().collect::<Vec<_>>(), [inside], "{path}");
            assert!(help.data.text("help").unwrap().len() > 20);
        }
    }
}
