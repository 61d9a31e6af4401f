//! Conversion of the headers of requests and responses.

use std::collections::BTreeMap;

use strongroom_plugin_protocol::generated::pb;

/// Header names in the form that Go plug-ins look up: `X-Some-Thing`.
pub(crate) fn canonical_headers(
    headers: BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, pb::Header> {
    let canonical = |name: String| {
        let part = |part: &str| {
            let (first, rest) = part.split_at(part.len().min(1));
            format!("{}{}", first.to_ascii_uppercase(), rest.to_ascii_lowercase())
        };
        // Header names are ASCII.
        if name.is_ascii() { name.split('-').map(part).collect::<Vec<_>>().join("-") } else { name }
    };
    headers_to_wire(headers.into_iter().map(|(name, values)| (canonical(name), values)).collect())
}

pub(crate) fn lower_case_names(
    headers: BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Vec<String>> {
    headers.into_iter().map(|(name, values)| (name.to_ascii_lowercase(), values)).collect()
}

pub(crate) fn headers_to_wire(
    headers: BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, pb::Header> {
    headers.into_iter().map(|(name, header)| (name, pb::Header { header })).collect()
}

pub(crate) fn headers_from_wire(
    headers: BTreeMap<String, pb::Header>,
) -> BTreeMap<String, Vec<String>> {
    headers.into_iter().map(|(name, header)| (name, header.header)).collect()
}
