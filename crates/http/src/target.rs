//! The target of a request: its path and query, decoded, normalized or refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use strongroom_types::Fields;

/// The result of resolving a request's path.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestTarget {
    /// An API path, decoded, without the leading `/v1/`.
    Api(String),
    /// The path has empty, `.` or `..` segments. The client is redirected to this location, the
    /// normalized path with the original query.
    Redirect(String),
    /// A path outside `/v1/`, which is not found.
    Unknown,
    /// The percent-encoding is invalid, or the decoded bytes are not UTF-8.
    Malformed,
}

/// Decodes and checks the path of a request. `query` is only used for the location of a redirect.
pub fn resolve_target(raw_path: &str, query: Option<&str>) -> RequestTarget {
    if !is_encoded(raw_path.as_bytes()) {
        return RequestTarget::Malformed;
    }
    let Ok(path) = percent_decode_str(raw_path).decode_utf8() else {
        return RequestTarget::Malformed;
    };
    if let Some(clean) = normalized_path(&path) {
        let mut location = percent_encode(&clean);
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        return RequestTarget::Redirect(location);
    }
    match path.strip_prefix("/v1/") {
        Some(below) => RequestTarget::Api(below.to_owned()),
        None => RequestTarget::Unknown,
    }
}

/// The path without empty, `.` and `..` segments; `None` if it has none. A trailing slash is kept.
fn normalized_path(path: &str) -> Option<String> {
    let body = path.strip_prefix('/').unwrap_or(path);
    let untrailed = body.strip_suffix('/').unwrap_or(body);
    let dirty = |segment: &str| matches!(segment, "" | "." | "..");
    if body.is_empty() || !untrailed.split('/').any(dirty) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in untrailed.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            _ => segments.push(segment),
        }
    }
    let mut clean = format!("/{}", segments.join("/"));
    if path.ends_with('/') && clean.len() > 1 {
        clean.push('/');
    }
    Some(clean)
}

fn percent_encode(path: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(path, KEPT).to_string()
}

/// Why a query or a form body is refused. Both are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidForm {
    /// There are more fields than the limit allows.
    #[error("refused {what} due to high complexity: exceeded maximum number of fields ({most})")]
    TooManyFields {
        /// "query" or "form input".
        what: &'static str,
        /// The maximum number of fields.
        most: usize,
    },
    /// A `%` is not followed by two hexadecimal digits, or the decoded bytes are not UTF-8.
    #[error("invalid percent-encoding in the {what}: write % as %25")]
    Encoding {
        /// "query" or "form input".
        what: &'static str,
    },
}

