//! [`check`]: properties that every engine must have, checked with a few lines in its tests:
//!
//! ```
//! use strongroom_sdk::{Blueprint, FreeForm, contract};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let engine = Blueprint::new("notes", "1.0.0")
//!     .help("Keeps notes.")
//!     .free_form("{path..}", "A note.", FreeForm::new());
//! contract::check(engine, &[("a/b", r#"{"text":"hello"}"#)]).await;
//! # }
//! ```
//!
//! Each declared document needs a sample: a path, and a body with which it can be written. No
//! outside system is contacted. A check that fails panics with the name of the check and the path.
#![expect(clippy::panic, reason = "a check fails by a panic")]

use strongroom_engine::PANIC_MESSAGE;
use strongroom_engine::{EngineDescription, EngineFactory, Existence, Operation, StatusKind};
use strongroom_schema::field::FieldSpec;
use strongroom_types::{ErrorKind, Fields, RawObject, Ttl};

use crate::blueprint::{Blueprint, Route, RouteTarget};
use crate::testing::{Harness, TestError, TestHost, TestLease, Transport};
use crate::{Context, Error, Response};

/// Checks an engine linked in and behind the plug-in protocol. `samples` are pairs of a path and a
/// JSON body.
///
/// # Panics
///
/// If the engine violates the contract, or a document has no sample.
pub async fn check(engine: Blueprint, samples: &[(&str, &str)]) {
    name_and_help_are_complete(&engine);
    for way in [Transport::Linked, Transport::Wire] {
        let tested = engine.clone().prepend_read(PANIC_PATH, "Panics.", panicking_action);
        let engine = &engine;
        Harness::run_one(tested, way, |host| async move {
            description_is_what_was_declared(&host, engine);
            help_covers_every_path(&host, engine).await;
            unknown_paths_are_unsupported(&host, engine).await;
            documents_exist_when_they_are_there(&host, engine, samples).await;
            resources_exist_when_they_are_there(&host, engine, samples).await;
            odd_input_is_refused_and_not_repeated(&host, engine, samples).await;
            leases_of_others_are_refused(&host).await;
            a_panic_harms_nobody_else(&host).await;
        })
        .await;
    }
}

/// The path that is added to the engine; its handler panics.
const PANIC_PATH: &str = "contract-check/panic";
/// A text that no error message may contain.
const MARKER: &str = "odd-Marker-4711";

/// Unwinds like a panic, but without calling the process's panic hook, so that a passing check
/// prints nothing.
async fn panicking_action(_: Context, (): ()) -> Result<Response, Error> {
    std::panic::resume_unwind(Box::new(MARKER))
}

macro_rules! ensure {
    ($holds:expr, $($reason:tt)+) => {
        if !$holds {
            panic!($($reason)+);
        }
    };
}

fn name_and_help_are_complete(engine: &Blueprint) {
    let name = engine.name();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "the name {name:?} isn't like `api-token`"
    );
    let version = engine.version();
    let numbers = version.trim_start_matches('v').split(['+', '-']).next().unwrap_or_default();
    let is_version =
        numbers.split('.').count() == 3 && numbers.split('.').all(|n| n.parse::<u32>().is_ok());
    ensure!(is_version, "{version:?} is no semantic version");
    ensure!(!engine.engine_help().is_empty(), "the engine has no help: see Blueprint::help");
    for route in engine.routes() {
        let path = route.pattern.as_str();
        ensure!(!route.help.is_empty(), "{path} has no help: write a documentation comment");
        for FieldSpec { name, help, .. } in route.fields() {
            ensure!(!help.is_empty(), "the field {name:?} of {path} has no documentation comment");
        }
    }
}

