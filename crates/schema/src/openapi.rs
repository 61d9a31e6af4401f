//! OpenAPI: a description of declared paths for code generators and API explorers.
//!
//! Used both for engines' paths and for the server's own, so that one document can contain all.
//! Format: OpenAPI 3.0.2, <https://spec.openapis.org/oas/v3.0.2>, with the extensions of Vault's
//! document (`x-vault-unauthenticated`, `x-vault-sudo`, `x-vault-createSupported`).

use serde_json::{Map, Value, json};

use crate::display::PathDisplay;
use crate::field::{FieldKind, FieldSpec};

/// The extension that says how user interfaces present a path or a field.
const DISPLAY_EXTENSION: &str = "x-vault-displayAttrs";

/// The version of the OpenAPI format that documents state.
pub const VERSION: &str = "3.0.2";

/// The description of one declared path.
#[derive(Clone, Debug)]
pub struct PathDoc<'a> {
    /// The pattern as declared, without a leading slash: `roles/{name}`, `{path..}`.
    pub pattern: &'a str,
    /// What the path is for, in a sentence.
    pub help: &'a str,
    /// The fields of the body of writes, or of the query if the path can't be written.
    pub fields: Vec<&'a FieldSpec>,
    /// The operations that the path supports.
    pub verbs: PathVerbs,
    /// Whether fields of any name are accepted.
    pub free_form: bool,
    /// Whether the body of a write is passed to the engine as it is; its fields are then those of the
    /// query.
    pub raw_body: bool,
    /// Whether a write may create an object.
    pub creates: bool,
    /// Whether the path requires the `sudo` capability.
    pub root: bool,
    /// Whether the path can be called without a token.
    pub unauthenticated: bool,
    /// How user interfaces and code generators present the path.
    pub display: PathDisplay,
}

/// The operations that a path supports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathVerbs {
    /// GET, which reads the object.
    pub read: bool,
    /// LIST, or GET with `list=true`.
    pub list: bool,
    /// POST and PUT: write the object.
    pub write: bool,
    /// PATCH: merge into the object.
    pub patch: bool,
    /// DELETE, which removes the object.
    pub delete: bool,
}

