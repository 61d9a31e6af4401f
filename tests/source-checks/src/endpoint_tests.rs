//! Which endpoints below `sys/` a test requests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::sources::SourceFile;

/// Where the endpoints below `sys/` are declared.
pub const SYS_FOLDER: &str = "crates/system/src/sys/";
/// Where their tests are: those with a whole core, and the recorded responses.
pub const TEST_FOLDERS: [&str; 2] = ["crates/system/src/tests", "tests/golden/cases"];
/// The mount that the endpoints belong to.
const SYS_MOUNT: &str = "sys/";

/// An endpoint as the sources declare it, found by [`declared_endpoints`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredEndpoint {
    /// The file that declares it, relative to the workspace.
    pub file: String,
    /// Its path below the mount, for example `mounts/{path..}/tune`.
    pub pattern: String,
}

/// The patterns of all `ApiEndpoint { … }` and `DocumentEndpoints { … }` in the files of a folder, in
/// the order of the files.
pub fn declared_endpoints(files: &[SourceFile], folder: &str) -> Vec<DeclaredEndpoint> {
    let mut endpoints = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(folder)) {
        EndpointCollector { file: &file.path, endpoints: &mut endpoints }.visit_file(&file.syntax);
    }
    endpoints
}

/// The paths that tests request, without `sys/`: those that string literals of Rust files in a folder
/// begin with, and those of the requests of golden cases, which are JSON files. A path with a
/// wildcard is part of a policy and is none that is requested.
///
/// # Errors
///
/// Says which file could not be read or is no Rust.
pub fn requested_paths(folder: &Path) -> Result<BTreeSet<String>, String> {
    let located =
        |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(|error| located(folder, &error))? {
        let path = entry.map_err(|error| located(folder, &error))?.path();
        if path.is_dir() {
            paths.extend(requested_paths(&path)?);
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| located(&path, &error))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                let tokens = text.parse().map_err(|error| located(&path, &error))?;
                collect_from_rust(tokens, &mut paths);
            }
            Some("json") => collect_from_case(&text, &mut paths),
            _ => {}
        }
    }
    Ok(paths)
}

/// The endpoints that none of the paths leads to. A path leads to the endpoint with the most literal
/// segments that matches it, so a request to `mounts/kv/tune` is no test of `mounts/{path..}`.
pub fn untested_endpoints<'a>(
    endpoints: &'a [DeclaredEndpoint],
    paths: &BTreeSet<String>,
) -> Vec<&'a DeclaredEndpoint> {
    let literals = |pattern: &str| pattern.split('/').filter(|part| !part.starts_with('{')).count();
    let tested: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| {
            let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
            let patterns = endpoints.iter().map(|endpoint| endpoint.pattern.as_str());
            let matching = patterns.filter(|pattern| {
                pattern_matches(&pattern.split('/').collect::<Vec<_>>(), &segments)
            });
            matching.max_by_key(|pattern| literals(pattern))
        })
        .collect();
    endpoints.iter().filter(|endpoint| !tested.contains(endpoint.pattern.as_str())).collect()
}

/// Whether `{name}` and `{name..}` can stand for one, or for one or more, of the segments.
fn pattern_matches(pattern: &[&str], segments: &[&str]) -> bool {
    let (Some((part, later_parts)), Some((segment, later_segments))) =
        (pattern.split_first(), segments.split_first())
    else {
        return pattern.is_empty() && segments.is_empty();
    };
    if !part.starts_with('{') {
        return part == segment && pattern_matches(later_parts, later_segments);
    }
    pattern_matches(later_parts, later_segments)
        || part.ends_with("..}") && pattern_matches(pattern, later_segments)
}

fn collect_from_rust(tokens: TokenStream, paths: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_from_rust(group.stream(), paths),
            TokenTree::Literal(literal) => {
                if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                    paths.extend(path_below_sys(&text.value()));
                }
            }
            _ => {}
        }
    }
}

/// A case's requests are written as `"ask": "GET sys/mounts"`.
fn collect_from_case(json: &str, paths: &mut BTreeSet<String>) {
    for request in json.split("\"ask\": \"").skip(1) {
        let request = request.split('"').next().unwrap_or_default();
        paths.extend(request.split_once(' ').and_then(|(_, path)| path_below_sys(path)));
    }
}

