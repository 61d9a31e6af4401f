//! Help for the core's own paths, and the merging of path captures into the fields of a request.

use strongroom_sdk::pattern::{PathCaptures, RoutePattern};
use strongroom_types::Fields;

use crate::endpoint::{ANY_FIELD, ApiEndpoint, not_found};
use crate::error::Error;
use crate::request::CoreResponse;

/// The response to a help request for `path` in a group of endpoints. The empty path lists all of
/// them.
pub(crate) fn help_response(
    endpoints: &[&'static [ApiEndpoint]],
    tag: &str,
    path: &str,
) -> Result<CoreResponse, Error> {
    let all = || endpoints.iter().flat_map(|group| group.iter());
    let path = path.trim_end_matches('/');
    let mut document = super::openapi::document_of_endpoints(endpoints, tag);
    let text = if path.is_empty() {
        let lines = all().map(|e| format!("    {}\n        {}\n", e.pattern, e.help));
        format!("## PATHS\n\n{}", lines.collect::<Vec<_>>().join("\n"))
    } else {
        let endpoint =
            all().find(|endpoint| RoutePattern::new(endpoint.pattern).match_path(path).is_some());
        let endpoint = endpoint.ok_or_else(not_found)?;
        let here = all().filter(|other| other.pattern == endpoint.pattern);
        let docs = here.map(|endpoint| super::openapi::path_doc(endpoint, tag));
        document = super::openapi::document_of_paths(docs, tag);
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

/// Copies path captures into the fields, overriding body fields of the same name. Returns the
/// warnings about unrecognized and overridden body fields that Vault clients know.
pub(crate) fn move_captures_to_fields(
    endpoint: &ApiEndpoint,
    captures: &PathCaptures,
    fields: &mut Fields,
) -> Vec<String> {
    let declared = || endpoint.fields.iter().flat_map(|fields| fields.iter());
    if declared().any(|spec| spec.name == ANY_FIELD) {
        // The endpoint takes arbitrary fields and has no captures, so there is nothing to warn
        // about.
        return Vec::new();
    }
    let declared = declared().map(|spec| spec.name);
    strongroom_sdk::field::apply_captures(declared, captures, fields).into_iter().collect()
}