fn description_is_what_was_declared(host: &TestHost, engine: &Blueprint) {
    let EngineDescription {
        kind,
        version,
        special_paths: special,
        folded_paths: folded,
        exclusive,
        ..
    } = host.description();
    ensure!((kind, &version) == (engine.kind(), &engine.version()), "kind or version is another");
    ensure!(exclusive == engine.is_exclusive(), "`exclusive` got lost on the way");
    ensure!(folded == engine.folded_paths(), "the folded paths got lost on the way: {folded:?}");
    for route in engine.routes() {
        let (path, example) = (route.pattern.as_str(), route.pattern.example_path());
        let lists = [
            ("unauthenticated", route.unauthenticated, &special.unauthenticated),
            ("root", route.root, &special.root),
        ];
        for (name, declared, list) in lists {
            let is_special = list.iter().any(|special| special_path_covers(special, &example));
            ensure!(
                declared == is_special,
                "{path} is declared {name}: {declared}, said: {list:?}"
            );
        }
    }
}

async fn help_covers_every_path(host: &TestHost, engine: &Blueprint) {
    let whole = fetch_help(host, "").await;
    for route in engine.routes() {
        let path = route.pattern.as_str();
        ensure!(whole.contains(path), "the engine's help doesn't name {path}");
        let help = fetch_help(host, &route.pattern.example_path()).await;
        ensure!(
            help.contains(path) && help.contains(route.help),
            "the help of {path} is another's"
        );
        for FieldSpec { name, .. } in route.fields() {
            ensure!(help.contains(name), "the help of {path} doesn't name the field {name:?}");
        }
    }
}

async fn fetch_help(host: &TestHost, path: &str) -> String {
    match host.help(path).await {
        Ok(help) => help,
        Err(error) => panic!("no help for {path:?}: {error}"),
    }
}

async fn unknown_paths_are_unsupported(host: &TestHost, engine: &Blueprint) {
    let unknown =
        |path: &&str| engine.routes().iter().all(|r| r.pattern.match_path(path).is_none());
    let candidates = ["no-such-path", "no-such/path", "no/such/path/at-all"];
    // An engine that accepts any path has no unknown path.
    let Some(path) = candidates.into_iter().find(unknown) else { return };
    let text = StatusKind::UnsupportedPath.as_str();
    for operation in OPERATIONS.into_iter().filter(|operation| is_routed_by_path(*operation)) {
        let refused = host.send(operation, path, "{}").await.err();
        if let Some(hint) = engine.unknown_path_hint(operation, path) {
            let is_so = refused.as_ref().is_some_and(|refused| {
                refused.kind == ErrorKind::NotFound && refused.warnings == [hint.clone()]
            });
            ensure!(is_so, "{operation} of the unknown {path}: {refused:?}, not the hint {hint:?}");
            continue;
        }
        let is_so = refused.as_ref().is_some_and(|refused| refused.message == text);
        ensure!(is_so, "{operation} of the unknown {path}: {refused:?}, not {text:?}");
    }
    let refused = host.exists(path).await.err();
    ensure!(refused.is_some_and(|refused| refused.message == text), "{path} may exist");
}

async fn documents_exist_when_they_are_there(
    host: &TestHost,
    engine: &Blueprint,
    samples: &[(&str, &str)],
) {
    for route in engine.routes() {
        let stores = matches!(route.target, RouteTarget::Document(_) | RouteTarget::FreeForm(_));
        let has_sample = samples.iter().any(|(path, _)| route.pattern.match_path(path).is_some());
        ensure!(!stores || has_sample, "there is no sample for {}", route.pattern.as_str());
    }
    let of_documents =
        |(path, _): &&(&str, &str)| !engine.routes().iter().any(|r| is_resource(r, path));
    for (path, body) in samples.iter().filter(of_documents) {
        assert_absent(host, path).await;
        for round in ["create", "update"] {
            let written = host.write(path, body).await;
            ensure!(written.is_ok(), "the {round} of {path} failed: {:?}", written.err());
        }
        ensure!(host.exists(path).await == Ok(Existence::Exists), "{path} was written, and isn't");
        let Ok(got) = host.read(path).await else { panic!("{path} exists, and can't be read") };
        let route = engine.routes().iter().find(|route| route.pattern.match_path(path).is_some());
        let Some(route) = route else { panic!("the sample {path} is of no declared path") };
        secrets_are_not_exposed(host, route, path, body, &got.data_json());
        if let Some((folder, name)) = path.rsplit_once('/')
            && route.pattern.list_folder().is_some()
        {
            let names = host.list(folder).await.unwrap_or_default();
            ensure!(names.iter().any(|listed| listed == name), "{folder} doesn't list {name:?}");
        }
    }
    for (path, _) in samples.iter().rev().filter(of_documents) {
        ensure!(host.delete(path).await.is_ok(), "{path} can't be deleted");
        assert_absent(host, path).await;
        ensure!(host.delete(path).await.is_ok(), "{path} can't be deleted twice");
    }
    ensure!(host.stored_keys().is_empty(), "something stays stored: {:?}", host.stored_keys());
}

