//! Checks, and completes, what a blueprint's paths say about names: which forms they have, and
//! whether their case matters. A path that takes other names than the document that it is about
//! would hide objects from it, or let one object have two paths in policies.

use strongroom_schema::pattern::{CaptureForm, RoutePattern};

/// A declared path, as far as its names matter.
pub(crate) struct DeclaredPath<'b> {
    pub(crate) pattern: &'b RoutePattern,
    /// Whether the declaration says that the case of its captures doesn't matter.
    pub(crate) folds_case: bool,
    pub(crate) subject: PathSubject,
}

/// What a declared path is about.
pub(crate) enum PathSubject {
    /// Documents that are stored below this folder: the root, or the folder of internal keys.
    Documents {
        storage_folder: String,
    },
    FreeForm,
    /// A credential, with the paths of the documents that can be its role.
    Credential {
        roles: Vec<&'static str>,
    },
    /// A login or actions; actions may have an existence check.
    Calls {
        checks_existence: bool,
    },
}

/// The last capture of a document's path, which names a document.
struct NameCapture {
    name: &'static str,
    form: CaptureForm,
    folds_case: bool,
}

/// For each path, whether its captures are converted to lower case. Beside the paths that declare
/// it these are: paths below those of a document that folds case, credentials whose role is such a
/// document, and logins and actions with captures that are named like those of such documents only.
pub(crate) fn folding_paths(paths: &[DeclaredPath<'_>]) -> Vec<bool> {
    let names = name_captures(paths);
    let folds = |path: &DeclaredPath<'_>| match &path.subject {
        _ if path.folds_case => true,
        PathSubject::Documents { .. } | PathSubject::FreeForm => false,
        PathSubject::Credential { roles } => {
            let named = roles.iter().filter(|role| role.contains('{'));
            let patterns: Vec<_> = named.map(|role| RoutePattern::new(role)).collect();
            let mut roles = paths.iter().filter(|other| patterns.contains(other.pattern));
            !patterns.is_empty() && roles.all(|role| role.folds_case)
        }
        PathSubject::Calls { .. } => match document_above(paths, path) {
            Some(above) => above.folds_case,
            None => path.pattern.captures().any(|(capture, _)| is_folded(&names, capture)),
        },
    };
    paths.iter().map(folds).collect()
}

/// What is wrong with the captures of a blueprint's paths, if anything is.
pub(crate) fn capture_error(paths: &[DeclaredPath<'_>]) -> Option<String> {
    let names = name_captures(paths);
    let of_path = |path: &DeclaredPath<'_>| {
        form_error(paths, &names, path).or_else(|| storage_overlap(paths, path))
    };
    paths.iter().find_map(of_path).or_else(|| {
        let folding = folding_paths(paths);
        let follow = paths.iter().zip(folding).filter(|(path, folds)| *folds && !path.folds_case);
        follow.into_iter().find_map(|(path, _)| mixed_case_error(paths, &names, path))
    })
}

/// The captures that name the documents of the collections.
fn name_captures(paths: &[DeclaredPath<'_>]) -> Vec<NameCapture> {
    let of_path = |path: &DeclaredPath<'_>| {
        let (name, form) = path.pattern.captures().last().filter(|_| path.is_documents())?;
        Some(NameCapture { name, form, folds_case: path.folds_case })
    };
    paths.iter().filter_map(of_path).collect()
}

/// Whether there are documents named by this capture, and all of them fold case.
fn is_folded(names: &[NameCapture], capture: &str) -> bool {
    let mut alike = names.iter().filter(|it| it.name == capture).peekable();
    alike.peek().is_some() && alike.all(|it| it.folds_case)
}

/// The document whose path, up to its last capture, is the start of this path.
fn document_above<'p, 'b>(
    paths: &'p [DeclaredPath<'b>],
    path: &DeclaredPath<'_>,
) -> Option<&'p DeclaredPath<'b>> {
    paths.iter().find(|above| {
        let has_name = above.pattern.captures().next().is_some();
        above.is_documents() && has_name && above.pattern.is_start_of(path.pattern)
    })
}

/// A path with a capture of another form than the document's that it stands for.
fn form_error(
    paths: &[DeclaredPath<'_>],
    names: &[NameCapture],
    path: &DeclaredPath<'_>,
) -> Option<String> {
    let text = path.pattern.as_str();
    let differs = |capture: &str, of: &str, form: CaptureForm| {
        let declaration = form.declaration(capture);
        format!(
            "the capture {{{capture}}} of {text:?} takes other names than {of}: declare it as \
             {declaration}"
        )
    };
    for document in paths.iter().filter(|it| it.is_documents()) {
        if let Some((capture, form)) = document.pattern.differing_capture(path.pattern) {
            return Some(differs(capture, &format!("{:?}", document.pattern.as_str()), form));
        }
    }
    match &path.subject {
        PathSubject::Documents { .. } | PathSubject::FreeForm => None,
        PathSubject::Credential { roles } => roles.iter().find_map(|role| {
            let pattern = RoutePattern::new(role);
            let mut pairs = pattern.captures().zip(path.pattern.captures());
            let ((_, form), (capture, _)) = pairs.find(|((_, one), (_, other))| one != other)?;
            Some(differs(capture, &format!("{role:?}"), form))
        }),
        PathSubject::Calls { .. } if document_above(paths, path).is_some() => None,
        PathSubject::Calls { .. } => path.pattern.captures().find_map(|(capture, form)| {
            let mut alike = names.iter().filter(|it| it.name == capture);
            let first = alike.next()?;
            let is_known = first.form == form || alike.any(|it| it.form == form);
            let documents = format!("the documents named {}", first.form.declaration(capture));
            (!is_known).then(|| differs(capture, &documents, first.form))
        }),
    }
}

/// A document that could be stored under the key of one of another type.
fn storage_overlap(paths: &[DeclaredPath<'_>], path: &DeclaredPath<'_>) -> Option<String> {
    let PathSubject::Documents { storage_folder: own } = &path.subject else { return None };
    if !path.pattern.ends_in_rest() {
        return None;
    }
    let overlapping = paths.iter().find(|other| match &other.subject {
        PathSubject::Documents { storage_folder } if storage_folder == own => {
            let example = other.pattern.example_path();
            other.pattern != path.pattern && path.pattern.match_path(&example).is_some()
        }
        _ => false,
    })?;
    let (text, other) = (path.pattern.as_str(), overlapping.pattern.as_str());
    Some(format!("documents at {text:?} could be stored as those at {other:?}"))
}

/// A path that folds case because of one of its captures, and has another one.
fn mixed_case_error(
    paths: &[DeclaredPath<'_>],
    names: &[NameCapture],
    path: &DeclaredPath<'_>,
) -> Option<String> {
    if matches!(path.subject, PathSubject::Credential { .. }) {
        return None;
    }
    let above = document_above(paths, path).map_or(0, |above| above.pattern.captures().count());
    let mut others = path.pattern.captures().skip(above);
    let (other, _) = others.find(|(capture, _)| !is_folded(names, capture))?;
    let text = path.pattern.as_str();
    Some(format!(
        "the path {text:?} folds the case of some captures, and nothing says whether it folds \
         {{{other}}}: declare Blueprint::folds_case, which folds all of them, or use other names"
    ))
}

impl DeclaredPath<'_> {
    fn is_documents(&self) -> bool {
        matches!(self.subject, PathSubject::Documents { .. })
    }
}
