//! Properties that hold for every input. Shared by the fuzz target and the crate's tests.

use strongroom_http::target::{RequestTarget, form_fields, query_fields, resolve_target};
use strongroom_types::RequestPath;

const MOST: usize = 16;

/// Resolves the input as a request's target, and parses its query also as a form. A path that is
/// accepted has exactly one meaning.
pub(crate) fn any_target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (path, query) =
        text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
    let path = format!("/{}", path.trim_start_matches('/'));
    match resolve_target(&path, query) {
        RequestTarget::Api(below) => {
            assert!(!below.starts_with('/'), "{below:?}");
            for segment in below.strip_suffix('/').unwrap_or(&below).split('/') {
                assert!(!matches!(segment, "." | ".."), "{below:?}");
            }
            // Everything that checks paths sees exactly this text, or refuses it.
            if let Ok(judged) = RequestPath::parse(&below) {
                assert_eq!(judged.as_str(), below);
            }
        }
        RequestTarget::Redirect(location) => {
            assert!(location.starts_with('/') && !location.starts_with("//"), "{location:?}");
            assert!(
                !location.contains(['\r', '\n'])
                    || query.is_some_and(|it| it.contains(['\r', '\n']))
            );
            let (clean, _) = location.split_once('?').unwrap_or((&location, ""));
            assert!(
                !matches!(resolve_target(clean, None), RequestTarget::Redirect(_)),
                "{location:?}"
            );
        }
        RequestTarget::Unknown | RequestTarget::Malformed => {}
    }
    let query = query.unwrap_or_default();
    for fields in
        [query_fields(query, MOST), form_fields(query.as_bytes(), MOST)].into_iter().flatten()
    {
        assert!(fields.len() <= MOST);
        assert_eq!(fields.to_object().fields().len(), fields.len(), "what is made of it is JSON");
    }
}
