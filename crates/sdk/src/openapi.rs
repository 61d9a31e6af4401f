//! OpenAPI: declared paths as a document that generators and explorers read.
//!
//! The same form describes an engine's paths and the server's own, so that one document can hold
//! them all. Format: OpenAPI 3.0.2, <https://spec.openapis.org/oas/v3.0.2>, with the extensions that
//! Vault's document has (`x-vault-unauthenticated`, `x-vault-sudo`, `x-vault-createSupported`).

use serde_json::{Map, Value, json};

use crate::field::{FieldKind, FieldSpec};

/// The version of the format.
pub const VERSION: &str = "3.0.2";

/// A declared path, as the document shows it.
#[derive(Clone, Debug)]
pub struct PathDoc<'a> {
    /// As declared, without a slash in front: `roles/{name}`, `{path..}`.
    pub pattern: &'a str,
    /// What it is for.
    pub help: &'a str,
    /// What its writes take, and its reads from the query.
    pub fields: Vec<&'a FieldSpec>,
    /// Which verbs it has.
    pub verbs: PathVerbs,
    /// Fields of any name are taken.
    pub free_form: bool,
    /// A write may create what isn't there.
    pub creates: bool,
    /// Needs `sudo`.
    pub root: bool,
    /// Needs no token.
    pub unauthenticated: bool,
}

/// Which verbs a path has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathVerbs {
    /// GET.
    pub read: bool,
    /// LIST.
    pub list: bool,
    /// POST and PUT.
    pub write: bool,
    /// PATCH.
    pub patch: bool,
    /// DELETE.
    pub delete: bool,
}

/// A whole document around paths, and the schemas that they refer to.
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

/// The `paths` object. `tag` groups them: `secrets`, `auth`, `system`. Declarations of one pattern are
/// one path; where two have a verb, the first one's counts, as in routing.
pub fn build_paths<'a>(
    docs: impl IntoIterator<Item = PathDoc<'a>>,
    tag: &str,
) -> Map<String, Value> {
    let mut all = Map::new();
    for doc in docs {
        let path = format!("/{}", doc.pattern.replace("..}", "}"));
        let new = path_item(&doc, &path, tag);
        let known = all.entry(path).or_insert_with(|| Value::Object(Map::new()));
        if let (Value::Object(known), Value::Object(new)) = (known, new) {
            for (key, value) in new {
                known.entry(key).or_insert(value);
            }
        }
    }
    all
}

fn path_item(doc: &PathDoc<'_>, path: &str, tag: &str) -> Value {
    let mut item = Map::new();
    item.insert("description".to_owned(), doc.help.into());
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
    if verbs.read || verbs.list {
        // What a path that is written takes is written; only a path that isn't is asked with it.
        let asked: &[&FieldSpec] = if verbs.write || verbs.patch { &[] } else { &of_body };
        item.insert("get".to_owned(), get_operation(verbs, asked, path, tag));
    }
    for (applies, method, prefix, content_type) in [
        (verbs.write, "post", "write", "application/json"),
        (verbs.patch, "patch", "patch", "application/merge-patch+json"),
    ] {
        if applies {
            let mut operation =
                operation_object(prefix, path, tag, "The answer, or 204 without one.");
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
        let mut operation = operation_object("delete", path, tag, "");
        operation.insert("responses".to_owned(), json!({ "204": { "description": "Done." } }));
        item.insert("delete".to_owned(), operation.into());
    }
    item.into()
}

fn get_operation(verbs: PathVerbs, asked: &[&FieldSpec], path: &str, tag: &str) -> Value {
    let prefix = if verbs.read { "read" } else { "list" };
    let mut operation = operation_object(prefix, path, tag, "The answer.");
    let query = |spec: &&FieldSpec| {
        json!({
            "name": spec.name, "in": "query", "description": spec.help, "schema": field_schema(spec),
        })
    };
    let mut parameters: Vec<Value> = asked.iter().map(query).collect();
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

fn operation_object(prefix: &str, path: &str, tag: &str, answer: &str) -> Map<String, Value> {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), operation_id(prefix, path).into());
    operation.insert("tags".to_owned(), json!([tag]));
    operation.insert("responses".to_owned(), json!({ "200": { "description": answer } }));
    operation
}

