//! The Markdown page of a plug-in.
//!
//! Servers and SDKs write OpenAPI documents in slightly different forms. Whatever is missing is left
//! out, and nothing is assumed to be there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// What a page is made of.
pub(super) struct DescribedPlugin<'a> {
    /// The name of the program, or the path of the mount.
    pub(super) name: &'a str,
    /// Where it was described.
    pub(super) place: PluginPlace<'a>,
    /// The help text of the mount.
    pub(super) help: &'a str,
    /// The OpenAPI document of the mount.
    pub(super) openapi: &'a Value,
}

/// Where a plug-in was described.
#[derive(Clone, Copy)]
pub(super) enum PluginPlace<'a> {
    /// A file. The guide says how to register and mount it.
    Program {
        /// Whether it is an auth method.
        is_auth: bool,
    },
    /// The path of a mount, without a slash at its end.
    Mount(&'a str),
}

/// The operations of OpenAPI, as policies name them, in the order of the page.
const OPERATIONS: [(&str, &str, &str); 4] = [
    ("get", "read", "GET"),
    ("post", "create, update", "POST"),
    ("patch", "patch", "PATCH"),
    ("delete", "delete", "DELETE"),
];

/// Writes the page: a guide with the commands that every plug-in needs, and the reference.
pub(super) fn render(plugin: &DescribedPlugin<'_>) -> String {
    let mut page = format!("# {}\n\n", plugin.name);
    if let Some(description) = description_in_help(plugin.help) {
        writeln(&mut page, &format!("{description}\n"));
    }
    let mount = mount_path(plugin);
    write_guide(&mut page, plugin, &mount);
    writeln(&mut page, "## API\n");
    let shown = format!("Paths are below `{mount}/`.");
    writeln(&mut page, &format!("{shown} The capability in policies is the operation's name.\n"));
    for (path, item) in merged_paths(plugin.openapi) {
        write_path(&mut page, &mount, &path, &item, plugin.openapi);
    }
    page
}

fn mount_path(plugin: &DescribedPlugin<'_>) -> String {
    match plugin.place {
        PluginPlace::Program { is_auth: true } => format!("auth/{}", plugin.name),
        PluginPlace::Program { is_auth: false } => plugin.name.to_owned(),
        PluginPlace::Mount(path) => path.to_owned(),
    }
}

/// Writing to a text doesn't fail.
fn writeln(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// The paragraph that help texts of all SDKs have under this heading.
fn description_in_help(help: &str) -> Option<String> {
    let (_, rest) = help.split_once("## DESCRIPTION")?;
    let text = rest.split("\n## ").next()?.trim();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    Some(lines.join("\n")).filter(|text| !text.is_empty())
}

fn write_guide(page: &mut String, plugin: &DescribedPlugin<'_>, mount: &str) {
    let name = plugin.name;
    writeln(page, "## Guide\n\n```console");
    if let PluginPlace::Program { is_auth } = plugin.place {
        let (kind, command) = if is_auth { ("auth", "auth") } else { ("secret", "secrets") };
        writeln(page, &format!("$ SHA256=$(sha256sum {name} | cut -d' ' -f1)"));
        writeln(page, &format!("$ strongroom plugin register -sha256=\"$SHA256\" {kind} {name}"));
        writeln(page, &format!("$ strongroom {command} enable {name}"));
    }
    let paths = merged_paths(plugin.openapi);
    if let Some(config) = paths.get("config").and_then(|item| item.get("post")) {
        let fields = body_fields(config, plugin.openapi);
        let needed = fields.iter().filter(|field| field.required != FieldNeed::Optional);
        let words: Vec<String> = needed.map(|field| format!(" {}=…", field.name)).collect();
        writeln(page, &format!("$ strongroom write {mount}/config{}", words.concat()));
    }
    writeln(page, "```\n");
}

/// The paths without their slashes, so that a list at `roles/` belongs to `roles`.
fn merged_paths(openapi: &Value) -> BTreeMap<String, Map<String, Value>> {
    let mut merged: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let paths = openapi.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        let Some(item) = item.as_object() else { continue };
        let merged = merged.entry(path.trim_matches('/').to_owned()).or_default();
        for (key, value) in item {
            let is_list = key == "get" && is_list_operation(value);
            let key = if is_list { "list" } else { key };
            merged.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    merged
}

/// Whether a `GET` is a list: it requires the parameter `list`.
fn is_list_operation(operation: &Value) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let is_required_list = |parameter: &Value| {
        text_of(parameter, "name") == Some("list") && flag_of(parameter, "required")
    };
    parameters.is_some_and(|all| all.iter().any(is_required_list))
}

fn write_path(
    page: &mut String,
    mount: &str,
    path: &str,
    item: &Map<String, Value>,
    openapi: &Value,
) {
    writeln(page, &format!("### `{path}`\n"));
    if let Some(description) = item.get("description").and_then(Value::as_str) {
        writeln(page, &format!("{}\n", description.trim()));
    }
    let is_set = |key: &str| item.get(key).and_then(Value::as_bool).unwrap_or(false);
    if is_set("x-vault-unauthenticated") {
        writeln(page, "No token is needed.\n");
    }
    if is_set("x-vault-sudo") {
        writeln(page, "The capability `sudo` is required as well.\n");
    }
    let mut rows = Vec::new();
    for (method, operation, verb) in OPERATIONS {
        if item.contains_key(method) {
            let update_only = method == "post" && !is_set("x-vault-createSupported");
            let operation = if update_only { "update" } else { operation };
            rows.push(format!("| {operation} | `{verb} /v1/{mount}/{path}` |"));
        }
    }
    if item.contains_key("list") {
        rows.push(format!("| list | `LIST /v1/{mount}/{path}` |"));
    }
    if !rows.is_empty() {
        writeln(page, "| operation | request |\n|---|---|");
        writeln(page, &format!("{}\n", rows.join("\n")));
    }
    let mut fields = path_fields(item);
    for method in ["post", "patch"] {
        let of_method = item.get(method).map(|operation| body_fields(operation, openapi));
        for field in of_method.into_iter().flatten() {
            if fields.iter().all(|known| known.name != field.name) {
                fields.push(field);
            }
        }
    }
    if !fields.is_empty() {
        writeln(page, "| field | type | required | default | description |\n|---|---|---|---|---|");
        for field in fields {
            writeln(page, &field.table_row());
        }
        page.push('\n');
    }
}

/// Whether a client must send a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldNeed {
    Optional,
    OnCreate,
    Always,
    InPath,
}