/// A resource may keep any data, even after a delete; but its existence check must find what was
/// written.
async fn resources_exist_when_they_are_there(
    host: &TestHost,
    engine: &Blueprint,
    samples: &[(&str, &str)],
) {
    for route in engine.routes() {
        let path = route.pattern.as_str();
        let creates = matches!(&route.target, RouteTarget::Actions(it) if it.exists.is_some() && it.write.is_some());
        let sample = samples.iter().find(|(path, _)| is_resource(route, path));
        ensure!(!creates || sample.is_some(), "there is no sample for {path}");
        let Some((path, body)) = sample.filter(|_| creates) else { continue };
        ensure!(
            host.exists(path).await == Ok(Existence::Absent),
            "{path} exists without being there"
        );
        let written = host.write(path, body).await;
        ensure!(written.is_ok(), "the create of {path} failed: {:?}", written.err());
        ensure!(host.exists(path).await == Ok(Existence::Exists), "{path} was written, and isn't");
    }
}

fn is_resource(route: &Route, path: &str) -> bool {
    let is = matches!(&route.target, RouteTarget::Actions(actions) if actions.exists.is_some());
    is && route.pattern.match_path(path).is_some()
}

async fn assert_absent(host: &TestHost, path: &str) {
    ensure!(host.exists(path).await == Ok(Existence::Absent), "{path} exists without being there");
    let read = host.read(path).await;
    let not_found = read.as_ref().err().map(|refused| refused.kind);
    ensure!(not_found == Some(ErrorKind::NotFound), "{path} isn't there, and reads as {read:?}");
}

fn secrets_are_not_exposed(host: &TestHost, route: &Route, path: &str, body: &str, shown: &str) {
    let sent = Fields::from_trusted(body.as_bytes()).unwrap_or_default();
    for spec in route.fields().into_iter().filter(|spec| spec.secret) {
        let secret = sent.text(spec.name).unwrap_or_default();
        let leaks = !secret.is_empty() && shown.contains(&secret);
        ensure!(!leaks, "{path} shows the secret {:?}", spec.name);
    }
    if let RouteTarget::Document(document) = &route.target
        && document.seal_wrap()
    {
        let (special, key) =
            (host.description().special_paths.seal_wrap_storage, document.storage_key(path));
        let stored = host.stored_entry(&key);
        ensure!(stored.is_some_and(|s| s.seal_wrap), "{path} isn't stored under the seal");
        let said = special.iter().any(|special| key.starts_with(special.as_str()));
        ensure!(said, "{path} is under the seal, and not among {special:?}");
    }
}

async fn odd_input_is_refused_and_not_repeated(
    host: &TestHost,
    engine: &Blueprint,
    samples: &[(&str, &str)],
) {
    let declared = engine.routes().iter().map(|route| route.pattern.example_path());
    let written = samples.iter().flat_map(|(path, _)| [(*path).to_owned(), format!("{path}/")]);
    let odd = ODD_PATHS.iter().map(|path| (*path).to_owned());
    let paths = declared.chain(written).chain(odd).chain(["a".repeat(5000)]);
    for path in paths {
        let route = engine.routes().iter().find(|route| route.pattern.match_path(&path).is_some());
        // Reading the path would issue a credential in the outside system.
        let issues = route.is_some_and(|route| matches!(route.target, RouteTarget::Credential(_)));
        for body in odd_bodies(route) {
            for operation in OPERATIONS {
                if issues && operation == Operation::Read {
                    continue;
                }
                let outcome = host.send(operation, &path, &body).await;
                let Err(TestError { message, .. }) = outcome else { continue };
                let asked =
                    format!("{operation} of {:?} with {:?}", truncate(&path), truncate(&body));
                ensure!(message != PANIC_MESSAGE, "{asked}: the engine panicked");
                ensure!(!message.contains(MARKER), "{asked}: the error repeats a value");
            }
        }
    }
    for key in host.stored_keys() {
        let outside = key.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        ensure!(!outside, "something was stored at {key:?}");
    }
}