/// `read-roles-name`: made of the path, so that it is the same in every document.
pub fn operation_id(prefix: &str, path: &str) -> String {
    let mut id = prefix.to_owned();
    for part in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        id.push('-');
        id.push_str(part);
    }
    id
}

/// The names in braces.
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
    // An update may leave out what a creation needs, and both are this operation.
    if let (true, false, Value::Object(object)) = (whole, required.is_empty(), &mut object) {
        object.insert("x-strongroom-required-on-create".to_owned(), json!(required));
    }
    Some(object)
}

fn field_schema(spec: &FieldSpec) -> Value {
    let mut schema = match spec.kind {
        FieldKind::String => json!({ "type": "string" }),
        FieldKind::Integer => json!({ "type": "integer" }),
        FieldKind::Boolean => json!({ "type": "boolean" }),
        FieldKind::Duration => json!({ "type": "string", "format": "duration" }),
        FieldKind::CommaList => json!({ "type": "array", "items": { "type": "string" } }),
        FieldKind::KeyValues | FieldKind::Object => {
            json!({ "type": "object", "additionalProperties": true })
        }
    };
    if let Value::Object(schema) = &mut schema {
        if spec.secret {
            schema.insert("x-vault-displayAttrs".to_owned(), json!({ "sensitive": true }));
        }
        if let Some(default) = spec.default {
            schema.insert("default".to_owned(), default_value(spec.kind, default));
        }
    }
    schema
}

/// A default in the type of its field.
fn default_value(kind: FieldKind, text: &str) -> Value {
    match kind {
        FieldKind::Integer | FieldKind::Boolean => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        FieldKind::CommaList => text.split(',').filter(|part| !part.is_empty()).collect(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: FieldSpec = FieldSpec {
        name: "name",
        help: "Which.",
        kind: FieldKind::String,
        secret: false,
        required: true,
        default: None,
    };
    const KEY: FieldSpec = FieldSpec { name: "key", secret: true, help: "The key.", ..NAME };
    const COUNT: FieldSpec = FieldSpec {
        name: "count",
        kind: FieldKind::Integer,
        required: false,
        default: Some("3"),
        ..NAME
    };

    fn path_doc(pattern: &str, verbs: PathVerbs) -> PathDoc<'_> {
        PathDoc {
            pattern,
            help: "A path.",
            fields: vec![&NAME, &KEY, &COUNT],
            verbs,
            free_form: false,
            creates: true,
            root: false,
            unauthenticated: true,
        }
    }

    #[test]
    fn path_items_describe_parameters_and_bodies() {
        let verbs = PathVerbs { read: true, write: true, delete: true, ..PathVerbs::default() };
        let paths = build_paths([path_doc("roles/{name}", verbs)], "secrets");
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
        assert_eq!(body["x-strongroom-required-on-create"], json!(["key"]));
        assert!(item["get"].get("parameters").is_none());
        assert_eq!(item["get"]["operationId"], "read-roles-name");
        assert_eq!(item["delete"]["responses"]["204"]["description"], "Done.");
    }

    #[test]
    fn a_list_only_path_requires_the_list_parameter() {
        let list = PathVerbs { list: true, ..PathVerbs::default() };
        let paths =
            build_paths([PathDoc { fields: Vec::new(), ..path_doc("roles", list) }], "secrets");
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
        );
        assert_eq!(paths.len(), 1);
        let item = &paths["/a/{path}"];
        assert_eq!(item["description"], "A path.");
        assert!(item.get("post").is_some());
    }
}