/// A field or a part of the path.
#[derive(Debug)]
struct FieldRow {
    name: String,
    kind: String,
    required: FieldNeed,
    default: String,
    description: String,
}

impl FieldRow {
    fn from_schema(name: &str, schema: &Value, required: FieldNeed) -> Self {
        let description = text_of(schema, "description").unwrap_or_default();
        let mut description = table_text(description);
        let values = schema.get("enum").and_then(Value::as_array);
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            let values: Vec<_> = values.iter().map(code_text).collect();
            write_sentence(&mut description, &format!("One of {}.", values.join(", ")));
        }
        if flag_of(schema, "deprecated") {
            write_sentence(&mut description, "Deprecated.");
        }
        Self {
            name: name.to_owned(),
            kind: kind_of(schema),
            required,
            default: schema.get("default").map(code_text).unwrap_or_default(),
            description,
        }
    }

    fn table_row(&self) -> String {
        let required = match self.required {
            FieldNeed::Optional => "",
            FieldNeed::OnCreate => "to create",
            FieldNeed::Always => "yes",
            FieldNeed::InPath => "in the path",
        };
        let Self { name, kind, default, description, .. } = self;
        format!("| `{name}` | {kind} | {required} | {default} | {description} |")
    }
}

fn write_sentence(text: &mut String, sentence: &str) {
    let gap = if text.is_empty() { "" } else { " " };
    // Writing to a text doesn't fail.
    let _ = write!(text, "{gap}{sentence}");
}

fn kind_of(schema: &Value) -> String {
    let format = text_of(schema, "format").filter(|format| {
        // The others say nothing to a reader.
        matches!(*format, "duration" | "seconds" | "date-time" | "date" | "byte" | "kvpairs")
    });
    match (text_of(schema, "type"), format) {
        (_, Some("seconds" | "duration")) => "duration".to_owned(),
        (Some("object"), Some(_)) => "name=value pairs".to_owned(),
        (_, Some(format)) => format.to_owned(),
        (Some("array"), None) => match schema.get("items").map(kind_of) {
            Some(items) if !items.is_empty() => format!("list of {items}"),
            _ => "list".to_owned(),
        },
        (Some(kind), None) => kind.to_owned(),
        (None, None) => String::new(),
    }
}