const OPERATIONS: [Operation; 9] = [
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

/// For each field, bodies with every unusual form of a value.
fn odd_bodies(route: Option<&Route>) -> Vec<String> {
    let long = format!("\"{}\"", "x".repeat(100_000));
    let marked = format!("\"{MARKER}\"");
    let nested = format!("{{\"a\":{{\"b\":[{marked}]}}}}");
    let values = [
        "null",
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
        &long,
        &marked,
        &nested,
    ];
    let fields = route.map(Route::fields).unwrap_or_default();
    let names = fields.iter().map(|spec| spec.name).chain(["no_such_field"]);
    let body = |name: &str, value: &str| format!("{{\"{name}\":{value}}}");
    let mut bodies: Vec<String> =
        names.flat_map(|name| values.iter().map(move |value| body(name, value))).collect();
    bodies.push("{}".to_owned());
    bodies
}

async fn leases_of_others_are_refused(host: &TestHost) {
    for kept in ["{}", "{\"secret_type\":1}", "{\"secret_type\":\"of-nobody\",\"role\":[]}"] {
        let lease = TestLease {
            id: "a-lease".to_owned(),
            path: "creds/an-example".to_owned(),
            ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            renewable: true,
            issued: host.now(),
            expires: host.now(),
            internal: RawObject::from_own_json(kept),
            data: None,
        };
        let refused = host.revoke_credential(&lease).await.err();
        let is_so = refused.as_ref().is_some_and(|refused| refused.message != PANIC_MESSAGE);
        ensure!(is_so, "the lease {kept} is of nobody, and was revoked: {refused:?}");
    }
}

async fn a_panic_harms_nobody_else(host: &TestHost) {
    let (panicked, other) = tokio::join!(host.read(PANIC_PATH), host.help(""));
    let message = panicked.err().map(|refused| refused.message);
    ensure!(message.as_deref() == Some(PANIC_MESSAGE), "a panic in a handler became {message:?}");
    ensure!(other.is_ok(), "a panic in a handler took another request with it: {other:?}");
    fetch_help(host, "").await;
}

/// Help on an unknown path is "not found"; renewals and revocations are routed by the lease.
fn is_routed_by_path(operation: Operation) -> bool {
    !matches!(operation, Operation::Help | Operation::Renew | Operation::Revoke)
}

/// Whether a special path matches a path.
fn special_path_covers(special: &str, path: &str) -> bool {
    let (body, open) = match special.strip_suffix('*') {
        Some(body) => (body, true),
        None => (special, false),
    };
    let (wanted, given): (Vec<_>, Vec<_>) = (body.split('/').collect(), path.split('/').collect());
    if given.len() < wanted.len() || (!open && given.len() > wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    wanted.iter().zip(given).enumerate().all(|(index, (wanted, given))| match *wanted {
        "+" => true,
        wanted if open && index == last => given.starts_with(wanted),
        wanted => wanted == given,
    })
}

fn truncate(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_paths_cover_what_servers_take_them_for() {
        for (special, path) in
            [("a", "a"), ("a/+", "a/b"), ("a/*", "a/b/c"), ("a*", "abc"), ("+/b/*", "x/b/c")]
        {
            assert!(special_path_covers(special, path), "{special} {path}");
        }
        for (special, path) in [("a", "a/b"), ("a/+", "a/b/c"), ("a/*", "b/c"), ("+", "a/b")] {
            assert!(!special_path_covers(special, path), "{special} {path}");
        }
    }
}