/// A complete OpenAPI document with the given paths, and the schemas that they refer to.
pub fn build_document(
    title: &str,
    version: &str,
    paths: &Map<String, Value>,
    schemas: &Map<String, Value>,
) -> Value {
    json!({
        "openapi": VERSION,
        "info": {
            "title": title,
            "description": "Every path stands below `/v1`.",
            "version": version,
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// The `paths` object of a document. `tag` groups the operations: `secrets`, `auth`, `system`.
/// `prefix` begins the operation ids of paths without hints of their own: the engine's name.
/// Declarations with the same pattern become one path; if several support an operation, the first
/// one counts, as in routing.
pub fn build_paths<'a>(
    docs: impl IntoIterator<Item = PathDoc<'a>>,
    tag: &str,
    prefix: &str,
) -> Map<String, Value> {
    let mut all = Map::new();
    for doc in docs {
        let path = format!("/{}", doc.pattern.replace("..}", "}").replace("@}", "}"));
        let new = path_item(&doc, &path, tag, prefix);
        let known = all.entry(path).or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(known), Value::Object(new)) = (known, new) {
            for (key, value) in new {
                known.entry(key).or_insert(value);
            }
        }
    }
    all
}

fn path_item(doc: &PathDoc<'_>, path: &str, tag: &str, prefix: &str) -> Value {
    let mut item = Map::new();
    item.insert("description".to_owned(), doc.help.into());
    if let Some(extension) = doc.display.to_extension() {
        item.insert(DISPLAY_EXTENSION.to_owned(), extension);
    }
    let captured: Vec<&str> = capture_names(path).collect();
    if !captured.is_empty() {
        let parameter = |name: &&str| {
            let spec = doc.fields.iter().find(|spec| spec.name == *name);
            let help = spec.map_or("Part of the path.", |spec| spec.help);
            json!({
                "name": name, "in": "path", "required": true,
                "description": help, "schema": { "type": "string" },
            })
        };
        item.insert("parameters".to_owned(), captured.iter().map(parameter).collect());
    }
    for (applies, key) in [
        (doc.creates, "x-vault-createSupported"),
        (doc.root, "x-vault-sudo"),
        (doc.unauthenticated, "x-vault-unauthenticated"),
    ] {
        if applies {
            item.insert(key.to_owned(), true.into());
        }
    }
    let of_body: Vec<&FieldSpec> =
        doc.fields.iter().copied().filter(|spec| !captured.contains(&spec.name)).collect();
    let verbs = doc.verbs;
    let id = |verb: &str| {
        let is_main = if verbs.write { verb == "write" } else { verb == "read" };
        doc.display.operation_id(prefix, verb, is_main, path)
    };
    if verbs.read || verbs.list {
        // If the path can be written, its fields belong to the body; otherwise reads take them in
        // the query.
        let is_written = verbs.write && !doc.raw_body || verbs.patch;
        let asked: &[&FieldSpec] = if is_written { &[] } else { &of_body };
        item.insert(
            "get".to_owned(),
            get_operation(verbs, asked, id(if verbs.read { "read" } else { "list" }), tag),
        );
    }
    for (applies, method, verb, content_type) in [
        (verbs.write, "post", "write", "application/json"),
        (verbs.patch, "patch", "patch", "application/merge-patch+json"),
    ] {
        if applies {
            let mut operation = operation_object(id(verb), tag, "The answer, or 204 without one.");
            if doc.raw_body && method == "post" {
                let parameters: Vec<Value> = of_body.iter().map(query_parameter).collect();
                if !parameters.is_empty() {
                    operation.insert("parameters".to_owned(), parameters.into());
                }
                let schema = json!({ "type": "string", "format": "binary" });
                let content = json!({ "application/octet-stream": { "schema": schema } });
                operation.insert("requestBody".to_owned(), json!({ "content": content }));
                item.insert(method.to_owned(), operation.into());
                continue;
            }
            let schema = request_body_schema(&of_body, doc.free_form, method == "post");
            if let Some(schema) = schema {
                let content = json!({ content_type: { "schema": schema } });
                operation.insert(
                    "requestBody".to_owned(),
                    json!({ "required": true, "content": content }),
                );
            }
            item.insert(method.to_owned(), operation.into());
        }
    }
    if verbs.delete {
        let mut operation = operation_object(id("delete"), tag, "");
        operation.insert("responses".to_owned(), json!({ "204": { "description": "Done." } }));
        item.insert("delete".to_owned(), operation.into());
    }
    item.into()
}

fn get_operation(verbs: PathVerbs, asked: &[&FieldSpec], id: String, tag: &str) -> Value {
    let mut operation = operation_object(id, tag, "The answer.");
    let mut parameters: Vec<Value> = asked.iter().map(query_parameter).collect();
    if verbs.list {
        let mut list = json!({
            "name": "list", "in": "query", "schema": { "type": "string" },
            "description": if verbs.read { "`true` lists what lies below." } else { "Must be `true`." },
        });
        if let (false, Value::Object(list)) = (verbs.read, &mut list) {
            list.insert("required".to_owned(), true.into());
            list.insert("schema".to_owned(), json!({ "type": "string", "enum": ["true"] }));
        }
        parameters.push(list);
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    operation.into()
}

fn query_parameter(spec: &&FieldSpec) -> Value {
    json!({
        "name": spec.name, "in": "query", "description": spec.help, "schema": field_schema(spec),
    })
}

fn operation_object(id: String, tag: &str, answer: &str) -> Map<String, Value> {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), id.into());
    operation.insert("tags".to_owned(), json!([tag]));
    operation.insert("responses".to_owned(), json!({ "200": { "description": answer } }));
    operation
}

/// The id of an operation of the whole server, such as `read-roles-name`: derived from the path, so that
/// it is the same in every document. Engines' own documents have those of [`PathDisplay`].
pub fn operation_id(prefix: &str, path: &str) -> String {
    let mut id = prefix.to_owned();
    for part in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        id.push('-');
        id.push_str(part);
    }
    id
}