/// Whether each `%` is followed by two hexadecimal digits. The decoder would keep any other `%`
/// literally, and the client would reach a different path than it meant.
fn is_encoded(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|byte| *byte == b'%');
    parts.next();
    parts.all(|part| matches!(part, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// Refuses invalid percent-encoding and bytes that are not UTF-8, which the parser would replace.
fn check_encoding(what: &'static str, form: &[u8]) -> Result<(), InvalidForm> {
    let is_text = || percent_encoding::percent_decode(form).decode_utf8().is_ok();
    if is_encoded(form) && is_text() { Ok(()) } else { Err(InvalidForm::Encoding { what }) }
}

/// The fields of a query; a name that occurs several times becomes a list. Fields are counted while
/// parsing, because each takes far more memory than its bytes.
///
/// # Errors
///
/// [`InvalidForm`] if there are more than `most` fields, or the encoding is invalid.
pub fn query_fields(query: &str, most: usize) -> Result<Fields, InvalidForm> {
    check_encoding("query", query.as_bytes())?;
    let mut values: BTreeMap<Cow<'_, str>, Vec<Cow<'_, str>>> = BTreeMap::new();
    for (index, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if index >= most {
            return Err(InvalidForm::TooManyFields { what: "query", most });
        }
        values.entry(name).or_default().push(value);
    }
    let mut fields = Fields::new();
    for (name, values) in values {
        match values.as_slice() {
            [only] => fields.set(name, only),
            several => fields.set(name, &several),
        }
    }
    Ok(fields)
}

/// The fields of a form body; the values of a name that occurs several times are joined with
/// commas.
///
/// # Errors
///
/// [`InvalidForm`] if there are more than `most` fields, or the encoding is invalid.
pub fn form_fields(body: &[u8], most: usize) -> Result<Fields, InvalidForm> {
    check_encoding("form input", body)?;
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (index, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if index >= most {
            return Err(InvalidForm::TooManyFields { what: "form input", most });
        }
        values
            .entry(name.into_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let mut fields = Fields::new();
    for (name, value) in values {
        fields.set(name, &value);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_paths_are_decoded_once() {
        assert_eq!(
            resolve_target("/v1/secret/a%20b", None),
            RequestTarget::Api("secret/a b".into())
        );
        assert_eq!(
            resolve_target("/v1/secret/a%2Fb/", None),
            RequestTarget::Api("secret/a/b/".into())
        );
        assert_eq!(resolve_target("/v1/a%252e", None), RequestTarget::Api("a%2e".into()));
        assert_eq!(resolve_target("/v1/%ff", None), RequestTarget::Malformed);
        for other in ["/", "/ui", "/v2/x", "/v1"] {
            assert_eq!(resolve_target(other, None), RequestTarget::Unknown, "{other}");
        }
    }

    #[test]
    fn malformed_percent_encoding_is_refused() {
        for bad in ["%", "a%", "%2", "%zz", "%2g", "%%20", "a%20%u0041", "%ff", "%c3%28"] {
            assert_eq!(
                resolve_target(&format!("/v1/{bad}"), None),
                RequestTarget::Malformed,
                "{bad}"
            );
            for text in [bad.to_owned(), format!("a={bad}"), format!("{bad}=a&b=c")] {
                let query = query_fields(&text, 9).unwrap_err();
                assert_eq!(query, InvalidForm::Encoding { what: "query" }, "{text}");
                let form = form_fields(text.as_bytes(), 9).unwrap_err();
                assert_eq!(form, InvalidForm::Encoding { what: "form input" }, "{text}");
            }
        }
        let fields = query_fields("a=%25+%C3%A9&b=", 9).unwrap();
        assert_eq!(fields.text("a").as_deref(), Some("% \u{e9}"));
    }

    #[test]
    fn unnormalized_paths_are_redirected() {
        let redirects = [
            ("/v1//sys/mounts", "/v1/sys/mounts"),
            ("/v1/secret/../sys/seal", "/v1/sys/seal"),
            ("/v1/secret/%2e%2e/sys/seal", "/v1/sys/seal"),
            ("/v1/a/./b/", "/v1/a/b/"),
            ("/v1/../../etc", "/etc"),
            ("//v1/a b".replace(' ', "%20").leak() as &str, "/v1/a%20b"),
        ];
        for (path, clean) in redirects {
            assert_eq!(resolve_target(path, None), RequestTarget::Redirect(clean.into()), "{path}");
        }
        assert_eq!(
            resolve_target("/v1//a", Some("x=1")),
            RequestTarget::Redirect("/v1/a?x=1".into())
        );
    }

    #[test]
    fn repeated_names_become_lists_in_queries_and_commas_in_forms() {
        let query = query_fields("a=1&b=x&b=y&c=", 4).unwrap();
        assert_eq!(query.get("a").unwrap().get(), "\"1\"");
        assert_eq!(query.get("b").unwrap().get(), r#"["x","y"]"#);
        assert_eq!(query.get("c").unwrap().get(), "\"\"");
        assert_eq!(form_fields(b"b=x&b=y", 2).unwrap().get("b").unwrap().get(), "\"x,y\"");
    }

    #[test]
    fn cve_2025_12044_fields_of_forms_and_queries_are_counted() {
        assert!(form_fields(b"a&b&c", 3).is_ok() && query_fields("a&b&c", 3).is_ok());
        // A repeated name counts each time.
        for many in ["a&b&c&d", "a&a&a&a"] {
            assert!(form_fields(many.as_bytes(), 3).is_err(), "{many}");
            assert!(query_fields(many, 3).is_err(), "{many}");
        }
    }

    /// A path with some of its bytes percent-encoded, in upper or lower case.
    fn percent_encode_some(path: &str, choices: &[u8]) -> String {
        let mut choices = choices.iter().cycle();
        let spell = |byte: u8| match (byte, choices.next().map_or(0, |choice| choice % 3)) {
            (b'%', _) | (0x80.., _) | (_, 1) => format!("%{byte:02x}"),
            (_, 2) => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        };
        path.bytes().map(spell).collect()
    }

    proptest::proptest! {
        /// Every check of a path sees the same path, however it is percent-encoded, or none.
        #[test]
        fn cve_2026_3605_no_spelling_of_a_path_is_another_path(
            path in "(/|\\.|\\.\\.|a|%2e|ü| |\u{200b}){1,10}",
            choices in proptest::collection::vec(0_u8..3, 1..40),
        ) {
            let plain = resolve_target(&percent_encode_some(&format!("/v1/{path}"), &[0]), None);
            // Clients never encode the prefix; everything after it may be encoded.
            let spelled = resolve_target(&format!("/v1/{}", percent_encode_some(&path, &choices)), None);
            proptest::prop_assert_eq!(&spelled, &plain);
            if let RequestTarget::Api(below) = spelled {
                proptest::prop_assert_eq!(below, path);
            }
        }

        #[test]
        fn a_redirect_never_leads_to_another(path in "(/|[.a%2e]){0,12}") {
            let path = format!("/{path}");
            if let RequestTarget::Redirect(location) = resolve_target(&path, None) {
                proptest::prop_assert!(!matches!(resolve_target(&location, None), RequestTarget::Redirect(_)));
            }
        }
    }
}