fn path_below_sys(path: &str) -> Option<String> {
    let path = path.strip_prefix(SYS_MOUNT)?.split('?').next()?;
    (!path.contains(['*', '+'])).then(|| path.to_owned())
}

struct EndpointCollector<'a> {
    file: &'a str,
    endpoints: &'a mut Vec<DeclaredEndpoint>,
}

impl<'ast> Visit<'ast> for EndpointCollector<'_> {
    fn visit_expr_struct(&mut self, item: &'ast syn::ExprStruct) {
        let declares =
            |name: &str| item.path.segments.last().is_some_and(|segment| segment.ident == name);
        if declares("ApiEndpoint") || declares("DocumentEndpoints") {
            for field in &item.fields {
                if let syn::Member::Named(name) = &field.member
                    && (name == "pattern" || name == "list_pattern")
                    && let syn::Expr::Lit(literal) = &field.expr
                    && let syn::Lit::Str(pattern) = &literal.lit
                {
                    let (file, pattern) = (self.file.to_owned(), pattern.value());
                    self.endpoints.push(DeclaredEndpoint { file, pattern });
                }
            }
        }
        visit::visit_expr_struct(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::{production_files, workspace_root};

    /// Endpoints whose tests need a server with engines, and where those are.
    const TESTED_ELSEWHERE: &[(&str, &str)] =
        &[("internal/specs/openapi", "crates/server/src/tests.rs")];

    #[test]
    fn a_path_leads_to_the_most_exact_endpoint() {
        let source = "const E: &[ApiEndpoint] = &[
            ApiEndpoint { pattern: \"mounts\", ..NONE }, ApiEndpoint { pattern: \"mounts/{path..}\" },
            ApiEndpoint { pattern: \"mounts/{path..}/tune\" }, ApiEndpoint { pattern: \"x/{id}\" }];";
        let files = [SourceFile::parse(format!("{SYS_FOLDER}a.rs"), source).unwrap()];
        let endpoints = declared_endpoints(&files, SYS_FOLDER);
        let untested = |paths: BTreeSet<String>| {
            let untested = untested_endpoints(&endpoints, &paths);
            untested.iter().map(|endpoint| endpoint.pattern.clone()).collect::<Vec<_>>()
        };
        let untested_by_rust = |text: &str| {
            let mut paths = BTreeSet::new();
            collect_from_rust(text.parse().unwrap(), &mut paths);
            untested(paths)
        };
        let all = ["mounts", "mounts/{path..}", "mounts/{path..}/tune", "x/{id}"];
        let no_request = r#"f("sys/x"); g("path sys/mounts"); // "sys/mounts""#;
        assert_eq!(untested_by_rust(no_request), all);
        assert_eq!(untested_by_rust(r#"f("sys/mounts/*"); f("sys/x/1/2")"#), all);
        let test = r#"assert!(f("sys/mounts/", a), "{}", format!("sys/mounts/{a}/b/tune?x=1"))"#;
        assert_eq!(untested_by_rust(test), [all[1], all[3]]);
        assert_eq!(untested_by_rust(r#"f("sys/mounts/a/b", "sys/x/1")"#), [all[0], all[2]]);
        let mut paths = BTreeSet::new();
        let case = r#"{"ask": "GET sys/mounts?x=1", "body_text": "sys/x/1"}, {"ask": "GET kv/a"}"#;
        collect_from_case(case, &mut paths);
        assert_eq!(untested(paths), all[1..]);
    }

    #[test]
    fn each_endpoint_below_sys_is_requested_in_a_test() {
        let root = workspace_root();
        let endpoints = declared_endpoints(&production_files(&root).unwrap(), SYS_FOLDER);
        assert!(endpoints.len() > 30, "only {} endpoints were found", endpoints.len());
        let mut paths = BTreeSet::new();
        for folder in TEST_FOLDERS {
            paths.extend(requested_paths(&root.join(folder)).unwrap());
        }
        for (path, file) in TESTED_ELSEWHERE {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(&format!("{SYS_MOUNT}{path}")), "{file} does not name {path}");
            assert!(paths.insert((*path).to_owned()), "{path} needs no exception");
        }
        let untested = untested_endpoints(&endpoints, &paths);
        let lines = untested.iter().map(|it| format!("{}: {SYS_MOUNT}{}", it.file, it.pattern));
        let lines: Vec<_> = lines.collect();
        assert!(lines.is_empty(), "not requested in {TEST_FOLDERS:?}:\n{}", lines.join("\n"));
    }
}
