//! The check with unusual paths and values: none of them may make the engine panic, be repeated in
//! an error, or be stored outside of the declared paths.

use strongroom_engine::{Operation, PANIC_MESSAGE};
use strongroom_types::Fields;

use super::MARKER;
use crate::blueprint::{Blueprint, Route, RouteTarget};
use crate::declared_documents::is_declaration_fault;
use crate::testing::{TestError, TestHost, Transport};

/// A path to which unusual values are sent.
pub(super) struct OddTarget {
    path: String,
    /// The names of the fields that the path accepts.
    fields: Vec<String>,
    /// Whether the engine has the path. To others few values are sent.
    is_declared: bool,
    /// Whether reading the path would issue a credential in the outside system.
    issues: bool,
}

impl OddTarget {
    /// The declared paths of a blueprint, those of the samples, and unusual ones.
    pub(super) fn of_blueprint(engine: &Blueprint, samples: &[(&str, &str)]) -> Vec<Self> {
        let declared = engine.routes().iter().map(|route| route.pattern.example_path());
        let paths = declared.chain(sample_paths(samples)).chain(odd_paths());
        let paths = paths.chain(engine.routes().iter().flat_map(odd_document_paths));
        let of_path = |path: String| {
            let route =
                engine.routes().iter().find(|route| route.pattern.match_path(&path).is_some());
            let fields = route.map(Route::fields).unwrap_or_default();
            Self {
                path,
                fields: fields.iter().map(|spec| spec.name.to_owned()).collect(),
                is_declared: route.is_some(),
                issues: route
                    .is_some_and(|route| matches!(route.target, RouteTarget::Credential(_))),
            }
        };
        paths.map(of_path).collect()
    }

    /// The paths of the samples, and unusual ones, for an engine whose declarations are not known.
    pub(super) fn of_samples(samples: &[(&str, &str)]) -> Vec<Self> {
        let of_sample = |(path, body): &(&str, &str)| {
            let fields = Fields::from_trusted(body.as_bytes()).unwrap_or_default();
            let fields = fields.iter().map(|(name, _)| name.to_owned()).collect();
            Self { path: (*path).to_owned(), fields, is_declared: true, issues: false }
        };
        let undeclared =
            |path| Self { path, fields: Vec::new(), is_declared: false, issues: false };
        let others = sample_paths(samples).filter(|path| path.ends_with('/')).chain(odd_paths());
        samples.iter().map(of_sample).chain(others.map(undeclared)).collect()
    }

    /// The bodies to send: each field with unusual values, if `is_thorough` with every one.
    fn bodies(&self, is_thorough: bool) -> Vec<String> {
        let long = format!("\"{}\"", "x".repeat(LONG_VALUE_BYTES));
        let marked = format!("\"{MARKER}\"");
        let nested = format!("{{\"a\":{{\"b\":[{marked}]}}}}");
        let mut values = vec!["null", &marked, &nested];
        if is_thorough && self.is_declared {
            values.extend(PLAIN_VALUES);
            values.push(&long);
        }
        let names = self.fields.iter().map(String::as_str).chain(["no_such_field"]);
        let body = |name: &str, value: &str| format!("{{\"{name}\":{value}}}");
        let of_names = names.flat_map(|name| values.iter().map(move |value| body(name, value)));
        ["{}".to_owned()].into_iter().chain(of_names).collect()
    }
}

fn sample_paths(samples: &[(&str, &str)]) -> impl Iterator<Item = String> {
    samples.iter().flat_map(|(path, _)| [(*path).to_owned(), format!("{path}/")])
}

/// Paths of documents whose names would leave their folder.
fn odd_document_paths(route: &Route) -> Vec<String> {
    let example = route.pattern.example_path();
    let example = example.strip_suffix(EXAMPLE_OF_MANY).unwrap_or(&example);
    match (&route.target, example.rsplit_once('/')) {
        (RouteTarget::Document(_), Some((folder, _))) if route.pattern.list_folder().is_some() => {
            ODD_NAMES.iter().map(|name| format!("{folder}/{name}")).collect()
        }
        _ => Vec::new(),
    }
}

fn odd_paths() -> impl Iterator<Item = String> {
    let long = "a".repeat(LONG_PATH_BYTES);
    ODD_PATHS.iter().map(|path| (*path).to_owned()).chain([long])
}

/// Linked in, every value is sent. Over the wire the same code of the engine parses them, so a few
/// are enough to see that they arrive.
pub(super) async fn odd_input_is_refused_and_not_repeated(host: &TestHost, targets: &[OddTarget]) {
    let is_thorough = host.transport() == Transport::Linked;
    for target in targets {
        let path = &target.path;
        for (index, body) in target.bodies(is_thorough).iter().enumerate() {
            // The fields of some operations don't depend on the path.
            let reads_fields =
                |operation: &Operation| index == 0 || reads_fields_of_path(*operation);
            for operation in OPERATIONS.into_iter().filter(reads_fields) {
                if target.issues && operation == Operation::Read {
                    continue;
                }
                let outcome = host.send(operation, path, body).await;
                let Err(TestError { message, .. }) = outcome else { continue };
                let asked =
                    format!("{operation} of {:?} with {:?}", truncate(path), truncate(body));
                ensure!(message != PANIC_MESSAGE, "{asked}: the engine panicked");
                ensure!(!message.contains(MARKER), "{asked}: the error repeats a value");
                ensure!(!is_declaration_fault(&message), "{asked}: {message}");
            }
        }
    }
    for key in host.stored_keys() {
        let outside = key.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        ensure!(!outside, "something was stored at {key:?}");
    }
}

fn reads_fields_of_path(operation: Operation) -> bool {
    !matches!(operation, Operation::Help | Operation::Renew | Operation::Revoke)
}

pub(super) const OPERATIONS: [Operation; 9] = [
    Operation::Create,
    Operation::Update,
    Operation::Patch,
    Operation::Read,
    Operation::List,
    Operation::Help,
    Operation::Renew,
    Operation::Revoke,
    Operation::Delete,
];

const ODD_PATHS: [&str; 18] = [
    "",
    "/",
    "//",
    "a//b",
    "..",
    "../x",
    "a/../b",
    "./a",
    " ",
    "\0",
    "\u{202e}",
    "ü",
    "%2e%2e/x",
    "{name}",
    "+",
    "*",
    "intent/x",
    "config/..",
];

/// The end of the example of a path with a capture of several segments, which lies two folders
/// deeper than other examples.
const EXAMPLE_OF_MANY: &str = "/of/many";

const ODD_NAMES: [&str; 4] = ["../x", "a//b", "a%2f..%2fb", "@"];

const LONG_PATH_BYTES: usize = 5000;
const LONG_VALUE_BYTES: usize = 100_000;

/// Unusual values as JSON, beside those that contain the marker.
const PLAIN_VALUES: [&str; 14] = [
    "true",
    "0",
    "-1",
    "1.5",
    "1e400",
    "99999999999999999999999",
    "\"\"",
    "\"\\u0000\"",
    "\",,,\"",
    "\"=\"",
    "[]",
    "{}",
    "[null]",
    "[[1]]",
];

fn truncate(text: &str) -> String {
    text.chars().take(60).collect()
}
