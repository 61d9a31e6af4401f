//! The documentation of endpoints: `help` responses and OpenAPI documents.

use serde_json::{Map, Value};
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_schema::display::PathDisplay;
use strongroom_schema::openapi::{self, PathDoc, PathVerbs};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::Fields;

use crate::endpoint::{ApiEndpoint, EndpointAccess, VerbHandlers, not_found};
use crate::root_paths::is_root_endpoint;

/// The response to a help request for `path` in a group of endpoints. The empty path lists all of
/// them.
pub(crate) fn help_response(
    endpoints: &[&'static [ApiEndpoint]],
    tag: &str,
    path: &str,
) -> Result<CoreResponse, Error> {
    let all = || endpoints.iter().flat_map(|group| group.iter());
    let path = path.trim_end_matches('/');
    let mut document = document_of_endpoints(endpoints, tag);
    let text = if path.is_empty() {
        let lines = all().map(|e| format!("    {}\n        {}\n", e.pattern, e.help));
        format!("## PATHS\n\n{}", lines.collect::<Vec<_>>().join("\n"))
    } else {
        let endpoint =
            all().find(|endpoint| RoutePattern::new(endpoint.pattern).match_path(path).is_some());
        let endpoint = endpoint.ok_or_else(not_found)?;
        let here = all().filter(|other| other.pattern == endpoint.pattern);
        let docs = here.map(|endpoint| path_doc(endpoint, tag));
        document = document_of_paths(docs, tag);
        let mut text = format!("Path:  {}\n\n{}\n", endpoint.pattern, endpoint.help);
        for spec in endpoint.fields.iter().flat_map(|fields| fields.iter()) {
            text.push_str(&format!("\n    {}\n        {}\n", spec.name, spec.help));
        }
        text
    };
    let mut fields = Fields::new();
    fields.set("help", &text);
    fields.set("openapi", &document);
    fields.set("see_also", &None::<String>);
    let body = fields.to_object().into_bytes().to_vec();
    Ok(CoreResponse::WithoutEnvelope { status: 200, body, content_type: "application/json" })
}

/// The OpenAPI document of a group of the server's own endpoints, with paths relative to the mount.
pub(crate) fn document_of_endpoints(endpoints: &[&'static [ApiEndpoint]], tag: &str) -> Value {
    let docs = endpoints.iter().flat_map(|group| group.iter());
    document_of_paths(docs.map(|endpoint| path_doc(endpoint, tag)), tag)
}

pub(crate) fn document_of_paths(docs: impl Iterator<Item = PathDoc<'static>>, tag: &str) -> Value {
    openapi::build_document("", "", &openapi::build_paths(docs, tag, ""), &Map::new())
}

/// Describes one endpoint for the OpenAPI document. `tag` is the group, such as `system`.
pub(crate) fn path_doc(endpoint: &ApiEndpoint, tag: &str) -> PathDoc<'static> {
    let VerbHandlers { read, list, write, delete } = endpoint.handlers;
    // An endpoint without handlers exists for help only; its mount takes arbitrary objects.
    let free_form = !endpoint.handlers.has_any();
    let verbs = PathVerbs {
        read: read.is_some() || free_form,
        list: list.is_some() || free_form,
        write: write.is_some() || free_form,
        patch: false,
        delete: delete.is_some() || free_form,
    };
    PathDoc {
        pattern: endpoint.pattern,
        help: endpoint.help,
        fields: endpoint.fields.iter().flat_map(|fields| fields.iter()).collect(),
        verbs,
        free_form,
        raw_body: false,
        creates: free_form,
        root: is_root_endpoint(endpoint, tag),
        unauthenticated: endpoint.access == EndpointAccess::Unauthenticated,
        display: PathDisplay::new(),
    }
}
