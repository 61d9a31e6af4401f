//! Help for the core's own paths, and the two warnings every endpoint gives about its fields.

use strongroom_sdk::pattern::{Captures, Pattern};
use strongroom_types::Fields;

use crate::endpoint::{ANY_FIELD, Endpoint, not_found};
use crate::error::Error;
use crate::request::Answer;

/// The help of one path; of the list of paths for the empty one.
pub(crate) fn of(
    endpoints: &[&'static [Endpoint]],
    tag: &str,
    path: &str,
) -> Result<Answer, Error> {
    let all = || endpoints.iter().flat_map(|group| group.iter());
    let path = path.trim_end_matches('/');
    let mut document = super::openapi::of_endpoints(endpoints, tag);
    let text = if path.is_empty() {
        let lines = all().map(|e| format!("    {}\n        {}\n", e.pattern, e.help));
        format!("## PATHS\n\n{}", lines.collect::<Vec<_>>().join("\n"))
    } else {
        let endpoint =
            all().find(|endpoint| Pattern::new(endpoint.pattern).matches(path).is_some());
        let endpoint = endpoint.ok_or_else(not_found)?;
        let here = all().filter(|other| other.pattern == endpoint.pattern);
        let docs = here.map(|endpoint| super::openapi::doc(endpoint, tag));
        document = super::openapi::of_docs(docs, tag);
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
    Ok(Answer::Bare { status: 200, body, content_type: "application/json" })
}

/// Lets captures of the path win over fields of the body, and gives the warnings clients know.
pub(crate) fn take_captures(
    endpoint: &Endpoint,
    captures: &Captures,
    fields: &mut Fields,
) -> Vec<String> {
    let declared = || endpoint.fields.iter().flat_map(|fields| fields.iter());
    if declared().any(|spec| spec.name == ANY_FIELD) {
        // Nothing is captured there, and nothing unknown.
        return Vec::new();
    }
    let declared = declared().map(|spec| spec.name);
    strongroom_sdk::field::take_captures(declared, captures, fields).into_iter().collect()
}
