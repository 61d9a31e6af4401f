//! Checks, and completes, what a blueprint's paths say about names: which forms they have, and
//! whether their case matters. A path that takes other names than the document that it is about
//! would hide objects from it, or let one object have two paths in policies.

use strongroom_schema::pattern::{CaptureForm, RoutePattern};

use crate::blueprint::{Route, RouteTarget};

/// The last capture of a document's path, which names a document.
struct NameCapture {
    name: &'static str,
    form: CaptureForm,
    folds_case: bool,
}

/// For each route, whether its captures are converted to lower case. Beside the routes that declare
/// it these are: paths below those of a document that folds case, credentials whose role is such a
/// document, and logins and actions with captures that are named like those of such documents only.
pub(crate) fn folding_routes(routes: &[Route]) -> Vec<bool> {
    let names = name_captures(routes);
    let folds = |route: &Route| {
        if route.folds_case {
            return true;
        }
        match &route.target {
            RouteTarget::Document(_) | RouteTarget::FreeForm(_) => false,
            RouteTarget::Credential(credential) => {
                let named = credential.role_documents().into_iter();
                let named = named.filter(|role| role.capture_count() > 0);
                let patterns: Vec<_> = named.map(|role| RoutePattern::new(role.path)).collect();
                let mut roles = routes.iter().filter(|it| patterns.contains(&it.pattern));
                !patterns.is_empty() && roles.all(|role| role.folds_case)
            }
            RouteTarget::Login(_) | RouteTarget::DurableAction(_) | RouteTarget::Actions(_) => {
                match document_above(routes, route) {
                    Some(above) => above.folds_case,
                    None => {
                        let mut alike =
                            names.iter().filter(|it| has_capture(&route.pattern, it.name));
                        let folds = alike.next().map(|it| it.folds_case);
                        folds == Some(true) && alike.all(|it| it.folds_case)
                    }
                }
            }
        }
    };
    routes.iter().map(folds).collect()
}

/// What is wrong with the captures of a blueprint's paths, if anything is.
pub(crate) fn capture_error(routes: &[Route]) -> Option<String> {
    let names = name_captures(routes);
    let of_route = |route: &Route| {
        form_error(routes, &names, route).or_else(|| storage_overlap(routes, route))
    };
    let folding = folding_routes(routes);
    let folded = routes.iter().zip(folding).filter(|(route, folds)| *folds && !route.folds_case);
    routes.iter().find_map(of_route).or_else(|| {
        folded.into_iter().find_map(|(route, _)| mixed_case_error(routes, &names, route))
    })
}

/// The captures that name the documents of the collections.
fn name_captures(routes: &[Route]) -> Vec<NameCapture> {
    let of_route = |route: &Route| {
        let is_document = matches!(route.target, RouteTarget::Document(_));
        let (name, form) = route.pattern.captures().last().filter(|_| is_document)?;
        Some(NameCapture { name, form, folds_case: route.folds_case })
    };
    routes.iter().filter_map(of_route).collect()
}

fn has_capture(pattern: &RoutePattern, name: &str) -> bool {
    pattern.captures().any(|(capture, _)| capture == name)
}

/// The document whose path, up to its last capture, is the start of this route's path.
fn document_above<'r>(routes: &'r [Route], route: &Route) -> Option<&'r Route> {
    routes.iter().find(|above| {
        let is_document = matches!(above.target, RouteTarget::Document(_));
        let has_name = above.pattern.captures().next().is_some();
        is_document && has_name && above.pattern.is_start_of(&route.pattern)
    })
}

/// A path with a capture of another form than the document's that it stands for.
fn form_error(routes: &[Route], names: &[NameCapture], route: &Route) -> Option<String> {
    let path = route.pattern.as_str();
    let differs = |capture: &str, of: &str, form: CaptureForm| {
        format!(
            "the capture {{{capture}}} of {path:?} takes other names than {of:?}: declare it as \
             {}",
            form.declaration(capture)
        )
    };
    let documents = routes.iter().filter(|it| matches!(it.target, RouteTarget::Document(_)));
    for document in documents {
        if let Some((capture, form)) = document.pattern.differing_capture(&route.pattern) {
            return Some(differs(capture, document.pattern.as_str(), form));
        }
    }
    match &route.target {
        RouteTarget::Document(_) | RouteTarget::FreeForm(_) => None,
        RouteTarget::Credential(credential) => {
            let roles = credential.role_documents().into_iter();
            roles.into_iter().find_map(|role| {
                let pattern = RoutePattern::new(role.path);
                let mut pairs = pattern.captures().zip(route.pattern.captures());
                let ((_, form), (capture, _)) =
                    pairs.find(|((_, one), (_, other))| one != other)?;
                Some(differs(capture, role.path, form))
            })
        }
        RouteTarget::Login(_) | RouteTarget::DurableAction(_) | RouteTarget::Actions(_) => {
            if document_above(routes, route).is_some() {
                return None;
            }
            route.pattern.captures().find_map(|(capture, form)| {
                let mut alike = names.iter().filter(|it| it.name == capture);
                let first = alike.next()?;
                let is_known = first.form == form || alike.any(|it| it.form == form);
                let document = format!("the documents named {}", first.form.declaration(capture));
                (!is_known).then(|| differs(capture, &document, first.form))
            })
        }
    }
}

/// A document that could be stored under the key of one of another type.
fn storage_overlap(routes: &[Route], route: &Route) -> Option<String> {
    let RouteTarget::Document(document) = &route.target else { return None };
    if !route.pattern.ends_in_rest() {
        return None;
    }
    let folder = document.storage_key("");
    let overlapping = routes.iter().find(|other| match &other.target {
        RouteTarget::Document(it) if it.storage_key("") == folder => {
            other.pattern != route.pattern
                && route.pattern.match_path(&other.pattern.example_path()).is_some()
        }
        _ => false,
    });
    overlapping.map(|other| {
        let (path, other) = (route.pattern.as_str(), other.pattern.as_str());
        format!("documents at {path:?} could be stored as those at {other:?}")
    })
}

/// A path that folds case because of one of its captures, and has another one.
fn mixed_case_error(routes: &[Route], names: &[NameCapture], route: &Route) -> Option<String> {
    if document_above(routes, route)
        .is_some_and(|above| above.pattern.captures().count() == route.pattern.captures().count())
        || matches!(route.target, RouteTarget::Credential(_))
    {
        return None;
    }
    let is_folded = |name: &str| {
        let mut alike = names.iter().filter(|it| it.name == name).peekable();
        alike.peek().is_some() && alike.all(|it| it.folds_case)
    };
    let (other, _) = route.pattern.captures().find(|(name, _)| !is_folded(name))?;
    let path = route.pattern.as_str();
    Some(format!(
        "the path {path:?} folds the case of some captures, and nothing says whether it folds \
         {{{other}}}: declare Blueprint::folds_case, which folds all of them, or use other names"
    ))
}