fn path_fields(item: &Map<String, Value>) -> Vec<FieldRow> {
    let parameters = item.get("parameters").and_then(Value::as_array);
    let in_path = |parameter: &&Value| text_of(parameter, "in") == Some("path");
    let row = |parameter: &Value| {
        let name = text_of(parameter, "name")?;
        let schema = parameter.get("schema").unwrap_or(&Value::Null);
        let description = text_of(parameter, "description").unwrap_or_default();
        let mut row = FieldRow::from_schema(name, schema, FieldNeed::InPath);
        row.description = table_text(description);
        Some(row)
    };
    parameters.into_iter().flatten().filter(in_path).filter_map(row).collect()
}

/// The fields of the body, which is often a reference to a schema of the document.
fn body_fields(operation: &Value, openapi: &Value) -> Vec<FieldRow> {
    let content = operation.pointer("/requestBody/content").and_then(Value::as_object);
    let schema = content.and_then(|content| content.values().next()?.get("schema"));
    let schema = schema.map(|schema| match text_of(schema, "$ref") {
        Some(reference) => openapi.pointer(reference.trim_start_matches('#')).unwrap_or(schema),
        None => schema,
    });
    let Some(schema) = schema else { return Vec::new() };
    let lists = |key: &str, name: &str| {
        let names = schema.get(key).and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|listed| listed.as_str() == Some(name)))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let row = |(name, schema): (&String, &Value)| {
        let required = if lists("required", name) {
            FieldNeed::Always
        } else if lists("x-strongroom-required-on-create", name) {
            FieldNeed::OnCreate
        } else {
            FieldNeed::Optional
        };
        FieldRow::from_schema(name, schema, required)
    };
    properties.into_iter().flatten().map(row).collect()
}

fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn flag_of(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Text for a cell of a table.
fn table_text(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// A value as code for a cell of a table.
fn code_text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.is_empty() { String::new() } else { format!("`{}`", table_text(&text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample_document() -> Value {
        json!({
            "paths": {
                "/config": {
                    "description": "Where the service is.",
                    "x-vault-sudo": true,
                    "x-vault-createSupported": true,
                    "get": {},
                    "post": { "requestBody": { "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/Config" }
                    } } } },
                },
                "/roles": { "get": { "parameters": [{ "name": "list", "required": true }] } },
                "/roles/": { "get": { "parameters": [{ "name": "list", "required": true }] } },
                "/login/{name}": {
                    "x-vault-unauthenticated": true,
                    "parameters": [{ "name": "name", "in": "path", "description": "The | user.",
                        "schema": { "type": "string" } }],
                    "post": {},
                },
                "/odd": 7,
            },
            "components": { "schemas": { "Config": {
                "properties": {
                    "url": { "type": "string", "description": "Base\nURL." },
                    "mode": { "type": "string", "enum": ["a", "b"], "default": "a" },
                    "ttl": { "type": "integer", "format": "seconds", "deprecated": true },
                    "names": { "type": "array", "items": { "type": "string" } },
                },
                "x-strongroom-required-on-create": ["url"],
            } } },
        })
    }

    fn sample_page(place: PluginPlace<'_>) -> String {
        let help = "## DESCRIPTION\n\nDoes things.\n\n## PATHS\n\n    config\n";
        render(&DescribedPlugin { name: "acme", place, help, openapi: &sample_document() })
    }

    #[test]
    fn a_page_has_the_guide_and_every_path() {
        let page = sample_page(PluginPlace::Program { is_auth: false });
        for line in [
            "# acme",
            "Does things.",
            "$ strongroom plugin register -sha256=\"$SHA256\" secret acme",
            "$ strongroom write acme/config url=…",
            "The capability `sudo` is required as well.",
            "| create, update | `POST /v1/acme/config` |",
            "| `url` | string | to create |  | Base URL. |",
            "| `mode` | string |  | `a` | One of `a`, `b`. |",
            "| `ttl` | duration |  |  | Deprecated. |",
            "| `names` | list of string |  |  |  |",
            "| list | `LIST /v1/acme/roles` |",
            "No token is needed.",
            "| update | `POST /v1/acme/login/{name}` |",
            "| `name` | string | in the path |  | The \\| user. |",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
        assert_eq!(page.matches("### `roles`").count(), 1, "{page}");
        assert!(!page.contains("GET /v1/acme/roles"), "a list is no read");
    }

    #[test]
    fn a_mount_is_not_registered_again() {
        let page = sample_page(PluginPlace::Mount("auth/staff"));
        assert!(!page.contains("plugin register"), "{page}");
        assert!(page.contains("$ strongroom write auth/staff/config url=…"), "{page}");
        let method = sample_page(PluginPlace::Program { is_auth: true });
        assert!(method.contains("$ strongroom auth enable acme\n"), "{method}");
        assert!(method.contains("POST /v1/auth/acme/login/{name}"), "{method}");
    }
}
