//! Help text and OpenAPI for help requests, generated from an engine's declarations.

use serde_json::Map;
use strongroom_engine::{DataResponse, EngineResponse, MountKind};
use strongroom_schema::openapi;
use strongroom_types::{Fields, RawObject};

use crate::blueprint::{Blueprint, Route, RouteTarget};

/// The help of one path, or of the whole engine if the path is empty, which ends with the section
/// on its tasks.
pub(crate) fn help_response(blueprint: &Blueprint, path: &str, tasks: &str) -> EngineResponse {
    let route = blueprint.routes().iter().find(|route| route.pattern.match_path(path).is_some());
    let text = match route {
        Some(route) => path_help(route),
        None if path.is_empty() => engine_help(blueprint) + tasks,
        None => return EngineResponse::Nothing,
    };
    let docs = blueprint.routes().iter().flat_map(Route::path_docs);
    let docs: Vec<_> = match route {
        Some(route) => route.path_docs(),
        None => docs.collect(),
    };
    let tag = match blueprint.mount_kind() {
        MountKind::Secret => "secrets",
        MountKind::Auth => "auth",
    };
    let (name, version) = (blueprint.own_name(), blueprint.own_version());
    let paths = openapi::build_paths(docs, tag, name);
    let document = openapi::build_document(name, version, &paths, &Map::new());
    let mut fields = Fields::new();
    fields.set("help", &text);
    fields.set("openapi", &document);
    fields.set("see_also", &None::<String>);
    let object: RawObject = fields.to_object();
    EngineResponse::Data(DataResponse::new(object))
}

fn engine_help(blueprint: &Blueprint) -> String {
    let mut text = format!("## DESCRIPTION\n\n{}\n\n## PATHS\n", blueprint.engine_help());
    for route in blueprint.routes() {
        text.push_str(&format!("\n    {}\n        {}\n", route.pattern.as_str(), route.help));
    }
    text
}

fn path_help(route: &Route) -> String {
    let mut text = format!("Path:  {}\n\n{}\n", route.pattern.as_str(), route.help);
    let listed = match &route.target {
        RouteTarget::Document(document) => document.listed_fields().join(", "),
        _ => String::new(),
    };
    if !listed.is_empty() {
        text.push_str(&format!("\nA list shows for each name, in key_info: {listed}.\n"));
    }
    let fields = route.fields();
    let is_replaced = replaces_document(route);
    if is_replaced {
        text.push_str("\nA write replaces the whole document: fields that it doesn't contain get their defaults.\n");
    }
    if !fields.is_empty() {
        text.push_str("\n## PARAMETERS\n");
    }
    for spec in fields {
        text.push_str(&format!(
            "\n    {} ({})\n        {}\n",
            spec.name,
            spec.kind.help_name(),
            spec.help
        ));
        if is_replaced && spec.keep {
            text.push_str(
                "        A write that doesn't contain the field keeps the stored value.\n",
            );
        }
        if !spec.allowed_values.is_empty() {
            text.push_str(&format!(
                "        Allowed values: {}.\n",
                spec.allowed_values.join(", ")
            ));
        }
    }
    text
}

/// Whether a write to the path replaces the document there.
fn replaces_document(route: &Route) -> bool {
    matches!(&route.target, RouteTarget::Document(document) if document.replaces())
}