/// The names of the captures, which are in braces.
pub fn capture_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn request_body_schema(fields: &[&FieldSpec], free_form: bool, whole: bool) -> Option<Value> {
    if free_form {
        return Some(json!({ "type": "object", "additionalProperties": true }));
    }
    if fields.is_empty() {
        return None;
    }
    let mut properties = Map::new();
    for spec in fields {
        properties.entry(spec.name).or_insert_with(|| {
            let mut schema = field_schema(spec);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), spec.help.into());
            }
            schema
        });
    }
    let mut object = json!({ "type": "object", "properties": properties });
    let required: Vec<&str> =
        fields.iter().filter(|spec| spec.required).map(|spec| spec.name).collect();
    // An update, which is the same OpenAPI operation, may leave out fields that a create requires.
    if let (true, false, Value::Object(object)) = (whole, required.is_empty(), &mut object) {
        object.insert("x-strongroom-required-on-create".to_owned(), json!(required));
    }
    Some(object)
}

fn field_schema(spec: &FieldSpec) -> Value {
    let mut schema = match spec.kind {
        FieldKind::String => json!({ "type": "string" }),
        FieldKind::LowerCaseString => json!({ "type": "string", "format": "lowercase" }),
        FieldKind::Integer => json!({ "type": "integer" }),
        FieldKind::Float => json!({ "type": "number", "format": "float" }),
        FieldKind::Boolean => json!({ "type": "boolean" }),
        FieldKind::Duration => json!({ "type": "string", "format": "duration" }),
        FieldKind::Time => json!({ "type": "string", "format": "date-time" }),
        FieldKind::CommaList | FieldKind::PolicyNames => {
            json!({ "type": "array", "items": { "type": "string" } })
        }
        FieldKind::IntegerList => json!({ "type": "array", "items": { "type": "integer" } }),
        FieldKind::KeyValues | FieldKind::Object | FieldKind::Json | FieldKind::Headers => {
            json!({ "type": "object", "additionalProperties": true })
        }
    };
    if let Value::Object(schema) = &mut schema {
        if let Some(extension) = spec.display.to_extension(spec.secret) {
            schema.insert(DISPLAY_EXTENSION.to_owned(), extension);
        }
        if let Some(default) = spec.default {
            schema.insert("default".to_owned(), default_value(spec.kind, default));
        }
        if !spec.allowed_values.is_empty() {
            schema.insert("enum".to_owned(), json!(spec.allowed_values));
        }
        if spec.legacy.is_some() {
            schema.insert("deprecated".to_owned(), true.into());
        }
    }
    schema
}

/// A default, converted to the JSON type of its field.
fn default_value(kind: FieldKind, text: &str) -> Value {
    match kind {
        FieldKind::Integer | FieldKind::Float | FieldKind::Boolean | FieldKind::Json => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        FieldKind::CommaList | FieldKind::PolicyNames => {
            text.split(',').filter(|part| !part.is_empty()).collect()
        }
        FieldKind::IntegerList => {
            let numbers = text.split(',').filter_map(|part| part.trim().parse::<i64>().ok());
            numbers.collect()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::FieldDisplay;
    use crate::field::LegacyName;

    const NAME: FieldSpec = FieldSpec {
        name: "name",
        help: "Which.",
        kind: FieldKind::String,
        allowed_values: &[],
        secret: false,
        required: true,
        internal: false,
        keep: false,
        default: None,
        legacy: None,
        display: FieldDisplay::NONE,
    };
    const KEY: FieldSpec = FieldSpec { name: "key", secret: true, help: "The key.", ..NAME };
    const COUNT: FieldSpec = FieldSpec {
        name: "count",
        kind: FieldKind::Integer,
        required: false,
        default: Some("3"),
        ..NAME
    };
    const NUMBER: FieldSpec = FieldSpec {
        name: "number",
        default: None,
        legacy: Some(LegacyName { current: "count", echo: false }),
        ..COUNT
    };

    #[test]
    fn each_kind_has_its_schema() {
        let schema_of = |kind, default, allowed_values| {
            field_schema(&FieldSpec { kind, default, allowed_values, ..NAME })
        };
        for (kind, default, expected) in [
            (
                FieldKind::IntegerList,
                "1,2",
                json!({ "type": "array", "items": { "type": "integer" }, "default": [1, 2] }),
            ),
            (
                FieldKind::PolicyNames,
                "a,b",
                json!({ "type": "array", "items": { "type": "string" }, "default": ["a", "b"] }),
            ),
            (
                FieldKind::Float,
                "1.5",
                json!({ "type": "number", "format": "float", "default": 1.5 }),
            ),
            (
                FieldKind::Json,
                "{}",
                json!({ "type": "object", "additionalProperties": true, "default": {} }),
            ),
        ] {
            assert_eq!(schema_of(kind, Some(default), &[]), expected);
        }
        let time = json!({ "type": "string", "format": "date-time" });
        assert_eq!(schema_of(FieldKind::Time, None, &[]), time);
        let text = json!({ "type": "string", "format": "lowercase" });
        assert_eq!(schema_of(FieldKind::LowerCaseString, None, &[]), text);
        let choice = json!({ "type": "string", "enum": ["a", "b"], "default": "a" });
        assert_eq!(schema_of(FieldKind::String, Some("a"), &["a", "b"]), choice);
    }

    fn path_doc(pattern: &str, verbs: PathVerbs) -> PathDoc<'_> {
        PathDoc {
            pattern,
            help: "A path.",
            fields: vec![&NAME, &KEY, &COUNT, &NUMBER],
            verbs,
            free_form: false,
            raw_body: false,
            creates: true,
            root: false,
            unauthenticated: true,
            display: PathDisplay::new(),
        }
    }

    #[test]
    fn path_items_describe_parameters_and_bodies() {
        let verbs = PathVerbs { read: true, write: true, delete: true, ..PathVerbs::default() };
        let paths = build_paths([path_doc("roles/{name}", verbs)], "secrets", "tokens");
        let item = &paths["/roles/{name}"];
        assert_eq!(item["parameters"][0]["name"], "name");
        assert_eq!(item["parameters"][0]["description"], "Which.");
        assert_eq!(item["x-vault-createSupported"], true);
        assert_eq!(item["x-vault-unauthenticated"], true);
        assert!(item.get("x-vault-sudo").is_none());
        let body = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert!(body["properties"].get("name").is_none(), "it is in the path");
        assert_eq!(body["properties"]["key"]["x-vault-displayAttrs"]["sensitive"], true);
        assert_eq!(body["properties"]["count"]["default"], 3);
        assert_eq!(body["properties"]["number"]["deprecated"], true);
        assert_eq!(body["properties"]["count"].get("deprecated"), None);
        assert_eq!(body["x-strongroom-required-on-create"], json!(["key"]));
        assert!(item["get"].get("parameters").is_none());
        assert_eq!(item["get"]["operationId"], "tokens-read-roles-name");
        assert_eq!(item["delete"]["responses"]["204"]["description"], "Done.");
    }

    #[test]
    fn a_list_only_path_requires_the_list_parameter() {
        let list = PathVerbs { list: true, ..PathVerbs::default() };
        let paths = build_paths(
            [PathDoc { fields: Vec::new(), ..path_doc("roles", list) }],
            "secrets",
            "tokens",
        );
        let parameter = &paths["/roles"]["get"]["parameters"][0];
        assert_eq!((&parameter["name"], &parameter["required"]), (&json!("list"), &json!(true)));
    }

    #[test]
    fn declarations_of_one_pattern_are_one_path_and_the_first_wins() {
        let read = PathVerbs { read: true, ..PathVerbs::default() };
        let write = PathVerbs { read: true, write: true, ..PathVerbs::default() };
        let paths = build_paths(
            [
                path_doc("a/{path..}", read),
                PathDoc { help: "Another.", ..path_doc("a/{path..}", write) },
            ],
            "secrets",
            "tokens",
        );
        assert_eq!(paths.len(), 1);
        let item = &paths["/a/{path}"];
        assert_eq!(item["description"], "A path.");
        assert!(item.get("post").is_some());
    }

    #[test]
    fn a_raw_body_has_no_schema_of_fields() {
        let verbs = PathVerbs { write: true, ..PathVerbs::default() };
        let doc = PathDoc { raw_body: true, ..path_doc("files/{name}", verbs) };
        let paths = Value::Object(build_paths([doc], "secrets", "tokens"));
        let post = &paths["/files/{name}"]["post"];
        assert_eq!(
            post["requestBody"],
            json!({ "content": { "application/octet-stream": {
                "schema": { "type": "string", "format": "binary" }
            } } })
        );
        let names = post["parameters"].as_array().unwrap().iter().map(|it| &it["name"]);
        assert_eq!(names.collect::<Vec<_>>(), ["key", "count", "number"]);
    }
}
